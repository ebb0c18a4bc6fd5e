"""Random market days conserve money and energy, and the local market leaves nobody worse off."""

from __future__ import annotations

import random
from typing import Any

import pytest

from market.day.lines import MISSTATEMENT
from tests.market.day.day_world import MINUTE, QUARTER, TERMS, DayWorld
from tests.market.day.random_days import run_days
from tests.market.support import tokens
from vm.primitives.integers import MILLI_WH_PER_KWH, divide_up


def test_random_days_conserve_money_and_energy() -> None:
    tally = run_days(5, 100)
    assert tally.orders > 500
    assert tally.corrections > 10
    assert tally.share() >= 0.7
    assert min(tally.cancelled, tally.forfeited, tally.indebted) > 0
    assert min(tally.gone, tally.standstills) > 0
    assert len(tally.lines) >= 8, "nearly every kind of line occurred"


def trade_truly(world: DayWorld, rng: random.Random, *, sealed: bool) -> dict[str, tuple[int, int]]:
    """Have members state what they will do at random prices; return what they inject, withdraw."""
    flows: dict[str, tuple[int, int]] = {}
    openings: list[tuple[str, tuple[Any, ...]]] = []
    for place, name in enumerate(world.names):
        energy = rng.randrange(1, 3_000_000)
        side = "sell" if place % 2 else "buy"
        price = rng.randrange(tokens("10"), tokens("30") + 1)
        flows[name] = (energy, 0) if side == "sell" else (0, energy)
        if sealed:
            openings.append((name, world.seal(name, side, ((energy, price),), cover="150")))
        elif rng.random() < 0.9:
            world.place(name, side, ((energy, price),))
    world.before(60)
    for name, arguments in openings:
        world.ask(name, "open", *arguments)
    return flows


@pytest.mark.parametrize("mechanism", ["uniform", "huang"])
def test_the_local_market_leaves_no_member_worse_off_than_the_tariffs(mechanism: str) -> None:
    rng = random.Random(7)
    sealed = mechanism == "huang"
    gate = {"kind": "intraday", "minutes": 60, "mechanism": mechanism, "sealed": sealed}
    gates = [gate] if sealed else [gate, {"kind": "real_time", "minutes": 5}]
    names = tuple(f"H{number}" for number in range(16))
    world = DayWorld({**TERMS, "gates": gates}, names=names, balance="5000")
    better = 0
    for _ in range(6):
        before = {name: world.money(name) for name in names}
        flows = trade_truly(world, rng, sealed=sealed)
        for name, (injected, withdrawn) in flows.items():
            measure(world, name, injected, withdrawn)
        world.settle()
        for name, (injected, withdrawn) in flows.items():
            at_tariffs = divide_up(
                withdrawn * tokens("30") - injected * tokens("10"), MILLI_WH_PER_KWH
            )
            paid = before[name] - world.money(name)
            assert paid <= at_tariffs, f"{name} pays {paid}, at the tariffs {at_tariffs}"
            better += paid < at_tariffs
            assert MISSTATEMENT not in [line.kind for line in world.lines(name)]
        world.interval = world.time_ms // QUARTER + 9
    assert better >= 30
    world.conserve()


def measure(world: DayWorld, name: str, injected: int, withdrawn: int) -> None:
    """Have a meter tell what flowed in the interval, in milliwatt-hours."""
    world.go(max(world.time_ms, (world.interval + 1) * QUARTER))
    registers = world.registers[name]
    before = (registers[0], registers[1])
    registers[0] += injected
    registers[1] += withdrawn
    after = (registers[0], registers[1])
    world.call("M" + name, "submit", world.interval - 1, (before, after), module="meters")


def test_a_day_is_settled_though_the_chain_stood_still() -> None:
    world = DayWorld()
    world.place("A", "buy", ((1_000_000, tokens("20")),))
    world.place("B", "sell", ((1_000_000, tokens("20")),))
    world.advance(9 * 60 * MINUTE)
    assert [values[2:4] for values in world.told("clear")] == [(1, 1_000_000)]
    sums = world.settlement(0)
    assert sums.contracted_milli_wh == 1_000_000
    world.conserve()
