"""What the board of storages answers to the prices of all hours: its schedule, and those prices.

The board stands at the root of the tree, so that for each hour it knows what the rest of the
network injects at each price. Each piece of such a curve between two points is a unit at one bus;
with them the schedule is the optimum over all hours, found as `storage` finds that of a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from dispatch.arrays import Floats
from dispatch.exact_curves import NANO, Curve, span
from dispatch.storage_active import join_zones, settle_active
from dispatch.storage_arrays import Forest, Scale, StorageArrays
from dispatch.storage_fit import fit_prices
from dispatch.storage_interior import solve_interior
from dispatch.storage_rounding import round_prices, round_values
from dispatch.storage_watts import choose_watts
from market.dispatch_certificate import StorageResult
from market.dispatch_check import TOLERANCE_RADIAL
from market.dispatch_layout import StorageRow
from market.dispatch_problem import PPM

TRIED: Final = 8
"""Ways of rounding that are tried for one attempt at a round."""
SNAP: Final = 10**13
"""Prices that differ by less than a part of this are one price."""


@dataclass(frozen=True, slots=True)
class StoragePlan:
    """What storages at one bus do in all intervals."""

    prices: tuple[int, ...]
    """Price at their bus in each interval, 1e-24 $/Wh."""
    results: tuple[tuple[StorageResult, ...], ...]
    """For each interval one result for each storage."""

    def injection_w(self, interval: int) -> int:
        """Return what the storages give in an interval, less what they take."""
        return sum(one.discharge_w - one.charge_w for one in self.results[interval])


def plan_storages(
    curves: Sequence[Curve], rows: Sequence[StorageRow], minutes: int, attempt: int = 0
) -> StoragePlan:
    """Return the schedule of all storages of a problem, which are at one bus.

    `curves` say for each interval what everything else injects at that bus. Raises InvalidInput
    `no_solution`.
    """
    arrays = _arrays_of(curves, rows, minutes)
    found = settle_active(arrays, solve_interior(arrays))
    values = round_values(arrays, found)
    joined = join_zones(arrays, found.state)
    pieces = [_pieces(curve) for curve in curves]
    scale = arrays.scale.power_w * arrays.scale.price
    turnover_twice = 2.0 * float(np.abs(found.x[:, : arrays.ends[0]] * found.price).sum()) * scale
    best, least_off = StoragePlan((), ()), 0
    for offset in range(min(TRIED, len(rows))):
        first = attempt * TRIED + offset
        bound = turnover_twice / TOLERANCE_RADIAL
        moves = choose_watts(arrays, found, joined, values, bound, first)
        fitted = fit_prices(arrays, found, moves)
        worth = round_values(arrays, fitted)
        prices = round_prices(
            rows, arrays, fitted, worth, lambda hour, unit: pieces[hour][unit - 1][0][0]
        )
        plan = StoragePlan(
            tuple(_snap(curve, price) for curve, (price,) in zip(curves, prices, strict=True)),
            tuple(
                tuple(
                    StorageResult(int(taken), int(given), value)
                    for taken, given, value in zip(*moves[:, hour], worth[hour], strict=True)
                )
                for hour in range(len(curves))
            ),
        )
        off = max(_off_nw(curve, plan, hour) for hour, curve in enumerate(curves))
        if not best.prices or off < least_off:
            best, least_off = plan, off
        if off < NANO // 2:
            break
    return best


def _off_nw(curve: Curve, plan: StoragePlan, interval: int) -> int:
    """Return how far everything else has to leave its optimum for the storages' whole watts, nW."""
    low, high = span(curve, plan.prices[interval])
    wanted = -plan.injection_w(interval) * NANO
    return max(low - wanted, wanted - high, 0)


def _snap(curve: Curve, price: int) -> int:
    """Return the price of a corner, where rounding alone parts the price from it.

    On the other side of a corner a linear bid would be worth nothing, or everything.
    """
    nearest = min((point[0] for point in curve), key=lambda corner: abs(corner - price))
    return nearest if abs(nearest - price) * SNAP <= abs(price) else price


def _pieces(curve: Curve) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the pieces of a curve over which its power rises."""
    return [(low, high) for low, high in pairwise(curve) if high[1] > low[1]]


def _arrays_of(curves: Sequence[Curve], rows: Sequence[StorageRow], minutes: int) -> StorageArrays:
    """Return the programme of one zone: a first unit that cannot move, then the pieces."""
    hours, storages = len(curves), len(rows)
    pieces = [_pieces(curve) for curve in curves]
    units = 1 + max(len(each) for each in pieces)
    power_w = max(
        1.0,
        *(max(abs(curve[0][1]), 0) / NANO for curve in curves),
        *(float(max(row.storage.charge_max_w, row.storage.discharge_max_w)) for row in rows),
    )
    price = max(1.0, *(abs(float(point[0])) for curve in curves for point in curve))
    wide = units + 3 * storages
    quadratic, linear = np.zeros((hours, wide)), np.zeros((hours, wide))
    low, high = np.zeros((hours, wide)), np.zeros((hours, wide))
    for hour, curve in enumerate(curves):
        low[hour, 0] = high[hour, 0] = curve[0][1] / NANO / power_w
        for place, (left, right) in enumerate(pieces[hour], 1):
            high[hour, place] = (right[1] - left[1]) / NANO / power_w
            linear[hour, place] = left[0] / price
            quadratic[hour, place] = (right[0] - left[0]) / price / high[hour, place]
    unit = PPM * minutes * power_w
    bounds = np.array([[row.least, row.greatest, row.end_least, row.start] for row in rows]) / unit
    taken, given, level = units, units + storages, units + 2 * storages
    for place, row in enumerate(rows):
        storage = row.storage
        high[:, taken + place] = storage.charge_max_w / power_w
        high[:, given + place] = storage.discharge_max_w / power_w
        linear[:, taken + place] = storage.charge_cost / price
        linear[:, given + place] = storage.discharge_cost / price
        low[:, level + place], high[:, level + place] = bounds[place, 0], bounds[place, 1]
        low[-1, level + place] = bounds[place, 2]
    one = np.zeros(1, dtype=np.int64)
    start: Floats = bounds[:, 3]
    return StorageArrays(
        scale=Scale(power_w, price),
        forest=Forest(one - 1, one - 1, one),
        bus_zone=one,
        line_bus=one[:0],
        unit_zone=np.zeros(units, dtype=np.int64),
        storage_zone=np.zeros(storages, dtype=np.int64),
        stored=np.array([row.storage.stored_ppm / PPM for row in rows]),
        drawn=np.array([row.storage.drawn_ppm / PPM for row in rows]),
        start=start,
        quadratic=quadratic,
        linear=linear,
        lower=low,
        upper=high,
    )
