"""Measures posts and purchases in books of different sizes: `python -m tests.market.measure`."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time_ns
from typing import Any

from market.closing import close_interval
from market.views import find_market
from tests.market.support import START_MS, Person, World
from vm.primitives.errors import CallError
from vm.system.accounts import ACTIVE, SUSPENDED

MARKET = "m"
CHEAP = 1_000
PURCHASES = 400
KINDS = ("plain", "own", "pair", "line", "line, penalty", "pair, penalty", "network")


def build(kind: str, standing: int) -> World:
    """Return a market with offers of 100 sellers, of which the cheapest 1,000 are unusable."""
    sellers = [f"S{number}" for number in range(100)]
    behind = [f"B{number}" for number in range(CHEAP)] if kind.startswith("line") else []
    networked = kind.startswith("line") or kind == "network"
    people = [Person(name, ("prosumer",), "far" if networked else "") for name in behind]
    people += [Person(name, ("prosumer",), "near" if networked else "") for name in sellers]
    people += [
        Person("buyer", ("prosumer",), "home" if networked else "", "1000000"),
        Person("rich", ("prosumer",), "near" if networked else "", "1000000", "1000000"),
    ]
    market: dict[str, Any] = {"name": MARKET, "line_policy": "skip", "penalty_price": "1"}
    if kind.endswith("penalty"):
        market["line_policy"] = "penalty"
    if networked:
        market["network"] = {
            "slack": "root",
            "buses": ["root", "near", "far", "home"],
            "lines": [
                {"name": "near", "from": "root", "to": "near", "rating_w": 10**9},
                {"name": "far", "from": "root", "to": "far", "rating_w": 0},
                {"name": "home", "from": "root", "to": "home", "rating_w": 10**9},
            ],
        }
        if kind == "network":
            market["network"]["lines"][1]["rating_w"] = 10**9
    if kind.startswith("pair"):
        market["pair_limits_kwh"] = {"buyer-rich": "0"}
    world = World(people, {"markets": [market]})
    usable = standing
    if kind not in ("plain", "network") and standing > CHEAP:
        usable = standing - CHEAP
        for number in range(CHEAP):
            name = {"o": "buyer", "p": "rich", "l": f"B{number}"}[kind[0]]
            world.call(name, "post", MARKET, 0, 1_000, 1_000 + number)
    for number in range(usable):
        seller = sellers[number % len(sellers)]
        world.call(seller, "post", MARKET, 0, 10_000, 500_000 + number * 7919 % 100_003)
    world.commit()
    world.overlay.forget_journal()
    return world


def time_calls(world: World, count: int, call: Callable[[World, int], tuple[Any, ...]]) -> int:
    """Return the median time of `count` calls, nanoseconds, as the block path would make them."""
    times = []
    for number in range(count):
        caller, *rest = call(world, number)
        ctx = world.context(caller)
        arguments = ("market", rest[0], tuple(rest[1:]))
        before = process_time_ns()
        world.runtime.run_call(ctx, arguments)
        times.append(process_time_ns() - before)
        world.overlay.forget_journal()
    return sorted(times)[len(times) // 2]


def partial_buy(world: World, number: int) -> tuple[Any, ...]:
    return ("buyer", "buy", MARKET, 0, 1 + number % 50, 10**9, False)


def one_post(world: World, number: int) -> tuple[Any, ...]:
    return (f"S{number % 100}", "post", MARKET, 0, 1_000, 500_000 + number * 31 % 100_003)


def buy_ns(kind: str, standing: int, *, repeats: int = 3) -> int:
    """Return what buying a part of one offer costs, nanoseconds: the least of the medians."""
    return min(time_calls(build(kind, standing), PURCHASES, partial_buy) for _ in range(repeats))


def calls_per_gas() -> dict[str, tuple[int, int]]:
    """Return gas and nanoseconds of each kind of call that a market carries out."""
    deep = {"skip": deep_feeder(100)}
    found = {
        "post": (build("plain", 1_000), one_post),
        "post, network": (build("network", 1_000), one_post),
        "update": (build("plain", 1_000), one_update),
        "buy, 1 fill": (build("plain", 1_000), partial_buy),
        "buy, 1 fill sold out": (build("plain", 1_000), whole_buy),
        "buy, 100 fills": (build("plain", 10_000), many_fills),
        "buy, 100 fills, network": (build("network", 10_000), many_fills),
        "failing buy, 1,000 tiny offers": (tiny_offers(1_000), failing_buy),
        "failing buy, 1,000 pairs full": (tiny_offers(1_000, pair_limit="0"), failing_buy),
        "failing buy, 1,000 suspended": (tiny_offers(1_000, status=SUSPENDED), failing_buy),
        "failing buy, 1,000 penalties": (
            tiny_offers(1_000, pair_limit="0", policy="penalty"),
            cheap_failing_buy,
        ),
        "deep feeder of 100 lines": (deep["skip"], partial_buy),
        "deep feeder, 100 buses": (deep["skip"], failing_buy),
        "deep feeder, 200 fills": (deep["skip"], all_fills),
        "penalties, 100 lines": (deep_feeder(100, "penalty"), all_fills),
    }
    figures = {name: gas_and_ns(world, call) for name, (world, call) in found.items()}
    figures["gate closing, 200 offers"] = closing_batch()
    return figures


def gas_and_ns(world: World, call: Callable[[World, int], tuple[Any, ...]]) -> tuple[int, int]:
    """Return gas and time of the call as a block's first one, each of 9 undone; the median time."""
    times = []
    gas = 0
    for number in range(9):
        caller, *rest = call(world, number)
        ctx = world.context(caller)
        mark = world.overlay.mark()
        before = process_time_ns()
        try:
            world.runtime.run_call(ctx, ("market", rest[0], tuple(rest[1:])))
        except CallError as error:
            if error.code not in ("not_enough_offers", "too_many_fills"):
                raise
        times.append(process_time_ns() - before)
        gas = ctx.gas_used
        world.overlay.undo(mark)
        world.overlay.forget_journal()
    return gas, sorted(times)[len(times) // 2]


def tiny_offers(
    count: int, *, pair_limit: str | None = None, status: int = ACTIVE, policy: str = "skip"
) -> World:
    """Return a market with the smallest offers, each of another seller."""
    people = [Person(f"S{number}") for number in range(count)] + [Person("buyer")]
    market = {
        "name": MARKET,
        "default_pair_limit_kwh": pair_limit,
        "line_policy": policy,
        "penalty_price": "1",
    }
    world = World(people, {"markets": [market]})
    for number in range(count):
        world.call(f"S{number}", "post", MARKET, 0, 1, 500_000 + number)
        world.set_status(f"S{number}", status)
    world.commit()
    return world


def deep_feeder(depth: int, policy: str = "skip") -> World:
    """Return a market on one long feeder, with sellers at each bus and the buyer at its end."""
    buses = [f"b{number}" for number in range(depth + 1)]
    lines: list[dict[str, Any]] = [
        {"name": f"l{number}", "from": buses[number], "to": buses[number + 1], "rating_w": 10**9}
        for number in range(depth)
    ]
    if policy == "penalty":
        for line in lines[-2:]:
            line["rating_w"] = 0
    people = [Person(f"S{number}", bus=buses[number]) for number in range(depth)]
    people += [Person("buyer", bus=buses[-1], balance="1000000"), Person("EDC")]
    market = {
        "name": MARKET,
        "line_policy": policy,
        "penalty_price": "0.1",
        "penalty_payee": "edc",
        "edc": "EDC",
        "network": {"slack": "b0", "buses": buses, "lines": lines},
    }
    world = World(people, {"markets": [market]})
    for number in range(4 * depth):
        world.call(f"S{number % depth}", "post", MARKET, 0, 1_000, 500_000 + number)
    world.commit()
    return world


def closing_batch() -> tuple[int, int]:
    """Return gas and time of withdrawing one batch of offers whose gate has closed."""
    interval = START_MS // 900_000 + 1
    market = {"name": MARKET, "interval_minutes": 15}
    world = World([Person(f"S{number}") for number in range(100)], {"markets": [market]})
    for number in range(400):
        world.call(f"S{number % 100}", "post", MARKET, interval, 1_000, 500_000 + number)
    world.commit()
    config = find_market(world.overlay, MARKET)
    times = []
    gas = 0
    for _ in range(9):
        ctx = world.context()
        ctx.module = "market"
        mark = world.overlay.mark()
        before = process_time_ns()
        close_interval(ctx, config, interval)
        times.append(process_time_ns() - before)
        gas = ctx.gas_used
        world.overlay.undo(mark)
    return gas, sorted(times)[len(times) // 2]


def whole_buy(_world: World, _number: int) -> tuple[Any, ...]:
    return ("buyer", "buy", MARKET, 0, 10_000, 10**9, False)


def many_fills(_world: World, _number: int) -> tuple[Any, ...]:
    return ("buyer", "buy", MARKET, 0, 100 * 10_000, 10**9, False)


def all_fills(_world: World, _number: int) -> tuple[Any, ...]:
    return ("buyer", "buy", MARKET, 0, 10**12, 10**9, True)


def failing_buy(_world: World, _number: int) -> tuple[Any, ...]:
    return ("buyer", "buy", MARKET, 0, 10**12, 10**9, False)


def cheap_failing_buy(_world: World, _number: int) -> tuple[Any, ...]:
    return ("buyer", "buy", MARKET, 0, 10**12, 1_000_000, False)


def one_update(world: World, number: int) -> tuple[Any, ...]:
    offer = 1 + number * 31 % 1_000
    seller = f"S{(offer - 1) % 100}"
    return (seller, "update", MARKET, offer, 10_000, 400_000 + number)


def print_gas() -> None:
    """Print gas, microseconds, and gas a microsecond of each kind of call."""
    print(f"{'':32}      gas        us  gas/us")
    for name, (gas, time_ns) in calls_per_gas().items():
        print(f"{name:32}{gas:9}{time_ns / 1e3:10.1f}{gas * 1e3 / time_ns:8.1f}")


def main() -> None:
    """Print the gas of each kind of call, its time, and how book sizes compare."""
    print_gas()
    print("                 post    buy   among 10,000   ratio")
    for kind in KINDS:
        world = build(kind, 1_000)
        post = time_calls(world, PURCHASES, one_post)
        few, many = buy_ns(kind, 10), buy_ns(kind, 10_000)
        figures = f"{post / 1e3:8.1f} {few / 1e3:6.1f} {many / 1e3:10.1f} {many / few:12.2f}"
        print(f"{kind:14}{figures}")


if __name__ == "__main__":
    main()
