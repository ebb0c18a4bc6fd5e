"""The block pool: blocks that are not final yet, complete or waiting for some of their parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from node.ledger.block import Body, Header
from node.ledger.chain_rules import Candidate, body_matches
from node.ledger.transaction import Transaction
from node.wire import CompactBlock
from vm.primitives.errors import InvalidBlock

MAX_UNASKED: Final = 32
"""Blocks that nobody here asked for, in all."""
MAX_UNASKED_PER_SOURCE: Final = 4
"""The same, of one peer: what junk it sends takes nobody else's place."""
MAX_WANTED: Final = 64
MAX_UNSEALED: Final = 4
MAX_HEIGHTS_AHEAD: Final = 1
MIN_TRANSACTION_BYTES: Final = 170
"""No transaction is shorter, so a block's bytes bound how many it can name."""


@dataclass(frozen=True, slots=True)
class CompleteBlock:
    """A block whose header and body are here and match."""

    block_id: bytes
    """Its id, 32 bytes."""
    header: Header
    """Its header."""
    body: Body
    """Its body."""
    transactions: tuple[Transaction, ...]
    """Its transactions, their signatures checked."""

    def compact(self) -> CompactBlock:
        """Return the block as it travels."""
        return CompactBlock(
            self.header,
            self.body.last_commit,
            self.body.evidence,
            tuple([transaction.id for transaction in self.transactions]),
        )


# mutable: collects a block's missing transactions as they come
@dataclass(slots=True)
class PartialBlock:
    """A block some of whose transactions are not here yet."""

    block_id: bytes
    """Its id, 32 bytes."""
    compact: CompactBlock
    """What came of it."""
    source: bytes
    """The peer that sent it."""
    found: dict[bytes, Transaction]
    """The transactions that are here, by id."""
    missing: set[bytes] = field(default_factory=set)
    """Ids of the others."""

    def complete(self) -> CompleteBlock:
        """Return the block once nothing is missing."""
        transactions = tuple([self.found[transaction_id] for transaction_id in self.compact.ids])
        body = Body(
            self.compact.last_commit,
            self.compact.evidence,
            tuple([transaction.raw for transaction in transactions]),
        )
        return CompleteBlock(self.block_id, self.compact.header, body, transactions)


class BlockPool:
    """Blocks of the next heights by id, with what executing them came to."""

    def __init__(
        self,
        find_waiting: Callable[[bytes], Transaction | None],
        *,
        heights_ahead: int = MAX_HEIGHTS_AHEAD,
        heights_kept: int = 0,
    ) -> None:
        """Look for transactions in the mempool through `find_waiting`.

        Blocks have a place up to `heights_ahead` above the next height, and stay for
        `heights_kept` more heights once they are final.
        """
        self._find_waiting = find_waiting
        self._heights_ahead = heights_ahead
        self._heights_kept = heights_kept
        self._complete: dict[bytes, CompleteBlock] = {}
        self._partial: dict[bytes, PartialBlock] = {}
        self._candidates: dict[bytes, Candidate] = {}
        self._requested: dict[bytes, set[bytes]] = {}
        self._unsealed: dict[bytes, None] = {}
        self._wanted: dict[bytes, None] = {}
        self._unasked: dict[bytes, bytes] = {}
        self._indices: dict[bytes, dict[bytes, Transaction]] = {}

    def block(self, block_id: bytes) -> CompleteBlock | None:
        """Return a complete block, or None."""
        return self._complete.get(block_id)

    def blocks_at(self, height: int) -> list[CompleteBlock]:
        """Return the complete blocks of a height."""
        return [block for block in self._complete.values() if block.header.height == height]

    def blocks_above(self, height: int) -> list[CompleteBlock]:
        """Return the complete blocks above a height, the lowest first."""
        found = [block for block in self._complete.values() if block.header.height > height]
        return sorted(found, key=_at)

    def want(self, block_id: bytes) -> None:
        """Note that the engine needs a block: it has a place, whoever sends it."""
        self._wanted[block_id] = None
        if len(self._wanted) > MAX_WANTED:
            del self._wanted[next(iter(self._wanted))]

    def is_wanted(self, block_id: bytes) -> bool:
        """Tell whether the engine asked for a block."""
        return block_id in self._wanted

    def find_header(self, block_id: bytes) -> Header | None:
        """Return the header of a block, whether or not all of its parts are here, or None."""
        block, partial = self._complete.get(block_id), self._partial.get(block_id)
        if block is not None:
            return block.header
        return partial.compact.header if partial is not None else None

    def find_compact(self, block_id: bytes) -> CompactBlock | None:
        """Return a block as it travels, whether or not all of its parts are here, or None."""
        block, partial = self._complete.get(block_id), self._partial.get(block_id)
        if block is not None:
            return block.compact()
        return partial.compact if partial is not None else None

    def candidate(self, block_id: bytes) -> Candidate | None:
        """Return a block that was built or checked here, or None."""
        return self._candidates.get(block_id)

    def add_candidate(self, candidate: Candidate) -> CompleteBlock:
        """Keep a block with its execution."""
        self._candidates[candidate.block_id] = candidate
        block = CompleteBlock(
            candidate.block_id, candidate.header, candidate.body, candidate.transactions
        )
        self._complete[candidate.block_id] = block
        return block

    def add_unsealed(self, candidate: Candidate) -> None:
        """Keep a block of our own that still wants a seal; of those only the last few.

        Under its present id nobody ever asks for it.
        """
        self._candidates[candidate.block_id] = candidate
        self._unsealed[candidate.block_id] = None
        if len(self._unsealed) > MAX_UNSEALED:
            oldest = next(iter(self._unsealed))
            del self._unsealed[oldest]
            self._candidates.pop(oldest, None)

    def keep_branches(self, block_id: bytes) -> None:
        """Drop what was executed but does not stand on a block that is final now."""
        kept = {block_id: None}
        for candidate in sorted(self._candidates.values(), key=_at):
            if candidate.header.parent in kept:
                kept[candidate.block_id] = None
        self._candidates = {key: item for key, item in self._candidates.items() if key in kept}

    def add_complete(self, block: CompleteBlock) -> None:
        """Keep a block that is complete already."""
        self._complete[block.block_id] = block

    def add_compact(
        self, compact: CompactBlock, source: bytes, height: int, *, max_block_bytes: int
    ) -> PartialBlock | None:
        """Take in what travelled of a block; None if it is known, has no place or no right height.

        `height` is the last final one. Raises InvalidBlock where the parts are not those that the
        header commits to: that says something of the sender, nothing of the block.
        """
        header = compact.header
        block_id = header.block_id()
        if block_id in self._complete or block_id in self._partial:
            return None
        if not height < header.height <= height + 1 + self._heights_ahead:
            return None
        is_wanted = block_id in self._wanted
        if not is_wanted and not self._has_place(source):
            return None
        if len(compact.ids) * MIN_TRANSACTION_BYTES > max_block_bytes:
            raise InvalidBlock("a block names more transactions than fit", actual=len(compact.ids))
        if len(dict.fromkeys(compact.ids)) != len(compact.ids):
            raise InvalidBlock("a block names a transaction twice", actual=block_id)
        if not body_matches(header, Body(compact.last_commit, compact.evidence, ()), compact.ids):
            raise InvalidBlock("the parts of a block are not those of its header", actual=block_id)
        if not is_wanted:
            self._unasked[block_id] = source
        partial = PartialBlock(block_id, compact, source, {})
        for transaction_id in compact.ids:
            transaction = self._find_waiting(transaction_id)
            if transaction is None:
                partial.missing.add(transaction_id)
            else:
                partial.found[transaction_id] = transaction
        if partial.missing:
            self._partial[block_id] = partial
            for transaction_id in partial.missing:
                self._requested.setdefault(transaction_id, set()).add(block_id)
        else:
            self._complete[block_id] = partial.complete()
        return partial

    def is_requested(self, transaction_id: bytes) -> bool:
        """Tell whether some block waits for this transaction."""
        return transaction_id in self._requested

    def partial(self, block_id: bytes) -> PartialBlock | None:
        """Return a block that waits for parts, or None."""
        return self._partial.get(block_id)

    def fill(self, transactions: Iterable[Transaction]) -> list[CompleteBlock]:
        """Put checked transactions where they are missing; return the blocks now complete."""
        done: list[CompleteBlock] = []
        for transaction in transactions:
            for block_id in sorted(self._requested.pop(transaction.id, ())):
                partial = self._partial.get(block_id)
                if partial is None:
                    continue
                partial.found[transaction.id] = transaction
                partial.missing.discard(transaction.id)
                if not partial.missing:
                    del self._partial[block_id]
                    block = partial.complete()
                    self._complete[block_id] = block
                    done.append(block)
        return done

    def find_transaction(self, transaction_id: bytes) -> Transaction | None:
        """Return a transaction of a complete block, or None."""
        for block_id, block in self._complete.items():
            index = self._indices.get(block_id)
            if index is None:
                index = {transaction.id: transaction for transaction in block.transactions}
                self._indices[block_id] = index
            if transaction_id in index:
                return index[transaction_id]
        return None

    def forget(self, height: int) -> None:
        """Drop the blocks up to the final height `height`.

        The complete ones of that height stay for those who are a moment behind.
        """
        oldest = height - self._heights_kept
        for block_id in [key for key, item in self._candidates.items() if _at(item) <= height]:
            del self._candidates[block_id]
        for block_id in [key for key, item in self._complete.items() if _at(item) < oldest]:
            del self._complete[block_id]
            self._indices.pop(block_id, None)
        for block_id, partial in list(self._partial.items()):
            if partial.compact.header.height <= height:
                del self._partial[block_id]
        known = self._complete.keys() | self._partial.keys()
        self._unasked = {key: peer for key, peer in self._unasked.items() if key in known}
        self._requested = {}
        for block_id, partial in self._partial.items():
            for transaction_id in partial.missing:
                self._requested.setdefault(transaction_id, set()).add(block_id)
        self._wanted.clear()

    def _has_place(self, source: bytes) -> bool:
        own = sum(1 for other in self._unasked.values() if other == source)
        return len(self._unasked) < MAX_UNASKED and own < MAX_UNASKED_PER_SOURCE


def _at(block: CompleteBlock | Candidate) -> int:
    return block.header.height
