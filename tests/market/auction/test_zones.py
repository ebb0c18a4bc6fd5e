"""The auction by zones: optimal under line limits, and held against a power flow."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from market.auction.orders import BUY, SELL, Order
from market.auction.uniform import clear_uniform
from market.auction.zones import ZonalClearing, clear_zones
from market.network import Bus, Line, Network, line_capacity_milli_wh, validate_network
from tests.market.auction.books import KWH, TOKEN, bid, offer, owner
from vm.primitives.errors import CallError

TWO = Network("a", (Bus("a"), Bus("b")), (Line("l", "a", "b", 2_000, 1, ""),))


def random_case(rng: random.Random) -> tuple[Network, list[Order], dict[int, str]]:
    """Draw a tree, ratings that often bind, and a book with ties."""
    count = rng.randint(1, 9)
    names = [f"n{n}" for n in range(count)]
    lines = []
    for n in range(1, count):
        ends = [names[n], names[rng.randrange(n)]]
        rng.shuffle(ends)
        rating = rng.choice((None, 0, rng.randint(1, 20), rng.randint(1, 20_000)))
        lines.append(Line(f"l{n}", *ends, rating, rng.randint(1, 10**6), ""))
    network = Network(rng.choice(names), tuple(Bus(name) for name in names), tuple(lines))
    validate_network(network, radial=True)
    wide = rng.random() < 0.5
    orders = [
        Order(
            n,
            owner(n),
            rng.randrange(2),
            rng.randint(1, 10**7) if wide else KWH * rng.randint(1, 5),
            rng.randint(0, 10**8) if wide else TOKEN * rng.randint(1, 6),
            n,
        )
        for n in range(rng.randint(0, 25))
    ]
    return network, orders, {order.number: rng.choice(names) for order in orders}


def injections(
    network: Network, orders: list[Order], at: dict[int, str], found: ZonalClearing
) -> list[int]:
    """Return what each bus feeds in, milliwatt-hours."""
    total = dict.fromkeys((bus.name for bus in network.buses), 0)
    for order, award in zip(orders, found.awards, strict=True):
        total[at[order.number]] += award.energy_milli_wh * (1 if order.side == SELL else -1)
    return list(total.values())


def power_flow(network: Network, injected: list[int]) -> list[float]:
    """Return the lines' flows by a DC power flow: angles from the susceptance matrix."""
    known = {bus.name: n for n, bus in enumerate(network.buses)}
    size = len(network.buses)
    matrix = np.zeros((size, size))
    for line in network.lines:
        i, j, y = known[line.from_bus], known[line.to_bus], 1 / line.reactance_nano_ohm
        matrix[i, i] += y
        matrix[j, j] += y
        matrix[i, j] -= y
        matrix[j, i] -= y
    slack = known[network.slack]
    keep = [n for n in range(size) if n != slack]
    angles = np.zeros(size)
    if keep:
        right = np.array(injected, dtype=float)[keep]
        angles[keep] = np.linalg.solve(matrix[np.ix_(keep, keep)], right)
    return [
        (angles[known[line.from_bus]] - angles[known[line.to_bus]]) / line.reactance_nano_ohm
        for line in network.lines
    ]


@pytest.mark.parametrize("seed", range(60))
def test_flows_are_those_of_a_power_flow_and_within_ratings(seed: int) -> None:
    network, orders, at = random_case(random.Random(seed))
    found = clear_zones(orders, at, network, interval_minutes=60)
    injected = injections(network, orders, at, found)
    assert sum(injected) == 0
    expected = power_flow(network, injected)
    for line, flow, other in zip(network.lines, found.flows_milli_wh, expected, strict=True):
        assert abs(flow - other) <= max(1.0, 1e-6 * max(map(abs, injected)))
        if line.rating_w is not None:
            assert abs(flow) <= line_capacity_milli_wh(line.rating_w, 60)


@pytest.mark.parametrize("seed", range(120))
def test_prices_and_flows_satisfy_the_conditions_of_the_greatest_welfare(seed: int) -> None:
    network, orders, at = random_case(random.Random(1_000 + seed))
    found = clear_zones(orders, at, network, interval_minutes=60)
    known = {bus.name: n for n, bus in enumerate(network.buses)}
    prices = found.prices_half_micro_per_kwh
    for order, award in zip(orders, found.awards, strict=True):
        price = prices[known[at[order.number]]]
        assert 0 <= award.energy_milli_wh <= order.energy_milli_wh
        if price is None:
            assert not award.energy_milli_wh
            continue
        gain = (2 * order.price_micro_per_kwh - price) * (1 if order.side == BUY else -1)
        assert not (gain > 0 and award.residual_milli_wh), "who would gain waits"
        assert not (gain < 0 and award.energy_milli_wh), "who loses trades"
    for line, flow in zip(network.lines, found.flows_milli_wh, strict=True):
        first, second = prices[known[line.from_bus]], prices[known[line.to_bus]]
        if first is None or second is None or first == second:
            continue
        assert line.rating_w is not None
        full = line_capacity_milli_wh(line.rating_w, 60)
        assert flow == (full if first < second else -full), "energy flows to the dearer bus"
    assert found.surplus_micro >= 0


@pytest.mark.parametrize("seed", range(40))
def test_without_limits_it_is_the_uniform_price_auction(seed: int) -> None:
    network, orders, at = random_case(random.Random(5_000 + seed))
    lines = tuple(replace(line, rating_w=None) for line in network.lines)
    found = clear_zones(
        orders, at, Network(network.slack, network.buses, lines), interval_minutes=60
    )
    plain = clear_uniform(orders)
    assert found.welfare_pico == plain.welfare_pico
    assert found.volume_milli_wh == plain.volume_milli_wh
    if plain.welfare_pico:
        price = plain.buyer_price_half_micro_per_kwh
        assert set(found.prices_half_micro_per_kwh) == {price}


def greatest(
    network: Network, orders: list[Order], at: dict[int, str], carried: tuple[int, ...] = ()
) -> tuple[int, int]:
    """Return (welfare, volume): the greatest welfare, and the greatest volume at that welfare.

    A flow of least cost by shortest augmenting paths (Bellman and Ford) from offers to bids, where
    a milliwatt-hour that is bought is worth a little beside its price.
    """
    little = 1 + sum(order.energy_milli_wh for order in orders)
    known = {bus.name: n for n, bus in enumerate(network.buses)}
    source, sink = len(known), len(known) + 1
    heads: list[int] = []
    tails: list[int] = []
    rooms: list[int] = []
    costs: list[int] = []

    def connect(tail: int, head: int, forward: int, backward: int, cost: int) -> None:
        tails.extend((tail, head))
        heads.extend((head, tail))
        rooms.extend((forward, backward))
        costs.extend((cost, -cost))

    for order in orders:
        bus, worth = known[at[order.number]], order.price_micro_per_kwh * little
        if order.side == BUY:
            connect(bus, sink, order.energy_milli_wh, 0, -worth - 1)
        else:
            connect(source, bus, order.energy_milli_wh, 0, worth)
    for line, already in zip(network.lines, carried or [0] * len(network.lines), strict=True):
        ends = known[line.from_bus], known[line.to_bus]
        if line.rating_w is None:
            connect(*ends, little, little, 0)
        else:
            full = line_capacity_milli_wh(line.rating_w, 60)
            connect(*ends, full - already, full + already, 0)
    gained = 0
    while True:
        reach: dict[int, tuple[int, int]] = {source: (0, -1)}
        changed = True
        while changed:
            changed = False
            for arc, tail in enumerate(tails):
                if not rooms[arc] or tail not in reach:
                    continue
                cost = reach[tail][0] + costs[arc]
                if heads[arc] not in reach or cost < reach[heads[arc]][0]:
                    reach[heads[arc]], changed = (cost, arc), True
        if sink not in reach or reach[sink][0] >= 0:
            break
        way = [reach[sink][1]]
        while tails[way[-1]] != source:
            way.append(reach[tails[way[-1]]][1])
        moved = min(rooms[arc] for arc in way)
        for arc in way:
            rooms[arc] -= moved
            rooms[arc ^ 1] += moved
        gained -= moved * reach[sink][0]
    return gained // little, gained % little


@pytest.mark.parametrize("seed", range(150))
def test_it_trades_the_greatest_volume_of_the_greatest_welfare(seed: int) -> None:
    network, orders, at = random_case(random.Random(30_000 + seed))
    found = clear_zones(orders, at, network, interval_minutes=60)
    assert (found.welfare_pico, found.volume_milli_wh) == greatest(network, orders, at)


def test_equal_prices_at_two_buses_trade_all_that_the_line_carries() -> None:
    book = [bid(1, 5, 20), offer(2, 5, 20)]
    at = {1: "a", 2: "b"}
    wide = Network("a", TWO.buses, (replace(TWO.lines[0], rating_w=None),))
    assert clear_zones(book, at, wide, interval_minutes=60).volume_milli_wh == 5 * KWH
    found = clear_zones(book, at, TWO, interval_minutes=60)
    assert found.volume_milli_wh == 2 * KWH
    assert found.flows_milli_wh == (-2 * KWH,)
    assert found.prices_half_micro_per_kwh == (40 * TOKEN, 40 * TOKEN)


def test_the_longer_side_of_equal_prices_shares_pro_rata_over_all_buses() -> None:
    book = [bid(1, 3, 20), offer(2, 5, 20), offer(3, 1, 20), offer(4, 6, 20)]
    wide = Network("a", TWO.buses, (replace(TWO.lines[0], rating_w=None),))
    found = clear_zones(book, {1: "a", 2: "a", 3: "b", 4: "b"}, wide, interval_minutes=60)
    traded = [award.energy_milli_wh for award in found.awards]
    assert traded == [3 * KWH, 5 * KWH // 4, KWH // 4, 6 * KWH // 4]


def test_a_full_line_parts_the_feeder_into_two_prices_and_leaves_its_rent() -> None:
    book = [offer(1, 5, 10), bid(2, 1, 30), bid(3, 4, 40), offer(4, 3, 25)]
    at = {1: "a", 2: "a", 3: "b", 4: "b"}
    free = clear_zones(book, at, TWO, interval_minutes=60)
    # Two kWh pass to b, where the other two cost 25; a's supply is in part left over.
    assert free.flows_milli_wh == (2 * KWH,)
    assert free.prices_half_micro_per_kwh == (2 * 10 * TOKEN, 2 * 25 * TOKEN)
    assert free.surplus_micro == 2 * (25 - 10) * TOKEN
    half = clear_zones(book, at, TWO, interval_minutes=30)
    assert half.flows_milli_wh == (KWH,)


@pytest.mark.parametrize("seed", range(40))
def test_what_lines_carry_already_leaves_room_for_the_rest_or_its_reverse(seed: int) -> None:
    """Two clearings of one interval: together within the ratings, and each of them optimal."""
    network, orders, at = random_case(random.Random(9_000 + seed))
    first = clear_zones(orders, at, network, interval_minutes=60)
    _, others, _ = random_case(random.Random(19_000 + seed))
    names = [bus.name for bus in network.buses]
    places = {order.number: names[order.number % len(names)] for order in others}
    second = clear_zones(
        others, places, network, interval_minutes=60, carried_milli_wh=first.flows_milli_wh
    )
    known = {name: n for n, name in enumerate(names)}
    prices = second.prices_half_micro_per_kwh
    for order, award in zip(others, second.awards, strict=True):
        price = prices[known[places[order.number]]]
        if price is not None:
            gain = (2 * order.price_micro_per_kwh - price) * (1 if order.side == BUY else -1)
            assert not (gain > 0 and award.residual_milli_wh), "who would gain waits"
            assert not (gain < 0 and award.energy_milli_wh), "who loses trades"
    for line, carried, flow in zip(
        network.lines, first.flows_milli_wh, second.flows_milli_wh, strict=True
    ):
        total, rating = carried + flow, line.rating_w
        full = None if rating is None else line_capacity_milli_wh(rating, 60)
        assert full is None or abs(total) <= full
        ends = prices[known[line.from_bus]], prices[known[line.to_bus]]
        if ends[0] is not None and ends[1] is not None and ends[0] != ends[1]:
            assert full is not None
            assert total == (full if ends[0] < ends[1] else -full), "it flows to the dearer bus"
    assert second.surplus_micro >= 0
    best = greatest(network, others, places, first.flows_milli_wh)
    assert (second.welfare_pico, second.volume_milli_wh) == best


def test_a_line_that_is_full_carries_more_only_the_other_way() -> None:
    book = [offer(1, 5, 10), bid(3, 4, 40)]
    out = clear_zones(book, {1: "a", 3: "b"}, TWO, interval_minutes=60)
    assert out.flows_milli_wh == (2 * KWH,)
    again = clear_zones(
        book, {1: "a", 3: "b"}, TWO, interval_minutes=60, carried_milli_wh=out.flows_milli_wh
    )
    assert again.flows_milli_wh == (0,)
    assert again.volume_milli_wh == 0
    back = clear_zones(
        book, {1: "b", 3: "a"}, TWO, interval_minutes=60, carried_milli_wh=out.flows_milli_wh
    )
    assert back.flows_milli_wh == (-4 * KWH,)


def test_a_line_full_of_earlier_trades_keeps_the_price_before_it_below_the_one_behind() -> None:
    book = [offer(1, 1, 10), bid(2, 1, 40), offer(3, 1, 15), bid(4, 1, 20)]
    at = {1: "a", 2: "a", 3: "b", 4: "b"}
    found = clear_zones(book, at, TWO, interval_minutes=60, carried_milli_wh=(2 * KWH,))
    assert found.flows_milli_wh == (0,)
    assert found.prices_half_micro_per_kwh == ((10 + 15) * TOKEN, (15 + 20) * TOKEN)


def test_an_order_away_from_the_network_is_refused() -> None:
    with pytest.raises(CallError) as caught:
        clear_zones([bid(1, 1, 1)], {1: "elsewhere"}, TWO, interval_minutes=60)
    assert caught.value.code == "not_connected"


def test_an_empty_book() -> None:
    found = clear_zones([], {}, TWO, interval_minutes=60)
    assert found.prices_half_micro_per_kwh == (None, None)
    assert found.flows_milli_wh == (0,)
