"""A world with meters and one day market, and what its tests ask of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from market.day.lines import KIND_NAMES, Line
from market.day.module import DayModule
from market.day.orders import commitment_of
from market.day.records import DayMarket, Position, read_market, read_position
from market.day.settlement import DAY_ACCOUNT
from market.day.settlement_records import (
    FIRST,
    Settlement,
    decode_page,
    page_key,
    read_settlement,
)
from market.meters.module import MetersModule
from tests.market.support import ROLES, Person, World, kwh, tokens
from vm.context import BlockContext, CallContext
from vm.module import Module
from vm.overlay import QUEUE_SPACE
from vm.system.accounts import load_supply, read_account

MINUTE = 60_000
QUARTER = 15 * MINUTE
NAMES = ("A", "B", "C", "D", "E")
TERMS: dict[str, Any] = {
    "name": "local",
    "account": "O",
    "upstream": "U",
    "zone": {"offset_minutes": 60, "rule": "eu"},
    "retail": "30",
    "feed_in": "10",
    "penalty": "4",
    "max_energy_kwh": "20",
    "gates": [
        {"kind": "day_ahead", "opens": "08:00", "closes": "12:00"},
        {"kind": "intraday", "minutes": 60},
        {"kind": "real_time", "minutes": 5},
    ],
}
METERS = {"deadline_minutes": 60, "correction_minutes": 120, "retention_days": 2, "mean_days": 0}
HUANG = {
    **TERMS,
    "gates": [
        {"kind": "intraday", "minutes": 60, "mechanism": "huang", "sealed": True, "deposit": "2"}
    ],
}
Steps = tuple[tuple[int, int], ...]


def step(energy: str, price: str) -> Steps:
    """Return one step."""
    return ((kwh(energy), tokens(price)),)


class DayWorld(World):
    """A world with a day market; `interval` is one that begins two to two and a quarter hours on.

    Members A to E have meters MA to ME. O runs the market, U is the supplier.
    """

    def __init__(
        self,
        terms: Mapping[str, Any] = TERMS,
        *,
        names: Sequence[str] = NAMES,
        markets: Mapping[str, Any] | None = None,
        balance: str = "1000",
        buses: Mapping[str, str] | None = None,
        meters: Mapping[str, Any] = METERS,
        metered: Sequence[str] | None = None,
    ) -> None:
        self.metered = tuple(names if metered is None else metered)
        places = buses or {}
        people = [
            Person("O", roles=("operator", "dso"), energy="0"),
            Person("U", roles=("supplier",), balance="100000", energy="0"),
            *(
                Person(name, bus=places.get(name, ""), balance=balance, energy="0")
                for name in names
            ),
            *(Person("M" + name, ("meter",), balance="0", energy="0") for name in self.metered),
        ]
        own = [{"meter": "M" + name, "member": name} for name in self.metered]
        section = {"markets": [{"members": list(names), **terms}]}
        super().__init__(
            people,
            {"markets": []} if markets is None else markets,
            extra=[
                (MetersModule(ROLES), {**meters, "meters": own}),
                (DayModule(), section),
                *self.more_modules(),
            ],
        )
        self.names = tuple(names)
        self.interval = self.time_ms // QUARTER + 9
        self.registers = {name: [0, 0] for name in self.metered}
        self.read_until = dict.fromkeys(self.metered, self.time_ms // QUARTER)

    def more_modules(self) -> list[tuple[Module, Mapping[str, Any]]]:
        """Return modules that stand above the day market, with their sections."""
        return []

    @property
    def local(self) -> DayMarket:
        found = read_market(self.overlay, "local")
        assert found is not None
        return found

    def ask(self, caller: str, name: str, *arguments: Any) -> Any:
        return self.call(caller, name, *arguments, module="day")

    def refused(self, caller: str, name: str, *arguments: Any) -> str:
        return self.code(caller, name, *arguments, module="day")

    def go(self, time_ms: int) -> None:
        """Go to a time, in blocks of a minute where things are due."""
        while (due := self.next_due()) is not None and due <= time_ms:
            self.advance(max(1, due - self.time_ms))
        if time_ms > self.time_ms:
            self.advance(time_ms - self.time_ms)

    def next_due(self) -> int | None:
        self.commit()
        found = next(self.overlay.scan(QUEUE_SPACE, QUEUE_SPACE + b"\xff" * 9), None)
        return None if found is None else int.from_bytes(found[0][1:9], "big")

    def before(self, minutes: int) -> None:
        """Go to so many minutes before the interval."""
        self.go(self.interval * QUARTER - minutes * MINUTE)

    def place(self, who: str, side: str, steps: Steps, last_gate: int = 255) -> int:
        number: int = self.ask(who, "place", "local", self.interval, side, steps, last_gate)
        return number

    def seal(
        self, who: str, side: str, steps: Steps, *, cover: str = "400", last_gate: int = 255
    ) -> tuple[Any, ...]:
        """Commit with some cover; return the arguments that open it."""
        salt = who.encode().rjust(32, b"-")
        which = ("buy", "sell").index(side)
        digest = commitment_of("local", self.interval, self.ids[who], which, steps, last_gate, salt)
        number = self.ask(who, "commit", "local", self.interval, digest, len(steps), tokens(cover))
        return "local", self.interval, number, side, steps, last_gate, salt

    def measure(self, name: str, injected: str, withdrawn: str) -> None:
        """Have a meter tell what flowed in the interval, all at once; nothing flowed before it."""
        after = self.interval + 1
        self.go(max(self.time_ms, after * QUARTER))
        first = max(self.read_until[name], self.interval - 1)
        registers = [tuple(self.registers[name])] * (self.interval - first)
        self.registers[name][0] += kwh(injected)
        self.registers[name][1] += kwh(withdrawn)
        registers.append(tuple(self.registers[name]))
        self.read_until[name] = after
        self.call("M" + name, "submit", first, tuple(registers), module="meters")

    def settle(self) -> Settlement:
        """Go to where the interval is settled, and return its first settlement."""
        self.go((self.interval + 1) * QUARTER + 61 * MINUTE)
        return self.settlement(FIRST)

    def settlement(self, part: int, interval: int | None = None) -> Settlement:
        found = read_settlement(self.overlay, self.local, interval or self.interval, part)
        assert found is not None
        return found

    def correct(self) -> None:
        """Go to where the interval is corrected."""
        self.go((self.interval + 1) * QUARTER + 181 * MINUTE)

    def position(self, name: str) -> Position | None:
        return read_position(self.overlay, self.local, self.interval, self.ids[name])

    def lines(self, name: str, part: int = FIRST) -> list[Line]:
        """Return the lines of a member, as they follow from the pages."""
        found: list[Line] = []
        page = 0
        key = (self.local, self.interval, part)
        while (data := self.overlay.get(page_key(*key, page))) is not None:
            for record in decode_page(data):
                if record.account == self.ids[name]:
                    found += record.lines(self.local, part)
            page += 1
        return found

    def money(self, name: str) -> int:
        """Return all money of a member."""
        account = self.account(name)
        return account.money_micro + account.money_reserved_micro

    def told(self, name: str) -> list[tuple[Any, ...]]:
        return [values for module, event, values in self.events if (module, event) == ("day", name)]

    def conserve(self) -> None:
        """Check that all money and energy is in accounts, and nothing set aside that is not."""
        accounts = [read_account(self.overlay, each) for each in (*self.ids.values(), DAY_ACCOUNT)]
        leaves = [leaf for leaf in accounts if leaf is not None]
        block = BlockContext(b"g" * 32, self.height, self.time_ms, self.parameters)
        supply = load_supply(CallContext(block, self.overlay, 10**9))
        money = sum(leaf.money_micro + leaf.money_reserved_micro for leaf in leaves)
        energy = sum(leaf.energy_milli_wh + leaf.energy_reserved_milli_wh for leaf in leaves)
        assert (money, energy) == tuple(supply)


def shown(world: DayWorld, name: str, part: int = 0) -> dict[str, tuple[int, int]]:
    """Return energy and amount of a member's lines by kind."""
    return {
        KIND_NAMES[line.kind]: (line.energy_milli_wh, line.amount_micro)
        for line in world.lines(name, part)
    }
