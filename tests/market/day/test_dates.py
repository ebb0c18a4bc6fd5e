"""The calendar of a day market: dates, zones, the two odd days, gates of every interval."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from market.day.dates import (
    EU_RULE,
    NO_RULE,
    Zone,
    date_of,
    days_of,
    format_date,
    last_sunday,
    parse_clock,
    parse_date,
    parse_minute,
)
from market.day.gates import DAY_AHEAD, INTRADAY, REAL_TIME, Calendar, Gate, window_at

MINUTE = 60_000
BERLIN = Zone(60, EU_RULE, ())
GATES = (
    Gate(DAY_AHEAD, 8 * 60, 12 * 60, 0, 0, False, 0, 0),
    Gate(INTRADAY, 0, 60, 0, 0, True, 15, 0),
    Gate(REAL_TIME, 0, 5, 0, 0, False, 0, 0),
)
CALENDAR = Calendar(15, MINUTE, 0, BERLIN, GATES)


def utc(text: str) -> int:
    """Return a time in UTC in minutes from 1970."""
    found = parse_minute(text)
    assert found is not None
    return found


def test_dates_are_those_of_the_gregorian_calendar() -> None:
    rng = random.Random(1)
    for _ in range(500):
        day = date(1, 1, 1) + timedelta(rng.randrange(3_600_000))
        days = (day - date(1970, 1, 1)).days
        assert days_of(day.year, day.month, day.day) == days
        assert date_of(days) == (day.year, day.month, day.day)
        assert parse_date(format_date(days)) == days
    for month in (3, 10):
        for year in range(1996, 2100):
            found = date(1970, 1, 1) + timedelta(last_sunday(year, month))
            assert (found.weekday(), found.month) == (6, month)
            assert (found + timedelta(7)).month != month


@pytest.mark.parametrize(
    "text", ["", "2026-02-29", "2026-13-01", "2026-1-1", "26-01-01", "2026-01-00", "２026-01-01"]
)
def test_what_is_no_date(text: str) -> None:
    assert parse_date(text) is None
    assert parse_minute(text + "T00:00") is None


def test_times_of_day() -> None:
    assert parse_clock("00:00") == 0
    assert parse_clock("24:00") == 1_440
    assert [parse_clock(text) for text in ("24:01", "12:60", "1:00", "12", "-1:00")] == [None] * 5
    assert parse_minute("2026-06-20T24:00") is None


def test_summer_time_of_the_european_union() -> None:
    # Directive 2000/84/EC: from the last Sunday of March to the last of October, at 01:00 UTC.
    for start, end in (
        ("2026-03-29T01:00", "2026-10-25T01:00"),
        ("2027-03-28T01:00", "2027-10-31T01:00"),
    ):
        assert BERLIN.offset_at(utc(start) - 1) == 60
        assert BERLIN.offset_at(utc(start)) == 120
        assert BERLIN.offset_at(utc(end) - 1) == 120
        assert BERLIN.offset_at(utc(end)) == 60


def test_the_two_odd_days() -> None:
    lengths = {"2026-03-28": 96, "2026-03-29": 92, "2026-06-21": 96, "2026-10-25": 100}
    for text, quarters in lengths.items():
        day = parse_date(text)
        assert day is not None
        intervals = CALENDAR.intervals_of(day)
        assert len(intervals) == quarters
        assert {CALENDAR.day_of(interval) for interval in intervals} == {day}
        assert CALENDAR.day_of(intervals[0] - 1) == day - 1
        assert CALENDAR.day_of(intervals[-1] + 1) == day + 1
        for minutes in (30, 60):
            longer = replace(CALENDAR, interval_minutes=minutes)
            assert len(longer.intervals_of(day)) == quarters * 15 // minutes
    shown = [
        CALENDAR.local_text(each) for each in CALENDAR.intervals_of(utc("2026-10-25T12:00") // 1440)
    ]
    assert shown[0] == "2026-10-25T00:00+02:00"
    assert shown[8:10] == ["2026-10-25T02:00+02:00", "2026-10-25T02:15+02:00"]
    assert shown[12] == "2026-10-25T02:00+01:00", "this hour comes twice"
    assert len(dict.fromkeys(shown)) == 100
    assert "2026-03-29T02:00" not in str(
        [
            CALENDAR.local_text(each)
            for each in CALENDAR.intervals_of(utc("2026-03-29T12:00") // 1440)
        ]
    ), "this hour is jumped over"


def test_days_follow_one_another_without_gap_or_overlap() -> None:
    zones = [
        BERLIN,
        Zone(0, NO_RULE, ()),
        Zone(-570, NO_RULE, ()),
        # Clocks jump over midnight, and go back over midnight.
        Zone(-180, NO_RULE, ((utc("2026-10-18T03:00"), -120), (utc("2027-02-21T02:00"), -180))),
        Zone(-120, NO_RULE, ((utc("2027-02-21T02:30"), -180),)),
        # A change of sides of the date line: a day is left out.
        Zone(-600, NO_RULE, ((utc("2011-12-30T10:00"), 840),)),
    ]
    for zone in zones:
        calendar = replace(CALENDAR, zone=zone, interval_minutes=30)
        for first in ("2026-01-01", "2011-12-25"):
            start = parse_date(first)
            assert start is not None
            for day in range(start, start + 420):
                assert calendar.intervals_of(day).stop == calendar.intervals_of(day + 1).start
                own = calendar.intervals_of(day)
                for interval in (*own[:2], *own[20:30:4], *own[-2:]):
                    assert calendar.day_of(interval) == day
    jumps, back = zones[3:5]
    assert jumps.day_start(parse_date("2026-10-18") or 0) == utc("2026-10-18T03:00")
    twice = parse_date("2027-02-21") or 0
    assert jumps.day_start(twice) == utc("2027-02-21T03:00"), "the day before has 25 hours"
    assert back.day_start(twice) == utc("2027-02-21T02:00"), "it begins when it is shown first"
    assert back.day_of(utc("2027-02-21T02:45")) == twice, "though clocks show the day before"


def test_a_list_of_changes_does_what_the_rule_does() -> None:
    changes = [
        (utc(f"{year}-{month:02}-{date_of(last_sunday(year, month))[2]:02}T01:00"), offset)
        for year in range(2025, 2030)
        for month, offset in ((3, 120), (10, 60))
    ]
    listed = Zone(60, NO_RULE, tuple(changes))
    for minute in range(utc("2025-01-01T00:00"), utc("2029-12-31T00:00"), 17 * 60 + 13):
        assert listed.offset_at(minute) == BERLIN.offset_at(minute)
        assert listed.day_of(minute) == BERLIN.day_of(minute)
        there = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
        assert format_date(BERLIN.day_of(minute)) == str(
            (there + timedelta(minutes=BERLIN.offset_at(minute))).date()
        )


def test_windows_of_an_interval() -> None:
    interval = utc("2026-06-21T10:00") // 15  # 12:00 local
    windows = CALENDAR.windows(interval)
    shown = [
        tuple(each // MINUTE - utc("2026-06-20T00:00") for each in window[1:]) for window in windows
    ]
    # Day-ahead from 08:00 to 12:00 local of the day before, that is 06:00 to 10:00 UTC.
    assert shown == [
        (6 * 60, 10 * 60, 10 * 60),
        (10 * 60, 33 * 60, 33 * 60 + 15),
        (33 * 60, 34 * 60 - 5, 34 * 60 - 5),
    ]
    assert [window.number for window in windows] == [0, 1, 2]
    starts = interval * 15 * MINUTE
    for before_ms, gate in (
        (0, None),
        (5 * MINUTE, None),
        (5 * MINUTE + 1, 2),
        (60 * MINUTE, 2),
        (3_600_001, 1),
    ):
        found = window_at(windows, starts - before_ms)
        assert (None if found is None else found.number) == gate


def test_the_day_ahead_gate_of_an_odd_day_closes_at_the_same_local_time() -> None:
    for text, closes in (
        ("2026-03-29", "2026-03-28T11:00"),
        ("2026-03-30", "2026-03-29T10:00"),
        ("2026-10-25", "2026-10-24T10:00"),
        ("2026-10-26", "2026-10-25T11:00"),
    ):
        day = parse_date(text)
        assert day is not None
        intervals = CALENDAR.intervals_of(day)
        found = {CALENDAR.windows(each)[0].closes_ms for each in intervals}
        assert found == {utc(closes) * MINUTE}, "one gate for all intervals of the day"


def test_a_compressed_clock_keeps_the_calendar() -> None:
    first = utc("2026-10-24T22:00") // 15
    shift = (first - 700_000) * 15
    quick = replace(CALENDAR, minute_ms=10, shift_minutes=shift)
    assert quick.local_text(700_000) == "2026-10-25T00:00+02:00"
    assert len(quick.intervals_of(quick.day_of(700_000))) == 100
    slow, fast = CALENDAR.windows(first + 50), quick.windows(700_050)
    for one, other in zip(slow, fast, strict=True):
        for there, here in zip(one[1:], other[1:], strict=True):
            assert there // MINUTE - first * 15 == here // 10 - 700_000 * 15
