"""Joining by snapshot under proof of work: of the block that the operator names, and no other."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.config import ConfigError
from node.ledger.proof_paths import TrustedBlock
from node.node import Node
from tests.node.pow_network import PowNetwork, pow_network
from tests.node.snapshot.test_joining import dropped_by, state_of, take

pytestmark = pytest.mark.network

DEPTH = 3
WAIT = "node.snapshot.joining.OFFER_WAIT_S"


async def grown(net: PowNetwork) -> tuple[Node, TrustedBlock]:
    """Make some final blocks at V0 and a snapshot of the last one."""
    node = await net.open("V0")
    sent = net.next("m1")
    await net.accept("V0", sent)
    await net.mine("V0", least=1)
    await net.mine("V0", 8)
    await net.until_height(9 - DEPTH)
    height = await take(net, "V0")
    assert height == 9 - DEPTH
    return node, TrustedBlock(height, node.chain.block_id)


def test_a_miner_joins_at_a_trusted_block_and_mines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WAIT, 0.2)

    async def scenario() -> None:
        async with pow_network(tmp_path, "V0", "V1", finality_depth=DEPTH) as net:
            node, trust = await grown(net)
            late = await net.open("V1", peers=["V0"], mines=False, join="snapshot", trust=trust)
            await net.until(lambda: late.store.base == trust.height + 1, what="the snapshot")
            await net.until_tip("V0", "V1")
            await net.mine("V0", 2)
            await net.until_tip("V0", "V1")
            late._driver.release()
            await net.mine("V1", 3)
            await net.until_tip("V1", "V0")
            await net.until_height(14 - DEPTH)
            assert state_of(late) == state_of(node)
            await net.stop("V1")
            late = await net.open("V1", peers=["V0"], join="snapshot", trust=trust)
            await net.until_tip("V0", "V1")
            await net.mine("V1")
            await net.until_tip("V1", "V0")

    asyncio.run(scenario())


def test_another_block_than_the_trusted_one_is_not_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WAIT, 0.1)
    monkeypatch.setattr("node.snapshot.joining.PATIENCE_S", 1.0)

    async def scenario() -> None:
        async with pow_network(tmp_path, "V0", "V1", "V2", finality_depth=DEPTH) as net:
            node, trust = await grown(net)
            with pytest.raises(ConfigError, match="nobody signs a snapshot's block"):
                await net.open("V1", peers=["V0"], join="snapshot")
            wrong = TrustedBlock(trust.height, bytes(32))
            late = await net.open("V2", peers=["V0"], mines=False, join="snapshot", trust=wrong)
            # It goes on block by block, and drops who has another one where the named one is.
            await net.until(lambda: dropped_by(late, 1), what="drops")
            assert late.chain.tip.height < trust.height == node.chain.height

    asyncio.run(scenario())
