"""Lines and pairs: what trades load, what is left, who gets a penalty, who changes limits."""

from __future__ import annotations

from typing import Any

from market.views import list_lines, list_pair_limits
from tests.market.support import Person, World, kwh, tokens

KWH = 1_000_000
LINES = [
    {"name": "trunk", "from": "root", "to": "fork", "rating_w": 4_000, "owner": "OWNER"},
    {"name": "left", "from": "left", "to": "fork", "rating_w": 3_000},
    {"name": "right", "from": "fork", "to": "right", "rating_w": None},
]
BUSES = ["root", "fork", "left", "right"]
FEEDER = {"slack": "root", "buses": BUSES, "lines": LINES}


def build(threshold: int = 1, **market: Any) -> World:
    """Return a feeder: root - fork - left and right, with a member of its name at each bus."""
    people = [Person(name, bus=name, balance="100000") for name in BUSES]
    people += [
        Person("right2", bus="right"),
        Person("OWNER", ("edc",)),
        Person("EDC", ("edc",)),
        Person("dso", ("dso",)),
        Person("operator", ("operator",)),
        Person("operator2", ("operator",)),
        Person("nowhere"),
        Person("abroad", bus="elsewhere"),
    ]
    section = {"name": "m", "line_policy": "skip", "edc": "EDC", "network": FEEDER, **market}
    return World(people, {"markets": [section]}, threshold=threshold)


def flows(world: World) -> dict[str, int]:
    return {line.name: line.flow_milli_wh for line in list_lines(world.overlay, "m", 0)}


def buy(world: World, who: str, energy: int, price: str = "100") -> list[tuple[int, ...]]:
    fills = world.call(who, "buy", "m", 0, energy, tokens(price), True)
    return [tuple(fill[2:]) for fill in fills]


def sell(world: World, seller: str, energy: int = 50 * KWH, price: str = "10") -> None:
    world.call(seller, "post", "m", 0, energy, tokens(price))


def test_a_trade_loads_each_line_of_the_path_with_its_direction() -> None:
    world = build()
    sell(world, "left", 2 * KWH)
    buy(world, "root", 2 * KWH)
    assert flows(world) == {"trunk": -2 * KWH, "left": 2 * KWH, "right": 0}


def test_a_trade_at_one_bus_loads_no_line() -> None:
    world = build()
    sell(world, "right")
    buy(world, "right2", 40 * KWH)
    assert flows(world) == {"trunk": 0, "left": 0, "right": 0}


def test_what_is_behind_a_full_line_is_not_tradable() -> None:
    world = build()
    sell(world, "left", price="1")
    sell(world, "right", price="2")
    assert [fill[0] for fill in buy(world, "root", 10 * KWH)] == [3 * KWH, KWH]
    order = ("m", 0, 1, tokens("100"))
    assert world.code("root", "buy", *order, True) == "not_enough_offers"
    assert [fill[0] for fill in buy(world, "right2", KWH)] == [KWH]


def test_opposite_flows_net_out() -> None:
    world = build()
    sell(world, "left")
    buy(world, "root", 3 * KWH)
    sell(world, "root", price="1")
    assert sum(fill[0] for fill in buy(world, "right2", 50 * KWH)) == 7 * KWH
    assert flows(world) == {"trunk": 4 * KWH, "left": 3 * KWH, "right": 7 * KWH}


def test_ignored_limits_are_passed_and_still_counted() -> None:
    world = build(line_policy="ignore", pair_limits_kwh={"left-root": "1"})
    sell(world, "left")
    buy(world, "root", 9 * KWH)
    assert flows(world) == {"trunk": -9 * KWH, "left": 9 * KWH, "right": 0}
    (pair,) = list_pair_limits(world.overlay, "m", 0)
    assert (pair.limit_milli_wh, pair.traded_milli_wh) == (KWH, 9 * KWH)
    world.call("operator", "set_policy", "m", "skip", 0, "seller")
    assert world.code("root", "buy", "m", 0, 1, tokens("100"), True) == "not_enough_offers"


def test_each_reached_limit_adds_a_penalty_and_its_owner_gets_it() -> None:
    world = build(
        line_policy="penalty",
        penalty_price="1",
        penalty_payee="edc",
        pair_limits_kwh={"left-root": "2"},
    )
    sell(world, "left")
    fills = buy(world, "root", 6 * KWH)
    assert [(energy // KWH, price, penalty) for energy, price, penalty, _ in fills] == [
        (2, tokens("10"), 0),
        (1, tokens("11"), tokens("1")),
        (1, tokens("12"), tokens("2")),
        (2, tokens("13"), tokens("3")),
    ]
    assert world.balances()["OWNER"][0] - tokens("1000") == tokens("2")
    assert world.balances()["EDC"][0] - tokens("1000") == tokens("7")
    assert world.balances()["left"][0] - tokens("100000") == tokens("60")
    assert world.balances()["root"][0] - tokens("100000") == -tokens("69")
    names = [(name, values[1]) for _, name, values in world.events if name == "penalty"]
    assert names.count(("penalty", world.ids["OWNER"])) == 1
    world.check_conservation()


def test_what_does_not_divide_among_owners_goes_to_the_seller() -> None:
    world = build(
        line_policy="penalty",
        penalty_price="0.000001",
        penalty_payee="edc",
        default_pair_limit_kwh="0",
    )
    for line in ("left", "trunk"):
        world.call("dso", "set_line_rating", "m", line, 0)
    sell(world, "left")
    ((energy, price, penalty, amount),) = buy(world, "root", 1_400_000)
    assert (energy, price, penalty) == (1_400_000, tokens("10.000003"), 3)
    assert amount == tokens("14") + 4
    assert world.balances()["EDC"][0] == tokens("1000") + 2
    assert world.balances()["OWNER"][0] == tokens("1000") + 1
    assert world.balances()["left"][0] == tokens("100000") + tokens("14") + 1


def test_a_payee_may_be_buyer_or_seller() -> None:
    for edc in ("left", "root"):
        world = build(
            line_policy="penalty",
            penalty_price="1",
            penalty_payee="edc",
            edc=edc,
            default_pair_limit_kwh="0",
        )
        sell(world, "left")
        buy(world, "root", 7_654_321)
        world.check_conservation()


def test_a_pair_is_two_members_in_either_order() -> None:
    world = build(pair_limits_kwh={"right2-right": "3"})
    sell(world, "right", 2 * KWH)
    sell(world, "right2", 2 * KWH)
    assert [fill[0] for fill in buy(world, "right2", 2 * KWH)] == [2 * KWH]
    assert [fill[0] for fill in buy(world, "right", 2 * KWH)] == [KWH]


def test_an_own_limit_goes_before_the_default_one() -> None:
    world = build(default_pair_limit_kwh="1")
    sell(world, "right")
    pair = (world.ids["right2"], world.ids["right"])
    world.call("dso", "set_pair_limit", "m", *pair, 2 * KWH)
    assert sum(fill[0] for fill in buy(world, "right2", 50 * KWH)) == 2 * KWH
    world.call("dso", "set_pair_limit", "m", *pair, None)
    assert world.code("right2", "buy", "m", 0, 1, tokens("100"), True) == "not_enough_offers"
    assert list_pair_limits(world.overlay, "m", 0) == ()
    world.call("dso", "set_pair_limit", "m", *pair, None)
    assert world.index() == world.rebuilt_index()


def test_a_rating_changed_or_taken_away_counts_from_then_on() -> None:
    world = build()
    sell(world, "left")
    buy(world, "right", 3 * KWH)
    world.call("dso", "set_line_rating", "m", "left", 5_000)
    assert [fill[0] for fill in buy(world, "right", 9 * KWH)] == [2 * KWH]
    world.call("dso", "set_line_rating", "m", "left", None)
    assert [fill[0] for fill in buy(world, "right", 9 * KWH)] == [9 * KWH]


def test_changes_wait_for_as_many_approvals_as_the_chain_asks_for() -> None:
    world = build(threshold=2)
    pair = (world.ids["right"], world.ids["right2"])
    changes: list[tuple[Any, ...]] = [
        ("set_policy", "m", "ignore", 0, "seller"),
        ("set_line_rating", "m", "left", 7),
        ("set_pair_limit", "m", *pair, 1),
    ]
    for change in changes:
        assert world.call("operator", *change) is False
        assert world.call("operator", *change) is False
        if change[0] == "set_pair_limit":
            change = (*change[:2], *reversed(pair), 1)
        assert world.call("operator2", *change) is True
    done = [(name, values) for _, name, values in world.events if name != "approval"]
    assert done == [
        ("set_policy", ("m", "ignore", 0, "seller")),
        ("set_line_rating", ("m", "left", 7)),
        ("set_pair_limit", ("m", *sorted(pair), 1)),
    ]


def test_who_is_not_connected_to_the_network_cannot_trade_on_it() -> None:
    world = build()
    for name in ("nowhere", "abroad"):
        assert world.code(name, "post", "m", 0, 1, 10) == "not_connected"
        assert world.code(name, "buy", "m", 0, 1, 10, True) == "not_connected"


def test_an_offer_stands_at_its_bus_until_it_is_updated() -> None:
    world = build()
    sell(world, "left", kwh("50"))
    world.call("operator", "set_bus", world.ids["left"], "right", module="members")
    assert sum(fill[0] for fill in buy(world, "right2", 9 * KWH)) == 3 * KWH
    world.call("left", "update", "m", 1, kwh("47"), tokens("10"))
    assert sum(fill[0] for fill in buy(world, "right2", 9 * KWH)) == 9 * KWH
    assert world.index() == world.rebuilt_index()


def test_a_line_that_carried_too_much_energy_refuses_more() -> None:
    world = build(line_policy="ignore")
    sell(world, "left", 1)
    key = b"u" + bytes(10) + b"l" + (2).to_bytes(4, "big")
    world.overlay.put(key, (2**63 - 1).to_bytes(8, "big", signed=True))
    assert world.code("root", "buy", "m", 0, 1, tokens("10"), True) == "overflow"
