"""Values of stored energy and the prices that storages set, in integers.

Values are rounded first, and the prices that storages set follow from them exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dispatch.quantise import round_price
from dispatch.storage_active import FREE, ActivePoint
from dispatch.storage_arrays import StorageArrays
from market.dispatch_layout import StorageRow
from market.dispatch_problem import PPM
from vm.primitives.errors import BitenergyError, InvalidInput


def no_proof(refused: BitenergyError) -> InvalidInput:
    """Return the error `no_rounding` of whole watts that were all `refused`, the last one so."""
    return InvalidInput(
        f"whole watts near the optimum make no proof: {refused.message}",
        code="no_rounding",
        expected=refused.expected,
        actual=refused.actual,
        hint="A watt may be too coarse for units this small.",
    )


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
