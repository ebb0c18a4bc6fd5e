"""Inputs of the vectors for transactions, headers, bodies, votes, validators and receipts."""

from __future__ import annotations

from consensus.messages import CommitCertificate, Evidence, EvidenceKind, Proposal, Vote, VoteKind
from node.ledger.certificate import (
    encode_certificate,
    encode_evidence,
    encode_proposal,
    encode_vote,
)
from node.ledger.receipt import Receipt
from tests.ledger.support import PARAMETERS, Chain, certify, id_of, key_of, seed
from tests.vectors.kinds import Json
from tests.vectors.primitive_inputs import GROUP_ORDER, Inputs
from vm.parameters import ChainParameters
from vm.primitives.codec import Encodable, decode, encode, encode_trusted
from vm.primitives.hashing import TAG_TRANSACTION_SIGN, TAG_VOTE_SIGN, tagged_hash
from vm.primitives.signatures import sign
from vm.system.validators import VALIDATORS_KEY, encode_validators, read_validators


def array(data: bytes) -> list[Encodable]:
    """Return the items of an encoded array, ready to be changed."""
    value = decode(data, max_bytes=2**20)
    if not isinstance(value, tuple):
        raise LookupError("not an array")
    return list(value)


def changed(data: bytes, place: int, item: Encodable | float) -> bytes:
    """Return an encoded array with another item at `place`."""
    items: list[object] = list(array(data))
    items[place] = item
    return encode_trusted(items)


def array_changes(data: bytes) -> dict[str, bytes]:
    """Return ways in which any structure's bytes go wrong."""
    items = array(data)
    return {
        "another type": changed(data, 0, 99),
        "another version": changed(data, 1, 2),
        "version true": changed(data, 1, True),
        "version as a float": changed(data, 1, 1.0),
        "a field too few": encode(items[:-1]),
        "a field too many": encode([*items, 0]),
        "a byte too few": data[:-1],
        "a byte too many": data + b"\0",
        "nothing": b"",
        "not an array": encode(data),
        "type as uint8": data[:1] + b"\xcc" + data[1:],
    }


def _bad(good: dict[str, Json], changes: dict[str, bytes]) -> list[dict[str, Json]]:
    prefix = f"{good['form']}: " if "form" in good else ""
    return [good | {"name": prefix + what, "bytes": data.hex()} for what, data in changes.items()]


def _signed(place: int, item: Encodable | float, data: bytes) -> bytes:
    """Return a transaction with a field changed and signed anew."""
    items: list[object] = list(array(data))
    items[place] = item
    unsigned = encode_trusted(items[:-1])
    return encode_trusted(
        [*items[:-1], sign(seed("P1"), tagged_hash(TAG_TRANSACTION_SIGN, unsigned))]
    )


def transaction_inputs() -> Inputs:
    chain = Chain()
    transfer = ("accounts", "transfer", (id_of("P2"), 5, "memo"))
    calls = {
        "one call": (transfer,),
        "sixty-four calls": (transfer,) * 64,
        "unknown module": (("nobody", "knows", ()),),
        "arguments of every kind": (("m", "f", (None, True, -1, b"\0", "é", (1, ()), {1: "a"})),),
        "arguments eight arrays deep": (("m", "f", ((((((((),),),),),),),)),),
    }
    accepted: list[dict[str, Json]] = [
        {"name": what, "bytes": chain.transaction("P1", *one).raw.hex()}
        for what, one in calls.items()
    ]
    largest = 2**63 - 1
    accepted.append(
        {
            "name": "largest numbers",
            "bytes": chain.transaction(
                "P1", nonce=largest, gas_limit=largest, max_fee_micro=largest, expiry_height=largest
            ).raw.hex(),
        }
    )
    return accepted, _bad({}, _bad_transactions(chain.transaction("P1", transfer).raw))


def _bad_transactions(raw: bytes) -> dict[str, bytes]:
    """Return ways in which the bytes of a transaction go wrong."""
    transfer = ("accounts", "transfer", (id_of("P2"), 5, "memo"))
    signature = array(raw)[-1]
    if not isinstance(signature, bytes):
        raise LookupError("the signature is bytes")
    scalar = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    vote = Vote(VoteKind.PRECOMMIT, 1, 0, bytes(32), 0, bytes(64))
    deep: Encodable = ()
    for _ in range(12):
        deep = (deep,)
    return array_changes(raw) | {
        "genesis of 31 bytes": _signed(2, bytes(31), raw),
        "sender of 21 bytes": _signed(3, bytes(21), raw),
        "key as text": _signed(4, "k" * 32, raw),
        "nonce true": _signed(5, True, raw),
        "negative nonce": _signed(5, -1, raw),
        "nonce 2^63": _signed(5, 2**63, raw),
        "gas limit as a float": _signed(6, 1e6, raw),
        "negative gas limit": _signed(6, -1, raw),
        "maximum fee 2^63": _signed(7, 2**63, raw),
        "expiry of nothing": _signed(8, None, raw),
        "no call": _signed(9, (), raw),
        "sixty-five calls": _signed(9, (transfer,) * 65, raw),
        "a call of two items": _signed(9, (("accounts", "transfer"),), raw),
        "a method's name of 33 letters": _signed(9, (("m", "f" * 33, ()),), raw),
        "module as bytes": _signed(9, ((b"m", "f", ()),), raw),
        "arguments as a map": _signed(9, (("m", "f", {}),), raw),
        "a float among arguments": _signed(9, (("m", "f", (1.0,)),), raw),
        "arguments too deep": _signed(9, (("m", "f", (deep,)),), raw),
        "nonce after signing": changed(raw, 5, 1),
        "genesis after signing": changed(raw, 2, bytes(32)),
        "call after signing": changed(raw, 9, (("accounts", "burn", (5,)),)),
        "signature of zeros": changed(raw, 10, bytes(64)),
        "signature with S + L": changed(raw, 10, signature[:32] + scalar.to_bytes(32, "little")),
        "signature of 63 bytes": changed(raw, 10, bytes(63)),
        "signed as a vote": changed(
            raw, 10, sign(seed("P1"), tagged_hash(TAG_VOTE_SIGN, encode(array(raw)[:-1])))
        ),
        "key of small order": changed(raw, 4, b"\1" + bytes(31)),
        "a vote": encode_vote(vote),
        "more than 65,536 bytes": _signed(9, (("m", "f", (bytes(65_536),)),), raw),
    }


def header_inputs() -> Inputs:
    chain = Chain()
    block = chain.grow(chain.transaction("P1")).candidate
    accepted: list[dict[str, Json]] = [
        {"name": "block 0", "bytes": chain.first.header.encode().hex()},
        {"name": "block 1", "bytes": block.header.encode().hex()},
        {"name": "longest seal", "bytes": changed(block.header.encode(), 16, bytes(128)).hex()},
    ]
    data = block.header.encode()
    changes = array_changes(data)
    for place in (2, 5, 6, 7, 8, 9, 10, 11, 12, 13):
        changes[f"field {place} of 31 bytes"] = changed(data, place, bytes(31))
    for place in (3, 4, 14):
        changes[f"field {place} negative"] = changed(data, place, -1)
        changes[f"field {place} true"] = changed(data, place, True)
        changes[f"field {place} 2^63"] = changed(data, place, 2**63)
    changes["proposer of 32 bytes"] = changed(data, 15, bytes(32))
    changes["seal of 129 bytes"] = changed(data, 16, bytes(129))
    changes["seal as text"] = changed(data, 16, "")
    return accepted, _bad({}, changes)


def body_inputs() -> Inputs:
    chain = Chain()
    empty = chain.build().candidate.body.encode()
    chain.grow()
    full = chain.build([chain.transaction("P1"), chain.transaction("P2")]).candidate.body.encode()
    accepted = [{"name": "empty", "bytes": empty.hex()}, {"name": "two", "bytes": full.hex()}]
    changes = array_changes(full) | {
        "last commit of nothing": changed(full, 2, None),
        "evidence as a map": changed(full, 3, {}),
        "seventeen pieces of evidence": changed(full, 3, (b"",) * 17),
        "evidence of 1,025 bytes": changed(full, 3, (bytes(1_025),)),
        "a transaction as text": changed(full, 4, ("tx",)),
        "a transaction in an array": changed(full, 4, ((b"tx",),)),
        "transactions as bytes": changed(full, 4, b""),
    }
    return accepted, _bad({}, changes)


def vote_inputs() -> Inputs:
    chain = Chain()
    validators = read_validators(chain.state)
    names = {key_of(name, "vote"): name for name in ("V1", "V2", "V3", "V4")}
    order = [names[validator.vote_key] for validator in validators]
    shared: dict[str, Json] = {
        "genesis": chain.genesis.digest.hex(),
        "validators": encode_validators(validators).hex(),
    }
    block, other = b"\x11" * 32, b"\x22" * 32

    def vote(kind: VoteKind, block_id: bytes, place: int, round_: int = 0) -> Vote:
        bare = Vote(kind, 7, round_, block_id, place)
        return Vote(kind, 7, round_, block_id, place, chain.sign_message(bare, order[place]))

    def proposal(block_id: bytes, pol_round: int, round_: int) -> Proposal:
        bare = Proposal(7, round_, block_id, pol_round, 2)
        return Proposal(7, round_, block_id, pol_round, 2, chain.sign_message(bare, order[2]))

    one, nil = vote(VoteKind.PREVOTE, block, 0), vote(VoteKind.PRECOMMIT, b"", 3, 5)
    accepted: list[dict[str, Json]] = []
    refused: list[dict[str, Json]] = []
    for what, message in (("prevote", one), ("precommit for nil", nil)):
        accepted.append({"form": "vote", "name": what, "bytes": encode_vote(message).hex()})
    for what, made in (("proposal", proposal(block, -1, 0)), ("again", proposal(block, 1, 2))):
        accepted.append({"form": "proposal", "name": what, "bytes": encode_proposal(made).hex()})
    data, offer = encode_vote(one), encode_proposal(proposal(block, 1, 2))
    vote_changes = array_changes(data) | {
        "kind 3": changed(data, 2, 3),
        "kind true": changed(data, 2, True),
        "another kind than signed": changed(data, 2, 2),
        "another height than signed": changed(data, 3, 8),
        "negative height": changed(data, 3, -1),
        "round 2^31": changed(data, 4, 2**31),
        "block of 31 bytes": changed(data, 5, bytes(31)),
        "another validator": changed(data, 6, 1),
        "no such validator": changed(data, 6, 4),
        "validator 256": changed(data, 6, 256),
        "signature of 63 bytes": changed(data, 7, bytes(63)),
    }
    proposal_changes = array_changes(offer) | {
        "proof of lock from the same round": changed(offer, 5, 2),
        "proof of lock from round -2": changed(offer, 5, -2),
        "another proof of lock than signed": changed(offer, 5, 0),
        "for nil": changed(offer, 4, b""),
        "negative round": changed(offer, 3, -1),
    }
    refused += _bad({"form": "vote"}, vote_changes) + _bad({"form": "proposal"}, proposal_changes)
    good, bad = _certificates(chain, block)
    accepted, refused = accepted + good, refused + bad
    good, bad = _evidence(
        one, vote(VoteKind.PREVOTE, other, 0), proposal(block, -1, 0), proposal(other, -1, 0)
    )
    accepted, refused = accepted + good, refused + bad
    wrong = shared | {"genesis": "00" * 32}
    refused.append(wrong | {"form": "vote", "name": "of another network", "bytes": data.hex()})
    return [shared | case for case in accepted], [shared | case for case in refused]


def _certificates(chain: Chain, block: bytes) -> Inputs:
    validators = read_validators(chain.state)
    genesis = chain.genesis.digest
    good: dict[str, Json] = {"form": "certificate", "height": 7, "block_id": block.hex()}
    three = certify(genesis, 7, block, validators, [0, 1, 3])
    data = encode_certificate(three)
    accepted = [
        good
        | {
            "name": "all sign",
            "bytes": encode_certificate(certify(genesis, 7, block, validators)).hex(),
        },
        good | {"name": "three of four sign", "bytes": data.hex()},
    ]
    signers = three.signatures

    def with_signers(*chosen: tuple[int, bytes]) -> bytes:
        return encode_certificate(CommitCertificate(7, 0, block, chosen))

    changes = array_changes(data) | {
        "two of four sign": with_signers(*signers[:2]),
        "nobody signs": with_signers(),
        "a signer twice": with_signers(signers[0], signers[0], signers[1]),
        "signers descend": with_signers(*reversed(signers)),
        "a signer outside the set": with_signers(*signers[:2], (4, signers[2][1])),
        "a signature under another's place": with_signers(*signers[:2], (2, signers[2][1])),
        "a wrong signature beside three good": with_signers(
            signers[0], signers[1], (2, bytes(64)), signers[2]
        ),
        "a place of true": changed(data, 5, ((True, signers[0][1]), *signers[1:])),
        "a signature of 63 bytes": with_signers((0, bytes(63)), *signers[1:]),
        "another round than signed": changed(data, 3, 1),
        "height true": changed(data, 2, True),
    }
    refused = _bad(good, changes)
    refused.append(good | {"name": "of another height", "height": 8, "bytes": data.hex()})
    refused.append(good | {"name": "of another block", "block_id": "22" * 32, "bytes": data.hex()})
    return accepted, refused


def _evidence(one: Vote, two: Vote, first: Proposal, second: Proposal) -> Inputs:
    votes = encode_evidence(Evidence(EvidenceKind.DOUBLE_PREVOTE, one, two))
    proposals = encode_evidence(Evidence(EvidenceKind.DOUBLE_PROPOSAL, first, second))
    form: dict[str, Json] = {"form": "evidence"}
    accepted = [
        form | {"name": "two prevotes", "bytes": votes.hex()},
        form | {"name": "two proposals", "bytes": proposals.hex()},
    ]
    low, high = array(votes)[3:]
    later = Vote(two.kind, two.height + 1, 0, two.block_id, 0, two.signature)
    elsewhere = Vote(two.kind, two.height, 0, two.block_id, 1, two.signature)
    changes = array_changes(votes) | {
        "the same vote twice": encode([9, 1, 1, low, low]),
        "in descending order": encode([9, 1, 1, high, low]),
        "named a double precommit": changed(votes, 2, 2),
        "named a double proposal": changed(votes, 2, 3),
        "kind 4": changed(votes, 2, 4),
        "kind true": changed(votes, 2, True),
        "votes of two heights": encode_evidence(Evidence(EvidenceKind.DOUBLE_PREVOTE, one, later)),
        "votes of two validators": encode_evidence(
            Evidence(EvidenceKind.DOUBLE_PREVOTE, one, elsewhere)
        ),
        "a vote that nobody signed": encode_evidence(
            Evidence(
                EvidenceKind.DOUBLE_PREVOTE,
                one,
                Vote(two.kind, two.height, 0, two.block_id, 0, bytes(64)),
            )
        ),
        "a vote's bytes with a tail": encode([9, 1, 1, low, bytes(high) + b"\0"]),
    }
    return accepted, _bad(form, changes)


def validator_inputs() -> Inputs:
    chain = Chain()
    data = chain.state.get(VALIDATORS_KEY) or b""
    entries = array(data)[2]
    if not isinstance(entries, tuple):
        raise LookupError("validators are an array")
    first = entries[0]
    accepted = [
        {"name": "four", "bytes": data.hex()},
        {"name": "one", "bytes": changed(data, 2, entries[:1]).hex()},
    ]
    key, power, account = first
    many = tuple((bytes(32), 1, number.to_bytes(20, "big")) for number in range(257))
    changes = array_changes(data) | {
        "none": changed(data, 2, ()),
        "257": changed(data, 2, many),
        "descending": changed(data, 2, entries[::-1]),
        "one twice": changed(data, 2, (first, first)),
        "power 0": changed(data, 2, ((key, 0, account),)),
        "power true": changed(data, 2, ((key, True, account),)),
        "power 2^53": changed(data, 2, ((key, 2**53, account),)),
        "key of 31 bytes": changed(data, 2, ((bytes(31), power, account),)),
        "account of 21 bytes": changed(data, 2, ((key, power, bytes(21)),)),
        "a validator of two items": changed(data, 2, ((key, power),)),
    }
    return accepted, _bad({}, changes)


def parameter_inputs() -> Inputs:
    data = ChainParameters(**PARAMETERS).encode()
    accepted = [
        {"name": "as given", "bytes": data.hex()},
        {"name": "where genesis is silent", "bytes": ChainParameters().encode().hex()},
        {"name": "gas at 1", "bytes": ChainParameters(gas_price_micro=1).encode().hex()},
    ]
    changes = array_changes(data) | {
        "no gas in a block": changed(data, 3, 0),
        "a transaction longer than a block": changed(data, 4, 16_383),
        "a transaction with more gas than a block": changed(data, 3, 19_999_999),
        "blocks that no body holds": changed(data, 4, 8_000_001),
        "a threshold of 0": changed(data, 12, 0),
        "no gas for what is due": changed(data, 11, 0),
        "a negative gas price": changed(data, 2, -1),
        "a gas price of true": changed(data, 2, True),
        "a gas price of 2^53": changed(data, 2, 2**53),
    }
    return accepted, _bad({}, changes)


def receipt_inputs() -> Inputs:
    event = ("accounts", "transfer", (b"\1" * 20, 5, "memo"))
    good = Receipt(b"\1" * 32, "", 1_500, 7, (event,), (None, (1, "a")))
    failed = Receipt(b"\1" * 32, "insufficient_money", 1_500, 7, (), ("not enough",))
    due = Receipt(b"", "out_of_gas", 2_000_000, 0, (), ())
    accepted = [
        {"name": name, "bytes": receipt.encode().hex()}
        for name, receipt in (("success", good), ("failure", failed), ("due item", due))
    ]
    data = good.encode()
    changes = array_changes(data) | {
        "id of 31 bytes": changed(data, 2, bytes(31)),
        "code as bytes": changed(data, 3, b""),
        "negative gas": changed(data, 4, -1),
        "gas true": changed(data, 4, True),
        "negative fee": changed(data, 5, -1),
        "an event of two items": changed(data, 6, (("accounts", "transfer"),)),
        "an event's name as bytes": changed(data, 6, (("accounts", b"transfer", ()),)),
        "events as a map": changed(data, 6, {}),
        "values as bytes": changed(data, 7, b""),
    }
    return accepted, _bad({}, changes)
