"""A block is the one its header commits to, or is refused by name; its parent stays as it was."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.messages import CommitCertificate, Evidence, EvidenceKind, Proposal, VoteKind
from node.ledger import chain_rules
from node.ledger.block import Body, Header, decode_body, decode_header
from node.ledger.certificate import (
    decode_certificate,
    encode_evidence,
    validate_certificate,
)
from node.ledger.chain_rules import BlockBuilding, body_matches
from node.ledger.genesis import decode_genesis, genesis_hash
from node.ledger.transaction import decode_transaction
from tests.ledger.support import Chain, MemoryState, genesis_bytes, genesis_document, id_of
from tests.vectors.chain_inputs import double_vote
from vm.primitives.codec import unpack
from vm.primitives.errors import InvalidBlock, InvalidGenesis, InvalidProof
from vm.system.accounts import SUPPLY_KEY, decode_account
from vm.system.validators import read_validators

PAY = ("accounts", "transfer", (id_of("P2"), 5, ""))


def test_building_and_checking_leave_the_parent_untouched() -> None:
    chain = Chain()
    before = dict(chain.first.executed.state.overlay.changes)
    pages = dict(chain.first.executed.state.pages)
    parent = chain.parent
    one = chain.build([chain.transaction("P1", PAY)]).candidate
    other = chain.build([chain.transaction("P2", PAY)]).candidate
    for block in (one, other, one):
        assert chain.check(block).executed.state_root == block.header.state_root
    with pytest.raises(InvalidBlock):
        chain.check(one, header=replace(one.header, state_root=bytes(32)))
    assert chain.first.executed.state.overlay.changes == before
    assert chain.first.executed.state.pages == pages
    assert chain.parent is parent
    assert one.header.state_root != other.header.state_root


def test_the_state_of_a_block_is_the_tree_of_its_entries() -> None:
    chain = Chain()
    for _ in range(4):
        chain.grow(chain.transaction("P1", PAY), chain.transaction("P2", PAY))
        assert MemoryState(chain.entries).root == chain.parent.header.state_root


@pytest.mark.parametrize("field", [name for name in Header.__slots__ if name != "seal"])
def test_every_field_of_the_header_counts(field: str) -> None:
    chain = Chain(parameters={"gas_price_micro": 1})
    chain.grow()
    paid = chain.transaction("P1", PAY, gas_limit=5_000, max_fee_micro=5_000)
    block = chain.build([paid]).candidate
    value = getattr(block.header, field)
    if field == "time_ms":
        wrong: object = chain.parent.header.time_ms
    elif isinstance(value, int):
        wrong = value + 1
    else:
        wrong = bytes(len(value) - 1) + b"\1"
    header = replace(block.header, **{field: wrong})
    assert decode_header(header.encode()).block_id() != block.block_id
    with pytest.raises(InvalidBlock) as caught:
        chain.check(block, header=header)
    assert field.split("_", maxsplit=1)[0] in str(caught.value)
    if field != "proposer":
        assert caught.value.expected != caught.value.actual
    assert chain.check(block).block_id == block.block_id


def test_the_seal_is_the_engines_and_changes_the_id() -> None:
    chain = Chain()
    block = chain.build().candidate
    sealed = chain.check(block, header=replace(block.header, seal=b"work"))
    assert sealed.block_id != block.block_id


def test_a_body_is_the_headers_or_another_blocks() -> None:
    chain = Chain()
    chain.grow()
    sent = [chain.transaction("P1", PAY), chain.transaction("P2", PAY)]
    block = chain.build(sent, evidence=[double_vote(chain, 1)]).candidate
    header, body = block.header, block.body
    ids = [one.id for one in sent]
    assert body_matches(header, body, ids)
    raws = body.transactions
    for other in (
        Body(b"", body.evidence, raws),
        Body(body.last_commit, (), raws),
        Body(body.last_commit, body.evidence * 2, raws),
        Body(body.last_commit, body.evidence, raws[::-1]),
        Body(body.last_commit, body.evidence, (*raws, raws[-1])),
        Body(body.last_commit, body.evidence, raws[:-1]),
    ):
        again = decode_body(other.encode())
        transactions = [decode_transaction(raw) for raw in again.transactions]
        assert not body_matches(header, again, [one.id for one in transactions])
        with pytest.raises(InvalidBlock):
            chain.check(block, body=again, transactions=transactions)
    assert chain.check(block).block_id == block.block_id


def test_time_never_stands_still_or_goes_back() -> None:
    chain = Chain()
    before = chain.parent.header.time_ms
    assert chain.grow(time_ms=before - 10_000).candidate.header.time_ms == before + 1


def test_a_contradiction_counts_once_for_good() -> None:
    chain = Chain()
    chain.grow()
    evidence = double_vote(chain, 1)
    built = chain.grow(evidence=[evidence, evidence])
    assert built.candidate.body.evidence == (evidence,)
    (receipt,) = built.candidate.executed.receipts
    assert receipt.events == (("consensus", "equivocation", (id_of("V1"), 1, 1)),)
    again = chain.grow(evidence=[evidence])
    assert again.candidate.body.evidence == ()
    assert [key for key in chain.entries if key[:1] == b"e"] != []


def test_who_contradicts_itself_in_two_ways_at_a_height_stops_no_proposer() -> None:
    chain = Chain()
    chain.grow()
    pieces = [double_vote(chain, 1, kind=kind) for kind in VoteKind]
    built = chain.grow(evidence=pieces)
    assert built.candidate.body.evidence == (pieces[0],)


def test_a_double_proposal_counts_and_one_with_another_proof_of_lock_does_not() -> None:
    chain = Chain()
    chain.grow()
    place = [one.account for one in read_validators(chain.state)].index(id_of("V2"))

    def pair(*proposals: Proposal) -> bytes:
        signed = [
            replace(one, signature=chain.sign_message(one, "V2"), validator_index=place)
            for one in proposals
        ]
        return encode_evidence(Evidence(EvidenceKind.DOUBLE_PROPOSAL, signed[0], signed[1]))

    first = Proposal(1, 3, b"a" * 32, -1, place)
    same_block = pair(first, replace(first, pol_round=1))
    assert chain.build(evidence=[same_block]).candidate.body.evidence == ()
    other_block = pair(first, replace(first, block_id=b"b" * 32))
    built = chain.grow(evidence=[other_block])
    (receipt,) = built.candidate.executed.receipts
    assert receipt.events == (("consensus", "equivocation", (id_of("V2"), 1, 3)),)


def test_two_hundred_pieces_of_evidence_are_bounded() -> None:
    chain = Chain()
    for _ in range(6):
        chain.grow()
    pieces = [
        double_vote(chain, height, name=name)
        for height in range(1, 7)
        for name in ("V1", "V2", "V3", "V4")
    ]
    built = chain.grow(evidence=[*pieces * 8, b"", b"junk", double_vote(chain, 99)])
    assert built.candidate.body.evidence == tuple(pieces[:16])
    assert decode_body(built.candidate.body.encode()) == built.candidate.body


@pytest.mark.parametrize("height", [7, 8, 10**6])
def test_evidence_is_of_the_past(height: int) -> None:
    chain = Chain()
    for _ in range(6):
        chain.grow()
    assert chain.build(evidence=[double_vote(chain, height)]).candidate.body.evidence == ()


def test_evidence_grows_old() -> None:
    chain = Chain(parameters={"evidence_max_age_blocks": 3})
    for _ in range(6):
        chain.grow()
    for height, stands in ((3, False), (4, True), (6, True)):
        body = chain.build(evidence=[double_vote(chain, height)]).candidate.body
        assert bool(body.evidence) == stands, height


def test_certificates_need_more_than_two_thirds() -> None:
    chain = Chain()
    block = chain.build().candidate
    validators = read_validators(chain.state)
    place = {"height": 1, "block_id": block.block_id}

    def validate(certificate: CommitCertificate, **changes: object) -> None:
        validate_certificate(certificate, chain.genesis.digest, validators, **place | changes)

    validate(chain.certify(block))
    validate(chain.certify(block, signers=[0, 2, 3]))
    good = chain.certify(block)
    signatures = good.signatures
    for certificate in (
        chain.certify(block, signers=[0, 1]),
        chain.certify(block, signers=[]),
        replace(good, signatures=(signatures[0],) * 4),
        replace(good, signatures=signatures[::-1]),
        replace(good, signatures=((0, signatures[1][1]), *signatures[1:])),
        replace(good, round=1),
    ):
        with pytest.raises(InvalidProof):
            validate(certificate)
    with pytest.raises(InvalidProof):
        validate(good, height=2)
    with pytest.raises(InvalidProof):
        validate(good, block_id=bytes(32))
    with pytest.raises(InvalidProof):
        validate_certificate(good, bytes(32), validators, height=1, block_id=block.block_id)


def test_the_header_binds_the_parents_certificate() -> None:
    chain = Chain()
    chain.grow()
    block = chain.build().candidate
    certificate = decode_certificate(block.body.last_commit)
    assert (certificate.height, certificate.block_id) == (1, chain.parent.block_id)
    other = replace(block.body, last_commit=block.body.last_commit[:-1])
    assert not body_matches(block.header, other, [])


def test_steps_yield_between_slices_and_come_to_the_same() -> None:
    chain = Chain()
    sent = [chain.transaction("P1", PAY, nonce=nonce) for nonce in range(10)]
    wanted = chain.build(sent).candidate
    for size in (1, 4, 100):
        building = BlockBuilding(
            chain.runtime,
            chain.parent,
            time_ms=wanted.header.time_ms,
            proposer=id_of("V1"),
            last_commit=b"",
            evidence=[],
            validators_at=chain.validators_at,
        )
        slices = sum(1 for _ in building.steps(sent, slice_size=size))
        assert slices >= 10 // size
        assert building.candidate is not None
        assert building.candidate.block_id == wanted.block_id


def test_genesis_is_known_by_its_content() -> None:
    document = genesis_document()
    backwards = dict(reversed(document.items()))
    assert genesis_hash(backwards) == genesis_hash(document)
    digests = {
        decode_genesis(genesis_bytes(**changes)).digest
        for changes in ({}, {"chain": "x"}, {"about": ""}, {"time_ms": 1}, {"modules": {"a": {}}})
    }
    assert len(digests) == 5


def test_block_0_holds_the_members_and_the_supply() -> None:
    chain = Chain()
    header = chain.first.header
    assert (header.height, header.parent, header.genesis) == (0, bytes(32), chain.genesis.digest)
    assert header.validators == header.next_validators
    assert unpack(chain.state.get(SUPPLY_KEY) or b"") == (1_500_500_000, 7_250_000)
    assert header.state_root == MemoryState(chain.entries).root
    with pytest.raises(InvalidGenesis, match="unknown modules"):
        Chain(modules={"nothing": {}})


NAMES = st.sampled_from(["P1", "P2", "V1", "Op"])
AMOUNTS = st.sampled_from([1, 7, 1_000_000, 10**9, 10**17]) | st.integers(1, 10**10)
CALLS = st.one_of(
    st.tuples(st.just("transfer"), NAMES, AMOUNTS),
    st.tuples(st.just("transfer_energy"), NAMES, AMOUNTS),
    st.tuples(st.just("mint"), NAMES, AMOUNTS),
    st.tuples(st.just("mint_energy"), NAMES, AMOUNTS),
    st.tuples(st.just("burn"), st.none(), AMOUNTS),
    st.tuples(st.just("burn_energy"), st.none(), AMOUNTS),
)
SENT = st.lists(st.tuples(NAMES, st.lists(CALLS, min_size=1, max_size=4)), max_size=12)


class Model:
    """The ledger in twenty lines: what accounts hold, and when a transaction fails."""

    def __init__(self, chain: Chain) -> None:
        self.money = {name: chain.account(name).money_micro for name in ("P1", "P2", "V1", "Op")}
        self.energy = {name: chain.account(name).energy_milli_wh for name in self.money}

    def run(self, sender: str, calls: list[tuple]) -> bool:
        money, energy = dict(self.money), dict(self.energy)
        for action, to, amount in calls:
            pot = energy if action.endswith("energy") else money
            if action.startswith("mint"):
                if sender != "Op":
                    return False
            elif pot[sender] < amount:
                return False
            else:
                pot[sender] -= amount
            if to is not None:
                pot[to] += amount
        self.money, self.energy = money, energy
        return True


@settings(max_examples=60)
@given(SENT)
def test_money_and_energy_are_conserved(sent: list[tuple[str, list[tuple]]]) -> None:
    chain = Chain()
    model = Model(chain)
    nonces = dict.fromkeys(model.money, 0)
    transactions, wanted = [], []
    for sender, calls in sent:
        made = [
            ("accounts", action, tuple(
                part for part in (id_of(to) if to else None, amount) if part is not None
            ) + (("",) if action == "transfer" else ()))
            for action, to, amount in calls
        ]  # fmt: skip
        transactions.append(chain.transaction(sender, *made, nonce=nonces[sender]))
        nonces[sender] += 1
        wanted.append(model.run(sender, calls))
    built = chain.grow(*transactions)
    assert built.dropped == []
    assert [not code for code in built.codes] == wanted
    for name in model.money:
        leaf = chain.account(name)
        assert (leaf.money_micro, leaf.energy_milli_wh) == (model.money[name], model.energy[name])
    leaves = [decode_account(value) for key, value in chain.entries.items() if key[:1] == b"a"]
    assert unpack(chain.state.get(SUPPLY_KEY) or b"") == (
        sum(leaf.money_micro + leaf.money_reserved_micro for leaf in leaves),
        sum(leaf.energy_milli_wh + leaf.energy_reserved_milli_wh for leaf in leaves),
    )


def test_a_block_that_could_not_be_read_back_is_refused() -> None:
    chain = Chain()
    chain.grow()
    good = chain.build(evidence=[double_vote(chain, 1)]).candidate
    for body in (
        replace(good.body, evidence=good.body.evidence * 17),
        replace(good.body, evidence=(bytes(1_025),)),
        replace(good.body, last_commit=bytes(32_769)),
    ):
        with pytest.raises(InvalidBlock, match=r"too much evidence|too long"):
            chain.check(good, body=body)


def test_slices_end_by_gas_too(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    sent = [chain.transaction("P1", PAY, nonce=nonce) for nonce in range(6)]
    wanted = chain.build(sent).candidate
    monkeypatch.setattr(chain_rules, "SLICE_GAS", 1)
    building = BlockBuilding(
        chain.runtime,
        chain.parent,
        time_ms=wanted.header.time_ms,
        proposer=id_of("V1"),
        last_commit=b"",
        evidence=[],
        validators_at=chain.validators_at,
    )
    assert sum(1 for _ in building.steps(sent, slice_size=1_000)) == len(sent) + 1
