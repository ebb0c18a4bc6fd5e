"""Storages in plain numpy: one dense programme over all hours, the slow twin of `storage_interior`.

Every variable and every equation of every hour stands in one matrix, put together from the problem
itself in SI units, and the interior point of `meshed` solves it. Lines without a rating are not
joined here but carry what they must. In a meshed network the voltage law is an equation for each
cycle.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dispatch.arrays import Floats
from dispatch.meshed import Standard, interior_point
from market.dispatch_layout import UNLIMITED, DispatchLayout
from market.dispatch_problem import PPM

FAR_PART: Final = 10.0
"""How many times the largest load, for each unit, a line without a rating may carry."""


def solve_storages_plain(layout: DispatchLayout) -> tuple[Floats, Floats]:
    """Return ((t, u) powers in W, (t, s) net injections of the storages in W) of the optimum.

    Raises InvalidInput `no_solution` where none is found.
    """
    ends = [
        *((row.bus, row.parent, row.rating_w) for row in layout.branches),
        *((row.start, row.end, row.rating_w) for row in layout.lines),
    ]
    units, lines, storages = len(layout.units[0]), len(ends), len(layout.storages)
    hours, buses, cycles = len(layout.units), len(layout.places), len(layout.cycles)
    wide = units + lines + 3 * storages
    largest = max(1, *(-row.lo_w for rows in layout.units for row in rows))
    dearest = max(1, *(abs(row.b) for rows in layout.units for row in rows))
    quadratic, linear = np.zeros((hours, wide)), np.zeros((hours, wide))
    low, high = np.zeros((hours, wide)), np.zeros((hours, wide))
    rows_an_hour = buses + storages + cycles
    equal = np.zeros((hours * rows_an_hour, hours * wide))
    equal_to = np.zeros(len(equal))
    for hour in range(hours):
        first, balance = hour * wide, hour * rows_an_hour
        for unit, row in enumerate(layout.units[hour]):
            quadratic[hour, unit] = row.a * largest / dearest
            linear[hour, unit] = row.b / dearest
            low[hour, unit], high[hour, unit] = row.lo_w / largest, row.hi_w / largest
            equal[balance + row.bus, first + unit] = 1.0
        for line, (start, end, rating_w) in enumerate(ends):
            column = units + line
            rating = FAR_PART * units if rating_w == UNLIMITED else rating_w / largest
            low[hour, column], high[hour, column] = -rating, rating
            equal[balance + start, first + column] = -1.0
            equal[balance + end, first + column] = 1.0
        for number, cycle in enumerate(layout.cycles):
            around = sum(layout.lines[line].reactance_nano_ohm for line, _ in cycle)
            for line, direction in cycle:
                part = direction * layout.lines[line].reactance_nano_ohm / around
                equal[balance + buses + storages + number, first + units + line] = part
        for place, one in enumerate(layout.storages):
            storage = one.storage
            taken = units + lines + place
            given, level = taken + storages, taken + 2 * storages
            unit_of_level = PPM * layout.problem.interval_minutes * largest
            least = one.end_least if hour + 1 == hours else one.least
            high[hour, taken] = storage.charge_max_w / largest
            high[hour, given] = storage.discharge_max_w / largest
            low[hour, level] = least / unit_of_level
            high[hour, level] = one.greatest / unit_of_level
            linear[hour, taken] = storage.charge_cost / dearest
            linear[hour, given] = storage.discharge_cost / dearest
            equal[balance + one.bus, first + taken] = -1.0
            equal[balance + one.bus, first + given] = 1.0
            step = balance + buses + place
            equal[step, first + level] = 1.0
            equal[step, first + taken] = -storage.stored_ppm / PPM
            equal[step, first + given] = storage.drawn_ppm / PPM
            if hour:
                equal[step, first - wide + level] = -1.0
            else:
                equal_to[step] = one.start / unit_of_level
    x = _solve(quadratic.ravel(), linear.ravel(), low.ravel(), high.ravel(), equal, equal_to)
    rows = x.reshape(hours, wide) * largest
    taken = units + lines
    net = rows[:, taken + storages : taken + 2 * storages] - rows[:, taken : taken + storages]
    return rows[:, :units], net


def _solve(
    quadratic: Floats, linear: Floats, low: Floats, high: Floats, equal: Floats, equal_to: Floats
) -> Floats:
    """Return the optimum of bounded variables; what has no choice is put into the equations."""
    free = high > low
    fixed = np.where(free, 0.0, low)
    count = int(free.sum())
    standard = Standard(
        quadratic=quadratic[free],
        linear=linear[free],
        equal=equal[:, free],
        equal_to=equal_to - equal @ fixed,
        below=np.vstack([np.eye(count), -np.eye(count)]),
        bound=np.concatenate([high[free], -low[free]]),
    )
    x, _, _ = interior_point(standard)
    fixed[free] = x
    return fixed
