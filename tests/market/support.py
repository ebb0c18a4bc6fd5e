"""A small world for market tests: members and modules over an in-memory state, without a chain."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from market.module import MarketModule
from market.records import OFFER_SPACE, decode_offer
from vm.context import BlockContext, CallContext, decode_due
from vm.module import Module
from vm.overlay import ORDERED_SPACES, QUEUE_SPACE, Overlay
from vm.parameters import ChainParameters
from vm.primitives.codec import Encodable, encode_trusted
from vm.primitives.decimal_text import parse_decimal
from vm.primitives.errors import CallError
from vm.runtime import Runtime
from vm.system.accounts import (
    ACTIVE,
    Account,
    AccountsModule,
    change_supply,
    load_supply,
    read_account,
)
from vm.system.members import Member, MembersModule

ROLES = (
    "operator",
    "validator",
    "edc",
    "dso",
    "prosumer",
    "consumer",
    "meter",
    "board",
    "aggregator",
    "supplier",
)
START_MS = 1_700_000_100_000
GAS = 10**12


class MemoryState:
    """A state in memory with sorted keys, as the store would give it."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self._ordered: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        for place in range(bisect_left(self._ordered, start), bisect_left(self._ordered, end)):
            yield self._ordered[place], self.values[self._ordered[place]]

    def absorb(self, changes: Mapping[bytes, bytes | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        self._ordered = sorted(key for key in self.values if key[0] in ORDERED_SPACES)


@dataclass(frozen=True)
class Person:
    """A member to begin with."""

    name: str
    roles: Sequence[str] = ("prosumer", "consumer")
    bus: str = ""
    balance: str = "1000"
    energy: str = "50"


class World:
    """A state with members and markets, and a clock that the test sets."""

    def __init__(
        self,
        people: Sequence[Person],
        section: Mapping[str, object],
        *,
        threshold: int = 1,
        extra: Sequence[tuple[Module, Mapping[str, object]]] = (),
    ) -> None:
        self.members = MembersModule(ROLES)
        self.market = MarketModule()
        self.runtime = Runtime(
            [AccountsModule(), self.members, self.market, *(module for module, _ in extra)], ROLES
        )
        self.parameters = ChainParameters(operator_threshold=threshold)
        self.state = MemoryState()
        self.overlay = Overlay(self.state)
        self.height = 0
        self.time_ms = START_MS
        self.ids: dict[str, bytes] = {}
        self.events: list[tuple[str, str, tuple[Encodable, ...]]] = []
        self.due_gas_used: list[int] = []
        ctx = self.context()
        for person in people:
            key = sha256(person.name.encode()).digest()
            money, energy = parse_decimal(person.balance, 6), parse_decimal(person.energy, 6)
            mask = self.runtime.role_mask(person.roles)
            leaf = Account(key, mask, ACTIVE, 0, money, 0, energy, 0)
            member = Member(person.name, person.bus, b"", b"", b"", 0)
            self.ids[person.name] = self.members.enter(ctx, leaf, member)
            change_supply(ctx, money_micro=money, energy_milli_wh=energy)
        ctx.module = "market"
        self.market.init_genesis(ctx, fine_grained(section))
        for module, own in extra:
            ctx.module = module.name
            module.init_genesis(ctx, own)
        self.height = 1

    def context(self, caller: str = "", gas: int = GAS) -> CallContext:
        block = BlockContext(b"g" * 32, self.height, self.time_ms, self.parameters)
        ctx = CallContext(block, self.overlay, gas)
        if caller:
            ctx.caller = self.ids[caller]
            ctx.roles = self.account(caller).roles
        return ctx

    def call(self, caller: str, name: str, *arguments: Any, module: str = "market") -> Any:
        """Run one call as a transaction of its own; CallError leaves no trace."""
        return self.transaction(caller, [(name, *arguments)], module=module)[0]

    def transaction(
        self, caller: str, calls: Sequence[tuple[Any, ...]], *, module: str = "market"
    ) -> list[Any]:
        """Run calls (method, arguments...), all or nothing."""
        ctx = self.context(caller)
        mark = self.overlay.mark()
        try:
            found = [
                self.runtime.run_call(ctx, (module, name, tuple(arguments)))
                for name, *arguments in calls
            ]
        except CallError:
            self.overlay.undo(mark)
            raise
        self._tell(ctx.events)
        encode_trusted(found)
        return found

    def code(self, caller: str, name: str, *arguments: Any, module: str = "market") -> str:
        """Return the code with which a call is refused, after checking that it left no trace."""
        before = dict(self.overlay.changes)
        try:
            self.call(caller, name, *arguments, module=module)
        except CallError as error:
            assert self.overlay.changes == before
            assert error.message
            return error.code
        return ""

    due_gas = 2_000_000
    """Gas of one due item."""

    def advance(self, milliseconds: int, *, most: int | None = None) -> int:
        """Begin a block so much later, running what is due in it; return how many items were.

        Of more than `most`, the others wait for the next block.
        """
        self.commit()
        self.height += 1
        self.time_ms += milliseconds
        end = QUEUE_SPACE + (self.time_ms + 1).to_bytes(8, "big")
        count = 0
        while (found := next(self.overlay.scan(QUEUE_SPACE, end), None)) is not None:
            if count == most:
                break
            _, module, payload = decode_due(*found)
            self.overlay.put(found[0], None)
            ctx = self.context(gas=self.due_gas)
            self.runtime.run_due(ctx, module, payload)
            self.due_gas_used.append(ctx.gas_used)
            self._tell(ctx.events)
            count += 1
        return count

    def _tell(self, events: Sequence[tuple[str, str, tuple[Encodable, ...]]]) -> None:
        """Keep what happened, after checking that a receipt can carry it."""
        encode_trusted(events)
        self.events += events

    def commit(self) -> None:
        """Make the changes so far part of the state below."""
        self.state.absorb(self.overlay.changes)
        self.overlay = Overlay(self.state)

    def account(self, name: str) -> Account:
        found = read_account(self.overlay, self.ids[name])
        assert found is not None
        return found

    def balances(self) -> dict[str, tuple[int, int, int]]:
        """Return free money, free energy and reserved energy of everybody."""
        found = {}
        for name in self.ids:
            account = self.account(name)
            found[name] = (
                account.money_micro,
                account.energy_milli_wh,
                account.energy_reserved_milli_wh,
            )
        return found

    def standing(self) -> dict[int, tuple[str, int, int]]:
        """Return (seller, energy, price) of every offer that stands, by id."""
        names = {account: name for name, account in self.ids.items()}
        found = {}
        for key in {**self.state.values, **self.overlay.changes}:
            if key[:1] == OFFER_SPACE and (data := self.overlay.get(key)) is not None:
                offer = decode_offer(data)
                found[int.from_bytes(key[1:], "big")] = (
                    names[offer.seller],
                    offer.energy_milli_wh,
                    offer.price_micro_per_kwh,
                )
        return found

    def check_conservation(self) -> None:
        """Check that money and energy add up and that every reserve backs standing offers."""
        accounts = [self.account(name) for name in self.ids]
        money, energy = load_supply(self.context())
        assert sum(a.money_micro + a.money_reserved_micro for a in accounts) == money
        assert sum(a.energy_milli_wh + a.energy_reserved_milli_wh for a in accounts) == energy
        reserved = dict.fromkeys(self.ids, 0)
        for seller, offered, _ in self.standing().values():
            reserved[seller] += offered
        for name in self.ids:
            assert self.account(name).energy_reserved_milli_wh == reserved[name]

    def index(self) -> dict[bytes, bytes]:
        """Return all live index entries."""
        keys = {**self.state.values, **self.overlay.changes}
        found = {key: self.overlay.get(key) for key in keys if key[:1] == b"i"}
        return {key: value for key, value in found.items() if value is not None}

    def rebuilt_index(self, *, reverse: bool = False) -> dict[bytes, bytes]:
        """Return the index entries rebuilt from the authenticated leaves alone."""
        keys = sorted({**self.state.values, **self.overlay.changes}, reverse=reverse)
        leaves = {key: self.overlay.get(key) for key in keys if key[:1] != b"i"}
        bare = MemoryState()
        bare.absorb({key: value for key, value in leaves.items() if value is not None})
        overlay = Overlay(bare)
        ctx = CallContext(self.context().block, overlay, GAS)
        for key in leaves:
            if (value := bare.get(key)) is not None:
                for module in self.runtime.modules.values():
                    module.rebuild_index(ctx, key, value)
        return {
            key: value
            for key, value in overlay.changes.items()
            if key[:1] == b"i" and value is not None
        }

    def set_roles(self, name: str, roles: Sequence[str]) -> None:
        leaf = replace(self.account(name), roles=self.runtime.role_mask(roles))
        self.overlay.put(b"a" + self.ids[name], leaf.encode())

    def set_status(self, name: str, status: int) -> None:
        leaf = replace(self.account(name), status=status)
        self.overlay.put(b"a" + self.ids[name], leaf.encode())


def fine_grained(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section whose markets take any energy and price, unless they say otherwise."""
    fine = {"min_energy_kwh": "0.000001", "min_price": "0"}
    return {**section, "markets": [{**fine, **market} for market in section["markets"]]}


def kwh(text: str) -> int:
    """Return kilowatt-hours as milliwatt-hours."""
    return parse_decimal(text, 6)


def tokens(text: str) -> int:
    """Return tokens (or tokens per kWh) in micro-tokens."""
    return parse_decimal(text, 6)
