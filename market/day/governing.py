"""The parameters of a day market that members may change by a vote, and the check of them together.

They hold from the first interval on whose first gate has not opened: orders that stand, contracts
and what is set aside keep the rules under which they were made. Calendar, gates and feeder are not
among them: what is scheduled rests on these.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from market.day.dates import MINUTES_PER_DAY
from market.day.gates import Calendar
from market.day.records import DayMarket
from market.day.section import (
    MAX_ENERGY,
    MAX_KEEP_DAYS,
    MAX_PRICE,
    MAX_TOLERANCE_PERCENT,
    validate_market,
    validate_meters,
)
from market.governed import Bounds, governed_numbers
from market.meters.records import MetersConfig
from vm.primitives.codec import Value
from vm.primitives.errors import CallError, InvalidGenesis

DEPOSIT: Final = "deposit_micro"
GOVERNED: Final[Bounds] = {
    DEPOSIT: (0, MAX_PRICE),
    "feed_in_micro_per_kwh": (0, MAX_PRICE),
    "keep_days": (1, MAX_KEEP_DAYS),
    "max_energy_milli_wh": (1, MAX_ENERGY),
    "penalty_micro_per_kwh": (0, MAX_PRICE),
    "retail_micro_per_kwh": (0, MAX_PRICE),
    "tolerance_percent": (0, MAX_TOLERANCE_PERCENT),
}
"""Every name that a proposal may give, with its bounds; the deposit is that of all sealed gates."""
MOST_AHEAD_MINUTES: Final = 4 * MINUTES_PER_DAY
"""More than any first gate is open before its interval: two days, and what clocks may jump."""


def changed_market(
    market: DayMarket,
    values: Mapping[str, Value],
    time_ms: int,
    buses: int,
    meters: MetersConfig | None,
) -> DayMarket:
    """Return the market with other parameters; raises CallError where they do not fit."""
    numbers = governed_numbers(values, GOVERNED, "a day market has")
    deposit = numbers.pop(DEPOSIT, None)
    calendar = market.calendar
    if deposit is not None:
        gates = [
            gate._replace(deposit_micro=deposit) if gate.sealed else gate for gate in calendar.gates
        ]
        calendar = replace(calendar, gates=tuple(gates))
    since = first_unopened(calendar, time_ms)
    changed = replace(market, calendar=calendar, since=since, **numbers)  # type: ignore[arg-type]
    try:
        validate_market(changed, f"day market {market.name!r}", buses)
        validate_meters(changed, meters)
    except InvalidGenesis as error:
        raise CallError("invalid_parameters", str(error)) from error
    return changed


def first_unopened(calendar: Calendar, time_ms: int) -> int:
    """Return the first interval whose first gate has not opened; at most some two days ahead.

    A later interval never opens earlier, so it is found by halving.
    """
    first = calendar.interval_at(time_ms) + 1
    ahead = range(first, first + MOST_AHEAD_MINUTES // calendar.interval_minutes)
    place = bisect_right(ahead, time_ms, key=lambda each: calendar.windows(each)[0].opens_ms)
    return first + place
