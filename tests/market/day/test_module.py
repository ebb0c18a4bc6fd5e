"""A day market on the chain: gates from the first order to contracts, settlement by meters."""

from __future__ import annotations

from tests.market.day.day_world import DayWorld, step
from tests.market.support import kwh, tokens


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
