"""Gates: when orders for a delivery interval may be placed, are opened, and clear.

The gates of an interval follow one another. A day-ahead gate is open between two local times of the
day before, for all intervals of the day; an intraday or a real-time gate closes so many minutes
before each interval and opens when the gate before it closes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from market.day.dates import (
    MINUTES_PER_DAY,
    Zone,
    date_of,
    format_minute,
)

DAY_AHEAD: Final = 0
INTRADAY: Final = 1
REAL_TIME: Final = 2
KIND_NAMES: Final = ("day_ahead", "intraday", "real_time")
MAX_GATES: Final = 8
TO_THE_LAST: Final = 255
"""For an order that goes on to every gate."""


class Gate(NamedTuple):
    """A gate's terms."""

    kind: int
    """DAY_AHEAD, INTRADAY or REAL_TIME."""
    opens_minute: int
    """Minute of the day before at which a day-ahead gate opens; how long before an interval the
    first gate opens where it is none; 0 for a gate that follows another."""
    closes_minute: int
    """Minute of the day before at which a day-ahead gate closes; how long before an interval any
    other closes."""
    mechanism: int
    """UNIFORM, MIDPOINT, HUANG or PAY_AS_BID."""
    rationing: int
    """PRO_RATA or TIME at the margin."""
    sealed: bool
    """Whether orders are committed to, and opened after the gate."""
    opening_minutes: int
    """How long after the gate commitments are opened; 0 where nothing is sealed."""
    deposit_micro: int
    """Set aside with each commitment; forfeited if it is not opened."""


class Window(NamedTuple):
    """The times of one gate of one interval, milliseconds on the chain's clock."""

    number: int
    """Number of the gate, from 0."""
    opens_ms: int
    """When orders may be placed, or committed to."""
    closes_ms: int
    """When that ends."""
    clears_ms: int
    """When the book clears: at once, or when openings end."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Which delivery intervals there are, on which day, and when their gates are open."""

    interval_minutes: int
    """Length of a delivery interval."""
    minute_ms: int
    """Length of a minute on the chain's clock."""
    shift_minutes: int
    """UTC minute less the chain's minute; 0 unless a day is compressed."""
    zone: Zone
    """What wall clocks show."""
    gates: tuple[Gate, ...]
    """The gates of each interval, in the order in which they close."""

    @property
    def interval_ms(self) -> int:
        """Length of a delivery interval on the chain's clock."""
        return self.interval_minutes * self.minute_ms

    def start_ms(self, interval: int) -> int:
        """Return when an interval starts on the chain's clock."""
        return interval * self.interval_ms

    def interval_at(self, time_ms: int) -> int:
        """Return the interval that is delivered at a time."""
        return time_ms // self.interval_ms

    def utc_minute(self, interval: int) -> int:
        """Return the UTC minute at which an interval starts."""
        return interval * self.interval_minutes + self.shift_minutes

    def day_of(self, interval: int) -> int:
        """Return the local day of an interval, in days from 1970-01-01."""
        return self.zone.day_of(self.utc_minute(interval))

    def month_of(self, interval: int) -> int:
        """Return the local month of an interval as a number, for example 202606."""
        year, month, _ = date_of(self.day_of(interval))
        return year * 100 + month

    def intervals_of(self, day: int) -> range:
        """Return the intervals of a local day: 96 quarter hours, or 92 or 100 twice a year."""
        first, last = (
            (self.zone.day_start(each) - self.shift_minutes) // self.interval_minutes
            for each in (day, day + 1)
        )
        return range(first, last)

    def local_text(self, interval: int) -> str:
        """Return the local start of an interval, for example 2026-10-25T02:15+01:00."""
        utc = self.utc_minute(interval)
        offset = self.zone.offset_at(utc)
        return format_minute(utc + offset, offset)

    def windows(self, interval: int) -> list[Window]:
        """Return the windows of an interval's gates, in order."""
        start_ms = self.start_ms(interval)
        found: list[Window] = []
        for number, gate in enumerate(self.gates):
            if gate.kind == DAY_AHEAD:
                opens_ms, closes_ms = self._day_ahead(interval, gate)
            else:
                closes_ms = start_ms - gate.closes_minute * self.minute_ms
                opens_ms = start_ms - gate.opens_minute * self.minute_ms
            if found:
                opens_ms = found[-1].closes_ms
            clears_ms = closes_ms + gate.opening_minutes * self.minute_ms
            found.append(Window(number, opens_ms, closes_ms, clears_ms))
        return found

    def _day_ahead(self, interval: int, gate: Gate) -> tuple[int, int]:
        yesterday = (self.day_of(interval) - 1) * MINUTES_PER_DAY
        opens, closes = (
            (self.zone.utc_minute(yesterday + minute) - self.shift_minutes) * self.minute_ms
            for minute in (gate.opens_minute, gate.closes_minute)
        )
        return opens, closes


def window_at(windows: Sequence[Window], time_ms: int) -> Window | None:
    """Return the window whose gate orders of this time go to; None if all are closed.

    Before the first gate opens that is the first one.
    """
    for window in windows:
        if time_ms < window.closes_ms:
            return window
    return None


def jump_minutes(zone: Zone) -> int:
    """Return the greatest change of a zone's offset."""
    offsets = zone.offsets()
    return max(offsets) - min(offsets)
