"""The tests of the verifier bite: each planted fault in it is caught by a small set of attacks."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import market.dispatch_check as verifier
from market.dispatch_certificate import Certificate, IntervalResult
from market.dispatch_layout import DispatchLayout, lay_out
from market.dispatch_problem import GENERATOR, LOAD, Bid, DispatchProblem, Unit
from market.network import Bus, Line, Network
from tests.market.test_dispatch_check import MILLI, congested, two_buses

Verify = Callable[[DispatchLayout, Certificate], bool]
HONEST = congested().intervals[0]

MUTANTS = [
    ("if power != lo_w:", "if False:"),
    ("if power != hi_w:", "if False:"),
    ("if not lo_w <= power <= hi_w:", "if power > hi_w:"),
    ("if not lo_w <= power <= hi_w:", "if power < lo_w:"),
    ("gap += (power - lo_w) * (a * (power + lo_w) - 2 * margin)", "pass"),
    ("gap += (power - hi_w) * (a * (power + hi_w) - 2 * margin)", "pass"),
    ("gap -= -error * error // a", "pass"),
    ("if not -a <= error <= a:", "if not -a <= error:"),
    ("if not -a <= error <= a:", "if not error <= a:"),
    ("if not -a <= error <= a:", "if not -9 * a <= error <= 9 * a:"),
    ("gap -= -error * error // a", "gap -= -error * error"),
    ("balances[bus] += power\n", "pass\n"),
    ("elif margin >= at_hi:", "elif margin <= at_hi:"),
    ("if rating_w >= 0 and not -rating_w <= flow <= rating_w:", "if False:"),
    (
        "if not -rating_w <= flow <= rating_w:\n                raise",
        "if False:\n                raise",
    ),
    ("gap += 2 * (difference * flow + abs(difference) * rating_w)", "pass"),
    ("difference = prices[bus] - prices[parent]", "difference = prices[parent] - prices[bus]"),
    ("balances[parent] += flow", "pass"),
    ("if balances[layout.root]:", "if False:"),
    ("TOLERANCE_RADIAL: Final = 10**12", "TOLERANCE_RADIAL: Final = 10**3"),
    ("        if lo_w < hi_w\n", ""),
    (
        "            if lo_w < hi_w:\n                needed",
        "            if True:\n                needed",
    ),
    ("if len(results) != layout.problem.intervals:", "if False:"),
    ("if actual != expected:", "if False:"),
    ("if lowest < -MAX_PRICE or highest > MAX_PRICE:", "if False:"),
    ("if gap * tolerance > turnover:", "if False:"),
    ("if gap and not _is_covered", "if False and not _is_covered"),
]


def fixed_turnover() -> DispatchProblem:
    """`two_buses` beside a large fixed trade, which must not buy tolerance."""
    problem = two_buses()
    fixed = 10**12
    return replace(
        problem,
        units=(
            *problem.units,
            Unit("must", "B", GENERATOR, (Bid(0, 9_000 * MILLI, fixed, fixed),)),
            Unit("serve", "B", LOAD, (Bid(0, 9_000 * MILLI, -fixed, -fixed),)),
        ),
    )


def steep() -> tuple[DispatchProblem, IntervalResult]:
    """A best power between two watts at which a gap of a watt is small, and rightly accepted."""
    units = (
        Unit("one", "A", GENERATOR, (Bid(3 * 10**12, 10**20, 0, 10**9),)),
        Unit("two", "A", GENERATOR, (Bid(3 * 10**12, 10**20, 0, 10**9),)),
        Unit("load", "A", LOAD, (Bid(0, 10**22, -1_000_001, -1_000_001),)),
    )
    problem = DispatchProblem(Network("A", (Bus("A"),), ()), 60, 1, units)
    price = 10**20 + 3 * 10**12 * 1_000_001 // 2
    return problem, IntervalResult((price,), (500_000, 500_001, -1_000_001))


def one_bus(most_w: int = -300) -> DispatchProblem:
    """Two generators of one price and a load: nothing but limits and the balance can be wrong."""
    network = Network("A", (Bus("A"),), ())
    generators = tuple(
        Unit(name, "A", GENERATOR, (Bid(0, 3_000 * MILLI, 0, 1_000),)) for name in ("one", "two")
    )
    least_w = min(most_w, -2_000) if most_w == -300 else most_w
    load = Unit("load", "A", LOAD, (Bid(0, 9_000 * MILLI, least_w, most_w),))
    return DispatchProblem(network, 60, 1, (*generators, load))


def on_two_buses() -> list[tuple[DispatchLayout, IntervalResult]]:
    """Certificates for two buses and a line, the optimum first."""
    unlimited, limited = lay_out(two_buses(None)), lay_out(two_buses())
    at_bid = replace(HONEST, prices=(100 * MILLI, 100 * MILLI), powers_w=(0, 900, -900))
    watt_off = (599, 301, -900)
    return [
        (limited, HONEST),
        (lay_out(steep()[0]), steep()[1]),
        (unlimited, HONEST),
        (limited, at_bid),
        *(
            (limited, replace(HONEST, powers_w=powers))
            for powers in [
                (600, 301, -901),
                (600, 300, -899),
                (600, -301, -299),
                (1_001, -101, -900),
                (601, 299, -900),
                watt_off,
                (600, 301, -900),
                (500, 400, -900),
                (600, 0, -600),
                (-601, 1_501, -900),
            ]
        ),
        *(
            (limited, replace(HONEST, prices=prices))
            for prices in [
                (1_300 * MILLI, 3_001 * MILLI),
                (1_303 * MILLI, 3_000 * MILLI),
                (1_297 * MILLI, 3_000 * MILLI),
                (3_000 * MILLI, 3_000 * MILLI),
                (1_300 * MILLI, 2**111),
                (2**111, 2**111),
                (1_300 * MILLI,),
                (1_300 * MILLI, 9_001 * MILLI),
            ]
        ),
    ]


def elsewhere() -> list[tuple[DispatchLayout, IntervalResult]]:
    """Certificates for one bus, for one price beside a full line, and beside a fixed trade."""
    padded, huge, watt_off = lay_out(fixed_turnover()), 10**12, (599, 301, -900)
    return [
        (
            lay_out(_priced_alike()),
            IntervalResult((3_000 * MILLI,) * 2, (700, 200, -900)),
        ),
        *(
            (lay_out(one_bus()), IntervalResult((3_000 * MILLI,), powers))
            for powers in [
                (1_001, 999, -2_000),
                (999, 1_001, -2_000),
                (-1, 1_001, -1_000),
                (999, 999, -2_000),
            ]
        ),
        (lay_out(one_bus(-1_000)), IntervalResult((3_000 * MILLI,), (-1, 1_001, -1_000))),
        (lay_out(one_bus(-1_000)), IntervalResult((3_000 * MILLI,), (-500, 1_500, -1_000))),
        (lay_out(one_bus(-2_000)), IntervalResult((2**111,), (1_000, 1_000, -2_000))),
        (lay_out(steep()[0]), replace(steep()[1], powers_w=(499_995, 500_006, -1_000_001))),
        (lay_out(steep()[0]), replace(steep()[1], powers_w=(480_000, 520_001, -1_000_001))),
        (padded, replace(HONEST, powers_w=(*watt_off, huge, -huge))),
        (padded, replace(HONEST, powers_w=(*HONEST.powers_w, huge, -huge))),
    ]


def attacks(verify: Verify, validate: Callable[..., object]) -> list[bool]:
    """What the two doors of a verifier say of honest and of dishonest certificates."""
    tried = [*on_two_buses(), *elsewhere()]
    limited = lay_out(two_buses())
    said = [verify(layout, Certificate((result,))) for layout, result in tried]
    said += [verify(limited, Certificate((HONEST,) * count)) for count in (0, 2)]
    for layout, result in tried:
        try:
            validate(layout, Certificate((result,)))
        except verifier.InvalidProof:
            said.append(False)
        else:
            said.append(True)
    return said


def _priced_alike() -> DispatchProblem:
    """A line passes its rating although the price is the same on both sides."""
    cheap, dear, house = two_buses().units
    alike = replace(cheap, bids=(Bid(0, 3_000 * MILLI, 0, 1_000),))
    line = Line("A-B", "A", "B", 600, 1_000, "")
    return replace(
        two_buses(),
        network=Network("A", (Bus("A"), Bus("B")), (line,)),
        units=(alike, dear, house),
    )


def test_attacks_are_answered_rightly() -> None:
    said = attacks(verifier.verify_certificate, verifier.validate_certificate)
    # The two optima, one that a few watts cost less than the tolerance, one beside a fixed trade;
    # between the doors stand the two certificates of the wrong length.
    accepted = [place for place, verdict in enumerate(said) if verdict]
    second_door = (len(said) + 2) // 2
    assert accepted == [0, 1, 30, 33, *(second_door + place for place in (0, 1, 30, 33))]


@pytest.mark.parametrize(("original", "fault"), MUTANTS)
def test_planted_fault_is_caught(original: str, fault: str) -> None:
    source = Path(verifier.__file__).read_text(encoding="utf-8")
    expected = attacks(verifier.verify_certificate, verifier.validate_certificate)
    assert original in source, "the fault does not fit the verifier any more"
    caught = []
    pieces = source.split(original)
    # Each place where the text stands is a mutant of its own; some fault must show at one of them.
    for place in range(1, len(pieces)):
        mutated = original.join(pieces[:place]) + fault + original.join(pieces[place:])
        module = types.ModuleType("mutant")
        # The dataclass decorator looks its module up.
        module.__dict__["__name__"] = verifier.__name__
        exec(compile(mutated, "mutant", "exec"), module.__dict__)
        module.__dict__["InvalidProof"] = verifier.InvalidProof
        try:
            said = attacks(
                module.__dict__["verify_certificate"], module.__dict__["validate_certificate"]
            )
        except (ArithmeticError, IndexError, ValueError):
            caught.append(True)
        else:
            caught.append(said != expected)
    assert any(caught)
