"""Two hundred random markets end exactly as the reference model says, call by call."""

from __future__ import annotations

from copy import deepcopy
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from market import matching
from market.views import list_lines
from tests.market.reference_model import ReferenceMarket, Refused
from tests.market.support import START_MS, Person, World
from vm.primitives.errors import CallError
from vm.system.accounts import ACTIVE, SUSPENDED

MARKETS = 200
GROUPS = 10
MINUTES = 15


class Pair:
    """The market as built and the reference model, driven side by side by one random source."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        buses = [f"bus{number}" for number in range(random.choice([0, 1, 2, 4, 8, 12]))]
        self.names = [f"M{number}" for number in range(random.randint(2, 7))]
        people = [
            (
                name,
                random.choice([10**9, 10**7, 10**12]),
                random.choice([5_000_000, 900, 10**8]),
                random.choice(buses) if buses else "",
            )
            for name in self.names
        ]
        people += [("EDC", 0, 0, ""), ("OWNER", 0, 0, ""), ("operator", 0, 0, "")]
        lines: dict[str, list[Any]] = {}
        for number in range(1, len(buses)):
            ends = [buses[number], buses[random.randrange(number)]]
            random.shuffle(ends)
            rating = random.choice([None, 0, 1, 2, 5, 1000])
            lines[f"line{number}"] = [*ends, rating, random.choice(["EDC", "OWNER"])]
        policy = random.choice(["ignore", "skip", "penalty", "penalty"])
        payee = random.choice(["seller", "edc"])
        penalty = random.choice([0, 1, 100_000, 333_333])
        self.interval = random.choice([0, START_MS // (MINUTES * 60_000) + 4])
        hours = Fraction(MINUTES, 60) if self.interval else Fraction(1)
        self.model = ReferenceMarket(people, policy, penalty, payee, lines, hours)
        self.model.min_energy = random.choice([1, 1, 400])
        self.model.max_offers = random.choice([3, 1_000])
        self.model.max_fills = random.choice([2, 4, 200])
        if random.random() < 0.5:
            self.model.default_limit = random.choice([0, 700, 3_000_000])
        for _ in range(random.randint(0, 3)):
            pair = tuple(sorted(random.sample(self.names, 2)))
            self.model.pair_limits[pair] = random.choice([0, 500, 2_000_000])
        self.world = World(
            [
                Person(name, (*_roles(name), "prosumer"), bus, _kwh(money), _kwh(energy))
                for name, money, energy, bus in people
            ],
            {"markets": [{"name": "other"}, self._section(buses)]},
        )
        self.number_names = {account: name for name, account in self.world.ids.items()}

    def _section(self, buses: list[str]) -> dict[str, Any]:
        model = self.model
        network = {
            "slack": self.random.choice(buses) if buses else "",
            "buses": buses,
            "lines": [
                {"name": name, "from": start, "to": end, "rating_w": rating, "owner": owner}
                for name, (start, end, rating, owner) in model.lines.items()
            ],
        }
        default = model.default_limit
        return {
            "name": "m",
            "line_policy": model.policy,
            "penalty_price": _kwh(model.penalty),
            "penalty_payee": model.payee,
            "edc": "EDC",
            "pair_limits_kwh": {"-".join(k): _kwh(v) for k, v in model.pair_limits.items()},
            "default_pair_limit_kwh": None if default is None else _kwh(default),
            "network": network if buses else None,
            "interval_minutes": MINUTES if self.interval else 0,
            "min_energy_kwh": _kwh(model.min_energy),
            "max_offers_per_member": model.max_offers,
        }

    def random_call(self) -> tuple[str, ...] | tuple[Any, ...]:
        random = self.random
        energy = random.choice([1, 7, 500, 1_234, 400_000, 1_000_000, 3_000_000, 10**10])
        price = random.choice([1, 333_333, 9_820_000, 9_900_000, 9_900_001, 9_970_000])
        offer = random.randint(1, self.model.numbers + 1)
        kind = random.choice(["post", "post", "post", "buy", "buy", "buy", "update", "withdraw"])
        if kind == "post":
            return kind, energy, price
        if kind == "buy":
            return kind, energy, price + random.choice([0, 100_000, 10**7]), random.random() < 0.6
        if kind == "update":
            known = self.model.offers.get(offer, [0, 0, energy, price])
            energy = random.choice([energy, max(1, known[2] - 1), known[2]])
            return kind, offer, energy, random.choice([price, known[3]])
        return kind, offer

    def step(self) -> None:
        """One transaction of one to three calls, or a change by those who set limits."""
        if self.random.random() < 0.08:
            self._change_rules()
            return
        who = self.random.choice([name for name in self.names if name not in self.model.inactive])
        saved = deepcopy(self.model.__dict__)
        expected: Any = []
        calls = []
        for _ in range(self.random.choice([1, 1, 1, 2, 3])):
            name, *arguments = self.random_call()
            calls.append((name, "m", *self._interval(name), *arguments))
            try:
                expected.append(getattr(self.model, name)(who, *arguments))
            except Refused as refused:
                self.model.__dict__ = saved
                expected = refused.args[0]
                break
        try:
            found: Any = [
                result if isinstance(result, int | None) else [self._named(fill) for fill in result]
                for result in self.world.transaction(who, calls)
            ]
        except CallError as error:
            found = error.code
        assert found == expected, (who, calls)

    def _interval(self, name: str) -> tuple[int, ...]:
        return (self.interval,) if name in ("post", "buy") else ()

    def _named(self, fill: Any) -> tuple[Any, ...]:
        return fill[0], self.number_names[fill[1]], *fill[2:]

    def _change_rules(self) -> None:
        random, model, world = self.random, self.model, self.world
        kind = random.choice(["policy", "rating", "pair", "status", "bus"])
        if kind == "policy":
            model.policy = random.choice(["ignore", "skip", "penalty"])
            model.payee = random.choice(["seller", "edc"])
            arguments = ("m", model.policy, model.penalty, model.payee)
            world.call("operator", "set_policy", *arguments)
        elif kind == "rating" and model.lines:
            line = random.choice(sorted(model.lines))
            model.lines[line][2] = random.choice([None, 0, 1, 3])
            world.call("operator", "set_line_rating", "m", line, model.lines[line][2])
        elif kind == "pair":
            first, second = random.sample(self.names, 2)
            limit = random.choice([None, 0, 1_000_000])
            pair = tuple(sorted((first, second)))
            model.pair_limits.pop(pair, None)
            if limit is not None:
                model.pair_limits[pair] = limit
            ids = world.ids[first], world.ids[second]
            world.call("operator", "set_pair_limit", "m", *ids, limit)
        elif kind == "status" and len(self.names) - len(model.inactive) > 1:
            name = random.choice(self.names)
            model.inactive ^= {name}
            if len(model.inactive) == len(self.names):
                model.inactive ^= {name}
            world.set_status(name, SUSPENDED if name in model.inactive else ACTIVE)
        elif kind == "bus" and model.lines:
            name = random.choice(self.names)
            model.bus[name] = random.choice(sorted(model.lines.values()))[0]
            move = (world.ids[name], model.bus[name])
            world.call("operator", "set_bus", *move, module="members")

    def compare(self) -> None:
        """Hold balances, offers and lines against the model, and the index against its leaves."""
        world, model = self.world, self.model
        assert world.standing() == {
            number: (seller, energy, price)
            for number, (seller, _, energy, price, _) in model.offers.items()
        }
        for name, (money, energy, _) in world.balances().items():
            assert (money, energy) == (model.money[name], model.free[name]), name
        loads = {line.name: line.flow_milli_wh for line in self._lines()}
        assert loads == {name: model.flow.get(name, 0) for name in model.lines}
        world.check_conservation()
        assert world.index() == world.rebuilt_index(reverse=self.random.random() < 0.5)

    def _lines(self) -> Any:
        return list_lines(self.world.overlay, "m", self.interval) if self.model.lines else ()


def _roles(name: str) -> tuple[str, ...]:
    return ("operator",) if name == "operator" else ()


def _kwh(amount: int) -> str:
    return f"{amount // 10**6}.{amount % 10**6:06}"


@pytest.mark.parametrize("group", range(GROUPS))
def test_random_markets_end_as_the_reference_model_says(
    group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(group * MARKETS // GROUPS, (group + 1) * MARKETS // GROUPS):
        print(f"market with seed {seed}")
        pair = Pair(seed)
        monkeypatch.setattr(matching, "MAX_FILLS", pair.model.max_fills)
        for number in range(60):
            pair.step()
            if number % 20 == 19:
                pair.compare()
                pair.world.commit()
