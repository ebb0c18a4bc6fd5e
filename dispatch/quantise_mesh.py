"""From the floats of a meshed dispatch to the integers of a certificate.

Prices first, so that they fit together exactly. The multiplier of the voltage law around each cycle
is rounded, then the price of each bus follows from that of its parent in the tree: across a line
that is not full, the difference is what the multipliers of the cycles through it ask for. So no
line of the tree is charged for a rounding; only lines that close cycles are, by some parts in 10^12
of a price.

Powers then. Full lines carry exactly their rating; what they part are zones, each of which has to
balance by itself. Units strictly between their limits are rounded so that it does. What the voltage
law then misses is Σ λ δ over the errors δ of the powers, whatever the flows: watts are passed
between pairs of units of a zone until that sum is as small as it gets.

Flows last: lines outside a spanning forest get whole flows near the exact ones in the metric of the
reactances (Babai's nearest plane, 1986), and the lines of the forest carry what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from dispatch.arrays import Floats
from dispatch.meshed import PRICE_UNIT, W_PER_MW, Flags, MeshedDispatch
from dispatch.quantise import round_price
from market.dispatch_certificate import IntervalResult
from market.dispatch_layout import DispatchLayout, UnitRow
from vm.primitives.errors import InvalidInput

MAX_SWAPS: Final = 200
MAX_ERRORS_W: Final = (0.99, 0.0)
"""How far passing watts may take a power from its exact value, as the proof excuses one watt; where
the flows of full lines cannot follow to a watt a line, not at all."""


class Rounded(NamedTuple):
    """An injection that has been rounded already: what storages do."""

    bus: int
    """Number of its bus."""
    exact_w: float
    """What it is in the optimum."""
    whole_w: int
    """What it is now."""


def quantise_meshed(
    layout: DispatchLayout,
    interval: int,
    dispatch: MeshedDispatch,
    chooses: Flags,
    rounded: Sequence[Rounded] = (),
    anchor: tuple[int, int] | None = None,
) -> IntervalResult:
    """Return the integer result of one interval, without what its storages do.

    `rounded` are injections besides those of the units, `anchor` a bus and its exact price.
    Raises InvalidInput `no_rounding`.
    """
    prices, cycle_prices = _round_prices(layout, dispatch)
    if anchor is not None:
        shift = anchor[1] - prices[anchor[0]]
        prices = [price + shift for price in prices]
    fixed = {
        line: layout.lines[line].rating_w * (1 if dispatch.congestion[line] > 0 else -1)
        for line in np.flatnonzero(dispatch.congestion).tolist()
    }
    forest = _Forest(layout, fixed)
    powers: list[int] = []
    flows: list[int] = []
    for most_w in MAX_ERRORS_W:
        powers = _round_powers(layout, interval, dispatch, chooses, forest, prices, rounded, most_w)
        injected = [0] * len(prices)
        for bus, power in (
            *((row.bus, power) for row, power in zip(layout.units[interval], powers, strict=True)),
            *((each.bus, each.whole_w) for each in rounded),
        ):
            injected[bus] += power
        flows, holds = _round_flows(layout, dispatch, injected, forest)
        if holds:
            break
    return IntervalResult(tuple(prices), tuple(powers), tuple(flows), tuple(cycle_prices))


class _Forest:
    """The lines that are not full: a spanning tree for each zone that they connect."""

    def __init__(self, layout: DispatchLayout, fixed: dict[int, int]) -> None:
        self.fixed = fixed
        """Flow of each full line, W."""
        count = len(layout.places)
        around: list[list[tuple[int, int, int]]] = [[] for _ in range(count)]
        for line, row in enumerate(layout.lines):
            if line not in fixed:
                around[row.start].append((row.end, line, -1))
                around[row.end].append((row.start, line, 1))
        self.zone = [-1] * count
        """Number of each bus's zone."""
        self.parent = [-1] * count
        """Each bus's next bus towards the root of its zone; -1 at a root."""
        self.line = [-1] * count
        """The line to it."""
        self.direction = [0] * count
        """1 if that line runs from the bus to its parent, else -1."""
        self.order: list[int] = []
        """All buses, each behind its parent."""
        zones = 0
        for root in range(count):
            if self.zone[root] < 0:
                self._grow(root, zones, around)
                zones += 1
        in_tree = dict.fromkeys(self.line)
        self.closing = [
            line for line in range(len(layout.lines)) if line not in in_tree and line not in fixed
        ]
        """Lines that are neither full nor in the forest."""
        self.outflow_w = [0] * zones
        """What full lines carry out of each zone, W."""
        for line, flow in fixed.items():
            self.outflow_w[self.zone[layout.lines[line].start]] += flow
            self.outflow_w[self.zone[layout.lines[line].end]] -= flow

    def _grow(self, root: int, zone: int, around: list[list[tuple[int, int, int]]]) -> None:
        self.zone[root] = zone
        reached = [root]
        for bus in reached:
            for other, line, direction in around[bus]:
                if self.zone[other] < 0:
                    self.zone[other] = zone
                    self.parent[other], self.line[other] = bus, line
                    # Seen from `bus` the line runs away (-1) or towards it (1); `other` is below.
                    self.direction[other] = direction
                    reached.append(other)
        self.order += reached

    def cycle(self, layout: DispatchLayout, closing: int) -> list[tuple[int, int]]:
        """Return the lines of the cycle that a line closes, with 1 along it or -1 against it."""
        row = layout.lines[closing]
        found = {closing: 1}
        for bus, sign in ((row.end, 1), (row.start, -1)):
            while self.parent[bus] >= 0:
                line = self.line[bus]
                found[line] = found.get(line, 0) + sign * self.direction[bus]
                bus = self.parent[bus]
        return [(line, direction) for line, direction in found.items() if direction]


def _round_prices(layout: DispatchLayout, dispatch: MeshedDispatch) -> tuple[list[int], list[int]]:
    """Return the price of each bus and the multiplier of each cycle, integers that fit together.

    With r = λi − λj + Σ ν C x zero on all lines but the full ones, where it is minus the price of
    the limit, ν solves (C X Cᵀ) ν = C r.
    """
    cycles = np.zeros((len(layout.cycles), len(layout.lines)))
    for number, cycle in enumerate(layout.cycles):
        for line, direction in cycle:
            cycles[number, line] = direction
    reactance = np.array([float(line.reactance_nano_ohm) for line in layout.lines])
    rise = [-round_price(price / PRICE_UNIT) for price in dispatch.congestion.tolist()]
    matrix = cycles @ (reactance[:, None] * cycles.T)
    right = cycles @ np.array([float(value) for value in rise])
    found = np.linalg.solve(matrix, right)
    found = found + np.linalg.solve(matrix, right - matrix @ found)
    multipliers = [round_price(value) if value else 0 for value in found.tolist()]
    for multiplier, cycle in zip(multipliers, layout.cycles, strict=True):
        for line, direction in cycle:
            rise[line] -= direction * layout.lines[line].reactance_nano_ohm * multiplier
    prices = [0] * len(layout.places)
    prices[layout.root] = round_price(float(dispatch.price[layout.root]) / PRICE_UNIT)
    for bus in sorted(range(len(prices)), key=lambda bus: layout.places[bus].depth):
        place = layout.places[bus]
        if place.depth:
            prices[bus] = prices[place.parent] + place.direction * rise[place.line]
    return prices, multipliers


def _round_powers(
    layout: DispatchLayout,
    interval: int,
    dispatch: MeshedDispatch,
    chooses: Flags,
    forest: _Forest,
    prices: list[int],
    rounded: Sequence[Rounded],
    most_w: float,
) -> list[int]:
    """Return whole powers of all units by which each zone balances."""
    rows = layout.units[interval]
    exact: list[float] = []
    moving: list[list[int]] = [[] for _ in forest.outflow_w]
    free = iter(range(len(dispatch.power)))
    for row, has_choice in zip(rows, chooses.tolist(), strict=True):
        place = next(free) if has_choice else -1
        value = row.lo_w if place < 0 else float(dispatch.power[place]) * W_PER_MW
        if place >= 0 and not dispatch.at_limit[place]:
            moving[forest.zone[row.bus]].append(len(exact))
        exact.append(min(max(value, row.lo_w), row.hi_w))
    powers = [round(value) for value in exact]
    missing = list(forest.outflow_w)
    for power, row in zip(powers, rows, strict=True):
        missing[forest.zone[row.bus]] -= power
    for each in rounded:
        missing[forest.zone[each.bus]] -= each.whole_w
    for units, watts in zip(moving, missing, strict=True):
        _balance(rows, units, exact, powers, watts)
    residue = sum(
        prices[row.bus] * PRICE_UNIT * (power - value)
        for power, value, row in zip(powers, exact, rows, strict=True)
    ) + sum(prices[each.bus] * PRICE_UNIT * (each.whole_w - each.exact_w) for each in rounded)
    scaled = [price * PRICE_UNIT for price in prices]
    _pass_watts(rows, moving, exact, powers, scaled, residue, most_w)
    return powers


def _may_move(rows: Sequence[UnitRow], powers: list[int], unit: int, step: int) -> bool:
    return rows[unit].lo_w <= powers[unit] + step <= rows[unit].hi_w


def _balance(
    rows: Sequence[UnitRow], units: list[int], exact: list[float], powers: list[int], missing: int
) -> None:
    """Spread what a zone is missing over its units, first to those that it brings nearer."""
    step = 1 if missing > 0 else -1
    units.sort(key=lambda unit: step * (powers[unit] - exact[unit]))
    while missing:
        before = missing
        for unit in units:
            if missing and _may_move(rows, powers, unit, step):
                powers[unit] += step
                missing -= step
        if missing == before:
            raise InvalidInput(
                "no unit of a zone between full lines can take up what rounding left",
                code="no_rounding",
                actual=f"{missing} W",
            )


def _pass_watts(
    rows: Sequence[UnitRow],
    moving: list[list[int]],
    exact: list[float],
    powers: list[int],
    prices: list[float],
    residue: float,
    most_w: float,
) -> None:
    """Pass watts between units of a zone as long as that brings Σ λ δ nearer to zero."""
    for _ in range(MAX_SWAPS):
        swap = min(
            (
                (abs(residue + prices[rows[up].bus] - prices[rows[down].bus]), up, down)
                for units in moving
                for up in units
                for down in units
                if up != down
                and powers[up] + 1 - exact[up] <= most_w
                and exact[down] - powers[down] + 1 <= most_w
                and _may_move(rows, powers, up, 1)
                and _may_move(rows, powers, down, -1)
            ),
            default=None,
        )
        if swap is None or swap[0] >= abs(residue):
            return
        _, up, down = swap
        residue += prices[rows[up].bus] - prices[rows[down].bus]
        powers[up] += 1
        powers[down] -= 1


def _round_flows(
    layout: DispatchLayout, dispatch: MeshedDispatch, injected: list[int], forest: _Forest
) -> tuple[list[int], bool]:
    """Return whole flows that balance every bus exactly, near those of the dispatch.

    And whether the voltage law holds for them, within all ratings.
    """
    left = list(injected)
    flows = [0] * len(layout.lines)
    for line, flow in forest.fixed.items():
        flows[line] = flow
        left[layout.lines[line].start] -= flow
        left[layout.lines[line].end] += flow
    for bus in reversed(forest.order):
        if forest.parent[bus] >= 0:
            flows[forest.line[bus]] = forest.direction[bus] * left[bus]
            left[forest.parent[bus]] += left[bus]
    cycles = np.zeros((len(forest.closing), len(flows)))
    for number, closing in enumerate(forest.closing):
        for line, direction in forest.cycle(layout, closing):
            cycles[number, line] = direction
    reactance = np.array([float(line.reactance_nano_ohm) for line in layout.lines])
    matrix = cycles @ (reactance[:, None] * cycles.T)
    wanted = dispatch.flow * W_PER_MW - np.array([float(flow) for flow in flows])
    target = np.linalg.solve(matrix, cycles @ (reactance * wanted))
    factor = np.linalg.cholesky(matrix).T.astype(np.float64)
    chosen = _nearest_plane(factor, target.astype(np.float64))
    whole = np.array([float(flow) for flow in flows]) + cycles.T @ np.array(
        chosen, dtype=np.float64
    )
    held, excess = _hold_voltage_law(layout, whole, cycles, reactance)
    return [int(flow) for flow in held], excess == 0.0


def _hold_voltage_law(
    layout: DispatchLayout, flows: Floats, moves: Floats, reactance: Floats
) -> tuple[Floats, float]:
    """Move single watts around cycles until the voltage law holds to a watt per line everywhere.

    Return by how much it and the ratings are passed then, too.
    """
    held = np.zeros((len(layout.cycles), len(layout.lines)))
    for number, cycle in enumerate(layout.cycles):
        for line, direction in cycle:
            held[number, line] = direction
    allowed = np.abs(held) @ reactance
    rating = np.array([float(line.rating_w) for line in layout.lines])

    def excess(tried: Floats) -> float:
        drop = np.abs(held @ (reactance * tried)) / allowed
        over = np.maximum(np.abs(tried) - rating, 0.0).sum()
        return float(np.maximum(drop - 1.0, 0.0).sum() + over)

    worst = excess(flows)
    for _ in range(MAX_SWAPS):
        if worst == 0.0 or not len(moves):
            break
        tried = [flows + sign * move for move in moves for sign in (1.0, -1.0)]
        values = [excess(each) for each in tried]
        best = int(np.argmin(values))
        if values[best] >= worst:
            break
        worst, flows = values[best], tried[best]
    return flows, worst


def _nearest_plane(factor: Floats, target: Floats) -> list[int]:
    """Return whole numbers near `target` in the metric |R z| of an upper triangle R."""
    chosen = [0] * len(target)
    rest = factor @ target
    for place in range(len(target) - 1, -1, -1):
        chosen[place] = round(float(rest[place] / factor[place, place]))
        rest = rest - factor[:, place] * chosen[place]
    return chosen
