"""All market modules in one state: whatever is called, nothing but CallError, and all adds up."""

from __future__ import annotations

import random
from typing import Any

import pytest

from market.auction.module import AuctionModule
from market.auction.rounds import commitment_of
from market.day.module import DayModule
from market.day.settlement import DAY_ACCOUNT
from market.dispatch_module import DispatchModule
from market.dispatch_problem import MAX_PRICE
from market.dispatch_rounds import DISPATCH_ACCOUNT
from market.meters.module import MetersModule
from market.quota.module import QuotaModule
from market.response.module import ResponseModule
from tests.market.dispatch_world import (
    AREA,
    MARKET,
    MILLI,
    OPTIMUM,
    UNITS,
    DispatchWorld,
    changed,
    wire,
)
from tests.market.support import ROLES, Person, World
from vm.context import decode_due, read_last_number
from vm.primitives.errors import CallError
from vm.primitives.integers import MAX_AMOUNT
from vm.system.accounts import load_supply, read_account

MINUTE = 60_000
EVERY = ("operator", "dso", "edc", "meter", "prosumer", "consumer", "aggregator")
PEOPLE = [
    Person("EDC", EVERY, "A"),
    Person("wind", EVERY, "A", balance="0.000005"),
    Person("gas", EVERY, "B", balance="9000000000000", energy="9000000000000"),
    Person("house", EVERY, "B", balance="20"),
]
NUMBERS = (0, 1, 1, 2, 3, 7, 1_000, 999_999, 400_000, 10**6, 10**12, MAX_AMOUNT)
SECTIONS: dict[str, dict[str, Any]] = {
    "meters": {"deadline_minutes": 15, "correction_minutes": 60, "retention_days": 4},
    "quota": {"penalty_price": "224.3", "billed_minutes": 15},
    "auction": {
        "auctions": [
            {
                "name": name,
                "account": "EDC",
                "mechanism": mechanism,
                "sealed": sealed,
                "deposit": "0.000001",
                "market": market,
            }
            for name, mechanism, sealed, market in (
                ("open", "pay_as_bid", False, ""),
                ("zones", "uniform", False, "grid"),
                ("sealed", "huang", True, ""),
            )
        ]
    },
    "response": {"upstream_price": "0.5", "account": "EDC", "past_intervals": 1},
    "day": {
        "markets": [
            {
                "name": "day",
                "account": "EDC",
                "upstream": "wind",
                "retail": "150",
                "feed_in": "0",
                "penalty": "0.000001",
                "max_energy_kwh": "1000000",
                "gates": [
                    {"kind": "intraday", "minutes": 30, "mechanism": "midpoint"},
                    {"kind": "real_time", "minutes": 0},
                ],
            }
        ]
    },
    "dispatch": {"areas": [AREA | {"pot": "0", "keep_rounds": 3}]},
}


class Everything(World):
    """A world with every market module, and calls by chance."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.is_metered = seed % 2 == 1
        modules = (
            QuotaModule(),
            AuctionModule(),
            ResponseModule(),
            MetersModule(ROLES),
            DayModule(),
            DispatchModule(ROLES),
        )
        sections = SECTIONS if self.is_metered else SECTIONS | {"meters": {}, "day": {}}
        extra = [(module, sections[module.name]) for module in modules]
        super().__init__(PEOPLE, {"markets": [MARKET]}, extra=extra)
        self.sealed: list[tuple[str, tuple[Any, ...]]] = []
        for owner, bus, kind, bid in UNITS:
            arguments = ("grid", owner, self.ids[owner], bus, kind, wire([bid]), ())
            self.call(owner, "register", *arguments, module="dispatch")

    def number(self) -> int:
        return self.rng.choice(NUMBERS) + self.rng.choice((0, 0, 0, 1)) & MAX_AMOUNT

    def later(self, count: int) -> list[int]:
        if self.is_metered and self.rng.random() < 0.8:
            # At bounds of the meters' intervals, and with the deadline that these have.
            bound = self.time_ms // (15 * MINUTE) + 1
            quarters = sorted(self.rng.sample(range(7), count - 1))
            quarters.append(quarters[-1] + 1 + self.rng.randrange(3))
            return [(bound + quarter) * 15 * MINUTE for quarter in quarters]
        times = sorted(self.rng.sample(range(1, 90), count))
        return [self.time_ms + minute * MINUTE for minute in times]

    def attempt(self) -> tuple[str, str, tuple[Any, ...]]:
        rng, number = self.rng, self.number
        turns = {
            name: max(1, read_last_number(self.overlay, name) - rng.randrange(3))
            for name in ("quota", "response", "response_event")
        }
        period, turn, event = turns.values()
        interval = self.time_ms // (15 * MINUTE) + rng.randrange(3, 7)
        quarter, some = interval - rng.randrange(3, 12), rng.choice(list(self.ids.values()))
        registers = tuple([(self.time_ms // MINUTE % 10**6, number()) for _ in range(2)])
        steps = ((number(), number()),)
        side = rng.choice(("buy", "sell"))
        return rng.choice(
            [
                ("quota", "announce", (number(), number(), *self.later(5))),
                *[("quota", name, (period, number(), number())) for name in ("bid", "offer")],
                *[("quota", "demand", (period, number()))] * 4,
                *[("quota", name, (period,)) for name in ("cancel", "withdraw")],
                ("quota", "record", (period, rng.choice(list(self.ids.values())), number())),
                *[
                    ("auction", "place", (name, interval, side, steps))
                    for name in ("open", "zones")
                ],
                *[("day", "place", ("day", interval, side, steps, rng.choice((0, 255))))] * 3,
                ("day", "cancel", ("day", interval, rng.randrange(1, 20))),
                ("day", "pay_arrears", ("day", rng.choice(list(self.ids.values())))),
                ("auction", "cancel", ("open", interval, rng.randrange(1, 40))),
                ("response", "open", tuple(self.later(2))),
                *[
                    ("response", name, (turn, number(), number()))
                    for name in ("want", "want", "supply", "supply", "reduce")
                ],
                ("response", "retract", (turn,)),
                (
                    "response",
                    "call",
                    ("down", (number() // 12,), number(), number(), *self.later(4)),
                ),
                *[("response", "enrol", (event, (number() // 12,)))] * 3,
                *[("meters", "submit", (quarter, registers[: rng.randint(1, 2)]))] * 4,
                ("meters", "register", (some, some, quarter + 3, 0, 0, rng.choice((0, 10**9)))),
                ("meters", "revoke", (some, ())),
                ("meters", "allow_reader", (some,)),
                ("dispatch", "open", ("grid", 0)),
                ("dispatch", "fund", ("grid", number())),
                ("dispatch", "pay_arrears", ("grid",)),
                ("accounts", "transfer", (rng.choice(list(self.ids.values())), number(), "")),
            ]
        )

    def seal(self) -> None:
        caller, interval = self.rng.choice(list(self.ids)), self.time_ms // (15 * MINUTE) + 6
        side, steps = self.rng.randrange(2), ((self.number(), self.number()),)
        salt = self.rng.randbytes(32)
        commitment = commitment_of("sealed", interval, self.ids[caller], side, steps, salt)
        cover = (self.number(), self.number())
        try:
            placed = self.call(
                caller, "commit", "sealed", interval, commitment, *cover, module="auction"
            )
        except CallError:
            return
        opening = ("sealed", interval, placed, ("buy", "sell")[side], steps, salt)
        self.sealed.append((caller, opening))

    def submit(self) -> None:
        number = max(1, read_last_number(self.overlay, "dispatch_round"))
        price = self.rng.choice((3_000 * MILLI, 3_000 * MILLI, MAX_PRICE))
        result = changed(prices=(OPTIMUM.prices[0], price))
        try:
            found = DispatchWorld.round(self, number)  # type: ignore[arg-type]
        except AssertionError:
            return
        try:
            DispatchWorld.submit(self, self.rng.choice(list(self.ids)), found, result)  # type: ignore[arg-type]
        except CallError:
            return

    def send(self, who: str, number: int, problem_hash: bytes, data: bytes) -> Any:
        return DispatchWorld.send(self, who, number, problem_hash, data)  # type: ignore[arg-type]

    def act(self, caller: str, name: str, *arguments: Any) -> Any:
        return self.call(caller, name, *arguments, module="dispatch")

    def assert_conserved(self) -> None:
        held = [
            read_account(self.overlay, each)
            for each in (*self.ids.values(), DISPATCH_ACCOUNT, DAY_ACCOUNT)
        ]
        leaves = [leaf for leaf in held if leaf is not None]
        money = sum(leaf.money_micro + leaf.money_reserved_micro for leaf in leaves)
        energy = sum(leaf.energy_milli_wh + leaf.energy_reserved_milli_wh for leaf in leaves)
        assert (money, energy) == tuple(load_supply(self.context()))


@pytest.mark.parametrize("seed", range(8))
def test_all_modules_together_conserve_money_and_energy(seed: int) -> None:
    world = Everything(seed)
    done = 0
    for _ in range(400):
        module, name, arguments = world.attempt()
        code = world.code(world.rng.choice(list(world.ids)), name, *arguments, module=module)
        done += not code
        if world.rng.random() < 0.1:
            world.seal()
            world.submit()
        for caller, opening in world.sealed:
            if world.rng.random() < 0.05:
                world.code(caller, "open", *opening, module="auction")
        if world.rng.random() < 0.3:
            world.advance(world.rng.randrange(1, 6) * MINUTE)
            world.assert_conserved()
    assert done > 40
    world.advance(10**8)
    world.advance(1)  # what waited for meters to close their intervals
    world.assert_conserved()
    waiting = [decode_due(*each) for each in world.overlay.scan(b"q", b"r")]
    assert {module for _, module, _ in waiting} <= {"day", "meters"}, "intervals go on"
    for number in range(1, 200):
        for caller in world.ids:
            world.code(caller, "withdraw", number, module="quota")
    for name in world.ids:
        leaf = world.account(name)
        assert (leaf.money_reserved_micro, leaf.energy_reserved_milli_wh) == (0, 0)
