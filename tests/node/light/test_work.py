"""Light nodes under proof of work: the heaviest chain counts, what stands deep in it is final."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from consensus.work import proved_work
from node.config import LIGHT, Address, NodeConfig
from node.ledger.block import with_seal
from node.ledger.proof_paths import TrustedBlock
from node.ledger.proofs import Finality
from node.light.app import load_headers
from node.light.facts import load_facts
from node.light.node import LightNode
from node.light.work_headers import WorkHeaders
from node.p2p.peers import PeerAddress
from tests.node.network import account_of, node_identity
from tests.node.pow_network import PowNetwork, pow_document
from tests.sim.nodes.work import sealed
from vm.primitives.errors import InvalidProof
from vm.system.accounts import account_key, decode_account

pytestmark = pytest.mark.network

DEPTH = 3
KEY = account_key(account_of("m0"))


@contextlib.asynccontextmanager
async def miners(base: Path, **rules: int) -> AsyncIterator[PowNetwork]:
    """Two miners and a light node's member."""
    document = pow_document(("V0", "V1"), followers=("L",), finality_depth=DEPTH, **rules)
    net = PowNetwork(base, document)
    (base / "genesis.json").write_bytes(document)
    try:
        yield net
    finally:
        await net.stop_all()


@contextlib.asynccontextmanager
async def light(
    net: PowNetwork, peers: Sequence[PeerAddress], trust: TrustedBlock | None = None
) -> AsyncIterator[LightNode]:
    """Run the light node of member L as the process does."""
    config = NodeConfig(
        name="L",
        genesis=net.base / "genesis.json",
        data=net.base / "L",
        log_level="info",
        node_key=net.base / "unused",
        vote_key=None,
        p2p=Address("127.0.0.1", 0),
        peers=tuple(peers),
        api=Address("127.0.0.1", 0),
        api_hosts=(),
        api_origins=(),
        workers=1,
        verify_synced_signatures=True,
        mode=LIGHT,
        trust=trust,
    )
    config.data.mkdir(exist_ok=True)
    facts = await asyncio.to_thread(load_facts, config.genesis, config.data)
    node = LightNode(config, facts, load_headers(config, facts), node_identity("L"))
    await node.start()
    try:
        yield node
        if node.failed.done():
            node.failed.result()
    finally:
        await node.stop()


async def money(node: LightNode) -> int:
    """Return what m0 has, proved."""
    proved = await node.prove(KEY)
    assert proved.value is not None
    return decode_account(proved.value).money_micro


async def test_it_follows_by_work_proves_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with miners(tmp_path) as net:
        full = await net.open("V0")
        sent = net.next("m1")
        await net.accept("V0", sent)
        await net.mine("V0", least=1)
        await net.mine("V0", 6)
        async with light(net, [net.address_of("V0")]) as node:
            await net.until(lambda: node.headers.height == full.chain.height == 7 - DEPTH)
            assert node.headers.head_id == full.chain.block_id
            assert await money(node) == 1_000_000_001
            found = await node.find_transaction(sent.id)
            assert found is not None and found.header.height == 1
            await net.mine("V0", 2)
            await net.until(lambda: node.headers.height == 9 - DEPTH)
        await net.mine("V0", 2)
        async with light(net, [net.address_of("V0")]) as node:
            assert node.headers.height == 9 - DEPTH
            await net.until(lambda: node.headers.height == 11 - DEPTH)
            assert await money(node) == 1_000_000_001
        trusted = TrustedBlock(5, full.store.head(5).header.block_id())  # type: ignore[union-attr]
        async with light(net, [net.address_of("V0")], trusted) as node:
            await net.until(lambda: node.headers.height == 11 - DEPTH)
            assert await money(node) == 1_000_000_001
            assert await node.find_transaction(sent.id) is None, "older than its beginning"
        wrong = TrustedBlock(5, bytes(32))
        async with light(net, [net.address_of("V0")], wrong) as node:
            await net.until(lambda: not node.full_nodes.connected() and node.full_nodes._records)
            assert node.headers.height == 4


async def test_the_heavier_chain_of_an_honest_peer_takes_the_place_of_a_lonely_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """V1 mined apart, light and long enough to look final to who sees it alone."""
    async with miners(tmp_path) as net:
        heavy = await net.open("V0")
        lonely = await net.open("V1")
        await net.mine("V0", 12)
        await net.mine("V1", 5)
        async with light(net, [net.address_of("V1")]) as node:
            await net.until(lambda: node.headers.height == 5 - DEPTH)
            assert node.headers.head_id == lonely.chain.block_id
            assert "a peer that is heard alone" in caplog.text
            assert node.warnings()[0].startswith("1 peers show this node their chain")
            node.service.configure_peers([net.address_of("V1"), net.address_of("V0")])
            await net.until(lambda: node.headers.height == 12 - DEPTH)
            assert node.headers.head_id == heavy.chain.block_id
            assert node.headers.deepest_undone == 5  # type: ignore[union-attr]
            await net.until(lambda: not node.warnings())
            # What the lonely one says of its state is not believed any more.
            await net.mine("V1")
            assert (await node.prove(KEY)).header.block_id() == heavy.chain.block_id


async def test_headers_without_the_work_that_the_rule_demands_are_refused(tmp_path: Path) -> None:
    async with miners(tmp_path, initial_difficulty=64, min_difficulty=16) as net:
        full = await net.open("V0")
        await net.mine("V0", 3 + DEPTH)
        await net.until(lambda: full.chain.height >= 2)
        first, second = (full.store.head(height).header for height in (1, 2))  # type: ignore[union-attr]
        async with light(net, []) as node:
            assert node.warnings()[0].startswith("0 peers")
            trusted = node.headers
            assert isinstance(trusted, WorkHeaders)
            for nonce in range(100):
                seal = second.seal[:8] + nonce.to_bytes(8, "big")
                unsealed = with_seal(second, seal)
                if proved_work(unsealed.block_id(), seal) == 0:
                    break
            cheap = sealed(second, 1)
            for wrong in (unsealed, cheap):
                entries = [Finality(each.encode(), b"", b"") for each in (first, wrong)]
                with pytest.raises(InvalidProof, match="difficulty"):
                    trusted.extend(trusted.start(entries), entries)
                assert trusted.best.height == 0
            entries = [Finality(each.encode(), b"", b"") for each in (first, second)]
            assert trusted.extend(trusted.start(entries), entries)
            assert trusted.best.height == 2
