"""Full nodes that lie to a light node: refused, dropped, and the light node goes on with others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from consensus.messages import CommitCertificate, Vote, VoteKind
from node.api.chain_reader import ChainReader
from node.chain import Chain
from node.ledger.block import Header, decode_header
from node.ledger.certificate import decode_certificate, encode_certificate, message_digest
from node.ledger.proof_paths import TrustedBlock
from node.ledger.proofs import Finality, decode_account_proof
from node.ledger.receipt import decode_receipt
from node.ledger.transaction import decode_transaction
from node.light.peers import NobodyAnswered
from node.light_wire import ANSWER, ASK, GET_HEADERS, Reply, decode_question, encode_reply
from node.proving import prove_key, prove_transaction, read_finality
from node.wire import HEIGHT, encode_height
from tests.node.light.support import (
    FOUR,
    FalseNode,
    false_node,
    in_network,
    light_node,
    until_followed,
)
from tests.node.network import Network, account_of, advance, seed, vote_key
from vm.primitives.signatures import sign
from vm.system.accounts import account_key
from vm.system.validators import Validator, decode_validators, encode_validators

pytestmark = pytest.mark.network

Entries = list[Finality]
SEEDS = {vote_key(name): seed(f"vote {name}") for name in FOUR}


def signed(
    header: Header, validators: Sequence[Validator], places: Sequence[int], rounds: Sequence[int]
) -> Finality:
    """Return a header certified by validators, each in a round of its own; the first is named."""
    signatures = []
    for place, round_ in zip(places, rounds, strict=True):
        vote = Vote(VoteKind.PRECOMMIT, header.height, round_, header.block_id(), place)
        secret = SEEDS.get(validators[place].vote_key, seed("stranger"))
        signatures.append((place, sign(secret, message_digest(header.genesis, vote))))
    found = CommitCertificate(header.height, rounds[0], header.block_id(), tuple(signatures))
    return Finality(header.encode(), encode_certificate(found), encode_validators(validators))


def last_signed(places: Sequence[int], rounds: Sequence[int]) -> Callable[[Entries, int], Entries]:
    """Certify the last header anew."""

    def change(entries: Entries, first: int) -> Entries:
        last = entries[-1]
        validators = decode_validators(last.validators)
        return [*entries[:-1], signed(decode_header(last.header), validators, places, rounds)]

    return change


def own_validators(entries: Entries, first: int) -> Entries:
    """Have strangers sign a header that names them."""
    header = decode_header(entries[-1].header)
    strangers = [Validator(vote_key("nobody"), 1, account_of(name)) for name in FOUR]
    strangers.sort(key=lambda validator: validator.account)
    return [*entries[:-1], signed(header, strangers, (0, 1, 2, 3), (0, 0, 0, 0))]


def forged_chain(entries: Entries, first: int) -> Entries:
    """Change a header in the middle: the next one's parent is another."""
    header = decode_header(entries[1].header)
    forged = replace(header, state_root=bytes(32)).encode()
    return [entries[0], Finality(forged, b"", b""), *entries[2:]]


def unproved_change(entries: Entries, first: int) -> Entries:
    """Name other validators in a header that only they sign for."""
    header = decode_header(entries[0].header)
    taken = replace(header, next_validators=bytes(32))
    return [Finality(taken.encode(), b"", b""), *entries[1:]]


HEADER_LIES: dict[str, Callable[[Entries, int], Entries]] = {
    "a forged signature": lambda entries, _: [
        *entries[:-1],
        replace(entries[-1], certificate=_forged(entries[-1].certificate)),
    ],
    "one signer twice": lambda entries, _: [
        *entries[:-1],
        replace(entries[-1], certificate=_twice(entries[-1].certificate)),
    ],
    "mixed rounds": last_signed((0, 1, 2), (0, 0, 1)),
    "half of them": last_signed((0, 1), (0, 0)),
    "validators of its own": own_validators,
    "another chain of headers": forged_chain,
    "a change that nobody signed": unproved_change,
    "no certificate": lambda entries, _: [*entries[:-1], Finality(entries[-1].header, b"", b"")],
    "other heights": lambda entries, _: entries[1:],
}


def _forged(data: bytes) -> bytes:
    found = decode_certificate(data)
    (place, signature), *others = found.signatures
    signatures = ((place, signature[:-1] + bytes([signature[-1] ^ 1])), *others)
    return encode_certificate(replace(found, signatures=signatures))


def _twice(data: bytes) -> bytes:
    found = decode_certificate(data)
    first, second, *_ = found.signatures
    return encode_certificate(replace(found, signatures=(first, second, second)))


@pytest.mark.parametrize("lie", HEADER_LIES)
def test_headers_that_do_not_hold_are_refused(tmp_path: Path, lie: str) -> None:
    async def scenario(net: Network) -> None:
        async with false_node(net) as liar:
            liar.give_headers(HEADER_LIES[lie])
            async with light_node(net, [liar.address]) as node:
                await net.until(lambda: liar.ended, what="the drop")
                assert node.headers.height < net.nodes["V0"].chain.height
                node.service.configure_peers([net.address_of("V1")])
                await until_followed(net, node)

    in_network(tmp_path, scenario)


def test_exactly_two_thirds_and_validators_of_the_last_epoch(tmp_path: Path) -> None:
    """With V3 gone, two of three are two thirds; those before decide nothing any more."""

    async def scenario(net: Network) -> None:
        await net.stop("V3")
        chain = net.nodes["V0"].chain
        before = chain.validators
        suspend = net.next("V0", ("members", "suspend", (account_of("V3"),)))
        await net.accept("V0", suspend)
        await net.until_final(suspend)
        await advance(net)
        height = chain.height
        for places, validators in (((0, 1), chain.validators), ((0, 1, 2, 3), before)):

            def lie(entries: Entries, first: int) -> Entries:
                header = decode_header(entries[-1].header)
                rounds = [0] * len(places)  # noqa: B023
                return [*entries[:-1], signed(header, validators, places, rounds)]  # noqa: B023

            async with false_node(net) as liar:
                liar.give_headers(lie)
                async with light_node(net, [liar.address]) as node:
                    await net.until(lambda: liar.ended, what="the drop")
                    assert node.headers.height < height
        async with light_node(net, [net.address_of("V0")]) as node:
            await until_followed(net, node)
            assert len(node.headers.epochs) == 2

    in_network(tmp_path, scenario)


@pytest.mark.parametrize("is_silent", [True, False])
def test_one_that_withholds_headers_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_silent: bool
) -> None:
    monkeypatch.setattr("node.light.peers.ANSWER_DEADLINE_S", 0.5)

    async def scenario(net: Network) -> None:
        async with false_node(net) as silent:
            if not is_silent:
                silent.give_headers(lambda entries, first: [])
            peers = [silent.address, net.address_of("V0")]
            async with light_node(net, peers) as node:
                await until_followed(net, node)
                await advance(net)
                await until_followed(net, node)
                assert not silent.ended  # silence is no lie

    in_network(tmp_path, scenario)


def test_a_trusted_block_is_not_replaced(tmp_path: Path) -> None:
    async def scenario(net: Network) -> None:
        head = net.nodes["V0"].chain.store.head(2)
        assert head is not None
        trust = TrustedBlock(2, head.header.block_id())
        async with false_node(net) as liar:
            liar.give_headers(lambda entries, first: entries[first == 2 :])
            async with light_node(net, [liar.address], trust=trust) as node:
                await net.until(lambda: liar.ended, what="the drop")
                assert node.headers.head is None
                node.service.configure_peers([net.address_of("V1")])
                await until_followed(net, node)
        wrong = TrustedBlock(2, bytes(32))
        async with light_node(net, [net.address_of("V1")], name="F", trust=wrong) as node:
            await net.until(lambda: node.full_nodes.ranked() == [] and node.headers.height == 1)

    in_network(tmp_path, scenario)


def _answer_with(liar: FalseNode, chain: Chain, make: Callable[[bytes, Finality], bytes]) -> None:
    """Have the liar answer questions with what `make` gives, of the key and the head's finality."""

    def answer(key: bytes, payload: bytes) -> None:
        question = decode_question(payload)
        finality = read_finality(chain.store, chain.height)
        assert finality is not None
        data = make(question.argument, finality)
        liar.service.send(key, ANSWER, encode_reply(Reply(question.number, "", "", data)))

    liar.answers[ASK] = answer
    liar.give_headers(lambda entries, first: entries)


@pytest.mark.parametrize(
    "lie",
    ["value", "absence", "another key", "header", "junk", "nothing", "transaction", "receipt"],
)
def test_proofs_that_do_not_hold_are_refused(tmp_path: Path, lie: str) -> None:
    async def scenario(net: Network) -> None:
        chain = net.nodes["V0"].chain
        key = account_key(account_of("m1"))

        def make(asked: bytes, finality: Finality) -> bytes:
            if lie in ("transaction", "receipt"):
                block = net.nodes["V0"].chain.store.find_transaction(first_id)
                assert block is not None
                stored = ChainReader(chain.store).block(block[0])
                found = read_finality(chain.store, block[0])
                assert found is not None
                proved = prove_transaction(stored, found, block[1])
                if lie == "receipt":
                    receipt = replace(decode_receipt(proved.receipt), gas_used=1)
                    proved = replace(proved, receipt=receipt.encode())
                return proved.encode()
            if lie in ("junk", "nothing"):
                return b"junk" if lie == "junk" else b""
            other = account_key(account_of("m2"))
            proof = prove_key(chain.store, finality, other if lie == "another key" else asked)
            if lie == "value":
                proof = replace(proof, value=(proof.value or b"")[:-1] + b"\x07")
            elif lie == "absence":
                proof = replace(proof, value=None)
            elif lie == "header":
                header = replace(decode_header(finality.header), state_root=bytes(32))
                proof = replace(proof, finality=replace(finality, header=header.encode()))
            return proof.encode()

        body = chain.store.body(1)
        assert body is not None
        first_id = decode_transaction(body.transactions[0]).id
        async with false_node(net, height=chain.height) as liar:
            _answer_with(liar, chain, make)
            async with light_node(net, [liar.address]) as node:
                await net.until(lambda: node.headers.height == chain.height)
                node.service.configure_peers([net.address_of("V1")])
                await net.until(lambda: len(node.full_nodes.connected()) == 2)
                liar_key = liar.identity.node_key
                while liar_key in node.full_nodes.connected():
                    if lie == "transaction":
                        assert await node.find_transaction(bytes(32)) is None
                    elif lie == "receipt":
                        final = await node.find_transaction(first_id)
                        assert final is not None and final.receipt.gas_used > 1
                    else:
                        assert (await node.prove(key)).value == chain.store.get(key)
                    # It is asked as long as it is there: make it the first.
                    for peer in node.full_nodes.connected():
                        node.full_nodes._record(peer).failures = int(peer != liar_key)
                assert liar.ended
                assert (await node.prove(key)).value == chain.store.get(key)

    in_network(tmp_path, scenario)


def test_an_old_state_is_not_taken_for_the_present(tmp_path: Path) -> None:
    """A node that shows what was true twenty blocks ago is asked no further."""

    async def scenario(net: Network) -> None:
        chain = net.nodes["V0"].chain
        key = account_key(account_of("m1"))
        finality = read_finality(chain.store, chain.height)
        assert finality is not None
        old = prove_key(chain.store, finality, key)
        assert decode_account_proof(old.encode()) == old
        for _ in range(20):
            await advance(net)
        async with false_node(net, height=chain.height) as liar:
            _answer_with(liar, chain, lambda asked, finality: old.encode())
            async with light_node(net, [liar.address]) as node:
                await net.until(lambda: node.headers.height == chain.height)
                with pytest.raises(NobodyAnswered, match="old state"):
                    await node.prove(key)
                node.service.configure_peers([net.address_of("V1")])
                await net.until(lambda: len(node.full_nodes.connected()) == 2)
                assert (await node.prove(key)).value == chain.store.get(key)

    in_network(tmp_path, scenario)


def test_a_claim_of_a_billion_blocks_costs_nothing(tmp_path: Path) -> None:
    async def scenario(net: Network) -> None:
        async with false_node(net, height=10**9) as liar:
            liar.give_headers(lambda entries, first: entries)
            async with light_node(net, [liar.address, net.address_of("V0")]) as node:
                await until_followed(net, node)
                liar.service.broadcast(HEIGHT, encode_height(10**9))
                await advance(net)
                await until_followed(net, node)
                # Asked for more than there is, it has nothing, and is passed over for a while.
                assert liar.asked.count(GET_HEADERS) <= 3

    in_network(tmp_path, scenario)
