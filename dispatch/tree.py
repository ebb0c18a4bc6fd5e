"""The exact tree method: supply curves up, prices down, each bus talking to its neighbours only.

Each bus passes its parent T(price) = clamp(S(price), -F, F), where F is the rating of the line
between them and S adds what its own units would inject at that price to the curves of its
children. The slack bus solves S(price) = 0; downward each bus takes the price nearest to its
parent's at which its curve gives the flow: clamp(parent's price, lowest, highest).

A curve is piecewise linear and never falls. It is kept as its value far left and far right and a
set of events, where its slope changes or its value jumps (a linear bid jumps from lo to hi). A
clamp consumes events at one end only, so that two mergeable heaps over the same events (skew
heaps, Sleator and Tarjan 1986) give O(n log n) for any shape of tree. `tree_plain` is the slow,
readable twin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from dispatch.arrays import Bids, Floats, Integers, RadialArrays, Tree

REACHED_W = 1e-6
"""A curve this close to a level has reached it: ratings and limits are whole watts."""


@dataclass(frozen=True, slots=True)
class RadialDispatch:
    """A dispatch in floats."""

    prices: Floats
    """(t, n) price at each bus, 1e-24 $/Wh."""
    powers_w: Floats
    """(t, u) injection of each unit, W."""
    flows_w: Floats
    """(t, n) flow from each bus to its parent, W; of the slack bus 0."""


class Events(NamedTuple):
    """Where curves bend or jump, and the heaps over them."""

    x: Floats
    """(m,) price of each event."""
    slope: Floats
    """(m,) change of the curve's slope, W per 1e-24 $/Wh."""
    jump: Floats
    """(m,) jump of the curve's value, W."""
    alive: Integers
    """(m,) whether the event is still part of a curve."""
    least: Integers
    """(m, 2) children in the heap that has the lowest price on top; -1 for none."""
    greatest: Integers
    """(m, 2) children in the heap that has the highest price on top."""


def solve_tree(arrays: RadialArrays) -> RadialDispatch:
    """Return the optimum of each interval. Where a price is not unique, the canonical one.

    Canonical: at the slack bus the lowest price that clears; without a lower bound the highest;
    without any bound 0. At every other bus the nearest to its parent's. Units with linear bids
    at the margin fill the same fraction of what their part of the tree leaves open.
    """
    intervals, buses = arrays.bids.a.shape[0], arrays.tree.parent.shape[0]
    prices = np.empty((intervals, buses))
    powers = np.empty_like(arrays.bids.a)
    flows = np.empty((intervals, buses))
    _solve_intervals(arrays.tree, arrays.bids, prices, powers, flows)
    return RadialDispatch(prices, powers, flows)


@njit(cache=True)
def _solve_intervals(tree: Tree, bids: Bids, prices: Floats, powers: Floats, flows: Floats) -> None:
    """Solve interval after interval into `prices`, `powers` and `flows`."""
    count = tree.parent.shape[0]
    size = 2 * bids.a.shape[1] + 2 * count
    events = Events(
        np.empty(size),
        np.empty(size),
        np.empty(size),
        np.empty(size, np.bool_),
        np.empty((size, 2), np.int64),
        np.empty((size, 2), np.int64),
    )
    lowest, highest = np.empty(count), np.empty(count)
    for interval in range(bids.a.shape[0]):
        here = Bids(bids.a[interval], bids.b[interval], bids.lo_w[interval], bids.hi_w[interval])
        price = prices[interval]
        price[tree.upward[count - 1]] = _pass_up(tree, here, events, lowest, highest)
        for place in range(count - 2, -1, -1):
            bus = tree.upward[place]
            price[bus] = min(max(price[tree.parent[bus]], lowest[bus]), highest[bus])
        _allocate(tree, here, price, powers[interval], flows[interval])


@njit(cache=True)
def _pass_up(tree: Tree, bids: Bids, events: Events, lowest: Floats, highest: Floats) -> float:
    """Pass all curves up, note between which prices lines are not full; return the root price."""
    count = tree.parent.shape[0]
    used = 0
    # Each curve's value far left and far right, and the tops of its two heaps.
    left, right = np.zeros(count), np.zeros(count)
    low, high = np.full(count, -1), np.full(count, -1)
    for bus in tree.upward:
        for place in range(tree.first_unit[bus], tree.first_unit[bus + 1]):
            unit = tree.units[place]
            left[bus] += bids.lo_w[unit]
            right[bus] += bids.hi_w[unit]
            first = used
            used = _add_unit(bids, unit, events, used)
            for event in range(first, used):
                low[bus] = _insert(events, events.least, low[bus], event, 1.0)
                high[bus] = _insert(events, events.greatest, high[bus], event, -1.0)
        above = tree.parent[bus]
        if above < 0:
            break
        limit = tree.rating_w[bus]
        lowest[bus], highest[bus] = -np.inf, np.inf
        if left[bus] < -limit:
            first = used
            used, low[bus], lowest[bus] = _clamp(
                events, events.least, low[bus], left[bus], -limit, used, 1.0
            )
            left[bus] = -limit
            if used > first:
                high[bus] = _insert(events, events.greatest, high[bus], first, -1.0)
        if right[bus] > limit:
            first = used
            used, high[bus], highest[bus] = _clamp(
                events, events.greatest, high[bus], right[bus], limit, used, -1.0
            )
            right[bus] = limit
            if used > first:
                low[bus] = _insert(events, events.least, low[bus], first, 1.0)
        left[above] += left[bus]
        right[above] += right[bus]
        low[above] = _merge(events.x, events.least, low[above], low[bus], 1.0)
        high[above] = _merge(events.x, events.greatest, high[above], high[bus], -1.0)
    root = tree.upward[count - 1]
    price = 0.0
    if left[root] < -REACHED_W:
        _, _, price = _clamp(events, events.least, low[root], left[root], 0.0, used, 1.0)
    elif right[root] > REACHED_W:
        _, _, price = _clamp(events, events.greatest, high[root], right[root], 0.0, used, -1.0)
    return price


@njit(cache=True)
def _add_unit(bids: Bids, unit: int, events: Events, used: int) -> int:
    """Append the events of one unit's curve and return the number of events then."""
    a, b, lo, hi = bids.a[unit], bids.b[unit], bids.lo_w[unit], bids.hi_w[unit]
    if lo == hi:
        return used
    if a > 0.0:
        events.x[used], events.slope[used], events.jump[used] = b + a * lo, 1.0 / a, 0.0
        used += 1
        events.x[used], events.slope[used], events.jump[used] = b + a * hi, -1.0 / a, 0.0
    else:
        events.x[used], events.slope[used], events.jump[used] = b, 0.0, hi - lo
    return used + 1


@njit(cache=True)
def _clamp(
    events: Events, heap: Integers, root: int, value: float, level: float, used: int, sign: float
) -> tuple[int, int, float]:
    """Cut a curve off where it reaches `level`; return (events used, top of the heap, price).

    With `sign` 1 the curve is walked from the left, where its value is below the level, with -1
    from the right, where it is above; one code does both by mirroring price and value. The events
    passed are gone; where the curve goes on from the level, one new event begins it.
    """
    steepest = slope_here = 0.0
    height, target = sign * value, sign * level
    place = 0.0
    while root >= 0:
        if not events.alive[root]:
            root = _merge(events.x, heap, heap[root, 0], heap[root, 1], sign)
            continue
        event = root
        ahead = sign * events.x[event]
        if slope_here > 0.0:
            reached = height + slope_here * (ahead - place)
            if reached >= target:
                place = min(place + max(target - height, 0.0) / slope_here, ahead)
                return _begin(events, heap, root, used, sign, place, slope_here, 0.0)
            height = reached
        place = ahead
        root = _merge(events.x, heap, heap[event, 0], heap[event, 1], sign)
        events.alive[event] = False
        height += events.jump[event]
        steepest = max(steepest, abs(events.slope[event]))
        slope_here += sign * events.slope[event]
        if abs(slope_here) < 4e-15 * steepest:
            # What is left of slopes that cancel.
            slope_here = 0.0
        if height >= target - REACHED_W:
            rest = max(height - target, 0.0) if events.jump[event] > 0.0 else 0.0
            return _begin(events, heap, root, used, sign, place, slope_here, rest)
    return used, -1, sign * place


@njit(cache=True)
def _begin(
    events: Events,
    heap: Integers,
    root: int,
    used: int,
    sign: float,
    place: float,
    slope_here: float,
    rest: float,
) -> tuple[int, int, float]:
    """Begin a curve that was cut off at the (mirrored) `place` with one new event."""
    events.x[used] = sign * place
    events.slope[used] = sign * slope_here
    events.jump[used] = rest
    return used + 1, _insert(events, heap, root, used, sign), sign * place


@njit(cache=True)
def _insert(events: Events, heap: Integers, root: int, event: int, sign: float) -> int:
    """Put a living event into a heap and return the heap's top."""
    events.alive[event] = True
    heap[event, 0] = heap[event, 1] = -1
    return _merge(events.x, heap, root, event, sign)


@njit(cache=True)
def _merge(x: Floats, heap: Integers, left: int, right: int, sign: float) -> int:
    """Return the root of the union of two skew heaps; the least sign·x stands on top."""
    if left < 0:
        return right
    if right < 0:
        return left
    if sign * x[right] < sign * x[left]:
        left, right = right, left
    root = node = left
    left = heap[node, 1]
    heap[node, 1] = heap[node, 0]
    while left >= 0 and right >= 0:
        if sign * x[right] < sign * x[left]:
            left, right = right, left
        heap[node, 0] = left
        node = left
        left = heap[node, 1]
        heap[node, 1] = heap[node, 0]
    heap[node, 0] = left if left >= 0 else right
    return root


@njit(cache=True)
def _allocate(tree: Tree, bids: Bids, price: Floats, power: Floats, flow: Floats) -> None:
    """Write each unit's power and each line's flow at the prices.

    Only linear bids at the margin have a choice: their room, and that of the lines' flows, is
    summed up the tree, and what each bus has to give is shared down it by one fraction of the room.
    """
    count = tree.parent.shape[0]
    least, most = np.zeros(count), np.zeros(count)
    for bus in tree.upward:
        for place in range(tree.first_unit[bus], tree.first_unit[bus + 1]):
            unit = tree.units[place]
            margin = price[bus] - bids.b[unit]
            if bids.a[unit] > 0:
                power[unit] = min(max(margin / bids.a[unit], bids.lo_w[unit]), bids.hi_w[unit])
            elif margin != 0.0:
                power[unit] = bids.hi_w[unit] if margin > 0.0 else bids.lo_w[unit]
            else:
                power[unit] = np.nan
                least[bus] += bids.lo_w[unit]
                most[bus] += bids.hi_w[unit]
                continue
            least[bus] += power[unit]
            most[bus] += power[unit]
        above = tree.parent[bus]
        if above >= 0:
            low, high = _flow_range(
                least[bus], most[bus], tree.rating_w[bus], price[bus], price[above]
            )
            least[above] += low
            most[above] += high
    flow[tree.upward[count - 1]] = 0.0
    fraction = np.empty(count)
    for place in range(count - 1, -1, -1):
        bus = tree.upward[place]
        above = tree.parent[bus]
        if above >= 0:
            low, high = _flow_range(
                least[bus], most[bus], tree.rating_w[bus], price[bus], price[above]
            )
            flow[bus] = low + fraction[above] * (high - low)
        room = most[bus] - least[bus]
        fraction[bus] = min(max((flow[bus] - least[bus]) / room, 0.0), 1.0) if room > 0.0 else 0.0
        for spot in range(tree.first_unit[bus], tree.first_unit[bus + 1]):
            unit = tree.units[spot]
            if np.isnan(power[unit]):
                power[unit] = bids.lo_w[unit] + fraction[bus] * (bids.hi_w[unit] - bids.lo_w[unit])


@njit(cache=True)
def _flow_range(
    least: float, most: float, rating: float, price: float, price_above: float
) -> tuple[float, float]:
    """Return what can flow from a bus to its parent at the two prices: (least, most)."""
    if price_above < price:
        return -rating, -rating
    if price_above > price:
        return rating, rating
    return min(max(least, -rating), rating), max(min(most, rating), -rating)
