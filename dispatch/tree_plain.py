"""The exact tree method in plain numpy: the slow twin by which `tree` is held.

A curve is its corner points. Between corners it is linear, at a corner it may jump, beyond the
outer corners it is constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dispatch.arrays import Floats, RadialArrays
from dispatch.tree import REACHED_W, RadialDispatch


@dataclass(frozen=True, slots=True)
class Curve:
    """What a part of the tree injects at each price."""

    x: Floats
    """(k,) prices of its corners, ascending, k at least 1."""
    before: Floats
    """(k,) values just below each corner; the first holds for all lower prices."""
    after: Floats
    """(k,) values just above each corner; the last holds for all higher prices."""

    def limits_at(self, x: Floats) -> tuple[Floats, Floats]:
        """Return the values just below and just above each of some prices."""
        below = np.searchsorted(self.x, x, side="left")
        above = np.searchsorted(self.x, x, side="right")
        inner = np.interp(x, self.x, self.after)
        # Between two corners the line runs from `after` of the left to `before` of the right one.
        left = np.clip(below - 1, 0, len(self.x) - 1)
        right = np.clip(below, 0, len(self.x) - 1)
        span = self.x[right] - self.x[left]
        part = np.where(span > 0, (x - self.x[left]) / np.where(span > 0, span, 1.0), 0.0)
        inner = self.after[left] + part * (self.before[right] - self.after[left])
        inner = np.where(below == 0, self.before[0], inner)
        inner = np.where(above == len(self.x), self.after[-1], inner)
        at_corner = below < above
        corner = np.clip(below, 0, len(self.x) - 1)
        return (
            np.where(at_corner, self.before[corner], inner),
            np.where(at_corner, self.after[corner], inner),
        )

    def lowest_reaching(self, level: float) -> float:
        """Return the lowest price at which the curve reaches `level` from below; -inf if always."""
        if self.before[0] >= level - REACHED_W:
            return -np.inf
        for place in range(len(self.x)):
            if place and self.before[place] >= level:
                rise = self.before[place] - self.after[place - 1]
                part = (level - self.after[place - 1]) / rise if rise > 0 else 0.0
                return float(
                    self.x[place - 1] + max(part, 0.0) * (self.x[place] - self.x[place - 1])
                )
            if self.after[place] >= level - REACHED_W:
                return float(self.x[place])
        return float(self.x[-1])

    def mirrored(self) -> Curve:
        """Return the curve with the signs of price and value turned."""
        return Curve(-self.x[::-1], -self.after[::-1], -self.before[::-1])

    def highest_reaching(self, level: float) -> float:
        """Return the highest price at which the curve is not above `level`; inf if always."""
        return -self.mirrored().lowest_reaching(-level)


def unit_curve(a: float, b: float, lo_w: float, hi_w: float) -> Curve:
    """Return clamp((x - b)/a, lo, hi), or the jump from lo to hi at b."""
    if a > 0 and lo_w < hi_w:
        ends = np.array([lo_w, hi_w])
        return Curve(b + a * ends, ends, ends)
    return Curve(np.array([b]), np.array([lo_w]), np.array([hi_w]))


def add(curves: list[Curve]) -> Curve:
    """Return the sum of curves; of none, the curve that is 0."""
    if not curves:
        return Curve(np.zeros(1), np.zeros(1), np.zeros(1))
    x = np.unique(np.concatenate([curve.x for curve in curves]))
    sides = [curve.limits_at(x) for curve in curves]
    return Curve(x, sum(side[0] for side in sides), sum(side[1] for side in sides))  # type: ignore[arg-type]


def clamp(curve: Curve, rating: float) -> tuple[Curve, float, float]:
    """Return the curve held within the rating, and the prices between which it is within."""
    lowest, highest = curve.lowest_reaching(-rating), curve.highest_reaching(rating)
    corners = np.array([price for price in (lowest, highest) if np.isfinite(price)])
    x = np.unique(np.concatenate([curve.x, corners]))
    before, after = curve.limits_at(x)
    return (
        Curve(x, np.clip(before, -rating, rating), np.clip(after, -rating, rating)),
        lowest,
        highest,
    )


def solve_tree_plain(arrays: RadialArrays) -> RadialDispatch:
    """Return what `solve_tree` returns, by the same rules."""
    results = [_solve_interval(arrays, interval) for interval in range(arrays.bids.a.shape[0])]
    prices, powers, flows = (np.array(column) for column in zip(*results, strict=True))
    return RadialDispatch(prices, powers, flows)


def _solve_interval(arrays: RadialArrays, interval: int) -> tuple[Floats, Floats, Floats]:
    buses = len(arrays.tree.parent)
    bids = list(zip(*arrays.interval_bids(interval), strict=True))
    arriving: list[list[Curve]] = [[] for _ in range(buses)]
    for unit, bus in enumerate(arrays.unit_bus):
        arriving[bus].append(unit_curve(*bids[unit]))
    lowest, highest = np.full(buses, -np.inf), np.full(buses, np.inf)
    for bus in arrays.tree.upward[:-1]:
        passed, lowest[bus], highest[bus] = clamp(add(arriving[bus]), arrays.tree.rating_w[bus])
        arriving[arrays.tree.parent[bus]].append(passed)
    root = arrays.tree.upward[-1]
    total = add(arriving[root])
    price = np.empty(buses)
    price[root] = total.lowest_reaching(0.0)
    if not np.isfinite(price[root]):
        price[root] = total.highest_reaching(0.0)
    if not np.isfinite(price[root]):
        price[root] = 0.0
    for bus in arrays.tree.upward[-2::-1]:
        price[bus] = min(max(price[arrays.tree.parent[bus]], lowest[bus]), highest[bus])
    return (price, *allocate(arrays, bids, price))


def allocate(
    arrays: RadialArrays, bids: list[tuple[float, float, float, float]], price: Floats
) -> tuple[Floats, Floats]:
    """Return (powers, flows) at the prices; equal fractions of the room where there is a choice."""
    buses = len(arrays.tree.parent)
    ranges = []
    least, most = np.zeros(buses), np.zeros(buses)
    for (a, b, lo_w, hi_w), bus in zip(bids, arrays.unit_bus, strict=True):
        curve = unit_curve(a, b, lo_w, hi_w)
        if a > 0:
            power = float(np.clip((price[bus] - b) / a, lo_w, hi_w))
            ranges.append((power, power))
        else:
            low, high = curve.limits_at(price[bus : bus + 1])
            ranges.append((float(low[0]), float(high[0])))
        least[bus] += ranges[-1][0]
        most[bus] += ranges[-1][1]
    passed = np.zeros((buses, 2))
    for bus in arrays.tree.upward[:-1]:
        above, rating = arrays.tree.parent[bus], arrays.tree.rating_w[bus]
        if price[above] == price[bus]:
            passed[bus] = np.clip(least[bus], -rating, rating), np.clip(most[bus], -rating, rating)
        else:
            passed[bus, :] = rating if price[above] > price[bus] else -rating
        least[above] += passed[bus, 0]
        most[above] += passed[bus, 1]
    flow, fraction = np.zeros(buses), np.zeros(buses)
    for bus in arrays.tree.upward[::-1]:
        if arrays.tree.parent[bus] >= 0:
            low, high = passed[bus]
            flow[bus] = low + fraction[arrays.tree.parent[bus]] * (high - low)
        room = most[bus] - least[bus]
        fraction[bus] = np.clip((flow[bus] - least[bus]) / room, 0.0, 1.0) if room > 0 else 0.0
    chosen = np.array(ranges).reshape(-1, 2)
    return chosen[:, 0] + fraction[arrays.unit_bus] * (chosen[:, 1] - chosen[:, 0]), flow
