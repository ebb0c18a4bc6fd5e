"""Meshed networks against pandapower's optimum, a large feeder against a linear programme."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dispatch.admm_mesh import solve_admm_mesh
from dispatch.admm_mesh_plain import solve_admm_mesh_plain
from dispatch.meshed import read_interval, solve_meshed_interval
from dispatch.solve import DIRECT, TREE, solve, solve_radial
from market.dispatch_certificate import Certificate, IntervalResult
from market.dispatch_check import validate_certificate, verify_certificate
from market.dispatch_findings import check_problem
from market.dispatch_layout import DispatchLayout, lay_out
from market.dispatch_problem import GENERATOR, LOAD, Bid, DispatchProblem, Unit
from market.network import Bus, Line, Network
from tools.cases.catalog import load_case
from vm.primitives.errors import InvalidInput, InvalidProof

CASES = Path(__file__).with_name("cases")
MESHED = ("case5", "case9", "case30", "case118")
PRICE_PER_MWH = 1e-18


@cache
def case_of(name: str) -> DispatchProblem:
    return load_case(str(CASES / f"{name}.json")).problem


@cache
def expected() -> dict:
    return json.loads((CASES / "expected.json").read_text("utf-8"))


@cache
def solved(name: str) -> IntervalResult:
    return solve(case_of(name)).certificate.intervals[0]


@pytest.mark.parametrize("name", MESHED)
def test_prices_and_cost_are_pandapowers(name: str) -> None:
    problem, result = case_of(name), solved(name)
    for bus, price in zip(problem.network.buses, result.prices, strict=True):
        wanted = expected()[name]["lam_p"][bus.name]
        assert price * PRICE_PER_MWH == pytest.approx(wanted, rel=1e-6, abs=1e-6), bus.name
    cost = sum(
        power * (unit.bids[0].a * power + 2 * unit.bids[0].b)
        for unit, power in zip(problem.units, result.powers_w, strict=True)
    )
    assert cost / 2e24 == pytest.approx(expected()[name]["cost_per_h"], rel=1e-6)


@pytest.mark.parametrize("name", MESHED)
def test_they_are_certified_to_a_billionth(name: str) -> None:
    layout = lay_out(case_of(name))
    (bound,) = validate_certificate(layout, Certificate((solved(name),)))
    assert bound.gap_twice * 10**9 <= bound.turnover_twice


def test_the_meshed_method_refuses_what_it_cannot_solve() -> None:
    problem = case_of("case9")
    needy = replace(problem.units[0], bids=(Bid(0, 0, -(10**10), -(10**10)),))
    with pytest.raises(InvalidInput) as refusal:
        solve(replace(problem, units=(needy, *problem.units[1:])))
    assert refusal.value.code == "no_solution"
    for method in ("consensus", "innovations"):
        with pytest.raises(InvalidInput, match="cannot solve"):
            solve(problem, method)


@pytest.mark.parametrize(("name", "most"), [("case5", 600), ("case9", 80), ("case30", 300)])
def test_neighbours_agree_on_the_same_and_it_is_certified(name: str, most: int) -> None:
    """case118 takes some 1,200 rounds and half a second, once compiled."""
    solution = solve(case_of(name), "admm")
    assert solution.residuals == (None,)
    assert 10 < solution.rounds[0] <= most
    layout = lay_out(case_of(name))
    (bound,) = validate_certificate(layout, solution.certificate)
    assert bound.gap_twice * 10**9 <= bound.turnover_twice
    (result,) = solution.certificate.intervals
    for price, wanted in zip(result.prices, solved(name).prices, strict=True):
        assert price == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("rounds", [1, 2, 35])
@pytest.mark.parametrize("name", ["case5", "case9"])
def test_what_neighbours_do_is_what_their_plain_twin_does(name: str, rounds: int) -> None:
    layout = lay_out(case_of(name))
    (fast,) = solve_admm_mesh(layout, 0.0, rounds)
    flows, prices = solve_admm_mesh_plain(layout, rounds)
    np.testing.assert_allclose(fast.price, prices, rtol=1e-6, atol=1e12)
    np.testing.assert_allclose(fast.flow_w, flows, rtol=1e-6, atol=1.0)


def test_an_hour_like_the_one_before_takes_fewer_rounds() -> None:
    problem = case_of("case9")
    units = tuple(
        replace(
            unit, bids=(unit.bids[0], replace(unit.bids[0], lo_w=unit.bids[0].lo_w * 99 // 100))
        )
        if unit.kind == LOAD and unit.bids[0].lo_w < unit.bids[0].hi_w
        else replace(unit, bids=unit.bids * 2)
        for unit in problem.units
    )
    first, second = solve_admm_mesh(lay_out(replace(problem, units=units, intervals=2)))
    assert second.rounds < first.rounds // 2


def random_mesh(seed: int) -> DispatchProblem:
    """A ring of some buses with chords; some lines narrow, dear last resorts at every bus."""
    drawn = random.Random(seed)
    count = drawn.randrange(4, 14)
    buses = tuple(Bus(f"N{number}") for number in range(count))
    pairs = [(number, (number + 1) % count) for number in range(count)]
    pairs += [tuple(drawn.sample(range(count), 2)) for _ in range(drawn.randrange(1, 6))]  # type: ignore[misc]
    lines = tuple(
        Line(
            f"L{place}",
            f"N{start}",
            f"N{end}",
            drawn.randrange(100, 1_200) * 10**6 if drawn.random() < 0.5 else None,
            drawn.randrange(10**5, 10**7),
            "",
        )
        for place, (start, end) in enumerate(pairs)
    )
    units = []
    for number in range(3 * count):
        slope = drawn.choice([0, drawn.randrange(10**9, 10**10)])
        price = drawn.randrange(10**19, 9 * 10**19)
        size = drawn.randrange(20, 1_000) * 10**6
        sells = drawn.random() < 0.5
        bid = Bid(slope, price, 0 if sells else -size, size if sells else 0)
        kind = GENERATOR if sells else LOAD
        units.append(Unit(f"U{number}", f"N{drawn.randrange(count)}", kind, (bid,)))
    for number in range(count):
        resort = Bid(drawn.randrange(10**8, 10**9), 2 * 10**20, 0, 2 * 10**10)
        units.append(Unit(f"R{number}", f"N{number}", GENERATOR, (resort,)))
    return DispatchProblem(Network("N0", buses, lines), 60, 1, tuple(units))


@pytest.mark.parametrize("seed", range(60))
def test_random_meshes_are_certified(seed: int) -> None:
    problem = random_mesh(seed)
    assert check_problem(problem) == ()
    solution = solve(problem)
    assert solution.method == DIRECT
    validate_certificate(lay_out(problem), solution.certificate)


def refusal_of(layout: DispatchLayout, result: IntervalResult) -> str:
    with pytest.raises(InvalidProof) as refusal:
        validate_certificate(layout, Certificate((result,)))
    assert not verify_certificate(layout, Certificate((result,)))
    return refusal.value.code


def test_what_was_altered_is_refused() -> None:
    layout, result = lay_out(case_of("case5")), solved("case5")
    for bus in range(len(result.prices)):
        prices = list(result.prices)
        prices[bus] += prices[bus] // 10**5
        assert refusal_of(layout, replace(result, prices=tuple(prices))) == "gap", bus
    for line in range(len(result.flows_w)):
        flows = list(result.flows_w)
        flows[line] += 1
        code = refusal_of(layout, replace(result, flows_w=tuple(flows)))
        assert code in ("unbalanced", "line_limit"), line
    around = list(result.flows_w)
    for line, direction in layout.cycles[0]:
        around[line] -= 1_000 * direction
    assert refusal_of(layout, replace(result, flows_w=tuple(around))) in (
        "voltage_law",
        "line_limit",
    )
    uniform = replace(
        result,
        prices=(result.prices[0],) * len(result.prices),
        cycle_prices=(0,) * len(result.cycle_prices),
    )
    assert refusal_of(layout, uniform) == "gap"


def test_the_low_voltage_feeder_equals_a_linear_programme() -> None:
    problem = case_of("european_lv")
    assert len(problem.network.buses) > 900
    assert len(problem.units) == 1_001
    solve_radial(problem)  # compiles
    begun_s = time.process_time()
    solution = solve_radial(problem)
    took_s = time.process_time() - begun_s
    assert solution.method == TREE
    assert verify_certificate(lay_out(problem), solution.certificate)
    wanted = expected()["european_lv"]["prices"]
    for found, price in zip(solution.certificate.intervals[0].prices, wanted, strict=True):
        assert found == pytest.approx(price, rel=1e-6)
    assert took_s < 1.0, "the target is 0.1 s on a quiet machine"


def homes(seed: int) -> DispatchProblem:
    """A ring of homes with some lines across, of kilowatts; doing nothing is possible in it."""
    drawn = random.Random(seed)
    size_w = drawn.choice((1_000, 5_000, 50_000))
    slope = 10**20 // size_w
    names = [chr(ord("A") + place) for place in range(drawn.randint(3, 8))]
    ends = {(place, (place + 1) % len(names)) for place in range(len(names))}
    for _ in range(drawn.randint(0, 3)):
        start, end = drawn.sample(range(len(names)), 2)
        if (end, start) not in ends:
            ends.add((start, end))
    lines = tuple(
        Line(
            f"{names[start]}-{names[end]}",
            names[start],
            names[end],
            drawn.choice((None, None, drawn.randint(2, 9) * size_w // 10)),
            drawn.randint(20, 400) * 10**6,
            "",
        )
        for start, end in sorted(ends)
    )
    units = []
    for name in names:
        a = drawn.choice((0, drawn.randint(1, 50) * slope))
        if drawn.random() < 0.6:
            bid = Bid(a, drawn.randint(0, 3_000) * 10**17, 0, drawn.randint(1, 20) * size_w // 10)
            units.append(Unit(f"pv{name}", name, GENERATOR, (bid,)))
        if drawn.random() < 0.7:
            most_w = drawn.randint(5, 12) * size_w // 10
            bid = Bid(a, drawn.randint(500, 9_000) * 10**17, -most_w, 0)
            units.append(Unit(f"home{name}", name, LOAD, (bid,)))
    network = Network("A", tuple(Bus(name) for name in names), lines)
    return DispatchProblem(network, 60, 1, tuple(units))


@pytest.mark.parametrize("first", range(0, 120, 30))
def test_meshes_of_homes_are_proved_whatever_lines_are_full(first: int) -> None:
    full = 0
    for seed in range(first, first + 30):
        problem = homes(seed)
        layout, certificate = lay_out(problem), solve(problem).certificate
        (bound,) = validate_certificate(layout, certificate)
        numbers, chooses = read_interval(layout, 0)
        best = solve_meshed_interval(numbers, layout.root)
        powers = np.array(certificate.intervals[0].powers_w)[chooses] / 1e6
        costs = [float((0.5 * numbers.a * p + numbers.b) @ p) for p in (powers, best.power)]
        allowed = bound.gap_twice / 2 * 1e-24 + 1e-9 * max(1e-3, abs(costs[1]))
        assert abs(costs[0] - costs[1]) <= allowed, seed
        full += bool(np.any(best.congestion))
    assert full >= 5, "so many have a full line"
