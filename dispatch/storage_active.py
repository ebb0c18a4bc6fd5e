"""From an interior point to the exact optimum: the limits that hold become equations.

What is free then obeys linear equations: the balance of each price zone, which is what lines that
are not full join; the step of each level; and for whatever is free and costs the same at any power
(linear bids, storages) that its price is met. They are solved with a little regularisation, which
refinement takes out again, so that of many solutions the one nearest to the interior point comes
out. Where a limit is passed, or a multiplier has the wrong sign, the choice is mended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dispatch.arrays import Floats, Integers
from dispatch.storage_arrays import StorageArrays
from dispatch.storage_interior import InteriorPoint
from vm.primitives.errors import InvalidInput

MAX_CORRECTIONS: Final = 300
REGULAR: Final = 1e-7
REFINEMENTS: Final = 12
PASSED: Final = 1e-9
"""A limit passed by less is rounding."""
WRONG: Final = 3e-13
"""A multiplier of the wrong sign by less is rounding; more would show in the proof."""

FREE: Final = 0
LOWER: Final = -1
UPPER: Final = 1
States = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class ActivePoint:
    """The optimum, in the scale of its arrays, and what is free in it."""

    x: Floats
    """(t, v) the variables; at a limit exactly the limit."""
    price: Floats
    """(t, z) price of each zone, the same to the bit across lines that are not full."""
    value: Floats
    """(t, s) multiplier of each level's step: minus the value of stored energy."""
    state: States
    """(t, v) LOWER, FREE or UPPER."""


def settle_active(arrays: StorageArrays, near: InteriorPoint) -> ActivePoint:
    """Return the optimum near an interior point; raises InvalidInput `no_solution`."""
    chooses = arrays.upper > arrays.lower
    state = _guess(arrays, near)
    price, value, x = near.price, near.value, near.x
    for _ in range(MAX_CORRECTIONS):
        found = _solve_states(arrays, state, x, price, value)
        over = np.maximum(found.x - arrays.upper, arrays.lower - found.x)
        over = np.where((state == FREE) & chooses, over, -np.inf)
        slope = arrays.quadratic * found.x + arrays.linear - arrays.priced(found.price, found.value)
        wrong = np.where(chooses & (state != FREE), state * slope, -np.inf)
        if over.max() <= PASSED and wrong.max() <= WRONG:
            return found
        state = state.copy()
        if over.max() > PASSED:
            place = np.unravel_index(int(np.argmax(over)), over.shape)
            state[place] = UPPER if found.x[place] > arrays.upper[place] else LOWER
        else:
            state[np.unravel_index(int(np.argmax(wrong)), wrong.shape)] = FREE
    raise not_settled(MAX_CORRECTIONS)


def not_settled(corrections: int) -> InvalidInput:
    """Return the error `no_solution` of limits that so many corrections did not settle."""
    return InvalidInput(
        "the limits that hold in the optimum could not be settled",
        code="no_solution",
        expected=f"an answer within {corrections} corrections",
    )


def _guess(arrays: StorageArrays, near: InteriorPoint) -> States:
    """Return which limit each variable stands at: the one whose multiplier outweighs its room."""
    state: States = np.zeros(near.x.shape, dtype=np.int8)
    low, high = near.x - arrays.lower, arrays.upper - near.x
    state[near.at_upper > high] = UPPER
    state[near.at_lower > low] = LOWER
    state[arrays.upper <= arrays.lower] = LOWER
    # Taking and giving at once, where it costs nothing, is left out.
    _, lines, taken, given, _ = arrays.ends
    state[:, lines:taken][(state[:, lines:taken] == FREE) & _both(arrays, near)] = LOWER
    swapped = _both(arrays, near) & (near.x[:, taken:given] < near.x[:, lines:taken])
    state[:, taken:given][swapped & (state[:, taken:given] == FREE)] = LOWER
    state[:, lines:taken][swapped] = FREE
    return state


def _both(arrays: StorageArrays, near: InteriorPoint) -> NDArray[np.bool_]:
    """Tell, (t, s), where a storage takes and gives at once though both are free."""
    _, lines, taken, given, _ = arrays.ends
    least = np.minimum(near.x[:, lines:taken], near.x[:, taken:given])
    is_free = (near.at_lower[:, lines:taken] < near.x[:, lines:taken]) & (
        near.at_lower[:, taken:given] < near.x[:, taken:given]
    )
    return is_free & (least > PASSED)


PriceZones = tuple[Integers, int]
"""(t, z) the number of each zone's price, one for all that are joined, and the count of numbers."""


def join_zones(arrays: StorageArrays, state: States) -> PriceZones:
    """Return the price zones of an optimum: lines that are not full join zones."""
    units, lines = arrays.ends[:2]
    open_line = state[:, units:lines] == FREE
    forest = arrays.forest
    number: Integers = np.empty((len(state), arrays.zones), dtype=np.int64)
    count = 0
    for hour in range(len(state)):
        for zone in forest.upward[::-1]:
            above = forest.parent[zone]
            if above >= 0 and open_line[hour, forest.line[zone]]:
                number[hour, zone] = number[hour, above]
            else:
                number[hour, zone] = count
                count += 1
    return number, count


def _solve_states(
    arrays: StorageArrays, state: States, x: Floats, price: Floats, value: Floats
) -> ActivePoint:
    """Return the solution in which exactly what `state` says stands at its limit."""
    number, count = join_zones(arrays, state)
    hours, storages = value.shape
    units, lines = arrays.ends[:2]
    is_line = np.zeros(state.shape[1], dtype=bool)
    is_line[units:lines] = True
    held = np.where(state == UPPER, arrays.upper, np.where(state == LOWER, arrays.lower, x))
    held[:, units:lines] = np.where(state[:, units:lines] == FREE, 0.0, held[:, units:lines])
    sloped = (state == FREE) & (arrays.quadratic > 0)
    flat = (state == FREE) & (arrays.quadratic == 0) & ~is_line
    system = _System(arrays, number, count, sloped, flat)
    unknown = np.concatenate([np.zeros(count), value.ravel(), np.where(flat, held, 0.0)[flat]])
    unknown[number.ravel()] = price.ravel()
    for _ in range(REFINEMENTS):
        residual = system.residual(held, unknown)
        unknown = unknown + system.solve(residual)
    price = unknown[number]
    value = unknown[count : count + hours * storages].reshape(hours, storages)
    final = system.place(held, unknown)
    _let_flow(arrays, state, final)
    return ActivePoint(final, price, value, state)


class _System:
    """The equations of one choice, factorised by inverting their regularised matrix."""

    def __init__(
        self,
        arrays: StorageArrays,
        number: Integers,
        count: int,
        sloped: NDArray[np.bool_],
        flat: NDArray[np.bool_],
    ) -> None:
        self._arrays, self._number, self._count = arrays, number, count
        self._sloped, self._flat = sloped, flat
        hours, storages = len(number), len(arrays.start)
        self._multipliers = count + hours * storages
        free = int(flat.sum())
        matrix = np.zeros((self._multipliers + free,) * 2)
        hour, unit = np.nonzero(sloped)
        zones = number[hour, arrays.unit_zone[unit]]
        np.add.at(matrix, (zones, zones), 1.0 / arrays.quadratic[hour, unit])
        for place, (when, what) in enumerate(zip(*np.nonzero(flat), strict=True)):
            row = self._multipliers + place
            for column, part in self._column(int(when), int(what)):
                matrix[row, column] += part
                matrix[column, row] += part
        places = np.arange(len(matrix))
        matrix[places, places] += np.where(places < self._multipliers, REGULAR, -REGULAR)
        self._inverse = np.linalg.inv(matrix)

    def _column(self, hour: int, variable: int) -> list[tuple[int, float]]:
        """Return the equations in which a variable stands, with its factor in each."""
        arrays = self._arrays
        units, lines, taken, given, _ = arrays.ends
        storages = len(arrays.start)
        if variable < units:
            return [(int(self._number[hour, arrays.unit_zone[variable]]), 1.0)]
        which = (variable - lines) % storages
        zone = int(self._number[hour, arrays.storage_zone[which]])
        level = self._count + hour * storages + which
        if variable < taken:
            return [(zone, -1.0), (level, -float(arrays.stored[which]))]
        if variable < given:
            return [(zone, 1.0), (level, float(arrays.drawn[which]))]
        after = [(level + storages, -1.0)] if hour + 1 < len(self._number) else []
        return [(level, 1.0), *after]

    def place(self, held: Floats, unknown: Floats) -> Floats:
        """Return all variables but the flows of open lines, which stay 0."""
        arrays = self._arrays
        x = held.copy()
        price = unknown[self._number]
        hour, unit = np.nonzero(self._sloped)
        at_unit = price[hour, arrays.unit_zone[unit]]
        x[hour, unit] = (at_unit - arrays.linear[hour, unit]) / arrays.quadratic[hour, unit]
        x[self._flat] = unknown[self._multipliers :]
        return x

    def residual(self, held: Floats, unknown: Floats) -> Floats:
        """Return what the equations miss at `unknown`."""
        arrays = self._arrays
        x = self.place(held, unknown)
        hours, storages = len(held), len(arrays.start)
        balance, level = arrays.imbalance(x)
        summed = np.zeros(self._count)
        np.add.at(summed, self._number.ravel(), balance.ravel())
        value = unknown[self._count : self._multipliers].reshape(hours, storages)
        earned = arrays.priced(unknown[self._number], value)
        return np.concatenate([-summed, -level.ravel(), (arrays.linear - earned)[self._flat]])

    def solve(self, residual: Floats) -> Floats:
        """Return the move that takes the residual out, but for the regularisation."""
        return np.asarray(self._inverse @ residual, dtype=np.float64)


def _let_flow(arrays: StorageArrays, state: States, x: Floats) -> None:
    """Write the flows of all open lines: what lies behind them has to go over them."""
    units, lines = arrays.ends[:2]
    forest = arrays.forest
    flows = x[:, units:lines]
    is_open = state[:, units:lines] == FREE
    balance, _ = arrays.imbalance(x)
    behind = balance.copy()
    for zone in forest.upward:
        above = forest.parent[zone]
        if above < 0:
            continue
        line = forest.line[zone]
        moved = np.where(is_open[:, line], behind[:, zone], 0.0)
        flows[:, line] += moved
        behind[:, above] += moved
