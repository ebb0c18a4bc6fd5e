"""Boards' steps on a mesh in plain numpy, all lines at once: the twin by which `mesh_bus` is held.

Rows of lines; column 0 is the end at which a line begins, column 1 the other.
"""

from __future__ import annotations

import numpy as np

from dispatch.admm_mesh import bids_of, middle_slope
from dispatch.arrays import Bids, Floats, Integers
from dispatch.mesh_bus import RELAXATION
from market.dispatch_layout import DispatchLayout

SIDES = np.array([1.0, -1.0])
"""With which sign a flow leaves the bus at either end."""


def step_mesh_plain(layout: DispatchLayout, rounds: int) -> tuple[Floats, Floats]:
    """Return (m,) flows in W and (m, 2) angles of the first interval after some rounds."""
    bids = bids_of(layout, 0)
    rho = middle_slope(bids)
    ends: Integers = np.array([[line.start, line.end] for line in layout.lines], dtype=np.int64)
    rating = np.array([float(line.rating_w) for line in layout.lines])
    reactance = np.array([float(line.reactance_nano_ohm) for line in layout.lines])
    x = reactance / np.median(reactance)
    buses = len(layout.places)
    unit_bus = np.array([row.bus for row in layout.units[0]])
    flow, angle = np.zeros(len(x)), np.zeros((len(x), 2))
    flow_off, angle_off = np.zeros((len(x), 2)), np.zeros((len(x), 2))
    degree = np.bincount(ends.ravel(), minlength=buses)
    for _ in range(rounds):
        aim = flow[:, None] - flow_off
        leaving = np.bincount(ends.ravel(), (aim * SIDES).ravel(), buses)
        price = np.array(
            [
                _price(Bids(*(column[unit_bus == bus] for column in bids)), degree[bus] / rho, out)
                for bus, out in enumerate(leaving)
            ]
        )
        copies = aim - SIDES * price[ends] / rho
        shared = np.bincount(ends.ravel(), (angle - angle_off).ravel(), buses) / degree
        told_flow = RELAXATION * copies + (1 - RELAXATION) * flow[:, None] + flow_off
        told_angle = RELAXATION * shared[ends] + (1 - RELAXATION) * angle + angle_off
        # Least squares over f: (f - a)² + (f - b)² + the angles' (x f - d)²/2, by its derivative.
        drop = told_angle[:, 0] - told_angle[:, 1]
        flow = (2 * told_flow.sum(axis=1) + x * drop) / (4 + x**2)
        flow = np.clip(flow, -rating, rating)
        angle = told_angle.mean(axis=1)[:, None] + SIDES * (x * flow / 2)[:, None]
        flow_off, angle_off = told_flow - flow[:, None], told_angle - angle
    return flow, angle


def _price(bids: Bids, give: float, leaving: float) -> float:
    """Return the price at which units inject leaving - give·price, by bisection."""
    low, high = -1e24, 1e24
    for _ in range(120):
        middle = 0.5 * (low + high)
        sloped = np.clip(
            (middle - bids.b) / np.where(bids.a > 0, bids.a, 1.0), bids.lo_w, bids.hi_w
        )
        power = np.where(bids.a > 0, sloped, np.where(middle > bids.b, bids.hi_w, bids.lo_w)).sum()
        low, high = (low, middle) if power + give * middle - leaving > 0 else (middle, high)
    return low
