"""Members that lie about final blocks: claim what they have not, or give what does not hold."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from consensus.messages import Vote, VoteKind
from node.inbox import _HANDLERS, Inbox
from node.ledger.block import Body
from node.ledger.certificate import decode_certificate, encode_certificate, message_digest
from node.sync import read_range
from node.wire import (
    BLOCKS,
    GET_BLOCKS,
    HEIGHT,
    SyncedBlock,
    decode_range,
    encode_blocks,
    encode_height,
)
from tests.node.network import (
    Network,
    account_of,
    advance,
    liar,
    make_transaction,
    network,
    seed,
)
from vm.primitives.signatures import public_key, sign

pytestmark = pytest.mark.network

FOUR = ("V0", "V1", "V2", "V3")
THREE = ("V0", "V1", "V2")


def test_a_billion_blocks_claimed_and_none_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat 12: who claims most is not asked first for ever."""
    monkeypatch.setattr("node.sync_fetch.ANSWER_DEADLINE_S", 1.0)

    async def scenario() -> None:
        async with network(tmp_path, *FOUR, followers=("L",)) as net:
            await net.stop("V3")
            for _ in range(4):
                await advance(net)
            async with liar(net, "L", *THREE, claims=10**9) as peer:
                # To a liar that gives nothing the answer is silence at first; here it says so.
                def nothing(key: bytes, kind: int, payload: bytes) -> None:
                    if kind == GET_BLOCKS and peer.service is not None:
                        peer.service.send(key, BLOCKS, encode_blocks(()))

                peer.answer = nothing
                for name in THREE:
                    peer.send(name, HEIGHT, encode_height(10**9))
                await peer.until_dropped_by("V0")
                for _ in range(3):
                    await advance(net)
                node = await net.start("V3")
                await net.until(lambda: node.chain.height == net.nodes["V0"].chain.height)
                # It comes back and claims again: others are asked before it.
                await net.until(lambda: peer.is_known_to("V0"))
                peer.send("V0", HEIGHT, encode_height(10**9))
                await advance(net)
                assert net.nodes["V0"]._sync._is_anybody_ahead(1) is False

    asyncio.run(scenario())


def test_silence_of_who_claims_most_delays_sync_but_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.sync_fetch.ANSWER_DEADLINE_S", 0.5)

    async def scenario() -> None:
        async with network(tmp_path, *FOUR, followers=("L",)) as net:
            await net.stop("V3")
            for _ in range(6):
                await advance(net)
            node = await net.start("V3", peers=[])
            async with liar(net, "L", "V3") as peer:
                peer.send("V3", HEIGHT, encode_height(10**9))
                await net.until(lambda: any(kind == GET_BLOCKS for _, kind, _ in peer.heard))
                for _ in range(3):  # dropped, it reconnects and claims again
                    await net.until(lambda: peer.is_known_to("V3"))
                    peer.send("V3", HEIGHT, encode_height(10**9))
                    await asyncio.sleep(0.2)
                node._peers.configure_peers([net.address_of(name) for name in THREE])
                await net.until(lambda: node.chain.height == net.nodes["V0"].chain.height)
                assert sum(kind == GET_BLOCKS for _, kind, _ in peer.heard) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("damage", ["certificate", "signer", "body", "height", "transaction"])
def test_synced_blocks_that_do_not_hold_are_refused(tmp_path: Path, damage: str) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR, followers=("L",)) as net:
            await net.stop("V3")
            for _ in range(4):
                await advance(net)
            node = await net.start("V3", peers=[])
            async with liar(net, "L", "V3") as peer:

                def answer(key: bytes, kind: int, payload: bytes) -> None:
                    if kind == GET_BLOCKS and peer.service is not None:
                        first, count = decode_range(payload)
                        good = read_range(net.nodes["V0"].chain, first, count)
                        bad = [_damaged(net, block, damage) for block in good]
                        peer.service.send(key, BLOCKS, encode_blocks(bad))

                peer.answer = answer
                height = node.chain.height
                peer.send("V3", HEIGHT, encode_height(10**6))
                await peer.until_dropped_by("V3")
                assert node.chain.height <= height + (damage == "height")
                node._peers.configure_peers([net.address_of(name) for name in THREE])
                await net.until(lambda: node.chain.height == net.nodes["V0"].chain.height)
                assert len(net.roots()) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("damage", ["twice", "rounds", "two thirds", "epoch"])
def test_certificates_that_decide_nothing_are_refused(tmp_path: Path, damage: str) -> None:
    names = THREE if damage == "two thirds" else FOUR

    async def scenario() -> None:
        async with network(tmp_path, *names, followers=("F", "L")) as net:
            await advance(net)
            if damage == "epoch":
                key = public_key(seed("a new vote key"))
                change = make_transaction(net.genesis, "V3", 0, ("members", "set_vote_key", (key,)))
                await net.accept("V0", change)
                await net.until_final(change)
            await advance(net)
            await net.until_equal()
            last = net.nodes["V0"].chain.height
            node = await net.start("F", votes=False, peers=[])
            async with liar(net, "L", "F") as peer:

                def answer(key: bytes, kind: int, payload: bytes) -> None:
                    if kind == GET_BLOCKS and peer.service is not None:
                        first, count = decode_range(payload)
                        blocks = read_range(net.nodes["V0"].chain, first, count)
                        if first <= last < first + len(blocks):
                            at = last - first
                            blocks[at] = _undecided(net, blocks[at], damage)
                        peer.service.send(key, BLOCKS, encode_blocks(blocks))

                peer.answer = answer
                peer.send("F", HEIGHT, encode_height(last))
                await peer.until_dropped_by("F")
                assert node.chain.height == last - 1
                node._peers.configure_peers([net.address_of("V0")])
                await net.until(lambda: node.chain.height == last)

    asyncio.run(scenario())


def _undecided(net: Network, block: SyncedBlock, damage: str) -> SyncedBlock:
    """Return a block with a certificate that lacks what decides it."""
    found = decode_certificate(block.certificate)
    signatures = found.signatures
    match damage:
        case "twice":
            found = replace(found, signatures=(signatures[0], signatures[1], signatures[1]))
        case "rounds":
            found = replace(found, round=found.round + 1)
        case "two thirds":
            found = replace(found, signatures=signatures[:2])
        case "epoch":
            # The key that V3 voted with before, beside two that still count.
            vote = Vote(VoteKind.PRECOMMIT, found.height, found.round, found.block_id, 0)
            old = sign(seed("vote V3"), message_digest(net.genesis.digest, vote))
            accounts = [item.account for item in net.nodes["V0"].chain.validators]
            signers = dict(signatures[:2]) | {accounts.index(account_of("V3")): old}
            found = replace(found, signatures=tuple(sorted(signers.items())))
    return replace(block, certificate=encode_certificate(found))


def test_blocks_come_from_several_peers_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.sync_fetch.SYNC_BATCH_BLOCKS", 2)
    asked: dict[int, list[tuple[int, int]]] = {}
    real = Inbox._on_get_blocks

    def note(inbox: Inbox, peer: bytes, payload: bytes) -> None:
        asked.setdefault(id(inbox), []).append(decode_range(payload))
        real(inbox, peer, payload)

    monkeypatch.setitem(_HANDLERS, GET_BLOCKS, note)

    async def scenario() -> None:
        async with network(tmp_path, *THREE, followers=("F",)) as net:
            for _ in range(16):
                await advance(net)
            await net.until_equal()
            node = await net.start("F", votes=False, peers=[])
            node._peers.configure_peers([net.address_of(name) for name in THREE])
            await net.until(lambda: node.chain.height == net.nodes["V0"].chain.height)
            assert len(asked) >= 2
            ranges = [entry for entries in asked.values() for entry in entries]
            assert all(count <= 2 for _, count in ranges)
            assert len(ranges) <= 12, "no block is fetched over and over"

    asyncio.run(scenario())


def _damaged(net: Network, block: SyncedBlock, damage: str) -> SyncedBlock:
    chain = net.nodes["V0"].chain
    if damage == "certificate":
        return replace(block, certificate=b"")
    if damage == "signer":
        found = decode_certificate(block.certificate)
        signers = tuple((place, bytes(64)) for place, _ in found.signatures)
        return replace(block, certificate=encode_certificate(replace(found, signatures=signers)))
    if damage == "body":
        return replace(block, body=Body(b"", (), ()).encode())
    if damage == "height":
        head, body = chain.store.head_bytes(1), chain.store.body_bytes(1)
        assert head and body
        return SyncedBlock(head[0], head[1], body)
    other = make_transaction(net.genesis, "m3", 0)
    return replace(block, body=Body(b"", (), (other.raw,)).encode())
