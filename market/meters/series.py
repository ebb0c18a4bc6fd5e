"""A member's series of interval energies, as registers come in: late, early, with gaps, twice.

The registers at the bounds of intervals are known or not. Between two known ones the intervals'
energies add up to the difference: one interval has it all (`MEASURED`), several share it evenly, to
the milliwatt-hour (`INTERPOLATED`). After the last known one, energies are estimates (`MEAN`,
`ZERO`). A register that comes later, in whatever order, only splits or ends such a stretch. So for
intervals that are not final the energies follow from the registers alone.

An interval that is final keeps its energy. What a later register shows beyond it is told as a
true-up: energy that the connection moved and that belongs to no interval. Of each gap it is kept
what it has of these, so that the difference of two registers can always be told (`brackets.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from market.meters.limits import Capacity, load_capacity
from market.meters.records import (
    CHUNK_INTERVALS,
    GAS_CHUNK,
    INTERPOLATED,
    MEAN,
    MEASURED,
    NONE,
    ZERO,
    Chunk,
    Connection,
    Gaps,
    MetersConfig,
    Pair,
    chunk_key,
    decode_chunk,
    decode_gaps,
    gaps_key,
    save_connection,
)
from vm.context import CallContext
from vm.primitives.errors import CallError
from vm.primitives.integers import divide_half_even

GAS_INTERVAL: Final = 5
"""For passing over an interval of a series."""
GAS_ENERGY: Final = 20
"""For setting an interval's energy."""
NOTHING: Final[Pair] = (0, 0)


class Series:
    """A working copy of a connection and of the chunks that one step touches, saved at its end."""

    __slots__ = (
        "_after",
        "_before",
        "_capacity",
        "_chunks",
        "_config",
        "_ctx",
        "_first_open",
        "connection",
        "member",
    )

    def __init__(
        self,
        ctx: CallContext,
        config: MetersConfig,
        member: bytes,
        connection: Connection,
        first_open: int,
    ) -> None:
        self._ctx = ctx
        self._config = config
        self._chunks: dict[int, tuple[Chunk, bool]] = {}
        self._before: dict[int, Pair] = {}
        self._after: dict[int, Pair] = {}
        self._first_open = first_open
        self._capacity: Capacity | None = None
        self.member = member
        self.connection = connection

    def quality(self, interval: int) -> int:
        """Return the quality of an interval's energy."""
        return self._chunk(interval).quality(interval % CHUNK_INTERVALS)

    def energy(self, interval: int) -> Pair:
        """Return an interval's energy."""
        chunk, place = self._chunk(interval), interval % CHUNK_INTERVALS
        return chunk.injected[place], chunk.withdrawn[place]

    def total(self, first: int, end: int) -> Pair:
        """Return the energy of the intervals from `first` up to but not including `end`."""
        self._ctx.charge(GAS_INTERVAL * max(0, end - first))
        injected = withdrawn = 0
        for interval in range(first, end):
            energy = self.energy(interval)
            injected += energy[0]
            withdrawn += energy[1]
        return injected, withdrawn

    def is_known(self, bound: int) -> bool:
        """Tell whether the register at the beginning of an interval is known."""
        start = self.connection.start
        if bound <= start:
            return bound == start
        self._ctx.charge(GAS_INTERVAL)
        return self._chunk(bound - 1).end_is_known((bound - 1) % CHUNK_INTERVALS)

    def add_all(self, first: int, registers: Sequence[Pair]) -> int:
        """Take the registers at the ends of consecutive intervals; return how many are new.

        What lies before the latest known register is taken from the ends to the middle, so that a
        stretch is not shared anew as a whole for each of many. Raises CallError.
        """
        earlier = max(0, min(len(registers), self.connection.latest - first))
        order = [*_halving(earlier), *range(earlier, len(registers))]
        return sum([self.add(first + place, registers[place]) for place in order])

    def add(self, interval: int, register: Pair) -> bool:
        """Take the registers at an interval's end; return False if they were known.

        The interval is not final, and the meter measures it. Raises CallError.
        """
        bound = interval + 1
        if bound > self.connection.latest:
            self._add_latest(bound, register)
            return True
        if self.is_known(bound):
            self._validate_same(bound, register)
            return False
        self._add_earlier(bound, register)
        return True

    def estimate(self, interval: int) -> int:
        """Give an interval an energy if it has none; return its quality."""
        found = self.quality(interval)
        if found != NONE:
            return found
        energy, quality = self._mean(interval)
        self._set(interval, quality, energy)
        own = self.connection
        if interval >= own.latest:
            own.estimated_injected_milli_wh += energy[0]
            own.estimated_withdrawn_milli_wh += energy[1]
        return quality

    def save(self, closed_until: int) -> None:
        """Write what changed, and tell by how much the energies of closed intervals did."""
        for chunk, is_changed in self._chunks.values():
            if is_changed:
                self._ctx.charge(GAS_CHUNK)
                key = chunk_key(self._config, self.member, chunk.number)
                self._ctx.put(key, chunk.encode())
        save_connection(self._ctx, self.member, self.connection)
        for interval, before in sorted(self._before.items()):
            after = self.energy(interval)
            if after != before and interval < closed_until:
                difference = (after[0] - before[0], after[1] - before[1])
                self._ctx.emit("corrected", self.member, interval, *difference)

    def _add_latest(self, bound: int, register: Pair) -> None:
        """Take a register after all that are known."""
        own = self.connection
        first, count = own.latest, bound - own.latest
        energy = self._passed(_latest(own), register, first, bound)
        begin = max(first, self._first_open)
        later = self._estimated_from(bound)
        if begin > first:
            left = self.total(begin, bound)
            told = (
                own.estimated_injected_milli_wh - left[0] - later[0],
                own.estimated_withdrawn_milli_wh - left[1] - later[1],
            )
            part = _part(energy, begin - first, count)
            self._true_up(bound, (part[0] - told[0], part[1] - told[1]))
        if first == own.start and first >= self._config.oldest_retained(self._ctx.time_ms):
            self._begin(first)
        self._share(first, begin, bound, energy, is_exact=count == 1)
        self._know(bound)
        own.latest = bound
        self._after.clear()
        own.latest_injected_milli_wh, own.latest_withdrawn_milli_wh = register
        own.estimated_injected_milli_wh, own.estimated_withdrawn_milli_wh = later

    def _estimated_from(self, bound: int) -> Pair:
        """Return what was estimated for intervals after a register that is the latest now."""
        own = self.connection
        end = bound
        if own.estimated_injected_milli_wh or own.estimated_withdrawn_milli_wh:
            while self.quality(end) != NONE:
                end += 1
        return self.total(bound, end)

    def _add_earlier(self, bound: int, register: Pair) -> None:
        """Take a register between two that are known, or between what is final and one of them."""
        own = self.connection
        upper = bound + 1
        while not self.is_known(upper):
            upper += 1
        floor = max(self._first_open, own.start)
        lower = bound - 1
        while lower > floor and not self.is_known(lower):
            lower -= 1
        is_anchored = self.is_known(lower)
        passed = self._passed(register, _latest(own), bound, own.latest)
        later, stretch = self._until_latest(upper), self.total(lower, upper)
        after = (passed[0] - later[0], passed[1] - later[1])
        before = (stretch[0] - after[0], stretch[1] - after[1])
        if min(after) < 0 or (is_anchored and min(before) < 0):
            raise _falling(bound - 1, register)
        self._validate_power(after, bound, upper)
        if is_anchored:
            self._validate_power(before, lower, bound)
        else:
            self._true_up(bound, (min(0, before[0]), min(0, before[1])), moved_from=upper)
            before = (max(0, before[0]), max(0, before[1]))
        self._share(lower, lower, bound, before, is_exact=is_anchored and bound - lower == 1)
        self._share(bound, bound, upper, after, is_exact=upper - bound == 1)
        self._know(bound)
        self._after[bound] = passed

    def _until_latest(self, bound: int) -> Pair:
        """Return the energy from a known bound to the latest one."""
        found = self._after.get(bound)
        if found is None:
            found = self._after[bound] = self.total(bound, self.connection.latest)
        return found

    def _validate_same(self, bound: int, register: Pair) -> None:
        own = self.connection
        later = self._until_latest(bound)
        latest = _latest(own)
        known = (latest[0] - later[0], latest[1] - later[1])
        if own.rollover_milli_wh:
            known = (known[0] % own.rollover_milli_wh, known[1] % own.rollover_milli_wh)
        if known != register:
            raise CallError(
                "conflicting_reading",
                f"other registers are known at the end of interval {bound - 1}",
                actual=f"{register[0]} and {register[1]} mWh",
            )

    def _passed(self, before: Pair, after: Pair, first: int, end: int) -> Pair:
        """Return the energy between registers at two bounds; raises CallError."""
        passed = (after[0] - before[0], after[1] - before[1])
        rollover = self.connection.rollover_milli_wh
        if rollover:
            # A fall is a roll-over if the connection can have carried that much, and a fall of
            # less than half of the register is none.
            bound = min(self._carries(first, end), rollover // 2)
            passed = tuple(  # type: ignore[assignment]
                [
                    each + rollover if each < 0 and each + rollover <= bound else each
                    for each in passed
                ]
            )
        if min(passed) < 0:
            raise _falling(self.connection.latest, after)
        self._validate_power(passed, first, end)
        return passed

    def _carries(self, first: int, end: int) -> int:
        """Return what the connection can carry between two bounds."""
        if self._capacity is None:
            self._capacity = load_capacity(self._ctx, self._config, self.member)
        return self._capacity.energy_milli_wh(first, end)

    def _validate_power(self, energy: Pair, first: int, end: int) -> None:
        most = self._carries(first, end)
        if max(energy) > most:
            raise CallError(
                "too_much_energy",
                "more than a connection can carry in that time",
                expected=f"at most {most} mWh in {end - first} intervals",
                actual=max(energy),
            )

    def _share(self, first: int, begin: int, end: int, energy: Pair, *, is_exact: bool) -> None:
        """Share the energy of `first` to `end` among them, from `begin` on."""
        count = end - first
        quality = MEASURED if is_exact else INTERPOLATED
        self._ctx.charge(GAS_ENERGY * (end - begin))
        told = _part(energy, begin - first, count)
        for interval in range(begin, end):
            until = _part(energy, interval + 1 - first, count)
            self._set(interval, quality, (until[0] - told[0], until[1] - told[1]))
            told = until

    def _true_up(self, bound: int, difference: Pair, moved_from: int = 0) -> None:
        """Tell what the gap that ends at a bound has beyond its energies.

        What the one had that ended at `moved_from` is now this one's too: the energies after the
        new register are all that it shows.
        """
        self._keep_beyond(bound, moved_from, difference)
        if difference == NOTHING:
            return
        own = self.connection
        own.true_up_injected_milli_wh += difference[0]
        own.true_up_withdrawn_milli_wh += difference[1]
        self._ctx.emit("true_up", self.member, own.meter, *difference)

    def _keep_beyond(self, bound: int, moved_from: int, difference: Pair) -> None:
        source = self._gaps(moved_from) if moved_from else None
        moved = source.beyond.pop((moved_from - 1) % CHUNK_INTERVALS, None) if source else None
        if source is not None and moved is not None:
            self._save_gaps(source)
        injected, withdrawn = moved or NOTHING
        beyond = (difference[0] + injected, difference[1] + withdrawn)
        if beyond != NOTHING:
            gaps = self._gaps(bound)
            gaps.beyond[(bound - 1) % CHUNK_INTERVALS] = beyond
            self._save_gaps(gaps)

    def _gaps(self, bound: int) -> Gaps:
        number = (bound - 1) // CHUNK_INTERVALS
        data = self._ctx.get(gaps_key(self._config, self.member, number))
        found = None if data is None else decode_gaps(data)
        return Gaps(number) if found is None or found.number != number else found

    def _save_gaps(self, gaps: Gaps) -> None:
        self._ctx.put(gaps_key(self._config, self.member, gaps.number), gaps.encode())

    def _mean(self, interval: int) -> tuple[Pair, int]:
        """Return the mean of the intervals at the same time of the days before."""
        per_day = self._config.intervals_per_day
        found: list[Pair] = []
        for day in range(1, self._config.mean_days_of(interval) + 1):
            past = interval - day * per_day
            if past < 0:
                break
            if self.quality(past) in (MEASURED, INTERPOLATED):
                found.append(self.energy(past))
        if not found:
            return NOTHING, ZERO
        injected = divide_half_even(sum([each[0] for each in found]), len(found))
        withdrawn = divide_half_even(sum([each[1] for each in found]), len(found))
        return (injected, withdrawn), MEAN

    def _set(self, interval: int, quality: int, energy: Pair) -> None:
        self._before.setdefault(interval, self.energy(interval))
        chunk = self._chunk(interval)
        chunk.set_energy(interval % CHUNK_INTERVALS, quality, energy)
        self._chunks[chunk.number] = chunk, True

    def _know(self, bound: int) -> None:
        chunk = self._chunk(bound - 1)
        chunk.know_end((bound - 1) % CHUNK_INTERVALS)
        self._chunks[chunk.number] = chunk, True

    def _begin(self, interval: int) -> None:
        chunk = self._chunk(interval)
        chunk.begin(interval % CHUNK_INTERVALS)
        self._chunks[chunk.number] = chunk, True

    def _chunk(self, interval: int) -> Chunk:
        number = interval // CHUNK_INTERVALS
        held = self._chunks.get(number)
        if held is not None:
            return held[0]
        self._ctx.charge(GAS_CHUNK)
        data = self._ctx.get(chunk_key(self._config, self.member, number))
        chunk = None if data is None else decode_chunk(data)
        if chunk is None or chunk.number != number:
            chunk = Chunk(number)
        self._chunks[number] = chunk, False
        return chunk


def _halving(count: int) -> list[int]:
    """Return the places 0 to `count` - 1: the last, the first, then the middle of each half."""
    order = [count - 1, 0][: min(count, 2)]
    halves = [(0, count - 1)]
    for low, high in halves:
        middle = (low + high) // 2
        if low < middle < high:
            order.append(middle)
            halves += [(low, middle), (middle, high)]
    return order


def _latest(connection: Connection) -> Pair:
    return connection.latest_injected_milli_wh, connection.latest_withdrawn_milli_wh


def _part(energy: Pair, intervals: int, count: int) -> Pair:
    """Return what of an energy over `count` intervals falls to the first ones, rounded down."""
    return energy[0] * intervals // count, energy[1] * intervals // count


def _falling(interval: int, register: Pair) -> CallError:
    return CallError(
        "falling_register",
        f"a register at the end of interval {interval} is below an earlier one, or above a later",
        actual=f"{register[0]} and {register[1]} mWh",
        hint="A meter that was replaced is registered anew.",
    )
