"""Storages' watts and the prices that they set, in integers.

Values of stored energy are rounded first, and the prices that storages set follow from them
exactly. Then the watts: hour by hour, so that each level stays within a watt, over one interval, of
where it should be, and within its bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from dispatch.arrays import Integers
from dispatch.quantise import round_price
from dispatch.storage_active import FREE, LOWER, UPPER, ActivePoint, join_zones
from dispatch.storage_arrays import Flags, StorageArrays
from market.dispatch_layout import StorageRow
from market.dispatch_problem import PPM

WHOLE_W: Final = 1e-3
"""A power this near to whole watts is whole."""
GOLDEN: Final = 0.6180339887498949
"""By whose multiples the attempts spread evenly."""
SIGNS: Final = np.array([-1.0, 1.0])
"""By which what is taken and given add up to an injection."""


def round_values(arrays: StorageArrays, found: ActivePoint) -> list[list[int]]:
    """Return the value of stored energy in each hour, 1e-24 $/Wh per part per million.

    It is the same, to the digit, over hours between which the level is at no bound.
    """
    hours, storages = found.value.shape
    level = arrays.ends[3]
    rounded = [[0] * storages for _ in range(hours)]
    for hour in range(hours - 1, -1, -1):
        for number in range(storages):
            if found.state[hour, level + number] == FREE:
                after = rounded[hour + 1][number] if hour + 1 < hours else 0
                rounded[hour][number] = after
            else:
                value = -float(found.value[hour, number]) * arrays.scale.price / PPM
                rounded[hour][number] = round_price(value) if value else 0
    return rounded


def round_prices(
    rows: Sequence[StorageRow],
    arrays: StorageArrays,
    found: ActivePoint,
    values: list[list[int]],
    cost: Callable[[int, int], int],
) -> list[list[int]]:
    """Return the price of each zone in each hour; what costs the same at any power sets it.

    `cost` tells the exact cost of a unit (hour, unit) that does.
    """
    units, lines, taken = arrays.ends[:3]
    zones_of_units, zones_of_storages = arrays.unit_zone.tolist(), arrays.storage_zone.tolist()
    rounded = []
    for hour, row in enumerate(found.price.tolist()):
        state = found.state[hour].tolist()
        set_by: dict[float, int] = {}
        for number, one in enumerate(rows):
            storage, value = one.storage, values[hour][number]
            price = row[zones_of_storages[number]]
            if state[taken + number] == FREE:
                set_by[price] = storage.drawn_ppm * value + storage.discharge_cost
            elif state[lines + number] == FREE:
                set_by[price] = storage.stored_ppm * value - storage.charge_cost
        # Units last, so that they win: the value of stored energy is the coarser number.
        for unit in np.flatnonzero(
            (found.state[hour, :units] == FREE) & (arrays.quadratic[hour, :units] == 0)
        ).tolist():
            set_by[row[zones_of_units[unit]]] = cost(hour, unit)
        for price in row:
            if price not in set_by:
                set_by[price] = round_price(price * arrays.scale.price) if price else 0
        rounded.append([set_by[price] for price in row])
    return rounded


def round_storages(
    rows: Sequence[StorageRow],
    minutes: int,
    arrays: StorageArrays,
    found: ActivePoint,
    attempt: int,
) -> Integers:
    """Return (2, t, s) whole watts that storages take and give.

    Where several storages alone have to make up a whole sum, not every way of rounding them fits
    their levels; each attempt aims at other levels, less than a watt from the exact ones.
    """
    number, count = join_zones(arrays, found.state)
    units, lines, taken, given, _ = arrays.ends
    others = np.zeros(count, dtype=np.int64)
    hours, movers = np.nonzero(found.state[:, :units] == FREE)
    np.add.at(others, number[hours, arrays.unit_zone[movers]], 1)
    moving = (found.state[:, lines:taken] == FREE) | (found.state[:, taken:given] == FREE)
    zone = number[:, arrays.storage_zone]
    together = np.zeros(count, dtype=np.int64)
    np.add.at(together, zone[moving], 1)
    # Nothing else can take up a watt there: a single storage is bound to its own whole number,
    # several to a whole sum.
    rigid = others[zone] == 0
    may_move = moving & ~(rigid & (together[zone] == 1))
    tracks = [
        _Track(
            arrays,
            found,
            place,
            row,
            minutes,
            may_move[:, place],
            (attempt * (place + 1) * GOLDEN + 0.5) % 1.0 - 0.5,
        )
        for place, row in enumerate(rows)
    ]
    for hour in range(len(zone)):
        for track in tracks:
            track.step(hour)
        for group in dict.fromkeys(zone[hour][rigid[hour]].tolist()):
            members = [each for place, each in enumerate(tracks) if zone[hour, place] == group]
            missing = round(sum(float(each.exact[hour] @ SIGNS) for each in members)) - sum(
                each.net(hour) for each in members
            )
            for each in members:
                missing -= each.shift(hour, missing)
    return np.stack([track.chosen for track in tracks], axis=2)


class _Track:
    """One storage's watts as they are chosen, hour by hour, so that its levels stay in bounds."""

    def __init__(
        self,
        arrays: StorageArrays,
        found: ActivePoint,
        number: int,
        row: StorageRow,
        minutes: int,
        moves: Flags,
        aim_w: float,
    ) -> None:
        _, lines, taken, given, _ = arrays.ends
        columns = [lines + number, taken + number]
        exact = found.x[:, columns] * arrays.scale.power_w
        self.exact = np.where(np.abs(exact - np.rint(exact)) < WHOLE_W, np.rint(exact), exact)
        """(t, 2) what it takes and gives in the optimum, W."""
        self._free = (found.state[:, columns] == FREE) & moves[:, None]
        storage = row.storage
        self._effect = (minutes * storage.stored_ppm, -minutes * storage.drawn_ppm)
        self._most = (storage.charge_max_w, storage.discharge_max_w)
        self._low, self._high = _level_bounds(found.state[:, given + number].tolist(), row, minutes)
        # A step that cannot move passes its bounds on to the hour before.
        for hour in range(len(exact) - 1, 0, -1):
            if not self._free[hour].any():
                fixed = sum(int(np.rint(self.exact[hour, k])) * self._effect[k] for k in (0, 1))
                self._low[hour - 1] = max(self._low[hour - 1], self._low[hour] - fixed)
                self._high[hour - 1] = min(self._high[hour - 1], self._high[hour] - fixed)
        self._level, self._wanted = row.start, row.start + aim_w * abs(self._effect[1])
        self.chosen: Integers = np.zeros((2, len(exact)), dtype=np.int64)
        """(2, t) whole watts taken and given."""

    def net(self, hour: int) -> int:
        """Return what it injects, W."""
        return int(self.chosen[1, hour] - self.chosen[0, hour])

    def step(self, hour: int) -> None:
        """Choose the watts of an hour."""
        self._wanted += float(self.exact[hour] @ np.array(self._effect, dtype=np.float64))
        for k in (0, 1):
            self.chosen[k, hour] = int(np.rint(self.exact[hour, k]))
        for k in (1, 0):
            if self._free[hour, k]:
                other = self._level + int(self.chosen[1 - k, hour]) * self._effect[1 - k]
                self.chosen[k, hour] = self._watts(hour, other, k)
                break
        self._level += sum(int(self.chosen[k, hour]) * self._effect[k] for k in (0, 1))

    def shift(self, hour: int, watts: int) -> int:
        """Inject as much more of `watts` as levels and limits allow; return how much that is."""
        done = 0
        for k in (1, 0):
            step = (1 if watts > 0 else -1) * (1 if k else -1)
            while done != watts and self._free[hour, k]:
                level = self._level + step * self._effect[k]
                value = int(self.chosen[k, hour]) + step
                if not (
                    0 <= value <= self._most[k] and self._low[hour] <= level <= self._high[hour]
                ):
                    break
                self._level, self.chosen[k, hour] = level, value
                done += 1 if watts > 0 else -1
        return done

    def _watts(self, hour: int, level: int, k: int) -> int:
        """Return the watts nearest to what is wanted by which the level ends in its bounds."""
        effect = self._effect[k]
        size, direction = abs(effect), 1 if effect > 0 else -1
        watts = round((self._wanted - level) / effect)
        after = level + watts * effect
        if after < self._low[hour]:
            watts += direction * -(-(self._low[hour] - after) // size)
        elif after > self._high[hour]:
            watts -= direction * -(-(after - self._high[hour]) // size)
        return min(max(watts, 0), self._most[k])


def _level_bounds(states: list[int], row: StorageRow, minutes: int) -> tuple[list[int], list[int]]:
    """Return between which levels each hour has to end: near a bound that the optimum stands at."""
    near = minutes * row.storage.drawn_ppm
    low, high = [], []
    for hour, state in enumerate(states):
        least = row.end_least if hour + 1 == len(states) else row.least
        low.append(row.greatest - near if state == UPPER else least)
        high.append(least + near if state == LOWER else row.greatest)
        low[-1], high[-1] = max(low[-1], least), min(high[-1], row.greatest)
    return low, high
