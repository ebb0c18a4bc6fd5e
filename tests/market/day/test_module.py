"""A day market on the chain: gates from the first order to contracts, and settlement by meters."""

from __future__ import annotations

from typing import Any

import pytest

from market.day.books import load_book
from market.day.lines import (
    BOUGHT,
    SHORTFALL,
    SOLD,
)
from market.day.settlement_records import CORRECTED
from tests.market.day.day_world import MINUTE, QUARTER, TERMS, DayWorld, shown, step
from tests.market.support import kwh, tokens
from vm.primitives.integers import MAX_AMOUNT


def test_an_interval_from_orders_to_money() -> None:
    world = DayWorld()
    world.place("A", "buy", step("2", "25"))
    world.place("B", "sell", step("3", "15"))
    assert world.account("A").money_reserved_micro == tokens("60"), "at the retail tariff"
    assert world.account("B").money_reserved_micro == 3 * tokens("19"), "retail, penalty, own price"
    world.before(60)
    volume, price = world.told("clear")[0][3:5]
    assert (volume, price) == (kwh("2"), 2 * tokens("15"))
    assert world.money("A") == world.money("B") == tokens("1000"), "no money moves yet"
    world.measure("A", "0", "2")
    world.measure("B", "3", "0")
    sums = world.settle()
    assert world.money("A") == tokens("1000") - tokens("30")
    assert world.money("B") == tokens("1000") + tokens("30") + tokens("10"), "one kWh fed in"
    assert world.account("B").energy_milli_wh == kwh("3"), "ecoins"
    assert (sums.from_upstream_milli_wh, sums.to_upstream_milli_wh) == (0, kwh("1"))
    world.correct()
    world.conserve()
    assert world.account("A").money_reserved_micro == world.account("B").money_reserved_micro == 0


def test_residuals_go_on_from_gate_to_gate_and_last_upstream() -> None:
    world = DayWorld()
    number = world.place("A", "buy", step("5", "25"))
    world.place("B", "sell", step("2", "15"))
    world.before(60)
    assert world.told("bought")[0][3:] == (number, world.ids["A"], kwh("2"), tokens("50"), kwh("3"))
    world.place("C", "sell", step("1", "20"))
    world.before(5)
    assert [values[2] for values in world.told("clear")] == [1, 2], "intraday, then real time"
    assert world.told("bought")[1][5:] == (kwh("1"), tokens("25"), kwh("2"))
    for name, injected, withdrawn in (("A", "0", "5"), ("B", "2", "0"), ("C", "1", "0")):
        world.measure(name, injected, withdrawn)
    world.settle()
    assert shown(world, "A") == {
        "bought": (kwh("3"), tokens("75")),
        "retail": (kwh("2"), tokens("60")),
    }
    assert world.money("U") == tokens("100000") + tokens("60")


def test_an_order_goes_no_further_than_its_owner_said() -> None:
    world = DayWorld()
    world.place("A", "buy", step("2", "25"), last_gate=1)
    world.before(60)
    world.place("B", "sell", step("2", "15"))
    world.before(5)
    assert not world.told("bought")
    assert world.refused("C", "place", "local", world.interval, "buy", step("1", "20"), 1) == (
        "gate_closed"
    )
    world = DayWorld()
    world.before(60)
    assert world.refused("C", "place", "local", world.interval, "buy", step("1", "20"), 1) == (
        "wrong_gate"
    )


def test_the_day_ahead_gate_takes_all_intervals_of_tomorrow_and_no_other() -> None:
    world = DayWorld()
    calendar = world.local.calendar
    tomorrow = calendar.intervals_of(calendar.day_of(world.interval) + 1)
    order = ("buy", step("1", "20"), 255)
    assert world.refused("A", "place", "local", tomorrow[0], *order) == "gate_not_open"
    opens = calendar.windows(tomorrow[0])[0].opens_ms
    world.go(opens)
    for interval in (tomorrow[0], tomorrow[-1]):
        world.ask("A", "place", "local", interval, *order)
    assert world.refused("A", "place", "local", tomorrow[-1] + 1, *order) == "gate_not_open"
    world.ask("B", "place", "local", tomorrow[0], "sell", step("1", "20"), 255)
    world.go(opens + 4 * 60 * MINUTE - 1)
    assert not world.told("clear")
    world.go(opens + 4 * 60 * MINUTE)
    assert [values[1:4] for values in world.told("clear")] == [
        (tomorrow[0], 0, kwh("1")),
        (tomorrow[-1], 0, 0),
    ]


def test_a_short_seller_pays_the_difference_and_the_penalty() -> None:
    world = DayWorld()
    world.place("A", "buy", step("2", "15"))
    world.place("B", "sell", step("2", "15"))
    world.before(5)
    world.measure("A", "0", "2")
    world.measure("B", "0.5", "0")
    sums = world.settle()
    assert world.money("A") == tokens("970"), "the buyer is made whole"
    assert shown(world, "B") == {
        "sold": (kwh("2"), -tokens("30")),
        "shortfall": (kwh("1.5"), tokens("45")),
        "penalty": (kwh("1.5"), tokens("6")),
    }
    assert world.money("B") == tokens("1000") + tokens("30") - tokens("51")
    assert world.money("U") == tokens("100045"), "the supplier delivered 1.5 kWh"
    assert world.money("O") == tokens("1000"), "penalties are held until readings are final"
    assert sums.penalties_micro == tokens("6")
    world.correct()
    assert world.money("O") == tokens("1006")
    world.conserve()


def test_what_was_bought_and_not_consumed_is_fed_in() -> None:
    world = DayWorld()
    world.place("A", "buy", step("3", "20"))
    world.place("B", "sell", step("3", "20"))
    world.before(5)
    world.measure("A", "0", "1")
    world.measure("B", "3", "0")
    world.settle()
    assert shown(world, "A") == {
        "bought": (kwh("3"), tokens("60")),
        "unused": (kwh("2"), -tokens("20")),
    }
    world.conserve()


def test_energy_that_is_bought_and_sold_again_needs_no_meter() -> None:
    world = DayWorld()
    world.place("A", "sell", step("1", "12"))
    world.place("C", "buy", step("1", "15"), last_gate=1)
    world.before(60)
    world.place("C", "sell", step("1", "20"))
    world.place("B", "buy", step("1", "20"))
    world.before(5)
    world.measure("A", "1", "0")
    world.measure("B", "0", "1")
    world.settle()
    bought, sold = (world.lines("C")[place].amount_micro for place in (0, 1))
    assert (bought, sold) == (tokens("13.5"), -tokens("20"))
    assert [line.kind for line in world.lines("C")] == [BOUGHT, SOLD]
    world.conserve()


def test_members_without_orders_are_settled_at_the_tariffs() -> None:
    world = DayWorld()
    world.measure("D", "0.25", "2")
    sums = world.settle()
    assert shown(world, "D") == {
        "retail": (kwh("2"), tokens("60")),
        "feed_in": (kwh("0.25"), -tokens("2.5")),
    }
    assert (sums.withdrawn_milli_wh, sums.injected_milli_wh) == (kwh("2"), kwh("0.25"))
    assert sums.contracted_milli_wh == 0


def test_readings_that_come_late_settle_the_difference() -> None:
    world = DayWorld()
    world.place("A", "buy", step("2", "20"))
    world.place("B", "sell", step("2", "20"))
    world.before(5)
    world.measure("A", "0", "2")
    world.settle()
    # B's meter was silent: estimated as nothing, so it is short of all.
    assert world.lines("B")[1].kind == SHORTFALL
    before = world.money("B")
    assert world.account("B").energy_milli_wh == 0, "no ecoin for an estimate"
    world.measure("B", "3", "0")
    world.correct()
    assert shown(world, "B", CORRECTED) == {
        "shortfall": (-kwh("2"), -tokens("60")),
        "feed_in": (kwh("1"), -tokens("10")),
        "penalty": (-kwh("2"), -tokens("8")),
    }
    assert world.money("B") == before + tokens("78")
    assert world.account("B").energy_milli_wh == kwh("3")
    assert world.money("O") == tokens("1000"), "no penalty stands"
    assert world.settlement(CORRECTED).members == 1
    world.conserve()


def test_what_a_member_cannot_pay_the_supplier_bears_until_it_is_paid() -> None:
    world = DayWorld(balance="61")
    world.place("A", "buy", step("2", "20"))
    world.place("B", "sell", step("2", "20"))
    world.before(5)
    world.measure("A", "0", "4")
    world.measure("B", "2", "0")
    world.settle()
    # A owes 40 to B and 60 to the supplier, and has 61.
    assert world.money("A") == 0
    assert world.money("B") == tokens("101"), "the neighbour is paid"
    assert world.money("U") == tokens("100021")
    world.interval += 20
    assert world.refused("A", "place", "local", world.interval, "buy", step("1", "20"), 255) == (
        "in_arrears"
    )
    world.call("U", "transfer", world.ids["A"], tokens("30"), "", module="accounts")
    assert world.ask("E", "pay_arrears", "local", world.ids["A"]) == tokens("30")
    assert world.ask("E", "pay_arrears", "local", world.ids["A"]) == 0
    world.call("U", "transfer", world.ids["A"], tokens("30"), "", module="accounts")
    assert world.ask("E", "pay_arrears", "local", world.ids["A"]) == tokens("9")
    assert world.refused("E", "pay_arrears", "local", world.ids["A"]) == "no_arrears"
    world.place("A", "buy", step("0.5", "20"))
    world.conserve()


def test_a_supplier_that_cannot_pay_leaves_claims_in_proportion() -> None:
    world = DayWorld()
    world.call("U", "transfer", world.ids["E"], tokens("100000"), "", module="accounts")
    for name, injected in (("A", "1"), ("B", "2"), ("C", "3")):
        world.measure(name, injected, "0")
    world.measure("D", "0", "1")
    world.settle()
    # D paid 30 of the 60 that the three are owed.
    gained = [world.money(name) - tokens("1000") for name in ("A", "B", "C")]
    assert gained == [tokens("5"), tokens("10"), tokens("15")]
    world.conserve()
    world.call("E", "transfer", world.ids["U"], tokens("100"), "", module="accounts")
    assert world.ask("C", "pay_arrears", "local", world.ids["C"]) == tokens("15")
    # The others' claims go with their next interval.
    world.interval += 1
    for name in ("A", "B"):
        world.measure(name, "1", "0")
    world.settle()
    gained = [world.money(name) - tokens("1000") for name in ("A", "B", "C")]
    assert gained == [tokens("20"), tokens("30"), tokens("30")]
    world.conserve()


def test_no_ecoin_comes_of_an_estimate() -> None:
    world = DayWorld()
    last = world.interval
    world.measure("A", "0", "0")
    world.go((last + 3) * QUARTER)
    # Two intervals share what the register shows after both.
    world.call("MA", "submit", last + 2, ((kwh("4"), 0),), module="meters")
    world.interval = last + 1
    world.settle()
    assert shown(world, "A") == {"feed_in": (kwh("2"), -tokens("20"))}
    assert world.account("A").energy_milli_wh == 0
    world.call("MA", "submit", last + 1, ((kwh("1"), 0),), module="meters")
    world.correct()
    assert shown(world, "A", CORRECTED) == {"feed_in": (-kwh("1"), tokens("10"))}
    assert world.account("A").energy_milli_wh == kwh("4"), "both are measured by now"
    world.conserve()


def test_claims_that_do_not_divide_lose_nothing() -> None:
    world = DayWorld()
    world.call("U", "transfer", world.ids["E"], tokens("100000"), "", module="accounts")
    for name, injected in (("A", "1"), ("B", "2"), ("C", "0.000001")):
        world.measure(name, injected, "0")
    world.measure("D", "0", "0.000001")
    sums = world.settle()
    assert sums.payable_micro == tokens("30.00001") and sums.missing_micro == tokens("29.99998")
    gained = [world.money(name) - tokens("1000") for name in ("A", "B", "C")]
    assert gained == [9, 19, 0], "each bears its part, rounded up"
    assert world.money("U") == 2, "what is left of that is the supplier's"
    world.conserve()


def test_the_index_is_written_again_from_the_leaves() -> None:
    world = DayWorld()
    world.place("A", "buy", step("1", "20"))
    world.commit()
    own = {key: value for key, value in world.state.values.items() if key[:2] == b"iD"}
    assert len(own) == len(world.names) + 1
    ctx = world.context()
    for key, value in world.state.values.items():
        if key[:1] == b"D":
            world.runtime.modules["day"].rebuild_index(ctx, key, value)
    assert world.overlay.changes == own


def test_a_full_line_of_the_feeder_has_two_prices() -> None:
    network = {
        "slack": "n1",
        "buses": ["n1", "n2"],
        "lines": [{"name": "L", "from": "n2", "to": "n1", "rating_w": 4_000}],
    }
    gates = [{"kind": "real_time", "minutes": 5}]
    world = DayWorld(
        {**TERMS, "gates": gates, "feeder": "grid"},
        markets={"markets": [{"name": "grid", "network": network}]},
        buses={"A": "n1", "B": "n2", "C": "n2"},
    )
    world.place("A", "buy", step("3", "25"))
    world.place("B", "sell", step("3", "12"))
    arguments = ("local", world.interval, "buy", step("1", "20"), 255)
    assert world.refused("D", "place", *arguments) == "not_connected"
    world.before(5)
    assert world.told("flow")[0][3:] == ("L", kwh("1")), "4 kW for a quarter of an hour"
    assert [values[3:] for values in world.told("price")] == [
        ("n1", 2 * tokens("25")),
        ("n2", 2 * tokens("12")),
    ]
    world.measure("A", "0", "1")
    world.measure("B", "1", "0")
    sums = world.settle()
    assert sums.surplus_micro == tokens("13"), "the rent of the line"
    assert world.money("O") == tokens("1013")
    world.conserve()


def test_orders_are_cancelled_until_their_gate() -> None:
    world = DayWorld()
    number = world.place("A", "buy", step("1", "20"))
    assert world.refused("B", "cancel", "local", world.interval, number) == "unknown_order"
    world.ask("A", "cancel", "local", world.interval, number)
    assert world.account("A").money_reserved_micro == 0
    assert world.position("A") is None
    assert world.refused("A", "cancel", "local", world.interval, number) == "unknown_order"
    again = world.place("A", "buy", step("2", "20"))
    world.place("B", "sell", step("1", "20"))
    world.before(60)
    world.ask("A", "cancel", "local", world.interval, again)
    assert world.account("A").money_reserved_micro == tokens("30"), "what it bought stays covered"
    world.before(5)
    assert world.refused("A", "cancel", "local", world.interval, again) == "gate_closed"
    assert [values[3] for values in world.told("clear")] == [kwh("1"), 0]


def test_a_closed_gate_that_has_not_cleared_holds_its_orders() -> None:
    world = DayWorld()
    number = world.place("A", "buy", step("1", "20"))
    # A block later than the gate whose due items wait for gas.
    world.time_ms = world.interval * QUARTER - 60 * MINUTE
    assert world.refused("A", "cancel", "local", world.interval, number) == "gate_closed"
    second = world.place("B", "sell", step("1", "20"))
    world.advance(1)
    assert world.told("clear")[0][3] == 0, "B came for the next gate"
    world.before(5)
    assert world.told("sold")[0][3:6] == (second, world.ids["B"], kwh("1"))


def test_what_a_market_refuses() -> None:
    world = DayWorld(metered=("A",))
    place, when = ("A", "place", "local"), world.interval
    one = step("1", "20")
    refused: dict[str, tuple[Any, ...]] = {
        "unknown_market": ("A", "place", "other", when, "buy", one, 255),
        "gate_closed": (*place, when - 9, "buy", one, 255),
        "wrong_interval": (*place, 0, "buy", one, 255),
        "gate_not_open": (*place, when + 400, "buy", one, 255),
        "price_out_of_range": (*place, when, "sell", step("1", "9.999999"), 255),
        "too_much_energy": (*place, when, "sell", step("20.000001", "20"), 255),
        "invalid_energy": (*place, when, "buy", ((0, tokens("20")),), 255),
        "steps_out_of_order": (*place, when, "buy", (*one, *one), 255),
        "wrong_role": ("O", "place", "local", when, "buy", one, 255),
        "not_sealed": ("A", "commit", "local", when, bytes(32), 1, 0),
        "unknown_order": ("A", "open", "local", when, 1, "buy", one, 255, bytes(32)),
        "joined": ("A", "join", "local"),
        "no_arrears": ("A", "pay_arrears", "local", world.ids["A"]),
    }
    for code, arguments in refused.items():
        assert world.refused(*arguments) == code, code
    world.call("A", "transfer", world.ids["U"], tokens("999"), "", module="accounts")
    assert world.refused(*place, when, "buy", one, 255) == "insufficient_money"
    for arguments in (
        (*place, when, "buy", (), 255),
        (*place, when, "both", one, 255),
        (*place, when, "buy", one, 256),
        (*place, when, "buy", ((1, -1),), 255),
        (*place, when, "buy", ((1, MAX_AMOUNT + 1),), 255),
    ):
        assert world.refused(*arguments) == "invalid_arguments"
    assert world.refused(*place, 2**62, "buy", one, 255) == "wrong_interval"
    assert world.refused(*place, when, "buy", ((1, MAX_AMOUNT),), 255) == "price_out_of_range"


def test_bounds_of_a_member_in_a_book() -> None:
    world = DayWorld()
    for _ in range(4):
        world.place("A", "buy", step("1", "20"))
    assert world.refused("A", "place", "local", world.interval, "buy", step("1", "20"), 255) == (
        "too_many_orders"
    )
    many = tuple((kwh("0.1"), tokens("30") - place) for place in range(20))
    world.place("B", "buy", many)
    assert world.refused("B", "place", "local", world.interval, "buy", step("1", "20"), 255) == (
        "too_many_orders"
    )


@pytest.mark.parametrize(
    ("bids", "offers", "volume"),
    [
        ((), (), None),
        ((("A", "1", "20"),), (), "0"),
        ((), (("B", "1", "20"),), "0"),
        ((("A", "1", "15"),), (("B", "1", "16"),), "0"),
        ((("A", "1", "20"), ("C", "1", "20")), (("B", "1", "20"), ("D", "1", "20")), "2"),
        ((("A", "0.000001", "20"),), (("B", "0.000001", "20"),), "0.000001"),
        ((("A", "1", "30"),), (("B", "1", "10"),), "1"),
        ((("A", "1", "10"),), (("B", "1", "10"),), "1"),
        ((("A", "1", "30"),), (("B", "1", "30"),), "1"),
    ],
)
@pytest.mark.parametrize("mechanism", ["uniform", "midpoint", "pay_as_bid"])
def test_books_at_the_edge_settle_without_loss(
    bids: Any, offers: Any, volume: str | None, mechanism: str
) -> None:
    gates = [{"kind": "real_time", "minutes": 5, "mechanism": mechanism}]
    world = DayWorld({**TERMS, "gates": gates})
    for side, orders in (("buy", bids), ("sell", offers)):
        for name, energy, price in orders:
            world.place(name, side, step(energy, price))
    world.before(5)
    assert [values[3] for values in world.told("clear")] == (
        [] if volume is None else [kwh(volume)]
    )
    for name, energy, _ in bids:
        world.measure(name, "0", energy)
    for name, energy, _ in offers:
        world.measure(name, energy, "0")
    world.correct()
    world.conserve()
    for name, energy, _ in bids:
        spent = tokens("1000") - world.money(name)
        assert spent <= -(-kwh(energy) * tokens("30") // 1_000_000)
    for name, energy, _ in offers:
        assert world.money(name) - tokens("1000") >= kwh(energy) * tokens("10") // 1_000_000


def test_nothing_is_left_of_an_interval_but_its_bill() -> None:
    world = DayWorld({**TERMS, "keep_days": 1})
    world.place("A", "buy", step("2", "25"))
    world.place("B", "sell", step("3", "15"))
    world.before(5)
    world.measure("A", "0", "2")
    world.correct()
    prefix = world.local.prefix(world.interval)
    keys = [key for key in world.state.values if key[2:12] == prefix or key[3:13] == prefix]
    assert sorted({key[:2] for key in keys}) == [b"Dh", b"Di", b"Dr"]
    world.go(world.time_ms + 24 * 60 * MINUTE + QUARTER)
    keys = [key for key in world.state.values if key[2:12] == prefix or key[3:13] == prefix]
    assert keys == []
    assert load_book(world.context(), prefix).orders == 0
