"""Reading final blocks for answers: bytes as stored, decoded one by one, a few kept at hand."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgpack

from node.api.answers import ApiError
from node.api.busy_blocks import NO_RECEIPTS, BusyBlocks
from node.ledger.block import Header
from node.ledger.chain_rules import Candidate
from node.ledger.receipt import Receipt, decode_receipt
from node.ledger.transaction import Transaction, decode_transaction
from node.store import StorageFailure, Store
from vm.primitives.errors import InvariantViolation

CACHED_BYTES: Final = 8_388_608
"""How many bytes of blocks are kept at hand."""
SLICE_MS: Final = 4
"""How long a search may hold the event loop at a time."""
MAX_MARKS: Final = 1_024
"""Kinds of receipts, or accounts in them, of which the longest stretch without is remembered."""
# What Python adds to each stored item.
_ITEM_BYTES = 64


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block as it is stored."""

    header: Header
    """Its header."""
    block_id: bytes
    """Its id, 32 bytes."""
    transactions: tuple[bytes, ...]
    """Canonical bytes of its transactions."""
    receipts: tuple[bytes, ...]
    """Canonical bytes of its receipts: what was due, the transactions', the block's end."""
    evidence: tuple[bytes, ...]
    """Canonical bytes of its evidence."""
    first: int
    """Place of the first transaction's receipt."""

    @property
    def height(self) -> int:
        """Its height."""
        return self.header.height

    @staticmethod
    def of(block: Candidate) -> StoredBlock:
        """Return a block that is not final yet in the form of the stored ones."""
        return StoredBlock(
            block.header,
            block.block_id,
            block.body.transactions,
            block.executed.encoded_receipts,
            block.body.evidence,
            block.executed.first_transaction,
        )

    def transaction(self, number: int) -> Transaction:
        """Return one of its transactions."""
        return decode_transaction(self.transactions[number])

    def receipt(self, number: int) -> Receipt:
        """Return the receipt of one of its transactions."""
        return decode_receipt(self.receipts[self.first + number])

    def system_receipts(self) -> Sequence[bytes]:
        """Return the receipts of what happened by itself."""
        return self.receipts[: self.first] + self.receipts[self.first + len(self.transactions) :]


class ChainReader:
    """Final blocks by height, the last few used of them in memory."""

    __slots__ = ("_cached", "_cached_bytes", "_quiet", "_store", "busy")

    def __init__(self, store: Store) -> None:
        self._store = store
        self.busy = BusyBlocks(store)
        self._cached: OrderedDict[int, tuple[StoredBlock, int]] = OrderedDict()
        self._cached_bytes = 0
        # By marks: no final block above the first height, up to the second, has receipts with them.
        self._quiet: dict[tuple[bytes, ...], tuple[int, int]] = {}

    def block(self, height: int) -> StoredBlock:
        """Return the final block at `height`; raises ApiError 410 where it was pruned."""
        self._validate_kept(height)
        found = self._cached.get(height)
        if found is not None:
            self._cached.move_to_end(height)
            return found[0]
        block, size = self._load(height)
        self._cached[height] = (block, size)
        self._cached_bytes += size
        while self._cached_bytes > CACHED_BYTES and len(self._cached) > 1:
            _, (_, dropped) = self._cached.popitem(last=False)
            self._cached_bytes -= dropped
        return block

    def header(self, height: int) -> Header:
        """Return the header of the final block at `height`; raises ApiError 410 if it is gone."""
        found = self._store.head(height)
        if found is None:
            self._validate_kept(height)
            raise InvariantViolation(f"the store lacks the head of final block {height}")
        return found.header

    def count_transactions(self, height: int) -> int:
        """Return how many transactions a final block holds, without decoding them."""
        self._validate_kept(height)
        stored = self._store.body_bytes(height)
        if stored is None:
            raise InvariantViolation(f"the store lacks the body of final block {height}")
        unpacker = msgpack.Unpacker(max_buffer_size=len(stored))
        unpacker.feed(stored)
        unpacker.read_array_header()
        for _ in range(4):
            unpacker.skip()
        return int(unpacker.read_array_header())

    def skip_quiet(self, height: int, lowest: int, marks: tuple[bytes, ...] = ()) -> int:
        """Return the first height from `height` down with receipts that hold all `marks`.

        Returns `lowest` where there is none above it, and where it stopped when a slice of time
        was up: what stands at the returned height is for the caller to see. The chain of a quiet
        night has a hundred thousand empty blocks: reading their receipts alone takes a
        microsecond each, and the longest stretch without the marks is remembered. Blocks known
        to have no receipts are passed over whatever the marks.
        """
        low, high = self._quiet.get(marks, (0, 0))
        top, start = height, height
        if height > high:
            found, bottom = self._scan(height, max(lowest, high), marks)
            if bottom > high or lowest > high:
                self._remember(marks, bottom, top)
                return found
            start = high
        if low <= start <= high:
            top, start = max(top, high), max(low, lowest)
        found, bottom = self._scan(start, lowest, marks)
        self._remember(marks, bottom, top)
        return found

    def _scan(self, height: int, lowest: int, marks: tuple[bytes, ...]) -> tuple[int, int]:
        """Look from `height` down; return what `skip_quiet` does, and above where all is quiet."""
        end_s = time.monotonic() + SLICE_MS / 1000
        top = self.busy.at_most(height)
        while top > lowest:
            for found, stored in self._store.receipts_from(top):
                if found <= lowest:
                    return lowest, lowest
                if stored != NO_RECEIPTS and all(mark in stored for mark in marks):
                    return found, found
                if time.monotonic() >= end_s:
                    return found, found - 1
                if stored == NO_RECEIPTS and self.busy.knows(found):
                    break
            else:
                return lowest, lowest
            top = self.busy.at_most(found)
        return lowest, lowest

    def _remember(self, marks: tuple[bytes, ...], low: int, high: int) -> None:
        known_low, known_high = self._quiet.get(marks, (0, 0))
        if marks not in self._quiet and len(self._quiet) >= MAX_MARKS:
            del self._quiet[next(iter(self._quiet))]
        if high - low > known_high - known_low:
            self._quiet[marks] = (low, high)

    def find_height(self, which: int | bytes | None) -> int:
        """Return the height of the block with a height or id, or of the latest.

        Raises ApiError 404 where there is none.
        """
        head = self._store.height
        if which is None:
            return head
        if isinstance(which, bytes):
            height = self._store.find_block(which)
            if height is None:
                raise ApiError(
                    404,
                    "unknown_block",
                    "no final block has this id",
                    actual=which,
                    hint=self.pruned_hint() or None,
                )
            return height
        if which > head:
            raise ApiError(
                404,
                "unknown_block",
                "there is no final block at this height yet",
                expected=f"0 to {head}",
                actual=which,
            )
        return which

    def pruned_hint(self) -> str:
        """Return what to say of what is not found here; empty where every block is here."""
        base = self._store.base
        return f"Pruned below height {base} here: ask a node in archive mode." if base else ""

    def _validate_kept(self, height: int) -> None:
        if height < self._store.base:
            raise self.pruned(height)

    def pruned(self, height: int) -> ApiError:
        """Return what to say of a block that is not here any more."""
        base = self._store.base
        return ApiError(
            410,
            "pruned",
            f"pruned below height {base}: this node has no older blocks and receipts",
            expected=f"at least {base}",
            actual=height,
            hint="Ask a node in archive mode.",
        )

    def _load(self, height: int) -> tuple[StoredBlock, int]:
        header = self.header(height)
        body = self._store.body(height)
        if body is None:
            raise InvariantViolation(f"the store lacks the body of final block {height}")
        receipts = self._store.receipt_bytes(height)
        first = _first_receipt(receipts, body.transactions, height)
        block = StoredBlock(
            header, header.block_id(), body.transactions, receipts, body.evidence, first
        )
        items = (*body.transactions, *receipts, *body.evidence)
        return block, 2_048 + sum([len(item) + _ITEM_BYTES for item in items])


def _first_receipt(receipts: Sequence[bytes], transactions: Sequence[bytes], height: int) -> int:
    """Return where the transactions' receipts begin: at the one that names the first of them."""
    if not transactions:
        return len(receipts)
    wanted = decode_transaction(transactions[0]).id
    for place, data in enumerate(receipts):
        if wanted in data and decode_receipt(data).transaction_id == wanted:
            if place + len(transactions) <= len(receipts):
                return place
    raise StorageFailure(f"the receipts of block {height} do not belong to its transactions")


class Pace:
    """A search that shares the event loop, and ends when its time is up."""

    __slots__ = ("_end_s", "_slice_end_s")

    def __init__(self, search_ms: int) -> None:
        now_s = time.monotonic()
        self._end_s = now_s + search_ms / 1000
        self._slice_end_s = now_s + SLICE_MS / 1000

    async def may_go_on(self) -> bool:
        """Let others run if it is their turn; tell whether there is time left."""
        now_s = time.monotonic()
        if now_s >= self._slice_end_s:
            await asyncio.sleep(0)
            now_s = time.monotonic()
            self._slice_end_s = now_s + SLICE_MS / 1000
        return now_s < self._end_s
