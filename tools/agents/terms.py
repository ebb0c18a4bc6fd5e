"""What an agent needs to know of a day market, from what a node tells of it."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from urllib.parse import quote

from market.auction.crossing import RATIONING_NAMES
from market.auction.records import MECHANISM_NAMES
from market.day.dates import RULE_NAMES, Zone
from market.day.gates import KIND_NAMES, Calendar, Gate
from tools.agents.homes import Tariffs
from tools.agents.trader import DayTerms
from tools.client import NodeClient, integer_field, list_field, text_field
from tools.errors import AnswerInvalid, Json, ToolError

SECONDS_PER_MINUTE: Final = 60


def load_terms(client: NodeClient, name: str | None) -> DayTerms:
    """Return the terms of the day market called `name`, or of the only one; raises ToolError."""
    markets = list_field(client.get("/day-markets"), "markets")
    known = ", ".join(str(market.get("name")) for market in markets)
    chosen = [market for market in markets if name is None or market.get("name") == name]
    if len(chosen) != 1:
        raise ToolError(
            "which day market?" if known else "this network has no day market",
            code="unknown_market",
            hint=f"Give --market with one of: {known}." if known else "Its genesis names none.",
        )
    return _terms(client, chosen[0])


def load_tariffs(client: NodeClient, market: str, interval: int) -> Tariffs:
    """Return the tariffs that hold for an interval; raises ToolError.

    A vote changes them from an interval on: those of the market itself may be of later ones.
    """
    found = _interval(client, market, interval)
    return Tariffs(
        integer_field(found, "retail_micro_per_kwh"),
        integer_field(found, "feed_in_micro_per_kwh"),
    )


def _interval(client: NodeClient, market: str, interval: int) -> Json:
    return client.get(f"/day-markets/{quote(market, safe='')}/intervals/{interval}")


def _terms(client: NodeClient, market: Json) -> DayTerms:
    name = text_field(market, "name")
    calendar = Calendar(
        integer_field(market, "interval_minutes"),
        integer_field(market, "minute_ms"),
        _shift_minutes(client, market),
        Zone(
            integer_field(market, "offset_minutes"),
            _choice(market, "rule", RULE_NAMES),
            tuple(
                [
                    (integer_field(each, "utc_minute"), integer_field(each, "offset_minutes"))
                    for each in list_field(market, "changes")
                ]
            ),
        ),
        tuple([_gate(gate) for gate in list_field(market, "gates")]),
    )
    return DayTerms(name, calendar)


def _shift_minutes(client: NodeClient, market: Json) -> int:
    """Return UTC minute less the chain's minute, from how the node shows an interval's start."""
    interval = integer_field(market, "interval")
    found = _interval(client, text_field(market, "name"), interval)
    try:
        start = datetime.fromisoformat(text_field(found, "local_start"))
    except ValueError as error:
        raise AnswerInvalid("the node's answer has no usable local_start", actual=error) from error
    utc_minute = int(start.timestamp()) // SECONDS_PER_MINUTE
    return utc_minute - interval * integer_field(market, "interval_minutes")


def _gate(gate: Json) -> Gate:
    return Gate(
        _choice(gate, "kind", KIND_NAMES),
        integer_field(gate, "opens_minute"),
        integer_field(gate, "closes_minute"),
        _choice(gate, "mechanism", MECHANISM_NAMES),
        _choice(gate, "rationing", RATIONING_NAMES),
        gate.get("sealed") is True,
        integer_field(gate, "opening_minutes"),
        integer_field(gate, "deposit_micro"),
    )


def _choice(answer: Json, name: str, names: tuple[str, ...]) -> int:
    """Return which of `names` stands in a field; raises AnswerInvalid."""
    found = text_field(answer, name)
    if found not in names:
        raise AnswerInvalid(
            f"the node's answer has an unknown {name}", expected=", ".join(names), actual=found
        )
    return names.index(found)
