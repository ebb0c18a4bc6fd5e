"""ADMM as one bus of a meshed network performs it: a flow and an angle over each line, both ways.

Every line has a flow z and an angle at each end, which fit together by the voltage law and by its
rating: x·z is the angle before it less the angle behind it. The buses at its ends hold copies of
them (general-form consensus ADMM, Boyd et al. 2011, section 7.2). In a round each bus chooses its
units' powers and its copies of the flows at least cost, which is one equation in its price, and one
angle for all its lines; it tells the other end of each line what it has for both. From the two
tellings both ends find the same new z and angles. So the voltage law needs no cycles, and no
message goes farther than a neighbour. Plain Python, without numpy; `mesh_bus_plain` is the twin.

Angles are counted in watts: times the middle reactance they are volts squared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from market.dispatch_certificate import Certificate
from market.dispatch_layout import lay_out
from market.dispatch_problem import Bid, DispatchProblem
from market.network import orient

CALM: Final = 2e-4
"""How closely copies agree in the end, as a part of all that an interval can inject and take."""
RELAXATION: Final = 1.6
MARGINAL: Final = 1e-3
"""A price this near to a linear bid's cost, as a part of the price, may be set by it."""
NANO: Final = 10**9
"""Nanowatts in a watt: what travels are whole ones."""
MAX_TOLD: Final = 2**112
"""Bound on what is told of a line, nanowatts: far beyond any flow, and within a float."""
MOST_SEARCHED: Final = 200

Told = tuple[int, int]
"""What one end of a line tells the other for an interval: flow and angle, nW."""


@dataclass(frozen=True, slots=True)
class MeshEnd:
    """A line as the bus at one of its ends sees it."""

    line: str
    """Its name."""
    neighbour: str
    """The bus at its other end."""
    sign: int
    """1 where it begins at this bus, -1 where it ends here."""
    rating_w: float
    """What it carries, W; infinite for no limit."""
    reactance: float
    """Its reactance as a part of the middle one."""


@dataclass(frozen=True, slots=True)
class MeshView:
    """What a bus of a meshed network knows: its own part, and what sets all penalties."""

    bus: str
    """Its name."""
    ends: tuple[MeshEnd, ...]
    """Its lines, in the network's order."""
    units: tuple[tuple[str, tuple[Bid, ...]], ...]
    """Its units: names, and bids for each interval."""
    penalties: tuple[float, ...]
    """Penalty of copies that are apart in each interval, 1e-24 $/(W²h)."""
    near_w: tuple[float, ...]
    """How near copies are to each other where they agree, in each interval, W."""
    parent: str | None
    """The next bus towards the slack bus by the fewest lines, None there: reports go that way."""
    children: tuple[str, ...]
    """Buses whose reports come to this one."""
    reach: int
    """At least as many rounds as news takes from any bus to any other."""


@dataclass(frozen=True, slots=True)
class MeshPart:
    """What is known of some buses in the end, for each interval."""

    flows_milli_w: dict[str, list[int]]
    """Flows by line."""
    powers_milli_w: dict[str, list[int]]
    """Injections by unit."""


def mesh_views_of(problem: DispatchProblem) -> dict[str, MeshView]:
    """Return every bus's own part of a sound meshed problem without storages."""
    network = problem.network
    middle = median(line.reactance_nano_ohm for line in network.lines)
    ends: dict[str, list[MeshEnd]] = {bus.name: [] for bus in network.buses}
    for line in network.lines:
        rating = float("inf") if line.rating_w is None else float(line.rating_w)
        share = line.reactance_nano_ohm / middle
        ends[line.from_bus].append(MeshEnd(line.name, line.to_bus, 1, rating, share))
        ends[line.to_bus].append(MeshEnd(line.name, line.from_bus, -1, rating, share))
    units: dict[str, list[tuple[str, tuple[Bid, ...]]]] = {bus.name: [] for bus in network.buses}
    for unit in problem.units:
        units[unit.bus].append((unit.name, unit.bids))
    penalties = tuple(_middle_slope(problem, interval) for interval in range(problem.intervals))
    near_w = tuple(CALM * _most_moved_w(problem, place) for place in range(problem.intervals))
    places = orient(network)
    names = [bus.name for bus in network.buses]
    children: dict[str, list[str]] = {name: [] for name in names}
    for name, place in zip(names, places, strict=True):
        if place.depth:
            children[names[place.parent]].append(name)
    reach = 2 * max(place.depth for place in places)
    return {
        name: MeshView(
            name,
            tuple(ends[name]),
            tuple(units[name]),
            penalties,
            near_w,
            names[place.parent] if place.depth else None,
            tuple(children[name]),
            reach,
        )
        for name, place in zip(names, places, strict=True)
    }


class MeshBus:
    """One bus at work: `tell` what it has for each line, then `hear` the other ends'."""

    def __init__(self, view: MeshView) -> None:
        self._view = view
        self._intervals = [_Interval(view, place) for place in range(len(view.penalties))]

    def tell(self) -> list[list[Told]]:
        """Return for each of its lines what it tells the other end, for each interval."""
        said = [each.choose() for each in self._intervals]
        return [list(told) for told in zip(*said, strict=True)]

    def hear(self, told: Sequence[Sequence[Told]]) -> bool:
        """Take for each of its lines what the other end told; tell whether all copies agree."""
        by_interval = zip(*told, strict=True)
        calm = [each.agree(words) for each, words in zip(self._intervals, by_interval, strict=True)]
        return all(calm)

    def part(self) -> MeshPart:
        """Return where this bus's units and the lines that begin at it stand."""
        flows = {
            end.line: [round(each.flow[place] * 1_000) for each in self._intervals]
            for place, end in enumerate(self._view.ends)
            if end.sign > 0
        }
        powers = [each.powers() for each in self._intervals]
        return MeshPart(
            flows,
            {
                name: [round(row[place] * 1_000) for row in powers]
                for place, (name, _) in enumerate(self._view.units)
            },
        )


def settle_mesh(problem: DispatchProblem, found: MeshPart) -> Certificate:
    """Return the certificate of what all buses found together.

    The limits at which units and lines stand become equations, as in the direct method. Raises
    InvalidInput `no_solution`, `no_rounding`; KeyError where a part is missing.
    """
    # Numbers of floats are needed by the one board that settles, and by nobody else.
    import numpy as np

    from dispatch.meshed import W_PER_MW, read_interval, settle_meshed_interval
    from dispatch.quantise_mesh import quantise_meshed

    layout = lay_out(problem)
    milli_w_per_mw = 1_000 * W_PER_MW
    results = []
    for interval in range(problem.intervals):
        numbers, chooses = read_interval(layout, interval)
        power = np.array([found.powers_milli_w[unit.name][interval] for unit in problem.units])
        flow = np.array(
            [found.flows_milli_w[line.name][interval] for line in problem.network.lines]
        )
        settled = settle_meshed_interval(
            numbers, layout.root, power[chooses] / milli_w_per_mw, flow / milli_w_per_mw
        )
        results.append(quantise_meshed(layout, interval, settled, chooses))
    return Certificate(tuple(results))


def solve_mesh_alone(problem: DispatchProblem) -> Certificate:
    """Return the certificate of a meshed problem, as one computer finds it.

    Raises InvalidInput `no_solution`, `no_rounding`.
    """
    from dispatch.solve import solve

    return solve(problem).certificate


class _Interval:
    """A bus in one interval. Of a line's two angles the nearer is at this bus."""

    def __init__(self, view: MeshView, interval: int) -> None:
        self._ends, self._penalty = view.ends, view.penalties[interval]
        self._near_w = view.near_w[interval]
        self._bids = [bids[interval] for _, bids in view.units]
        count = len(view.ends)
        self.flow = [0.0] * count
        """Agreed flow of each line in its own direction, W."""
        self._angle = [0.0] * count
        """Agreed angle of each line at this bus."""
        self._flow_off = [0.0] * count
        """By how much this bus's copies were apart so far, summed: the copy's price by penalty."""
        self._angle_off = [0.0] * count
        self._price = 0.0
        self._copies = [0.0] * count
        self._shared_angle = 0.0
        self._said: list[Told] = []

    def choose(self) -> list[Told]:
        """Choose price, copies and angle; return what each line's other end is told."""
        give = 1.0 / self._penalty
        aims = [z - off for z, off in zip(self.flow, self._flow_off, strict=True)]
        leaving = sum(end.sign * aim for end, aim in zip(self._ends, aims, strict=True))
        self._price = _balance(self._bids, len(aims) * give, leaving, self._price)
        self._copies = [
            aim - end.sign * self._price * give for end, aim in zip(self._ends, aims, strict=True)
        ]
        near = [angle - off for angle, off in zip(self._angle, self._angle_off, strict=True)]
        self._shared_angle = sum(near) / len(near)
        self._said = [
            (
                _word(_relaxed(self._copies[place], z) + self._flow_off[place]),
                _word(_relaxed(self._shared_angle, angle) + self._angle_off[place]),
            )
            for place, (z, angle) in enumerate(zip(self.flow, self._angle, strict=True))
        ]
        return self._said

    def agree(self, told: Sequence[Told]) -> bool:
        """Find each line's flow and angles from both ends' words; tell whether all were close."""
        worst = 0.0
        for place, (end, own, other) in enumerate(zip(self._ends, self._said, told, strict=True)):
            first, second = (own, other) if end.sign > 0 else (other, own)
            flow = (first[0] + second[0]) / (2 * NANO)
            middle = (first[1] + second[1]) / (2 * NANO)
            drop = (first[1] - second[1]) / NANO
            # The nearest pair of flow and angles on the line's law: two copies of each.
            x = end.reactance
            flow = (flow + 0.25 * x * drop) / (1.0 + 0.25 * x * x)
            flow = min(max(flow, -end.rating_w), end.rating_w)
            angle = middle + 0.5 * end.sign * x * flow
            worst = max(
                worst,
                abs(flow - self.flow[place]),
                abs(flow - self._copies[place]),
                abs(angle - self._shared_angle) / max(x, 1.0),
            )
            self._flow_off[place] = own[0] / NANO - flow
            self._angle_off[place] = own[1] / NANO - angle
            self.flow[place], self._angle[place] = flow, angle
        return worst <= self._near_w

    def powers(self) -> list[float]:
        """Return the units' powers: of sloped bids by price, of linear ones by what is left."""
        near = MARGINAL * max(abs(self._price), 1.0)
        found = [_power(bid, self._price) for bid in self._bids]
        linear = [
            place
            for place, bid in enumerate(self._bids)
            if bid.a == 0 and abs(self._price - bid.b) <= near
        ]
        for place in linear:
            found[place] = float(self._bids[place].lo_w)
        left = sum(end.sign * z for end, z in zip(self._ends, self.flow, strict=True)) - sum(found)
        for place in sorted(linear, key=lambda each: self._bids[each].b):
            bid = self._bids[place]
            taken = min(max(left, 0.0), float(bid.hi_w - bid.lo_w))
            found[place] = bid.lo_w + taken
            left -= taken
        return found


def _word(value: float) -> int:
    """Return a number as it is told: within the bound even after a neighbour's lie."""
    return max(-MAX_TOLD, min(MAX_TOLD, round(NANO * value)))


def _relaxed(copy: float, agreed: float) -> float:
    return RELAXATION * copy + (1.0 - RELAXATION) * agreed


def _power(bid: Bid, price: float) -> float:
    """Return what a unit injects at a price, W."""
    if bid.a == 0:
        return float(bid.hi_w if price > bid.b else bid.lo_w)
    return min(max((price - bid.b) / bid.a, float(bid.lo_w)), float(bid.hi_w))


def _balance(bids: Sequence[Bid], give: float, leaving: float, price: float) -> float:
    """Return the price at which units inject leaving - give·price: Newton's steps in a bracket."""
    low, high = -1e40, 1e40
    for _ in range(MOST_SEARCHED):
        value, steep = give * price - leaving, give
        for bid in bids:
            power = _power(bid, price)
            value += power
            if bid.a and bid.lo_w < power < bid.hi_w:
                steep += 1.0 / bid.a
        if value > 0.0:
            high = price
        else:
            low = price
        following = price - value / steep
        if abs(following - price) <= 1e-13 * abs(price) + 1.0:
            return following
        price = following if low < following < high else 0.5 * (low + high)
    return price


def _middle_slope(problem: DispatchProblem, interval: int) -> float:
    """Return the middle slope of the units that have a choice, or what stands for it."""
    bids = [unit.bids[interval] for unit in problem.units]
    free = [bid for bid in bids if bid.lo_w < bid.hi_w]
    slopes = [bid.a for bid in free if bid.a > 0]
    if slopes:
        return float(median(slopes))
    # Linear bids alone: a price difference over a power, as they come.
    power = max([bid.hi_w - bid.lo_w for bid in bids], default=1)
    spread = max(bid.b for bid in free) - min(bid.b for bid in free) if free else 1
    return max(float(spread), 1.0) / max(float(power), 1.0)


def _most_moved_w(problem: DispatchProblem, interval: int) -> float:
    """Return what an interval can inject, or take if that is less; at least a watt."""
    bids = [unit.bids[interval] for unit in problem.units]
    injected, taken = sum(max(bid.hi_w, 0) for bid in bids), sum(max(-bid.lo_w, 0) for bid in bids)
    return float(max(min(injected, taken), 1))
