"""A radial problem with storages as one quadratic programme in floats, hours beside each other.

Every variable of an hour has a lower and an upper bound: powers of units, flows of rated lines, and
of each storage what it takes, what it gives and its level. Two kinds of equations bind them: the
balance of each zone, which is what lines without a rating join, with the zone's price as its
multiplier; and the step of each level, with the value of stored energy as its multiplier. Lines
that carry nothing at all part the zones into trees of their own.

Shapes: t hours, u units, m lines, s storages, z zones, v = u + m + 3s. Powers and levels are parts
of `scale.power_w`, prices of `scale.price`; a level is the power that would fill it in one hour's
interval, so that a step is level += stored·taken − drawn·given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dispatch.arrays import Floats, Integers, RadialArrays
from market.dispatch_layout import DispatchLayout
from market.dispatch_problem import PPM


class Scale(NamedTuple):
    """What the numbers are parts of."""

    power_w: float
    """W."""
    price: float
    """1e-24 $/Wh."""


class Forest(NamedTuple):
    """Zones and the rated lines between them; a named tuple, because compiled code takes it."""

    parent: Integers
    """(z,) each zone's next zone towards a root; -1 at a root."""
    line: Integers
    """(z,) number of the line to it among the rated ones; -1 at a root."""
    upward: Integers
    """(z,) all zones, each before its parent."""


@dataclass(frozen=True, slots=True)
class StorageArrays:
    """The programme: minimise Σ ½qx² + cx under the equations, within the bounds."""

    scale: Scale
    """Of all numbers below."""
    forest: Forest
    """Zones and lines."""
    bus_zone: Integers
    """(n,) zone of each bus."""
    line_bus: Integers
    """(m,) bus at whose line to its parent each rated line is."""
    unit_zone: Integers
    """(u,) zone of each unit."""
    storage_zone: Integers
    """(s,) zone of each storage."""
    stored: Floats
    """(s,) part of what is taken that reaches the store, at most 1."""
    drawn: Floats
    """(s,) what leaves the store for what is given, at least 1."""
    start: Floats
    """(s,) level before the first hour."""
    quadratic: Floats
    """(t, v) q."""
    linear: Floats
    """(t, v) c."""
    lower: Floats
    """(t, v) lower bounds."""
    upper: Floats
    """(t, v) upper bounds; equal to the lower one where there is no choice."""

    @property
    def zones(self) -> int:
        """Return the number of zones."""
        return len(self.forest.parent)

    @property
    def ends(self) -> tuple[int, int, int, int, int]:
        """Return where powers, flows, what is taken, what is given and levels end in a row."""
        units, lines, storages = len(self.unit_zone), len(self.line_bus), len(self.storage_zone)
        return (
            units,
            units + lines,
            units + lines + storages,
            units + lines + 2 * storages,
            units + lines + 3 * storages,
        )

    def split(self, x: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Return powers, flows, what is taken, what is given, levels: columns of a (t, v) array."""
        units, lines, taken, given, levels = self.ends
        return (
            x[:, :units],
            x[:, units:lines],
            x[:, lines:taken],
            x[:, taken:given],
            x[:, given:levels],
        )

    def imbalance(self, x: Floats) -> tuple[Floats, Floats]:
        """Return what the equations miss: (t, z) of the balances and (t, s) of the levels."""
        power, flow, taken, given, level = self.split(x)
        balance = np.zeros((self.zones, len(x)))
        np.add.at(balance, self.unit_zone, power.T)
        np.add.at(balance, self.storage_zone, (given - taken).T)
        child = np.flatnonzero(self.forest.line >= 0)
        carried = flow.T[self.forest.line[child]]
        balance[child] -= carried
        np.add.at(balance, self.forest.parent[child], carried)
        before = np.vstack([self.start[None, :], level[:-1]])
        return balance.T, level - before - self.stored * taken + self.drawn * given

    def priced(self, price: Floats, value: Floats) -> Floats:
        """Return, (t, v), what each variable earns at (t, z) prices and (t, s) level multipliers.

        The multiplier of a level is the negative of the value of stored energy.
        """
        child = self.line_zone
        at_storage = price[:, self.storage_zone]
        following = np.vstack([value[1:], np.zeros((1, value.shape[1]))])
        return np.hstack(
            [
                price[:, self.unit_zone],
                price[:, self.forest.parent[child]] - price[:, child],
                -at_storage - self.stored * value,
                at_storage + self.drawn * value,
                value - following,
            ]
        )

    @property
    def line_zone(self) -> Integers:
        """Return (m,) the zone at the farther end of each rated line."""
        child = np.flatnonzero(self.forest.line >= 0)
        found = np.empty(len(child), dtype=np.int64)
        found[self.forest.line[child]] = child
        return found


def storage_arrays(layout: DispatchLayout, arrays: RadialArrays) -> StorageArrays:
    """Return the programme of a sound radial problem with storages."""
    return _programme(layout, arrays, *_zones(arrays))


def parted_arrays(layout: DispatchLayout, arrays: RadialArrays) -> StorageArrays:
    """Return the programme of a sound problem without its lines: each bus is a zone by itself."""
    buses = np.arange(len(layout.places), dtype=np.int64)
    none = np.full(len(buses), -1, dtype=np.int64)
    return _programme(layout, arrays, Forest(none, none, buses), buses, buses[:0])


def _programme(
    layout: DispatchLayout,
    arrays: RadialArrays,
    forest: Forest,
    bus_zone: Integers,
    line_bus: Integers,
) -> StorageArrays:
    bids = arrays.bids
    hours = len(bids.a)
    scale = _scale(layout, arrays)
    rating = arrays.tree.rating_w[line_bus]
    rows = [row.storage for row in layout.storages]
    minutes = layout.problem.interval_minutes
    most = [[float(row.charge_max_w) for row in rows], [float(row.discharge_max_w) for row in rows]]
    wear = [[float(row.charge_cost) for row in rows], [float(row.discharge_cost) for row in rows]]
    unit = PPM * minutes * scale.power_w
    least = np.tile([row.least / unit for row in layout.storages], (hours, 1))
    least[-1] = [row.end_least / unit for row in layout.storages]
    greatest = np.tile([row.greatest / unit for row in layout.storages], (hours, 1))

    def rows_of(*parts: Floats) -> Floats:
        return np.hstack([np.broadcast_to(part, (hours, part.shape[-1])) for part in parts])

    none = np.zeros(len(rows))
    return StorageArrays(
        scale=scale,
        forest=forest,
        bus_zone=bus_zone,
        line_bus=line_bus,
        unit_zone=bus_zone[arrays.unit_bus],
        storage_zone=bus_zone[np.array([row.bus for row in layout.storages], dtype=np.int64)],
        stored=np.array([row.stored_ppm / PPM for row in rows]),
        drawn=np.array([row.drawn_ppm / PPM for row in rows]),
        start=np.array([row.start / unit for row in layout.storages]),
        quadratic=rows_of(
            bids.a * (scale.power_w / scale.price), np.zeros(len(line_bus)), none, none, none
        ),
        linear=rows_of(
            bids.b / scale.price,
            np.zeros(len(line_bus)),
            np.array(wear[0]) / scale.price,
            np.array(wear[1]) / scale.price,
            none,
        ),
        lower=np.hstack(
            [rows_of(bids.lo_w / scale.power_w, -rating / scale.power_w, none, none), least]
        ),
        upper=np.hstack(
            [
                rows_of(
                    bids.hi_w / scale.power_w,
                    rating / scale.power_w,
                    np.array(most[0]) / scale.power_w,
                    np.array(most[1]) / scale.power_w,
                ),
                greatest,
            ]
        ),
    )


def _scale(layout: DispatchLayout, arrays: RadialArrays) -> Scale:
    """Return a power and a price by which most numbers are near one."""
    bids = arrays.bids
    largest = np.maximum(np.abs(bids.lo_w), np.abs(bids.hi_w))
    served = largest[bids.lo_w < 0]
    own = [max(row.storage.charge_max_w, row.storage.discharge_max_w) for row in layout.storages]
    power = max(float(served.max(initial=1.0)), float(max(own, default=1)))
    price = float(np.abs(bids.b).max(initial=1.0))
    return Scale(power, max(price, 1.0))


def _zones(arrays: RadialArrays) -> tuple[Forest, Integers, Integers]:
    """Return the forest of zones, (n,) each bus's zone, (m,) the buses whose lines are rated."""
    tree = arrays.tree
    bus_zone: Integers = np.full(len(tree.parent), -1, dtype=np.int64)
    parent: list[int] = []
    line: list[int] = []
    line_bus: list[int] = []
    for bus in tree.upward[::-1].tolist():
        above, rating = tree.parent[bus], tree.rating_w[bus]
        if above >= 0 and np.isinf(rating):
            bus_zone[bus] = bus_zone[above]
            continue
        bus_zone[bus] = len(parent)
        if above >= 0 and rating > 0:
            parent.append(int(bus_zone[above]))
            line.append(len(line_bus))
            line_bus.append(bus)
        else:
            parent.append(-1)
            line.append(-1)
    count = len(parent)
    forest = Forest(
        np.array(parent, dtype=np.int64),
        np.array(line, dtype=np.int64),
        np.arange(count - 1, -1, -1, dtype=np.int64),
    )
    return forest, bus_zone, np.array(line_bus, dtype=np.int64)


Flags = NDArray[np.bool_]
