"""The work gate: refuses headers with too little work before anything costly is done for them.

It looks at headers alone. Where the parent is known it demands exactly what the rule of the
difficulty says; where it is not, at least what that rule could have come down to since the last
final block.
"""

from __future__ import annotations

from consensus.work import (
    DAMPING,
    LONGEST_INTERVALS,
    WorkRules,
    counted_interval_ms,
    next_difficulty,
    proved_work,
)
from node.block_pool import BlockPool
from node.chain import Chain
from node.ledger.block import Header
from node.ledger.proof_paths import TrustedBlock
from vm.primitives.errors import InvalidBlock


class WorkGate:
    """What stands before the door of blocks under proof of work."""

    def __init__(
        self, rules: WorkRules, chain: Chain, pool: BlockPool, trusted: TrustedBlock | None = None
    ) -> None:
        """Look up parents in `pool` and at the head of `chain`; refuse what is not `trusted`."""
        self._trusted = trusted
        self._rules = rules
        self._chain = chain
        self._pool = pool

    def may_mine(self, local_time_ms: int) -> bool:
        """Tell whether the chain cannot be an old one: so young a tip nobody is far ahead of.

        Who mines on an old tip alone makes a chain of its own final before it hears of the others'.
        """
        span_ms = self._rules.finality_depth * self._rules.target_interval_ms
        return local_time_ms - self._chain.tip.time_ms <= span_ms

    def admit(self, header: Header, block_id: bytes) -> bool:
        """Tell whether a block that arrived by itself may stand; raises InvalidBlock.

        False says that it is of no use here, and nothing against who sent it.
        """
        if header.height <= self._chain.height:
            return False
        work = self._proved(header, block_id)
        parent = self._find(header.parent)
        if parent is None:
            return work >= self._floor(header.height)
        self._validate(header, work, parent)
        self._pool.want(block_id)
        return True

    def validate(self, header: Header, block_id: bytes) -> None:
        """Raise InvalidBlock unless a block of block sync stands on ours and has its work."""
        parent = self._find(header.parent)
        if parent is None:
            raise InvalidBlock(
                "the peer's chain parts from ours at or below our last final block",
                expected=self._chain.block_id,
                actual=header.parent,
                hint="If most members follow the peer, resync this node.",
            )
        self._validate(header, self._proved(header, block_id), parent)

    def _proved(self, header: Header, block_id: bytes) -> int:
        trusted = self._trusted
        if trusted is not None and trusted.height == header.height and trusted.block_id != block_id:
            raise InvalidBlock(
                "the block is not the trusted one", expected=trusted.block_id, actual=block_id
            )
        work = proved_work(block_id, header.seal)
        if not work:
            raise InvalidBlock("the block's seal proves no work", actual=header.seal)
        return work

    def _validate(self, header: Header, work: int, parent: Header) -> None:
        if header.height != parent.height + 1 or header.time_ms <= parent.time_ms:
            raise InvalidBlock(
                "height or time do not follow the parent's",
                expected=f"{parent.height + 1}, above {parent.time_ms}",
                actual=f"{header.height}, {header.time_ms}",
            )
        needed = self._needed(parent)
        if needed is not None and work != needed:
            raise InvalidBlock("the block has another difficulty", expected=needed, actual=work)

    def _needed(self, parent: Header) -> int | None:
        """Return the difficulty of a block on `parent`; None where its own parent is unknown."""
        work = proved_work(parent.block_id(), parent.seal)
        before = self._find(parent.parent) if parent.height > 1 else parent
        if before is None:
            return None
        interval_ms = counted_interval_ms(
            self._rules, parent.height, parent.time_ms, before.time_ms
        )
        return next_difficulty(self._rules, work, interval_ms)

    def _floor(self, height: int) -> int:
        """Return the least difficulty at a height, if all blocks since the final one were late."""
        head = self._chain.header
        work = proved_work(self._chain.block_id, head.seal)
        if not work:
            return self._rules.min_difficulty
        for _ in range(height - head.height):
            if work <= self._rules.min_difficulty:
                break
            work -= -(-work * (LONGEST_INTERVALS - 1) // DAMPING)
        return max(work, self._rules.min_difficulty)

    def _find(self, block_id: bytes) -> Header | None:
        """Return the header of a block that is complete here, or of the last two final ones."""
        chain = self._chain
        if block_id == chain.block_id:
            return chain.header
        if chain.height and block_id == chain.header.parent:
            found = chain.store.head(chain.height - 1)
            return None if found is None else found.header
        block = self._pool.block(block_id)
        return None if block is None else block.header
