"""What registers prove of a time: the least and the greatest energy that can have flowed in it.

Two registers prove the energy between them, not when it flowed: of a gap any part of its intervals
can have carried as much as the connection can, up to all of the gap's energy. Before the first
register of a meter, after the last one, and between two meters nothing is proved. So the bounds
hold whatever the course was, and a further register never widens them: who keeps a true reading
back can only be taken to have moved more, or less, than otherwise.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from market.meters.limits import load_capacity
from market.meters.records import (
    CHUNK_INTERVALS,
    GAS_CHUNK,
    MEASURED,
    Chunk,
    MetersConfig,
    Pair,
    chunk_key,
    decode_chunk,
    decode_gaps,
    gaps_key,
)
from vm.context import GAS_READ, CallContext

GAS_OF_INTERVAL: Final = 10
"""For passing over an interval."""
_GAS_OF_CHUNK: Final = GAS_CHUNK + GAS_OF_INTERVAL * CHUNK_INTERVALS


@dataclass(frozen=True, slots=True)
class Bracket:
    """Between which energies lies what a connection moved in a time."""

    least: Pair
    """Injection and withdrawal that it moved at least."""
    greatest: Pair
    """Injection and withdrawal that it moved at most."""
    is_enclosed: bool
    """Whether registers enclose the time; else some of it is bounded by the connection alone."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Intervals between two bounds that follow one another among those that are known."""

    first: int
    """Its first interval."""
    end: int
    """First interval after it."""
    energy: Pair | None
    """What registers show that it moved; None where they do not enclose it."""


def gas_of_reach(config: MetersConfig) -> int:
    """Return the gas that looking at all that is kept of a member takes at most."""
    return (_GAS_OF_CHUNK + 2 * GAS_READ) * (config.slots + 2)


class Brackets:
    """What a member's registers prove of any time within some intervals; they are read once."""

    __slots__ = ("_capacity", "_chunks", "_config", "_ctx", "_ends", "_member", "_stretches")

    def __init__(
        self, ctx: CallContext, config: MetersConfig, member: bytes, first: int, end: int
    ) -> None:
        self._ctx = ctx
        self._config = config
        self._member = member
        self._capacity = load_capacity(ctx, config, member)
        self._chunks: dict[int, Chunk | None] = {}
        self._stretches = list(self._read(first, end))
        self._ends = [each.end for each in self._stretches]

    def of(self, first: int, end: int) -> Bracket:
        """Return what is proved of the intervals from `first` up to but not including `end`."""
        least, greatest = [0, 0], [0, 0]
        is_enclosed = True
        for place in range(bisect_right(self._ends, first), len(self._stretches)):
            stretch = self._stretches[place]
            if stretch.first >= end:
                break
            inside = max(first, stretch.first), min(end, stretch.end)
            most = self._capacity.energy_milli_wh(*inside)
            elsewhere = self._capacity.energy_milli_wh(stretch.first, stretch.end) - most
            if stretch.energy is None:
                is_enclosed = False
                greatest = [each + most for each in greatest]
                continue
            for way, energy in enumerate(stretch.energy):
                least[way] += max(0, energy - elsewhere)
                greatest[way] += min(energy, most)
        return Bracket((least[0], least[1]), (greatest[0], greatest[1]), is_enclosed)

    def _read(self, first: int, end: int) -> Iterator[_Stretch]:
        """Yield what lies between known bounds, ascending, so far that it covers a time."""
        lowest = self._config.oldest_retained(self._ctx.time_ms)
        highest = self._config.interval_of(self._ctx.time_ms)
        bound = first
        while bound > lowest and not self._is_known(bound):
            bound -= 1
        if not self._is_known(bound):
            bound = first
        while bound < end:
            upper = bound + 1
            while upper < highest and not self._is_known(upper):
                upper += 1
            if not self._is_known(upper):
                yield _Stretch(bound, end, None)
                return
            enclosed = self._is_known(bound) and self._is_shown(upper)
            yield _Stretch(bound, upper, self._energy(bound, upper) if enclosed else None)
            bound = upper

    def _is_known(self, bound: int) -> bool:
        """Tell whether a meter's register at the beginning of an interval is known."""
        if self._is_shown(bound):
            return True
        chunk, place = self._chunk(bound), bound % CHUNK_INTERVALS
        return chunk is not None and (chunk.begins(place) or chunk.quality(place) == MEASURED)

    def _is_shown(self, bound: int) -> bool:
        """Tell whether the meter of the interval before a bound showed its register there."""
        chunk = self._chunk(bound - 1)
        return chunk is not None and chunk.end_is_known((bound - 1) % CHUNK_INTERVALS)

    def _energy(self, first: int, end: int) -> Pair:
        """Return the difference of the registers at two bounds between which none is known."""
        injected = withdrawn = 0
        for interval in range(first, end):
            chunk, place = self._chunk(interval), interval % CHUNK_INTERVALS
            if chunk is not None:
                injected += chunk.injected[place]
                withdrawn += chunk.withdrawn[place]
        if end - first == 1:
            return injected, withdrawn  # its reading came while it was open
        number = (end - 1) // CHUNK_INTERVALS
        data = self._ctx.get(gaps_key(self._config, self._member, number))
        gaps = None if data is None else decode_gaps(data)
        if gaps is not None and gaps.number == number:
            more = gaps.beyond.get((end - 1) % CHUNK_INTERVALS, (0, 0))
            return injected + more[0], withdrawn + more[1]
        return injected, withdrawn

    def _chunk(self, interval: int) -> Chunk | None:
        number = interval // CHUNK_INTERVALS
        if number not in self._chunks:
            data = self._ctx.get(chunk_key(self._config, self._member, number))
            chunk = None
            if data is not None:
                self._ctx.charge(_GAS_OF_CHUNK)
                chunk = decode_chunk(data)
            self._chunks[number] = None if chunk is None or chunk.number != number else chunk
        return self._chunks[number]
