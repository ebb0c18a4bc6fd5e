"""Large books of a day market: what they cost to clear, and how many steps that takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

import market.day.clearing
import market.day.orders
from market.auction.feeder import MAX_BUSES
from market.day.books import clearing_gas, load_book
from market.day.clearing import ITEMS_AT_ONCE
from tests.market.day.day_world import MINUTE, QUARTER, TERMS, DayWorld, step
from tests.market.support import kwh, tokens


def series(energy: str, price: str, turn: int, count: int) -> tuple[tuple[int, int], ...]:
    """Return steps of the same energy, each a micro-token dearer or, by `turn`, cheaper."""
    return tuple([(kwh(energy), tokens(price) + turn * place) for place in range(count)])


LARGE: dict[str, Any] = {
    **TERMS,
    "retail": "4296",
    "feed_in": "4295",
    "max_energy_kwh": "35000",
    "gates": [{"kind": "real_time", "minutes": 5}],
}
"""Prices and energies of so many digits that their bytes are the most there are."""


SEALED_GATE = {"kind": "intraday", "minutes": 60, "sealed": True, "deposit": "5000"}


class Clearing(DayWorld):
    """A world that keeps what the last clearing cost: other things are due beside it."""

    gas_of_clearing = 0

    def _tell(self, events: Sequence[tuple[str, str, tuple[Any, ...]]]) -> None:
        super()._tell(events)
        if any(event[:2] == ("day", "clear") for event in events):
            self.gas_of_clearing = self.due_gas_used[-1]


def clear_full(
    members: int, orders: int, steps: int, *, opened: bool, buses: int
) -> tuple[int, int]:
    """Return the gas of clearing a book of so much, and what it was taken for."""
    names = tuple(f"a home with a long name, {number:05}" for number in range(members))
    terms = LARGE if opened else {**LARGE, "gates": [SEALED_GATE]}
    world = Clearing(
        {**terms, "feeder": "grid" if buses else ""},
        names=names,
        metered=(),
        balance="9000000000",
        markets={"markets": [street(buses)]} if buses else None,
        buses={name: f"n{place % buses}" for place, name in enumerate(names)} if buses else None,
    )
    for place, name in enumerate(names):
        side, price, turn = ("buy", "4295.5", -1) if place % 2 else ("sell", "4295.1", 1)
        for _ in range(orders):
            if opened:
                world.place(name, side, series("4300", price, turn, steps))
            else:
                cover = tokens("100000000")
                world.ask(name, "commit", "local", world.interval, b"c" * 32, steps, cover)
    book = load_book(world.context(), world.local.prefix(world.interval))
    assert (book.positions, book.orders) == (members, members * orders)
    world.time_ms = world.local.calendar.windows(world.interval)[0].clears_ms
    world.advance(0)
    assert len(world.told("clear")) == 1
    gas = clearing_gas(book.positions, book.orders, book.steps, over_feeder=bool(buses))
    return world.gas_of_clearing, gas


@pytest.mark.parametrize("buses", [0, MAX_BUSES])
@pytest.mark.parametrize(("orders", "steps"), [(1, 1), (1, 8), (4, 1), (4, 2)])
@pytest.mark.parametrize("opened", [True, False])
def test_no_member_more_costs_more_to_clear_than_its_orders_were_taken_for(
    buses: int, orders: int, steps: int, opened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market.day.clearing, "ITEMS_AT_ONCE", 0)
    few, many = (
        clear_full(members, orders, steps, opened=opened, buses=buses) for members in (20, 60)
    )
    assert 0 < many[0] - few[0] <= many[1] - few[1]


@pytest.mark.parametrize("buses", [0, MAX_BUSES])
@pytest.mark.parametrize("opened", [True, False])
def test_no_book_written_down_at_once_costs_more_than_it_was_taken_for(
    buses: int, opened: bool
) -> None:
    used, most = clear_full(ITEMS_AT_ONCE, 1, 1, opened=opened, buses=buses)
    assert used <= most


def test_a_book_takes_no_more_than_can_be_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        market.day.orders, "FULL_BOOK_GAS", clearing_gas(2, 2, 3, over_feeder=False)
    )
    world = DayWorld()
    world.place("A", "buy", step("1", "20"))
    number = world.place("B", "sell", series("1", "21", 1, 2))
    arguments = ("local", world.interval, "buy", step("1", "20"), 255)
    assert world.refused("C", "place", *arguments) == "book_full"
    assert world.refused("A", "place", *arguments) == "book_full"
    world.ask("B", "cancel", "local", world.interval, number)
    world.ask("C", "place", *arguments)


def street(buses: int) -> dict[str, Any]:
    """Return a posted market over a feeder of buses in a row, whose lines are never full."""
    names = [f"n{number}" for number in range(buses)]
    lines = [
        {"name": f"L{n}", "from": names[n], "to": names[n - 1], "rating_w": 10**8}
        for n in range(1, buses)
    ]
    return {"name": "grid", "network": {"slack": "n0", "buses": names, "lines": lines}}


@pytest.mark.parametrize(
    ("members", "orders", "buses"),
    [
        (600, 4, 0),
        (226, 4, MAX_BUSES),
        pytest.param(7_700, 1, 0, marks=pytest.mark.long),
        pytest.param(5_500, 1, MAX_BUSES, marks=pytest.mark.long),
    ],
)
def test_a_large_book_clears_in_one_step_and_is_written_down_in_others(
    members: int, orders: int, buses: int
) -> None:
    names = tuple(f"H{number:05}" for number in range(members))
    gates = [{"kind": "real_time", "minutes": 5}]
    world = DayWorld(
        {**TERMS, "gates": gates, "feeder": "grid" if buses else ""},
        names=names,
        metered=(),
        markets={"markets": [street(buses)]} if buses else None,
        buses={name: f"n{place % buses}" for place, name in enumerate(names)} if buses else None,
    )
    world.interval -= 7
    for place, name in enumerate(names):
        for _ in range(orders):
            world.place(
                name, *(("buy", step("1", "22")) if place % 2 else ("sell", step("1", "20")))
            )
    count = members * orders // 2
    world.time_ms = world.interval * QUARTER - 5 * MINUTE
    world.advance(0, most=1)
    assert world.told("clear")[0][3] == count * kwh("1")
    assert not world.told("bought")
    prefix = world.local.prefix(world.interval)
    assert load_book(world.context(), prefix).pages >= 2 * count // 900
    assert {values[4] for values in world.told("price")} == ({2 * tokens("21")} if buses else set())
    assert len(world.told("flow")) <= max(0, buses - 1)
    assert world.refused(names[0], "cancel", "local", world.interval, 1) == "gate_closed"
    world.advance(1)
    assert len(world.told("bought")) == len(world.told("sold")) == count
    assert load_book(world.context(), prefix).pages == 0
    sums = world.settle()
    assert sums.members == members
    assert sums.contracted_milli_wh == count * kwh("1")
    world.conserve()
