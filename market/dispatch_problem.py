"""The economic dispatch problem of a network: units with quadratic bids, storages, intervals.

Minimise the generators' cost minus the loads' utility over all delivery intervals, subject to the
balance at each bus, the limits of each unit and line, and, where the network is meshed, to
Kirchhoff's voltage law. Everything is an integer; power counts positive where it is injected into
the network, so that a load's is negative.

| quantity | unit |
|---|---|
| power, line ratings | W |
| `a`, slope of a unit's marginal cost | 1e-24 $/(W²h) |
| `b`, prices | 1e-24 $/Wh |
| stored energy | 1e-6 W·min (`STORE_PER_MILLI_WH` of them are one mWh) |
| efficiencies | parts per million |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from market.network import MAX_RATING_W, Network

MAX_POWER_W: Final = MAX_RATING_W
MAX_QUADRATIC: Final = 2**70
"""Bound on `a`; with the bounds below no product in the verifier passes 256 bits."""
MAX_PRICE: Final = 2**110
"""Bound on the magnitude of `b`, of prices, and of the multipliers of the voltage law."""
MAX_INTERVALS: Final = 192
MAX_UNITS: Final = 400_000
MAX_BIDS: Final = 2_000_000
"""Bound on units times intervals."""
MAX_STORAGES: Final = 10_000
MAX_INTERVAL_MINUTES: Final = 24 * 60
PPM: Final = 1_000_000
MAX_DRAWN_PPM: Final = 100 * PPM
STORE_PER_MILLI_WH: Final = 60_000
"""Stored energy is counted in 1e-6 W·min, in which a step of a level is an exact integer."""

GENERATOR: Final = "generator"
LOAD: Final = "load"


@dataclass(frozen=True, slots=True)
class Bid:
    """What a unit can do in one interval, and what it costs: a/2 P² + b P dollars per hour."""

    a: int
    """Slope of the marginal cost, 1e-24 $/(W²h), at least 0; 0 for a linear bid."""
    b: int
    """Marginal cost (of a load: marginal utility) at 0 W, 1e-24 $/Wh."""
    lo_w: int
    """Least injection, W; of a load the negative of what it takes at most."""
    hi_w: int
    """Greatest injection, W; of a load the negative of what must be served. lo = hi is fixed."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A generator or a load at a bus, with one bid for each interval."""

    name: str
    """Its name, unique among units and storages."""
    bus: str
    """Name of its bus."""
    kind: str
    """GENERATOR or LOAD; a load never injects."""
    bids: tuple[Bid, ...]
    """One for each interval of the problem."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A battery: it couples the intervals by its level.

    A step is level += minutes · (stored_ppm · charge_w − drawn_ppm · discharge_w), exactly.
    """

    name: str
    """Its name, unique among units and storages."""
    bus: str
    """Name of its bus."""
    charge_max_w: int
    """Greatest power taken from the network, W."""
    discharge_max_w: int
    """Greatest power injected, W."""
    charge_cost: int
    """Cost of wear for each Wh taken, 1e-24 $/Wh, at least 0."""
    discharge_cost: int
    """Cost of wear for each Wh injected, 1e-24 $/Wh, at least 0."""
    stored_ppm: int
    """Part of what is taken that reaches the store, parts per million, at most 1,000,000."""
    drawn_ppm: int
    """What leaves the store for what is injected, parts per million, at least 1,000,000."""
    energy_min_milli_wh: int
    """Lower bound of the level at the end of each interval, mWh."""
    energy_max_milli_wh: int
    """Upper bound of the level, mWh."""
    energy_start_milli_wh: int
    """Level before the first interval, mWh."""
    energy_end_min_milli_wh: int
    """Lower bound of the level after the last interval, mWh."""


@dataclass(frozen=True, slots=True)
class DispatchProblem:
    """One round's problem: a network, its units and storages, and the intervals they bid for."""

    network: Network
    """Buses and lines; radial or meshed."""
    interval_minutes: int
    """Length of an interval, minutes; it matters to storages alone."""
    intervals: int
    """Number of consecutive intervals, at least 1."""
    units: tuple[Unit, ...]
    """Generators and loads, in the order in which results state their powers."""
    storages: tuple[Storage, ...] = ()
    """Batteries; without them the intervals do not depend on each other."""

    @property
    def is_radial(self) -> bool:
        """Tell whether the lines of a sound network form a tree."""
        return len(self.network.lines) == len(self.network.buses) - 1


def single_interval(problem: DispatchProblem, interval: int) -> DispatchProblem:
    """Return the problem of one interval (from 0) of a problem without storages."""
    units = tuple(
        Unit(unit.name, unit.bus, unit.kind, (unit.bids[interval],)) for unit in problem.units
    )
    return DispatchProblem(problem.network, problem.interval_minutes, 1, units)
