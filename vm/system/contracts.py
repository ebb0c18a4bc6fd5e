"""The contracts module: deploying, calling, upgrading, freezing and removing contracts.

A contract is a member without a key: it has a name, an account that holds its money and energy,
and roles if the operators give it any, and they suspend it like any member. Its code is verified in
form when it comes and when a node first runs it; its source lies beside it and is never read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from vm.arguments import (
    ACCOUNT,
    NAME,
    UINT63,
    Argument,
    ArgumentKind,
    byte_string,
    text,
)
from vm.context import CallContext
from vm.contract.abi import check_upgrade
from vm.contract.code_object import Code, Runner
from vm.contract.interfaces import Signature, check_imports
from vm.contract.interpreter import Door, has_door
from vm.contract.limits import GAS_CODE_BYTE, MAX_CODE_BYTES
from vm.contract.verifier import CodeCache, decode_code
from vm.module import ContractMethod, Declaration, Module, Section, method
from vm.overlay import StateReader
from vm.primitives.codec import Encodable, Value, encode_trusted
from vm.primitives.errors import CallError, DecodeError, InvariantViolation
from vm.system.account_leaf import (
    ACTIVE,
    NO_KEY,
    REMOVED,
    Account,
    load_account,
    load_active_account,
    save_account,
)
from vm.system.contract_bank import BANK, BANK_NAME
from vm.system.contract_deposit import change_deposit
from vm.system.contract_execution import Execution, Provided
from vm.system.contract_records import (
    CODE_SPACE,
    CONTRACT_COUNTER,
    RECORD_SPACE,
    SOURCE_SPACE,
    TERMS_KEY,
    Contract,
    contract_address,
    decode_contract,
    index_key,
    load_contract,
    load_terms,
    save_contract,
)
from vm.system.contract_terms import changed_terms, parse_code_hash, read_section
from vm.system.members import NAME_SPACE, enter_contract
from vm.system.voters import count_voter

MAX_SOURCE_BYTES: Final = 65_536
MAX_KNOWN_CODES: Final = 128
GAS_OF_VERIFYING: Final = 20_000
"""Gas of taking code in, beside its bytes."""
TOLD_GAS_OF_RESULT_BYTE: Final = 8
"""What a byte of a result counts for among what one receipt may hold: it may be an item."""
GAS_OF_CODE_BYTE: Final = 40
"""Gas of verifying the form of one byte of code."""

CODE = byte_string(1, MAX_CODE_BYTES)
SOURCE = text(MAX_SOURCE_BYTES)
VALUES = ArgumentKind("a list of values", lambda value: type(value) is tuple)


class ContractsModule(Module):
    """Contracts that members deployed, in the instructions of `vm/contract`."""

    name = "contracts"

    def __init__(self, roles: Sequence[str], modules: Sequence[Module]) -> None:
        """`modules` are those that provide interfaces to contracts."""
        self.runner_of: dict[bytes, Runner] = {}
        """What runs the functions of code with a hash in place of the usual loop, for tools."""
        self._roles = tuple(roles)
        self._codes = CodeCache(MAX_KNOWN_CODES)
        self.provided = _collect(modules)

    def signatures(self) -> dict[str, dict[str, Signature]]:
        """Return the types of all built-in interfaces, for compilers and for deployment."""
        found = {BANK_NAME: {name: own.signature for name, own in BANK.items()}}
        for interface, methods in self.provided.items():
            found[interface] = {name: entry.method.signature for name, entry in methods.items()}
        return found

    def init_genesis(self, ctx: CallContext, section: Section) -> None:
        """Write the terms of genesis; without the section there are no contracts."""
        if section:
            ctx.put(TERMS_KEY, read_section(section, self._roles).encode())

    @method(
        Argument("name", NAME),
        Argument("code", CODE),
        Argument("source", SOURCE),
        Argument("arguments", VALUES),
    )
    def deploy(
        self, ctx: CallContext, name: str, code: bytes, source: str, arguments: tuple[Value, ...]
    ) -> Encodable:
        """Enter a contract and run its `@init` with `arguments`; returns its address."""
        terms = load_terms(ctx)
        if not terms.deploy_roles & ctx.roles:
            raise CallError(
                "wrong_role",
                "this member may not deploy contracts",
                expected=" or ".join(self._role_names(terms.deploy_roles)),
                actual=", ".join(self._role_names(ctx.roles)) or "no role",
            )
        verified = self._verify(ctx, code)
        number = ctx.next_number(CONTRACT_COUNTER)
        address = contract_address(ctx.caller, number)
        enter_contract(ctx, address, name)
        save_account(ctx, address, Account(NO_KEY, 0, ACTIVE, 0, 0, 0, 0, 0))
        record = Contract(
            number=number,
            deployer=ctx.caller,
            owner=ctx.caller,
            code_hash=verified.code_hash,
            code_bytes=len(code),
            source_bytes=len(source.encode()),
            data_bytes=0,
            deposit_micro=0,
            revision=0,
            height=ctx.height,
            is_frozen=False,
            approved=b"",
        )
        ctx.emit("deploy", address, name, ctx.caller, verified.code_hash)
        ctx.put(index_key(number), address)
        self._install(ctx, address, record, verified, source, arguments, before_bytes=0)
        return address

    @method(
        Argument("contract", ACCOUNT),
        Argument("function", NAME),
        Argument("arguments", VALUES),
        Argument("money_micro", UINT63),
        Argument("energy_milli_wh", UINT63),
    )
    def call(
        self,
        ctx: CallContext,
        contract: bytes,
        function: str,
        arguments: tuple[Value, ...],
        money_micro: int,
        energy_milli_wh: int,
    ) -> Encodable:
        """Run an exported function; it may take at most the attached money and energy."""
        execution = Execution(self, ctx)
        if money_micro:
            execution.takings[0][ctx.caller, contract] = money_micro
        if energy_milli_wh:
            execution.takings[1][ctx.caller, contract] = energy_milli_wh
        result = execution.enter(contract, function, arguments, Door.CALL, ctx.caller)
        execution.settle()
        # Against what one receipt may hold alone; the gas of a result is paid as it is made.
        ctx.tell(TOLD_GAS_OF_RESULT_BYTE * len(encode_trusted(result)))
        return result

    @method(
        Argument("contract", ACCOUNT),
        Argument("code", CODE),
        Argument("source", SOURCE),
        Argument("arguments", VALUES),
    )
    def upgrade(
        self,
        ctx: CallContext,
        contract: bytes,
        code: bytes,
        source: str,
        arguments: tuple[Value, ...],
    ) -> Encodable:
        """Replace the code of the caller's contract and run the new code's `@upgrade`."""
        record = _load_own(ctx, contract)
        if record.is_frozen:
            raise CallError("frozen", "the contract's code can not be replaced", actual=contract)
        verified = self._verify(ctx, code)
        if load_terms(ctx).upgrade_needs_vote and record.approved != verified.code_hash:
            raise CallError(
                "not_voted_for",
                "this network's members vote on new code first",
                expected=record.approved or "a vote for the hash of the code",
                actual=verified.code_hash,
                hint="Propose `code_hash` for the contract: see docs/contracts.md.",
            )
        ctx.charge(record.code_bytes * GAS_CODE_BYTE)
        _validate_follows(self.load_code(ctx, contract, record), verified)
        before_bytes = record.stored_bytes
        record.code_hash, record.code_bytes = verified.code_hash, len(code)
        record.source_bytes = len(source.encode())
        record.revision += 1
        record.height, record.approved = ctx.height, b""
        ctx.emit("upgrade", contract, ctx.caller, verified.code_hash)
        self._install(ctx, contract, record, verified, source, arguments, before_bytes=before_bytes)
        return None

    @method(Argument("contract", ACCOUNT))
    def freeze(self, ctx: CallContext, contract: bytes) -> Encodable:
        """Give up for good that the code of the caller's contract can be replaced."""
        record = _load_own(ctx, contract)
        record.is_frozen, record.approved = True, b""
        save_contract(ctx, contract, record)
        ctx.emit("freeze", contract, ctx.caller)
        return None

    @method(Argument("contract", ACCOUNT), Argument("owner", ACCOUNT))
    def set_owner(self, ctx: CallContext, contract: bytes, owner: bytes) -> Encodable:
        """Hand the caller's contract over to another active member, or to a contract."""
        record = _load_own(ctx, contract)
        load_active_account(ctx, owner)
        record.owner = owner
        save_contract(ctx, contract, record)
        ctx.emit("set_owner", contract, owner)
        return None

    @method(Argument("contract", ACCOUNT))
    def remove(self, ctx: CallContext, contract: bytes) -> Encodable:
        """Remove the caller's contract, which holds nothing any more; its deposit comes back."""
        record = _load_own(ctx, contract)
        leaf = load_account(ctx, contract)
        held = leaf.money_micro, leaf.energy_milli_wh, leaf.energy_reserved_milli_wh
        if record.is_frozen or record.data_bytes or any(held):
            raise CallError(
                "not_empty",
                "only a contract that is not frozen and holds nothing can be removed",
                expected="no stored entries, money or energy",
                actual=f"{record.data_bytes} bytes, {held[0]} micro-tokens, {sum(held[1:])} mWh",
            )
        before_bytes = record.stored_bytes
        record.code_bytes = record.source_bytes = 0
        change_deposit(ctx, ctx.caller, contract, record, before_bytes)
        leaf = load_account(ctx, contract)
        was = replace(leaf)
        leaf.status = REMOVED
        count_voter(ctx, was, leaf)
        save_account(ctx, contract, leaf)
        for key in (RECORD_SPACE + contract, CODE_SPACE + contract, SOURCE_SPACE + contract):
            ctx.delete(key)
        ctx.delete(index_key(record.number))
        ctx.emit("remove", contract, ctx.caller)
        return None

    def view(
        self, ctx: CallContext, contract: bytes, function: str, arguments: tuple[Value, ...]
    ) -> Encodable:
        """Run a view for a reader; raises CallError. The context is not to be kept."""
        ctx.module = self.name
        return Execution(self, ctx).enter(contract, function, arguments, Door.VIEW, ctx.caller)

    def change_parameters(
        self, ctx: CallContext, subject: str, values: Mapping[str, Value]
    ) -> None:
        """Set the terms, or make way for new code of the contract called `subject`, as voted."""
        if not subject:
            ctx.put(TERMS_KEY, changed_terms(load_terms(ctx), self._roles, values).encode())
            return
        address = ctx.get(NAME_SPACE + subject.encode())
        record = load_contract(ctx, address or b"")
        record.approved = parse_code_hash(record, values)
        save_contract(ctx, address or b"", record)
        ctx.emit("approve", address, record.approved)

    def rebuild_index(self, ctx: CallContext, key: bytes, value: bytes) -> None:
        """Write the entry of the list of contracts again from a record."""
        if key[: len(RECORD_SPACE)] == RECORD_SPACE:
            ctx.put(index_key(decode_contract(value).number), key[len(RECORD_SPACE) :])

    def load_code(self, ctx: CallContext, address: bytes, record: Contract) -> Code:
        """Return the code of a contract; its gas is charged already."""
        return self.read_code(ctx.state, address, record)

    def read_code(self, state: StateReader, address: bytes, record: Contract) -> Code:
        """Return the code of a contract without gas, for readers."""
        code = self._codes.find(record.code_hash)
        if code is None:
            raw = state.get(CODE_SPACE + address)
            if raw is None:
                raise InvariantViolation(f"contract {address.hex()} lost its code")
            code = self._codes.get(record.code_hash, raw)
        return code

    def role_mask(self, names: tuple[str, ...]) -> int:
        """Return the bit mask of the roles with these names."""
        return sum(1 << place for place, name in enumerate(self._roles) if name in names)

    def _install(
        self,
        ctx: CallContext,
        address: bytes,
        record: Contract,
        code: Code,
        source: str,
        arguments: tuple[Value, ...],
        *,
        before_bytes: int,
    ) -> None:
        """Write code and record, run what the code does when it comes, and settle the deposit."""
        ctx.put(CODE_SPACE + address, code.raw)
        ctx.put(SOURCE_SPACE + address, source.encode())
        save_contract(ctx, address, record)
        execution = Execution(self, ctx)
        execution.add(address, record, code, before_bytes)
        door = Door.UPGRADE if record.revision else Door.INIT
        if has_door(code, door):
            execution.enter(address, "", arguments, door, ctx.caller)
        elif arguments:
            raise CallError("invalid_arguments", "the code has nothing that takes arguments here")
        execution.settle()

    def _verify(self, ctx: CallContext, raw: bytes) -> Code:
        """Return the code of bytes from outside, once its gas is paid; raises CallError."""
        ctx.charge(GAS_OF_VERIFYING + GAS_OF_CODE_BYTE * len(raw))
        try:
            code = decode_code(raw)
        except DecodeError as error:
            raise CallError(
                error.code, error.message, expected=error.expected, actual=error.actual
            ) from error
        unknown = check_imports(code, self.signatures())
        if unknown:
            raise CallError("unknown_interface", unknown[0])
        return code

    def _role_names(self, mask: int) -> list[str]:
        return [name for place, name in enumerate(self._roles) if mask >> place & 1]


def _collect(modules: Sequence[Module]) -> Mapping[str, Mapping[str, Provided]]:
    """Return the interfaces of all modules."""
    provided: dict[str, dict[str, Provided]] = {}
    for module in modules:
        for interface, methods in module.contract_interfaces().items():
            if interface in provided or interface == BANK_NAME:
                raise InvariantViolation(f"two modules provide the interface {interface!r}")
            provided[interface] = {
                name: Provided(module.name, found, _declaration(found))
                for name, found in methods.items()
            }
    return provided


def _load_own(ctx: CallContext, contract: bytes) -> Contract:
    record = load_contract(ctx, contract)
    if record.owner != ctx.caller:
        raise CallError(
            "not_your_contract", "the contract belongs to another member", actual=record.owner
        )
    return record


def _validate_follows(old: Code, new: Code) -> None:
    """Raise CallError unless new code keeps the storage of the old and the names of its events."""
    against = check_upgrade(old, new)
    for number, event in enumerate(old.events):
        if new.events[number : number + 1] != (event,):
            against.append(f"event {event.name} is not declared as before")
    if against:
        raise CallError(
            "cannot_follow",
            f"the new code cannot follow the old: {against[0]}",
            hint="New variables, maps and events stand behind those of the old code.",
        )


def _declaration(found: ContractMethod) -> Declaration | None:
    declaration = getattr(found.run, "__declaration__", None)
    return declaration if isinstance(declaration, Declaration) else None
