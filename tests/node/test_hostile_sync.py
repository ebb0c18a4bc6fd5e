"""Members that lie about final blocks: claim what they have not, or give what does not hold."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from node.ledger.block import Body
from node.ledger.certificate import decode_certificate, encode_certificate
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
from tests.node.network import Network, advance, liar, make_transaction, network

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
