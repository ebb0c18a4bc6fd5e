"""Whole watts of storages: for each a shortest path over the hours, in turns.

Whole watts have to keep each level within its bounds, and within a watt over one interval of a
bound at which it stands; and in each price zone what storages are off the optimum is taken over by
others. A unit at the margin with a linear bid does so for nothing, one with a sloped bid for a
watt. Where there is no such unit nobody does: then the storages have to make up a whole
sum. Rounding hour by hour runs into hours in which all this cannot be met any more, because it does
not look ahead.

So each storage takes the cheapest way through the hours, in which a state is how far its level is
off the optimum's, and a step some whole watts near the optimum's. What a step costs is what the
verifier would count, with a large price on what cannot be: less than a limit at which it is best to
stand may be the only way to end within a level's bound. Storages take turns, each with the
others as they are, until none finds a cheaper way. States that lie close together count as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from dispatch.arrays import Floats, Integers
from dispatch.storage_active import FREE, LOWER, UPPER, ActivePoint, PriceZones
from dispatch.storage_arrays import Flags, StorageArrays
from market.dispatch_problem import PPM

WHOLE_W: Final = 1e-3
"""A power this near to whole watts is whole, and a unit this near to its limit stands at it."""
TRIED_W: Final = np.array([0.0, -1.0, 1.0, -2.0, 2.0])
"""Steps that are tried, from the nearest whole watts."""
STATES_A_WATT: Final = 24.0
FARTHEST_W: Final = 4.0
"""Farthest that a level may be off, as the energy of so many watts over one interval."""
TURNS: Final = 8
BROKEN: Final = 1e6
"""What a watt that nobody can take over costs, in bounds of the whole gap."""
DRIFT: Final = 1e-9
"""What being off costs where nothing else decides, in the same."""


def part_at_lines(arrays: StorageArrays, found: ActivePoint, near_w: float) -> ActivePoint:
    """Return an optimum in which lines so near to their rating stand at it, and part zones.

    Whole watts would pass the rating of a line that is full but for one.
    """
    units, lines = arrays.ends[:2]
    state = found.state.copy()
    span = slice(units, lines)
    near = near_w / arrays.scale.power_w
    is_open = state[:, span] == FREE
    top = is_open & (arrays.upper[:, span] - found.x[:, span] < near)
    bottom = is_open & ~top & (found.x[:, span] - arrays.lower[:, span] < near)
    state[:, span][top], state[:, span][bottom] = UPPER, LOWER
    return replace(found, state=state)


def choose_watts(
    arrays: StorageArrays,
    found: ActivePoint,
    joined: PriceZones,
    values: Sequence[Sequence[int]],
    bound: float,
    first: int,
) -> Integers:
    """Return (2, t, s) whole watts that storages take and give near an optimum.

    `joined` are its price zones, `values` those of stored energy, `bound` what all may cost
    together, as twice the gap in 1e-24 $/h. Storage number `first` begins.
    """
    bound = max(bound, 1.0)  # nothing is free where nothing is turned over
    paths = [_Path(arrays, found, values, bound, k) for k in range(found.value.shape[1])]
    zones = _zones(arrays, found, joined, sum_w=np.stack([path.exact_w for path in paths], axis=1))
    off = np.zeros((len(found.x), len(paths)))
    # Who has not had its turn yet may still make up any sum.
    open_zone = np.zeros(len(zones.slope), dtype=np.int64)
    for k, path in enumerate(paths):
        np.add.at(open_zone, zones.of_storage[path.moves, k], 1)
    least = np.inf
    for turn in range(TURNS):
        cost = 0.0
        for k in np.roll(np.arange(len(paths)), -first).tolist():
            path, own = paths[k], zones.of_storage[:, k]
            if turn == 0:
                np.add.at(open_zone, own[path.moves], -1)
            off[:, k] = 0.0
            others = np.where(zones.of_storage == own[:, None], off, 0.0).sum(axis=1)
            costs = [
                zones.cost(own[hour], others[hour] + path.off_w(hour), bound, open_zone[own[hour]])
                + path.lost(hour)
                for hour in range(len(others))
            ]
            cost = max(cost, path.take_cheapest(costs))
            off[:, k] = path.chosen_off_w()
        if cost < bound or (turn and cost >= least):
            break
        least = min(least, cost)
    return np.stack([path.watts() for path in paths], axis=2)


@dataclass(frozen=True, slots=True)
class _Zones:
    """Price zones in all hours, numbered one by one: who takes over what storages leave."""

    of_storage: Integers
    """(t, s) the zone that each storage is in."""
    slope: Floats
    """(g,) what a watt that is taken over costs, 1e-24 $/(W²h); 0 for nothing."""
    more_w: Floats
    """(g,) how much more its units at the margin can inject."""
    less_w: Floats
    """(g,) how much less."""
    rest_w: Floats
    """(g,) by how much the storages' sum is off the optimum's where it is whole."""

    def cost(self, zone: int, off_w: Floats, bound: float, others_to_come: int) -> Floats:
        """Return what it costs that storages inject so much more than in the optimum."""
        drift = bound * DRIFT * off_w**2
        if others_to_come:
            return np.asarray(drift, dtype=np.float64)
        least, most = -self.more_w[zone], self.less_w[zone]
        if most - least < 1.0:
            least = most = self.rest_w[zone]
        beyond = np.maximum(off_w - most, 0.0) + np.maximum(least - off_w, 0.0)
        beyond = np.where(beyond < WHOLE_W, 0.0, beyond)
        taken = np.where(np.abs(off_w) > 1.0, self.slope[zone] * off_w**2, 0.0)
        return np.asarray(taken + drift + bound * BROKEN * beyond, dtype=np.float64)


def _zones(arrays: StorageArrays, found: ActivePoint, joined: PriceZones, sum_w: Floats) -> _Zones:
    """Return the zones of an optimum in which storages inject (t, s) `sum_w`."""
    number, count = joined
    units, scale = len(arrays.unit_zone), arrays.scale
    more, less = _room_w(arrays, found)
    inside = takers(arrays, found, joined)
    zone = number[:, arrays.unit_zone][inside]
    sloped = np.zeros(count)
    flat = np.zeros(count, dtype=bool)
    more_w, less_w, rest_w = np.zeros(count), np.zeros(count), np.zeros(count)
    np.add.at(more_w, zone, more[inside])
    np.add.at(less_w, zone, less[inside])
    quadratic = arrays.quadratic[:, :units][inside] * (scale.price / scale.power_w)
    np.add.at(sloped, zone[quadratic > 0], 1.0 / quadratic[quadratic > 0])
    flat[zone[quadratic == 0]] = True
    of_storage = number[:, arrays.storage_zone]
    np.add.at(rest_w, of_storage, sum_w)
    slope = np.where(flat | (sloped == 0), 0.0, 1.0 / np.where(sloped > 0, sloped, 1.0))
    return _Zones(of_storage, slope, more_w, less_w, np.rint(rest_w) - rest_w)


def takers(arrays: StorageArrays, found: ActivePoint, joined: PriceZones) -> Flags:
    """Tell, (t, u), which units take over what storages leave: those at the margin.

    Of these one at a limit goes one way only, and is left out where another is inside its limits.
    """
    number, count = joined
    units = len(arrays.unit_zone)
    free: Flags = found.state[:, :units] == FREE
    more, less = _room_w(arrays, found)
    inside = free & (more > WHOLE_W) & (less > WHOLE_W)
    zone = number[:, arrays.unit_zone]
    has_one = np.zeros(count, dtype=bool)
    has_one[zone[inside]] = True
    return inside | (free & ~has_one[zone] & (np.maximum(more, less) > WHOLE_W))


def _room_w(arrays: StorageArrays, found: ActivePoint) -> tuple[Floats, Floats]:
    """Return, (t, u) each, how much more and how much less units can inject."""
    units, power_w = len(arrays.unit_zone), arrays.scale.power_w
    power = found.x[:, :units]
    more, less = arrays.upper[:, :units] - power, power - arrays.lower[:, :units]
    return np.maximum(more, 0.0) * power_w, np.maximum(less, 0.0) * power_w


class _Path:
    """One storage's way through the hours."""

    def __init__(
        self,
        arrays: StorageArrays,
        found: ActivePoint,
        values: Sequence[Sequence[int]],
        bound: float,
        number: int,
    ) -> None:
        _, lines, taken, given, _ = arrays.ends
        columns = [lines + number, taken + number]
        power_w = arrays.scale.power_w
        exact = found.x[:, columns] * power_w
        exact = np.where(np.abs(exact - np.rint(exact)) < WHOLE_W, np.rint(exact), exact)
        self.exact_w: Floats = exact[:, 1] - exact[:, 0]
        """(t,) what it injects in the optimum."""
        free: Flags = found.state[:, columns] == FREE
        self.moves: Flags = free[:, 0] | free[:, 1]
        """(t,) whether other watts than the nearest cost nothing by themselves."""
        at_top = found.state[:, columns] == UPPER
        self._side = np.where(free[:, 1] | (at_top[:, 1] & ~free[:, 0]), 1, 0)
        """(t,) 1 where it gives, 0 where it takes."""
        slope = arrays.linear - arrays.priced(found.price, found.value)
        lost = np.where(free, 0.0, np.abs(slope[:, columns])) * arrays.scale.price
        self._lost = 2.0 * lost
        """(t, 2) what a watt less than its limit costs, as twice the gap."""
        effect = np.array([arrays.stored[number], -arrays.drawn[number]])
        most = arrays.upper[0, columns] * power_w
        self._bound, self._near = bound, float(arrays.drawn[number])
        self._tried: list[Floats] = []
        self._changes: list[Floats] = []
        self._rounded = np.rint(exact)
        for hour, side in enumerate(self._side.tolist()):
            nearest = self._rounded[hour, side]
            tried = self.moves[hour] or at_top[hour, side]
            watts = nearest + (TRIED_W if tried else TRIED_W[:1])
            watts = watts[(watts >= 0) & (watts <= np.rint(most[side]))]
            self._tried.append(watts)
            still = self._rounded[hour, 1 - side] - exact[hour, 1 - side]
            self._changes.append(
                effect[side] * (watts - exact[hour, side]) + effect[1 - side] * still
            )
        level = given + number
        self._below = (found.x[:, level] - arrays.lower[:, level]) * power_w
        self._above = (arrays.upper[:, level] - found.x[:, level]) * power_w
        worth = [row[number] for row in values]
        falls = [here - after for here, after in zip(worth, [*worth[1:], 0], strict=True)]
        self._falls = [float(fall) * PPM for fall in falls]
        """What a watt of the level gains by lying lower, 1e-24 $/Wh."""
        self._way: list[int] = [0] * len(exact)

    def off_w(self, hour: int) -> Floats:
        """Return how much more than in the optimum each step injects that is tried."""
        side = int(self._side[hour])
        other = self._rounded[hour, 1 - side]
        injected = self._tried[hour] - other if side else other - self._tried[hour]
        return np.asarray(injected - self.exact_w[hour], dtype=np.float64)

    def lost(self, hour: int) -> Floats:
        """Return what each step costs that is tried, as twice the gap: less than its limit."""
        side = int(self._side[hour])
        away = np.abs(self._tried[hour] - self._rounded[hour, side])
        return np.asarray(self._lost[hour, side] * away, dtype=np.float64)

    def chosen_off_w(self) -> Floats:
        """Return (t,) the same of the steps that were taken."""
        return np.array([self.off_w(hour)[step] for hour, step in enumerate(self._way)])

    def watts(self) -> Integers:
        """Return (2, t) whole watts taken and given."""
        found = self._rounded.copy()
        for hour, (side, step) in enumerate(zip(self._side.tolist(), self._way, strict=True)):
            found[hour, side] = self._tried[hour][step]
        return np.asarray(found.T, dtype=np.int64)

    def take_cheapest(self, costs: Sequence[Floats]) -> float:
        """Take the steps that cost least together, and return what they cost."""
        off, sums = np.zeros(1), np.zeros(1)
        trace: list[tuple[Integers, int]] = []
        for hour, step_costs in enumerate(costs):
            reached = (off[:, None] + self._changes[hour]).ravel()
            total = (sums[:, None] + step_costs).ravel() + self._level_cost(hour, reached)
            place = np.rint(np.clip(reached, -FARTHEST_W, FARTHEST_W) * STATES_A_WATT)
            order = np.lexsort((total, place))
            best = order[np.flatnonzero(np.diff(place[order], prepend=np.inf))]
            off, sums = reached[best], total[best]
            trace.append((best.astype(np.int64), len(step_costs)))
        state = int(np.argmin(sums))
        cost = float(sums[state])
        for hour in range(len(costs) - 1, -1, -1):
            best, width = trace[hour]
            state, self._way[hour] = divmod(int(best[state]), width)
        return cost

    def _level_cost(self, hour: int, off: Floats) -> Floats:
        """Return what it costs that the level is so far off the optimum's after an hour."""
        below, above = self._below[hour] + off, self._above[hour] - off
        passed = np.maximum(-below, 0.0) + np.maximum(-above, 0.0)
        passed = np.where(passed > 1e-7, 1.0 + passed, 0.0)
        fall = self._falls[hour]
        distance = below if fall > 0 else above
        lost = 2.0 * abs(fall) * np.maximum(distance - self._near, 0.0)
        drift = self._bound * DRIFT * off**2
        return np.asarray(lost + drift + self._bound * BROKEN * passed, dtype=np.float64)
