"""Posting, updating, withdrawing and buying: what each does, and the code of each refusal."""

from __future__ import annotations

from typing import Any

import pytest

from market.matching import MAX_FILLS, MAX_PAYMENTS
from tests.market.measure import MARKET, build, deep_feeder
from tests.market.support import ROLES, START_MS, Person, World, kwh, tokens
from vm.primitives.codec import encode
from vm.primitives.errors import OutOfGas
from vm.primitives.integers import MAX_AMOUNT
from vm.system.accounts import REMOVED, SUSPENDED

KWH = 1_000_000


@pytest.fixture
def world() -> World:
    people = [Person(name) for name in ("A", "B", "C")]
    people += [Person("buyer", ("consumer",)), Person("operator", ("operator",))]
    return World(people, {"markets": [{"name": "m"}, {"name": "other", "min_price": "1"}]})


def post(world: World, who: str, energy: int = KWH, price: int = tokens("10")) -> int:
    number: int = world.call(who, "post", "m", 0, energy, price)
    return number


def buy(
    world: World, energy: int = KWH, price: int = tokens("20"), partial: bool = False
) -> list[Any]:
    fills: list[Any] = world.call("buyer", "buy", "m", 0, energy, price, partial)
    return fills


def sellers(world: World, fills: list[Any]) -> list[str]:
    names = {account: name for name, account in world.ids.items()}
    return [names[fill[1]] for fill in fills]


def test_posting_reserves_energy_so_that_nobody_sells_it_twice(world: World) -> None:
    post(world, "A", kwh("30"))
    assert world.balances()["A"] == (tokens("1000"), kwh("20"), kwh("30"))
    assert world.code("A", "post", "m", 0, kwh("20.000001"), 10) == "insufficient_energy"
    transfer = ("transfer_energy", world.ids["B"], kwh("21"))
    assert world.code("A", *transfer, module="accounts") == "insufficient_energy"


def test_cheapest_first_and_earlier_first_at_equal_price(world: World) -> None:
    post(world, "C", price=tokens("11"))
    post(world, "B")
    post(world, "A")
    post(world, "B", price=tokens("9"))
    assert sellers(world, buy(world, 4 * KWH)) == ["B", "B", "A", "C"]


def test_an_update_keeps_its_place_only_if_nothing_but_its_energy_falls(world: World) -> None:
    first, second, _ = post(world, "A", 3 * KWH), post(world, "B", KWH), post(world, "C", KWH)
    world.call("A", "update", "m", first, KWH, tokens("10"))
    assert world.balances()["A"][2] == KWH
    world.call("B", "update", "m", second, 2 * KWH, tokens("10"))
    assert sellers(world, buy(world, 4 * KWH)) == ["A", "C", "B"]


def test_an_update_at_another_price_queues_anew(world: World) -> None:
    first = post(world, "A")
    post(world, "B")
    for price in ("11", "10"):
        world.call("A", "update", "m", first, KWH, tokens(price))
    assert sellers(world, buy(world, KWH)) == ["B"]
    assert world.index() == world.rebuilt_index()


def test_a_withdrawn_offer_is_gone_and_its_energy_free(world: World) -> None:
    number = post(world, "A", kwh("30"))
    world.call("A", "withdraw", "m", number)
    assert world.balances()["A"] == (tokens("1000"), kwh("50"), 0)
    assert world.index() == world.rebuilt_index()
    for name, *rest in (("withdraw",), ("update", KWH, 10**7)):
        assert world.code("A", name, "m", number, *rest) == "unknown_offer"


def test_a_buyer_never_gets_own_offers(world: World) -> None:
    post(world, "A", price=tokens("1"))
    assert world.code("A", "buy", "m", 0, KWH, tokens("20"), True) == "own_offer"
    post(world, "B")
    fills = world.call("A", "buy", "m", 0, 2 * KWH, tokens("20"), True)
    assert sellers(world, fills) == ["B"]
    assert world.code("A", "buy", "m", 0, KWH, tokens("0.5"), True) == "not_enough_offers"


def test_a_purchase_is_all_or_nothing_unless_partial(world: World) -> None:
    assert world.code("buyer", "buy", "m", 0, KWH, tokens("20"), True) == "not_enough_offers"
    post(world, "A")
    post(world, "B", price=tokens("15"))
    order = ("m", 0, 2 * KWH, tokens("14"))
    assert world.code("buyer", "buy", *order, False) == "not_enough_offers"
    assert sellers(world, world.call("buyer", "buy", *order, True)) == ["A"]


@pytest.mark.parametrize("status", [SUSPENDED, REMOVED])
def test_offers_of_inactive_members_are_passed_over(world: World, status: int) -> None:
    number = post(world, "A", price=tokens("1"))
    other = post(world, "B")
    world.set_status("A", status)
    assert sellers(world, buy(world, KWH // 2)) == ["B"]
    assert world.code("buyer", "withdraw_inactive", "m", number) == "wrong_role"
    assert world.code("operator", "withdraw_inactive", "m", other) == "still_active"
    world.call("operator", "withdraw_inactive", "m", number)
    assert world.balances()["A"][1:] == (kwh("50"), 0)


@pytest.mark.parametrize(
    ("who", "name", "arguments", "code"),
    [
        ("A", "post", ("none", 0, KWH, 10), "unknown_market"),
        ("A", "post", ("m", 1, KWH, 10), "wrong_interval"),
        ("A", "post", ("other", 0, KWH, 999_999), "price_out_of_range"),
        ("A", "post", ("m", 0, KWH, 10**12 + 1), "price_out_of_range"),
        ("A", "post", ("m", 0, 0, 10), "invalid_arguments"),
        ("A", "post", ("m", 0, -1, 10), "invalid_arguments"),
        ("A", "post", ("m", 0, 2**63, 10), "invalid_arguments"),
        ("A", "post", ("m", 0, MAX_AMOUNT, 10), "insufficient_energy"),
        ("A", "post", ("m", 0, KWH, -1), "invalid_arguments"),
        ("A", "post", ("m", 0, True, 10), "invalid_arguments"),
        ("A", "post", ("m", 0, KWH), "invalid_arguments"),
        ("buyer", "post", ("m", 0, KWH, 10), "wrong_role"),
        ("operator", "buy", ("m", 0, KWH, 10, True), "wrong_role"),
        ("buyer", "buy", ("m", 0, KWH, 10, 1), "invalid_arguments"),
        ("buyer", "buy", ("m", 0, 0, 10, True), "invalid_arguments"),
        ("buyer", "buy", ("m", 0, MAX_AMOUNT, MAX_AMOUNT, False), "not_enough_offers"),
        ("buyer", "buy", ("m", 1, KWH, 10, True), "wrong_interval"),
        ("buyer", "buy", ("none", 0, KWH, 10, True), "unknown_market"),
        ("B", "withdraw", ("m", 1), "not_your_offer"),
        ("A", "withdraw", ("m", 99), "unknown_offer"),
        ("A", "withdraw", ("other", 1), "unknown_offer"),
        ("operator", "withdraw_inactive", ("m", 99), "unknown_offer"),
        ("B", "update", ("m", 1, KWH, 10), "not_your_offer"),
        ("A", "update", ("other", 1, KWH, 10), "unknown_offer"),
        ("A", "update", ("m", 1, kwh("51"), tokens("10")), "insufficient_energy"),
        ("A", "update", ("m", 1, KWH, 10**12 + 1), "price_out_of_range"),
        ("A", "update", ("m", 1, 0, 10), "invalid_arguments"),
        ("buyer", "update", ("m", 1, KWH, 10), "wrong_role"),
        ("operator", "set_line_rating", ("m", "line", 1), "unknown_line"),
        ("operator", "set_line_rating", ("m", "line", -1), "invalid_arguments"),
        ("A", "set_line_rating", ("m", "line", 1), "wrong_role"),
        ("operator", "set_pair_limit", ("m", b"x" * 20, b"y" * 20, 1), "unknown_account"),
        ("operator", "set_pair_limit", ("m", b"x" * 20, b"x" * 20, 1), "same_account"),
        ("A", "set_pair_limit", ("m", b"x" * 20, b"y" * 20, 1), "wrong_role"),
        ("operator", "set_policy", ("m", "penalty", 1, "edc"), "no_edc"),
        ("operator", "set_policy", ("m", "forbid", 1, "seller"), "invalid_arguments"),
        ("operator", "set_policy", ("m", ["skip"], 1, "seller"), "invalid_arguments"),
        ("A", "set_policy", ("m", "skip", 1, "seller"), "wrong_role"),
    ],
)
def test_a_refusal_has_a_code_and_changes_nothing(
    world: World, who: str, name: str, arguments: tuple[Any, ...], code: str
) -> None:
    assert post(world, "A") == 1
    assert world.code(who, name, *arguments) == code


def test_the_buyer_needs_the_money(world: World) -> None:
    post(world, "A", kwh("50"), tokens("20.000001"))
    assert world.code("buyer", "buy", "m", 0, kwh("50"), tokens("30"), False) == (
        "insufficient_money"
    )


def test_an_account_that_cannot_hold_more_refuses_the_trade(world: World) -> None:
    post(world, "A")
    leaf = world.account("buyer")
    leaf.energy_milli_wh = MAX_AMOUNT
    world.overlay.put(b"a" + world.ids["buyer"], leaf.encode())
    assert world.code("buyer", "buy", "m", 0, KWH, tokens("20"), False) == "overflow"


def test_a_seller_has_a_limited_number_of_offers_over_all_intervals() -> None:
    market = {"name": "m", "interval_minutes": 15, "max_offers_per_member": 3}
    world = World([Person("A"), Person("B")], {"markets": [market, {"name": "other"}]})
    first = START_MS // 900_000 + 1
    for interval in range(first, first + 3):
        world.call("A", "post", "m", interval, KWH, 10)
    assert world.code("A", "post", "m", first + 3, KWH, 10) == "too_many_offers"
    world.call("A", "update", "m", 3, KWH, 11)
    world.call("A", "post", "other", 0, KWH, 10)
    world.call("B", "post", "m", first, KWH, 10)
    assert world.index() == world.rebuilt_index()
    world.call("A", "withdraw", "m", 1)
    world.call("A", "post", "m", first + 3, KWH, 10)
    world.call("B", "buy", "m", first + 1, KWH, 10, False)
    world.call("A", "post", "m", first, KWH, 10)
    assert world.code("A", "post", "m", first, KWH, 10) == "too_many_offers"
    world.advance(60 * 60_000)
    assert world.index() == world.rebuilt_index()
    world.call("A", "post", "m", first + 4, KWH, 10)


def test_nothing_smaller_than_the_least_energy_is_offered_or_bought() -> None:
    world = World(
        [Person("A"), Person("B")], {"markets": [{"name": "m", "min_energy_kwh": "0.001"}]}
    )
    assert world.code("A", "post", "m", 0, 999, 10) == "energy_too_small"
    number = world.call("A", "post", "m", 0, 1_500, 10)
    assert world.code("B", "buy", "m", 0, 999, 10, True) == "energy_too_small"
    world.call("B", "buy", "m", 0, 1_000, 10, False)
    assert world.standing()[number][1] == 500
    assert world.code("A", "update", "m", number, 499, 10) == "energy_too_small"
    world.call("A", "update", "m", number, 500, 11)
    assert world.code("B", "buy", "m", 0, 1_000, 11, False) == "not_enough_offers"
    assert len(world.call("B", "buy", "m", 0, 1_000, 11, True)) == 1
    assert world.standing() == {}


def test_too_many_fills_end_a_partial_purchase_and_fail_another() -> None:
    world = deep_feeder(100, "penalty")
    everything = ("buy", MARKET, 0, 10**12, 10**9)
    assert world.code("buyer", *everything, False) == "too_many_fills"
    fills = world.call("buyer", *everything, True)
    assert len(fills) == MAX_FILLS
    assert len(world.events) <= 400 + MAX_PAYMENTS
    receipt = encode([list(fills), [list(event) for event in world.events[400:]]])
    assert len(receipt) < 2**17
    world.check_conservation()
    assert world.index() == world.rebuilt_index()


@pytest.mark.parametrize("kind", ["plain", "feeder", "penalty"])
def test_a_partial_purchase_short_of_gas_settles_what_it_has(kind: str) -> None:
    policy = {"feeder": "skip"}.get(kind, kind)
    world = build("plain", 1_000) if kind == "plain" else deep_feeder(30, policy)
    call = ("market", "buy", (MARKET, 0, 100 * 1_000, 10**9, True))
    seen = []
    for gas in (*range(30_000, 60_000, 700), 100_000, 200_000, 2_000_000):
        mark = world.overlay.mark()
        ctx = world.context("buyer", gas)
        fills: Any = world.runtime.run_call(ctx, call)
        seen.append(len(fills))
        assert ctx.gas_used <= ctx.gas_limit == gas
        world.check_conservation()
        world.overlay.undo(mark)
    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[-1] or kind == "plain"
    ctx = world.context("buyer", 1_000)
    with pytest.raises(OutOfGas):
        world.runtime.run_call(ctx, call)


def test_a_failed_call_undoes_its_whole_transaction(world: World) -> None:
    before = world.balances()
    calls = [("post", "m", 0, KWH, 10), ("post", "m", 0, kwh("50"), 10)]
    assert world.overlay.get(b"coffer") is None
    with pytest.raises(Exception, match="not enough energy"):
        world.transaction("A", calls)
    assert world.balances() == before
    assert world.index() == world.rebuilt_index()


def test_sellers_and_buyers_are_members_with_such_a_role() -> None:
    expected = {
        "post": {"prosumer", "supplier", "aggregator"},
        "buy": {"consumer", "prosumer", "aggregator", "supplier"},
    }
    for name, roles in expected.items():
        for role in ROLES:
            world = World([Person("A", (role,))], {"markets": [{"name": "m"}]})
            arguments = ("m", 0, KWH, 10) if name == "post" else ("m", 0, KWH, 10, True)
            assert (world.code("A", name, *arguments) == "wrong_role") == (role not in roles)


def test_events_say_what_happened(world: World) -> None:
    number = post(world, "A", 3 * KWH)
    world.call("A", "update", "m", number, 2 * KWH, tokens("11"))
    buy(world)
    world.call("A", "withdraw", "m", number)
    seller, buyer = world.ids["A"], world.ids["buyer"]
    assert world.events == [
        ("market", "post", ("m", seller, 1, 0, 3 * KWH, tokens("10"))),
        ("market", "update", ("m", seller, 1, 0, 2 * KWH, tokens("11"))),
        ("market", "trade", ("m", buyer, seller, 1, 0, KWH, tokens("11"), 0, tokens("11"))),
        ("market", "withdraw", ("m", seller, 1, 0, KWH)),
    ]
