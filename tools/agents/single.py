"""One agent in a process of its own: a member's key, a home's profile, and a node's API."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Final

from tools.agents.channel import Channel, Told
from tools.agents.homes import Home, Tariffs
from tools.agents.profiles import load_profiles
from tools.agents.runner import Runner
from tools.agents.strategies import make_strategy
from tools.agents.terms import load_tariffs, load_terms
from tools.agents.trader import DayTerms, Trader
from tools.amounts import format_kwh, format_tokens
from tools.client import integer_field
from tools.errors import EXIT_FAILED, EXIT_OK, ToolError
from tools.output import note, print_lines
from tools.session import Session

FLEXIBLE_PERCENT: Final = 25
STORABLE_PERCENT: Final = 30
ERROR_PERCENT: Final = 3


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """Who the agent trades for, and how."""

    strategy: str
    """How it bids."""
    profile: str
    """Season, or a date of simbench."""
    load: str
    """Kind of the household."""
    plant: str
    """Kind of its plant."""
    kwp: int
    """Size of the plant; 0 for none."""
    market: str | None
    """The day market, None for the only one."""
    meter: str | None
    """The wallet's key of the meter, where it is read too."""
    first: int | None
    """The first interval; None for the next whose gate is open."""
    intervals: int | None
    """How many intervals are traded; None for no end."""
    seed: int
    """Draws true prices, errors and what the strategy draws."""


def run_agent(session: Session, options: AgentOptions, signer: str | None) -> int:
    """Trade until the intervals are over; return 0 if none of its transactions failed.

    Raises ToolError or a ClientError.
    """
    client = session.client()
    terms = load_terms(client, options.market)
    first = options.first or next_interval(terms, time.time_ns() // 1_000_000)
    tariffs = load_tariffs(client, terms.name, first)
    opened = session.open_signer(signer)
    height = integer_field(client.status(), "final_height")
    channel = Channel([client.url], client.genesis_hash(), read_to=height)
    trader = Trader(
        make_home(options, opened.name, tariffs),
        make_strategy(options.strategy, options.seed),
        opened,
        session.open_signer(options.meter) if options.meter else None,
        terms,
        Random(f"agent {options.seed}"),
        ERROR_PERCENT,
        ERROR_PERCENT,
    )
    if not session.as_json:
        note(f"{opened.name} bids from {terms.calendar.local_text(first)} on")
    chosen = count(first) if options.intervals is None else range(first, first + options.intervals)
    runner = Runner(channel, terms, [trader], lambda told: _show(session, trader, told))
    try:
        runner.run(chosen)
    finally:
        channel.close()
    for code, times in channel.failures.items():
        note(f"{times} transactions failed: {code}")
    return EXIT_FAILED if channel.failures else EXIT_OK


def next_interval(terms: DayTerms, now_ms: int) -> int:
    """Return the first interval whose first gate does not close within a minute."""
    calendar = terms.calendar
    interval = calendar.interval_at(now_ms) + 1
    while calendar.windows(interval)[0].closes_ms < now_ms + calendar.minute_ms:
        interval += 1
    return interval


def make_home(options: AgentOptions, name: str, tariffs: Tariffs) -> Home:
    """Return the home of the options, true prices drawn from the seed; raises ToolError."""
    profiles = load_profiles(options.profile)
    load = _find(profiles.loads_w, options.load, "household")
    plant = _find(profiles.plants_w_per_kwp, options.plant, "plant")
    random = Random(f"home {options.seed}")
    low, high = tariffs.feed_in_micro_per_kwh, tariffs.retail_micro_per_kwh
    return Home(
        name,
        load,
        tuple([power * options.kwp for power in plant]),
        FLEXIBLE_PERCENT,
        random.randint(low, high),
        STORABLE_PERCENT,
        random.randint(low, high),
    )


def _find(profiles: Mapping[str, tuple[int, ...]], kind: str, what: str) -> tuple[int, ...]:
    if kind not in profiles:
        raise ToolError(
            f"no such {what} in the profile",
            code="unknown_profile",
            expected=", ".join(sorted(profiles)),
            actual=kind,
        )
    return profiles[kind]


def _show(session: Session, trader: Trader, told: Told) -> None:
    """Print what a settled interval brought."""
    fields = told.fields
    if (told.module, told.name, fields.get("part")) != ("day", "settle", 0):
        return
    if fields.get("market") != trader.terms.name:
        return
    interval = integer_field(fields, "interval")
    played = trader.played.pop(interval, None)
    if played is None:
        return
    begins = trader.terms.calendar.local_text(interval)
    if session.as_json:
        record = {
            "interval": interval,
            "local_time": begins,
            "bought_milli_wh": played.bought_milli_wh,
            "sold_milli_wh": played.sold_milli_wh,
            "paid_micro": played.paid_micro,
            "gain_micro": played.gain_micro,
        }
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()
        return
    paid = format_tokens(abs(played.paid_micro))
    print_lines(
        f"{begins}  bought {format_kwh(played.bought_milli_wh)} kWh, "
        f"sold {format_kwh(played.sold_milli_wh)} kWh, "
        f"{'got' if played.paid_micro < 0 else 'paid'} {paid} tokens"
    )
