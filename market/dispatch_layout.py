"""A dispatch problem laid out for its verifier: rows of plain tuples, made once for each round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from market.dispatch_problem import STORE_PER_MILLI_WH, DispatchProblem, Storage
from market.network import Network, Place, orient

UNLIMITED: Final = -1
"""Stands for the rating of a radial line that has none."""


class UnitRow(NamedTuple):
    """One unit in one interval."""

    bus: int
    """Number of its bus."""
    a: int
    """Slope of its marginal cost, 1e-24 $/(W²h)."""
    b: int
    """Marginal cost at 0 W, 1e-24 $/Wh."""
    lo_w: int
    """Least injection."""
    hi_w: int
    """Greatest injection."""
    at_lo: int
    """a·lo: below this margin of the price over `b` the unit is best at its least injection."""
    at_hi: int
    """a·hi: above this margin the unit is best at its greatest injection."""


class Branch(NamedTuple):
    """A line of a radial network, seen from the bus that is farther from the slack bus."""

    bus: int
    """Number of the farther bus."""
    parent: int
    """Number of the nearer bus."""
    rating_w: int
    """Its rating, or UNLIMITED."""


class MeshLine(NamedTuple):
    """A line of a meshed network."""

    start: int
    """Number of the bus at its beginning."""
    end: int
    """Number of the bus at its end."""
    rating_w: int
    """Its rating; without one, the most that can be injected or taken, which no flow passes."""
    reactance_nano_ohm: int
    """Its reactance."""


class StorageRow(NamedTuple):
    """One storage, with its levels in 1e-6 W·min."""

    bus: int
    """Number of its bus."""
    storage: Storage
    """Its limits, costs and efficiencies."""
    least: int
    """Lower bound of its level."""
    greatest: int
    """Upper bound of its level."""
    start: int
    """Level before the first interval."""
    end_least: int
    """Lower bound of its level after the last interval."""


@dataclass(frozen=True, slots=True)
class DispatchLayout:
    """What a verifier reads of a problem, in the order in which it reads it."""

    problem: DispatchProblem
    """The problem."""
    places: tuple[Place, ...]
    """Each bus's place in the breadth-first tree from the slack bus (of a meshed network: in the
    tree of lines that close no cycle)."""
    root: int
    """Number of the slack bus."""
    units: tuple[tuple[UnitRow, ...], ...]
    """For each interval, a row for each unit."""
    branches: tuple[Branch, ...]
    """Radial: the lines from the leaves to the root; empty where the network is meshed."""
    lines: tuple[MeshLine, ...]
    """Meshed: the lines in the network's order; empty where the network is radial."""
    cycles: tuple[tuple[tuple[int, int], ...], ...]
    """Meshed: the fundamental cycles, each as (line, 1 along it or -1 against it). The first line
    of each is the one that closes it, run along its own direction."""
    storages: tuple[StorageRow, ...]
    """The storages."""


def lay_out(problem: DispatchProblem) -> DispatchLayout:
    """Return the layout of a problem that `check_problem` found sound.

    Linear in buses, lines, bids, and the length of all fundamental cycles together.
    """
    network = problem.network
    number = {bus.name: place for place, bus in enumerate(network.buses)}
    places = orient(network)
    units = tuple(
        tuple(
            UnitRow(
                number[unit.bus],
                bid.a,
                bid.b,
                bid.lo_w,
                bid.hi_w,
                bid.a * bid.lo_w,
                bid.a * bid.hi_w,
            )
            for unit in problem.units
            for bid in (unit.bids[interval],)
        )
        for interval in range(problem.intervals)
    )
    is_radial = problem.is_radial
    return DispatchLayout(
        problem=problem,
        places=places,
        root=number[network.slack],
        units=units,
        branches=_branches(network, places) if is_radial else (),
        lines=() if is_radial else _mesh_lines(problem, number),
        cycles=() if is_radial else fundamental_cycles(network, places),
        storages=tuple(
            StorageRow(
                number[storage.bus],
                storage,
                storage.energy_min_milli_wh * STORE_PER_MILLI_WH,
                storage.energy_max_milli_wh * STORE_PER_MILLI_WH,
                storage.energy_start_milli_wh * STORE_PER_MILLI_WH,
                storage.energy_end_min_milli_wh * STORE_PER_MILLI_WH,
            )
            for storage in problem.storages
        ),
    )


def fundamental_cycles(
    network: Network, places: tuple[Place, ...]
) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Return the cycle that each line outside the tree of `places` closes, in the lines' order.

    A cycle is its closing line from its beginning to its end, and back through the tree.
    """
    number = {bus.name: place for place, bus in enumerate(network.buses)}
    in_tree = {place.line for place in places}
    cycles = []
    for closing, line in enumerate(network.lines):
        if closing in in_tree:
            continue
        # From the end of the line up to the common ancestor, and down to its beginning.
        ahead, behind = number[line.to_bus], number[line.from_bus]
        upward: list[tuple[int, int]] = []
        downward: list[tuple[int, int]] = []
        while ahead != behind:
            if places[ahead].depth >= places[behind].depth:
                upward.append((places[ahead].line, places[ahead].direction))
                ahead = places[ahead].parent
            else:
                downward.append((places[behind].line, -places[behind].direction))
                behind = places[behind].parent
        cycles.append(((closing, 1), *upward, *reversed(downward)))
    return tuple(cycles)


def flow_bound_w(problem: DispatchProblem) -> int:
    """Return what no line's flow need ever pass: what an interval can inject, and what it can take.

    In balance these are one sum, so the smaller of the two bounds it. One unit with limits beyond
    all reason does not carry it up; `r` times it is what the rounding of prices may cost.
    """
    given = sum(storage.discharge_max_w for storage in problem.storages)
    taken = sum(storage.charge_max_w for storage in problem.storages)
    return max(
        min(
            given + sum(max(unit.bids[interval].hi_w, 0) for unit in problem.units),
            taken + sum(max(-unit.bids[interval].lo_w, 0) for unit in problem.units),
        )
        for interval in range(problem.intervals)
    )


def _branches(network: Network, places: tuple[Place, ...]) -> tuple[Branch, ...]:
    upward = sorted(range(len(places)), key=lambda bus: -places[bus].depth)
    found = []
    for bus in upward:
        place = places[bus]
        if place.depth:
            rating = network.lines[place.line].rating_w
            found.append(Branch(bus, place.parent, UNLIMITED if rating is None else rating))
    return tuple(found)


def _mesh_lines(problem: DispatchProblem, number: dict[str, int]) -> tuple[MeshLine, ...]:
    bound = flow_bound_w(problem)
    return tuple(
        MeshLine(
            number[line.from_bus],
            number[line.to_bus],
            bound if line.rating_w is None else line.rating_w,
            line.reactance_nano_ohm,
        )
        for line in problem.network.lines
    )
