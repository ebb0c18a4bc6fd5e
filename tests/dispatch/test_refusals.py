"""Whatever is not the optimum of exactly this hour is refused; every honest result is accepted."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dispatch.solve import solve_radial
from market.dispatch_certificate import Certificate, IntervalResult
from market.dispatch_check import validate_certificate, verify_certificate
from market.dispatch_findings import check_problem
from market.dispatch_layout import DispatchLayout, lay_out
from market.dispatch_problem import Bid, DispatchProblem, single_interval
from tests.dispatch.support import feeder
from tools.cases.catalog import load_sound_case

HOURS = range(24)


def hours_of(limits: str) -> list[tuple[DispatchLayout, IntervalResult]]:
    """Each hour's problem by itself, with its honest result."""
    problem = feeder(limits)
    results = solve_radial(problem).certificate.intervals
    return [(lay_out(single_interval(problem, hour)), results[hour]) for hour in HOURS]


@pytest.fixture(scope="module")
def congested() -> list[tuple[DispatchLayout, IntervalResult]]:
    """The 24 congested hours."""
    return hours_of("congested")


@pytest.fixture(scope="module")
def normal() -> list[tuple[DispatchLayout, IntervalResult]]:
    """The 24 hours without line limits."""
    return hours_of("normal")


def accepts(layout: DispatchLayout, result: IntervalResult) -> bool:
    """The verifier's word; both of its doors must say the same."""
    certificate = Certificate((result,))
    verdict = verify_certificate(layout, certificate)
    try:
        validate_certificate(layout, certificate)
    except Exception:
        assert not verdict
    else:
        assert verdict
    return verdict


def test_honest_hours_are_accepted(
    congested: list[tuple[DispatchLayout, IntervalResult]],
    normal: list[tuple[DispatchLayout, IntervalResult]],
) -> None:
    assert all(accepts(layout, result) for layout, result in congested + normal)


@pytest.mark.parametrize("error_ppm", [10, -10, 1_000, -1_000, 200_000, -200_000])
def test_every_error_of_one_price_is_refused(
    congested: list[tuple[DispatchLayout, IntervalResult]], error_ppm: int
) -> None:
    tried = 0
    for layout, result in congested:
        for bus, price in enumerate(result.prices):
            # Relative, and in the file's dollars per 100 kWh: the smaller of the two.
            size = min(abs(price), 10**19) * error_ppm // 10**6
            wrong = (*result.prices[:bus], price + size, *result.prices[bus + 1 :])
            assert not accepts(layout, replace(result, prices=wrong))
            tried += 1
    assert tried == 24 * 13


def test_every_imbalance_of_a_watt_is_refused(
    congested: list[tuple[DispatchLayout, IntervalResult]],
    normal: list[tuple[DispatchLayout, IntervalResult]],
) -> None:
    for layout, result in congested + normal:
        for unit, power in enumerate(result.powers_w):
            for error in (1, -1):
                wrong = (*result.powers_w[:unit], power + error, *result.powers_w[unit + 1 :])
                assert not accepts(layout, replace(result, powers_w=wrong))


def passes_a_limit(layout: DispatchLayout, powers: list[int]) -> bool:
    """Whether a dispatch passes a limit, worked out apart from the verifier."""
    balances = [0] * len(layout.places)
    for power, row in zip(powers, layout.units[0], strict=True):
        if not row.lo_w <= power <= row.hi_w:
            return True
        balances[row.bus] += power
    for branch in layout.branches:
        if branch.rating_w >= 0 and abs(balances[branch.bus]) > branch.rating_w:
            return True
        balances[branch.parent] += balances[branch.bus]
    return False


def test_every_limit_passed_by_a_watt_is_refused(
    congested: list[tuple[DispatchLayout, IntervalResult]],
) -> None:
    passed = 0
    for layout, result in congested:
        for gaining in range(len(result.powers_w)):
            for losing in range(len(result.powers_w)):
                powers = list(result.powers_w)
                powers[gaining] += 1
                powers[losing] -= 1
                if gaining != losing and passes_a_limit(layout, powers):
                    assert not accepts(layout, replace(result, powers_w=tuple(powers)))
                    passed += 1
    assert passed > 5_000


def test_certificate_of_another_hour_is_refused(
    congested: list[tuple[DispatchLayout, IntervalResult]],
    normal: list[tuple[DispatchLayout, IntervalResult]],
) -> None:
    hours = congested + normal
    for layout, _ in hours:
        for other, result in hours:
            same = layout.units == other.units and layout.branches == other.branches
            assert accepts(layout, result) == same


def test_uniform_price_is_refused_under_congestion(
    congested: list[tuple[DispatchLayout, IntervalResult]],
    normal: list[tuple[DispatchLayout, IntervalResult]],
) -> None:
    for (layout, result), (_, free) in zip(congested, normal, strict=True):
        for price in (*result.prices, free.prices[0], sum(result.prices) // 13):
            uniform = (price,) * 13
            assert not accepts(layout, replace(result, prices=uniform))
            assert not accepts(layout, replace(free, prices=uniform))


def perturbed(problem: DispatchProblem, seed: int) -> DispatchProblem:
    """The problem with every figure drawn anew, up to a fifth off."""
    drawn = random.Random(seed)

    def near(value: int) -> int:
        return value * drawn.randrange(800_000, 1_200_001) // 1_000_000

    units = tuple(
        replace(
            unit,
            bids=tuple(
                Bid(near(bid.a), near(bid.b), *sorted((near(bid.lo_w), near(bid.hi_w))))
                for bid in unit.bids
            ),
        )
        for unit in problem.units
    )
    lines = tuple(
        replace(line, rating_w=None if line.rating_w is None else near(line.rating_w))
        for line in problem.network.lines
    )
    return replace(problem, units=units, network=replace(problem.network, lines=lines))


@pytest.mark.parametrize(
    ("name", "limits", "tolerance"),
    [
        # Luo's agents are so small and steep that whole watts alone cost some 1e-11 of turnover.
        ("luo16", "normal", 2 * 10**10),
        ("ieee13_gao", "normal", 10**12),
        ("ieee13_gao", "congested", 10**12),
    ],
)
def test_a_hundred_perturbations_are_accepted(name: str, limits: str, tolerance: int) -> None:
    problem = load_sound_case(name, limits).problem
    solved = seed = 0
    while solved < 100:
        seed += 1
        drawn = perturbed(problem, seed)
        if check_problem(drawn):
            # Behind its derated line the congested feeder stands near the edge of feasibility.
            continue
        solved += 1
        layout = lay_out(drawn)
        certificate = solve_radial(drawn).certificate
        for bound in validate_certificate(layout, certificate):
            assert bound.gap_twice * tolerance <= bound.turnover_twice
            assert (bound.gap_twice - bound.granularity_twice) * 10**12 <= bound.turnover_twice
        assert verify_certificate(layout, certificate)
    assert seed < 300
