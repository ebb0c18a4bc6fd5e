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

import numpy as np
from numba import njit

from dispatch.arrays import Floats, Integers, RadialArrays

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


def solve_tree(arrays: RadialArrays) -> RadialDispatch:
    """Return the optimum of each interval. Where a price is not unique, the canonical one.

    Canonical: at the slack bus the lowest price that clears; without a lower bound the highest;
    without any bound 0. At every other bus the nearest to its parent's. Units with linear bids
    at the margin fill the same fraction of what their part of the tree leaves open.
    """
    intervals, buses = arrays.a.shape[0], arrays.parent.shape[0]
    prices = np.empty((intervals, buses))
    powers = np.empty_like(arrays.a)
    flows = np.empty((intervals, buses))
    _solve_intervals(
        arrays.parent,
        arrays.upward,
        arrays.rating_w,
        arrays.first_unit,
        arrays.units,
        arrays.a,
        arrays.b,
        arrays.lo_w,
        arrays.hi_w,
        prices,
        powers,
        flows,
    )
    return RadialDispatch(prices, powers, flows)


@njit(cache=True)
def _solve_intervals(
    parent: Integers,
    upward: Integers,
    rating: Floats,
    first_unit: Integers,
    units: Integers,
    a: Floats,
    b: Floats,
    lo: Floats,
    hi: Floats,
    prices: Floats,
    powers: Floats,
    flows: Floats,
) -> None:
    """Solve interval after interval into `prices`, `powers` and `flows`."""
    count = parent.shape[0]
    size = 2 * a.shape[1] + 2 * count
    # Events: place on the price axis, change of slope, jump of value, whether still there.
    x, slope, jump = np.empty(size), np.empty(size), np.empty(size)
    alive = np.empty(size, np.bool_)
    # Children of each event in the heap of least and in the heap of greatest prices.
    least = np.empty((size, 2), np.int64)
    greatest = np.empty((size, 2), np.int64)
    lowest, highest = np.empty(count), np.empty(count)
    for interval in range(a.shape[0]):
        root_price = _pass_up(
            parent,
            upward,
            rating,
            first_unit,
            units,
            a[interval],
            b[interval],
            lo[interval],
            hi[interval],
            x,
            slope,
            jump,
            alive,
            least,
            greatest,
            lowest,
            highest,
        )
        price = prices[interval]
        price[upward[count - 1]] = root_price
        for place in range(count - 2, -1, -1):
            bus = upward[place]
            price[bus] = min(max(price[parent[bus]], lowest[bus]), highest[bus])
        _allocate(
            parent,
            upward,
            rating,
            first_unit,
            units,
            a[interval],
            b[interval],
            lo[interval],
            hi[interval],
            price,
            powers[interval],
            flows[interval],
        )


@njit(cache=True)
def _pass_up(
    parent: Integers,
    upward: Integers,
    rating: Floats,
    first_unit: Integers,
    units: Integers,
    a: Floats,
    b: Floats,
    lo: Floats,
    hi: Floats,
    x: Floats,
    slope: Floats,
    jump: Floats,
    alive: Integers,
    least: Integers,
    greatest: Integers,
    lowest: Floats,
    highest: Floats,
) -> float:
    """Pass all curves up, note between which prices each line is not full, and solve the root."""
    count = parent.shape[0]
    used = 0
    left, right = np.zeros(count), np.zeros(count)
    root_least, root_greatest = np.full(count, -1), np.full(count, -1)
    for bus in upward:
        for place in range(first_unit[bus], first_unit[bus + 1]):
            unit = units[place]
            left[bus] += lo[unit]
            right[bus] += hi[unit]
            if lo[unit] == hi[unit]:
                continue
            events = 2 if a[unit] > 0 else 1
            for end in range(events):
                x[used] = b[unit] + a[unit] * (hi[unit] if end else lo[unit])
                slope[used] = 0.0
                jump[used] = 0.0
                if events == 1:
                    jump[used] = hi[unit] - lo[unit]
                else:
                    slope[used] = -1.0 / a[unit] if end else 1.0 / a[unit]
                root_least[bus] = _insert(x, least, alive, root_least[bus], used, 1.0)
                root_greatest[bus] = _insert(x, greatest, alive, root_greatest[bus], used, -1.0)
                used += 1
        if parent[bus] < 0:
            break
        limit = rating[bus]
        lowest[bus], highest[bus] = -np.inf, np.inf
        if left[bus] < -limit:
            before = used
            used, root_least[bus], lowest[bus] = _clamp(
                x, slope, jump, alive, least, root_least[bus], left[bus], -limit, used, 1.0
            )
            left[bus] = -limit
            if used > before:
                root_greatest[bus] = _insert(x, greatest, alive, root_greatest[bus], before, -1.0)
        if right[bus] > limit:
            before = used
            used, root_greatest[bus], highest[bus] = _clamp(
                x, slope, jump, alive, greatest, root_greatest[bus], right[bus], limit, used, -1.0
            )
            right[bus] = limit
            if used > before:
                root_least[bus] = _insert(x, least, alive, root_least[bus], before, 1.0)
        above = parent[bus]
        left[above] += left[bus]
        right[above] += right[bus]
        root_least[above] = _merge(x, least, root_least[above], root_least[bus], 1.0)
        root_greatest[above] = _merge(x, greatest, root_greatest[above], root_greatest[bus], -1.0)
    root = upward[count - 1]
    if left[root] < -REACHED_W:
        _, _, price = _clamp(
            x, slope, jump, alive, least, root_least[root], left[root], 0.0, used, 1.0
        )
        return price
    if right[root] > REACHED_W:
        _, _, price = _clamp(
            x, slope, jump, alive, greatest, root_greatest[root], right[root], 0.0, used, -1.0
        )
        return price
    return 0.0


@njit(cache=True)
def _clamp(
    x: Floats,
    slope: Floats,
    jump: Floats,
    alive: Integers,
    heap: Integers,
    root: int,
    value: float,
    level: float,
    used: int,
    sign: float,
) -> tuple[int, int, float]:
    """Cut a curve off where it reaches `level`; return (events used, root of the heap, price).

    With `sign` 1 the curve is walked from the left, where its value is below the level, with -1
    from the right, where it is above; one code does both by mirroring price and value. The events
    passed are gone; where the curve goes on from the level, one new event begins it.
    """
    steepest = slope_here = 0.0
    height, target = sign * value, sign * level
    place = 0.0
    while root >= 0:
        if not alive[root]:
            root = _merge(x, heap, heap[root, 0], heap[root, 1], sign)
            continue
        event = root
        ahead = sign * x[event]
        if slope_here > 0.0:
            reached = height + slope_here * (ahead - place)
            if reached >= target:
                place = min(place + max(target - height, 0.0) / slope_here, ahead)
                return _begin(x, slope, jump, alive, heap, root, used, sign, place, slope_here, 0.0)
            height = reached
        place = ahead
        root = _merge(x, heap, heap[event, 0], heap[event, 1], sign)
        alive[event] = False
        height += jump[event]
        steepest = max(steepest, abs(slope[event]))
        slope_here += sign * slope[event]
        if abs(slope_here) < 4e-15 * steepest:
            # What is left of slopes that cancel.
            slope_here = 0.0
        if height >= target - REACHED_W:
            rest = max(height - target, 0.0) if jump[event] > 0.0 else 0.0
            return _begin(x, slope, jump, alive, heap, root, used, sign, place, slope_here, rest)
    return used, -1, sign * place


@njit(cache=True)
def _begin(
    x: Floats,
    slope: Floats,
    jump: Floats,
    alive: Integers,
    heap: Integers,
    root: int,
    used: int,
    sign: float,
    place: float,
    slope_here: float,
    rest: float,
) -> tuple[int, int, float]:
    """Begin a curve that was cut off at the (mirrored) `place` with one new event."""
    x[used] = sign * place
    slope[used] = sign * slope_here
    jump[used] = rest
    root = _insert(x, heap, alive, root, used, sign)
    return used + 1, root, sign * place


@njit(cache=True)
def _insert(x: Floats, heap: Integers, alive: Integers, root: int, event: int, sign: float) -> int:
    """Put a living event into a heap and return the heap's root."""
    alive[event] = True
    heap[event, 0] = heap[event, 1] = -1
    return _merge(x, heap, root, event, sign)


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
def _allocate(
    parent: Integers,
    upward: Integers,
    rating: Floats,
    first_unit: Integers,
    units: Integers,
    a: Floats,
    b: Floats,
    lo: Floats,
    hi: Floats,
    price: Floats,
    power: Floats,
    flow: Floats,
) -> None:
    """Write each unit's power and each line's flow at the prices.

    Only linear bids at the margin have a choice: their room, and that of the lines' flows, is
    summed up the tree, and what each bus has to give is shared down it by one fraction of the room.
    """
    count = parent.shape[0]
    least, most = np.zeros(count), np.zeros(count)
    for bus in upward:
        for place in range(first_unit[bus], first_unit[bus + 1]):
            unit = units[place]
            margin = price[bus] - b[unit]
            if a[unit] > 0:
                power[unit] = min(max(margin / a[unit], lo[unit]), hi[unit])
            elif margin != 0.0:
                power[unit] = hi[unit] if margin > 0.0 else lo[unit]
            else:
                power[unit] = np.nan
                least[bus] += lo[unit]
                most[bus] += hi[unit]
                continue
            least[bus] += power[unit]
            most[bus] += power[unit]
        above = parent[bus]
        if above >= 0:
            low, high = _flow_range(least[bus], most[bus], rating[bus], price[bus], price[above])
            least[above] += low
            most[above] += high
    flow[upward[count - 1]] = 0.0
    fraction = np.empty(count)
    for place in range(count - 1, -1, -1):
        bus = upward[place]
        above = parent[bus]
        if above >= 0:
            low, high = _flow_range(least[bus], most[bus], rating[bus], price[bus], price[above])
            flow[bus] = low + fraction[above] * (high - low)
        room = most[bus] - least[bus]
        fraction[bus] = min(max((flow[bus] - least[bus]) / room, 0.0), 1.0) if room > 0.0 else 0.0
        for spot in range(first_unit[bus], first_unit[bus + 1]):
            unit = units[spot]
            if np.isnan(power[unit]):
                power[unit] = lo[unit] + fraction[bus] * (hi[unit] - lo[unit])


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
