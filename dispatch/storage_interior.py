"""An interior point over all hours of a problem with storages: which limits hold in its optimum.

The predictor-corrector method of Mehrotra (1992) for bounded variables. A step's equations have the
shape of the problem: in each hour the zones are a forest, eliminated from the leaves to the roots
as currents on a ladder of conductances are, and the storages couple the hours by one chain of small
blocks. So a step takes work linear in zones times hours. `storage_plain` is the slow, readable
twin, with one dense matrix for everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit

from dispatch.arrays import Floats
from dispatch.storage_arrays import Flags, Forest, StorageArrays
from vm.primitives.errors import InvalidInput

MAX_STEPS: Final = 120
TOLERANCE: Final = 1e-10
GOOD_ENOUGH: Final = 1e-6
"""Where rounding ends the steps before the tolerance is met: what then serves as well."""
NEAREST: Final = 1e-14
"""A variable counts as at least this far from its bounds."""
STEP: Final = 0.995
REGULAR: Final = 1e-12
"""Part by which the storages' own equations are stiffened against cancellation."""
FLOOR: Final = 1e-14
"""Conductance to earth of a zone in which nothing can move, so that its equation is regular."""


@dataclass(frozen=True, slots=True)
class InteriorPoint:
    """Where the method stopped, in the scale of its arrays."""

    x: Floats
    """(t, v) the variables."""
    price: Floats
    """(t, z) price of each zone."""
    value: Floats
    """(t, s) multiplier of each level's step: minus the value of stored energy."""
    at_lower: Floats
    """(t, v) multipliers of the lower bounds."""
    at_upper: Floats
    """(t, v) multipliers of the upper bounds."""
    steps: int
    """Steps taken."""


def solve_interior(arrays: StorageArrays) -> InteriorPoint:
    """Return a point near the optimum; raises InvalidInput `no_solution` where none is found."""
    free = arrays.upper > arrays.lower
    x = np.where(free, 0.5 * (arrays.lower + arrays.upper), arrays.lower)
    hours = len(x)
    price = np.zeros((hours, arrays.zones))
    value = np.zeros((hours, len(arrays.start)))
    z_low, z_high = np.where(free, 1.0, 0.0), np.where(free, 1.0, 0.0)
    count = 2 * max(int(free.sum()), 1)
    missing = best_left = np.inf
    best = InteriorPoint(x, price, value, z_low, z_high, 0)
    for step in range(1, MAX_STEPS + 1):
        below = np.where(free, np.maximum(x - arrays.lower, NEAREST), 1.0)
        above = np.where(free, np.maximum(arrays.upper - x, NEAREST), 1.0)
        dual = arrays.quadratic * x + arrays.linear - arrays.priced(price, value) - z_low + z_high
        dual = np.where(free, dual, 0.0)
        balance, level = arrays.imbalance(x)
        gap = float((below * z_low + above * z_high)[free].sum()) / count
        missing = max(float(np.abs(balance).max()), float(np.abs(level).max(initial=0.0)))
        left = max(missing, float(np.abs(dual).max()), gap)
        if left < best_left:
            best, best_left = InteriorPoint(x, price, value, z_low, z_high, step), left
        if max(left * 1e-3, gap) < TOLERANCE:
            return best
        newton = _Newton(arrays, free, below, above, z_low, z_high)
        moves = newton.move(dual, balance, level, below * z_low, above * z_high)
        size = _longest(free, below, above, z_low, z_high, moves)
        ahead = (below + size * moves[0]) * (z_low + size * moves[3])
        ahead += (above - size * moves[0]) * (z_high + size * moves[4])
        wanted = (float(ahead[free].sum()) / count / gap) ** 3 * gap
        moves = newton.move(
            dual,
            balance,
            level,
            below * z_low + moves[0] * moves[3] - wanted,
            above * z_high - moves[0] * moves[4] - wanted,
        )
        size = STEP * _longest(free, below, above, z_low, z_high, moves)
        x, price, value, z_low, z_high = (
            old + size * move
            for old, move in zip((x, price, value, z_low, z_high), moves, strict=True)
        )
        if not np.isfinite(x).all():
            break
    if best_left < GOOD_ENOUGH:
        return best
    raise InvalidInput(
        "no dispatch was found within the limits of units, lines and storages",
        code="no_solution",
        expected=f"convergence within {MAX_STEPS} steps",
        actual=f"an imbalance of {missing * arrays.scale.power_w:.3g} W",
        hint="Lines, units or storages may not suffice for the load that must be served.",
    )


Moves = tuple[Floats, Floats, Floats, Floats, Floats]
"""Of the variables, prices, multipliers of levels, and of both bounds' multipliers."""


def _longest(
    free: Flags, below: Floats, above: Floats, z_low: Floats, z_high: Floats, moves: Moves
) -> float:
    """Return the longest step, at most 1, that keeps distances and multipliers above zero."""
    size = 1.0
    for distance, move in (
        (below, moves[0]),
        (above, -moves[0]),
        (z_low, moves[3]),
        (z_high, moves[4]),
    ):
        falling = free & (move < 0)
        if falling.any():
            size = min(size, float((-distance[falling] / move[falling]).min()))
    return size


class _Newton:
    """The equations of one step, factorised once and solved for two right sides."""

    def __init__(
        self,
        arrays: StorageArrays,
        free: Flags,
        below: Floats,
        above: Floats,
        z_low: Floats,
        z_high: Floats,
    ) -> None:
        self._arrays, self._free = arrays, free
        self._below, self._above, self._z_low, self._z_high = below, above, z_low, z_high
        stiffness = arrays.quadratic + z_low / below + z_high / above
        self._give = np.where(free, 1.0 / np.where(free, stiffness, 1.0), 0.0)
        power, flow, taken, given, level = arrays.split(self._give)
        forest = arrays.forest
        ground = np.full((len(power), arrays.zones), FLOOR)
        np.add.at(ground.T, arrays.unit_zone, power.T)
        np.add.at(ground.T, arrays.storage_zone, (taken + given).T)
        self._across = np.zeros_like(ground)
        child = arrays.line_zone
        self._across[:, child] = flow
        self._diagonal = ground.copy()
        if len(child):
            _eliminate(forest, ground, self._across, self._diagonal)
        # How far each zone's price answers to each storage, and the chain of blocks that is left.
        hours, storages = level.shape
        self._cross = arrays.stored * taken + arrays.drawn * given
        answers = np.zeros((storages, hours, arrays.zones))
        for number, zone in enumerate(arrays.storage_zone):
            answers[number, :, zone] = self._cross[:, number]
            self._substitute(answers[number])
        self._answers = answers
        blocks = np.empty((hours, storages, storages))
        for number, zone in enumerate(arrays.storage_zone):
            blocks[:, number, :] = -self._cross[:, number : number + 1] * answers[:, :, zone].T
        own = arrays.stored**2 * taken + arrays.drawn**2 * given
        places = np.arange(storages)
        blocks[:, places, places] += own * (1.0 + REGULAR) + FLOOR
        self._blocks, self._level = blocks, level
        # What is left of the hours before is a conductance too: adding it up loses no digits.
        for hour in range(1, hours):
            link = np.diag(level[hour - 1])
            blocks[hour] += link @ np.linalg.solve(blocks[hour - 1] + link, blocks[hour - 1])

    def move(
        self, dual: Floats, balance: Floats, steps: Floats, low: Floats, high: Floats
    ) -> Moves:
        """Return the moves that take out residuals and the products `low` and `high`."""
        arrays = self._arrays
        force = np.where(self._free, -dual - low / self._below + high / self._above, 0.0)
        pushed = arrays.imbalance(self._give * force)
        # `imbalance` counts the level before the first hour, which does not move.
        pushed[1][0] += arrays.start
        right, rest = -balance - pushed[0], -steps - pushed[1]
        self._substitute(right)
        rest = rest - self._cross * right[:, arrays.storage_zone]
        value = self._solve_chain(rest)
        price = right - np.einsum("sth,ts->th", self._answers, value)
        x = self._give * (force + arrays.priced(price, value))
        z_low = np.where(self._free, -(low + self._z_low * x) / self._below, 0.0)
        z_high = np.where(self._free, -(high - self._z_high * x) / self._above, 0.0)
        return x, price, value, z_low, z_high

    def _substitute(self, right: Floats) -> None:
        """Turn currents into each zone into its prices; of a single zone nothing is compiled."""
        if len(self._arrays.line_bus):
            _substitute(self._arrays.forest, self._across, self._diagonal, right)
        else:
            right /= self._diagonal

    def _solve_chain(self, right: Floats) -> Floats:
        """Solve the equations of all hours: between two of them stands minus what a level gives."""
        hours = len(right)
        pivots = [self._blocks[hour] + np.diag(self._level[hour]) for hour in range(hours)]
        found = right.copy()
        for hour in range(1, hours):
            found[hour] += self._level[hour - 1] * np.linalg.solve(
                pivots[hour - 1], found[hour - 1]
            )
        for hour in range(hours - 1, -1, -1):
            if hour + 1 < hours:
                found[hour] += self._level[hour] * found[hour + 1]
            found[hour] = np.linalg.solve(pivots[hour], found[hour])
        return found


@njit(cache=True)
def _eliminate(forest: Forest, ground: Floats, across: Floats, diagonal: Floats) -> None:
    """Write the pivots of all hours. Conductances only add up, so that nothing cancels."""
    for hour in range(ground.shape[0]):
        for zone in forest.upward:
            diagonal[hour, zone] = ground[hour, zone] + across[hour, zone]
            above = forest.parent[zone]
            if above >= 0:
                ground[hour, above] += (
                    ground[hour, zone] * across[hour, zone] / diagonal[hour, zone]
                )


@njit(cache=True)
def _substitute(forest: Forest, across: Floats, diagonal: Floats, right: Floats) -> None:
    """Turn the right side, currents into each zone, into its prices."""
    for hour in range(right.shape[0]):
        for zone in forest.upward:
            above = forest.parent[zone]
            if above >= 0:
                part = across[hour, zone] / diagonal[hour, zone]
                right[hour, above] += part * right[hour, zone]
        for place in range(forest.upward.shape[0] - 1, -1, -1):
            zone = forest.upward[place]
            above = forest.parent[zone]
            if above >= 0:
                right[hour, zone] += across[hour, zone] * right[hour, above]
            right[hour, zone] /= diagonal[hour, zone]
