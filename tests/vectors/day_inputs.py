"""Inputs of the vectors for day markets: local days with their gates, and the lines of a bill."""

from __future__ import annotations

from typing import Any

from market.day.dates import parse_date
from market.day.lines import Contracts, Flow, settle_member
from market.day.records import DayMarket
from market.day.section import read_section
from tests.vectors.kinds import Json
from tests.vectors.primitive_inputs import Inputs
from vm.primitives.errors import InvalidInput
from vm.primitives.merkle import merkle_root

ACCOUNT = bytes(range(20))
INTERVAL = 1_979_000
TERMS: dict[str, Json] = {
    "name": "local",
    "account": "O",
    "upstream": "U",
    "zone": {"offset_minutes": 60, "rule": "eu"},
    "retail": "30",
    "feed_in": "10",
    "penalty": "4",
    "max_energy_kwh": "20",
    "gates": [
        {"kind": "day_ahead", "opens": "08:00", "closes": "12:00"},
        {
            "kind": "intraday",
            "minutes": 60,
            "mechanism": "huang",
            "sealed": True,
            "opening_minutes": 15,
        },
    ],
}


def calendar_inputs() -> Inputs:
    """Return days with their zones."""
    zones: dict[str, dict[str, Json]] = {
        "eu": {"offset_minutes": 60, "rule": "eu"},
        "utc": {},
        "west": {"offset_minutes": -570, "rule": "none"},
        "over midnight": {
            "offset_minutes": -180,
            "changes": [
                {"utc": "2026-03-29T03:00", "offset_minutes": -120},
                {"utc": "2026-10-25T02:00", "offset_minutes": -180},
            ],
        },
    }
    dates = ("2026-03-28", "2026-03-29", "2026-06-21", "2026-10-24", "2026-10-25", "2028-02-29")
    accepted = [
        {
            "name": f"{name}, {date}, {minutes} minutes",
            "terms": TERMS | {"zone": zone, "interval_minutes": minutes},
            "date": date,
        }
        for name, zone in zones.items()
        for date in dates
        for minutes in (15, 60)
        if name != "west" or minutes == 15
    ]
    refused: list[dict[str, Json]] = [
        {"name": name, "terms": TERMS | changes, "date": date}
        for name, changes, date in (
            ("no date", {}, "2026-02-29"),
            (
                "offset of half an interval",
                {"zone": zones["west"], "interval_minutes": 60},
                "2026-06-21",
            ),
            ("rule and changes", {"zone": zones["over midnight"] | {"rule": "eu"}}, "2026-06-21"),
            ("feed-in above retail", {"feed_in": "31"}, "2026-06-21"),
            ("no gate", {"gates": []}, "2026-06-21"),
            ("gates in disorder", {"gates": TERMS["gates"][::-1]}, "2026-06-21"),
        )
    ]
    return accepted, refused


def bill_inputs() -> Inputs:
    """Return contracts and flows with each kind of line, at round values and at single units."""
    kwh, price = 10**6, 2 * 20 * 10**6
    cases: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
        "nothing": ((0, 0, 0, 0, 0, 0), (0, 0, 1)),
        "no contracts": ((0, 0, 0, 0, 0, 0), (kwh, 2 * kwh, 1)),
        "bought and consumed": ((kwh, kwh * price, 0, 0, kwh, 0), (0, kwh, 1)),
        "consumed more": ((kwh, kwh * price, 0, 0, kwh, 0), (0, 2 * kwh, 1)),
        "consumed less": ((kwh, kwh * price, 0, 0, kwh, 0), (0, kwh // 4, 1)),
        "sold and delivered": ((0, 0, kwh, kwh * price, 0, kwh), (kwh, 0, 1)),
        "sold and short": ((0, 0, kwh, kwh * price, 0, kwh), (kwh // 4, 0, 1)),
        "sold and over": ((0, 0, kwh, kwh * price, 0, kwh), (3 * kwh, 0, 1)),
        "bought and sold again": ((kwh, kwh * price, kwh, kwh * price, 0, 0), (0, 0, 0)),
        "true-ups": ((0, 0, 0, 0, 0, 0), (0, kwh, 3, 7, -11)),
        "single units": ((1, 40_000_001, 0, 0, 1, 0), (1, 2, 1)),
        "stated and not traded": ((0, 0, 0, 0, kwh, 0), (0, 2 * kwh, 1)),
        "beyond 64 bits": ((10**12, 10**12 * 60_000_000, 0, 0, 0, 0), (0, 10**12, 1)),
    }
    accepted = [
        {"name": name, "terms": TERMS, "contracts": list(contracts), "flow": list(flow)}
        for name, (contracts, flow) in cases.items()
    ]
    bad: dict[str, dict[str, Json]] = {
        "a price that is no text": {"retail": 30},
        "a price below nothing": {"penalty": "-1"},
        "finer than a micro-token": {"retail": "30.0000001"},
        "no energy": {"max_energy_kwh": "0"},
        "market and supplier in one": {"upstream": "O"},
        "an unknown field": {"tariff": "30"},
    }
    refused: list[dict[str, Json]] = [
        {"name": name, "terms": TERMS | changes, "contracts": [0] * 6, "flow": [0] * 3}
        for name, changes in bad.items()
    ]
    return accepted, refused


def run_calendar(given: dict[str, Json]) -> Json:
    """Return first interval and number of intervals of a local day, and its first one's windows."""
    market, day = _market(given), parse_date(given["date"])
    if day is None:
        raise InvalidInput("no date", actual=given["date"])
    intervals = market.calendar.intervals_of(day)
    return {
        "first": intervals.start,
        "count": len(intervals),
        "starts": market.calendar.local_text(intervals.start),
        "windows": [list(window) for window in market.calendar.windows(intervals.start)],
    }


def run_bill(given: dict[str, Json]) -> Json:
    """Return the lines of a member as their items, and the root of a page that has them alone."""
    market = _market(given)
    lines = settle_member(market, Contracts(*given["contracts"]), Flow(*given["flow"]))
    items = [line.item(market.name, INTERVAL, 0, ACCOUNT) for line in lines]
    return {"items": [item.hex() for item in items], "root": merkle_root(items).hex()}


def _market(given: dict[str, Json]) -> DayMarket:
    accounts: dict[str, Any] = {"O": bytes(20), "U": ACCOUNT}
    ((market, _),) = read_section({"markets": [given["terms"]]}, accounts.get, lambda _: 0)
    return market
