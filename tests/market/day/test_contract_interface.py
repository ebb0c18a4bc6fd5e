"""Contracts that read what day markets cleared at, their tariffs, and how far settlement is."""

from __future__ import annotations

from pathlib import Path

import pytest

from market.day.results import BUSES_OF_PAGE, MAX_RESULTS
from tools.contract.world import Contract, Member, World

KWH = 1_000_000
TOKEN = 1_000_000
QUARTER_MS = 15 * 60_000
BUSES = ["station", *(f"n{number}" for number in range(1, BUSES_OF_PAGE + 3))]
"""A street of more buses than one leaf holds the prices of."""
LAST = BUSES[-1]
TERMS = {
    "account": "operator",
    "upstream": "validator",
    "retail": "30",
    "feed_in": "10",
    "penalty": "4",
    "max_energy_kwh": "20",
}
NETWORK = {
    "market": {
        "markets": [
            {
                "name": "street",
                "network": {
                    "slack": "station",
                    "buses": BUSES,
                    "lines": [
                        {"name": f"to-{bus}", "from": BUSES[n], "to": bus, "rating_w": 4_000}
                        for n, bus in enumerate(BUSES[1:])
                    ],
                },
            }
        ]
    },
    "meters": {"deadline_minutes": 15, "correction_minutes": 30},
    "day": {
        "markets": [
            {
                "name": "local",
                **TERMS,
                "gates": [
                    {"kind": "intraday", "minutes": 60},
                    {"kind": "real_time", "minutes": 5, "mechanism": "pay_as_bid"},
                ],
            },
            {
                "name": "wired",
                **TERMS,
                "feeder": "street",
                "gates": [{"kind": "real_time", "minutes": 5}],
            },
        ]
    },
}
READER = """
import day

@view
def interval_of(market: str, time_ms: int) -> int:
    return day.interval_of(market, time_ms)

@view
def start_ms(market: str, interval: int) -> int:
    return day.start_ms(market, interval)

@view
def gates(market: str) -> int:
    return day.gates(market)

@view
def result(market: str, interval: int, gate: int) -> tuple[int, int, int, int]:
    return day.result(market, interval, gate)

@view
def price(market: str, interval: int, gate: int, bus: str) -> int:
    return day.price(market, interval, gate, bus)

@view
def tariffs(market: str, interval: int) -> tuple[int, int, int]:
    return day.tariffs(market, interval)

@view
def progress(market: str, interval: int) -> tuple[bool, bool]:
    return day.is_settled(market, interval), day.is_final(market, interval)
"""
NOTHING = (-1, -1, -1, -1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "reader.py").write_text(READER)
    return World(tmp_path, NETWORK)


@pytest.fixture
def reader(world: World) -> Contract:
    return world.deploy("reader.py", by=world.operator)


def place(
    world: World, who: Member, market: str, interval: int, side: str, kwh: int, price: int
) -> None:
    """Place an order of one step."""
    steps = ((kwh * KWH, price * TOKEN),)
    world.run(who, "day", "place", (market, interval, side, steps, 255))


def test_the_calendar_is_that_of_the_market(world: World, reader: Contract) -> None:
    interval = reader.interval_of("local", world.time_ms)
    assert interval == world.time_ms // QUARTER_MS
    assert reader.start_ms("local", interval) == interval * QUARTER_MS
    assert (reader.gates("local"), reader.gates("wired")) == (2, 1)
    assert reader.tariffs("local", interval) == (30 * TOKEN, 10 * TOKEN, 4 * TOKEN)
    with world.fails("unknown_market"):
        reader.gates("other")
    with world.fails("invalid_arguments"):
        reader.interval_of("local", -1)
    with world.fails("invalid_arguments"):
        reader.tariffs("local", -1)
    with world.fails("invalid_arguments"):
        reader.result("local", 2**80, 0)


def test_each_gate_has_its_result_and_settlement_follows(world: World, reader: Contract) -> None:
    seller, buyer = world.member("ann", money="1000"), world.member("bob", money="1000")
    interval = reader.interval_of("local", world.time_ms) + 8
    place(world, seller, "local", interval, "sell", 3, 12)
    place(world, buyer, "local", interval, "buy", 2, 20)
    assert reader.result("local", interval, 0) == NOTHING
    world.advance(ms=interval * QUARTER_MS - 60 * 60_000 - world.time_ms)
    # The price is the middle of what clears: the last kWh offered is not wanted at more than 12.
    assert reader.result("local", interval, 0) == (2 * KWH, 24 * TOKEN, 24 * TOKEN, 24 * TOKEN)
    assert reader.result("local", interval, 1) == NOTHING
    place(world, buyer, "local", interval, "buy", 5, 15)
    world.advance(ms=interval * QUARTER_MS - 5 * 60_000 - world.time_ms)
    # Each pair has its own price there: what was paid for the energy gives the mean.
    assert reader.result("local", interval, 1) == (KWH, 12 * TOKEN, -1, -1)
    assert reader.progress("local", interval) == (False, False)
    world.advance(minutes=36)
    assert reader.progress("local", interval) == (True, False)
    world.advance(minutes=30)
    assert reader.progress("local", interval) == (True, True)
    assert reader.progress("local", interval + 3) == (False, False)
    assert reader.progress("wired", interval) == (False, False)
    for gate in (-1, 2):
        with world.fails("unknown_gate"):
            reader.result("local", interval, gate)
    # What lies at an interval's place in the ring is of another one.
    for other in (interval + 1, interval + MAX_RESULTS, interval % MAX_RESULTS):
        assert reader.result("local", other, 0) == NOTHING
    with world.fails("unknown_bus"):
        reader.price("local", interval, 0, "station")


def test_orders_that_do_not_meet_trade_nothing_at_no_price(world: World, reader: Contract) -> None:
    buyer = world.member("bob", money="1000")
    interval = reader.interval_of("local", world.time_ms) + 8
    place(world, buyer, "local", interval, "buy", 2, 20)
    world.advance(ms=interval * QUARTER_MS - world.time_ms)
    assert reader.result("local", interval, 0) == (0, 0, -1, -1)


def test_over_a_feeder_each_bus_has_its_price(world: World, reader: Contract) -> None:
    """A kilowatt-hour a quarter fits the line: before it energy is dear, behind it cheap."""
    seller = world.member("ann", money="1000", bus=LAST)
    near = world.member("bob", money="1000", bus="station")
    interval = reader.interval_of("wired", world.time_ms) + 4
    place(world, seller, "wired", interval, "sell", 3, 12)
    place(world, near, "wired", interval, "buy", 3, 20)
    assert reader.price("wired", interval, 0, LAST) == -1
    world.advance(ms=interval * QUARTER_MS - world.time_ms)
    assert reader.result("wired", interval, 0) == (KWH, 20 * TOKEN, -1, -1)
    assert reader.price("wired", interval, 0, "station") == 40 * TOKEN
    assert reader.price("wired", interval, 0, LAST) == 24 * TOKEN
    assert reader.price("wired", interval + MAX_RESULTS, 0, LAST) == -1
    assert reader.price("wired", interval + 1, 0, LAST) == -1
    for bus in ("", "n99", "é"):
        with world.fails("unknown_bus"):
            reader.price("wired", interval, 0, bus)
