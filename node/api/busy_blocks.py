"""Which final blocks have receipts, as far as somebody looked: those of a quiet night have none.

A node looks after its start, little by little, so that who searches first does not have to; and now
and then at what has come since. It goes back as far as receipts are few.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from bisect import bisect_right
from typing import Final

from node.store import Store
from vm.primitives.codec import encode_trusted

NO_RECEIPTS: Final = encode_trusted(())
"""What is stored of a block without receipts."""
SLICE_MS: Final = 4
"""How long a look holds the event loop at a time."""
PAUSE_S: Final = 0.016
"""How long others have it in between."""
REST_S: Final = 30.0
"""When it is looked at what has come since."""
MAX_BUSY: Final = 8_192
MAX_LOOKED_BYTES: Final = 4_194_304
"""Of the receipts that are looked at on the way back: where they are many, passing over empty
blocks saves nothing."""
STEP: Final = 16
"""Blocks on the way up that are looked at together."""


class BusyBlocks:
    """The heights of blocks with receipts, within the stretch of the chain that was looked at."""

    __slots__ = ("_busy", "_high", "_looked_bytes", "_low", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        # Ascending: the heights above `_low`, up to `_high`, whose blocks have receipts.
        self._busy = array("Q")
        self._low = self._high = store.height
        self._looked_bytes = 0

    def knows(self, height: int) -> bool:
        """Tell whether the block at a height was looked at."""
        return self._low < height <= self._high

    def at_most(self, height: int) -> int:
        """Return the greatest height, up to `height`, that is not known to have no receipts."""
        if not self.knows(height):
            return height
        place = bisect_right(self._busy, height)
        return self._busy[place - 1] if place else self._low

    def look(self) -> bool:
        """Look on for a slice of time; tell whether there is more to look at."""
        head = self._store.height
        if self._high < head:
            self._look_up(min(head, self._high + STEP))
            return True
        oldest = max(0, self._store.base - 1)
        if self._low <= oldest or len(self._busy) >= MAX_BUSY:
            return False
        if self._looked_bytes >= MAX_LOOKED_BYTES:
            return False
        self._look_down(oldest)
        return True

    async def follow(self) -> None:
        """Look at all there is, and then at what comes."""
        while True:
            has_more = self.look()
            await asyncio.sleep(PAUSE_S if has_more else REST_S)

    def _look_up(self, top: int) -> None:
        found = array("Q")
        for height, stored in self._store.receipts_from(top):
            if height <= self._high:
                break
            if stored != NO_RECEIPTS:
                found.append(height)
        found.reverse()
        self._busy += found
        self._high = top
        if (spare := len(self._busy) - MAX_BUSY) > 0:
            self._low = self._busy[spare - 1]
            del self._busy[:spare]

    def _look_down(self, oldest: int) -> None:
        end_s = time.monotonic() + SLICE_MS / 1000
        found, low = array("Q"), oldest
        for height, stored in self._store.receipts_from(self._low):
            if height <= oldest:
                break
            self._looked_bytes += len(stored)
            if stored != NO_RECEIPTS:
                found.append(height)
            if time.monotonic() >= end_s:
                low = height - 1
                break
        found.reverse()
        self._busy = found + self._busy
        self._low = low
