"""Supply curves in integers: what a part of a network injects at each price, exactly.

A curve is a tuple of points (price in 1e-24 $/Wh, power in nanowatts) that rises in both; between
two points it is a straight line, a vertical one where they share a price (a linear bid jumps), and
outside it is constant. Interpolated powers are rounded down to a nanowatt, so that a sum over a
thousand units is right to a microwatt and every board that computes it finds the same integers.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from market.dispatch_problem import Bid

NANO: Final = 10**9
"""Nanowatts in a watt."""

NEAR_NW: Final = 1_000_000
"""A power this near to whole watts may stand at a limit."""

Point = tuple[int, int]
"""Price, 1e-24 $/Wh, and power, nW."""
Curve = tuple[Point, ...]


def unit_curve(bid: Bid) -> Curve:
    """Return what a unit injects at each price."""
    low = (bid.b + bid.a * bid.lo_w, bid.lo_w * NANO)
    if bid.lo_w == bid.hi_w:
        return (low,)
    return (low, (bid.b + bid.a * bid.hi_w, bid.hi_w * NANO))


def span(curve: Curve, price: int) -> tuple[int, int]:
    """Return the least and the greatest power at a price, nW; they differ on a vertical line."""
    first = bisect_left(curve, price, key=_price)
    end = bisect_right(curve, price, first, key=_price)
    if first < end:
        return curve[first][1], curve[end - 1][1]
    if first == 0:
        return curve[0][1], curve[0][1]
    if first == len(curve):
        return curve[-1][1], curve[-1][1]
    (left, low), (right, high) = curve[first - 1], curve[first]
    power = low + (high - low) * (price - left) // (right - left)
    return power, power


def add_curves(curves: Sequence[Curve]) -> Curve:
    """Return the sum of curves; of none the curve of nothing at all, (0, 0)."""
    if not curves:
        return ((0, 0),)
    if len(curves) == 1:
        return curves[0]
    points: list[Point] = []
    for price in sorted({price for curve in curves for price, _ in curve}):
        low = high = 0
        for curve in curves:
            least, greatest = span(curve, price)
            low, high = low + least, high + greatest
        points.append((price, low))
        if high != low:
            points.append((price, high))
    return tuple(points)


def lowest_price(curve: Curve, power_nw: int) -> int | None:
    """Return the least price at which a curve reaches a power; None if it lies there from ever."""
    if curve[0][1] >= power_nw:
        return None
    place = bisect_left(curve, power_nw, key=_power)
    if place == len(curve):
        return curve[-1][0]
    (left, low), (right, high) = curve[place - 1], curve[place]
    return left - (low - power_nw) * (right - left) // (high - low)


def highest_price(curve: Curve, power_nw: int) -> int | None:
    """Return the greatest price at which a curve has not passed a power; None if it never does."""
    if curve[-1][1] <= power_nw:
        return None
    place = bisect_right(curve, power_nw, key=_power)
    if place == 0:
        return curve[0][0]
    (left, low), (right, high) = curve[place - 1], curve[place]
    return left + (power_nw - low) * (right - left) // (high - low)


def clamp_curve(curve: Curve, rating_w: int | None) -> Curve:
    """Return a curve held within what a line carries."""
    if rating_w is None:
        return curve
    if rating_w == 0:
        return ((0, 0),)
    limit = rating_w * NANO
    low, high = lowest_price(curve, -limit), highest_price(curve, limit)
    if low is not None and high is not None:
        high = max(low, high)  # of a curve so steep that both round to one price
    # Points at the limit itself stay: between two of them a curve may lie flat at it.
    inner = [
        (price, max(-limit, min(limit, power)))
        for price, power in curve
        if (low is None or power >= -limit) and (high is None or power <= limit)
    ]
    start = [] if low is None else [(low, -limit)]
    end = [] if high is None else [(high, limit)]
    found = [point for point, _ in groupby(start + inner + end)]
    return tuple(found) if found else ((0, 0),)


def clearing_price(curve: Curve) -> int:
    """Return the price at which a whole network's curve is zero.

    Where it is not unique the lowest; without a lower bound the highest; without any bound 0.
    """
    low = lowest_price(curve, 0)
    if low is not None:
        return low
    high = highest_price(curve, 0)
    return 0 if high is None else high


def price_behind_line(curve: Curve, price: int, rating_w: int | None) -> int:
    """Return the price behind a line: the nearest to that before it at which the line carries it.

    `curve` is that of what lies behind the line, without the line's limit.
    """
    if rating_w is None:
        return price
    limit = rating_w * NANO
    least, greatest = span(curve, price)
    if least > limit:
        high = highest_price(curve, limit)
        return price if high is None else min(price, high)
    if greatest < -limit:
        low = lowest_price(curve, -limit)
        return price if low is None else max(price, low)
    return price


def share_out(spans: Sequence[tuple[int, int]], total_w: int) -> list[int]:
    """Return whole watts within `spans` (least and greatest, nW) with the sum `total_w`.

    Where there is a choice all take the same part of their span, and each is then rounded up or
    down to a watt so that the sum is exact. No power leaves its span by a watt or more.
    """
    base = sum(low for low, _ in spans)
    width = sum(high - low for low, high in spans)
    wanted = min(max(total_w * NANO - base, 0), width)
    targets = [low + ((high - low) * wanted // width if width else 0) for low, high in spans]
    powers = [target // NANO for target in targets]
    missing = total_w - sum(powers)
    # Those with the largest fractions go up first; of equals the first.
    order = sorted(range(len(spans)), key=lambda place: (-(targets[place] % NANO), place))
    step = 1 if missing > 0 else -1
    for place in order if missing > 0 else ():
        if not missing:
            break
        powers[place] += step
        missing -= step
    # Storages, whose watts stand fixed, can ask for a watt or two beyond that: what stands strictly
    # between two watts, and so at no limit, takes it.
    inner = [place for place in order if NEAR_NW < targets[place] % NANO < NANO - NEAR_NW]
    while missing and inner:
        for place in reversed(inner):
            if missing:
                powers[place] += step
                missing -= step
    if missing:
        raise ValueError(f"{missing} W of {total_w} W fit into none of {len(spans)} spans")
    return powers


def _price(point: Point) -> int:
    return point[0]


def _power(point: Point) -> int:
    return point[1]
