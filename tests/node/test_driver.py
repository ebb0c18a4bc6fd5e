"""The driver: between an engine and the world nothing is lost, stale, or believed too long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consensus import interface as engine_io
from consensus.interface import EngineView, Input, Output
from consensus.messages import NIL, CommitCertificate, SigningState, Step, Vote, VoteKind
from node.block_pool import BlockPool, CompleteBlock
from node.driver import Driver
from node.driver_inputs import MoveHead, RestartEngine, SyncedInput
from node.ledger.chain_rules import Candidate
from node.ledger.transaction import Transaction
from node.mempool import Mempool
from node.signer import Signer
from node.store import StorageFailure
from tests.node.network import account_of, make_transaction, seed, until
from tests.node.test_store import GENESIS, build, open_chain
from vm.parameters import ChainParameters
from vm.primitives.errors import InvariantViolation
from vm.primitives.signatures import public_key


class Script:
    """An engine that writes down what it is given and answers what the test says."""

    def __init__(self, account: bytes | None) -> None:
        self.account = account
        self.heard: list[Input] = []
        self.react: Callable[[Input], list[Output]] = lambda _: []

    def handle(self, event: Input) -> list[Output]:
        self.heard.append(event)
        return self.react(event)

    def view(self) -> EngineView:
        return EngineView(0, 0, Step.NEW_HEIGHT, 0, None, -1, (), ())


class Desk:
    """A driver on a real chain, with scripted engines and a network that only writes down."""

    def __init__(self, path: Path, *, voter: str = "vote V0", is_held: bool = False) -> None:
        self.chain = open_chain(path)
        self.mempool = Mempool(self.chain.store)
        self.pool = BlockPool(self.mempool.get)
        self.engines: list[Script] = []
        self.final: list[Candidate] = []
        self.sent: list[tuple[Any, ...]] = []
        self.signer = Signer(path / "signing", seed(voter), GENESIS.digest)
        self.driver = Driver(
            self._make,
            self.chain,
            self.pool,
            self.mempool,
            self,
            signer=self.signer,
            on_final=self.final.append,
            clock_ms=lambda: self.chain.header.time_ms + 1_000,
            is_held=is_held,
        )
        self.task: asyncio.Task[None] | None = None

    def _make(self, parameters: ChainParameters, account: bytes | None) -> Script:
        self.engines.append(Script(account))
        return self.engines[-1]

    def broadcast(self, kind: int, payload: bytes) -> None:
        self.sent.append((kind, payload))

    def send(self, peer: bytes, kind: int, payload: bytes) -> None:
        self.sent.append((peer, kind, payload))

    def fetch_block(self, block_id: bytes, sources: tuple[int, ...]) -> None:
        self.sent.append(("fetch", block_id))

    def blocks_missing(self, peer: bytes | None, height: int) -> None:
        self.sent.append(("missing", height))

    def run(self) -> None:
        self.driver.start()
        self.task = asyncio.ensure_future(self.driver.run())

    async def settle(self) -> None:
        """Wait until the driver took all that was queued."""
        await until(self._waits)
        await asyncio.sleep(0.02)
        await until(self._waits)

    def _waits(self) -> bool:
        """Whether the driver is done with everything, or for good."""
        return bool(self.driver._queue._getters) or (self.task is not None and self.task.done())  # type: ignore[attr-defined]

    async def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        await self.driver.stop()
        self.signer.close()
        self.chain.store.close()

    def block(self, *items: Transaction) -> Candidate:
        return self.pool_up(build(self.chain, items))

    def pool_up(self, candidate: Candidate) -> Candidate:
        self.pool.add_candidate(candidate)
        return candidate

    def certificate(self, block_id: bytes) -> CommitCertificate:
        return CommitCertificate(self.chain.height + 1, 0, block_id, ((0, bytes(64)),))

    def decide(self, candidate: Candidate) -> None:
        """Have the engine say that a block is final."""
        certificate = self.certificate(candidate.block_id)
        engine = self.engines[-1]
        height = self.chain.height + 1

        def react(event: Input) -> list[Output]:
            engine.react = lambda _: []
            return [engine_io.Finalised(height, candidate.block_id, certificate)]

        engine.react = react
        self.driver.feed(engine_io.WorkAvailable(0))

    def heard(self, kind: type[Any]) -> list[Any]:
        return [item for engine in self.engines for item in engine.heard if type(item) is kind]


def desk_test(scenario: Callable[[Desk], Any], path: Path, **options: Any) -> None:
    async def run() -> None:
        desk = Desk(path, **options)
        try:
            await scenario(desk)
        finally:
            await desk.close()

    asyncio.run(run())


def vote(height: int) -> Vote:
    return Vote(VoteKind.PREVOTE, height, 0, NIL, 1, bytes(64))


def rotate(nonce: int = 0) -> Transaction:
    """Give V0 another vote key."""
    key = public_key(seed("another vote V0"))
    return make_transaction(GENESIS, "V0", nonce, ("members", "set_vote_key", (key,)))


def test_a_final_block_is_written_told_and_followed_by_the_next_height(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.run()
        block = desk.block(make_transaction(GENESIS, "m1", 0))
        desk.decide(block)
        await desk.settle()
        assert [item.block_id for item in desk.final] == [block.block_id]
        assert desk.chain.store.height == 1
        assert [item.height for item in desk.heard(engine_io.Started)] == [1, 2]
        assert len(desk.engines) == 1

    desk_test(scenario, tmp_path)


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_height_goes_on_where_the_head_did_not_move(tmp_path: Path, is_moved: bool) -> None:
    """A snapshot came, and consensus had decided a block meanwhile."""

    async def scenario(desk: Desk) -> None:
        desk.run()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        desk.driver.feed(MoveHead(lambda: is_moved, done))
        await desk.settle()
        assert done.done()
        assert len(desk.heard(engine_io.Started)) == (2 if is_moved else 1)

    desk_test(scenario, tmp_path)


def test_a_block_that_came_early_is_told_to_the_next_height(tmp_path: Path) -> None:
    """While this height is being written, or while syncing, the engine may miss it."""

    async def scenario(desk: Desk) -> None:
        desk.run()
        first = desk.block()
        later = replace(first.header, height=2, parent=first.block_id)
        early = CompleteBlock(later.block_id(), later, first.body, ())
        desk.pool.add_complete(early)
        desk.decide(first)
        await desk.settle()
        arrived = [item.block_id for item in desk.heard(engine_io.BlockArrived)]
        assert early.block_id in arrived

    desk_test(scenario, tmp_path)


def test_a_message_checked_against_keys_that_changed_is_dropped(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.run()
        block = desk.block(rotate())
        real = desk.chain.write

        def write(*args: Any) -> None:
            real(*args)
            # Arrives while the block is being written, checked against the old set.
            desk.driver.feed(engine_io.VoteArrived(vote(2)))

        desk.chain.write = write  # type: ignore[method-assign]
        desk.decide(block)
        await desk.settle()
        assert desk.chain.height == 1
        assert desk.heard(engine_io.VoteArrived) == []

    desk_test(scenario, tmp_path, voter="vote V1")


def test_without_a_change_early_messages_are_kept(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.run()
        block = desk.block()
        real = desk.chain.write

        def write(*args: Any) -> None:
            real(*args)
            desk.driver.feed(engine_io.VoteArrived(vote(2)))

        desk.chain.write = write  # type: ignore[method-assign]
        desk.decide(block)
        await desk.settle()
        assert [item.vote.height for item in desk.heard(engine_io.VoteArrived)] == [2]

    desk_test(scenario, tmp_path)


def test_sets_that_differ_in_a_key_alone_are_different(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.run()
        desk.decide(desk.block(rotate()))
        await desk.settle()
        first, second = desk.heard(engine_io.Started)
        assert first.validators != second.validators
        assert [item.id for item in first.validators.members] == [
            item.id for item in second.validators.members
        ]

    desk_test(scenario, tmp_path, voter="vote V1")


def test_a_rotated_key_votes_no_more_and_the_new_one_at_once(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.run()
        before = desk.driver.account
        desk.decide(desk.block(rotate()))
        await desk.settle()
        after = desk.driver.account
        assert [engine.account for engine in desk.engines] == [before, after]

    desk_test(scenario, tmp_path / "old", voter="vote V0")

    async def other(desk: Desk) -> None:
        desk.signer.persist(SigningState(9, 0, Step.PREVOTE, prevote_block=NIL))
        desk.run()
        assert desk.driver.account is None
        desk.decide(desk.block(rotate()))
        await desk.settle()
        assert desk.driver.account == account_of("V0")
        # The new engine knows what this key signed.
        assert desk.heard(engine_io.Started)[-1].resume == desk.signer.state

    desk_test(other, tmp_path / "new", voter="another vote V0")


def test_a_held_validator_follows_until_it_is_released(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.signer.persist(SigningState(2, 0, Step.PREVOTE, prevote_block=NIL))
        desk.run()
        desk.decide(desk.block())
        await desk.settle()
        assert (desk.chain.height, desk.driver.account) == (1, None)
        assert desk.driver.find_account() == account_of("V0")
        desk.driver.release()
        desk.driver.release()
        await desk.settle()
        assert [engine.account for engine in desk.engines] == [None, account_of("V0")]
        # It begins the height anew, and knows what this key signed.
        started = [item for item in desk.engines[1].heard if isinstance(item, engine_io.Started)]
        assert [(item.height, item.resume) for item in started] == [(2, desk.signer.state)]

    desk_test(scenario, tmp_path, is_held=True)


def test_a_validator_released_while_it_syncs_votes_after_that(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.run()
        block = desk.block()
        synced = desk.pool.block(block.block_id)
        assert synced is not None
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        desk.driver.feed(SyncedInput(synced, desk.certificate(block.block_id), done))
        await done
        desk.driver.release()
        await desk.settle()
        assert desk.driver.account is None
        desk.driver.feed(RestartEngine())
        await desk.settle()
        assert desk.driver.account == account_of("V0")
        assert [item.height for item in desk.heard(engine_io.Started)] == [1, 2]

    desk_test(scenario, tmp_path, is_held=True)


def test_synced_blocks_move_the_head_and_the_engine_starts_after_them(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.run()
        loop = asyncio.get_running_loop()
        candidate = build(desk.chain, [make_transaction(GENESIS, "m1", 0)])
        block = CompleteBlock(
            candidate.block_id, candidate.header, candidate.body, candidate.transactions
        )
        done: asyncio.Future[None] = loop.create_future()
        item = SyncedInput(block, desk.certificate(candidate.block_id), done)
        desk.driver.feed(item)
        await asyncio.wait_for(done, 10)
        desk.driver.feed(engine_io.VoteArrived(vote(2)))  # while syncing: not for this engine
        again: asyncio.Future[None] = loop.create_future()
        desk.driver.feed(SyncedInput(block, item.certificate, again))  # it is final already
        await asyncio.wait_for(again, 10)
        desk.driver.feed(RestartEngine())
        desk.driver.feed(RestartEngine())  # nothing moved since: the engine is left alone
        await desk.settle()
        assert [item.height for item in desk.heard(engine_io.Started)] == [1, 2]
        assert desk.heard(engine_io.VoteArrived) == []

    desk_test(scenario, tmp_path)


def test_a_decided_block_that_is_invalid_here_stops_the_node(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.run()
        candidate = build(desk.chain)
        header = replace(candidate.header, state_root=b"x" * 32)
        block = CompleteBlock(header.block_id(), header, candidate.body, ())
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        desk.driver.feed(SyncedInput(block, desk.certificate(header.block_id()), done))
        assert desk.task is not None
        with pytest.raises(InvariantViolation, match="its software or its state differs"):
            await asyncio.wait_for(desk.task, 10)
        assert desk.chain.height == 0

    desk_test(scenario, tmp_path)


def test_a_persist_is_on_disk_before_what_follows_it(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.run()
        await desk.settle()
        state = SigningState(1, 0, Step.PREVOTE, prevote_block=NIL)
        order: list[str] = []
        real = desk.signer.persist

        def persist(wanted: SigningState) -> None:
            threading.Event().wait(0.05)
            real(wanted)
            order.append("persisted")

        desk.signer.persist = persist  # type: ignore[method-assign]
        desk.broadcast = lambda *_: order.append("sent")  # type: ignore[method-assign]
        own = replace(vote(1), validator_index=0, signature=b"")
        engine = desk.engines[0]

        def react(event: Input) -> list[Output]:
            engine.react = lambda _: []
            return [
                engine_io.Persist(state),
                engine_io.SignVote(own),
                engine_io.Broadcast(vote(1)),
            ]

        engine.react = react
        desk.driver.feed(engine_io.WorkAvailable(0))
        await until(lambda: "sent" in order)
        assert order == ["persisted", "sent"]
        await desk.settle()
        assert desk.heard(engine_io.VoteArrived)[0].vote.signature

    desk_test(scenario, tmp_path)


def test_stopping_waits_for_what_is_being_written(tmp_path: Path) -> None:
    """A store closed under a running write would be the end of the process."""

    async def scenario(desk: Desk) -> None:
        desk.run()
        began, may_end = threading.Event(), threading.Event()
        real = desk.chain.write

        def write(*args: Any) -> None:
            began.set()
            may_end.wait(5)
            real(*args)

        desk.chain.write = write  # type: ignore[method-assign]
        block = desk.block()
        desk.decide(block)
        await until(began.is_set)
        assert desk.task is not None
        desk.task.cancel()
        asyncio.get_running_loop().call_later(0.1, may_end.set)
        await desk.driver.stop()
        assert may_end.is_set()
        assert desk.chain.store._db.get(b"Mheight") == (1).to_bytes(8, "big")

    desk_test(scenario, tmp_path)


def test_a_failed_write_ends_the_run(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.run()

        def write(*args: Any) -> None:
            raise StorageFailure("no space")

        desk.chain.write = write  # type: ignore[method-assign]
        desk.decide(desk.block())
        assert desk.task is not None
        with pytest.raises(StorageFailure):
            await asyncio.wait_for(desk.task, 10)
        assert desk.chain.height == 0
        assert desk.final == []

    desk_test(scenario, tmp_path)


def test_a_quorum_against_us_stops_the_node(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        desk.run()
        certificate = desk.certificate(b"x" * 32)
        desk.engines[0].react = lambda _: [engine_io.QuorumConflict(certificate)]
        desk.driver.feed(engine_io.WorkAvailable(0))
        assert desk.task is not None
        with pytest.raises(InvariantViolation, match="found invalid"):
            await asyncio.wait_for(desk.task, 10)

    desk_test(scenario, tmp_path)


def test_a_locked_block_is_kept_on_disk_and_told_again_after_a_crash(tmp_path: Path) -> None:
    async def lock(desk: Desk) -> None:
        desk.run()
        await desk.settle()
        block = desk.block(make_transaction(GENESIS, "m1", 0))
        state = SigningState(
            1,
            0,
            Step.PRECOMMIT,
            0,
            block.block_id,
            0,
            block.block_id,
            prevote_block=block.block_id,
            precommit_block=block.block_id,
        )
        desk.engines[0].react = lambda _: [engine_io.Persist(state)]
        desk.driver.feed(engine_io.WorkAvailable(0))
        await desk.settle()
        desk.engines[0].react = lambda _: []
        assert list(desk.chain.store.pending()) == [block.block_id]
        assert desk.chain.store.syncs == 2  # genesis, and the block once for both its roles

    desk_test(lock, tmp_path)

    async def resume(desk: Desk) -> None:
        for block_id, (header, body) in desk.chain.store.pending().items():
            desk.pool.add_complete(CompleteBlock(block_id, header, body, ()))
        desk.run()
        await desk.settle()
        started, arrived = desk.engines[0].heard[:2]
        assert isinstance(started, engine_io.Started)
        assert started.resume is not None
        assert isinstance(arrived, engine_io.BlockArrived)
        assert arrived.block_id == started.resume.locked_block

    desk_test(resume, tmp_path)
