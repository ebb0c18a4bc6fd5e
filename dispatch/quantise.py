"""From floats to the integers of a certificate: exact balance, no limit passed, gaps of a watt.

Prices are rounded first, one for each price zone. A zone is a part of the tree between lines that
are full; what flows over those is exactly their rating, so that each zone's sum of powers is a
known integer. Powers strictly between their limits are rounded so that the sums come out: the
buses are passed in the tree's order and each unit takes over what the one before it in its zone
left unrounded. So every unit, and the flow of every line (the units behind it stand in a row),
ends at the integer below or above its exact value, and no rating is passed.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dispatch.arrays import Floats, Integers, RadialArrays
from dispatch.tree import RadialDispatch
from market.dispatch_certificate import Certificate, IntervalResult

FULL_W = 1e-3
"""A line whose flow is this close to its rating carries exactly its rating."""


def quantise_radial(arrays: RadialArrays, dispatch: RadialDispatch) -> Certificate:
    """Return the integer certificate of a radial dispatch in floats.

    It is proved by the verifier, not here: floats that are far from the optimum make a certificate
    that is refused.
    """
    powers: Integers = np.empty(dispatch.powers_w.shape, dtype=np.int64)
    for interval in range(len(powers)):
        _round_powers(
            arrays.parent,
            arrays.upward,
            arrays.rating_w,
            arrays.first_unit,
            arrays.units,
            arrays.a[interval],
            arrays.lo_w[interval],
            arrays.hi_w[interval],
            dispatch.prices[interval],
            dispatch.powers_w[interval],
            dispatch.flows_w[interval],
            powers[interval],
        )
    prices: list[list[float]] = list(dispatch.prices.tolist())
    whole: list[list[int]] = list(powers.tolist())
    integer = {price: round_price(price) for row in prices for price in set(row)}
    return Certificate(
        tuple(
            IntervalResult(tuple([integer[price] for price in row]), tuple(power))
            for row, power in zip(prices, whole, strict=True)
        )
    )


def round_price(price: float) -> int:
    """Return a price in 1e-24 $/Wh as an integer, of the 15 digits that a float surely holds."""
    mantissa, exponent = f"{price:.14e}".split("e")
    digits, shift = int(mantissa.replace(".", "")), int(exponent) - 14
    return int(digits * 10**shift) if shift >= 0 else round(digits / 10**-shift)


@njit(cache=True)
def _round_powers(
    parent: Integers,
    upward: Integers,
    rating: Floats,
    first_unit: Integers,
    units: Integers,
    a: Floats,
    lo: Floats,
    hi: Floats,
    price: Floats,
    power: Floats,
    flow: Floats,
    rounded: Integers,
) -> None:
    """Write the integer power of each unit of one interval into `rounded`."""
    count = parent.shape[0]
    zone = np.empty(count, np.int64)
    missing, room, carry = np.zeros(count), np.zeros(count), np.zeros(count)
    order = _preorder(parent, upward)
    for bus in order:
        above = parent[bus]
        zone[bus] = bus
        if above >= 0:
            if price[above] == price[bus] and abs(flow[bus]) < rating[bus] - FULL_W:
                zone[bus] = zone[above]
            else:
                # A full line: what it carries is an integer that both zones count with.
                carried = rating[bus] if flow[bus] > 0 else -rating[bus]
                missing[bus] += carried
                missing[zone[above]] -= carried
        for place in range(first_unit[bus], first_unit[bus + 1]):
            unit = units[place]
            missing[zone[bus]] -= power[unit]
            weight = _weight(a[unit], lo[unit], hi[unit], power[unit])
            room[zone[bus]] += weight
    for place in range(count):
        bus = order[place]
        share = missing[zone[bus]] / room[zone[bus]] if room[zone[bus]] > 0 else 0.0
        for spot in range(first_unit[bus], first_unit[bus + 1]):
            unit = units[spot]
            exact = power[unit]
            weight = _weight(a[unit], lo[unit], hi[unit], exact)
            if weight > 0.0:
                # Solvers leave rounding errors of floats; the units at the margin take them.
                exact = min(max(exact + weight * share, lo[unit]), hi[unit])
                exact += carry[zone[bus]]
                rounded[unit] = np.int64(min(max(np.rint(exact), lo[unit]), hi[unit]))
                carry[zone[bus]] = exact - rounded[unit]
            else:
                rounded[unit] = np.int64(np.rint(exact))


@njit(cache=True)
def _weight(a: float, lo: float, hi: float, power: float) -> float:
    """Return how much of a zone's error a unit takes; 0 at a limit."""
    if not lo < power < hi:
        return 0.0
    return 1.0 / a if a > 0.0 else 1.0


@njit(cache=True)
def _preorder(parent: Integers, upward: Integers) -> Integers:
    """Return the buses so that each subtree stands in a row, its top first."""
    count = parent.shape[0]
    size = np.ones(count, np.int64)
    for bus in upward[:-1]:
        size[parent[bus]] += size[bus]
    place, free = np.zeros(count, np.int64), np.ones(count, np.int64)
    order = np.empty(count, np.int64)
    for step in range(count - 1, -1, -1):
        bus = upward[step]
        above = parent[bus]
        if above >= 0:
            place[bus] = place[above] + free[above]
            free[above] += size[bus]
        order[place[bus]] = bus
    return order
