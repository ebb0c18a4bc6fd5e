"""Pruning under proof of work: what the rules look back at stays, whatever goes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.node import Node
from tests.node.pow_network import PowNetwork, pow_network

pytestmark = pytest.mark.network

DEPTH = 3
FULL = {"mode": "full", "keep_blocks": 2}


async def prune(net: PowNetwork, node: Node, base: int) -> None:
    """Mine at V0 until blocks below `base` are gone."""
    while node.store.base < base:
        await net.mine("V0")
        await net.until(lambda: node._pruner is None or not node._pruner._is_pruning)


def test_a_pruned_node_goes_on_through_reorganisation_and_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pow_network(tmp_path, "V0", "V1", finality_depth=DEPTH) as net:
            node = await net.open("V0", **FULL)
            other = await net.open("V1", peers=["V0"])
            await net.until_connected("V0", "V1")
            await prune(net, node, 8)
            base, height = node.store.base, node.chain.height
            assert height - base <= 2
            assert all(node.store.head(at) is None for at in range(1, base))
            assert node.store.validators_at(1) == other.store.validators_at(1)
            await net.until_tip("V0", "V1")
            # The difficulty of the next block follows from headers at the edge of what is kept.
            await net.stop("V0")
            tip = other.chain.tip.height
            await net.mine("V1", 2)
            node = await net.open("V0", **FULL)
            await net.until(lambda: node.chain.tip.height == tip, what="what it had")
            await net.mine("V0", 1)
            undone = node.chain.tip.block_id()
            node._peers.configure_peers([net.address_of("V1")])
            await net.until_tip("V1", "V0")
            assert node.chain.tip.height == tip + 2
            assert undone not in [block.block_id for block in node.undecided()]
            assert node.metrics()["reorganisations_total"] == 1
            await prune(net, node, base + 3)

    asyncio.run(scenario())


def test_who_asks_for_what_is_gone_is_told_where_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pow_network(tmp_path, "V0", "V1", "V2", finality_depth=DEPTH) as net:
            node = await net.open("V0", **FULL)
            keeper = await net.open("V1", peers=["V0"], mines=False)
            await net.until_connected("V0", "V1")
            await prune(net, node, 5)
            await net.until_tip("V0", "V1")
            late = await net.open("V2", peers=["V0"], mines=False)
            await net.until(lambda: late._sync.sources.lowest_held(0), what="its base")
            said = [each.message for each in late.doctor() if each.topic == "sync"]
            assert said and "pruned" in said[0]
            assert late.chain.height == 0
            late._peers.configure_peers([net.address_of("V1")])
            await net.until_tip("V1", "V2")
            await net.until_height(keeper.chain.height, "V2")

    asyncio.run(scenario())
