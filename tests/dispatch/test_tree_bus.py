"""What buses find each with its neighbours proves itself optimal, on any radial network."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.exact_curves import (
    NANO,
    add_curves,
    clamp_curve,
    highest_price,
    lowest_price,
    share_out,
    span,
    unit_curve,
)
from dispatch.tree_bus import solve_exactly
from market.dispatch_check import validate_certificate
from market.dispatch_findings import check_problem
from market.dispatch_layout import lay_out
from market.dispatch_problem import GENERATOR, LOAD, Bid, DispatchProblem, Unit
from market.network import Bus, Line, Network

B = 10**19
"""1e-5 $/Wh: a cent per kWh."""
A = 10**12


def random_problem(seed: int) -> DispatchProblem:
    """A feeder of up to 30 buses: quadratic and linear bids, fixed loads, tight and open lines."""
    drawn = random.Random(seed)
    count = drawn.randrange(1, 30)
    buses = tuple(Bus(f"b{number}") for number in range(count))
    lines = tuple(
        Line(
            f"l{number}",
            *drawn.sample([f"b{number}", f"b{drawn.randrange(number)}"], 2),
            drawn.choice([None, drawn.randrange(1, 50_000), drawn.randrange(1, 500_000)]),
            0,
            "",
        )
        for number in range(1, count)
    )
    units = []
    for number in range(drawn.randrange(1, 60)):
        bus = f"b{drawn.randrange(count)}"
        a = drawn.choice([0, drawn.randrange(1, 100) * A])
        b = drawn.randrange(-20, 100) * B + drawn.randrange(B) * drawn.randrange(2)
        width = drawn.choice([0, drawn.randrange(1, 400_000)])
        if drawn.random() < 0.5:
            units.append(Unit(f"g{number}", bus, GENERATOR, (Bid(a, b, 0, width),)))
        else:
            most = drawn.choice([0, 0, drawn.randrange(10_000)])
            units.append(Unit(f"d{number}", bus, LOAD, (Bid(a, b, -most - width, -most),)))
    return DispatchProblem(Network("b0", buses, lines), 60, 1, tuple(units))


@pytest.mark.parametrize("block", range(4))
def test_random_feeders_are_proved_optimal(block: int) -> None:
    proved = 0
    for seed in range(100 * block, 100 * block + 100):
        problem = random_problem(seed)
        if check_problem(problem):
            continue
        layout = lay_out(problem)
        certificate = solve_exactly(problem)
        turnover = sum(
            abs(power * (bid.a * power + 2 * bid.b))
            for unit, power in zip(problem.units, certificate.intervals[0].powers_w, strict=True)
            for bid in unit.bids
        )
        if turnover < 10**26:
            continue  # a dispatch of some watts, of which a watt's rounding is no small part
        (bound,) = validate_certificate(layout, certificate)
        assert bound.gap_twice * 10**12 <= bound.turnover_twice
        proved += 1
    assert proved > 20


_bids = st.tuples(
    st.integers(0, 10**17),
    st.integers(-(10**22), 10**22),
    st.integers(-(10**6), 10**6),
    st.integers(0, 10**6),
).map(lambda t: Bid(t[0], t[1], t[2], t[2] + t[3]))


@given(st.lists(_bids, min_size=1, max_size=6), st.integers(-(10**24), 10**24))
def test_a_sum_of_curves_is_the_sum_at_every_price(bids: list[Bid], price: int) -> None:
    curves = [unit_curve(bid) for bid in bids]
    low, high = span(add_curves(curves), price)
    lows, highs = zip(*(span(curve, price) for curve in curves), strict=True)
    assert abs(low - sum(lows)) <= len(bids) and abs(high - sum(highs)) <= len(bids)


@given(_bids, st.integers(1, 10**6), st.integers(-(10**24), 10**24))
def test_a_clamped_curve_keeps_to_the_rating(bid: Bid, rating_w: int, price: int) -> None:
    curve = unit_curve(bid)
    clamped = clamp_curve(curve, rating_w)
    assert all(left <= right for left, right in pairwise(clamped))
    limit = rating_w * NANO
    for found, wanted in zip(span(clamped, price), span(curve, price), strict=True):
        assert abs(found - max(-limit, min(limit, wanted))) <= max(1, NANO // max(1, bid.a))


def test_a_curve_that_lies_flat_at_the_rating_stays_so() -> None:
    curve = ((10, -9 * NANO), (20, -5 * NANO), (30, -5 * NANO), (40, 5 * NANO), (50, 5 * NANO))
    clamped = clamp_curve((*curve, (60, 9 * NANO)), 5)
    for price in (15, 20, 25, 30, 35, 40, 45, 50, 55):
        wanted = max(-5 * NANO, min(5 * NANO, span(curve, price)[0]))
        assert span(clamped, price) == (wanted, wanted), price


@given(_bids, st.integers(-(10**15), 10**15))
def test_prices_of_a_power_bracket_it(bid: Bid, power_nw: int) -> None:
    curve = unit_curve(bid)
    low, high = lowest_price(curve, power_nw), highest_price(curve, power_nw)
    if low is not None and curve[-1][1] >= power_nw:
        assert span(curve, low)[1] >= power_nw - 1
        assert span(curve, low - 1)[0] <= power_nw
    if high is not None and curve[0][1] <= power_nw:
        assert span(curve, high)[0] <= power_nw


@given(st.lists(st.tuples(st.integers(-(10**15), 10**15), st.integers(0, 10**12)), min_size=1))
def test_shares_are_whole_watts_with_an_exact_sum(parts: list[tuple[int, int]]) -> None:
    spans = [(low, low + width) for low, width in parts]
    least, greatest = sum(low for low, _ in spans), sum(high for _, high in spans)
    for total_w in {-(-least // NANO), greatest // NANO, (least + greatest) // (2 * NANO)}:
        powers = share_out(spans, total_w)
        assert sum(powers) == total_w
        for power, (low, high) in zip(powers, spans, strict=True):
            assert low - NANO < power * NANO < high + NANO


def test_what_cannot_be_shared_out_is_told() -> None:
    with pytest.raises(ValueError, match="fit into none"):
        share_out([(0, 10 * NANO)], 12)
