"""Whole watts of storages, and the prices that fit them, against everything that could be tried."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import pytest

from dispatch.arrays import Floats, radial_arrays
from dispatch.storage_active import FREE, ActivePoint, PriceZones, join_zones, settle_active
from dispatch.storage_arrays import StorageArrays, storage_arrays
from dispatch.storage_fit import fit_prices
from dispatch.storage_interior import solve_interior
from dispatch.storage_rounding import round_values
from dispatch.storage_watts import choose_watts
from market.dispatch_check import TOLERANCE_RADIAL
from market.dispatch_layout import lay_out
from market.dispatch_problem import DispatchProblem
from tests.dispatch.storage_reference import Fitting, Rounding
from tests.dispatch.support import random_problem
from tests.dispatch.test_storage import battery

SEEDS = range(16)


@dataclass(frozen=True, slots=True)
class Optimum:
    """The optimum of a problem before it becomes whole watts."""

    arrays: StorageArrays
    found: ActivePoint
    joined: PriceZones
    values: list[list[int]]
    bound: float


def small_day(seed: int) -> DispatchProblem:
    """Two or three hours at three buses, with one or two batteries: few enough ways to try all."""
    drawn = random.Random(seed)
    storages = tuple(
        battery(
            f"N{drawn.randrange(3)}",
            drawn.choice([500, 2_000, 9_999]),
            drawn.choice([10**5, 10**6, 10**7]),
            f"battery{number}",
            stored_ppm=drawn.choice([10**6, 900_001]),
            drawn_ppm=drawn.choice([10**6, 1_100_003]),
        )
        for number in range(drawn.choice([1, 2]))
    )
    return replace(random_problem(seed, 3, drawn.choice([2, 3])), storages=storages)


def optimum_of(seed: int) -> Optimum:
    layout = lay_out(small_day(seed))
    arrays = storage_arrays(layout, radial_arrays(layout))
    found = settle_active(arrays, solve_interior(arrays))
    turnover_twice = sum(
        abs(float(power) * (row.a * float(power) + 2.0 * row.b))
        for rows, powers in zip(layout.units, found.x * arrays.scale.power_w, strict=True)
        for row, power in zip(rows, powers, strict=False)
        if row.lo_w < row.hi_w
    )
    return Optimum(
        arrays,
        found,
        join_zones(arrays, found.state),
        round_values(arrays, found),
        turnover_twice / TOLERANCE_RADIAL,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_no_other_whole_watts_cost_less(seed: int) -> None:
    one = optimum_of(seed)
    chosen = choose_watts(one.arrays, one.found, one.joined, one.values, one.bound, 0)
    rounding = Rounding(one.arrays, one.found, one.joined, one.values, one.bound)
    cost = rounding.cost(chosen)
    assert cost <= min(map(rounding.cost, rounding.choices())) * (1 + 1e-6) + 1e-6


def test_what_may_not_be_costs_too_much() -> None:
    """So that the twin tells one from another: a watt off in a zone of storages, a level passed."""
    told = set()
    for seed in SEEDS[:12]:
        one = optimum_of(seed)
        rounding = Rounding(one.arrays, one.found, one.joined, one.values, one.bound)
        costs = [rounding.cost(each) for each in rounding.choices()]
        told.add((float("inf") in costs, any(0 < cost < 1 for cost in costs)))
    assert {each[0] for each in told} == {each[1] for each in told} == {True, False}


def moved_by(one: Optimum, fitted: ActivePoint) -> Floats:
    """Return how the price of each zone and each value moved, as `Fitting` numbers them."""
    number, count = one.joined
    move = np.zeros(count)
    move[number] = fitted.price - one.found.price
    return np.concatenate([move, (fitted.value - one.found.value).ravel()])


@pytest.mark.parametrize("seed", SEEDS)
def test_no_other_prices_fit_better(seed: int) -> None:
    one = optimum_of(seed)
    drawn = random.Random(seed)
    watts = choose_watts(one.arrays, one.found, one.joined, one.values, one.bound, 0)
    _, lines, taken, given, _ = one.arrays.ends
    for side, columns in enumerate((slice(lines, taken), slice(taken, given))):
        free = one.found.state[:, columns] == FREE
        watts[side] += (
            np.array([drawn.randrange(-4, 5) for _ in range(free.size)]).reshape(free.shape) * free
        )
    move = moved_by(one, fit_prices(one.arrays, one.found, watts))
    fitting = Fitting(one.arrays, one.found, one.joined, watts)
    assert np.abs(fitting.matrix @ move).max(initial=0.0) < 1e-9, "it is an optimum still"
    cost = fitting.cost(move, 1e-5)
    assert cost <= fitting.cost(np.zeros(len(move)))
    for direction in fitting.directions():
        for length in fitting.lengths(move, direction):
            assert fitting.cost(move + length * direction) >= cost * (1 - 1e-6)


def test_the_drawings_move_prices() -> None:
    moved = 0
    for seed in SEEDS:
        one = optimum_of(seed)
        watts = choose_watts(one.arrays, one.found, one.joined, one.values, one.bound, 0)
        _, lines, taken, given, _ = one.arrays.ends
        watts[0] += 3 * (one.found.state[:, lines:taken] == FREE)
        watts[1] += 3 * (one.found.state[:, taken:given] == FREE)
        fitted = fit_prices(one.arrays, one.found, watts)
        moved += bool(np.abs(moved_by(one, fitted)).max() > 0)
    assert moved >= 4
