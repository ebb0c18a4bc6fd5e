"""Slow twins of how storages are rounded: all is tried, and costs are as they are defined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, product

import numpy as np

from dispatch.arrays import Floats, Integers
from dispatch.storage_active import FREE, UPPER, ActivePoint, PriceZones
from dispatch.storage_arrays import StorageArrays
from market.dispatch_problem import PPM

STEPS_W = (-2, -1, 0, 1, 2)
WHOLE_W = 1e-3


class Rounding:
    """What whole watts of storages cost near an optimum, in bounds of the whole gap."""

    def __init__(
        self,
        arrays: StorageArrays,
        found: ActivePoint,
        joined: PriceZones,
        values: Sequence[Sequence[int]],
        bound: float,
    ) -> None:
        self._arrays, self._found, self._bound = arrays, found, max(bound, 1.0)
        self._number = joined[0]
        power_w = arrays.scale.power_w
        self._units, lines, taken, given, _ = arrays.ends
        exact = np.stack([found.x[:, lines:taken], found.x[:, taken:given]]) * power_w
        self.exact_w = np.where(np.abs(exact - np.rint(exact)) < WHOLE_W, np.rint(exact), exact)
        self._state = np.stack([found.state[:, lines:taken], found.state[:, taken:given]])
        self._most_w = np.stack([arrays.upper[0, lines:taken], arrays.upper[0, taken:given]])
        self._most_w = np.rint(self._most_w * power_w)
        slope = arrays.linear - arrays.priced(found.price, found.value)
        self._slope = np.abs(np.stack([slope[:, lines:taken], slope[:, taken:given]]))
        self._slope *= arrays.scale.price
        self._level_w = found.x[:, given:] * power_w
        self._least_w = arrays.lower[:, given:] * power_w
        self._greatest_w = arrays.upper[:, given:] * power_w
        worth = [*values, [0] * len(arrays.start)]
        self._falls = [
            [float(here - after) * PPM for here, after in zip(*pair, strict=True)]
            for pair in pairwise(worth)
        ]

    def choices(self) -> Iterator[Integers]:
        """Yield all whole watts, (2, t, s), some steps from the optimum's."""
        nearest = np.rint(self.exact_w).astype(np.int64)
        movable = [
            (int(side), hour, storage)
            for hour, storage in np.ndindex(*nearest.shape[1:])
            for side in self._sides(hour, storage)
        ]
        for steps in product(STEPS_W, repeat=len(movable)):
            tried = nearest.copy()
            for place, step in zip(movable, steps, strict=True):
                tried[place] += step
            if (tried >= 0).all() and (tried <= self._most_w[:, None]).all():
                yield tried

    def _sides(self, hour: int, storage: int) -> list[int]:
        """Return 0 or 1 for what may be other than the nearest: what it takes, what it gives."""
        state = self._state[:, hour, storage]
        for wanted in (FREE, UPPER):
            for side in (1, 0):
                if state[side] == wanted and self._most_w[side, storage] > 0:
                    return [side]
        return []

    def cost(self, watts: Integers) -> float:
        """Return what (2, t, s) whole watts cost, infinite where they cannot be."""
        arrays = self._arrays
        off = watts - self.exact_w
        total = 0.0
        for storage in range(len(arrays.start)):
            drift = 0.0
            for hour in range(off.shape[1]):
                drift += arrays.stored[storage] * off[0, hour, storage]
                drift -= arrays.drawn[storage] * off[1, hour, storage]
                level = self._level_w[hour, storage] + drift
                below = level - self._least_w[hour, storage]
                above = self._greatest_w[hour, storage] - level
                if min(below, above) < -1e-6:
                    return float("inf")
                fall = self._falls[hour][storage]
                distance = below if fall > 0 else above
                total += 2 * abs(fall) * max(0.0, distance - arrays.drawn[storage])
                for side in (0, 1):
                    if self._state[side, hour, storage] == UPPER:
                        less = abs(off[side, hour, storage])
                        total += 2 * self._slope[side, hour, storage] * less
        net = off[1] - off[0]
        for hour in range(off.shape[1]):
            zones = self._number[hour, arrays.storage_zone]
            for zone in dict.fromkeys(zones.tolist()):
                total += self._zone_cost(hour, zone, float(net[hour, zones == zone].sum()))
        return total / self._bound

    def _zone_cost(self, hour: int, zone: int, off_w: float) -> float:
        """Return what it costs that others take over `off_w`, infinite where nobody can."""
        arrays, power_w = self._arrays, self._arrays.scale.power_w
        here = []
        for unit in range(self._units):
            if self._number[hour, arrays.unit_zone[unit]] != zone:
                continue
            if self._found.state[hour, unit] != FREE:
                continue
            power = self._found.x[hour, unit]
            more = max(0.0, float(arrays.upper[hour, unit] - power) * power_w)
            less = max(0.0, float(power - arrays.lower[hour, unit]) * power_w)
            here.append((more, less, float(arrays.quadratic[hour, unit])))
        inside = [each for each in here if min(each[:2]) > WHOLE_W]
        takers = inside or [each for each in here if max(each[:2]) > WHOLE_W]
        more, less = sum(each[0] for each in takers), sum(each[1] for each in takers)
        if more + less < 1.0:
            # Storages alone: whatever they do has to add up to whole watts.
            return 0.0 if self._is_whole(hour, zone, off_w) else float("inf")
        if not -more - WHOLE_W <= off_w <= less + WHOLE_W:
            return float("inf")
        if abs(off_w) <= 1.0 or any(not each[2] for each in takers):
            return 0.0
        slope = 1.0 / sum(1.0 / each[2] for each in takers)
        return slope * arrays.scale.price / power_w * off_w**2

    def _is_whole(self, hour: int, zone: int, off_w: float) -> bool:
        """Tell whether the storages of a zone inject what they do in the optimum, made whole."""
        chosen = self._number[hour, self._arrays.storage_zone] == zone
        wanted = float((self.exact_w[1] - self.exact_w[0])[hour, chosen].sum())
        return abs(wanted + off_w - np.rint(wanted)) < WHOLE_W


class Fitting:
    """Which moves of prices and values keep an optimum one, and what units off their best cost."""

    def __init__(
        self, arrays: StorageArrays, found: ActivePoint, joined: PriceZones, watts: Integers
    ) -> None:
        number, self.zones = joined
        units, lines, taken, given, _ = arrays.ends
        hours, storages = found.value.shape
        self._size = self.zones + hours * storages
        power_w = arrays.scale.power_w
        self._off_w, self._slope = np.zeros(self.zones), np.zeros(self.zones)
        rows: list[dict[int, float]] = []
        linked: set[int] = set()
        for hour, storage in np.ndindex(hours, storages):
            zone = int(number[hour, arrays.storage_zone[storage]])
            value = self.zones + hour * storages + storage
            net = found.x[hour, taken + storage] - found.x[hour, lines + storage]
            whole = watts[1, hour, storage] - watts[0, hour, storage]
            self._off_w[zone] += net * power_w - whole
            gives = found.state[hour, taken + storage] == FREE
            takes = found.state[hour, lines + storage] == FREE
            if gives or takes:
                part = arrays.drawn[storage] if gives else arrays.stored[storage]
                rows.append({zone: 1.0, value: float(part)})
                linked.add(zone)
            if hour + 1 < hours and found.state[hour, given + storage] == FREE:
                rows.append({value: 1.0, value + storages: -1.0})
        for hour, unit in np.ndindex(hours, units):
            zone = int(number[hour, arrays.unit_zone[unit]])
            room = min(
                found.x[hour, unit] - arrays.lower[hour, unit],
                arrays.upper[hour, unit] - found.x[hour, unit],
            )
            if found.state[hour, unit] != FREE or room <= 0:
                continue
            if arrays.quadratic[hour, unit] == 0:
                rows.append({zone: 1.0})
            else:
                self._slope[zone] += power_w / arrays.quadratic[hour, unit]
        # What no storage ties to anything stays where it is.
        touched = {column for row in rows for column in row if len(row) > 1}
        rows += [{zone: 1.0} for zone in range(self.zones) if zone not in linked]
        rows += [{c: 1.0} for c in range(self.zones, self._size) if c not in touched]
        self.matrix = np.zeros((len(rows), self._size))
        for place, row in enumerate(rows):
            for column, factor in row.items():
                self.matrix[place, column] = factor

    def directions(self) -> list[Floats]:
        """Return a basis of all moves, each of what hangs together (by row reduction)."""
        matrix, pivots = self.matrix.copy(), []
        row = 0
        for column in range(self._size):
            if row == len(matrix):
                break
            best = row + int(np.argmax(np.abs(matrix[row:, column])))
            if abs(matrix[best, column]) < 1e-9:
                continue
            matrix[[row, best]] = matrix[[best, row]]
            matrix[row] /= matrix[row, column]
            others = np.arange(len(matrix)) != row
            matrix[others] -= np.outer(matrix[others, column], matrix[row])
            pivots.append(column)
            row += 1
        found = []
        for column in range(self._size):
            if column not in pivots:
                move = np.zeros(self._size)
                move[column] = 1.0
                for place, pivot in enumerate(pivots):
                    move[pivot] = -matrix[place, column]
                found.append(move)
        return found

    def cost(self, move: Floats, tolerance_w: float = 0.0) -> float:
        """Return what units that stand over a watt off their best power cost after a move."""
        total = 0.0
        for zone in range(self.zones):
            if self._slope[zone] > 0:
                left = abs(self._off_w[zone] - move[zone] * self._slope[zone])
                if left > 1.0 + tolerance_w:
                    total += left**2 / self._slope[zone]
        return total

    def lengths(self, move: Floats, direction: Floats) -> list[float]:
        """Return lengths to try along a direction, between where zones get within a watt."""
        corners = [0.0]
        for zone in range(self.zones):
            pace = direction[zone] * self._slope[zone]
            if abs(pace) > 1e-12:
                here = self._off_w[zone] - move[zone] * self._slope[zone]
                corners += [float(here + few) / pace for few in (-1.0, 1.0)]
        low, high = min(corners), max(corners)
        wide = high - low
        return [*corners, *np.linspace(low - wide, high + wide, 121).tolist()]
