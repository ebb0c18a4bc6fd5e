"""The verifier on what couples buses and hours: the voltage law of a mesh, and storages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from market.dispatch_certificate import Certificate, IntervalResult, StorageResult
from market.dispatch_check import validate_certificate, verify_certificate
from market.dispatch_codec import decode_certificate, encode_certificate, encode_problem
from market.dispatch_codec import decode_problem as decoded
from market.dispatch_findings import check_problem
from market.dispatch_layout import lay_out
from market.dispatch_problem import GENERATOR, LOAD, Bid, DispatchProblem, Storage, Unit
from market.network import Bus, Line, Network
from vm.primitives.errors import InvalidProof

PRICE = 10**18


def triangle() -> DispatchProblem:
    """Three lines of one reactance; the one from the cheap generator to the load is limited."""
    lines = (
        Line("A-B", "A", "B", None, 1_000, ""),
        Line("A-C", "A", "C", 150, 1_000, ""),
        Line("B-C", "B", "C", None, 1_000, ""),
    )
    units = (
        Unit("cheap", "A", GENERATOR, (Bid(0, 10 * PRICE, 0, 1_000),)),
        Unit("dear", "B", GENERATOR, (Bid(0, 20 * PRICE, 0, 1_000),)),
        Unit("load", "C", LOAD, (Bid(0, 99 * PRICE, -300, -300),)),
    )
    network = Network("A", (Bus("A"), Bus("B"), Bus("C")), lines)
    return DispatchProblem(network, 60, 1, units)


# A watt more at C takes two more from B and one less from A: its price is above both.
MESHED = IntervalResult(
    prices=(10 * PRICE, 20 * PRICE, 30 * PRICE),
    powers_w=(150, 150, -300),
    flows_w=(0, 150, 150),
    cycle_prices=(10 * PRICE // 1_000,),
)


def code_of(problem: DispatchProblem, *results: IntervalResult) -> str:
    """Why the verifier refuses, or nothing; both doors and the bytes between them agree."""
    layout = lay_out(problem)
    certificate = decode_certificate(encode_certificate(Certificate(results)))
    accepted = verify_certificate(layout, certificate)
    try:
        validate_certificate(layout, certificate)
    except InvalidProof as error:
        assert not accepted
        return error.code
    assert accepted
    return ""


def test_meshed_optimum_is_accepted() -> None:
    assert check_problem(triangle()) == ()
    assert code_of(triangle(), MESHED) == ""
    (bound,) = validate_certificate(lay_out(triangle()), Certificate((MESHED,)))
    assert bound.gap_twice == 0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"flows_w": (0, 151, 149)}, "line_limit"),
        ({"flows_w": (1, 150, 150)}, "unbalanced"),
        # Balanced, but the flows would need another voltage on the way around.
        ({"flows_w": (50, 100, 200)}, "voltage_law"),
        # Feasible, dearer.
        ({"powers_w": (147, 153, -300), "flows_w": (-2, 149, 151)}, "gap"),
        ({"cycle_prices": (0,)}, "gap"),
        ({"cycle_prices": (11 * PRICE // 1_000,)}, "gap"),
        ({"cycle_prices": ()}, "wrong_length"),
        ({"flows_w": ()}, "wrong_length"),
        ({"prices": (20 * PRICE,) * 3}, "gap"),
        ({"prices": (10 * PRICE, 20 * PRICE, 31 * PRICE)}, "gap"),
    ],
)
def test_what_is_not_the_meshed_optimum_is_refused(fields: dict, code: str) -> None:
    assert code_of(triangle(), replace(MESHED, **fields)) == code


def two_hours() -> DispatchProblem:
    """A cheap hour, a dear hour, and a battery of 40 Wh with losses both ways."""
    units = (
        Unit(
            "plant",
            "A",
            GENERATOR,
            (Bid(0, 9 * PRICE, 0, 1_000), Bid(0, 55 * PRICE, 0, 1_000)),
        ),
        Unit("load", "A", LOAD, (Bid(0, 99 * PRICE, -100, -100),) * 2),
    )
    battery = Storage(
        name="battery",
        bus="A",
        charge_max_w=50,
        discharge_max_w=50,
        charge_cost=0,
        discharge_cost=0,
        stored_ppm=900_000,
        drawn_ppm=1_100_000,
        energy_min_milli_wh=0,
        energy_max_milli_wh=40_000,
        energy_start_milli_wh=0,
        energy_end_min_milli_wh=0,
    )
    return DispatchProblem(Network("A", (Bus("A"),), ()), 60, 2, units, (battery,))


def hours(charge_w: int, discharge_w: int, *, first: int = 10**13) -> tuple[IntervalResult, ...]:
    """Take in the first hour, give in the second; a kept watt-hour is worth what it saves."""
    return (
        IntervalResult(
            (9 * PRICE,),
            (100 + charge_w, -100),
            storages=(StorageResult(charge_w, 0, first),),
        ),
        IntervalResult(
            (55 * PRICE,),
            (100 - discharge_w, -100),
            storages=(StorageResult(0, discharge_w, 5 * 10**13),),
        ),
    )


def test_storage_over_two_hours_is_one_certificate() -> None:
    problem = two_hours()
    assert check_problem(problem) == ()
    assert decoded(encode_problem(problem)) == problem
    assert code_of(problem, *hours(44, 36)) == ""
    (bound,) = validate_certificate(lay_out(problem), Certificate(hours(44, 36)))
    # 0.4 Wh of room are left, less than a watt over an hour: reported, not charged.
    assert bound.gap_twice == bound.granularity_twice == 2 * 4 * 10**13 * 400_000


@pytest.mark.parametrize(
    ("results", "code"),
    [
        (hours(45, 36), "store_level"),
        (hours(44, 37), "store_level"),
        (hours(42, 34), "gap"),
        (hours(0, 0), "gap"),
        (hours(44, 20), "gap"),
        (hours(44, 36, first=2 * 10**13), "gap"),
        (hours(51, 36), "storage_limit"),
        (hours(-1, 0), "storage_limit"),
        (hours(44, 36)[:1], "wrong_length"),
        (hours(44, 36)[::-1], "store_level"),
        (tuple(replace(one, storages=()) for one in hours(44, 36)), "wrong_length"),
    ],
)
def test_what_is_not_the_optimum_over_both_hours_is_refused(
    results: tuple[IntervalResult, ...], code: str
) -> None:
    assert code_of(two_hours(), *results) == code


def test_storage_that_gains_energy_is_found() -> None:
    problem = two_hours()
    (battery,) = problem.storages
    wrong = replace(battery, stored_ppm=1_000_001, energy_start_milli_wh=50_000, bus="B")
    found = check_problem(replace(problem, storages=(wrong, wrong)))
    codes = sorted({finding.code for finding in found})
    assert codes == ["duplicate", "limits", "out_of_range", "unknown_bus"]
