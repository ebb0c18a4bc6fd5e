"""Members that lie: whatever they send, honest nodes go on, with bounded work and memory."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from consensus.messages import (
    NIL,
    NO_ROUND,
    CommitCertificate,
    Evidence,
    EvidenceKind,
    Proposal,
    Status,
    Vote,
    VoteKind,
)
from node import inbox
from node.block_pool import MAX_UNASKED, MAX_UNASKED_PER_SOURCE, MIN_TRANSACTION_BYTES
from node.ledger.block import hash_or_empty
from node.ledger.certificate import (
    decode_proposal,
    encode_certificate,
    encode_evidence,
    encode_proposal,
    encode_vote,
    message_digest,
)
from node.snapshot.wire import CHANGES, GET_SNAPSHOTS, HEADER, SNAPSHOT_KINDS, SNAPSHOTS
from node.wire import (
    ANNOUNCE,
    BLOCK,
    BLOCKS,
    CERTIFICATE,
    EVIDENCE,
    GET_BLOCK,
    GET_BLOCKS,
    GET_TRANSACTIONS,
    KINDS,
    PROPOSAL,
    STATUS,
    TRANSACTIONS,
    VOTE,
    CompactBlock,
    decode_compact_block,
    encode_compact_block,
    encode_range,
    encode_status,
    encode_transactions,
)
from tests.node.network import (
    Liar,
    Network,
    account_of,
    advance,
    blocks_of,
    liar,
    make_transaction,
    network,
    seed,
)
from vm.primitives.hashing import TAG_CERTIFICATE
from vm.primitives.merkle import merkle_root
from vm.primitives.signatures import sign

pytestmark = pytest.mark.network

ANSWERS = (SNAPSHOTS, CHANGES, HEADER)
FOUR = ("V0", "V1", "V2", "V3")
THREE = ("V0", "V1", "V2")


def signed_vote(net: Network, name: str, height: int, block_id: bytes, kind: int = 1) -> Vote:
    node = next(iter(net.nodes.values()))
    accounts = [validator.account for validator in node.chain.validators]
    vote = Vote(VoteKind(kind), height, 0, block_id, accounts.index(account_of(name)))
    signature = sign(seed(f"vote {name}"), message_digest(net.genesis.digest, vote))
    return replace(vote, signature=signature)


def double_vote(net: Network, name: str, height: int) -> bytes:
    first = signed_vote(net, name, height, b"a" * 32)
    second = signed_vote(net, name, height, b"b" * 32)
    return encode_evidence(Evidence(EvidenceKind.DOUBLE_PREVOTE, first, second))


def junk_block(net: Network, number: int, *, ids: tuple[bytes, ...] = ()) -> CompactBlock:
    """Return a block that nobody proposed, its parts and its header agreeing."""
    chain = net.nodes["V0"].chain
    header = replace(
        chain.header,
        height=chain.height + 1,
        time_ms=chain.header.time_ms + 1 + number,
        parent=chain.block_id,
        last_commit=hash_or_empty(TAG_CERTIFICATE, b""),
        evidence_root=merkle_root(()),
        transactions_root=merkle_root(ids),
    )
    return CompactBlock(header, b"", (), ids)


def test_malformed_payloads_of_every_kind_end_the_connection(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, "V0", followers=("L",)) as net:
            junk = [b"\xff" * 8 + b"\0", os.urandom(48), b"\xc1", b"\x90", b""]
            for kind in (*KINDS, *SNAPSHOT_KINDS):
                if kind.number in (GET_BLOCK, BLOCKS, *ANSWERS):
                    continue  # any bytes name a block that is not here; answers nobody asked for
                for payload in junk:
                    if kind.number in (ANNOUNCE, GET_TRANSACTIONS) and len(payload) % 32 == 0:
                        continue  # no ids
                    if kind.number == GET_SNAPSHOTS and not payload:
                        continue  # that is the request
                    if kind.number == TRANSACTIONS and payload == b"\x90":
                        continue  # no transactions
                    net.nodes["V0"]._peers._banned_until_s.clear()
                    async with liar(net, "L", "V0") as peer:
                        assert peer.send("V0", kind.number, payload)
                        await peer.until_dropped_by("V0")
            net.nodes["V0"]._peers._banned_until_s.clear()
            async with liar(net, "L", "V0") as peer:
                for kind_number in (GET_BLOCK, BLOCKS):
                    peer.send("V0", kind_number, b"\xff")
                await advance(net)
                assert peer.is_known_to("V0")

    asyncio.run(scenario())


def test_junk_blocks_neither_fill_the_pool_nor_stop_the_chain(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR, followers=("L", "K")) as net:
            async with liar(net, "L", *FOUR) as one, liar(net, "K", *FOUR) as other:
                for number in range(400):
                    block = junk_block(net, number, ids=(os.urandom(32),) if number % 2 else ())
                    for name in FOUR:
                        (one if number % 3 else other).send(
                            name, BLOCK, encode_compact_block(block)
                        )
                pool = net.nodes["V0"]._pool
                await net.until(lambda: len(pool._unasked) >= MAX_UNASKED_PER_SOURCE)
                for _ in range(5):
                    await advance(net, "V1")
                for node in net.nodes.values():
                    blocks = len(node._pool._complete) + len(node._pool._partial)
                    assert blocks <= MAX_UNASKED + 4
                assert sum(1 for block in pool._unasked.values() if block == one.key) <= 4
            await advance(net)
            await advance(net)
            # What the junk asked for is forgotten with it.
            assert not pool._requested

    asyncio.run(scenario())


def test_a_block_of_other_parts_or_heights_or_too_many_ids_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, "V0", followers=("L",)) as net:
            good = junk_block(net, 1, ids=(b"t" * 32,))
            crowd = tuple(number.to_bytes(32, "big") for number in range(20_000))
            for wrong in (
                replace(good, ids=(b"u" * 32,)),
                replace(good, last_commit=b"x"),
                replace(good, evidence=(b"x",)),
                junk_block(net, 2, ids=(b"t" * 32,) * 2),
                junk_block(net, 3, ids=crowd),
            ):
                net.nodes["V0"]._peers._banned_until_s.clear()
                async with liar(net, "L", "V0") as peer:
                    peer.send("V0", BLOCK, encode_compact_block(wrong))
                    await peer.until_dropped_by("V0")
            net.nodes["V0"]._peers._banned_until_s.clear()
            async with liar(net, "L", "V0") as peer:
                for height in (0, 9, 2**62):
                    far = replace(good, header=replace(good.header, height=height))
                    peer.send("V0", BLOCK, encode_compact_block(far))
                await advance(net)
                assert peer.is_known_to("V0")
                assert not net.nodes["V0"]._pool._partial

    asyncio.run(scenario())


def test_a_validator_proposes_what_nobody_can_complete(tmp_path: Path) -> None:
    """A block that names as many unknown transactions as fit: asked for, given up, outvoted."""

    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            await net.until_equal()
            await net.stop("V3")
            node = net.nodes["V0"]
            accounts = [validator.account for validator in node.chain.validators]
            place = accounts.index(account_of("V3"))
            for _ in range(8):  # until it is the liar's turn
                if (node.chain.height + 1) % 4 == place:
                    break
                await advance(net)
            async with liar(net, "V3", *THREE) as peer:
                most = node.chain.parameters.max_block_bytes // MIN_TRANSACTION_BYTES
                ids = tuple(number.to_bytes(32, "big") for number in range(most))
                block = junk_block(net, 1, ids=ids)
                height = node.chain.height + 1
                proposal = Proposal(height, 0, block.header.block_id(), NO_ROUND, place)
                digest = message_digest(net.genesis.digest, proposal)
                proposal = replace(proposal, signature=sign(seed("vote V3"), digest))
                for name in THREE:
                    peer.send(name, PROPOSAL, encode_proposal(proposal))
                    peer.send(name, BLOCK, encode_compact_block(block))
                await advance(net)
                assert node.chain.height == height
                asked = [kind for _, kind, _ in peer.heard if kind == GET_TRANSACTIONS]
                assert asked, peer.ended

    asyncio.run(scenario())


def test_wrong_signatures_are_few_and_then_the_liar_is_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR, followers=("L",)) as net:
            await advance(net)
            height = net.nodes["V0"].chain.height + 1
            async with liar(net, "L", *FOUR) as peer:
                for number in range(200):
                    vote = Vote(VoteKind.PREVOTE, height, 0, NIL, number % 5, os.urandom(64))
                    peer.send("V0", VOTE, encode_vote(vote))
                await peer.until_dropped_by("V0")
                assert net.nodes["V0"].metrics()["messages_refused_total"] <= 25
                # Far heights and strange indices are passed over.
                for far in (0, height + 5, 2**62):
                    vote = Vote(VoteKind.PREVOTE, far, 0, NIL, 255, bytes(64))
                    peer.send("V1", VOTE, encode_vote(vote))
                await advance(net)
                assert peer.is_known_to("V1")

    asyncio.run(scenario())


def test_a_good_vote_repeated_is_verified_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR, followers=("L",)) as net:
            await advance(net)
            height = await net.until_equal() + 1
            vote = encode_vote(signed_vote(net, "V3", height + 1, b"a" * 32))
            checks = []
            real = inbox.verify_message
            monkeypatch.setattr(
                "node.inbox.verify_message", lambda *args: checks.append(1) or real(*args)
            )
            async with liar(net, "L", "V0") as peer:
                for _ in range(500):
                    peer.send("V0", VOTE, vote)
                await net.until(lambda: checks)
                await advance(net)
                assert len(checks) < 40 + 500 // 10

    asyncio.run(scenario())


def test_bad_transactions_get_the_peer_banned(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR, followers=("L",)) as net:
            good = make_transaction(net.genesis, "m7", 0)
            bad = good.raw[:-64] + os.urandom(64)
            async with liar(net, "L", "V0") as peer:
                peer.send("V0", TRANSACTIONS, encode_transactions([good.raw, bad]))
                await peer.until_dropped_by("V0")
                await net.until_final(good)  # the good one beside it is not lost
                assert not peer.is_known_to("V0")
            await advance(net)

    asyncio.run(scenario())


def test_evidence_forged_repeated_early_or_counted_costs_nothing(tmp_path: Path) -> None:
    """Threat 13; and evidence that can stand in no block is no reason for blocks."""

    async def scenario() -> None:
        async with network(tmp_path, *FOUR, followers=("L",)) as net:
            await advance(net)
            height = await net.until_equal()
            real = double_vote(net, "V3", 1)
            async with liar(net, "L", *FOUR) as peer:
                for _ in range(50):
                    for name in FOUR:
                        peer.send(name, EVIDENCE, real)
                early = double_vote(net, "V3", height + 1)
                far = double_vote(net, "V3", height + 1_000)
                for data in (early, far):
                    peer.send("V0", EVIDENCE, data)
                await net.until(lambda: net.nodes["V0"].chain.height > height)
                await advance(net)
                # Another pair of the same contradiction does not count again.
                one = signed_vote(net, "V3", 1, b"a" * 32)
                two = signed_vote(net, "V3", 1, b"c" * 32)
                again = encode_evidence(Evidence(EvidenceKind.DOUBLE_PREVOTE, one, two))
                for name in FOUR:
                    peer.send(name, EVIDENCE, real)
                    peer.send(name, EVIDENCE, again)
                await net.until_equal()
                await asyncio.sleep(0.3)
                before = net.nodes["V0"].chain.height
                await asyncio.sleep(0.7)
                assert net.nodes["V0"].chain.height <= before + 1
                found = [
                    data
                    for number, _ in blocks_of(net.nodes["V0"])
                    for data in net.nodes["V0"].store.body(number).evidence  # type: ignore[union-attr]
                ]
                assert found == [real]
                vote = signed_vote(net, "V3", 1, b"a" * 32)
                forged = Evidence(
                    EvidenceKind.DOUBLE_PREVOTE,
                    vote,
                    replace(vote, block_id=b"z" * 32, signature=bytes(64)),
                )
                peer.send("V0", EVIDENCE, encode_evidence(forged))
                await peer.until_dropped_by("V0")
            await advance(net)

    asyncio.run(scenario())


def test_floods_of_requests_get_bounded_answers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR, followers=("L",)) as net:
            for _ in range(3):
                await advance(net)
            block_id = net.nodes["V0"].chain.block_id
            junk = os.urandom(32 * 10_000)
            async with liar(net, "L", "V0") as peer:
                for _ in range(2_000):
                    peer.send("V0", GET_BLOCKS, encode_range(1, 64))
                    peer.send("V0", GET_BLOCK, block_id)
                for _ in range(20):
                    peer.send("V0", GET_TRANSACTIONS, junk)
                    peer.send("V0", ANNOUNCE, junk)
                for _ in range(500):
                    peer.send("V0", STATUS, encode_status(Status(1, 0)))
                began = asyncio.get_running_loop().time()
                await advance(net)
                assert asyncio.get_running_loop().time() - began < 5
                answers = [kind for _, kind, _ in peer.heard if kind in (BLOCKS, BLOCK)]
                asked = [kind for _, kind, _ in peer.heard if kind == GET_TRANSACTIONS]
                assert len(answers) < 900
                assert len(asked) <= 4

    asyncio.run(scenario())


def test_what_is_not_here_is_looked_for_a_bounded_number_of_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_MISSES", 50)

    async def scenario() -> None:
        async with network(tmp_path, "V0", followers=("L",)) as net:
            node = net.nodes["V0"]
            looked: list[bytes] = []
            node._pool.find_transaction = looked.append  # type: ignore[method-assign, assignment]
            charged: list[int] = []
            monkeypatch.setattr(node._inbox._guard, "served", lambda _, size: charged.append(size))
            async with liar(net, "L", "V0") as peer:
                junk = os.urandom(32 * 10_000)
                peer.send("V0", GET_TRANSACTIONS, junk)
                await net.until(lambda: looked)
                assert len(looked) <= 51
                assert charged == [len(junk)]
                peer.send("V0", GET_TRANSACTIONS, os.urandom(32 * 20_000))
                await peer.until_dropped_by("V0")

    asyncio.run(scenario())


def test_a_block_goes_on_to_others_once_a_validator_proposed_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            network(tmp_path, *FOUR, followers=("L", "K")) as net,
            liar(net, "L", *FOUR) as one,
            liar(net, "K", *FOUR) as other,
        ):
            pool = net.nodes["V0"]._pool
            for number in range(3):
                junk = encode_compact_block(junk_block(net, number))
                for name in FOUR:
                    one.send(name, BLOCK, junk)
            await net.until(lambda: len(pool._unasked) == 3)
            assert not [kind for _, kind, _ in other.heard if kind == BLOCK]
            await advance(net)
            await advance(net)
            told = {payload for _, kind, payload in other.heard if kind == BLOCK}
            proposed = {
                decode_proposal(payload).block_id
                for _, kind, payload in other.heard
                if kind == PROPOSAL
            }
            assert {decode_compact_block(item).header.block_id() for item in told} == proposed
            sources = {key for key, kind, _ in other.heard if kind == BLOCK}
            assert len(sources) == 4  # also of those who had it before its proposal

    asyncio.run(scenario())


def test_a_status_of_who_is_no_validator_begins_no_height(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR, followers=("L",)) as net:
            await advance(net)
            height = await net.until_equal()
            async with liar(net, "L", *FOUR) as peer:
                for _ in range(20):
                    for name in FOUR:
                        peer.send(name, STATUS, encode_status(Status(height + 1, 0)))
                await asyncio.sleep(0.5)
                assert net.nodes["V0"].chain.height == height
                assert peer.is_known_to("V0")

    asyncio.run(scenario())


def test_a_huge_announcement_ends_the_connection(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, "V0", followers=("L",)) as net:
            async with liar(net, "L", "V0") as peer:
                peer.send("V0", ANNOUNCE, os.urandom(32 * 16_385))
                await peer.until_dropped_by("V0")
            await advance(net)

    asyncio.run(scenario())


def test_false_certificates_end_the_connection(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, "V0", followers=("L",)) as net:
            async with liar(net, "L", "V0") as peer:
                height = net.nodes["V0"].chain.height + 1
                false = CommitCertificate(height, 0, b"x" * 32, ((0, bytes(64)),))
                peer.send("V0", CERTIFICATE, encode_certificate(false))
                await peer.until_dropped_by("V0")
            await advance(net)

    asyncio.run(scenario())


def test_a_validator_that_votes_twice_is_reported_on_chain(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            await advance(net)
            await net.stop("V3")
            height = await net.until_equal()
            async with liar(net, "V3", *THREE) as peer:
                for block_id in (b"a" * 32, b"b" * 32):
                    vote = encode_vote(signed_vote(net, "V3", height + 1, block_id))
                    for name in THREE:
                        peer.send(name, VOTE, vote)
                await net.until_height(height + 1)
                await advance(net)
                await net.until(
                    lambda: any(
                        net.nodes["V0"].store.body(number).evidence  # type: ignore[union-attr]
                        for number, _ in blocks_of(net.nodes["V0"])
                    )
                )

    asyncio.run(scenario())


def test_nobody_but_members_gets_in(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, "V0") as net:
            peer = Liar(net, "stranger")
            with pytest.raises(AssertionError, match="not within"):
                await peer.dial("V0", deadline_s=1.0)
            await peer.stop()
            assert not peer.connected
            await advance(net)

    asyncio.run(scenario())
