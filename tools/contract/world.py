"""A world in memory for a contract's own tests: the real modules, a clock, members with balances.

Tests are ordinary Python, functions `test_…` that take a `world`. They admit members, deploy
contracts and call them; what is called runs as a transaction does, all or nothing, without blocks
and signatures around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from node.ledger.chain_rules import build_genesis
from node.ledger.execution import read_parameters
from node.ledger.genesis import decode_genesis
from node.modules import make_runtime
from tools.amounts import parse_energy, parse_tokens
from tools.contract.compiler import Artefact
from tools.contract.source_file import load_artefact
from tools.contract.world_genesis import START_MS, genesis_bytes
from tools.contract.world_values import from_chain, to_chain
from vm.context import BlockContext, CallContext, decode_due
from vm.contract.code_object import Function, FunctionKind, Runner
from vm.overlay import QUEUE_SPACE, Overlay
from vm.primitives.address import account_id
from vm.primitives.codec import Encodable, Value
from vm.primitives.errors import CallError, InvariantViolation
from vm.primitives.signatures import public_key
from vm.system.accounts import Account, read_account
from vm.system.contracts import ContractsModule

GAS_LIMIT: Final = 20_000_000
DUE_GAS: Final = 2_000_000

Amount = int | str
"""Base units, or text such as `9.82` (tokens) and `6kWh`."""


class CallFailed(Exception):
    """A call that failed, with its code: nothing of what it did stands."""

    def __init__(self, error: CallError) -> None:
        super().__init__(f"{error.code}: {error.message}")
        self.code = error.code
        self.message = error.message


@dataclass(frozen=True, slots=True)
class Told:
    """An event that a contract told."""

    name: str
    """Its name."""
    values: tuple[object, ...]
    """Its values."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the world."""

    name: str
    """Its name."""
    address: bytes
    """Its account, 20 bytes."""


class Contract:
    """A deployed contract: its functions are called like methods, `token.transfer(to, 5, by=bob)`.

    Beside `by`, who calls, they take `money` and `energy`, what is attached, and `gas`, the limit.
    """

    def __init__(self, world: World, address: bytes, artefact: Artefact) -> None:
        self._world = world
        self.address = address
        """Its account, 20 bytes."""
        self.artefact = artefact
        """What the compiler made of its source."""

    def __getattr__(self, name: str) -> Door:
        function = self.artefact.code.entries.get(name)
        if function is None or function.kind not in (FunctionKind.EXPORT, FunctionKind.VIEW):
            raise AttributeError(f"the contract has no function {name!r}")
        return Door(self._world, self, function)

    def upgrade(self, path: str | Path, *arguments: object, by: Member) -> None:
        """Replace its code by that of another source."""
        artefact = self._world.compile(path)
        values = self._world.arguments(artefact, FunctionKind.UPGRADE, arguments)
        self._world.run(
            by,
            ContractsModule.name,
            "upgrade",
            (self.address, artefact.raw, artefact.source, values),
        )
        self.artefact = artefact


class Door:
    """A function of a contract, ready to be called."""

    def __init__(self, world: World, contract: Contract, function: Function) -> None:
        self._world = world
        self._contract = contract
        self._function = function

    def __call__(
        self,
        *arguments: object,
        by: Member | None = None,
        money: Amount = 0,
        energy: Amount = 0,
        gas: int = GAS_LIMIT,
    ) -> object:
        """Call it and return what it returns; raises CallFailed."""
        function, world = self._function, self._world
        values = world.convert(function, arguments)
        if function.kind is FunctionKind.VIEW and by is None:
            return world.view(self._contract, function, values)
        if by is None:
            raise TypeError(f"{function.name} changes something: say who calls it with by=")
        call = (self._contract.address, function.name, values, _money(money), _energy(energy))
        result = world.run(by, ContractsModule.name, "call", call, gas=gas)
        return from_chain(function.result, result)


class World:
    """One network in memory."""

    def __init__(self, folder: Path, modules: Mapping[str, object]) -> None:
        """`folder` is where sources are looked for; `modules` are sections of genesis."""
        self._folder = folder
        genesis = decode_genesis(genesis_bytes(modules))
        self.runtime = make_runtime(genesis.roles)
        self._state = Overlay(build_genesis(self.runtime, genesis).executed.state)
        self._genesis = genesis.digest
        self.height = 1
        """Height of the block in which calls run."""
        self.time_ms = START_MS
        """Time of that block, milliseconds UTC."""
        self.gas_used = 0
        """Gas of the last call, without that of its transaction's bytes."""
        self.events: list[tuple[bytes, Told]] = []
        """All that contracts told, with who told it."""
        self.operator = Member("operator", account_id(_key("operator")))
        """Who admits members."""

    # People

    def member(
        self, name: str, *, roles: tuple[str, ...] = ("prosumer", "consumer"), bus: str = "",
        money: Amount = 0, energy: Amount = 0,
    ) -> Member:  # fmt: skip
        """Admit a member and give it money and energy."""
        key = _key(name)
        mask = self.runtime.role_mask(roles)
        self.run(self.operator, "members", "admit", (key, name, mask, bus, b"", b"", b""))
        member = Member(name, account_id(key))
        if _money(money):
            self.run(self.operator, "accounts", "mint", (member.address, _money(money)))
        if _energy(energy):
            self.run(self.operator, "accounts", "mint_energy", (member.address, _energy(energy)))
        return member

    def give_roles(self, who: Member | Contract, *roles: str) -> None:
        """Give a member or a contract other roles."""
        mask = self.runtime.role_mask(roles)
        self.run(self.operator, "members", "set_roles", (who.address, mask))

    def money(self, who: Member | Contract) -> int:
        """Return the money of an account, micro-tokens."""
        return self._account(who).money_micro

    def energy(self, who: Member | Contract) -> int:
        """Return the free energy of an account, milliwatt-hours."""
        return self._account(who).energy_milli_wh

    # Contracts

    def deploy(
        self, path: str | Path, *arguments: object, by: Member, name: str | None = None
    ) -> Contract:
        """Compile a source and deploy it with the arguments of its `@init`."""
        artefact = self.compile(path)
        values = self.arguments(artefact, FunctionKind.INIT, arguments)
        chosen = name or f"{Path(path).stem}-{len(self.events)}"
        call = (chosen, artefact.raw, artefact.source, values)
        address = self.run(by, ContractsModule.name, "deploy", call)
        if not isinstance(address, bytes):
            raise InvariantViolation("a deployment returned no address")
        return Contract(self, address, artefact)

    def told(self, contract: Contract) -> list[Told]:
        """Return what a contract told so far."""
        return [event for who, event in self.events if who == contract.address]

    def compile(self, path: str | Path) -> Artefact:
        """Return the code of a source, given by its path from the test's folder."""
        return load_artefact(self._folder / path)

    def observe(self, artefact: Artefact, runner: Runner) -> None:
        """Have `runner` run the functions of code from now on."""
        self.contracts.runner_of[artefact.code.code_hash] = runner

    # Time

    def advance(self, *, ms: int = 1_000, s: int = 0, minutes: int = 0) -> None:
        """Go on to the next block, so much later; what is due by then happens."""
        self.height += 1
        self.time_ms += ms if not (s or minutes) else s * 1_000 + minutes * 60_000
        end = QUEUE_SPACE + (self.time_ms + 1).to_bytes(8, "big")
        while (found := next(self._state.scan(QUEUE_SPACE, end), None)) is not None:
            _, module, payload = decode_due(*found)
            self._state.put(found[0], None)
            self.runtime.run_due(self._context(DUE_GAS), module, payload)

    @contextmanager
    def fails(self, code: str, text: str = "") -> Iterator[None]:
        """Hold the test to a call that fails with a code, and with a text in its message."""
        try:
            yield
        except CallFailed as failure:
            if failure.code != code or text not in failure.message:
                raise AssertionError(
                    f"expected {code} {text!r}, it failed with {failure}"
                ) from None
            return
        raise AssertionError(f"expected a failure with {code}, nothing failed")

    # Calls

    def run(
        self, by: Member, module: str, method: str, arguments: tuple[Value, ...],
        *, gas: int = GAS_LIMIT,
    ) -> Encodable:  # fmt: skip
        """Run a method of a module as a transaction does; raises CallFailed."""
        ctx = self._context(gas)
        ctx.caller = by.address
        ctx.roles = self._account(by).roles
        mark = self._state.mark()
        try:
            result = self.runtime.run_call(ctx, (module, method, arguments))
        except CallError as error:
            self._state.undo(mark)
            raise CallFailed(error) from error
        finally:
            self.gas_used = ctx.gas_used
        self._note(ctx)
        return result

    def view(self, contract: Contract, function: Function, values: tuple[Value, ...]) -> object:
        """Run a view for a reader."""
        ctx = self._context(GAS_LIMIT)
        ctx.caller = bytes(20)
        mark = self._state.mark()
        try:
            result = self.contracts.view(ctx, contract.address, function.name, values)
        except CallError as error:
            self._state.undo(mark)
            raise CallFailed(error) from error
        finally:
            self.gas_used = ctx.gas_used
        return from_chain(function.result, result)

    def convert(self, function: Function, arguments: tuple[object, ...]) -> tuple[Value, ...]:
        """Return arguments in the form of the chain; a wrong number is left to it to refuse."""
        kinds = [kind for _, kind in function.parameters]
        if len(kinds) != len(arguments):
            raise TypeError(f"{function.name} takes {len(kinds)} arguments, not {len(arguments)}")
        return tuple([to_chain(kind, value) for kind, value in zip(kinds, arguments, strict=True)])

    def arguments(
        self, artefact: Artefact, kind: FunctionKind, arguments: tuple[object, ...]
    ) -> tuple[Value, ...]:
        """Return the arguments of what code runs when it comes."""
        for function in artefact.code.functions:
            if function.kind is kind:
                return self.convert(function, arguments)
        if arguments:
            raise TypeError(f"the contract has no @{kind.name.lower()} to take arguments")
        return ()

    @property
    def contracts(self) -> ContractsModule:
        """The module of contracts."""
        found = self.runtime.modules[ContractsModule.name]
        if not isinstance(found, ContractsModule):
            raise InvariantViolation("the runtime has no module of contracts")
        return found

    def _context(self, gas: int) -> CallContext:
        block = BlockContext(self._genesis, self.height, self.time_ms, read_parameters(self._state))
        return CallContext(block, self._state, gas)

    def _account(self, who: Member | Contract) -> Account:
        leaf = read_account(self._state, who.address)
        if leaf is None:
            raise KeyError(f"{who} has no account")
        return leaf

    def _note(self, ctx: CallContext) -> None:
        for module, name, values in ctx.events:
            if (module, name) == ("contracts", "event"):
                contract, told, *rest = values
                if isinstance(contract, bytes) and isinstance(told, str):
                    self.events.append((contract, Told(told, tuple(rest))))


def _key(name: str) -> bytes:
    return public_key(sha256(f"account of {name}".encode()).digest())


def _money(amount: Amount) -> int:
    return parse_tokens(amount) if isinstance(amount, str) else amount


def _energy(amount: Amount) -> int:
    return parse_energy(amount) if isinstance(amount, str) else amount
