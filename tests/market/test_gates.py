"""Gates: offers of a closed interval are withdrawn by themselves, in bounded batches."""

from __future__ import annotations

from typing import Any

import pytest

from market.closing import OFFERS_PER_BATCH, USAGES_PER_BATCH
from market.intervals import MAX_AHEAD_MS
from market.views import list_offers
from tests.market.support import START_MS, Person, World, kwh, tokens
from vm.primitives.codec import encode

LENGTH_MS = 15 * 60_000
GATE_MS = 5 * 60_000
NEXT = START_MS // LENGTH_MS + 1
TO_GATE_MS = NEXT * LENGTH_MS - GATE_MS - START_MS
FEEDER = {
    "slack": "a",
    "buses": ["a", "b"],
    "lines": [{"name": "1", "from": "a", "to": "b", "rating_w": 4_000_000}],
}


def build(**market: Any) -> World:
    section = {"name": "m", "interval_minutes": 15, "gate_closure_minutes": 5, **market}
    people = [Person("A", bus="a"), Person("B", bus="b"), Person("buyer", bus="b")]
    return World(people, {"markets": [{"name": "first"}, section]})


def test_intervals_past_or_too_far_ahead_are_refused() -> None:
    world = build()
    last = (START_MS + MAX_AHEAD_MS) // LENGTH_MS
    assert world.code("A", "post", "m", 0, 1, 10) == "wrong_interval"
    assert world.code("A", "post", "m", last + 1, 1, 10) == "wrong_interval"
    assert world.code("A", "post", "m", 2**63 - 1, 1, 10) == "wrong_interval"
    assert world.code("A", "post", "m", NEXT - 1, 1, 10) == "gate_closed"
    assert world.code("A", "post", "m", 1, 1, 10) == "gate_closed"
    world.call("A", "post", "m", last, 1, 10)


def test_a_gate_closes_at_its_time_and_not_before() -> None:
    world = build()
    number = world.call("A", "post", "m", NEXT, kwh("2"), tokens("10"))
    assert world.advance(TO_GATE_MS - 1) == 0
    world.call("buyer", "buy", "m", NEXT, kwh("1"), tokens("10"), False)
    assert world.advance(1) == 1
    assert world.balances()["A"][1:] == (kwh("49"), 0)
    for name, *arguments in (
        ("post", "m", NEXT, 1, 10),
        ("buy", "m", NEXT, 1, 10, True),
    ):
        assert world.code("A", name, *arguments) == "gate_closed"
    assert world.code("A", "update", "m", number, 1, 10) == "unknown_offer"
    expired = ("m", world.ids["A"], number, NEXT, kwh("1"))
    assert world.events[-1] == ("market", "expire", expired)


def test_an_offer_is_not_updated_after_closure_even_before_it_is_withdrawn() -> None:
    world = build()
    number = world.call("A", "post", "m", NEXT, 5, 10)
    world.time_ms += TO_GATE_MS
    assert world.code("A", "update", "m", number, 5, 10) == "gate_closed"
    world.call("A", "withdraw", "m", number)


@pytest.mark.parametrize("network", [None, FEEDER], ids=["plain", "network"])
def test_closing_runs_in_batches_that_leave_the_book_sound(network: Any) -> None:
    world = build(network=network)
    count = 2 * OFFERS_PER_BATCH + 50
    for number in range(count):
        world.call("AB"[number % 2], "post", "m", NEXT, 1_000, 10 + number * 37 % 101)
    later = world.call("A", "post", "m", NEXT + 1, 1_000, 10)
    assert world.advance(TO_GATE_MS) == 1
    left = count - OFFERS_PER_BATCH
    for due in (1, 1, 0):
        assert len(world.standing()) == left + 1
        assert world.index() == world.rebuilt_index()
        world.check_conservation()
        left = max(0, left - OFFERS_PER_BATCH)
        assert world.advance(1) == due
    assert list(world.standing()) == [later]


def test_withdrawing_between_batches_is_fine() -> None:
    world = build()
    numbers = [
        world.call("A", "post", "m", NEXT, 1_000, 10 + number)
        for number in range(OFFERS_PER_BATCH + 20)
    ]
    world.advance(TO_GATE_MS)
    for number in numbers:
        if number in world.standing():
            world.call("A", "withdraw", "m", number)
    assert world.advance(1) == 1
    assert world.balances()["A"][1:] == (kwh("50"), 0)


def test_a_batch_short_of_gas_goes_on_in_the_next_block() -> None:
    world = build()
    for number in range(60):
        world.call("A", "post", "m", NEXT, 1_000, 10 + number)
    world.commit()
    world.time_ms += TO_GATE_MS
    ctx = world.context(gas=30_000)
    ctx.module = "market"
    due = next(iter(world.overlay.scan(b"q", b"r")))
    world.overlay.put(due[0], None)
    world.market.on_due(ctx, b"\x93\x00\xa1m" + b"\xce" + NEXT.to_bytes(4, "big"))
    assert 0 < len(world.standing()) < 60
    world.check_conservation()
    assert world.advance(1) == 1
    assert world.standing() == {}


def test_loads_are_forgotten_after_delivery_and_a_gate_is_scheduled_once() -> None:
    world = build(network=FEEDER, default_pair_limit_kwh="1000")
    before = set(world.overlay.changes)
    for _ in range(3):
        world.call("A", "post", "m", NEXT, kwh("1"), tokens("10"))
    world.call("buyer", "buy", "m", NEXT, kwh("2"), tokens("10"), False)
    usage = {key for key in world.overlay.changes if key[:1] == b"u"}
    assert {key[11:12] for key in usage} == {b"l", b"p", b"g"}
    assert sum(key[:1] == b"q" for key in world.overlay.changes) == 1
    assert world.advance(TO_GATE_MS) == 1
    assert all(world.overlay.get(key) for key in usage)
    assert world.advance(GATE_MS + LENGTH_MS - 1) == 0
    assert world.advance(1) == 1
    world.commit()
    counters = {b"coffer", b"cqueue"}
    assert set(world.state.values) == before | counters
    assert world.advance(LENGTH_MS) == 0


def test_many_loads_are_forgotten_in_batches() -> None:
    world = build()
    world.call("A", "post", "m", NEXT, 1, 10)
    prefix = (1).to_bytes(2, "big") + NEXT.to_bytes(8, "big")
    for number in range(2 * USAGES_PER_BATCH):
        for space in (b"u", b"iu"):
            world.overlay.put(space + prefix + b"p" + number.to_bytes(40, "big"), b"\x01")
    world.advance(TO_GATE_MS)
    assert [world.advance(GATE_MS + LENGTH_MS), world.advance(1), world.advance(1)] == [1, 1, 1]
    assert world.advance(1) == 0
    assert not [key for key in world.state.values if key[:1] == b"u" or key[:2] == b"iu"]


def test_intervals_do_not_see_one_another() -> None:
    world = build(default_pair_limit_kwh="1", line_policy="skip")
    for interval in (NEXT, NEXT + 1):
        world.call("A", "post", "m", interval, kwh("5"), tokens("10"))
    for interval in (NEXT, NEXT + 1):
        fills = world.call("buyer", "buy", "m", interval, kwh("5"), tokens("10"), True)
        assert [fill[2] for fill in fills] == [kwh("1")]
    page = list_offers(world.overlay, "m", interval=NEXT)
    assert [offer.interval for offer in page.offers] == [NEXT]


def test_the_largest_batch_tells_far_less_than_a_receipt_holds() -> None:
    world = build()
    for _ in range(OFFERS_PER_BATCH):
        world.call("A", "post", "m", NEXT, 1_000, 10)
    world.events.clear()
    world.advance(TO_GATE_MS)
    assert [name for _, name, _ in world.events] == ["expire"] * OFFERS_PER_BATCH
    assert len(encode([list(event) for event in world.events])) < 2**15
