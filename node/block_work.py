"""The work on blocks: builds and checks them in slices, so that votes are heard meanwhile.

One task works through what is asked for. Nothing asked for is lost but by `cancel`: an engine asks
once per block, and waits for the answer as long as the height lasts.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from consensus.interface import BlockBuilt, BlockChecked, Input
from node.block_pool import BlockPool, CompleteBlock
from node.chain import Chain
from node.ledger.chain_rules import Candidate
from node.ledger.transaction import Transaction
from node.mempool import Mempool
from vm.primitives.errors import InvalidBlock, InvariantViolation

_log = logging.getLogger("bitenergy.driver")

SLICE_TRANSACTIONS: Final = 64
BUILD_BUDGET_S: Final = 0.4
"""How long round 0 fills a block; a later round fills less, so that others can check it in time."""
LEAST_BUILD_BUDGET_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class _Order:
    """What an engine wants built."""

    height: int
    round: int
    proposer: bytes
    evidence: Sequence[bytes]


class BlockWork:
    """Builds and checks blocks for the heights after the final head."""

    def __init__(
        self,
        chain: Chain,
        pool: BlockPool,
        mempool: Mempool,
        *,
        answer: Callable[[Input], None],
        on_error: Callable[[BaseException], None],
        clock_ms: Callable[[], int],
    ) -> None:
        """`answer` takes `BlockBuilt` and `BlockChecked`; `on_error` what stops the node."""
        self._chain = chain
        self._pool = pool
        self._mempool = mempool
        self._answer = answer
        self._on_error = on_error
        self._clock_ms = clock_ms
        self._to_build: _Order | None = None
        self._to_check: deque[bytes] = deque()
        self._task: asyncio.Task[None] | None = None
        self.executed = 0

    def build(
        self, height: int, round_: int, proposer: bytes | None, evidence: Sequence[bytes]
    ) -> None:
        """Build a block for a round; one still being built for an earlier round is given up."""
        if proposer is None:
            raise InvariantViolation("the engine asked a node without account to build")
        self._to_build = _Order(height, round_, proposer, evidence)
        self._start()

    def check(self, block_id: bytes) -> None:
        """Check a block of the pool, after those asked for before."""
        self._to_check.append(block_id)
        self._start()

    async def wait(self) -> bool:
        """Wait until nothing is being built or checked; tell whether there was anything."""
        if self._task is None or self._task.done():
            return False
        await asyncio.wait({self._task})
        return True

    def cancel(self) -> None:
        """Give up everything: the height is over."""
        self._to_build = None
        self._to_check.clear()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def execute(self, block: CompleteBlock) -> Candidate:
        """Return a complete block as executed on its parent; raises InvalidBlock."""
        checking = self._chain.checking(
            block.header,
            block.body,
            block.transactions,
            stands_on=self._pool.candidate(block.header.parent),
        )
        self.executed += len(block.transactions)
        for _ in checking.steps(slice_size=SLICE_TRANSACTIONS):
            await asyncio.sleep(0)
        if checking.candidate is None:
            raise InvariantViolation("a block was checked without result")
        return checking.candidate

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())
            self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)

    async def _run(self) -> None:
        while True:
            if self._to_build is not None:
                order, self._to_build = self._to_build, None
                await self._build(order)
            elif self._to_check:
                await self._check(self._to_check.popleft())
            else:
                return

    async def _build(self, order: _Order) -> None:
        if not self._chain.may_propose(order.proposer):
            return  # its role went in a block that is not final yet; the engine asks again
        building = self._chain.building(
            time_ms=self._clock_ms(), proposer=order.proposer, evidence=order.evidence
        )
        budget_s = max(BUILD_BUDGET_S / (order.round + 1), LEAST_BUILD_BUDGET_S)
        waiting = self._within(budget_s)
        for _ in building.steps(waiting, slice_size=SLICE_TRANSACTIONS):
            await asyncio.sleep(0)
            if self._to_build is not None:
                return  # a later round wants a block of its own
        candidate = building.candidate
        if candidate is None:
            raise InvariantViolation("a block was built without result")
        # After one that cannot stand the sender's later ones wait: only their nonce is wrong now.
        self._mempool.remove([item for item, why in building.dropped if why.code != "wrong_nonce"])
        if self._chain.is_by_depth:
            self._pool.add_unsealed(candidate)
        else:
            self._pool.add_candidate(candidate)
        time_ms = candidate.header.time_ms
        self._answer(BlockBuilt(order.height, order.round, candidate.block_id, time_ms))

    async def _check(self, block_id: bytes) -> None:
        block = self._pool.block(block_id)
        if block is None:
            raise InvariantViolation("the engine asked to check a block that is not here")
        valid = self._pool.candidate(block_id) is not None
        if not valid:
            try:
                self._pool.add_candidate(await self.execute(block))
                valid = True
            except InvalidBlock as error:
                _log.warning("invalid block", extra={"block": block_id, "reason": str(error)})
        self._answer(BlockChecked(block_id, valid))

    def _within(self, budget_s: float) -> Iterator[Transaction]:
        """Yield what waits until the time is used up, but always the first.

        Gas bounds the work of a block by rule; on a slow or busy machine this bounds it by the
        clock, and so a block that took too long is smaller in the next round.
        """
        clock = asyncio.get_running_loop().time
        end_s = clock() + budget_s
        for transaction in self._mempool.ready():
            self.executed += 1
            yield transaction
            if clock() >= end_s:
                return
