"""The civil calendar in whole minutes: dates, time zones with their odd days, days of intervals.

Minutes are counted in UTC from 1970-01-01T00:00. A zone is an offset with a rule: none, the one of
the European Union (an hour more from the last Sunday of March to the last Sunday of October, both
at 01:00 UTC), or a list of changes. So no node needs a database of time zones. A local day lasts
from its midnight to the next: 23, 24 or 25 hours.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

MINUTES_PER_HOUR: Final = 60
MINUTES_PER_DAY: Final = 1_440
SUMMER_MINUTES: Final = 60
"""What the rule of the European Union adds in summer."""
NO_RULE: Final = 0
EU_RULE: Final = 1
RULE_NAMES: Final = ("none", "eu")
_DAYS_TO_1970: Final = 719_468
"""Days from 0000-03-01 to 1970-01-01 in the Gregorian calendar carried backwards."""
_DAYS_OF_ERA: Final = 146_097
"""Days of 400 years."""


def days_of(year: int, month: int, day: int) -> int:
    """Return a Gregorian date in days from 1970-01-01."""
    # Years begin in March here, so that the leap day is a year's last.
    shifted = year - (month <= 2)
    era, year_of_era = divmod(shifted, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * _DAYS_OF_ERA + day_of_era - _DAYS_TO_1970


def date_of(days: int) -> tuple[int, int, int]:
    """Return (year, month, day) of so many days from 1970-01-01."""
    era, day_of_era = divmod(days + _DAYS_TO_1970, _DAYS_OF_ERA)
    leaps = day_of_era // 1_460 - day_of_era // 36_524 + day_of_era // 146_096
    year_of_era = (day_of_era - leaps) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    months = (5 * day_of_year + 2) // 153
    month = (months + 2) % 12 + 1
    year = year_of_era + 400 * era + (month <= 2)
    return year, month, day_of_year - (153 * months + 2) // 5 + 1


def last_sunday(year: int, month: int) -> int:
    """Return the last Sunday of a month of 31 days, in days from 1970-01-01 (a Thursday)."""
    last = days_of(year, month, 31)
    return last - (last + 4) % 7


@dataclass(frozen=True, slots=True)
class Zone:
    """What wall clocks show: an offset from UTC by rule."""

    offset_minutes: int
    """Offset in winter, or before the first change."""
    rule: int
    """NO_RULE or EU_RULE."""
    changes: tuple[tuple[int, int], ...]
    """UTC minute and new offset of each change, in order of time; only without a rule."""

    def offset_at(self, utc_minute: int) -> int:
        """Return the offset in force, in minutes."""
        if self.rule == EU_RULE:
            year, _, _ = date_of(utc_minute // MINUTES_PER_DAY)
            start, end = (
                last_sunday(year, month) * MINUTES_PER_DAY + MINUTES_PER_HOUR for month in (3, 10)
            )
            return self.offset_minutes + SUMMER_MINUTES * (start <= utc_minute < end)
        place = bisect_right(self.changes, (utc_minute, MINUTES_PER_DAY))
        return self.changes[place - 1][1] if place else self.offset_minutes

    def offsets(self) -> tuple[int, ...]:
        """Return every offset that the zone ever has, each once."""
        if self.rule == EU_RULE:
            return self.offset_minutes, self.offset_minutes + SUMMER_MINUTES
        return tuple(dict.fromkeys([self.offset_minutes, *[offset for _, offset in self.changes]]))

    def local_minute(self, utc_minute: int) -> int:
        """Return what wall clocks show, in minutes from 1970-01-01T00:00."""
        return utc_minute + self.offset_at(utc_minute)

    def utc_minute(self, local_minute: int) -> int:
        """Return the first UTC minute at which wall clocks show that, or have jumped over it."""
        valid = [
            local_minute - offset
            for offset in self.offsets()
            if self.offset_at(local_minute - offset) == offset
        ]
        if valid:
            return min(valid)
        # Clocks jump over it: what they would have shown without the jump is the moment of it.
        before = max(self.offsets())
        first = local_minute - before
        last = local_minute - min(self.offsets())
        while first < last:
            middle = (first + last) // 2
            if self.local_minute(middle) >= local_minute:
                last = middle
            else:
                first = middle + 1
        return first

    def day_start(self, day: int) -> int:
        """Return the UTC minute at which a local day begins."""
        return self.utc_minute(day * MINUTES_PER_DAY)

    def day_of(self, utc_minute: int) -> int:
        """Return the local day to which a UTC minute belongs, in days from 1970-01-01."""
        day = self.local_minute(utc_minute) // MINUTES_PER_DAY
        # Where clocks go back over midnight, they show the old date again; the day has begun.
        return day + 1 if self.day_start(day + 1) <= utc_minute else day


def format_date(days: int) -> str:
    """Return a date as people write it, for example 2026-06-21."""
    year, month, day = date_of(days)
    return f"{year:04}-{month:02}-{day:02}"


def format_minute(minute: int, offset_minutes: int) -> str:
    """Return a local minute with its offset, for example 2026-10-25T02:15+01:00."""
    day, rest = divmod(minute, MINUTES_PER_DAY)
    sign = "-" if offset_minutes < 0 else "+"
    hours, minutes = divmod(abs(offset_minutes), MINUTES_PER_HOUR)
    clock = f"{rest // MINUTES_PER_HOUR:02}:{rest % MINUTES_PER_HOUR:02}"
    return f"{format_date(day)}T{clock}{sign}{hours:02}:{minutes:02}"


def parse_minute(text: str) -> int | None:
    """Return the minute of a text like 2026-06-20T22:00; None for anything else."""
    date, mark, clock = text.partition("T")
    minutes = parse_clock(clock)
    days = parse_date(date)
    if not mark or minutes is None or days is None or minutes == MINUTES_PER_DAY:
        return None
    return days * MINUTES_PER_DAY + minutes


def parse_date(text: str) -> int | None:
    """Return the days from 1970-01-01 of a text like 2026-06-20; None for anything else."""
    parts = text.split("-")
    if [len(part) for part in parts] != [4, 2, 2] or not _are_digits(parts):
        return None
    year, month, day = [int(part) for part in parts]
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        return None
    days = days_of(year, month, day)
    return days if date_of(days) == (year, month, day) else None


def parse_clock(text: str) -> int | None:
    """Return the minutes of a text like 08:30, up to 24:00; None for anything else."""
    parts = text.split(":")
    if [len(part) for part in parts] != [2, 2] or not _are_digits(parts):
        return None
    hours, minutes = [int(part) for part in parts]
    total = hours * MINUTES_PER_HOUR + minutes
    return total if minutes < MINUTES_PER_HOUR and total <= MINUTES_PER_DAY else None


def _are_digits(parts: list[str]) -> bool:
    return all(part.isascii() and part.isdigit() for part in parts)
