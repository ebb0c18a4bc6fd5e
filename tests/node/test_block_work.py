"""The driver's work on blocks, and the pool they wait in."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from consensus.interface import BlockBuilt, BlockChecked, Input
from node.block_pool import MAX_UNASKED, MAX_UNASKED_PER_SOURCE, BlockPool, CompleteBlock
from node.block_work import BlockWork
from node.chain import Chain
from node.ledger.block import with_seal
from node.ledger.transaction import Transaction
from node.mempool import Mempool
from node.wire import CompactBlock
from tests.node.network import account_of, make_transaction, until
from tests.node.test_store import GENESIS, build, commit, open_chain
from vm.primitives.errors import InvalidBlock, InvariantViolation
from vm.primitives.merkle import merkle_root

FITS = 10**6


def compact(chain: Chain, *items: Transaction) -> tuple[CompactBlock, CompleteBlock]:
    candidate = build(chain, items)
    block = CompleteBlock(
        candidate.block_id, candidate.header, candidate.body, candidate.transactions
    )
    return block.compact(), block


class Desk:
    """A chain with its work, and the answers that came."""

    def __init__(self, path: Path) -> None:
        self.chain = open_chain(path)
        self.mempool = Mempool(self.chain.store)
        self.pool = BlockPool(self.mempool.get)
        self.answers: list[Input] = []
        self.errors: list[BaseException] = []
        self.work = BlockWork(
            self.chain,
            self.pool,
            self.mempool,
            answer=self.answers.append,
            on_error=self.errors.append,
            clock_ms=lambda: self.chain.header.time_ms + 1_000,
        )

    def add(self, count: int, nonce: int = 0) -> list[Transaction]:
        items = []
        for number in range(count):
            item = make_transaction(GENESIS, f"m{number % 5}", nonce + number // 5)
            self.mempool.add(item, self.chain.next_context())
            items.append(item)
        return items

    async def until(self, count: int) -> None:
        await until(lambda: len(self.answers) >= count or self.errors)


def test_a_build_takes_no_check_away(tmp_path: Path) -> None:
    """An engine asks once per block: an answer lost would keep the block undecided for ever."""

    async def scenario() -> None:
        desk = Desk(tmp_path)
        items = desk.add(400)
        _, block = compact(desk.chain, *items)
        desk.pool.add_complete(block)
        desk.work.check(block.block_id)
        await asyncio.sleep(0)
        desk.work.build(1, 1, account_of("V0"), ())
        await desk.until(2)
        kinds = [type(answer) for answer in desk.answers]
        assert sorted(kinds, key=str) == sorted([BlockChecked, BlockBuilt], key=str)
        assert BlockChecked(block.block_id, True) in desk.answers
        desk.chain.store.close()

    asyncio.run(scenario())


def test_a_later_rounds_build_replaces_an_earlier_ones(tmp_path: Path) -> None:
    async def scenario() -> None:
        desk = Desk(tmp_path)
        desk.add(400)
        desk.work.build(1, 0, account_of("V0"), ())
        await asyncio.sleep(0)
        desk.work.build(1, 4, account_of("V0"), ())
        await desk.until(1)
        await asyncio.sleep(0.05)
        assert [answer.round for answer in desk.answers] == [4]  # type: ignore[union-attr]
        desk.chain.store.close()

    asyncio.run(scenario())


def test_cancelled_work_answers_nothing_and_new_work_runs(tmp_path: Path) -> None:
    async def scenario() -> None:
        desk = Desk(tmp_path)
        desk.add(400)
        desk.work.build(1, 0, account_of("V0"), ())
        await asyncio.sleep(0)
        desk.work.cancel()
        await asyncio.sleep(0.05)
        assert desk.answers == []
        desk.work.build(1, 1, account_of("V0"), ())
        await desk.until(1)
        assert not desk.errors
        desk.chain.store.close()

    asyncio.run(scenario())


def test_an_invalid_block_is_said_to_be_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        desk = Desk(tmp_path)
        _, block = compact(desk.chain)
        false = replace(block.header, state_root=b"x" * 32)
        desk.pool.add_complete(replace(block, block_id=false.block_id(), header=false))
        desk.work.check(false.block_id())
        await desk.until(1)
        assert desk.answers == [BlockChecked(false.block_id(), False)]
        desk.chain.store.close()

    asyncio.run(scenario())


def test_what_breaks_in_the_work_is_not_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        desk = Desk(tmp_path)
        desk.work.check(b"?" * 32)
        await desk.until(1)
        assert [type(error) for error in desk.errors] == [InvariantViolation]
        desk.chain.store.close()

    asyncio.run(scenario())


def test_behind_one_that_cannot_stand_the_others_wait(tmp_path: Path) -> None:
    async def scenario() -> None:
        desk = Desk(tmp_path)
        late = make_transaction(GENESIS, "m1", 0, expiry_height=1)
        good = make_transaction(GENESIS, "m1", 1)
        for item in (late, good):
            desk.mempool.add(item, desk.chain.next_context())
        commit(desk.chain)  # height 1 passes without it
        desk.work.build(2, 0, account_of("V0"), ())
        await desk.until(1)
        assert desk.mempool.get(late.id) is None
        assert desk.mempool.get(good.id) is good
        assert not desk.mempool.has_ready()
        desk.chain.store.close()

    asyncio.run(scenario())


def test_a_block_becomes_complete_with_its_last_transaction(tmp_path: Path) -> None:
    desk = Desk.__new__(Desk)
    desk.chain = open_chain(tmp_path)
    items = [make_transaction(GENESIS, f"m{number}", 0) for number in range(3)]
    block, whole = compact(desk.chain, *items)
    pool = BlockPool({items[0].id: items[0]}.get)
    partial = pool.add_compact(block, b"peer", 0, max_block_bytes=FITS)
    assert partial is not None
    assert partial.missing == {items[1].id, items[2].id}
    assert pool.add_compact(block, b"other", 0, max_block_bytes=FITS) is None
    assert pool.fill([items[1]]) == []
    assert pool.is_requested(items[2].id)
    assert pool.fill([items[2]]) == [whole]
    assert pool.blocks_at(1) == [whole]
    assert pool.find_transaction(items[1].id) is items[1]
    assert pool.find_transaction(b"?" * 32) is None
    pool.forget(1)
    assert pool.block(whole.block_id) == whole  # for those a moment behind
    pool.forget(2)
    assert pool.block(whole.block_id) is None
    desk.chain.store.close()


def test_one_source_has_few_places_and_what_is_wanted_always_one(tmp_path: Path) -> None:
    chain = open_chain(tmp_path)
    block, _ = compact(chain)

    def other(number: int) -> CompactBlock:
        return replace(block, header=replace(block.header, time_ms=10_000 + number))

    pool = BlockPool(lambda _: None)
    taken = [
        pool.add_compact(other(number), b"liar", 0, max_block_bytes=FITS) for number in range(9)
    ]
    assert sum(item is not None for item in taken) == MAX_UNASKED_PER_SOURCE
    for number in range(100, 200):
        source = number.to_bytes(2, "big")
        pool.add_compact(other(number), source, 0, max_block_bytes=FITS)
    assert len(pool.blocks_at(1)) == MAX_UNASKED
    pool.want(block.header.block_id())
    assert pool.add_compact(block, b"liar", 0, max_block_bytes=FITS) is not None
    pool.forget(1)
    pool.forget(2)
    assert pool.blocks_at(1) == []
    assert not pool._unasked
    chain.store.close()


def test_ids_and_parts_are_those_of_the_header(tmp_path: Path) -> None:
    chain = open_chain(tmp_path)
    block, _ = compact(chain, make_transaction(GENESIS, "m1", 0))
    pool = BlockPool(lambda _: None)
    for wrong in (
        replace(block, ids=()),
        replace(block, evidence=(b"e",)),
        replace(
            block,
            header=replace(block.header, transactions_root=merkle_root(block.ids * 2)),
            ids=block.ids * 2,
        ),
    ):
        with pytest.raises(InvalidBlock):
            pool.add_compact(wrong, b"peer", 0, max_block_bytes=FITS)
    with pytest.raises(InvalidBlock, match="more transactions"):
        pool.add_compact(block, b"peer", 0, max_block_bytes=100)
    assert pool.add_compact(block, b"peer", 1, max_block_bytes=FITS) is None
    chain.store.close()


def test_a_seal_where_none_is_sought_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    _, block = compact(desk.chain)
    assert desk.chain.checking(block.header, block.body, ())
    with pytest.raises(InvalidBlock, match="seal"):
        desk.chain.checking(with_seal(block.header, b"x"), block.body, ())
