"""One agent in a process of its own: a member's key, a home's profile, and a node's API."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Final

from tools.agents.channel import Channel, Told
from tools.agents.homes import Home
from tools.agents.profiles import load_profiles
from tools.agents.runner import Runner
from tools.agents.strategies import make_strategy
from tools.agents.terms import load_terms
from tools.agents.trader import Trader
from tools.amounts import format_kwh, format_tokens
from tools.errors import EXIT_OK, ToolError
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
    intervals: int | None
    """How many intervals are traded; None for no end."""
    seed: int
    """Draws true prices, errors and what the strategy draws."""


def run_agent(session: Session, options: AgentOptions, signer: str | None) -> int:
    """Trade until the intervals are over; raises ToolError or a ClientError."""
    client = session.client()
    terms = load_terms(client, options.market)
    opened = session.open_signer(signer)
    meter = session.open_signer(options.meter) if options.meter else None
    channel = Channel([client.url], client.genesis_hash(), read_from=client_height(session))
    trader = Trader(
        _home(
            options,
            opened.name,
            terms.tariffs.retail_micro_per_kwh,
            terms.tariffs.feed_in_micro_per_kwh,
        ),
        make_strategy(options.strategy, options.seed),
        opened,
        meter,
        terms,
        Random(f"agent {options.seed}"),
        ERROR_PERCENT,
        ERROR_PERCENT,
    )
