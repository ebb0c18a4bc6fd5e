"""A day market over a feeder: what the gates of an interval trade shares the lines."""

from __future__ import annotations

from tests.market.day.day_world import METERS, TERMS, DayWorld, step
from tests.market.support import kwh

NETWORK = {
    "slack": "n1",
    "buses": ["n1", "n2"],
    "lines": [{"name": "L", "from": "n2", "to": "n1", "rating_w": 8_000}],
}
"""The line carries two kilowatt-hours in a quarter of an hour."""


def feeder_world() -> DayWorld:
    return DayWorld(
        {**TERMS, "feeder": "grid"},
        markets={"markets": [{"name": "grid", "network": NETWORK}]},
        buses={"A": "n1", "B": "n2", "C": "n1", "D": "n2", "E": "n1"},
        meters=METERS,
    )


def test_later_gates_have_what_earlier_ones_left_of_a_line_and_what_they_undo() -> None:
    world = feeder_world()
    world.place("B", "sell", step("5", "12"))
    world.place("A", "buy", step("5", "25"), 1)
    world.before(60)
    assert world.told("flow")[-1][1:] == (world.interval, 1, "L", kwh("2"))
    # The line is full from n2 to n1: what is left of both orders finds no way.
    world.place("C", "buy", step("3", "28"))
    world.before(5)
    assert [flow[4] for flow in world.told("flow")] == [kwh("2")]
    assert sum(sold[5] for sold in world.told("sold")) == kwh("2")


def test_trade_against_the_flow_makes_room_again() -> None:
    world = feeder_world()
    world.place("B", "sell", step("5", "12"), 1)
    world.place("A", "buy", step("5", "25"), 1)
    world.before(60)
    world.place("C", "sell", step("3", "11"))
    world.place("D", "buy", step("3", "28"))
    world.before(5)
    assert [flow[4] for flow in world.told("flow")] == [kwh("2"), -kwh("3")]
    world.settle()
    world.conserve()
