"""The routes of day markets and their bills."""

from __future__ import annotations

import re
from typing import Final

from market.day.bills import parse_month
from market.day.dates import date_of, days_of
from node.api import day_intervals, day_pages
from node.api.parameters import CURSOR, NAME, WHO, Parameter, ParameterKind, whole
from node.api.routes import BASE, Route
from node.api.schemas import ref

INTERVAL: Final = whole(1, 10**12)
MONTH: Final = ParameterKind(
    "a month such as 2026-06",
    lambda text: text if parse_month(text) is not None else None,
    {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"},
)

_DATE_PATTERN: Final = "(19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_DATE = re.compile(_DATE_PATTERN, re.ASCII)


def _parse_day(text: str) -> int | None:
    """Return a date in days from 1970-01-01; None for what is none."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    wanted = tuple(map(int, match.groups()))
    days = days_of(*wanted)
    return days if date_of(days) == wanted else None


DAY: Final = ParameterKind(
    "a day such as 2026-06-21",
    _parse_day,
    {"type": "string", "format": "date", "pattern": f"^{_DATE_PATTERN}$"},
)

_MARKET: Final = Parameter("market", NAME, "The day market.")
_INTERVAL: Final = Parameter("interval", INTERVAL, "The delivery interval.")
_WHO: Final = Parameter("who", WHO, "The member.")
_MONTH: Final = Parameter("month", MONTH, "The month, by the market's local time.")
_DAY: Final = Parameter("day", DAY, "The local day; without it, that of the last block.")
_UNKNOWN: Final = "No such day market, or no such member."
_SIGNED: Final = "For requests signed by the member, whom it allowed, its DSO or auditors."

DAY_ROUTES: Final = (
    Route(
        "GET",
        f"{BASE}/day-markets",
        "dayMarkets",
        "The day markets of this network: tariffs, gates, and the interval that is delivered now.",
        ref("DayMarkets"),
        day_pages.list_markets,
    ),
    Route(
        "GET",
        f"{BASE}/day-markets/{{market}}/intervals",
        "dayIntervals",
        "The intervals of a local day in order, each as below, with `member` also that member's "
        "position (null where it has none); `next` is the `first` to go on with.",
        ref("DayIntervals"),
        day_intervals.list_intervals,
        (
            _MARKET,
            _DAY,
            Parameter("member", WHO, "Whose positions."),
            Parameter("first", INTERVAL, "The first interval to list."),
            Parameter("limit", whole(1, 200), "At most so many intervals.", default=100),
        ),
        {404: _UNKNOWN},
    ),
    Route(
        "GET",
        f"{BASE}/day-markets/{{market}}/clearings",
        "dayClearings",
        "What the gates of a local day's intervals cleared, the newest first: volume, bids and "
        "offers that stood, prices in half micro-tokens per kWh, over a feeder those of its buses "
        "with the flows of its lines. `next` is the `before` to go on with.",
        ref("DayClearings"),
        day_intervals.list_clearings,
        (
            _MARKET,
            _DAY,
            Parameter("limit", whole(1, 1_000), "At most so many clearings.", default=200),
            Parameter("before", CURSOR, "Where to go on."),
        ),
        {404: _UNKNOWN},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/day-markets/{{market}}/intervals/{{interval}}",
        "dayInterval",
        "A delivery interval: the tariffs that hold for it, when its gates are open, how much "
        "stands in its book, and the sums of its settlement; null where they were of too few "
        "members.",
        ref("DayInterval"),
        day_intervals.show_interval,
        (_MARKET, _INTERVAL),
        {404: _UNKNOWN},
    ),
    Route(
        "GET",
        f"{BASE}/day-markets/{{market}}/intervals/{{interval}}/positions/{{who}}",
        "dayPosition",
        "What a member bought, sold and has standing in an interval that is not settled yet.",
        ref("DayPosition"),
        day_intervals.show_position,
        (_MARKET, _INTERVAL, _WHO),
        {404: f"{_UNKNOWN} Or no position."},
    ),
    Route(
        "GET",
        f"{BASE}/day-markets/{{market}}/bills/{{who}}/{{month}}",
        "bill",
        "A member's bill: its totals of a local month, and its lines, from the interval `first` "
        f"on. {_SIGNED} `next` is the `first` to go on with.",
        ref("Bill"),
        day_pages.show_bill,
        (
            _MARKET,
            _WHO,
            _MONTH,
            Parameter("first", INTERVAL, "The first interval to list."),
            Parameter(
                "limit",
                whole(1, 200),
                "Lines of at most so many intervals that have some.",
                default=96,
            ),
        ),
        {404: _UNKNOWN},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/proofs/bill-lines/{{market}}/{{who}}/{{interval}}",
        "billLinesProof",
        "A member's lines of an interval, each with its way to the root of its page, and the heads "
        f"of these pages proved against the last final header. {_SIGNED}",
        ref("BillLinesProof"),
        day_pages.prove_bill_lines,
        (_MARKET, _WHO, _INTERVAL),
        {404: f"{_UNKNOWN} Or no lines.", 409: "Nothing proves the last block."},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/proofs/bill-totals/{{market}}/{{who}}/{{month}}",
        "billTotalsProof",
        f"A member's totals of a month, proved against the last final header. {_SIGNED}",
        ref("BillTotalsProof"),
        day_pages.prove_bill_totals,
        (_MARKET, _WHO, _MONTH),
        {404: _UNKNOWN, 409: "Nothing proves the last block."},
    ),
)
