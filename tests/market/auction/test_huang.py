"""The auction of Huang, Scheller-Wolf and Sycara: its rules, and that lying does not pay."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.auction.clearing import Clearing, conclude, pair_fills
from market.auction.huang import bear_excess, clear_huang, clear_ranked, rank_of
from market.auction.orders import BUY, SELL, Order
from tests.market.auction.books import KWH, TOKEN, bid, books, offer, owner
from tests.market.auction.deviations import (
    KINDS,
    Tally,
    clear_merged,
    clear_merged_round,
    find_small_lies,
    try_deviations,
)
from vm.primitives.errors import CallError

SEED = b"s" * 32


def energies(found: Clearing) -> list[int]:
    return [award.energy_milli_wh for award in found.awards]


def test_the_marginal_traders_set_the_prices_and_do_not_trade() -> None:
    book = [
        bid(1, 2, 10),
        bid(2, 1, 8),
        bid(3, 1, 5),
        offer(4, 1, 1),
        offer(5, 1, 2),
        offer(6, 1, 3),
    ]
    found = clear_huang(book, SEED)
    # Efficient: 3 kWh, L = bid 2, K = offer 6.
    assert energies(found) == [2 * KWH, 0, 0, KWH, KWH, 0]
    assert found.buyer_price_half_micro_per_kwh == 2 * 8 * TOKEN
    assert found.seller_price_half_micro_per_kwh == 2 * 3 * TOKEN
    assert found.surplus_micro == 2 * (8 - 3) * TOKEN


def test_the_long_side_bears_the_excess_in_equal_parts() -> None:
    def bear(*parts: int, excess: int) -> list[int]:
        return bear_excess(parts, excess, range(len(parts)))

    assert bear(10, 20, 30, excess=6) == [8, 18, 28]
    # Who has less than a part trades nothing, and the others bear what is missing.
    assert bear(100, 50, 200, excess=180) == [35, 0, 135]
    # Units that do not divide fall on the last in rank.
    assert bear(10, 10, 10, excess=5) == [9, 8, 8]
    assert bear(10, 20, excess=30) == [0, 0]
    assert bear(10, 20, excess=0) == [10, 20]


@given(parts=st.lists(st.integers(1, 40), min_size=1, max_size=9), part=st.integers(0, 1_000))
def test_bearing_is_exact_and_within_a_unit_of_equal(parts: list[int], part: int) -> None:
    excess = sum(parts) * part // 1_000
    left = bear_excess(parts, excess, range(len(parts)))
    borne = [before - after for before, after in zip(parts, left, strict=True)]
    assert sum(borne) == excess
    assert all(after >= 0 for after in left)
    most = max(borne)
    assert all(after == 0 or bears >= most - 1 for bears, after in zip(borne, left, strict=True))


def test_equal_prices_are_ranked_by_a_hash_that_changes_with_the_round() -> None:
    book = [bid(1, 1, 5), bid(2, 1, 5), offer(3, 1, 1), offer(4, 1, 2)]
    winners = {tuple(energies(clear_huang(book, bytes([n]) * 32))[:2]) for n in range(20)}
    assert winners == {(KWH, 0), (0, KWH)}
    assert rank_of(SEED, owner(1)) != rank_of(SEED, owner(2))
    # More orders are no more tickets: the rank is the owner's.
    for n in range(20):
        seed = bytes([n]) * 32
        split = [bid(1, 1, 5)._replace(energy_milli_wh=KWH // 2), *book[1:],
                 bid(9, 1, 5, of=1)._replace(energy_milli_wh=KWH // 2)]  # fmt: skip
        parts = energies(clear_huang(split, seed))
        assert [parts[0] + parts[-1], *parts[1:-1]] == energies(clear_huang(book, seed))


def test_an_owner_stands_on_one_side() -> None:
    with pytest.raises(CallError) as caught:
        clear_huang([bid(1, 1, 5), offer(2, 1, 1, of=1)], SEED)
    assert caught.value.code == "both_sides"


def test_the_orders_of_an_owner_are_one_trader_at_the_least_favourable_price() -> None:
    rest = [bid(2, 1, 8), offer(4, 1, 1), offer(5, 1, 2), offer(6, 1, 3)]
    whole = clear_huang([bid(1, 2, 5), *rest], SEED)
    split = clear_huang([bid(1, 1, 10), bid(9, 1, 5, of=1), *rest], SEED)
    assert energies(split)[0] + energies(split)[1] == energies(whole)[0]
    assert split.buyer_price_half_micro_per_kwh == whole.buyer_price_half_micro_per_kwh


@pytest.mark.parametrize("traders", [1, 2, 3])
def test_no_misreport_pays_on_any_book_of_few_traders_and_three_sizes(traders: int) -> None:
    sides = [(BUY, SELL)] * traders
    _, paying = find_small_lies(clear_ranked, sides=sides, prices=6, sizes=(1, 2, 3))
    assert paying == []


def test_no_misreport_pays_on_any_book_of_four_traders_and_six_prices() -> None:
    sides = [(BUY, SELL)] * 4
    tried, paying = find_small_lies(clear_ranked, sides=sides, prices=6, sizes=(1, 2))
    assert paying == []
    assert tried == 24**4 * 4 * 5


FIVE = [(BUY,), (BUY,), (BUY,), (SELL,), (SELL,)]


def test_merging_equal_prices_is_caught() -> None:
    """With four traders nothing tied can trade; five are the fewest with which lying pays."""
    _, honest = find_small_lies(clear_ranked, sides=FIVE, prices=4, sizes=(1, 2))
    assert honest == []
    _, paying = find_small_lies(clear_merged, sides=FIVE, prices=4, sizes=(1, 2))
    assert len(paying) > 10
    tally = Tally()
    rng = random.Random(7)
    for _ in range(100):
        try_deviations(rng, tally, per_book=10, clear=clear_merged_round)
    assert any(line.startswith("price") for line in tally.paying)


def test_no_deviation_pays_at_random() -> None:
    rng = random.Random(7)
    tally = Tally()
    for _ in range(300):
        try_deviations(rng, tally, per_book=10)
    assert tally.paying == []
    assert set(tally.tried) == set(KINDS)
    assert tally.traded > 200
    assert tally.unpunished["price"] == tally.unpunished["split"] == 0
    # The penalty is what deters these: without it some pay.
    assert tally.unpunished["shill buys"] and tally.unpunished["quantity"]


def test_the_random_search_catches_a_mechanism_in_which_the_margin_trades() -> None:
    def first_price_margin(book: Sequence[Order], seed: bytes) -> Clearing:
        """Rule 4 broken: the price setters trade too, at the prices that they set."""
        from market.auction.crossing import TIME, fill_side, find_crossing
        from market.auction.orders import merit_order

        bids, offers = merit_order(book)
        crossing = find_crossing(bids, offers)
        if crossing is None:
            return conclude(book, ())
        volume = crossing.volume_milli_wh
        return conclude(
            book,
            pair_fills(
                fill_side(bids, crossing.last_bid, volume, TIME),
                fill_side(offers, crossing.last_offer, volume, TIME),
                2 * bids[crossing.last_bid].price_micro_per_kwh,
                2 * offers[crossing.last_offer].price_micro_per_kwh,
            ),
        )

    rng = random.Random(7)
    tally = Tally()
    for _ in range(100):
        try_deviations(rng, tally, per_book=10, clear=first_price_margin)
    assert any(line.startswith("price") for line in tally.paying)


@given(book=books(one_sided=True))
@settings(max_examples=200, deadline=None)
def test_the_surplus_is_the_spread(book: list[Order]) -> None:
    found = clear_huang(book, SEED)
    if found.trades:
        paid, got = found.buyer_price_half_micro_per_kwh, found.seller_price_half_micro_per_kwh
        assert paid is not None and got is not None
        assert paid >= got
        assert abs(found.surplus_micro * 2 * KWH - found.volume_milli_wh * (paid - got)) <= (
            2 * KWH * len(book)
        )
