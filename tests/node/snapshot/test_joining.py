"""Nodes that join by snapshot: from one who is honest, among those who lie, and after a crash."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.block_index import PAGE, STATE
from node.node import Node
from tests.node.network import Network, advance, network

pytestmark = pytest.mark.network

THREE = ("V0", "V1", "V2")


def state_of(node: Node) -> dict[bytes, bytes]:
    """Return the whole state of a node with its tree and its indices."""
    with node.store.frozen() as view:
        return dict(view.iterator(start=STATE, stop=PAGE + b"\xff"))


async def take(net: Network, name: str) -> int:
    """Have a node take a snapshot, and return its height."""
    server = net.nodes[name]._snapshots.server
    server.take()
    await net.until(lambda: server._taking is None and server.held, what="a snapshot")
    return server.held[0].height


def test_a_joiner_has_the_same_state_and_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *THREE, followers=("F",), members=200) as net:
            for _ in range(4):
                await advance(net)
            await net.until_equal()
            height = await take(net, "V0")
            node = await net.start("F", votes=False, join="snapshot")
            await net.until(lambda: node.chain.height == height)
            assert state_of(node) == state_of(net.nodes["V0"])
            await advance(net)
            await net.until_equal()
            assert len(net.roots()) == 1
            assert node.store.base == height + 1
            await net.stop("F")
            node = await net.start("F", votes=False, join="snapshot")
            await advance(net)

    asyncio.run(scenario())
