"""The routes of day markets and their bills."""

from __future__ import annotations

from typing import Final

from market.day.bills import parse_month
from node.api import day_pages
from node.api.parameters import NAME, WHO, Parameter, ParameterKind, whole
from node.api.routes import BASE, Route
from node.api.schemas import ref

INTERVAL: Final = whole(1, 10**12)
MONTH: Final = ParameterKind(
    "a month such as 2026-06",
    lambda text: text if parse_month(text) is not None else None,
    {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"},
)

_MARKET: Final = Parameter("market", NAME, "The day market.")
_INTERVAL: Final = Parameter("interval", INTERVAL, "The delivery interval.")
_WHO: Final = Parameter("who", WHO, "The member.")
_MONTH: Final = Parameter("month", MONTH, "The month, by the market's local time.")
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
        f"{BASE}/day-markets/{{market}}/intervals/{{interval}}",
        "dayInterval",
        "A delivery interval: when its gates are open, how much stands in its book, and the sums "
        "of its settlement; null where they were of too few members.",
        ref("DayInterval"),
        day_pages.show_interval,
        (_MARKET, _INTERVAL),
        {404: _UNKNOWN},
    ),
    Route(
        "GET",
        f"{BASE}/day-markets/{{market}}/intervals/{{interval}}/positions/{{who}}",
        "dayPosition",
        "What a member bought, sold and has standing in an interval that is not settled yet.",
        ref("DayPosition"),
        day_pages.show_position,
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
            Parameter("limit", whole(1, 200), "Lines of at most so many intervals.", default=96),
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
