"""Storages in meshed networks: the optimum over all hours, and its certificate.

An interior point over all hours finds which limits hold (`mesh_storage_interior`), their equations
give the exact optimum (`mesh_storage_active`). In integers what storages do comes first
(`storage_watts`), with the buses that lines join which are not full as price zones; then each hour
is a dispatch in which the storages are fixed, rounded like any other (`quantise_mesh`).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from dispatch.arrays import Floats, Integers
from dispatch.mesh_storage_active import MeshActivePoint, settle_mesh
from dispatch.mesh_storage_arrays import MeshStorageArrays, mesh_storage_arrays
from dispatch.mesh_storage_interior import solve_mesh_interior
from dispatch.meshed import PRICE_UNIT, W_PER_MW, MeshedDispatch
from dispatch.quantise_mesh import Rounded, quantise_meshed
from dispatch.storage_active import FREE, ActivePoint, PriceZones
from dispatch.storage_rounding import no_proof, round_values
from dispatch.storage_watts import choose_watts
from market.dispatch_certificate import Certificate, IntervalResult, StorageResult
from market.dispatch_check import TOLERANCE_MESHED, validate_certificate
from market.dispatch_layout import DispatchLayout
from vm.primitives.errors import InvalidInput, InvalidProof

MAX_ATTEMPTS: Final = 3
"""Storages that may be the first to choose their watts, in one attempt and the next."""

LEAST: Final = 1e-25
"""Price of a full line's limit that is none, as a part of the scale: its sign tells which way."""


def solve_meshed_with_storages(layout: DispatchLayout) -> Certificate:
    """Return the proved optimum of a sound meshed problem with storages.

    Raises InvalidInput `no_solution`, `no_rounding`.
    """
    arrays = mesh_storage_arrays(layout)
    found = settle_mesh(arrays, solve_mesh_interior(arrays))
    base = arrays.base
    columns = base.lower.shape[1]
    prices = arrays.prices(found.balance_price, found.congestion)
    own = ActivePoint(found.x, prices, found.value, found.state[:, :columns])
    values = round_values(base, own)
    joined = _join_buses(layout, arrays, found)
    bound = _turnover_twice(layout, arrays, found) / TOLERANCE_MESHED
    refused: InvalidInput | InvalidProof = InvalidProof("nothing was tried")
    for first in range(min(MAX_ATTEMPTS, len(layout.storages))):
        moves = choose_watts(base, own, joined, values, bound, first)
        try:
            certificate = Certificate(
                tuple(
                    _round_hour(layout, arrays, found, hour, moves[:, hour], values[hour])
                    for hour in range(len(values))
                )
            )
            validate_certificate(layout, certificate)
        except (InvalidInput, InvalidProof) as error:
            refused = error
        else:
            return certificate
    raise no_proof(refused) from refused


def _join_buses(
    layout: DispatchLayout, arrays: MeshStorageArrays, found: MeshActivePoint
) -> PriceZones:
    """Return the zones that lines join which are not full: each has to balance by itself."""
    columns = arrays.base.lower.shape[1]
    number: Integers = np.empty((len(found.x), len(layout.places)), dtype=np.int64)
    count = 0
    for hour in range(len(number)):
        full = dict.fromkeys(arrays.rated[found.state[hour, columns:] != FREE].tolist())
        around: list[list[int]] = [[] for _ in layout.places]
        for line, row in enumerate(layout.lines):
            if line not in full:
                around[row.start].append(row.end)
                around[row.end].append(row.start)
        number[hour] = -1
        for root in range(len(around)):
            if number[hour, root] < 0:
                reached = [root]
                number[hour, root] = count
                for bus in reached:
                    for other in around[bus]:
                        if number[hour, other] < 0:
                            number[hour, other] = count
                            reached.append(other)
                count += 1
    return number, count


def _turnover_twice(
    layout: DispatchLayout, arrays: MeshStorageArrays, found: MeshActivePoint
) -> float:
    """Return twice the turnover of the units that have a choice, 1e-24 $/h."""
    return math.fsum(
        abs(power * (row.a * power + 2.0 * row.b))
        for rows, powers in zip(layout.units, found.x * arrays.base.scale.power_w, strict=True)
        for row, power in zip(rows, powers.tolist(), strict=False)
        if row.lo_w < row.hi_w
    )


def _round_hour(
    layout: DispatchLayout,
    arrays: MeshStorageArrays,
    found: MeshActivePoint,
    hour: int,
    moves: Integers,
    values: list[int],
) -> IntervalResult:
    """Return the integer result of one hour in which storages do (2, s) `moves`."""
    base = arrays.base
    units, lines, taken, given, _ = base.ends
    power_mw = base.scale.power_w / W_PER_MW
    price = base.scale.price * PRICE_UNIT
    x = found.x[hour]
    chooses = base.upper[hour, :units] > base.lower[hour, :units]
    injected = np.zeros(len(layout.places))
    np.add.at(injected, base.unit_zone, x[:units])
    net: Floats = x[taken:given] - x[lines:taken]
    np.add.at(injected, base.storage_zone, net)
    congestion = np.zeros(len(layout.lines))
    # A line of rating 0 is full either way.
    side = found.state[hour, base.lower.shape[1] :]
    side = np.where((arrays.limit == 0) & (found.congestion[hour] > 0), 1, side)
    cost = np.maximum(side * found.congestion[hour], LEAST) * price
    congestion[arrays.rated] = np.where(side == FREE, 0.0, side * cost)
    buses = arrays.prices(found.balance_price[hour : hour + 1], found.congestion[hour : hour + 1])
    dispatch = MeshedDispatch(
        power=x[:units][chooses] * power_mw,
        flow=arrays.factor @ injected * power_mw,
        price=buses[0] * price,
        congestion=congestion,
        at_limit=found.state[hour, :units][chooses] != FREE,
        steps=0,
    )
    rounded = [
        Rounded(row.bus, exact, int(gives - takes))
        for row, exact, takes, gives in zip(
            layout.storages, (net * base.scale.power_w).tolist(), *moves, strict=True
        )
    ]
    anchor = _anchor(layout, arrays, found, hour, values)
    result = quantise_meshed(layout, hour, dispatch, chooses, rounded, anchor)
    return replace(
        result,
        storages=tuple(
            StorageResult(int(takes), int(gives), value)
            for takes, gives, value in zip(*moves, values, strict=True)
        ),
    )


def _anchor(
    layout: DispatchLayout,
    arrays: MeshStorageArrays,
    found: MeshActivePoint,
    hour: int,
    values: list[int],
) -> tuple[int, int] | None:
    """Return a bus and the exact price that a linear bid or a storage sets there, if any does.

    Where nothing is turned over, the proof has no room for a price that rounding parts from it.
    """
    _, lines, taken, _, _ = arrays.base.ends
    free = found.state[hour] == FREE
    for row, is_free in zip(layout.units[hour], free.tolist(), strict=False):
        if is_free and not row.a:
            return row.bus, row.b
    for number, (bus, storage, *_) in enumerate(layout.storages):
        if free[taken + number]:
            return bus, storage.drawn_ppm * values[number] + storage.discharge_cost
        if free[lines + number]:
            return bus, storage.stored_ppm * values[number] - storage.charge_cost
    return None
