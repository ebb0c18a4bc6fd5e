"""A radial dispatch problem as arrays of floats: what the solvers of this package work on.

Shapes: n buses, u units, t intervals. Units: W, 1e-24 $/(W²h), 1e-24 $/Wh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.dispatch_layout import UNLIMITED, DispatchLayout

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RadialArrays:
    """A tree of buses with the units at them."""

    parent: Integers
    """(n,) each bus's next bus towards the slack bus; -1 at the slack bus."""
    upward: Integers
    """(n,) all buses, the farthest from the slack bus first, the slack bus last."""
    rating_w: Floats
    """(n,) rating of the line to the parent, infinite without one and at the slack bus."""
    depth: int
    """Levels of the tree: lines on the longest way to the slack bus, plus one."""
    first_unit: Integers
    """(n + 1,) the units of bus i are `units[first_unit[i]:first_unit[i + 1]]`."""
    units: Integers
    """(u,) numbers of the units, bus by bus."""
    unit_bus: Integers
    """(u,) each unit's bus."""
    a: Floats
    """(t, u) slopes of the marginal costs."""
    b: Floats
    """(t, u) marginal costs at 0 W."""
    lo_w: Floats
    """(t, u) least injections."""
    hi_w: Floats
    """(t, u) greatest injections."""


def radial_arrays(layout: DispatchLayout) -> RadialArrays:
    """Return the arrays of a radial problem; its storages are left out."""
    buses = len(layout.places)
    rating = np.full(buses, np.inf)
    for branch in layout.branches:
        if branch.rating_w != UNLIMITED:
            rating[branch.bus] = branch.rating_w
    unit_bus = np.array([row.bus for row in layout.units[0]], dtype=np.int64)
    first_unit = np.zeros(buses + 1, dtype=np.int64)
    np.add.at(first_unit, unit_bus + 1, 1)

    def column(name: str) -> Floats:
        return np.array(
            [[float(getattr(row, name)) for row in rows] for rows in layout.units]
        ).reshape(len(layout.units), len(unit_bus))

    return RadialArrays(
        parent=np.array([place.parent for place in layout.places], dtype=np.int64),
        upward=np.array([*(branch.bus for branch in layout.branches), layout.root], dtype=np.int64),
        rating_w=rating,
        depth=1 + max(place.depth for place in layout.places),
        first_unit=np.cumsum(first_unit),
        units=np.argsort(unit_bus, kind="stable").astype(np.int64),
        unit_bus=unit_bus,
        a=column("a"),
        b=column("b"),
        lo_w=column("lo_w"),
        hi_w=column("hi_w"),
    )
