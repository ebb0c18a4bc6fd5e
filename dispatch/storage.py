"""Storages couple hours: the optimum over all hours of a radial problem, and its certificate.

An interior point over all hours finds which limits hold (`storage_interior`), their equations give
the exact optimum (`storage_active`), and these become integers: what storages do first
(`storage_watts`), then prices and values as they fit it (`storage_fit`, `storage_rounding`), then
the other units, which take over what that leaves (`quantise`).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from dispatch.arrays import Bids, Floats, Integers, RadialArrays, Tree, radial_arrays
from dispatch.quantise import round_powers
from dispatch.storage_active import (
    FREE,
    LOWER,
    UPPER,
    ActivePoint,
    join_zones,
    settle_active,
)
from dispatch.storage_arrays import StorageArrays, storage_arrays
from dispatch.storage_fit import fit_prices
from dispatch.storage_interior import solve_interior
from dispatch.storage_rounding import no_proof, round_prices, round_values
from dispatch.storage_watts import choose_watts, part_at_lines, takers
from market.dispatch_certificate import Certificate, IntervalResult, StorageResult
from market.dispatch_check import TOLERANCE_RADIAL, validate_certificate
from market.dispatch_layout import DispatchLayout
from vm.primitives.errors import InvalidProof

MAX_ATTEMPTS: Final = 9
INSIDE_W: Final = 1e-6
NEAR_FULL_W: Final = (1e-3, 3.0, 12.0)
"""How near to its rating a line counts as full, in one attempt and the next."""


def solve_with_storages(layout: DispatchLayout) -> Certificate:
    """Return the proved optimum of a sound radial problem with storages.

    Raises InvalidInput `no_solution`, `no_rounding`.
    """
    radial = radial_arrays(layout)
    arrays = storage_arrays(layout, radial)
    return quantise_storages(layout, radial, arrays, settle_active(arrays, solve_interior(arrays)))


def quantise_storages(
    layout: DispatchLayout, radial: RadialArrays, arrays: StorageArrays, found: ActivePoint
) -> Certificate:
    """Return the integer certificate of an optimum; raises InvalidInput `no_rounding`."""
    rows = layout.storages
    values = round_values(arrays, found)
    bound = _turnover_twice(layout, arrays, found) / TOLERANCE_RADIAL
    refused = InvalidProof("nothing was tried")
    tried: dict[tuple[bytes, int], bool] = {}
    for attempt in range(MAX_ATTEMPTS):
        parted = part_at_lines(arrays, found, NEAR_FULL_W[attempt % len(NEAR_FULL_W)])
        first = attempt // len(NEAR_FULL_W) % len(rows)
        if (parted.state.tobytes(), first) in tried:
            continue
        tried[parted.state.tobytes(), first] = True
        joined = join_zones(arrays, parted.state)
        moves = choose_watts(arrays, parted, joined, values, bound, first)
        fitted = fit_prices(arrays, found, moves)
        worth = round_values(arrays, fitted)
        prices = round_prices(
            rows, arrays, fitted, worth, lambda hour, unit: layout.units[hour][unit].b
        )
        powers = _round_units(radial, arrays, parted, moves, layout)
        certificate = Certificate(
            tuple(
                IntervalResult(
                    tuple(prices[hour][zone] for zone in arrays.bus_zone.tolist()),
                    tuple(powers[hour]),
                    storages=tuple(
                        StorageResult(int(taken), int(given), value)
                        for taken, given, value in zip(*moves[:, hour], worth[hour], strict=True)
                    ),
                )
                for hour in range(len(powers))
            )
        )
        try:
            validate_certificate(layout, certificate)
        except InvalidProof as error:
            refused = error
        else:
            return certificate
    raise no_proof(refused) from refused


def _turnover_twice(layout: DispatchLayout, arrays: StorageArrays, found: ActivePoint) -> float:
    """Return twice the turnover of the units that have a choice, 1e-24 $/h."""
    return math.fsum(
        abs(float(power) * (row.a * power + 2.0 * row.b))
        for rows, powers in zip(layout.units, found.x * arrays.scale.power_w, strict=True)
        for row, power in zip(rows, powers.tolist(), strict=False)
        if row.lo_w < row.hi_w
    )


def _round_units(
    radial: RadialArrays,
    arrays: StorageArrays,
    found: ActivePoint,
    moves: Integers,
    layout: DispatchLayout,
) -> list[list[int]]:
    """Return the whole watts of all units; storages count as units that cannot move."""
    units, lines = arrays.ends[:2]
    tree, power_w = radial.tree, arrays.scale.power_w
    buses = np.array([row.bus for row in layout.storages], dtype=np.int64)
    unit_bus = np.concatenate([radial.unit_bus, buses])
    order = np.argsort(unit_bus, kind="stable").astype(np.int64)
    first = np.zeros(len(tree.parent) + 1, dtype=np.int64)
    np.add.at(first, unit_bus + 1, 1)
    extended = Tree(tree.parent, tree.upward, tree.rating_w, np.cumsum(first), order)
    takes = takers(arrays, found, join_zones(arrays, found.state))
    result = []
    for hour in range(len(found.x)):
        bids = radial.interval_bids(hour)
        net = (moves[1, hour] - moves[0, hour]).astype(np.float64)
        none = np.zeros(len(buses))
        with_storages = Bids(
            np.concatenate([bids.a, none]),
            np.concatenate([bids.b, none]),
            np.concatenate([bids.lo_w, net]),
            np.concatenate([bids.hi_w, net]),
        )
        powers = np.concatenate([found.x[hour, :units] * power_w, net])
        at_limit = found.state[hour, :units]
        powers[:units] = np.where(at_limit == UPPER, bids.hi_w, powers[:units])
        powers[:units] = np.where(at_limit == LOWER, bids.lo_w, powers[:units])
        # Inside its limits, however little, a unit takes over what is missing.
        inside = np.clip(powers[:units], bids.lo_w + INSIDE_W, bids.hi_w - INSIDE_W)
        powers[:units] = np.where(takes[hour], inside, powers[:units])
        flow: Floats = np.zeros(len(tree.parent))
        state = found.state[hour, units:lines]
        rating = tree.rating_w[arrays.line_bus]
        flow[arrays.line_bus] = np.where(
            state == FREE, 0.0, np.where(state == UPPER, rating, -rating)
        )
        price = found.price[hour][arrays.bus_zone]
        rounded: Integers = np.empty(len(powers), dtype=np.int64)
        round_powers(extended, with_storages, price, powers, flow, rounded)
        result.append([int(power) for power in rounded[:units]])
    return result
