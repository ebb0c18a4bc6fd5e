"""Storages: one certificate over all hours, held against a dense programme and by its proof."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from dispatch.solve import DIRECT, solve
from dispatch.storage_plain import solve_storages_plain
from dispatch.tree_bus import meeting_bus, solve_exactly
from market.dispatch_certificate import Certificate
from market.dispatch_check import validate_certificate, verify_certificate
from market.dispatch_layout import lay_out
from market.dispatch_problem import (
    GENERATOR,
    LOAD,
    Bid,
    DispatchProblem,
    Storage,
    Unit,
)
from market.network import Bus, Line, Network
from tests.dispatch.support import feeder, random_problem
from tests.dispatch.test_meshed import case_of
from vm.primitives.errors import InvalidInput

PRICE = 10**18


def battery(
    bus: str, power_w: int, energy_milli_wh: int, name: str = "battery", **other: int
) -> Storage:
    """A battery with losses both ways that begins and ends half full."""
    numbers = {
        "charge_max_w": power_w,
        "discharge_max_w": power_w,
        "charge_cost": 0,
        "discharge_cost": 0,
        "stored_ppm": 950_000,
        "drawn_ppm": 1_050_000,
        "energy_min_milli_wh": 0,
        "energy_max_milli_wh": energy_milli_wh,
        "energy_start_milli_wh": energy_milli_wh // 2,
        "energy_end_min_milli_wh": energy_milli_wh // 2,
    }
    return Storage(name, bus, **(numbers | other))


def cost_of(problem: DispatchProblem, powers: list[tuple[float, ...]]) -> float:
    """Cost minus utility of the units over all hours, 1e-24 $/h."""
    return sum(
        (0.5 * unit.bids[hour].a * power + unit.bids[hour].b) * power
        for hour, row in enumerate(powers)
        for unit, power in zip(problem.units, row, strict=True)
    )


@pytest.mark.parametrize("limits", ["normal", "congested"])
def test_two_batteries_over_the_feeders_day_are_one_proof(limits: str) -> None:
    problem = replace(
        feeder(limits),
        storages=(
            battery("671", 200_000, 800_000_000, "east"),
            battery("680", 100_000, 300_000_000, "south", stored_ppm=10**6, drawn_ppm=10**6),
        ),
    )
    found = solve(problem)
    assert found.method == DIRECT
    layout = lay_out(problem)
    (bound,) = validate_certificate(layout, found.certificate)
    assert (bound.gap_twice - bound.granularity_twice) * 10**12 <= bound.turnover_twice
    alone = solve(replace(problem, storages=())).certificate
    with_them = [one.powers_w for one in found.certificate.intervals]
    without = [one.powers_w for one in alone.intervals]
    assert cost_of(problem, with_them) < cost_of(problem, without)


def random_day(seed: int) -> DispatchProblem:
    """Six hours with one to three batteries among linear and quadratic bids and full lines."""
    drawn = random.Random(seed)
    storages = tuple(
        battery(
            f"N{drawn.randrange(6)}",
            drawn.choice([500, 20_000, 99_999]),
            drawn.choice([10**5, 10**7, 7 * 10**8]),
            f"battery{number}",
            stored_ppm=drawn.choice([10**6, 900_001]),
            drawn_ppm=drawn.choice([10**6, 1_100_003]),
            discharge_cost=drawn.choice([0, 10**17]),
        )
        for number in range(drawn.choice([1, 1, 2, 3]))
    )
    return replace(random_problem(seed, 6, 6), storages=storages)


@pytest.mark.parametrize("seed", range(9))
def test_it_finds_what_a_dense_programme_finds(seed: int) -> None:
    problem = random_day(seed)
    layout = lay_out(problem)
    certificate = solve(problem).certificate
    assert verify_certificate(layout, certificate)
    powers, net_w = solve_storages_plain(layout)
    rows = [tuple(row) for row in powers.tolist()]
    wear = sum(
        max(float(net_w[hour, number]), 0.0) * storage.discharge_cost
        for hour in range(problem.intervals)
        for number, storage in enumerate(problem.storages)
    )
    own = cost_of(problem, [one.powers_w for one in certificate.intervals]) + sum(
        one.storages[number].discharge_w * storage.discharge_cost
        for one in certificate.intervals
        for number, storage in enumerate(problem.storages)
    )
    # What a watt left in each store, over an hour, is worth at the dearest price.
    watt = 20 * PRICE * len(problem.storages) * problem.intervals
    assert own == pytest.approx(cost_of(problem, rows) + wear, rel=1e-6, abs=watt)


def one_bus(*prices: int) -> DispatchProblem:
    """A price zone: a plant with a price for each hour, and a load of 100 W."""
    plant = Unit("plant", "A", GENERATOR, tuple(Bid(0, p * PRICE, 0, 1_000) for p in prices))
    load = Unit("load", "A", LOAD, (Bid(0, 99 * PRICE, -100, -100),) * len(prices))
    return DispatchProblem(Network("A", (Bus("A"),), ()), 60, len(prices), (plant, load))


def test_it_buys_low_and_sells_high_within_its_bounds() -> None:
    empty = {"energy_start_milli_wh": 0, "energy_end_min_milli_wh": 0}
    lossless = {"stored_ppm": 10**6, "drawn_ppm": 10**6}
    problem = replace(
        one_bus(5, 1, 1, 9, 2, 8), storages=(battery("A", 50, 60_000, **empty, **lossless),)
    )
    intervals = solve(problem).certificate.intervals
    moved = [one.storages[0].discharge_w - one.storages[0].charge_w for one in intervals]
    assert sum(moved[1:3]) == -60
    assert moved == [0, moved[1], moved[2], 50, -40, 50]
    value = [one.storages[0].store_price for one in intervals]
    assert value[1] == value[2] < value[3], "one value until it is full"


@pytest.mark.parametrize("solver", [lambda problem: solve(problem).certificate, solve_exactly])
@pytest.mark.parametrize(
    ("sun", "idle"), [((1_500, 500), False), ((1_500, 500), True), ((1_000, 1_000), False)]
)
def test_a_battery_alone_evens_out_what_is_fixed(
    solver: Callable[[DispatchProblem], Certificate], sun: tuple[int, int], idle: bool
) -> None:
    """Nothing is turned over at the margin, so that no watt off may count as cheap."""
    roof = Unit("roof", "A", GENERATOR, tuple(Bid(0, 0, watts, watts) for watts in sun))
    load = Unit("load", "A", LOAD, (Bid(0, 99 * PRICE, -1_000, -1_000),) * 2)
    spare = Unit("spare", "A", GENERATOR, (Bid(0, 5 * PRICE, 0, 1_000),) * 2)
    units = (roof, load, spare) if idle else (roof, load)
    lossless = {"stored_ppm": 10**6, "drawn_ppm": 10**6}
    storage = battery("A", 600, 10**6, **lossless)
    problem = DispatchProblem(Network("A", (Bus("A"),), ()), 60, 2, units, (storage,))
    intervals = solver(problem).intervals
    assert [one.storages[0].charge_w - one.storages[0].discharge_w for one in intervals] == [
        watts - 1_000 for watts in sun
    ]


def test_what_cannot_be_served_is_said() -> None:
    short = Unit("load", "A", LOAD, (Bid(0, 99 * PRICE, -2_000, -2_000),) * 2)
    problem = one_bus(1, 2)
    problem = replace(
        problem, units=(problem.units[0], short), storages=(battery("A", 50, 60_000),)
    )
    with pytest.raises(InvalidInput) as caught:
        solve(problem)
    assert caught.value.code == "no_solution"


def test_methods_that_know_no_storages_say_so() -> None:
    problem = replace(one_bus(1, 2), storages=(battery("A", 50, 60_000),))
    for method in ("admm", "consensus", "innovations"):
        with pytest.raises(InvalidInput) as caught:
            solve(problem, method)
        assert caught.value.code == "unsuitable_method"


def test_a_storage_behind_a_full_line_serves_its_own_bus() -> None:
    network = Network("A", (Bus("A"), Bus("B")), (Line("A-B", "A", "B", 80, 1_000, ""),))
    load = Unit("load", "B", LOAD, tuple(Bid(0, 99 * PRICE, -w, -w) for w in (40, 100, 61)))
    plant = Unit("plant", "A", GENERATOR, tuple(Bid(0, p * PRICE, 0, 1_000) for p in (5, 4, 4)))
    storage = battery(
        "B",
        50,
        60_000,
        stored_ppm=10**6,
        drawn_ppm=10**6,
        energy_start_milli_wh=0,
        energy_end_min_milli_wh=0,
    )
    problem = DispatchProblem(network, 60, 3, (plant, load), (storage,))
    intervals = solve(problem).certificate.intervals
    assert intervals[1].storages[0].discharge_w == 20
    assert intervals[0].storages[0].charge_w == 20
    assert intervals[1].prices == (4 * PRICE, 5 * PRICE)


@pytest.mark.parametrize("bus", ["650", "671"])
def test_buses_among_themselves_find_the_day_with_storages(bus: str) -> None:
    """Whatever way of rounding it takes, what comes out is proved."""
    problem = replace(
        feeder("congested"),
        storages=(
            battery(bus, 200_000, 800_000_000, "east"),
            battery(bus, 100_000, 300_000_000, "south", stored_ppm=10**6, drawn_ppm=10**6),
        ),
    )
    assert meeting_bus(problem) == bus
    layout = lay_out(problem)
    (bound,) = validate_certificate(layout, solve_exactly(problem))
    (wanted,) = validate_certificate(layout, solve(problem).certificate)
    assert bound.turnover_twice == pytest.approx(wanted.turnover_twice, rel=1e-6)


def test_random_days_of_one_place_are_proved_or_said_to_be_too_fine() -> None:
    proved = 0
    for seed in range(24):
        problem = random_day(seed)
        storages = tuple(replace(each, bus="N2") for each in problem.storages)
        problem = replace(problem, storages=storages)
        try:
            assert verify_certificate(lay_out(problem), solve_exactly(problem))
        except InvalidInput as error:
            assert error.code == "no_rounding"
        else:
            proved += 1
    assert proved >= 22


@pytest.mark.parametrize("seed", [9, 35, 41, 75, 195, 199, 204, 299])
def test_whole_watts_are_found_where_they_need_foresight(seed: int) -> None:
    """Zones of storages alone, and small units that have to take over more than a watt."""
    problem = random_day(seed)
    assert verify_certificate(lay_out(problem), solve(problem).certificate)


def low_voltage_day(batteries: int, hours: int, seed: int) -> DispatchProblem:
    """The European feeder over some hours whose prices and demand come and go."""
    case = case_of("european_lv")
    drawn = random.Random(seed)
    units = []
    for unit in case.units:
        (bid,), phase = unit.bids, drawn.uniform(0.7, 1.3)
        later = 0 if unit.kind == GENERATOR else 1
        bids = []
        for hour in range(hours):
            size = 1 + 0.4 * math.sin(hour / 24 * 6.28 + phase)
            cost = int(bid.b * (1 + 0.3 * math.sin(hour / 4 + later)))
            bids.append(Bid(bid.a, cost, int(bid.lo_w * size), int(bid.hi_w * size)))
        units.append(replace(unit, bids=tuple(bids)))
    storages = tuple(
        battery(drawn.choice(case.network.buses).name, 5_000, 10**7, f"battery{number}")
        for number in range(batteries)
    )
    return replace(case, units=tuple(units), intervals=hours, storages=storages)


@pytest.mark.parametrize(("batteries", "seed"), [(20, 1), (40, 3)])
def test_a_low_voltage_feeder_full_of_batteries_is_proved(batteries: int, seed: int) -> None:
    """907 buses, 1,000 bids, and a line that is full but for a few watts."""
    problem = low_voltage_day(batteries, 4, seed)
    certificate = solve(problem).certificate
    assert verify_certificate(lay_out(problem), certificate)
    assert any(one.charge_w for row in certificate.intervals for one in row.storages)
