"""Pruning: bytes come back, what is gone is said to be gone, and joiners find it elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.api.answers import ApiError
from node.api.chain_reader import ChainReader
from node.block_index import (
    BLOCK_ID,
    BODY,
    HEAD,
    HISTORY,
    RECEIPTS,
    TRANSACTION,
)
from node.ledger.transaction import Transaction
from node.node import Node
from node.pruning import Pruner
from node.store import Store
from tests.node.network import Network, make_transaction, network
from tests.node.test_store import GENESIS, commit, open_chain

pytestmark = pytest.mark.network

SPACES = (BODY, RECEIPTS, TRANSACTION, HEAD, BLOCK_ID, HISTORY)


def entries(store: Store) -> dict[bytes, int]:
    """Return how many entries each pruned key space has."""
    with store.frozen() as view:
        return {
            space: sum(1 for _ in view.iterator(prefix=space, include_value=False))
            for space in SPACES
        }


def disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.ldb"))


def transfers(block: int) -> list[Transaction]:
    """Return transfers of each member for one block."""
    return [
        make_transaction(GENESIS, f"m{number}", 4 * block + place)
        for place in range(4)
        for number in range(5)
    ]


async def fill(net: Network, blocks: int) -> None:
    """Make final blocks with transactions of many members."""
    for _ in range(blocks):
        await net.accept("V0", *(net.next(f"m{number}") for number in range(20)))
        await net.until(lambda: not len(net.nodes["V0"]._mempool))
    await net.until_equal()


def test_a_full_node_keeps_the_last_blocks_and_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, "V0", followers=("F", "G")) as net:
            node = await net.start("F", votes=False, mode="full", keep_blocks=8)
            await net.until_connected("V0", "F")
            await fill(net, 24)
            await net.until(lambda: node.store.base > 10)
            base, height = node.store.base, node.chain.height
            assert height - base >= 7
            assert all(node.store.body(at) is None for at in range(base))
            assert all(node.store.body(at) is not None for at in range(base, height + 1))
            assert state_root_holds(node)
            reader = ChainReader(node.store)
            assert reader.block(base).height == base
            for read in (reader.block, reader.header, reader.count_transactions):
                with pytest.raises(ApiError, match=f"pruned below height {base}") as caught:
                    read(base - 1)
                assert (caught.value.status, caught.value.code) == (410, "pruned")
            # Who joins from it alone goes elsewhere for the blocks that it has not got.
            other = await net.start("G", votes=False, peers=["F"])
            await net.until(lambda: other._sync.sources.lowest_held(0) == base)
            assert other.chain.height == 0
            assert other._sync.sources.pick(1, 1) is None
            assert [each.topic for each in other.doctor() if "pruned" in each.message] == ["sync"]
            other._peers.configure_peers([net.address_of("V0")])
            await net.until(lambda: other.chain.height >= height)

    asyncio.run(scenario())


def test_the_bytes_come_back(tmp_path: Path) -> None:
    """Indices included: what is left is what a chain of the kept blocks alone would take."""
    chain = open_chain(tmp_path)
    for nonce in range(200):
        commit(chain, *transfers(nonce))
    chain.store.close()
    chain = open_chain(tmp_path)
    store = chain.store
    for space in SPACES:
        store.compact(space)
    before, bytes_before = entries(store), disk_bytes(tmp_path)

    async def prune() -> None:
        tasks: list[asyncio.Future[None]] = []
        pruner = Pruner(
            store,
            keep_blocks=20,
            spawn=lambda work: tasks.append(asyncio.ensure_future(work)),
            on_pruned=lambda: None,
        )
        pruner.on_final(store.height)
        await asyncio.gather(*tasks)

    asyncio.run(prune())
    assert store.base == 181
    after = entries(store)
    for space in SPACES:
        assert after[space] <= before[space] // 9, space
    assert disk_bytes(tmp_path) < bytes_before // 4
    assert store.validators_at(1) == store.validators_at(150) == chain.validators
    assert store.find_transaction(make_transaction(GENESIS, "m1", 0).id) is None
    commit(chain, make_transaction(GENESIS, "m1", 800))
    store.close()
    again = open_chain(tmp_path)
    assert (again.store.base, again.height) == (181, 201)
    again.store.close()


def state_root_holds(node: Node) -> bool:
    node.store.verify_root()
    return True
