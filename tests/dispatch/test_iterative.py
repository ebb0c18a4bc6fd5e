"""ADMM reaches the optimum within its rounds; the published methods are reported as they stand."""

from __future__ import annotations

import numpy as np
import pytest

from dispatch.admm import solve_admm
from dispatch.admm_plain import solve_admm_plain
from dispatch.arrays import radial_arrays
from dispatch.published_methods import run_consensus, run_innovations
from dispatch.published_plain import run_consensus_plain, run_innovations_plain
from dispatch.solve import solve
from dispatch.tree import solve_tree
from market.dispatch_check import verify_certificate
from market.dispatch_layout import lay_out
from tests.dispatch.support import feeder, feeder_layout, random_problem
from tools.cases.catalog import load_sound_case


@pytest.mark.parametrize("limits", ["normal", "congested"])
def test_admm_is_within_1e_4_after_100_rounds_in_every_hour(limits: str) -> None:
    arrays = radial_arrays(feeder_layout(limits))
    result, exact = solve_admm(arrays), solve_tree(arrays)
    assert all(result.converged)
    assert max(result.rounds) <= 100
    np.testing.assert_allclose(result.dispatch.prices, exact.prices, rtol=1e-4)
    np.testing.assert_allclose(result.dispatch.flows_w, exact.flows_w, atol=1e-4 * 1e6)


@pytest.mark.parametrize("limits", ["normal", "congested"])
def test_admm_settles_into_a_certificate(limits: str) -> None:
    solution = solve(feeder(limits), "admm")
    assert verify_certificate(feeder_layout(limits), solution.certificate)
    assert solution.residuals == (None,) * 24


@pytest.mark.parametrize("rounds", [1, 2, 30])
@pytest.mark.parametrize("seed", range(5))
def test_admm_does_what_its_plain_twin_does(rounds: int, seed: int) -> None:
    arrays = radial_arrays(lay_out(random_problem(seed)))
    fast = solve_admm(arrays, 0.0, rounds)
    prices, flows = solve_admm_plain(arrays, rounds)
    np.testing.assert_allclose(fast.dispatch.prices[0], prices, rtol=1e-6, atol=1e12)
    np.testing.assert_allclose(fast.dispatch.flows_w[0], flows, rtol=1e-6, atol=1e-2)


def test_consensus_finds_luos_price_and_is_certified() -> None:
    case = load_sound_case("luo16")
    solution = solve(case.problem, "consensus", case.links)
    assert solution.residuals == (None,)
    assert 42 < solution.rounds[0] < 1_000
    assert set(solution.certificate.intervals[0].prices) == {7371 * 10**18}
    assert verify_certificate(lay_out(case.problem), solution.certificate)


def test_consensus_knows_no_line_limits() -> None:
    solution = solve(feeder("congested"), "consensus")
    assert not verify_certificate(feeder_layout("congested"), solution.certificate)


@pytest.mark.parametrize("limits", ["normal", "congested"])
def test_innovations_do_not_converge_on_the_feeder_and_say_so(limits: str) -> None:
    solution = solve(feeder(limits), "innovations")
    assert set(solution.rounds) == {1_000}
    for residual in solution.residuals:
        assert residual is not None
        assert 1_000 < residual.mismatch_w < 10**8
        assert residual.price_spread > 1
    assert not verify_certificate(feeder_layout(limits), solution.certificate)


@pytest.mark.parametrize("rounds", [1, 2, 40])
@pytest.mark.parametrize("hour", [0, 14])
def test_published_methods_do_what_their_plain_twins_do(rounds: int, hour: int) -> None:
    layout = feeder_layout("congested")
    arrays = radial_arrays(layout)
    lines = layout.problem.network.lines
    reactance = np.array(
        [
            lines[each.line].reactance_nano_ohm * 1e-9 if each.depth else 1.0
            for each in layout.places
        ]
    )
    fast = run_innovations(arrays, hour, reactance, max_rounds=rounds)
    slow = run_innovations_plain(arrays, hour, reactance, max_rounds=rounds)
    assert fast.rounds == slow.rounds == rounds
    np.testing.assert_allclose(fast.prices, slow.prices, rtol=1e-6)
    case = load_sound_case("luo16")
    arrays = radial_arrays(lay_out(case.problem))
    number = {bus.name: place for place, bus in enumerate(case.problem.network.buses)}
    links = np.array([(number[left], number[right]) for left, right in case.links])
    fast = run_consensus(arrays, 0, links, max_rounds=rounds)
    slow = run_consensus_plain(arrays, 0, links, max_rounds=rounds)
    assert (fast.rounds, fast.converged) == (slow.rounds, slow.converged)
    np.testing.assert_allclose(fast.prices, slow.prices, rtol=1e-9)
    np.testing.assert_allclose(fast.powers_w, slow.powers_w, rtol=1e-6, atol=1e-3)
