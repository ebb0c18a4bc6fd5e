"""What readers are shown: pages of offers in order, filters, lines, markets."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from market.views import find_market, find_offer, list_lines, list_markets, list_offers
from tests.market.support import START_MS, Person, World
from vm.primitives.errors import InvalidInput

NEXT = START_MS // 3_600_000 + 2
FEEDER = {
    "slack": "a",
    "buses": ["a", "b", "c"],
    "lines": [
        {"name": "1", "from": "a", "to": "b", "rating_w": 5, "owner": "S0"},
        {"name": "2", "from": "c", "to": "b", "rating_w": None},
    ],
}


def build(network: Any, count: int = 120) -> World:
    people = [Person(f"S{number}", bus="abc"[number % 3]) for number in range(7)]
    market = {"name": "m", "network": network, "interval_minutes": 60}
    world = World(people, {"markets": [{"name": "z"}, market, {"name": "a"}]})
    random = Random(count)
    for _ in range(count):
        seller, interval = f"S{random.randrange(7)}", NEXT + random.randrange(3)
        world.call(seller, "post", "m", interval, random.randint(1, 9), random.randint(1, 12))
    world.commit()
    return world


def read_all(world: World, limit: int, **filters: Any) -> list[Any]:
    found: list[Any] = []
    after = ""
    while True:
        page = list_offers(world.overlay, "m", limit=limit, after=after, **filters)
        assert len(page.offers) <= limit
        found += page.offers
        after = page.after
        if not after:
            return found


@pytest.mark.parametrize("network", [None, FEEDER], ids=["plain", "network"])
@pytest.mark.parametrize("limit", [1, 7, 40, 1_000])
def test_pages_give_every_offer_once_and_in_order(network: Any, limit: int) -> None:
    world = build(network)
    found = read_all(world, limit)
    assert sorted(offer.offer_id for offer in found) == sorted(world.standing())
    order = [(offer.interval, offer.price_micro_per_kwh, offer.sequence) for offer in found]
    assert order == sorted(order)
    names = {account: name for name, account in world.ids.items()}
    for offer in found:
        bus = "abc"[int(names[offer.seller][1:]) % 3] if network else ""
        assert offer.bus == bus
        assert find_offer(world.overlay, offer.offer_id) == offer
    in_one = read_all(world, limit, interval=NEXT + 1)
    assert in_one == [offer for offer in found if offer.interval == NEXT + 1]
    seller = world.ids["S3"]
    of_one = read_all(world, limit, seller=seller)
    assert of_one == [offer for offer in found if offer.seller == seller]
    both = read_all(world, limit, seller=seller, interval=NEXT)
    assert both == [offer for offer in of_one if offer.interval == NEXT]


def test_reading_a_page_of_a_large_book_opens_little_of_it() -> None:
    world = build(FEEDER, 600)
    reads = 0
    scan = world.state.scan

    def counting(start: bytes, end: bytes) -> Any:
        nonlocal reads
        for entry in scan(start, end):
            reads += 1
            yield entry

    world.state.scan = counting  # type: ignore[method-assign]
    list_offers(world.overlay, "m", interval=NEXT, limit=5)
    assert reads < 25


@pytest.mark.parametrize(
    "after", ["x", "1-2", "1-2-3-4", "1-2-" + "9" * 19, "9" * 5000, "1--2", "٣-1-1"]
)
def test_a_page_begins_only_where_another_ended(after: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        list_offers(build(None, 1).overlay, "m", after=after)
    assert caught.value.code == "invalid_page"


@pytest.mark.parametrize("limit", [0, -1, 1_001])
def test_page_lengths_are_bounded(limit: int) -> None:
    with pytest.raises(InvalidInput, match="page length"):
        list_offers(build(None, 1).overlay, "m", limit=limit)


def test_markets_are_listed_as_in_genesis_and_found_by_name() -> None:
    world = build(None, 0)
    assert [market.name for market in list_markets(world.overlay)] == ["z", "m", "a"]
    assert find_market(world.overlay, "a").number == 2
    with pytest.raises(InvalidInput) as caught:
        find_market(world.overlay, "none")
    assert caught.value.code == "unknown_market"
    assert find_offer(world.overlay, 1) is None


def test_lines_say_where_they_run_and_what_they_carry() -> None:
    world = build(FEEDER, 0)
    world.call("S2", "post", "m", NEXT, 30, 1)
    world.call("S0", "buy", "m", NEXT, 30, 1, False)
    first, second = list_lines(world.overlay, "m", NEXT)
    assert (first.from_bus, first.to_bus, first.owner) == ("a", "b", world.ids["S0"])
    assert (first.rating_w, first.capacity_milli_wh, first.flow_milli_wh) == (5, 5_000, -30)
    assert (second.from_bus, second.to_bus, second.owner) == ("c", "b", b"")
    assert (second.rating_w, second.capacity_milli_wh, second.flow_milli_wh) == (None, None, 30)
    assert list_lines(world.overlay, "z", 0) == ()
