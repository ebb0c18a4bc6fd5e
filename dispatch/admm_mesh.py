"""ADMM over the lines of a meshed network: buses, and cycles for the voltage law.

Every line has a flow z. Copies of it are held by the buses at its two ends and by each cycle that
runs over it (general-form consensus ADMM, Boyd et al. 2011, section 7.2). A round: each bus chooses
its units' powers and its copies at least cost, which is one piecewise-linear equation in its price;
each cycle moves its copies as little as makes the voltages around it add up to zero, which is one
equation in its multiplier; then every line averages its copies, keeps within its rating, and moves
the price of each copy. So over each line, to each end and each cycle, one number goes each way. A
line's penalty grows where its copies stay apart while z stands still, and shrinks where z moves on
(residual balancing, section 3.4.1, line by line). `admm_mesh_plain` is the readable twin.

Where the copies agree the limits that hold are known, and `meshed` solves their equations exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from dispatch.admm import powers_at, solve_balance
from dispatch.arrays import Bids, Floats, Integers
from market.dispatch_layout import DispatchLayout

MAX_ROUNDS: Final = 5_000
TOLERANCE: Final = 1e-4
"""How closely copies agree in the end, as a part of the largest flow."""
RELAXATION: Final = 1.6
BALANCED_EVERY: Final = 10
"""Rounds between changes of the penalties."""
PARTED: Final = 3.0
"""How many times one residual passes the other before a penalty changes."""
MARGINAL: Final = 1e-3
"""A price this near to a linear bid's cost, as a part of the largest price, may be set by it."""
GROWTH_MOST: Final = 2.0
SPREAD: Final = 30.0
"""How far a line's penalty may go from the middle slope of the units, as a factor."""


class Mesh(NamedTuple):
    """A meshed network; a named tuple, because compiled code takes it as it is."""

    start: Integers
    """(m,) bus at each line's beginning."""
    end: Integers
    """(m,) bus at its end."""
    rating_w: Floats
    """(m,) its rating."""
    copies: Floats
    """(m,) in how many copies its flow is held: two, and one for each cycle over it."""
    first_place: Integers
    """(c + 1,) the places of cycle k are `first_place[k]:first_place[k + 1]`."""
    place_line: Integers
    """(p,) line at each place of a cycle."""
    place_drop: Floats
    """(p,) its reactance, negative where the cycle runs against it; any scale."""
    first_unit: Integers
    """(n + 1,) the units of bus i are `units[first_unit[i]:first_unit[i + 1]]`."""
    units: Integers
    """(u,) numbers of the units, bus by bus."""


class MeshState(NamedTuple):
    """What lines, ends and cycles know; it goes on from one hour to the next."""

    z: Floats
    """(m,) agreed flows, W."""
    y: Floats
    """(m, 2) price of the copy at a line's beginning and at its end, 1e-24 $/Wh."""
    cycle_y: Floats
    """(p,) price of the copy at each place of a cycle."""
    rho: Floats
    """(m,) penalties, 1e-24 $/(W²h)."""


@dataclass(frozen=True, slots=True)
class MeshResult:
    """Where the iteration stopped in one interval."""

    flow_w: Floats
    """(m,) agreed flows."""
    price: Floats
    """(n,) prices of the buses, 1e-24 $/Wh."""
    power_w: Floats
    """(u,) injections of the units; linear bids at the margin fill in order of merit."""
    rounds: int
    """Rounds that it took."""
    apart_w: float
    """How far copies were apart, or flows still moved, in the last round."""
    converged: bool
    """Whether that is within the tolerance."""


def mesh_of(layout: DispatchLayout) -> Mesh:
    """Return the arrays of a meshed network."""
    unit_bus = np.array([row.bus for row in layout.units[0]], dtype=np.int64)
    first_unit = np.zeros(len(layout.places) + 1, dtype=np.int64)
    np.add.at(first_unit, unit_bus + 1, 1)
    places = [place for cycle in layout.cycles for place in cycle]
    reactance = np.array([float(line.reactance_nano_ohm) for line in layout.lines])
    place_line = np.array([line for line, _ in places], dtype=np.int64)
    direction = np.array([float(sign) for _, sign in places])
    return Mesh(
        start=np.array([line.start for line in layout.lines], dtype=np.int64),
        end=np.array([line.end for line in layout.lines], dtype=np.int64),
        rating_w=np.array([float(line.rating_w) for line in layout.lines]),
        copies=2.0 + np.bincount(place_line, minlength=len(layout.lines)).astype(np.float64),
        first_place=np.cumsum([0, *(len(cycle) for cycle in layout.cycles)]).astype(np.int64),
        place_line=place_line,
        place_drop=direction * (reactance / np.median(reactance))[place_line],
        first_unit=np.cumsum(first_unit),
        units=np.argsort(unit_bus, kind="stable").astype(np.int64),
    )


def bids_of(layout: DispatchLayout, interval: int) -> Bids:
    """Return the bids of one interval, arrays of shape (u,)."""
    rows = layout.units[interval]
    return Bids(
        *(
            np.array([float(getattr(row, name)) for row in rows])
            for name in ("a", "b", "lo_w", "hi_w")
        )
    )


def middle_slope(bids: Bids) -> float:
    """Return the middle slope of the units that have a choice, or what stands for it."""
    chooses = bids.lo_w < bids.hi_w
    slopes = bids.a[chooses & (bids.a > 0)]
    if len(slopes):
        return float(np.median(slopes))
    # Linear bids alone: a price difference over a power, as they come.
    power = max(float(np.abs(bids.hi_w - bids.lo_w).max(initial=1.0)), 1.0)
    return max(float(np.ptp(bids.b[chooses])) if chooses.any() else 1.0, 1.0) / power


def new_mesh_state(mesh: Mesh) -> MeshState:
    """Return the state before the first hour: no flows, no prices."""
    lines = len(mesh.start)
    return MeshState(
        np.zeros(lines), np.zeros((lines, 2)), np.zeros(len(mesh.place_line)), np.zeros(lines)
    )


def solve_admm_mesh(
    layout: DispatchLayout, tolerance: float = TOLERANCE, max_rounds: int = MAX_ROUNDS
) -> list[MeshResult]:
    """Iterate each interval until all copies agree to `tolerance`, warm from the one before."""
    mesh = mesh_of(layout)
    state = new_mesh_state(mesh)
    price = np.zeros(len(layout.places))
    found = []
    for interval in range(len(layout.units)):
        bids = bids_of(layout, interval)
        slope = middle_slope(bids)
        state.rho[:] = slope
        rounds, apart = _iterate(mesh, bids, state, price, slope, tolerance, max_rounds)
        largest = max(float(np.abs(state.z).max(initial=0.0)), 1.0)
        found.append(
            MeshResult(
                state.z.copy(),
                price.copy(),
                _fill(mesh, bids, state.z, price),
                int(rounds),
                float(apart),
                bool(apart <= tolerance * largest),
            )
        )
    return found


@njit(cache=True)
def _iterate(
    mesh: Mesh,
    bids: Bids,
    state: MeshState,
    price: Floats,
    slope: float,
    tolerance: float,
    max_rounds: int,
) -> tuple[int, float]:
    """Run rounds until all agree; return (rounds, how far they were apart in the last, W)."""
    lines = mesh.start.shape[0]
    cycle_copy = np.empty(mesh.place_line.shape[0])
    before, apart = state.z.copy(), np.zeros(lines)
    worst = 0.0
    for done in range(1, max_rounds + 1):
        _choose_prices(mesh, bids, state, price)
        _close_cycles(mesh, state, cycle_copy)
        worst = _agree(mesh, state, price, cycle_copy, apart)
        largest = 1.0
        for line in range(lines):
            largest = max(largest, abs(state.z[line]))
        if worst <= tolerance * largest:
            return done, worst
        if done % BALANCED_EVERY == 0:
            for line in range(lines):
                moved = abs(state.z[line] - before[line])
                if apart[line] > PARTED * moved or moved > PARTED * apart[line]:
                    factor = np.sqrt((apart[line] + 1.0) / (moved + 1.0))
                    factor = min(max(factor, 1.0 / GROWTH_MOST), GROWTH_MOST)
                    wanted = state.rho[line] * factor
                    state.rho[line] = min(max(wanted, slope / SPREAD), slope * SPREAD)
        before[:] = state.z
    return max_rounds, worst


@njit(cache=True)
def _choose_prices(mesh: Mesh, bids: Bids, state: MeshState, price: Floats) -> None:
    """Have each bus solve for the price at which its powers balance its copies of the flows."""
    slope, offset = np.zeros(price.shape[0]), np.zeros(price.shape[0])
    for line in range(mesh.start.shape[0]):
        start, end, give = mesh.start[line], mesh.end[line], 1.0 / state.rho[line]
        slope[start] += give
        slope[end] += give
        offset[start] += state.z[line] - state.y[line, 0] * give
        offset[end] -= state.z[line] - state.y[line, 1] * give
    for bus in range(price.shape[0]):
        price[bus] = solve_balance(mesh, bids, bus, slope[bus], offset[bus], price[bus])


@njit(cache=True)
def _close_cycles(mesh: Mesh, state: MeshState, copy: Floats) -> None:
    """Have each cycle move its copies as little as makes its voltages add up to zero."""
    for cycle in range(mesh.first_place.shape[0] - 1):
        drop = give = 0.0
        for place in range(mesh.first_place[cycle], mesh.first_place[cycle + 1]):
            line = mesh.place_line[place]
            copy[place] = state.z[line] - state.cycle_y[place] / state.rho[line]
            drop += mesh.place_drop[place] * copy[place]
            give += mesh.place_drop[place] ** 2 / state.rho[line]
        for place in range(mesh.first_place[cycle], mesh.first_place[cycle + 1]):
            line = mesh.place_line[place]
            copy[place] -= mesh.place_drop[place] / state.rho[line] * drop / give


@njit(cache=True)
def _agree(mesh: Mesh, state: MeshState, price: Floats, cycle_copy: Floats, apart: Floats) -> float:
    """Average each line's copies, move their prices; return how far anything was apart or moved.

    `apart` becomes each line's largest distance of a copy from z.
    """
    lines = mesh.start.shape[0]
    sent, total = np.empty((lines, 2)), np.empty(lines)
    for line in range(lines):
        rho, z = state.rho[line], state.z[line]
        here = z - (state.y[line, 0] + price[mesh.start[line]]) / rho
        there = z - (state.y[line, 1] - price[mesh.end[line]]) / rho
        sent[line, 0] = RELAXATION * here + (1.0 - RELAXATION) * z + state.y[line, 0] / rho
        sent[line, 1] = RELAXATION * there + (1.0 - RELAXATION) * z + state.y[line, 1] / rho
        total[line] = sent[line, 0] + sent[line, 1]
        # The copies themselves, until they become prices below.
        state.y[line, 0], state.y[line, 1] = here, there
    for place in range(cycle_copy.shape[0]):
        line = mesh.place_line[place]
        rho, z = state.rho[line], state.z[line]
        state.cycle_y[place] = (
            RELAXATION * cycle_copy[place] + (1.0 - RELAXATION) * z + state.cycle_y[place] / rho
        )
        total[line] += state.cycle_y[place]
    worst = 0.0
    for line in range(lines):
        agreed = total[line] / mesh.copies[line]
        agreed = min(max(agreed, -mesh.rating_w[line]), mesh.rating_w[line])
        apart[line] = max(abs(state.y[line, 0] - agreed), abs(state.y[line, 1] - agreed))
        worst = max(worst, abs(agreed - state.z[line]), apart[line])
        state.y[line, 0] = state.rho[line] * (sent[line, 0] - agreed)
        state.y[line, 1] = state.rho[line] * (sent[line, 1] - agreed)
        state.z[line] = agreed
    for place in range(cycle_copy.shape[0]):
        line = mesh.place_line[place]
        distance = abs(cycle_copy[place] - state.z[line])
        apart[line] = max(apart[line], distance)
        worst = max(worst, distance)
        state.cycle_y[place] = state.rho[line] * (state.cycle_y[place] - state.z[line])
    return worst


def _fill(mesh: Mesh, bids: Bids, flow: Floats, price: Floats) -> Floats:
    """Return the units' powers: those of sloped bids by price, of linear ones by what is left."""
    power = np.zeros(len(bids.a))
    powers_at(mesh, bids, price, power)
    near = MARGINAL * float(np.abs(price).max(initial=1.0))
    leaving = np.zeros(len(price))
    np.add.at(leaving, mesh.start, flow)
    np.add.at(leaving, mesh.end, -flow)
    for bus in range(len(price)):
        units = mesh.units[mesh.first_unit[bus] : mesh.first_unit[bus + 1]]
        # Far from its cost a linear bid stands at its limit, whatever copies are still apart by.
        linear = units[(bids.a[units] == 0) & (np.abs(price[bus] - bids.b[units]) <= near)]
        left = leaving[bus] - power[units].sum() + (power[linear] - bids.lo_w[linear]).sum()
        for unit in linear[np.argsort(bids.b[linear], kind="stable")]:
            taken = min(max(left, 0.0), float(bids.hi_w[unit] - bids.lo_w[unit]))
            power[unit] = bids.lo_w[unit] + taken
            left -= taken
    return power
