"""Storages in meshed networks: one certificate over all hours, held against a dense programme."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from dispatch.mesh_storage_arrays import transfer_factors
from dispatch.solve import DIRECT, solve
from dispatch.storage_plain import solve_storages_plain
from market.dispatch_certificate import Certificate
from market.dispatch_check import validate_certificate, verify_certificate
from market.dispatch_findings import check_problem
from market.dispatch_layout import lay_out
from market.dispatch_problem import LOAD, Bid, DispatchProblem, Unit
from tests.dispatch.test_meshed import case_of, homes, random_mesh
from tests.dispatch.test_storage import battery, cost_of
from vm.primitives.errors import InvalidInput, InvalidProof

SEEDS_OF_HOMES = (27, 32, 37, 62, 139, *range(8))
LOSSLESS = {"stored_ppm": 10**6, "drawn_ppm": 10**6}


def day_of(name: str, batteries: int, hours: int = 24) -> DispatchProblem:
    """A case's network over a day in which its loads vary, with batteries here and there."""
    drawn = random.Random(f"{name} {batteries}")
    one = case_of(name)

    def bid_at(unit: Unit) -> Bid:
        bid, part = unit.bids[0], drawn.randrange(70, 100)
        if unit.kind != LOAD:
            return bid
        return replace(bid, lo_w=bid.lo_w * part // 100, hi_w=bid.hi_w * part // 100)

    units = tuple(
        replace(unit, bids=tuple(bid_at(unit) for _ in range(hours))) for unit in one.units
    )
    largest = max(-unit.bids[0].lo_w for unit in units if unit.kind == LOAD)
    storages = []
    for number in range(batteries):
        power_w = largest * drawn.randrange(10, 50) // 100
        energy = power_w * 1_000 * drawn.randrange(1, 5)
        bus = drawn.choice(one.network.buses).name
        other = LOSSLESS if number % 2 else {"charge_cost": 10**17}
        storages.append(battery(bus, power_w, energy, f"battery{number}", **other))
    return replace(one, intervals=hours, units=units, storages=tuple(storages))


def random_mesh_day(seed: int) -> DispatchProblem:
    """Some hours of a random mesh, with ties, must-serve loads and batteries; some infeasible."""
    drawn = random.Random(seed)
    one, hours = random_mesh(seed), drawn.choice([2, 3, 4])
    is_served = drawn.random() < 0.8
    units = []
    for unit in one.units:
        bid = unit.bids[0]
        if unit.name.startswith("R"):
            units += [replace(unit, bids=(bid,) * hours)] if is_served else []
            continue
        bids = []
        for _ in range(hours):
            part, price = (
                drawn.choice([50, 100]),
                drawn.choice([bid.b, drawn.randrange(1, 9) * 10**19]),
            )
            lo_w, hi_w = bid.lo_w * part // 100, bid.hi_w * part // 100
            if unit.kind == LOAD and drawn.random() < 0.3:
                hi_w = lo_w
            bids.append(Bid(bid.a, price, lo_w, hi_w))
        units.append(replace(unit, bids=tuple(bids)))
    storages = []
    for number in range(drawn.randrange(1, 5)):
        power_w = drawn.randrange(10, 400) * 10**6
        other = drawn.choice([{}, LOSSLESS, {"energy_start_milli_wh": 0}])
        bus = drawn.choice(one.network.buses).name
        energy = power_w * 1_000 * drawn.randrange(1, 5)
        storages.append(battery(bus, power_w, energy, f"battery{number}", **other))
    return replace(one, intervals=hours, units=tuple(units), storages=tuple(storages))


@pytest.mark.parametrize(("name", "batteries"), [("case9", 2), ("case9", 6), ("case30", 6)])
def test_a_day_of_a_published_case_is_one_proof(name: str, batteries: int) -> None:
    problem = day_of(name, batteries)
    assert check_problem(problem) == ()
    found = solve(problem)
    assert found.method == DIRECT
    (bound,) = validate_certificate(lay_out(problem), found.certificate)
    assert (bound.gap_twice - bound.granularity_twice) * 10**9 <= bound.turnover_twice
    alone = solve(replace(problem, storages=())).certificate
    with_them = cost_of(problem, [one.powers_w for one in found.certificate.intervals])
    assert with_them < cost_of(problem, [one.powers_w for one in alone.intervals])


# In the last two passing watts on must leave room for the voltage law.
@pytest.mark.parametrize("seed", (*range(16), 90, 152))
def test_it_finds_what_a_dense_programme_finds(seed: int) -> None:
    problem = random_mesh_day(seed)
    layout = lay_out(problem)
    assert check_problem(problem) == ()
    try:
        powers, _ = solve_storages_plain(layout)
    except InvalidInput as refused:
        assert refused.code == "no_solution"
        with pytest.raises(InvalidInput) as caught:
            solve(problem)
        assert caught.value.code == "no_solution"
        return
    certificate = solve(problem).certificate
    validate_certificate(layout, certificate)
    own = cost_of(problem, [one.powers_w for one in certificate.intervals])
    theirs = cost_of(problem, [tuple(row) for row in powers.tolist()])
    assert own == pytest.approx(theirs, rel=1e-6)


def homes_day(seed: int) -> DispatchProblem:
    """Hours of a ring of homes, of kilowatts, with batteries; in some nobody buys."""
    drawn = random.Random(seed)
    one, hours = homes(seed), drawn.choice([4, 8, 24])
    size_w = max([abs(unit.bids[0].lo_w) + unit.bids[0].hi_w for unit in one.units] or [1_000])
    units = []
    for unit in one.units:
        bid, bids = unit.bids[0], []
        for _ in range(hours):
            part, price = drawn.random(), bid.b * drawn.randrange(5, 15) // 10
            lo_w, hi_w = int(bid.lo_w * part), int(bid.hi_w * part)
            bids.append(replace(bid, b=price, lo_w=lo_w, hi_w=hi_w))
        units.append(replace(unit, bids=tuple(bids)))
    kinds: list[dict[str, int]] = [{}, LOSSLESS, {"energy_end_min_milli_wh": 0}]
    storages = []
    for number in range(drawn.randrange(1, 5)):
        bus = drawn.choice(one.network.buses).name
        power_w, energy = size_w * drawn.randrange(2, 10) // 10, size_w * drawn.randrange(1, 4)
        kind = drawn.choice(kinds)
        storages.append(battery(bus, power_w, energy * 1_000, f"battery{number}", **kind))
    return replace(one, intervals=hours, units=tuple(units), storages=tuple(storages))


# Lines that are full at no price, either way; hours in which nothing is turned over.
@pytest.mark.parametrize("seed", SEEDS_OF_HOMES)
def test_days_of_homes_in_a_mesh_are_proved(seed: int) -> None:
    problem = homes_day(seed)
    assert check_problem(problem) == ()
    validate_certificate(lay_out(problem), solve(problem).certificate)


def test_the_drawings_hold_days_that_cannot_be_served() -> None:
    codes = []
    for seed in range(16):
        try:
            solve(random_mesh_day(seed))
        except InvalidInput as refused:
            codes.append(refused.code)
    assert len(codes) >= 2 and set(codes) == {"no_solution"}


def test_a_full_line_that_a_battery_relieves() -> None:
    problem = day_of("case9", 2, 6)
    layout = lay_out(problem)
    flows = [
        abs(flow) for one in solve(problem).certificate.intervals for flow in (one.flows_w[0],)
    ]
    lines = list(problem.network.lines)
    lines[0] = replace(lines[0], rating_w=max(flows) * 9 // 10)
    narrow = replace(problem, network=replace(problem.network, lines=tuple(lines)))
    certificate = solve(narrow).certificate
    validate_certificate(lay_out(narrow), certificate)
    assert any(abs(one.flows_w[0]) == lines[0].rating_w for one in certificate.intervals)
    assert not verify_certificate(layout, Certificate(certificate.intervals[::-1]))


def test_a_line_of_rating_zero_carries_nothing() -> None:
    problem = day_of("case9", 2, 3)
    lines = list(problem.network.lines)
    lines[4] = replace(lines[4], rating_w=0)
    closed = replace(problem, network=replace(problem.network, lines=tuple(lines)))
    certificate = solve(closed).certificate
    validate_certificate(lay_out(closed), certificate)
    assert [one.flows_w[4] for one in certificate.intervals] == [0, 0, 0]


def test_what_cannot_be_served_is_said() -> None:
    problem = day_of("case9", 2, 3)
    units = tuple(
        replace(
            unit,
            bids=tuple(replace(bid, lo_w=5 * bid.lo_w, hi_w=5 * bid.lo_w) for bid in unit.bids),
        )
        if unit.kind == LOAD
        else unit
        for unit in problem.units
    )
    with pytest.raises(InvalidInput) as caught:
        solve(replace(problem, units=units))
    assert caught.value.code == "no_solution"


def test_a_watt_more_or_less_is_refused() -> None:
    problem = day_of("case9", 2, 3)
    layout, certificate = lay_out(problem), solve(problem).certificate
    assert verify_certificate(layout, certificate)
    for hour, one in enumerate(certificate.intervals):
        for place, storage in enumerate(one.storages):
            for changed in (
                replace(storage, charge_w=storage.charge_w + 1),
                replace(storage, discharge_w=storage.discharge_w + 1),
                replace(storage, store_price=storage.store_price * 1_001 // 1_000),
            ):
                storages = list(one.storages)
                storages[place] = changed
                intervals = list(certificate.intervals)
                intervals[hour] = replace(one, storages=tuple(storages))
                with pytest.raises(InvalidProof) as caught:
                    validate_certificate(layout, Certificate(tuple(intervals)))
                assert caught.value.code in {"unbalanced", "storage_limit", "store_level", "gap"}


@pytest.mark.parametrize("name", ["case5", "case30"])
def test_flows_by_factors_obey_the_voltage_law(name: str) -> None:
    layout = lay_out(case_of(name))
    factor = transfer_factors(layout)
    reactance = np.array([float(line.reactance_nano_ohm) for line in layout.lines])
    for cycle in layout.cycles:
        drop = sum(direction * reactance[line] * factor[line] for line, direction in cycle)
        assert np.abs(drop).max() < 1e-9 * reactance.max()
    for bus in range(len(layout.places)):
        away = np.zeros(len(layout.places))
        for line, row in enumerate(layout.lines):
            away[row.start] += factor[line, bus]
            away[row.end] -= factor[line, bus]
        away[bus] -= 1.0
        away[layout.root] += 1.0
        assert np.abs(away).max() < 1e-9
