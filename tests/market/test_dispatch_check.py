"""The verifier accepts an optimum and refuses whatever differs from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from market.dispatch_certificate import Certificate, IntervalResult
from market.dispatch_check import validate_certificate, verify_certificate
from market.dispatch_codec import (
    decode_certificate,
    decode_problem,
    encode_certificate,
    encode_problem,
    hash_problem,
)
from market.dispatch_findings import check_problem
from market.dispatch_layout import lay_out
from market.dispatch_problem import GENERATOR, LOAD, Bid, DispatchProblem, Unit
from market.network import Bus, Line, Network
from vm.primitives.errors import InvalidProof

MILLI = 10**17
"""1e-24 $/Wh in a tenth of a $/MWh."""


def two_buses(rating_w: int | None = 600) -> DispatchProblem:
    """A cheap generator behind a line, a dear one beside the load that both serve."""
    network = Network("A", (Bus("A"), Bus("B")), (Line("A-B", "A", "B", rating_w, 1_000, ""),))
    return DispatchProblem(
        network,
        60,
        1,
        (
            Unit("cheap", "A", GENERATOR, (Bid(2 * MILLI, 100 * MILLI, 0, 1_000),)),
            Unit("dear", "B", GENERATOR, (Bid(0, 3_000 * MILLI, 0, 1_000),)),
            Unit("house", "B", LOAD, (Bid(0, 9_000 * MILLI, -900, -300),)),
        ),
    )


def congested() -> Certificate:
    """The optimum of `two_buses`: the line is full, and each side has its marginal unit's price."""
    return Certificate((IntervalResult((1_300 * MILLI, 3_000 * MILLI), (600, 300, -900)),))


def changed(**fields: object) -> Certificate:
    """The optimum with some of its fields replaced."""
    return Certificate((replace(congested().intervals[0], **fields),))  # type: ignore[arg-type]


def test_optimum_is_accepted_without_gap() -> None:
    (bound,) = validate_certificate(lay_out(two_buses()), congested())
    assert bound.gap_twice == 0
    assert verify_certificate(lay_out(two_buses()), congested())


@pytest.mark.parametrize(
    ("certificate", "code"),
    [
        (changed(powers_w=(600, 300, -899)), "unbalanced"),
        (changed(powers_w=(601, 299, -900)), "line_limit"),
        (changed(powers_w=(600, 301, -901)), "unit_limit"),
        (changed(powers_w=(599, 301, -900)), "gap"),
        (changed(prices=(1_300 * MILLI, 3_001 * MILLI)), "gap"),
        (changed(prices=(3_000 * MILLI, 3_000 * MILLI)), "gap"),
        (changed(prices=(3_000 * MILLI,)), "wrong_length"),
        (changed(prices=(1_300 * MILLI, 2**111)), "price_range"),
        (Certificate(congested().intervals * 2), "wrong_length"),
    ],
)
def test_what_is_not_the_optimum_is_refused(certificate: Certificate, code: str) -> None:
    layout = lay_out(two_buses())
    with pytest.raises(InvalidProof) as caught:
        validate_certificate(layout, certificate)
    assert caught.value.code == code
    assert not verify_certificate(layout, certificate)


def test_prices_do_not_differ_across_a_line_without_limit() -> None:
    with pytest.raises(InvalidProof) as caught:
        validate_certificate(lay_out(two_buses(None)), congested())
    assert caught.value.code == "price_differs"


def test_bytes_give_back_problem_and_certificate() -> None:
    problem = two_buses()
    assert decode_problem(encode_problem(problem)) == problem
    assert decode_certificate(encode_certificate(congested())) == congested()
    assert hash_problem(problem) != hash_problem(two_buses(601))


def test_all_findings_come_at_once() -> None:
    problem = two_buses()
    cheap, dear, house = problem.units
    network = Network(
        "A",
        (*problem.network.buses, Bus("C")),
        (replace(problem.network.lines[0], rating_w=-1),),
    )
    wrong = replace(
        problem,
        network=network,
        units=(
            replace(cheap, bids=(Bid(-1, 0, 0, 10),)),
            replace(dear, bus="D"),
            replace(house, bids=(Bid(0, 0, 5, -5),)),
            replace(house, kind="windmill", bids=()),
        ),
    )
    assert sorted(finding.code for finding in check_problem(wrong)) == [
        "duplicate",
        "island",
        "limits",
        "not_convex",
        "rating",
        "unknown_bus",
        "unknown_kind",
        "wrong_intervals",
    ]


def test_problem_without_any_dispatch_is_found() -> None:
    problem = two_buses()
    must_serve = replace(problem.units[2], bids=(Bid(0, 0, -2_000, -1_700),))
    (finding,) = check_problem(replace(problem, units=(*problem.units[:2], must_serve)))
    assert (finding.code, finding.subject) == ("infeasible", "B")
    assert check_problem(problem) == ()
