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

from dispatch.arrays import Bids, Floats, Integers, RadialArrays, Tree
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
        round_powers(
            arrays.tree,
            arrays.interval_bids(interval),
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
def round_powers(
    tree: Tree, bids: Bids, price: Floats, power: Floats, flow: Floats, rounded: Integers
) -> None:
    """Write the integer power of each unit of one interval into `rounded`."""
    count = tree.parent.shape[0]
    zone = np.empty(count, np.int64)
    missing, room, carry = np.zeros(count), np.zeros(count), np.zeros(count)
    order = _preorder(tree.parent, tree.upward)
    for bus in order:
        above = tree.parent[bus]
        zone[bus] = bus
        if above >= 0:
            if price[above] == price[bus] and abs(flow[bus]) < tree.rating_w[bus] - FULL_W:
                zone[bus] = zone[above]
            else:
                # A full line: what it carries is an integer that both zones count with.
                carried = tree.rating_w[bus] if flow[bus] > 0 else -tree.rating_w[bus]
                missing[bus] += carried
                missing[zone[above]] -= carried
        for place in range(tree.first_unit[bus], tree.first_unit[bus + 1]):
            unit = tree.units[place]
            missing[zone[bus]] -= power[unit]
            weight = _weight(bids.a[unit], bids.lo_w[unit], bids.hi_w[unit], power[unit])
            room[zone[bus]] += weight
    for place in range(count):
        bus = order[place]
        share = missing[zone[bus]] / room[zone[bus]] if room[zone[bus]] > 0 else 0.0
        for spot in range(tree.first_unit[bus], tree.first_unit[bus + 1]):
            unit = tree.units[spot]
            exact = power[unit]
            weight = _weight(bids.a[unit], bids.lo_w[unit], bids.hi_w[unit], exact)
            if weight > 0.0:
                # Solvers leave rounding errors of floats; the units at the margin take them.
                exact = min(max(exact + weight * share, bids.lo_w[unit]), bids.hi_w[unit])
                exact += carry[zone[bus]]
                rounded[unit] = np.int64(min(max(np.rint(exact), bids.lo_w[unit]), bids.hi_w[unit]))
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
