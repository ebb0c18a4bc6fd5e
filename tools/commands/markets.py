"""Which market and which delivery interval a command means, where the user did not say."""

from __future__ import annotations

import time
from urllib.parse import quote

import click

from tools.client import list_field
from tools.commands.options import Command
from tools.errors import Json, ToolError
from tools.session import Session

MS_PER_MINUTE = 60_000


def market_option(command: Command) -> Command:
    """Add `--market`."""
    return click.option(
        "--market",
        metavar="NAME",
        envvar="BITENERGY_MARKET",
        help="Name of the market; not needed if there is one only [env BITENERGY_MARKET].",
    )(command)


def interval_option(command: Command) -> Command:
    """Add `--interval`."""
    return click.option(
        "--interval",
        metavar="START",
        help="Delivery interval: when it starts (2026-05-01T14:00, in local time unless a zone "
        "is given) or its number; without it the next one that is open.",
    )(command)


def choose_market(session: Session, name: str | None) -> Json:
    """Return the market called `name`, or the only one; raises ToolError."""
    markets = list_field(session.client().get("/markets"), "markets")
    known = ", ".join(sorted(str(market.get("name")) for market in markets))
    chosen = [market for market in markets if name is None or market.get("name") == name]
    if len(chosen) == 1:
        return chosen[0]
    if not markets:
        raise ToolError(
            "this network has no market", code="unknown_market", hint="Its genesis names none."
        )
    raise ToolError(
        "this network has several markets" if name is None else f"there is no market called {name}",
        code="unknown_market",
        hint=f"Give --market with one of: {known}.",
    )


def market_name(market: Json) -> str:
    """Return the market's name."""
    return str(market["name"])


def market_path(market: Json, below: str) -> str:
    """Return the API path of something of this market."""
    return f"/markets/{quote(market_name(market), safe='')}/{below}"


def choose_interval(market: Json, text: str | None) -> int:
    """Return the number of the interval that `text` names; without it, of the next open one.

    A market without intervals has number 0 only. Raises ToolError.
    """
    length_ms = _minutes(market, "interval_minutes") * MS_PER_MINUTE
    if text is not None and text.isascii() and text.isdigit():
        return int(text[:19])
    if not length_ms:
        if text is None:
            return 0
        raise ToolError(
            f"{market_name(market)} has no delivery intervals",
            code="wrong_interval",
            hint="Leave --interval away.",
        )
    if text is None:
        gate_ms = _minutes(market, "gate_closure_minutes") * MS_PER_MINUTE
        return (time.time_ns() // 1_000_000 + gate_ms) // length_ms + 1
    number, rest = divmod(_start_ms(text), length_ms)
    if rest:
        raise ToolError(
            f"no delivery interval of {market_name(market)} starts at {text}",
            code="wrong_interval",
            hint=f"They start every {length_ms // MS_PER_MINUTE} minutes from midnight UTC.",
        )
    return number


def interval_words(market: Json, number: int) -> str:
    """Return the name of an interval for people: when it starts, in local time, and its number."""
    from datetime import datetime

    minutes = _minutes(market, "interval_minutes")
    if not minutes:
        return "no delivery interval"
    try:
        start = datetime.fromtimestamp(number * minutes * 60).astimezone()
    except (OverflowError, ValueError, OSError):
        return f"interval {number}"
    return f"{start:%Y-%m-%d %H:%M %Z} (interval {number})"


def _minutes(market: Json, name: str) -> int:
    value = market.get(name, 0)
    return value if type(value) is int and value >= 0 else 0


def _start_ms(text: str) -> int:
    """Return the milliseconds UTC of a written time; raises ToolError."""
    from datetime import datetime

    try:
        start = datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError) as error:
        raise ToolError(
            f"{text!r} is no time and no number of an interval",
            code="wrong_interval",
            hint="Write for example 2026-05-01T14:00 or 2026-05-01T12:00Z.",
        ) from error
    return round(start.timestamp() * 1000)
