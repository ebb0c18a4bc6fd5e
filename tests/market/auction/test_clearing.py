"""What every mechanism keeps: energy, money, everybody's limit, and the order of the book aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.auction.clearing import Clearing, reserved_micro
from market.auction.crossing import PRO_RATA, TIME, share_pro_rata
from market.auction.huang import clear_huang
from market.auction.orders import BUY, SELL, Order, Step, validate_book, validate_steps
from market.auction.pay_as_bid import clear_pay_as_bid
from market.auction.uniform import CROSSING, LAST_PAIR, clear_midpoint, clear_uniform
from tests.market.auction.books import KWH, TOKEN, bid, books, offer
from vm.primitives.errors import CallError
from vm.primitives.integers import MAX_AMOUNT

SEED = b"s" * 32
MECHANISMS: dict[str, Callable[[Sequence[Order]], Clearing]] = {
    "uniform": clear_uniform,
    "uniform, time": lambda book: clear_uniform(book, rationing=TIME),
    "uniform, last pair": lambda book: clear_uniform(book, price_rule=LAST_PAIR),
    "midpoint": clear_midpoint,
    "midpoint, pro rata": lambda book: clear_midpoint(book, rationing=PRO_RATA),
    "pay_as_bid": clear_pay_as_bid,
    "huang": lambda book: clear_huang(book, SEED),
}


@pytest.mark.parametrize("name", MECHANISMS)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_and_nobody_loses(name: str, data: st.DataObject) -> None:
    book = data.draw(books(owners=5, one_sided=name == "huang"))
    validate_book(book)
    found = MECHANISMS[name](book)
    orders = {order.number: order for order in book}
    traded = dict.fromkeys(orders, 0)
    for trade in found.trades:
        assert trade.energy_milli_wh > 0
        assert trade.buyer_price_half_micro_per_kwh >= trade.seller_price_half_micro_per_kwh
        assert trade.buyer_price_half_micro_per_kwh <= 2 * orders[trade.bid].price_micro_per_kwh
        assert trade.seller_price_half_micro_per_kwh >= 2 * orders[trade.offer].price_micro_per_kwh
        assert (orders[trade.bid].side, orders[trade.offer].side) == (BUY, SELL)
        traded[trade.bid] += trade.energy_milli_wh
        traded[trade.offer] += trade.energy_milli_wh
    assert [award.number for award in found.awards] == list(orders)
    paid = got = 0
    for award in found.awards:
        order = orders[award.number]
        assert award.energy_milli_wh == traded[award.number]
        assert award.residual_milli_wh == order.energy_milli_wh - award.energy_milli_wh >= 0
        limit = reserved_micro(award.energy_milli_wh, order.price_micro_per_kwh)
        if order.side == BUY:
            assert 0 <= award.amount_micro <= limit
            paid += award.amount_micro
        else:
            assert award.amount_micro >= limit - 1
            got += award.amount_micro
    assert found.surplus_micro == paid - got >= 0
    if found.buyer_price_half_micro_per_kwh == found.seller_price_half_micro_per_kwh:
        assert found.surplus_micro <= len(book), "one price leaves fractions only"
    assert found.volume_milli_wh * 2 == sum(traded.values())
    assert found.welfare_pico >= 0


@pytest.mark.parametrize("name", MECHANISMS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_book_plays_no_part(name: str, data: st.DataObject) -> None:
    book = data.draw(books(owners=5, one_sided=name == "huang"))
    other = data.draw(st.permutations(book))
    first, second = MECHANISMS[name](book), MECHANISMS[name](other)
    assert sorted(first.awards) == sorted(second.awards)
    assert first.trades == second.trades
    assert first.surplus_micro == second.surplus_micro


def greatest_welfare(book: Sequence[Order]) -> int:
    """Return the most that trading units of 1 mWh can bring, by trying all volumes."""
    bids = sorted(
        (o.price_micro_per_kwh for o in book if o.side == BUY for _ in range(o.energy_milli_wh)),
        reverse=True,
    )
    offers = sorted(
        o.price_micro_per_kwh for o in book if o.side == SELL for _ in range(o.energy_milli_wh)
    )
    return max(
        sum(bids[:volume]) - sum(offers[:volume])
        for volume in range(min(len(bids), len(offers)) + 1)
    )


@given(sizes=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 4), st.integers(0, 5))))
@settings(max_examples=200, deadline=None)
@pytest.mark.parametrize("rationing", [PRO_RATA, TIME])
@pytest.mark.parametrize("price_rule", [CROSSING, LAST_PAIR])
def test_uniform_is_efficient_and_clears(
    sizes: list[tuple[int, int, int]], rationing: int, price_rule: int
) -> None:
    book = [bid(n, 1, 1)._replace(side=s, energy_milli_wh=e, price_micro_per_kwh=p)
            for n, (s, e, p) in enumerate(sizes)]  # fmt: skip
    found = clear_uniform(book, price_rule=price_rule, rationing=rationing)
    best = greatest_welfare(book)
    assert found.welfare_pico == best
    price = found.buyer_price_half_micro_per_kwh
    if price is None or price_rule == LAST_PAIR:
        return
    for order, award in zip(book, found.awards, strict=True):
        gain = (2 * order.price_micro_per_kwh - price) * (1 if order.side == BUY else -1)
        assert not (gain > 0 and award.residual_milli_wh), "who would gain waits"
        assert not (gain < 0 and award.energy_milli_wh), "who loses trades"


def test_the_price_at_a_vertical_and_at_a_horizontal_overlap() -> None:
    vertical = [bid(1, 2, 10), bid(2, 1, 3), offer(3, 2, 4), offer(4, 1, 9)]
    # Between the offer that trades (4) and the offer that waits (9), the bids 10 and 3 aside.
    assert clear_uniform(vertical).buyer_price_half_micro_per_kwh == (4 + 9) * TOKEN
    assert (
        clear_uniform(vertical, price_rule=LAST_PAIR).buyer_price_half_micro_per_kwh
        == (4 + 10) * TOKEN
    )
    partial = [bid(1, 3, 10), offer(2, 2, 4)]
    assert clear_uniform(partial).buyer_price_half_micro_per_kwh == 2 * 10 * TOKEN
    horizontal = [bid(1, 3, 7), offer(2, 2, 7)]
    found = clear_uniform(horizontal)
    assert found.buyer_price_half_micro_per_kwh == 2 * 7 * TOKEN
    assert found.volume_milli_wh == 2 * KWH
    assert found.awards[0].amount_micro == found.awards[1].amount_micro == 14 * TOKEN


def test_the_margin_is_shared_pro_rata_or_by_time() -> None:
    book = [offer(1, 4, 5), bid(2, 1, 9), bid(3, 3, 6), bid(4, 3, 6), bid(5, 1, 6)]
    shared = clear_uniform(book)
    assert [award.energy_milli_wh for award in shared.awards[1:]] == [
        KWH, 1_285_715, 1_285_714, 428_571,
    ]  # fmt: skip
    in_time = clear_uniform(book, rationing=TIME)
    assert [award.energy_milli_wh for award in in_time.awards[1:]] == [KWH, 3 * KWH, 0, 0]


@given(wanted=st.lists(st.integers(1, 50), min_size=1, max_size=8), part=st.integers(0, 1_000))
def test_pro_rata_shares_add_up_and_fit(wanted: list[int], part: int) -> None:
    total = sum(wanted) * part // 1_000
    shares = share_pro_rata(wanted, total)
    assert sum(shares) == total
    for each, share in zip(wanted, shares, strict=True):
        assert 0 <= share <= each
        assert abs(share * sum(wanted) - each * total) <= sum(wanted), "within a unit"


def test_midpoint_prices_each_pair() -> None:
    found = clear_midpoint([bid(1, 1, 10), bid(2, 1, 8), offer(3, 1, 3), offer(4, 1, 6)])
    assert [trade.buyer_price_half_micro_per_kwh for trade in found.trades] == [
        13 * TOKEN, 14 * TOKEN,
    ]  # fmt: skip
    assert [award.amount_micro for award in found.awards] == [
        6_500_000, 7_000_000, 6_500_000, 7_000_000,
    ]  # fmt: skip


def test_continuous_matching_is_at_the_standing_price_and_passes_over_own_orders() -> None:
    found = clear_pay_as_bid(
        [offer(1, 2, 5), offer(2, 1, 4), bid(3, 2, 6), bid(4, 1, 7, of=1), offer(5, 1, 1)]
    )
    assert [tuple(trade)[:4] for trade in found.trades] == [
        (3, 2, KWH, 8 * TOKEN),
        (3, 1, KWH, 10 * TOKEN),
        (4, 5, KWH, 14 * TOKEN),  # its own offer 1 was cancelled, so it stood
    ]


@pytest.mark.parametrize("name", MECHANISMS)
def test_books_at_the_edges(name: str) -> None:
    clear = MECHANISMS[name]
    for book in (
        [],
        [bid(1, 1, 5)],
        [offer(1, 1, 5), offer(2, 1, 5)],
        [bid(1, 1, 4), offer(2, 1, 5)],
    ):
        found = clear(book)
        assert found.volume_milli_wh == found.surplus_micro == found.welfare_pico == 0
        assert not found.trades
        assert found.buyer_price_half_micro_per_kwh is None
        assert [a.residual_milli_wh for a in found.awards] == [o.energy_milli_wh for o in book]
    equal = [*(bid(n, 1, 5) for n in range(4)), *(offer(n, 1, 5) for n in range(4, 8))]
    assert clear(equal).volume_milli_wh == (3 if name == "huang" else 4) * KWH
    smallest = [order._replace(energy_milli_wh=1) for order in equal]
    found = clear(smallest)
    assert found.surplus_micro >= 0
    bounds = [
        order._replace(energy_milli_wh=MAX_AMOUNT, price_micro_per_kwh=price)
        for order, price in zip(equal, [MAX_AMOUNT, MAX_AMOUNT, 0, 0] * 2, strict=True)
    ]
    assert clear(bounds).surplus_micro >= 0


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([], "no_steps"),
        ([Step(1, price) for price in range(25, 0, -1)], "too_many_steps"),
        ([Step(0, 5)], "invalid_energy"),
        ([Step(MAX_AMOUNT + 1, 5)], "invalid_energy"),
        ([Step(1, -1)], "invalid_price"),
        ([Step(1, MAX_AMOUNT + 1)], "invalid_price"),
        ([Step(1, 5), Step(1, 6)], "steps_out_of_order"),
        ([Step(1, 5), Step(1, 5)], "steps_out_of_order"),
    ],
)
def test_steps_that_are_refused(steps: list[Step], code: str) -> None:
    with pytest.raises(CallError) as caught:
        validate_steps(BUY, steps)
    assert caught.value.code == code


def test_steps_of_both_sides() -> None:
    validate_steps(BUY, [Step(1, 6), Step(1, 5)])
    validate_steps(SELL, [Step(1, 5), Step(1, 6)])
    with pytest.raises(CallError, match="rising"):
        validate_steps(SELL, [Step(1, 6), Step(1, 5)])


@pytest.mark.parametrize(
    ("book", "code"),
    [
        ([bid(1, 1, 5)._replace(side=2)], "invalid_side"),
        ([bid(1, 0, 5)], "invalid_energy"),
        ([bid(1, 1, 5), bid(1, 1, 5)._replace(priority=2)], "duplicate_order"),
        ([bid(1, 1, 5), bid(2, 1, 5)._replace(priority=1)], "duplicate_priority"),
    ],
)
def test_books_that_are_refused(book: list[Order], code: str) -> None:
    with pytest.raises(CallError) as caught:
        validate_book(book)
    assert caught.value.code == code


def test_every_small_book_trades_the_greatest_volume_of_its_kind() -> None:
    """All books of two bids and two offers at three prices: uniform and midpoint trade alike."""
    for prices in product(range(3), repeat=4):
        first, second, third, fourth = prices
        book = [bid(1, 1, first), bid(2, 2, second), offer(3, 2, third), offer(4, 1, fourth)]
        assert clear_uniform(book).volume_milli_wh == clear_midpoint(book).volume_milli_wh
        assert clear_uniform(book).welfare_pico == clear_midpoint(book).welfare_pico
