"""The bounds of a day market: what a settlement can come to fits 64 bits, whatever members do."""

from __future__ import annotations

import pytest

from market.day.books import FULL_BOOK_GAS, clearing_gas
from market.day.section import MAX_MEMBERS, MAX_OF_METER_MICRO, MAX_OF_ORDERS_MICRO
from tests.market.day.day_world import METERS, TERMS, DayWorld, step
from tests.market.support import tokens
from vm.primitives.errors import InvalidGenesis
from vm.primitives.integers import MAX_AMOUNT


@pytest.mark.parametrize(
    ("terms", "max_power_w", "words"),
    [
        ({"retail": "1000000", "max_energy_kwh": "1000"}, 1, "max_energy_kwh"),
        ({"penalty": "1000000", "max_energy_kwh": "1000"}, 1, "max_energy_kwh"),
        ({"retail": "20"}, 10**9, "max_power_w"),
    ],
)
def test_what_could_come_to_more_than_fits_is_no_market(
    terms: dict[str, str], max_power_w: int, words: str
) -> None:
    with pytest.raises(InvalidGenesis, match=words):
        DayWorld({**TERMS, **terms}, meters={**METERS, "max_power_w": max_power_w})


def test_the_most_of_every_member_fits() -> None:
    empty, one = (clearing_gas(count, 0, 0, over_feeder=False) for count in (0, 1))
    positions = (FULL_BOOK_GAS - empty) // (one - empty)
    of_all = positions * MAX_OF_ORDERS_MICRO + MAX_MEMBERS * MAX_OF_METER_MICRO
    assert of_all <= MAX_AMOUNT


def test_the_most_that_a_market_takes_is_settled() -> None:
    names = tuple(f"H{number:02}" for number in range(60))
    terms = {**TERMS, "retail": "18", "penalty": "400", "max_energy_kwh": "1000000"}
    meters = {**METERS, "max_power_w": 10**9}
    world = DayWorld(terms, names=names, meters=meters, balance="500000000")
    for place, name in enumerate(names):
        side, price = ("sell", "10") if place % 2 else ("buy", "18")
        world.place(name, side, step("1000000", price))
    world.before(4)
    for name in names:
        world.measure(name, "0", "250000")
    sums = world.settle()
    assert sums.penalties_micro == 30 * 10**6 * tokens("400")
    world.correct()
    world.conserve()
