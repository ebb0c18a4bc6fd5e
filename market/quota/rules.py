"""The rules of charging quotas: first allocation, service fee, trade, and penalty, in integers.

Source: M. Shafie-khah (ed.), "Blockchain-based Smart Grids", 2020, chapter 9, Algorithm 1 and
Tables 1 to 4; `genesis/cases/ev_quota.json` has the figures.

Powers are in watts, prices in micro-tokens per kWh. Fees and payments are for `billed_minutes`,
which need not be the length of the period: the printed tables bill an hour for half an hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from market.auction.clearing import Clearing, reserved_micro
from market.auction.crossing import TIME
from market.auction.orders import Order
from market.auction.uniform import CROSSING, LAST_PAIR, clear_midpoint, clear_uniform
from vm.primitives.integers import MILLI_WH_PER_KWH, divide_half_even, divide_up

BILLED_MINUTES: Final = (15, 30, 60)
MINUTES_PER_HOUR: Final = 60
MS_PER_HOUR: Final = 3_600_000
W_PER_KW: Final = 1_000
MILLI_WH_PER_WH: Final = 1_000

UNIFORM_MIDPOINT: Final = 0
PAIRWISE_MIDPOINT: Final = 1
UNIFORM_CROSSING: Final = 2
PRICING_NAMES: Final = ("uniform_midpoint", "pairwise_midpoint", "uniform_crossing")
"""The price of all trades is the middle of the last matched pair; each pair has its own middle; the
price clears the book (`market/auction/uniform.py`)."""


def first_quotas_w(demands_w: Sequence[int], capacity_w: int) -> list[int]:
    """Return each station's first quota: its part of the capacity in proportion to its demand.

    Rounded down to a watt; what does not divide, below a watt for each station, is not given out.
    Where the demands fit into the capacity each gets what it demands.
    """
    total_w = sum(demands_w)
    if total_w <= capacity_w:
        return list(demands_w)
    return [demand_w * capacity_w // total_w for demand_w in demands_w]


def service_fee_micro(
    demand_w: int, capacity_w: int, total_w: int, *, price: int, billed_minutes: int
) -> int:
    """Return what a station pays for its first quota: one rational, rounded to nearest, half even.

    The quota in it is the exact part of the capacity, not the one rounded to watts.
    """
    numerator = demand_w * min(capacity_w, total_w) * price * billed_minutes
    return divide_half_even(numerator, total_w * W_PER_KW * MINUTES_PER_HOUR)


def deposit_micro(demand_w: int, *, price: int, billed_minutes: int, percent: int) -> int:
    """Return what a station sets aside: so many percent of the fee for all its demand, rounded up.

    At 100 percent or more it covers the service fee.
    """
    numerator = demand_w * price * billed_minutes * percent
    return divide_up(numerator, W_PER_KW * MINUTES_PER_HOUR * 100)


def quota_energy_milli_wh(power_w: int, billed_minutes: int) -> int:
    """Return the energy of a quota over the billed time; exact for BILLED_MINUTES."""
    return power_w * MILLI_WH_PER_WH * billed_minutes // MINUTES_PER_HOUR


def quota_power_w(energy_milli_wh: int, billed_minutes: int) -> int:
    """Return the quota of an energy that `quota_energy_milli_wh` gave."""
    return energy_milli_wh * MINUTES_PER_HOUR // (MILLI_WH_PER_WH * billed_minutes)


def bid_reserve_micro(power_w: int, price: int, billed_minutes: int) -> int:
    """Return the most that a bid for quota can come to pay."""
    return reserved_micro(quota_energy_milli_wh(power_w, billed_minutes), price)


def clear_quotas(orders: Sequence[Order], pricing: int) -> Clearing:
    """Clear the double auction of quotas; the orders' energies are those of the billed time.

    Equal prices go by time, so that quotas stay whole watts.
    """
    if pricing == PAIRWISE_MIDPOINT:
        return clear_midpoint(orders, rationing=TIME)
    price_rule = LAST_PAIR if pricing == UNIFORM_MIDPOINT else CROSSING
    return clear_uniform(orders, price_rule=price_rule, rationing=TIME)


def excess_penalty_micro(
    energy_milli_wh: int, quota_w: int, *, duration_ms: int, penalty_price: int
) -> int:
    """Return what charging above the quota costs: the energy beyond it at the penalty price.

    The quota's energy is its power over the period, exact; the product is rounded once, to nearest,
    half to even.
    """
    beyond = energy_milli_wh * MS_PER_HOUR - quota_w * MILLI_WH_PER_WH * duration_ms
    return divide_half_even(max(0, beyond) * penalty_price, MS_PER_HOUR * MILLI_WH_PER_KWH)
