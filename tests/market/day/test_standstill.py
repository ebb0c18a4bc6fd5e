"""A chain that stood still: what was due meanwhile happens in order, however large books are."""

from __future__ import annotations

from typing import Any

import pytest

from market.day import clearing
from tests.market.day.day_world import HUANG, MINUTE, QUARTER, TERMS, DayWorld, step
from tests.market.support import kwh, tokens

TWO_GATES: dict[str, Any] = {
    **TERMS,
    "gates": [{"kind": "intraday", "minutes": 60}, {"kind": "real_time", "minutes": 5}],
}


@pytest.mark.parametrize("minutes", [58, 3, -30, -90, -600])
@pytest.mark.parametrize("most", [1, 2, 3, None])
def test_awards_are_written_down_before_what_comes_after_them(
    minutes: int, most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "ITEMS_AT_ONCE", 1)
    monkeypatch.setattr(clearing, "PAGE_ITEMS", 2)
    world = DayWorld(TWO_GATES)
    world.place("A", "buy", step("2", "20"))
    world.place("B", "sell", step("1", "20"))
    world.place("C", "buy", step("2", "19"))
    world.place("D", "sell", step("1", "19"))
    # Nothing happens until so many minutes before delivery; then what is due, some in each block.
    world.advance(world.interval * QUARTER - minutes * MINUTE - world.time_ms, most=most)
    for _ in range(200):
        world.advance(1, most=most)
    world.go((world.interval + 1) * QUARTER + 61 * MINUTE)
    assert world.settlement(0).contracted_milli_wh == kwh("2")
    assert [values[2] for values in world.told("clear")] == [0, 1]
    assert sum(int(values[5]) for values in world.told("bought")) == kwh("2")
    world.conserve()


@pytest.mark.parametrize(("minutes", "lost"), [(45, "2"), (31, "2"), (30, "0"), (-600, "0")])
@pytest.mark.parametrize("items_at_once", [0, 300])
def test_who_could_not_open_for_a_standstill_keeps_its_deposit(
    minutes: int, lost: str, items_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate closes an hour before delivery; openings last a quarter of an hour."""
    monkeypatch.setattr(clearing, "ITEMS_AT_ONCE", items_at_once)
    world = DayWorld(HUANG)
    world.seal("A", "buy", step("1", "20"))
    world.advance(world.interval * QUARTER - minutes * MINUTE - world.time_ms)
    assert world.money("A") == tokens("1000") - tokens(lost)
    assert len(world.told("release")) == (lost == "0")
    assert len(world.told("forfeit")) == (lost != "0")
    world.settle()
    assert world.account("A").money_reserved_micro == 0
    world.conserve()
