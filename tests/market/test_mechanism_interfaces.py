"""Contracts that settle on what auctions, events of demand response and quotas came to."""

from __future__ import annotations

from pathlib import Path

import pytest

from market.auction.records import MAX_RESULTS
from tools.contract.world import Contract, World

KWH = 1_000_000
TOKEN = 1_000_000
MINUTE = 60_000
NETWORK = {
    "auction": {
        "auctions": [
            {
                "name": "open",
                "account": "operator",
                "max_price": "100",
                "max_energy_kwh": "100",
                "sealed": False,
            }
        ]
    },
    "response": {
        "alpha_percent": 120,
        "upstream_price": "40",
        "past_intervals": 1,
        "tolerance_percent": 10,
        "account": "operator",
    },
    "quota": {
        "billed_minutes": 60,
        "deposit_percent": 100,
        "penalty_price": "60",
    },
}
READER = """
import auction
import quota
import response

@view
def cleared(name: str, interval: int) -> tuple[int, int, int]:
    return auction.result(name, interval)

@view
def interval_of(name: str, time_ms: int) -> int:
    return auction.interval_of(name, time_ms)

@view
def response_of(number: int) -> tuple[bool, tuple[int, int, int]]:
    return response.is_open(number), response.result(number)

@view
def quota_round(number: int) -> tuple[int, int, int]:
    return quota.round_of(number)

@view
def station(number: int, who: address) -> tuple[int, int, int]:
    return quota.station(number, who)
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "reader.py").write_text(READER)
    return World(tmp_path, NETWORK)


@pytest.fixture
def reader(world: World) -> Contract:
    return world.deploy("reader.py", by=world.operator)


def test_a_contract_reads_what_an_auction_cleared_at(world: World, reader: Contract) -> None:
    seller = world.member("ann", energy="5kWh")
    buyer = world.member("bob", money="1000")
    interval = reader.interval_of("open", world.time_ms) + 9
    assert reader.cleared("open", interval) == (-1, -1, -1)
    sides = ((seller, "sell", 10), (buyer, "buy", 30))
    for who, side, price in sides:
        steps = ((2 * KWH, price * TOKEN),)
        world.run(who, "auction", "place", ("open", interval, side, steps))
    world.run(buyer, "auction", "place", ("open", interval + 1, "buy", ((KWH, TOKEN),)))
    assert reader.cleared("open", interval) == (-1, -1, -1)
    world.advance(minutes=180)
    paid = (1000 * TOKEN - world.money(buyer)) * 2 * 1_000_000 // (2 * KWH)
    assert reader.cleared("open", interval) == (2 * KWH, paid, paid)
    # Nothing traded: no price. What was never in the ring is not there, whatever lies at its place.
    assert reader.cleared("open", interval + 1) == (0, -1, -1)
    assert reader.cleared("open", interval + MAX_RESULTS) == (-1, -1, -1)
    assert reader.cleared("open", interval - 2**40) == (-1, -1, -1)
    with world.fails("unknown_auction"):
        reader.cleared("other", interval)


def test_a_contract_reads_what_an_event_came_to(world: World, reader: Contract) -> None:
    home = world.member("ann", money="1000")
    meter = world.member("meter", roles=("meter",))
    caller = world.member("dso", roles=("dso",), money="1000")
    now = world.time_ms
    times = tuple(now + minutes * MINUTE for minutes in (10, 20, 50, 60))
    terms = ("down", (KWH,), 10 * TOKEN, 20 * TOKEN, *times)
    number = world.run(caller, "response", "call", terms)
    assert reader.response_of(number) == (True, (-1, -1, -1))
    world.run(home, "response", "enrol", (number, (KWH,)))
    world.run(meter, "response", "record_past", (number, home.address, ((3 * KWH,),)))
    world.advance(minutes=55)
    world.run(meter, "response", "record", (number, home.address, (int(2.6 * KWH),)))
    world.advance(minutes=10)
    # 0.4 of 1 kWh: a reward of 4, and 20 for the 0.5 kWh missing beyond the tolerance.
    assert reader.response_of(number) == (False, (int(0.4 * KWH), 4 * TOKEN, 10 * TOKEN))
    assert world.money(home) == 1000 * TOKEN + 4 * TOKEN - 10 * TOKEN
    for other in (number + 1, -1, number - 512, 2**63 - 1):
        assert reader.response_of(other) == (False, (-1, -1, -1))


def test_a_contract_reads_quotas(world: World, reader: Contract) -> None:
    station = world.member("s1", money="100000")
    dso = world.member("dso", roles=("dso",))
    times = tuple(world.time_ms + minutes * MINUTE for minutes in (10, 20, 30, 90, 100))
    number = world.run(dso, "quota", "announce", (3_000, 10 * TOKEN, *times))
    assert reader.station(number, station) == (-1, 0, -1)
    world.run(station, "quota", "demand", (number, 4_000))
    assert reader.quota_round(number) == (0, 3_000, 4_000)
    world.advance(minutes=15)
    assert reader.quota_round(number) == (1, 3_000, 4_000)
    assert reader.station(number, station) == (4_000, 3_000, -1)
    assert reader.quota_round(number + 1) == reader.quota_round(-1) == (-1, 0, 0)
