"""Pruning: a full node deletes old blocks with their receipts and indices, and frees their bytes.

What is needed later stays: the state, the validators of every height, and the heads of the blocks
that changed them. Blocks go many at a time, so that the database is seldom compacted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from node.block_index import (
    BLOCK_ID,
    BODY,
    HEAD,
    HISTORY,
    RECEIPTS,
    TRANSACTION,
    height_bytes,
    involved_accounts,
)
from node.ledger.transaction import decode_transaction
from node.store import Store
from node.threads import run_to_end

_log = logging.getLogger("bitenergy.pruning")

MOST_OVER_PARTS: Final = 4
"""Blocks go when a fourth more are here than are to be kept."""
BATCH_BLOCKS: Final = 32
_COMPACTED: Final = (BODY, RECEIPTS, TRANSACTION, HEAD, BLOCK_ID, HISTORY)


class Pruner:
    """Keeps the last blocks of a store, and deletes those before."""

    def __init__(
        self,
        store: Store,
        *,
        keep_blocks: int,
        spawn: Callable[[Awaitable[None]], None],
        on_pruned: Callable[[], None],
    ) -> None:
        """`on_pruned` follows when there are fewer blocks than before."""
        self._store = store
        self._keep = keep_blocks
        self._spawn = spawn
        self._on_pruned = on_pruned
        self._is_pruning = False

    def on_final(self, height: int) -> None:
        """Prune if there is enough to prune."""
        if not self._is_pruning and height - self._store.base >= self._most():
            self._is_pruning = True
            self._spawn(self._prune(height - self._keep + 1))

    def _most(self) -> int:
        return self._keep + max(self._keep // MOST_OVER_PARTS, 1)

    async def _prune(self, base: int) -> None:
        before = self._store.base
        try:
            for first in range(before, base, BATCH_BLOCKS):
                last = min(first + BATCH_BLOCKS, base)
                keys: list[bytes] = []
                for height in range(first, last):
                    keys += _keys_of(self._store, height)
                    await asyncio.sleep(0)
                # Readers first: nobody is to look for what is about to go.
                self._store.base = last
                await run_to_end(partial(self._store.drop, keys, last))
            self._on_pruned()
            self._store.show_base(base)
            for prefix in _COMPACTED:
                await run_to_end(partial(self._store.compact, prefix))
            _log.info("pruned", extra={"from_height": before, "base": base})
        finally:
            self._is_pruning = False


def _keys_of(store: Store, height: int) -> list[bytes]:
    """Return the entries of one block that are not needed any more."""
    found, body = store.head(height), store.body(height)
    at = height_bytes(height)
    keys = [BODY + at, RECEIPTS + at]
    if found is not None and height and found.header.next_validators == found.header.validators:
        keys += [HEAD + at, BLOCK_ID + found.header.block_id()]
    if body is not None and body.transactions:
        transactions = [decode_transaction(raw) for raw in body.transactions]
        receipts = store.receipts(height)
        first = next(
            number
            for number, receipt in enumerate(receipts)
            if receipt.transaction_id == transactions[0].id
        )
        keys += [TRANSACTION + transaction.id for transaction in transactions]
        keys += [
            HISTORY + account + at for account in involved_accounts(transactions, receipts, first)
        ]
    return keys
