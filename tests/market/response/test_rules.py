"""The two settlements and the rules of events, as pure functions."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.auction.orders import BUY, SELL, Order
from market.response.events import (
    DOWN,
    UP,
    baseline_milli_wh,
    delivered_milli_wh,
    penalty_micro,
    reserve_micro,
    reward_micro,
)
from market.response.stages import response_price_half_micro, settle_first, settle_second
from tests.market.auction.books import KWH, TOKEN, bid, offer


def test_the_response_price_is_alpha_times_the_market_price_below_upstream() -> None:
    def price(half: int | None, alpha: int) -> int:
        return response_price_half_micro(half, alpha_percent=alpha, upstream_price_micro=30)

    assert price(40, 100) == 40
    assert price(40, 125) == 50
    assert price(40, 200) == 60, "the upstream price, in half micro-tokens"
    assert price(41, 110) == 45
    assert price(45, 110) == 50, "49.5 rounds to even"
    assert price(None, 125) == 60


def test_both_settlements_of_a_short_interval() -> None:
    first = settle_first([bid(1, 4, 40), bid(2, 3, 35), bid(3, 5, 30), offer(4, 6, 10)])
    # Six of twelve kWh: bid 2 sets the price and keeps one kWh that it still wants.
    assert first.buyer_price_half_micro_per_kwh == 2 * 35 * TOKEN
    assert [award.energy_milli_wh for award in first.awards] == [4 * KWH, 2 * KWH, 0, 6 * KWH]
    second = settle_second(
        [bid(2, 1, 35), bid(3, 5, 30)],
        [offer(5, 3, 31), offer(6, 2, 20)],
        2 * 34 * TOKEN,
    )
    # Bid 3 would not pay 34; the cheaper of both gives up one kWh.
    assert [award.energy_milli_wh for award in second.awards] == [KWH, 0, 0, KWH]
    assert second.awards[0].amount_micro == second.awards[3].amount_micro == 34 * TOKEN


def best_welfare(wanted: list[tuple[int, int]], given_up: list[tuple[int, int]], price: int) -> int:
    """Return the greatest welfare over all allocations of whole units that harm nobody."""
    bids = [(e, p) for e, p in wanted if 2 * p >= price]
    offers = [(e, p) for e, p in given_up if 2 * p <= price]
    best = 0
    for taken in product(*(range(e + 1) for e, _ in bids)):
        for left in product(*(range(e + 1) for e, _ in offers)):
            if sum(taken) == sum(left):
                value = sum(n * p for n, (_, p) in zip(taken, bids, strict=True))
                cost = sum(n * p for n, (_, p) in zip(left, offers, strict=True))
                best = max(best, value - cost)
    return best


STEPS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 6)), max_size=3)


@given(wanted=STEPS, given_up=STEPS, price=st.integers(0, 14))
def test_the_second_settlement_maximises_welfare(
    wanted: list[tuple[int, int]], given_up: list[tuple[int, int]], price: int
) -> None:
    bids = [Order(n, b"b%d" % n, BUY, e, p, n) for n, (e, p) in enumerate(wanted)]
    offers = [Order(n, b"s%d" % n, SELL, e, p, n) for n, (e, p) in enumerate(given_up, len(wanted))]
    found = settle_second(bids, offers, price)
    assert found.welfare_pico == best_welfare(wanted, given_up, price)
    assert found.surplus_micro >= 0
    for order, award in zip((*bids, *offers), found.awards, strict=True):
        if award.energy_milli_wh:
            gain = 2 * order.price_micro_per_kwh - price
            assert gain >= 0 if order.side == BUY else gain <= 0


def test_the_baseline_is_a_mean_of_past_intervals() -> None:
    assert baseline_milli_wh([4, 8, 6], 0) == 6
    assert baseline_milli_wh([4, 8, 6], 2) == 7
    assert baseline_milli_wh([1, 2], 0) == 2, "1.5 to even"
    assert baseline_milli_wh([2, 3], 0) == 2, "2.5 to even"
    assert baseline_milli_wh([5], 0) == 5


def test_what_counts_of_a_promise() -> None:
    assert delivered_milli_wh(10, 7, 5, DOWN) == 3
    assert delivered_milli_wh(10, 2, 5, DOWN) == 5
    assert delivered_milli_wh(10, 12, 5, DOWN) == 0
    assert delivered_milli_wh(10, 12, 5, UP) == 2


@pytest.mark.parametrize(("delivered", "penalty"), [(10, 0), (9, 0), (8, 100), (0, 900)])
def test_a_penalty_is_for_what_is_missing_beyond_the_tolerance(
    delivered: int, penalty: int
) -> None:
    assert penalty_micro([10 * KWH], [delivered * KWH], price=100, tolerance_percent=10) == penalty


@given(
    promised=st.lists(st.integers(0, 10**9), min_size=1, max_size=12),
    parts=st.lists(st.integers(0, 100), min_size=12, max_size=12),
    price=st.integers(0, 10**9),
    tolerance=st.integers(0, 100),
)
def test_rewards_and_penalties_stay_within_their_reserves(
    promised: list[int], parts: list[int], price: int, tolerance: int
) -> None:
    delivered = [each * part // 100 for each, part in zip(promised, parts, strict=False)]
    most = reserve_micro(promised, price)
    assert 0 <= reward_micro(delivered, price) <= most
    penalty = penalty_micro(promised, delivered, price=price, tolerance_percent=tolerance)
    assert 0 <= penalty <= most
