"""Whom block sync asks: which heights peers claim and hold, and how they have served so far.

A peer that promises blocks and does not give them is passed over for a while, and asked last from
then on, whatever height it claims; so is one that always answers at the last moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container
from dataclasses import dataclass
from typing import Final

PASSED_OVER_S: Final = 30.0
SLOW_ANSWER_S: Final = 3.0
MAX_REMEMBERED: Final = 1_024


# mutable: what a peer has done so far
@dataclass(slots=True)
class _Record:
    """How a peer has served us, beyond its connections."""

    failures: int = 0
    """Times it gave nothing, gave what does not hold, or was slow."""
    ask_after_s: float = 0.0
    """From when on it may be asked, seconds of the loop's time."""


class SyncPeers:
    """The peers as sources of final blocks."""

    def __init__(self) -> None:
        self._claims: dict[bytes, int] = {}
        self._bases: dict[bytes, int] = {}
        self._records: dict[bytes, _Record] = {}

    def note_height(self, peer: bytes, height: int) -> None:
        """Take note of a peer's last final height."""
        self._claims[peer] = height

    def note_base(self, peer: bytes, base: int) -> None:
        """Take note of the lowest height whose block a peer still has."""
        self._bases[peer] = base

    def forget(self, peer: bytes) -> None:
        """Forget where a peer stands; how it served stays."""
        self._claims.pop(peer, None)
        self._bases.pop(peer, None)

    def claimed_height(self, peer: bytes) -> int:
        """Return the height that a peer claims; 0 if it claims none."""
        return self._claims.get(peer, 0)

    def best_height(self) -> int:
        """Return the highest height that a peer claims."""
        return max(self._claims.values(), default=0)

    def told_heights(self, own_height: int) -> dict[bytes, int]:
        """Return the heights that peers told, without those of whom claimed blocks above
        `own_height` and did not give them.
        """
        now_s = _now_s()
        return {
            peer: height
            for peer, height in self._claims.items()
            if height <= own_height
            or peer not in self._records
            or self._records[peer].ask_after_s <= now_s
        }

    def lowest_held(self, height: int) -> int | None:
        """Return the lowest height that anybody ahead of `height` still has, None if none is."""
        bases = [self._bases.get(peer, 0) for peer, at in self._claims.items() if at > height]
        return min(bases, default=None)

    def wait_s(self, height: int) -> float | None:
        """Return how long until somebody ahead of `height` may be asked; None if nobody is."""
        now_s = _now_s()
        waits = [
            self._record(peer).ask_after_s - now_s
            for peer, at in self._claims.items()
            if at > height and self._bases.get(peer, 0) <= height + 1
        ]
        return max(min(waits), 0.01) if waits else None

    def pick(self, first: int, last: int, *, busy: Container[bytes] = ()) -> bytes | None:
        """Return who served best of those that have the block at `first` and claim `last`.

        Among equals the one that claims most; those in `busy` are left out.
        """
        now_s = _now_s()
        best: bytes | None = None
        best_rank = (0, 0)
        for peer, height in self._claims.items():
            record = self._record(peer)
            if height < last or self._bases.get(peer, 0) > first or peer in busy:
                continue
            rank = (-record.failures, height)
            if record.ask_after_s <= now_s and (best is None or rank > best_rank):
                best, best_rank = peer, rank
        return best

    def note_answer(self, peer: bytes, seconds: float) -> None:
        """Count an answer that came late."""
        if seconds > SLOW_ANSWER_S:
            self._record(peer).failures += 1

    def pass_over(self, peer: bytes) -> None:
        """Do not ask a peer for a while, and later after the others."""
        record = self._record(peer)
        record.failures += 1
        record.ask_after_s = _now_s() + PASSED_OVER_S

    def _record(self, peer: bytes) -> _Record:
        record = self._records.get(peer)
        if record is None:
            if len(self._records) >= MAX_REMEMBERED:
                del self._records[next(iter(self._records))]
            record = self._records[peer] = _Record()
        return record


def _now_s() -> float:
    return asyncio.get_running_loop().time()
