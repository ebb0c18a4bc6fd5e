"""A radial dispatch problem as arrays of floats: what the solvers of this package work on.

Shapes: n buses, u units, t intervals. Units: W, 1e-24 $/(W²h), 1e-24 $/Wh.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from market.dispatch_layout import UNLIMITED, DispatchLayout

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Tree(NamedTuple):
    """The shape of a radial network; a named tuple, because compiled code takes it as it is."""

    parent: Integers
    """(n,) each bus's next bus towards the slack bus; -1 at the slack bus."""
    upward: Integers
    """(n,) all buses, the farthest from the slack bus first, the slack bus last."""
    rating_w: Floats
    """(n,) rating of the line to the parent, infinite without one and at the slack bus."""
    first_unit: Integers
    """(n + 1,) the units of bus i are `units[first_unit[i]:first_unit[i + 1]]`."""
    units: Integers
    """(u,) numbers of the units, bus by bus."""


class Bids(NamedTuple):
    """The units' bids: arrays of shape (t, u), or (u,) for one interval."""

    a: Floats
    """Slopes of the marginal costs."""
    b: Floats
    """Marginal costs at 0 W."""
    lo_w: Floats
    """Least injections."""
    hi_w: Floats
    """Greatest injections."""


@dataclass(frozen=True, slots=True)
class RadialArrays:
    """A tree of buses with the units at them."""

    tree: Tree
    """Its shape."""
    depth: int
    """Levels of the tree: lines on the longest way to the slack bus, plus one."""
    unit_bus: Integers
    """(u,) each unit's bus."""
    bids: Bids
    """The bids of all intervals."""

    def interval_bids(self, interval: int) -> Bids:
        """Return the bids of one interval, arrays of shape (u,)."""
        a, b, lo_w, hi_w = self.bids
        return Bids(a[interval], b[interval], lo_w[interval], hi_w[interval])


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

    tree = Tree(
        parent=np.array([place.parent for place in layout.places], dtype=np.int64),
        upward=np.array([*(branch.bus for branch in layout.branches), layout.root], dtype=np.int64),
        rating_w=rating,
        first_unit=np.cumsum(first_unit),
        units=np.argsort(unit_bus, kind="stable").astype(np.int64),
    )
    return RadialArrays(
        tree=tree,
        depth=1 + max(place.depth for place in layout.places),
        unit_bus=unit_bus,
        bids=Bids(column("a"), column("b"), column("lo_w"), column("hi_w")),
    )
