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
from typing import Final, NamedTuple

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
    load_connection,
)
from vm.context import GAS_READ, CallContext

GAS_OF_INTERVAL: Final = 20
"""For passing over an interval, and for telling what is proved of it."""
_GAS_OF_CHUNK: Final = GAS_CHUNK + GAS_OF_INTERVAL * CHUNK_INTERVALS


_NOTHING_READ: Final = Chunk(0)
"""In place of a chunk that is not kept."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """Between which energies lies what a connection moved in a time."""

    least: Pair
    """Injection and withdrawal that it moved at least."""
    greatest: Pair
    """Injection and withdrawal that it moved at most."""
    is_enclosed: bool
    """Whether registers enclose the time; else some of it is bounded by the connection alone."""


class _Stretch(NamedTuple):
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

    __slots__ = (
        "_capacity",
        "_chunks",
        "_config",
        "_ctx",
        "_ends",
        "_member",
        "_rollover",
        "_stretches",
    )

    def __init__(
        self, ctx: CallContext, config: MetersConfig, member: bytes, first: int, end: int
    ) -> None:
        self._ctx = ctx
        self._config = config
        self._member = member
        self._capacity = load_capacity(ctx, config, member)
        connection = load_connection(ctx, member)
        self._rollover = 0 if connection is None else connection.rollover_milli_wh
        self._chunks: dict[int, Chunk | None] = {}
        self._stretches = list(self._read(first, end))
        self._ends = [each.end for each in self._stretches]

    def of(self, first: int, end: int) -> Bracket:
        """Return what is proved of the intervals from `first` up to but not including `end`."""
        injected, withdrawn = [0, 0], [0, 0]
        is_enclosed = True
        for place in range(bisect_right(self._ends, first), len(self._stretches)):
            begin, until, energy = self._stretches[place]
            if begin >= end:
                break
            if energy is not None and first <= begin and until <= end:
                injected[0] += energy[0]
                injected[1] += energy[0]
                withdrawn[0] += energy[1]
                withdrawn[1] += energy[1]
                continue
            most = self._capacity.energy_milli_wh(max(first, begin), min(end, until))
            elsewhere = self._capacity.energy_milli_wh(begin, until) - most
            if energy is None:
                is_enclosed = False
            for found, moved in zip((injected, withdrawn), energy or (0, 0), strict=True):
                found[0] += max(0, moved - elsewhere)
                found[1] += most if energy is None else min(moved, most)
        return Bracket((injected[0], withdrawn[0]), (injected[1], withdrawn[1]), is_enclosed)

    def _read(self, first: int, end: int) -> Iterator[_Stretch]:
        """Yield what lies between known bounds, ascending, so far that it covers a time."""
        begin = self._known_before(first)
        is_known = begin is not None
        begin = first if begin is None else begin
        highest = self._config.interval_of(self._ctx.time_ms)
        interval, injected, withdrawn = begin, 0, 0
        number, chunk = -1, _NOTHING_READ
        while begin < end and interval < highest:
            if interval // CHUNK_INTERVALS != number:
                number = interval // CHUNK_INTERVALS
                chunk = self._chunk(interval) or _NOTHING_READ
            place = interval % CHUNK_INTERVALS
            if _begins(chunk, place):
                if interval > begin:
                    yield _Stretch(begin, interval, None)
                    begin, injected, withdrawn = interval, 0, 0
                is_known = True
            injected += chunk.injected[place]
            withdrawn += chunk.withdrawn[place]
            interval += 1
            if chunk.end_is_known(place):
                moved = (injected, withdrawn)
                energy = self._difference(begin, interval, moved) if is_known else None
                yield _Stretch(begin, interval, energy)
                begin, injected, withdrawn, is_known = interval, 0, 0, True
        if begin < end:
            yield _Stretch(begin, end, None)

    def _known_before(self, bound: int) -> int | None:
        """Return the latest bound up to one at which a meter's register is known; None if none."""
        lowest = self._config.oldest_retained(self._ctx.time_ms)
        while bound >= lowest:
            chunk, before = self._chunk(bound), self._chunk(bound - 1)
            if before is not None and before.end_is_known((bound - 1) % CHUNK_INTERVALS):
                return bound
            if chunk is not None and _begins(chunk, bound % CHUNK_INTERVALS):
                return bound
            bound -= 1
        return None

    def _difference(self, first: int, end: int, moved: Pair) -> Pair | None:
        """Return the difference of two registers that follow one another; None if it is open.

        `moved` is what the intervals between them have.
        """
        if self._rollover and self._capacity.energy_milli_wh(first, end) >= self._rollover:
            return None  # the registers may have gone all round
        if end - first == 1:
            return moved  # its reading came while it was open
        number = (end - 1) // CHUNK_INTERVALS
        data = self._ctx.get(gaps_key(self._config, self._member, number))
        gaps = None if data is None else decode_gaps(data)
        if gaps is None or gaps.number != number:
            return moved
        more = gaps.beyond.get((end - 1) % CHUNK_INTERVALS, (0, 0))
        return moved[0] + more[0], moved[1] + more[1]

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


def _begins(chunk: Chunk, place: int) -> bool:
    """Tell whether a chunk knows the register at the beginning of an interval."""
    return chunk.begins(place) or chunk.quality(place) == MEASURED
