"""The preferred branch above the last final block, under engines that decide by depth.

Its blocks are stacked overlays: undoing one drops it. Transactions of undone blocks wait in the
mempool again.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence

from consensus.interface import (
    BlockArrived,
    BlockChecked,
    BlockSealed,
    BuildBlock,
    Engine,
    Finalised,
    Input,
    Output,
    ScheduleTimeout,
    Started,
)
from consensus.work import proved_work
from node.block_pool import BlockPool, CompleteBlock
from node.chain import Chain
from node.ledger.block import Header
from node.ledger.chain_rules import Candidate
from node.mempool import Mempool
from node.miner import Sealer
from vm.primitives.errors import InvalidTransaction, InvariantViolation

_log = logging.getLogger("bitenergy.driver")

OnChange = Callable[[Sequence[Candidate], Sequence[Candidate]], None]
"""Told of the blocks undone and the blocks applied, lowest first each."""


class UndecidedChain:
    """Blocks that are executed and preferred, but may still be undone."""

    def __init__(
        self,
        chain: Chain,
        pool: BlockPool,
        mempool: Mempool,
        sealer: Sealer | None,
        *,
        on_change: OnChange,
    ) -> None:
        """`sealer` is None at a node that does not mine."""
        self._chain = chain
        self._pool = pool
        self._mempool = mempool
        self._sealer = sealer
        self._on_change = on_change
        self._saved: dict[bytes, None] = {}
        self.blocks: list[Candidate] = []
        """From above the last final block up to the tip."""
        self.reorganisations = 0
        """How often blocks were undone."""

    def ids(self) -> Sequence[bytes]:
        """Return the ids of the blocks above the last final one."""
        return [block.block_id for block in self.blocks]

    def adopt(self, ancestor: bytes, block_ids: Sequence[bytes]) -> None:
        """Undo the blocks above `ancestor` and apply others."""
        if self._sealer is not None:
            self._sealer.cancel()
        kept = 0
        if ancestor != self._chain.block_id:
            kept = self.ids().index(ancestor) + 1
        undone, applied = self.blocks[kept:], [self._executed(each) for each in block_ids]
        self.blocks[kept:] = applied
        tip = self.blocks[-1]
        self._chain.prefer(tip)
        self._mempool.stand_on(tip.executed.state)
        self._return_transactions(undone, applied)
        for block in applied:
            self._save(block)
        if undone:
            self.reorganisations += 1
            _log.info(
                "reorganised",
                extra={"height": tip.header.height, "undone": len(undone), "tip": tip.block_id},
            )
        self._on_change(undone, applied)

    def tell(
        self,
        engine: Engine,
        started: Started,
        arrived: Callable[[CompleteBlock], BlockArrived],
    ) -> Sequence[Output]:
        """Start a new engine with the preferred branch; return what is left for it to do."""
        outputs = engine.handle(started)
        for candidate in self.blocks:
            block = self._pool.block(candidate.block_id)
            if block is not None:
                outputs += engine.handle(arrived(block))
                outputs += engine.handle(BlockChecked(candidate.block_id, valid=True))
        left: list[Output] = [
            each for each in outputs if isinstance(each, BuildBlock | ScheduleTimeout)
        ]
        return left + [each for each in outputs if isinstance(each, Finalised)]

    def settle(self, final: Candidate) -> None:
        """Take note that the lowest block is final, and was written."""
        if not self.blocks or self.blocks[0].block_id != final.block_id:
            raise InvariantViolation("the engine finalised a block that is not the preferred one")
        del self.blocks[0]
        self._saved = dict.fromkeys(key for key in self._saved if key in self.ids())
        self._pool.keep_branches(final.block_id)
        final.executed.state.settle(self._chain.store)
        if not self.blocks:
            self._mempool.stand_on(self._chain.store)

    def forget(self) -> None:
        """Let go of all blocks: the chain stands on another head, whose state came by itself."""
        self.blocks.clear()
        self._saved.clear()
        self._mempool.stand_on(self._chain.store)

    def seal(self, block_id: bytes, work: int, answer: Callable[[Input], None]) -> None:
        """Have a built block sealed; `answer` takes `BlockSealed`."""
        built = self._executed(block_id)
        if self._sealer is None:
            raise InvariantViolation("the engine asked a node that does not mine for a seal")

        def found(header: Header) -> None:
            sealed = Candidate(
                header, header.block_id(), built.body, built.transactions, built.executed
            )
            self._pool.add_candidate(sealed)
            proved = proved_work(sealed.block_id, header.seal)
            answer(BlockSealed(block_id, sealed.block_id, proved))

        self._sealer.search(built.header, work, found)

    def _executed(self, block_id: bytes) -> Candidate:
        candidate = self._pool.candidate(block_id)
        if candidate is None:
            raise InvariantViolation("the engine names a block that was never executed")
        return candidate

    def _return_transactions(
        self, undone: Sequence[Candidate], applied: Sequence[Candidate]
    ) -> None:
        taken = [transaction for block in applied for transaction in block.transactions]
        self._mempool.remove(taken)
        ids = {transaction.id for transaction in taken}
        context = self._chain.next_context()
        for block in undone:
            for transaction in block.transactions:
                if transaction.id not in ids:
                    # It may have expired on this branch, or its sender spent its nonce otherwise.
                    with contextlib.suppress(InvalidTransaction):
                        self._mempool.add(transaction, context)
        senders = dict.fromkeys(
            transaction.sender for block in applied for transaction in block.transactions
        )
        self._mempool.prune(list(senders), context)

    def _save(self, block: Candidate) -> None:
        """Write a block beside the chain, unsynced: peers have it, if the machine loses it."""
        if block.block_id not in self._saved:
            self._saved[block.block_id] = None
            header, body = block.header.encode(), block.body.encode()
            self._chain.store.save_pending(block.block_id, header, body, synced=False)
