"""The exact tree method gives the published figures, agrees with its twin, and proves itself."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.arrays import radial_arrays
from dispatch.quantise import quantise_radial, round_price
from dispatch.solve import solve, solve_radial
from dispatch.tree import solve_tree
from dispatch.tree_plain import solve_tree_plain
from market.dispatch_check import validate_certificate, verify_certificate
from market.dispatch_findings import check_problem
from market.dispatch_layout import lay_out
from market.dispatch_problem import GENERATOR, LOAD, Bid, DispatchProblem, Unit
from market.network import Bus, Line, Network
from tests.dispatch.support import (
    CASE_HOURS,
    PRICE_UNITS_PER_PU,
    expected_hours,
    feeder,
    feeder_layout,
    random_problem,
)
from tools.cases.catalog import load_sound_case
from tools.cases.fields import parse_json
from tools.cases.graphs import random_links
from tools.cases.published import read_luo
from tools.solution_file import flows_of, objective_twice
from vm.primitives.errors import InvalidInput


@pytest.mark.parametrize(("limits", "hour"), CASE_HOURS)
def test_feeder_has_the_expected_prices_dispatch_and_flows(limits: str, hour: int) -> None:
    problem, expected = feeder(limits), expected_hours(limits)[hour - 1]
    solution = solve_radial(problem)
    result = solution.certificate.intervals[hour - 1]
    for bus, price in zip(problem.network.buses, result.prices, strict=True):
        assert price / PRICE_UNITS_PER_PU == pytest.approx(expected["dlmp"][bus.name], rel=1e-6)
    for unit, power in zip(problem.units, result.powers_w, strict=True):
        assert power == pytest.approx(expected["dispatch_kw"][unit.name] * 1000, abs=1)
    flows = flows_of(feeder_layout(limits), result)
    for line, flow in zip(problem.network.lines, flows, strict=True):
        assert flow == pytest.approx(expected["flow_kw"][line.name] * 1000, abs=1)
    objective = objective_twice(problem, hour - 1, result) / 2e24
    assert objective == pytest.approx(expected["objective"], rel=1e-6, abs=1e-5)
    assert solution.rounds[hour - 1] == 5


@pytest.mark.parametrize("limits", ["normal", "congested"])
def test_feeder_is_certified(limits: str) -> None:
    certificate = solve_radial(feeder(limits)).certificate
    bounds = validate_certificate(feeder_layout(limits), certificate)
    assert len(bounds) == 24
    assert max(bound.gap_twice / bound.turnover_twice for bound in bounds) < 1e-12


def test_luo_has_the_printed_dispatch_on_a_ring() -> None:
    document = parse_json(
        files("genesis").joinpath("cases", "luo16.json").read_text(encoding="utf-8"), "luo16"
    )
    case = load_sound_case("luo16")
    solution = solve_radial(case.problem)
    (result,) = solution.certificate.intervals
    printed = document["table1_displayed"]["P_kw"]  # type: ignore[index]
    for unit, power in zip(case.problem.units, result.powers_w, strict=True):
        assert round(abs(power) / 1000, 1) == float(printed[unit.name])
    assert set(result.prices) == {7371 * 10**18}
    assert solution.rounds == (9,)
    names = [unit.name for unit in case.problem.units]
    for seed in range(30):
        drawn = read_luo(document, "normal", random_links(names, 32, seed))
        solution = solve_radial(drawn.problem)
        assert solution.certificate.intervals[0].powers_w == result.powers_w
        # Curves up and prices down are two messages a level: within 8 either way of counting.
        assert 2 * (solution.rounds[0] - 1) <= 8


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9))
def test_random_trees_agree_with_the_plain_twin_and_are_certified(seed: int) -> None:
    problem = random_problem(seed)
    assert check_problem(problem) == ()
    layout = lay_out(problem)
    arrays = radial_arrays(layout)
    fast, plain = solve_tree(arrays), solve_tree_plain(arrays)
    np.testing.assert_allclose(fast.prices, plain.prices, rtol=1e-9)
    np.testing.assert_allclose(fast.powers_w, plain.powers_w, atol=1e-3)
    np.testing.assert_allclose(fast.flows_w, plain.flows_w, atol=1e-3)
    certificate = quantise_radial(arrays, fast)
    validate_certificate(layout, certificate)
    assert verify_certificate(layout, certificate)


def one_bus(*units: Unit) -> DispatchProblem:
    """A problem without lines."""
    return DispatchProblem(Network("A", (Bus("A"),), ()), 60, 1, units)


@pytest.mark.parametrize(
    ("units", "price"),
    [
        # Everything between the bids clears: the lowest price.
        ([(GENERATOR, 3, 0, 500), (LOAD, 8, -500, 0)], 3),
        # No bound below: the highest.
        ([(GENERATOR, 3, 0, 500), (LOAD, 8, 0, 0)], 3),
        # No bound at all.
        ([(GENERATOR, 3, 500, 500), (LOAD, 8, -500, -500)], 0),
        # The must-serve load alone: what the generator asks.
        ([(GENERATOR, 3, 0, 500), (LOAD, 8, -200, -200)], 3),
    ],
)
def test_price_that_is_not_unique_is_the_canonical_one(
    units: list[tuple[str, int, int, int]], price: int
) -> None:
    problem = one_bus(
        *(
            Unit(f"U{number}", "A", kind, (Bid(0, b * 10**18, lo_w, hi_w),))
            for number, (kind, b, lo_w, hi_w) in enumerate(units)
        )
    )
    assert solve_radial(problem).certificate.intervals[0].prices == (price * 10**18,)
    assert solve_tree_plain(radial_arrays(lay_out(problem))).prices[0, 0] == price * 10**18


def test_price_behind_a_full_line_is_the_nearest_to_its_parents() -> None:
    network = Network("A", (Bus("A"), Bus("B")), (Line("A-B", "A", "B", 400, 0, ""),))
    units = (
        Unit("grid", "A", GENERATOR, (Bid(0, 2 * 10**18, 0, 9_000),)),
        Unit("first", "B", LOAD, (Bid(0, 9 * 10**18, -400, 0),)),
        Unit("second", "B", LOAD, (Bid(0, 5 * 10**18, -400, 0),)),
    )
    problem = DispatchProblem(network, 60, 1, units)
    (result,) = solve_radial(problem).certificate.intervals
    assert result.prices == (2 * 10**18, 5 * 10**18)
    assert result.powers_w == (400, -400, 0)


def test_linear_bids_at_the_margin_share_evenly() -> None:
    problem = one_bus(
        Unit("small", "A", GENERATOR, (Bid(0, 10**18, 0, 100),)),
        Unit("large", "A", GENERATOR, (Bid(0, 10**18, 0, 300),)),
        Unit("load", "A", LOAD, (Bid(0, 10**19, -200, -200),)),
    )
    (result,) = solve_radial(problem).certificate.intervals
    assert result.powers_w == (50, 150, -200)


@pytest.mark.parametrize("price", [0.0, 1.0, 123.456, 7371e18, -2.5e20, 1e30])
def test_prices_are_rounded_to_what_a_float_holds(price: float) -> None:
    assert abs(round_price(price) - price) <= max(0.5, abs(price) * 5e-15)


def test_a_method_that_does_not_fit_says_so() -> None:
    with pytest.raises(InvalidInput, match="cannot solve"):
        solve(feeder("normal"), "guess")
