"""Properties that hold for any trading: nothing is made or lost, however odd the amounts."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.matching import MAX_FILLS
from tests.market.support import Person, World, kwh, tokens
from vm.primitives.errors import CallError
from vm.primitives.integers import MAX_AMOUNT, trade_amount_micro

NAMES = ("A", "B", "C")
energies = st.one_of(st.integers(1, 3_000), st.integers(1, kwh("60")), st.integers(1, MAX_AMOUNT))
prices = st.one_of(st.integers(0, 20), st.integers(1, tokens("20")), st.integers(0, MAX_AMOUNT))
offers = st.integers(1, 12)
people = st.sampled_from(NAMES)
calls = st.one_of(
    st.tuples(people, st.just("post"), energies, prices),
    st.tuples(people, st.just("update"), offers, energies, prices),
    st.tuples(people, st.just("withdraw"), offers),
    st.tuples(people, st.just("buy"), energies, prices, st.booleans()),
)


def build(policy: str, payee: str, default_limit: str | None) -> World:
    lines = [
        {"name": "ab", "from": "a", "to": "b", "rating_w": 3_000},
        {"name": "bc", "from": "c", "to": "b", "rating_w": 1},
    ]
    market = {
        "name": "m",
        "line_policy": policy,
        "penalty_price": "0.333333",
        "penalty_payee": payee,
        "edc": "A",
        "default_pair_limit_kwh": default_limit,
        "network": {"slack": "a", "buses": ["a", "b", "c"], "lines": lines},
        "max_offers_per_member": 10_000,
    }
    return World([Person(name, bus=name.lower()) for name in NAMES], {"markets": [market]})


@settings(max_examples=150, deadline=None, print_blob=True)
@given(
    st.sampled_from(["ignore", "skip", "penalty"]),
    st.sampled_from(["seller", "edc"]),
    st.sampled_from([None, "0", "2.5"]),
    st.lists(calls, max_size=40),
)
def test_money_and_energy_are_conserved_and_the_index_follows(
    policy: str, payee: str, default_limit: str | None, trading: list[tuple[object, ...]]
) -> None:
    world = build(policy, payee, default_limit)
    for caller, name, *arguments in trading:
        interval = (0,) if name in ("post", "buy") else ()
        try:
            world.call(str(caller), str(name), "m", *interval, *arguments)
        except CallError:
            pass
    world.check_conservation()
    assert world.index() == world.rebuilt_index()
    for _, _, values in [event for event in world.events if event[1] == "trade"]:
        _, buyer, seller, _, _, energy, price, penalty, amount = values
        assert buyer != seller
        assert 0 <= penalty <= price  # type: ignore[operator]
        assert amount == trade_amount_micro(energy, price)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None, print_blob=True)
@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 9)), max_size=80), st.randoms())
def test_the_index_does_not_depend_on_the_order_in_which_it_came_about(
    posts: list[tuple[int, int]], random: object
) -> None:
    world = build("skip", "seller", None)
    numbers = [
        (who, world.call(who, "post", "m", 0, energy, price))
        for who, (energy, price) in zip((NAMES[n % 3] for n in count()), posts, strict=False)
    ]
    random.shuffle(numbers)  # type: ignore[attr-defined]
    for who, number in numbers[: len(numbers) // 2]:
        world.call(who, "withdraw", "m", number)
    assert world.index() == world.rebuilt_index() == world.rebuilt_index(reverse=True)
    for who, number in numbers[len(numbers) // 2 :]:
        world.call(who, "withdraw", "m", number)
    assert not [key for key in world.index() if key[:2] == b"io"]


def test_ten_thousand_fills_of_one_watt_hour_at_odd_prices_do_not_drift() -> None:
    world = build("penalty", "edc", "0")
    for number in range(100):
        world.call(NAMES[number % 2], "post", "m", 0, kwh("0.1"), 9_820_001 + 7 * number)
    bought = paid = 0
    for number in range(10_000):
        fills = world.call("C", "buy", "m", 0, 1_000 - number % 2, tokens("100"), False)
        bought += sum(fill[2] for fill in fills)
        paid += sum(fill[5] for fill in fills)
        if number % 1_000 == 0:
            world.check_conservation()
            world.commit()
        world.overlay.forget_journal()
    assert bought == 10_000 * 1_000 - 5_000
    assert world.balances()["C"] == (tokens("1000") - paid, kwh("50") + bought, 0)
    world.check_conservation()


def test_ten_thousand_offers_of_one_watt_hour_are_bought_in_fifty_calls() -> None:
    world = build("ignore", "seller", None)
    for number in range(10_000):
        world.call("A", "post", "m", 0, 1_000, 1_000_003 + number * 7_919 % 5_003)
        world.overlay.forget_journal()
    wanted = ("buy", "m", 0, 10_000_000, tokens("100"))
    assert world.code("C", *wanted, False) == "too_many_fills"
    prices: list[int] = []
    for _ in range(10_000 // MAX_FILLS):
        fills = world.call("C", *wanted, True)
        assert len(fills) == MAX_FILLS
        prices += [fill[3] for fill in fills]
    assert prices == sorted(prices)
    world.check_conservation()
    assert world.standing() == {}
    assert not [key for key in world.index() if key[:2] in (b"io", b"ic")]


@pytest.mark.parametrize("first", ["withdraw", "buy"])
def test_cancel_and_fill_in_one_block(first: str) -> None:
    world = build("ignore", "seller", None)
    number = world.call("A", "post", "m", 0, kwh("1"), 10)
    withdraw: tuple[Any, ...] = ("A", "withdraw", "m", number)
    buy: tuple[Any, ...] = ("C", "buy", "m", 0, kwh("1"), 10, False)
    order = [withdraw, buy] if first == "withdraw" else [buy, withdraw]
    world.call(*order[0])
    assert world.code(*order[1]) in ("unknown_offer", "not_enough_offers")
    world.check_conservation()


def test_post_withdraw_update_and_buy_in_one_transaction() -> None:
    world = build("ignore", "seller", None)
    other = world.call("B", "post", "m", 0, kwh("3"), 10)
    found = world.transaction(
        "A",
        [
            ("post", "m", 0, kwh("50"), 11),
            ("update", "m", other + 1, kwh("20"), 9),
            ("buy", "m", 0, kwh("3"), 10, False),
            ("post", "m", 0, kwh("33"), 12),
            ("withdraw", "m", other + 1),
        ],
    )
    assert found[0] == other + 1
    assert world.balances()["A"][1:] == (kwh("20"), kwh("33"))
    world.check_conservation()
    assert world.index() == world.rebuilt_index()
