"""One run of contract code in a transaction: the contracts that wait, what they may take, deposits.

A contract reaches its own storage, other contracts and the built-in interfaces through its host
and nothing else. Failures are not caught on the way: they undo the transaction. The deposit for
what was stored or deleted is settled once, at the end, with who sent the transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from vm.arguments import validate_arguments
from vm.context import CallContext
from vm.contract.code_object import Code, FunctionKind, Runner
from vm.contract.interpreter import Door, run_function
from vm.contract.limits import CODE_BYTE_BYTES, GAS_CODE_BYTE
from vm.contract.metering import hold
from vm.contract.value_types import Kind, ValueType
from vm.module import ContractMethod, Declaration
from vm.primitives.codec import Encodable, Value
from vm.primitives.errors import CallError
from vm.system.account_leaf import ACTIVE, STATUS_NAMES, load_account
from vm.system.contract_bank import BANK, BANK_NAME, Taking
from vm.system.contract_deposit import change_deposit
from vm.system.contract_records import (
    DATA_SPACE,
    ENTRY_BYTES,
    Contract,
    load_contract,
    save_contract,
)

EVENT: Final = "event"


@dataclass(frozen=True, slots=True)
class Provided:
    """A method that a module provides to contracts."""

    module: str
    """The module's name; its events bear it."""
    method: ContractMethod
    """Types and handler."""
    declaration: Declaration | None
    """What the method also says of itself to transactions; None for a view of its own."""


class Library(Protocol):
    """What executions share: decoded code, built-in interfaces, roles."""

    provided: Mapping[str, Mapping[str, Provided]]
    """Methods by interface and name."""

    runner_of: dict[bytes, Runner]
    """What observes code with a hash while it runs; empty in nodes."""

    def load_code(self, ctx: CallContext, address: bytes, record: Contract) -> Code:
        """Return the code of a contract; its gas is charged already."""

    def role_mask(self, names: tuple[str, ...]) -> int:
        """Return the bit mask of the roles with these names."""


class Execution:
    """One call into contracts, from the transaction's own to the last that it leads to."""

    __slots__ = ("_entered", "_waiting", "ctx", "library", "sender", "takings")

    def __init__(self, library: Library, ctx: CallContext) -> None:
        self.library = library
        self.ctx = ctx
        self.sender = ctx.caller
        """Who sent the transaction: it pays deposits, and gets back those it frees."""
        self.takings: tuple[Taking, Taking] = ({}, {})
        """Money and energy that contracts may take from their callers."""
        self._waiting: list[bytes] = []
        self._entered: dict[bytes, tuple[Contract, Code, int, int]] = {}

    def find(self, address: bytes) -> tuple[Contract, Code]:
        """Return a contract's working record and its code; raises CallError."""
        known = self._entered.get(address)
        if known is not None:
            return known[0], known[1]
        ctx = self.ctx
        record = load_contract(ctx, address)
        status = load_account(ctx, address).status
        if status != ACTIVE:
            raise CallError(
                "not_active",
                "the contract is not active",
                expected="active",
                actual=STATUS_NAMES[status],
            )
        if ctx.codes.get(address) != record.code_hash:
            ctx.charge(record.code_bytes * GAS_CODE_BYTE)
            hold(ctx, record.code_bytes * CODE_BYTE_BYTES)
            ctx.codes[address] = record.code_hash
        code = self.library.load_code(ctx, address, record)
        self.add(address, record, code, record.stored_bytes)
        return record, code

    def add(self, address: bytes, record: Contract, code: Code, stored_bytes: int) -> None:
        """Take in a contract of which a deposit for `stored_bytes` is there already."""
        self._entered[address] = (record, code, stored_bytes, record.data_bytes)

    def enter(
        self, address: bytes, method: str, arguments: tuple[Value, ...], door: Door, caller: bytes
    ) -> Encodable:
        """Run a function of a contract, entered by one of its doors; raises CallError."""
        record, code = self.find(address)
        if address in self._waiting:
            function = code.entries.get(method)
            if function is None or not function.reentrant:
                raise CallError(
                    "reentered",
                    "the contract waits for another and is not to be entered meanwhile",
                    actual=address,
                    hint="A function may allow it: `@export(reentrant=True)`.",
                )
        self._waiting.append(address)
        host = ContractHost(self, record, address, caller)
        runner = self.library.runner_of.get(code.code_hash)
        result = run_function(code, host, method, arguments, door, runner)
        self._waiting.pop()
        return result

    def settle(self) -> None:
        """Settle the deposits of all contracts that store more or less than before."""
        for address, (record, _, before, data_before) in self._entered.items():
            if record.stored_bytes != before:
                change_deposit(self.ctx, self.sender, address, record, before)
            # What an upgrade stores may weigh just as much as what its code and source shed.
            if record.stored_bytes != before or record.data_bytes != data_before:
                save_contract(self.ctx, address, record)


class ContractHost:
    """The chain, as one activation of a contract sees it."""

    __slots__ = (
        "_execution",
        "_prefix",
        "_record",
        "caller",
        "contract",
        "height",
        "meter",
        "time_ms",
    )

    def __init__(
        self, execution: Execution, record: Contract, contract: bytes, caller: bytes
    ) -> None:
        ctx = execution.ctx
        self._execution = execution
        self._record = record
        self._prefix = DATA_SPACE + contract
        self.meter = ctx
        self.caller = caller
        self.contract = contract
        self.height = ctx.height
        self.time_ms = ctx.time_ms

    @property
    def takings(self) -> tuple[Taking, Taking]:
        """Money and energy that contracts may take from their callers."""
        return self._execution.takings

    def caller_has_role(self, roles: tuple[str, ...]) -> bool:
        """Tell whether the caller is a member with one of `roles`; a contract has none."""
        execution = self._execution
        if self.caller != execution.sender:
            return False
        return bool(execution.library.role_mask(roles) & execution.ctx.roles)

    def load(self, key: bytes) -> bytes | None:
        """Return what is stored under `key`, within the contract's own storage."""
        return self.meter.get(self._prefix + key)

    def save(self, key: bytes, value: bytes) -> None:
        """Store `value` under `key`, and count its bytes."""
        ctx = self.meter
        place = self._prefix + key
        before = ctx.get(place)
        if before is None:
            self._record.data_bytes += ENTRY_BYTES + len(key) + len(value)
        else:
            self._record.data_bytes += len(value) - len(before)
        ctx.put(place, value)

    def remove(self, key: bytes) -> None:
        """Delete what is stored under `key`, if anything is."""
        ctx = self.meter
        place = self._prefix + key
        before = ctx.get(place)
        if before is not None:
            self._record.data_bytes -= ENTRY_BYTES + len(key) + len(before)
            ctx.delete(place)

    def emit(self, name: str, values: tuple[Encodable, ...]) -> None:
        """Record an event: its contract, its name, its values."""
        self.meter.emit(EVENT, self.contract, name, *values)

    def call_contract(
        self, contract: bytes, method: str, arguments: tuple[Value, ...], *, is_view: bool
    ) -> Encodable:
        """Run a function of another contract, as called by this one."""
        execution = self._execution
        if is_view:
            function = execution.find(contract)[1].entries.get(method)
            if function is not None and function.kind is not FunctionKind.VIEW:
                raise CallError("not_a_view", "the function may change something", actual=method)
        door = Door.VIEW if is_view else Door.CALL
        return execution.enter(contract, method, arguments, door, self.contract)

    def call_interface(
        self, interface: str, method: str, arguments: tuple[Value, ...]
    ) -> Encodable:
        """Run a method of a built-in interface as this contract."""
        if interface == BANK_NAME:
            own = BANK[method]
            _validate_integers(own.signature.parameters, arguments)
            return own.run(self, *arguments)
        library = self._execution.library
        found = library.provided.get(interface, {}).get(method)
        if found is None:
            raise CallError(
                "unknown_method",
                "no module provides this any more",
                actual=f"{interface}.{method}",
            )
        _validate_integers(found.method.signature.parameters, arguments)
        ctx = self.meter
        before = ctx.caller, ctx.roles, ctx.module
        ctx.caller, ctx.module = self.contract, found.module
        if found.declaration is not None:
            ctx.roles = load_account(ctx, self.contract).roles
            _validate_declared(library, ctx, found.declaration, arguments)
        result = found.method.run(ctx, *arguments)
        ctx.caller, ctx.roles, ctx.module = before
        # In the canonical form, in which it crosses the border, an array is a tuple.
        return tuple(result) if isinstance(result, list) else result


def _validate_integers(
    parameters: tuple[tuple[str, ValueType], ...], arguments: tuple[Value, ...]
) -> None:
    """Refuse integers beyond 64 bits, which stand there as bytes."""
    for (name, kind), value in zip(parameters, arguments, strict=True):
        if kind.kind is Kind.INT and type(value) is not int:
            raise CallError("invalid_arguments", f"argument {name!r} leaves 64 bits")


def _validate_declared(
    library: Library, ctx: CallContext, declared: Declaration, arguments: tuple[Value, ...]
) -> None:
    """Hold a contract to what a transaction is held to: roles and arguments."""
    if declared.roles and not library.role_mask(declared.roles) & ctx.roles:
        raise CallError(
            "wrong_role",
            "this is not for a contract without the role",
            expected=" or ".join(declared.roles),
            hint="An operator gives a contract roles like any member.",
        )
    validate_arguments(declared.arguments, arguments)
