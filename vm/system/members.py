"""The registry of members: who may transact, peer and validate, under which name and roles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from vm.arguments import (
    ACCOUNT,
    EMPTY,
    KEY,
    NAME,
    Argument,
    ArgumentKind,
    byte_string,
    either,
    integer,
)
from vm.context import CallContext
from vm.contract.interfaces import Signature
from vm.contract.value_types import ADDRESS, BOOL, STR
from vm.module import ContractMethod, Interfaces, Module, method
from vm.overlay import INDEX_SPACE, StateReader
from vm.primitives.address import ACCOUNT_ID_BYTES, account_id, check_name
from vm.primitives.codec import Encodable, encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation
from vm.primitives.node_certificate import NODE_KEY_BYTES, verify_node_proof
from vm.primitives.node_certificate import NODE_PROOF_BYTES as NODE_PROOF_BYTES
from vm.system.account_leaf import ACCOUNT_SPACE, NO_KEY
from vm.system.accounts import (
    ACTIVE,
    REMOVED,
    SUSPENDED,
    Account,
    decode_account,
    load_account,
    save_account,
)
from vm.system.approvals import approve, remove_lapsed
from vm.system.staking_terms import (
    EQUAL_KEY,
    NO_TOKEN,
    TOUCHED_KEY,
    load_terms,
    weighs_by_stake,
)
from vm.system.validator_changes import change_validators, is_bounded_change, set_before
from vm.system.validators import (
    MAX_VALIDATORS,
    VALIDATORS_KEY,
    Validator,
    decode_validators,
    read_validators,
)
from vm.system.voters import OPERATORS_KEY as OPERATORS_KEY
from vm.system.voters import count_voter

MEMBER_SPACE: Final = b"m"
NAME_SPACE: Final = b"n"
NODE_INDEX: Final = INDEX_SPACE + b"n"
"""Node key and account of each active member with a node; the value is the key's proof."""
MEMBER_TYPE: Final = 11
VERSION: Final = 1

GAS_KEY: Final = 2_000
"""A public key that enters: the check of its point."""
GAS_NODE_PROOF: Final = 2_000
"""The check of a node's proof."""

ROLE_MASK = integer(0, 2**32 - 1)
BUS = either(NAME, ArgumentKind("the empty text", lambda value: value == ""))
OPTIONAL_KEY = either(EMPTY, KEY)
OPTIONAL_PROOF = either(EMPTY, byte_string(NODE_PROOF_BYTES, NODE_PROOF_BYTES))


@dataclass(frozen=True, slots=True)
class Member:
    """The part of a member that seldom changes; money, energy and key are in the account."""

    name: str
    """The name it chose to show, unique on the chain."""
    bus: str
    """Its grid connection point; empty if it has none."""
    node_key: bytes
    """Public key of its node for peering; empty if it runs none."""
    node_proof: bytes
    """Signature of the node's certificate, by which peers rebuild it."""
    vote_key: bytes
    """Public key of its votes as a validator; empty if it is none."""
    admitted_height: int
    """Height of the block that admitted it."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted(
            (
                MEMBER_TYPE,
                VERSION,
                self.name,
                self.bus,
                self.node_key,
                self.node_proof,
                self.vote_key,
                self.admitted_height,
            )
        )


def decode_member(data: bytes) -> Member:
    """Return the member of a leaf's bytes."""
    value = unpack_trusted(data)
    if not isinstance(value, tuple) or value[:2] != (MEMBER_TYPE, VERSION):
        raise InvariantViolation(f"not a member of this version: {data.hex()[:80]}")
    return Member(*value[2:])  # type: ignore[arg-type]


def read_member(state: StateReader, account: bytes) -> Member | None:
    """Return a member without gas, for readers; None if there is none."""
    data = state.get(MEMBER_SPACE + account)
    return None if data is None else decode_member(data)


def read_account_id(state: StateReader, name: str) -> bytes | None:
    """Return the account of the member called `name`; None if there is none."""
    return state.get(NAME_SPACE + name.encode())


def read_node_registry(state: StateReader) -> dict[bytes, bytes]:
    """Return the node keys of all active members with the proofs of their certificates."""
    start = len(NODE_INDEX)
    return {
        key[start : start + NODE_KEY_BYTES]: value
        for key, value in state.scan(NODE_INDEX, NODE_INDEX + b"\xff" * (NODE_KEY_BYTES + 1))
    }


def load_member(ctx: CallContext, account: bytes) -> Member:
    """Return a member; raises CallError `unknown_account`."""
    data = ctx.get(MEMBER_SPACE + account)
    if data is None:
        raise CallError("unknown_account", "there is no such member", actual=account)
    return decode_member(data)


def enter_contract(ctx: CallContext, address: bytes, name: str) -> None:
    """Write the name of a contract, which is a member without keys; raises CallError."""
    if ctx.get(NAME_SPACE + name.encode()) is not None:
        raise CallError("name_taken", "another member has this name", actual=name)
    ctx.put(NAME_SPACE + name.encode(), address)
    ctx.put(MEMBER_SPACE + address, Member(name, "", b"", b"", b"", ctx.height).encode())


class MembersModule(Module):
    """Admission, suspension and removal by the operators; rotation of keys by the members."""

    name = "members"

    def __init__(self, roles: tuple[str, ...]) -> None:
        self._role_names = roles
        self._all_roles = (1 << len(roles)) - 1
        self._operator = 1 << roles.index("operator") if "operator" in roles else 0
        self._validator = 1 << roles.index("validator") if "validator" in roles else 0

    def enter(self, ctx: CallContext, leaf: Account, member: Member) -> bytes:
        """Write a new member's leaves and return its account id; raises CallError."""
        self._validate_roles(leaf.roles)
        account = account_id(leaf.key)
        if ctx.get(MEMBER_SPACE + account) is not None:
            raise CallError("member_exists", "this key already opened an account", actual=account)
        if ctx.get(NAME_SPACE + member.name.encode()) is not None:
            raise CallError("name_taken", "another member has this name", actual=member.name)
        _validate_keys(leaf, member)
        _validate_node_proof(ctx, member)
        ctx.put(NAME_SPACE + member.name.encode(), account)
        self._save(ctx, account, member)
        save_account(ctx, account, leaf)
        _index_node(ctx, account, member)
        self._count(ctx, None, leaf)
        self._update_validator(ctx, account, leaf, member)
        return account

    @method(
        Argument("key", KEY),
        Argument("name", NAME),
        Argument("roles", ROLE_MASK),
        Argument("bus", BUS),
        Argument("node_key", OPTIONAL_KEY),
        Argument("node_proof", OPTIONAL_PROOF),
        Argument("vote_key", OPTIONAL_KEY),
        roles=("operator",),
    )
    def admit(
        self,
        ctx: CallContext,
        key: bytes,
        name: str,
        roles: int,
        bus: str,
        node_key: bytes,
        node_proof: bytes,
        vote_key: bytes,
    ) -> Encodable:
        """Admit a member; its account id follows from `key`."""
        ctx.charge(GAS_KEY * (1 + bool(node_key) + bool(vote_key)))
        arguments = (key, name, roles, bus, node_key, node_proof, vote_key)
        if not approve(ctx, "members.admit", arguments):
            return False
        member = Member(name, bus, node_key, node_proof, vote_key, ctx.height)
        account = self.enter(ctx, Account(key, roles, ACTIVE, 0, 0, 0, 0, 0), member)
        ctx.emit("admit", account, name, roles)
        return account

    @method(Argument("account", ACCOUNT), roles=("operator",))
    def suspend(self, ctx: CallContext, account: bytes) -> Encodable:
        """Keep a member from transacting, peering and validating until it is reinstated."""
        return self._set_status(ctx, "suspend", account, (ACTIVE,), SUSPENDED)

    @method(Argument("account", ACCOUNT), roles=("operator",))
    def reinstate(self, ctx: CallContext, account: bytes) -> Encodable:
        """End a member's suspension."""
        return self._set_status(ctx, "reinstate", account, (SUSPENDED,), ACTIVE)

    @method(Argument("account", ACCOUNT), roles=("operator",))
    def remove(self, ctx: CallContext, account: bytes) -> Encodable:
        """Remove a member for good; what its account holds stays on record."""
        return self._set_status(ctx, "remove", account, (ACTIVE, SUSPENDED), REMOVED)

    @method(Argument("account", ACCOUNT), Argument("roles", ROLE_MASK), roles=("operator",))
    def set_roles(self, ctx: CallContext, account: bytes, roles: int) -> Encodable:
        """Give a member other roles."""
        if not approve(ctx, "members.set_roles", (account, roles)):
            return False
        self._validate_roles(roles)
        if account == ctx.caller:
            raise CallError("own_account", "operators do not change their own roles")
        leaf = load_account(ctx, account)
        if leaf.key == NO_KEY and roles & (self._operator | self._validator):
            raise CallError("no_key", "a contract cannot be operator or validator")
        before = replace(leaf)
        leaf.roles = roles
        self._count(ctx, before, leaf)
        save_account(ctx, account, leaf)
        self._update_validator(ctx, account, leaf, load_member(ctx, account))
        ctx.emit("set_roles", account, roles)
        return True

    @method(Argument("account", ACCOUNT), Argument("bus", BUS), roles=("operator", "dso"))
    def set_bus(self, ctx: CallContext, account: bytes, bus: str) -> Encodable:
        """Record at which bus of the feeder a member is connected."""
        if not approve(ctx, "members.set_bus", (account, bus)):
            return False
        self._save(ctx, account, replace(load_member(ctx, account), bus=bus))
        ctx.emit("set_bus", account, bus)
        return True

    @method(Argument("new_key", KEY))
    def rotate_key(self, ctx: CallContext, new_key: bytes) -> Encodable:
        """Replace the key of the caller's account, from its next transaction on."""
        ctx.charge(GAS_KEY)
        self._rotate(ctx, ctx.caller, new_key)
        return None

    @method(Argument("account", ACCOUNT), Argument("new_key", KEY), roles=("operator",))
    def reset_key(self, ctx: CallContext, account: bytes, new_key: bytes) -> Encodable:
        """Replace the key of a member that lost its own."""
        ctx.charge(GAS_KEY)
        if not approve(ctx, "members.reset_key", (account, new_key)):
            return False
        self._rotate(ctx, account, new_key)
        return True

    @method(Argument("node_key", OPTIONAL_KEY), Argument("node_proof", OPTIONAL_PROOF))
    def set_node_key(self, ctx: CallContext, node_key: bytes, node_proof: bytes) -> Encodable:
        """Replace the key by which the caller's node peers."""
        ctx.charge(GAS_KEY if node_key else 0)
        before = load_member(ctx, ctx.caller)
        member = replace(before, node_key=node_key, node_proof=node_proof)
        _validate_keys(load_account(ctx, ctx.caller), member)
        _validate_node_proof(ctx, member)
        _leave_index(ctx, ctx.caller, before)
        self._save(ctx, ctx.caller, member)
        _index_node(ctx, ctx.caller, member)
        ctx.emit("set_node_key", ctx.caller, node_key)
        return None

    @method(Argument("vote_key", KEY), roles=("validator",))
    def set_vote_key(self, ctx: CallContext, vote_key: bytes) -> Encodable:
        """Replace the key by which the caller votes, from the next height on."""
        ctx.charge(GAS_KEY)
        leaf = load_account(ctx, ctx.caller)
        member = replace(load_member(ctx, ctx.caller), vote_key=vote_key)
        _validate_keys(leaf, member)
        self._save(ctx, ctx.caller, member)
        self._update_validator(ctx, ctx.caller, leaf, member)
        ctx.emit("set_vote_key", ctx.caller, vote_key)
        return None

    def contract_interfaces(self) -> Interfaces:
        """Return the interface `members`: who is who on this network."""
        who = (("account", ADDRESS),)
        return {
            "members": {
                "has_role": ContractMethod(
                    Signature((*who, ("role", STR)), BOOL, is_view=True), self._has_role
                ),
                "is_active": ContractMethod(Signature(who, BOOL, is_view=True), _is_active),
                "name": ContractMethod(Signature(who, STR, is_view=True), _name_of),
                "bus": ContractMethod(Signature(who, STR, is_view=True), _bus_of),
                "find": ContractMethod(Signature((("name", STR),), ADDRESS, is_view=True), _find),
            }
        }

    def on_equivocation(self, ctx: CallContext, account: bytes, height: int) -> None:
        """Expel who contradicted itself, where genesis says so and each has one vote."""
        terms = load_terms(ctx)
        if terms.expel and not weighs_by_stake(ctx.state):
            self._expel(ctx, account)

    def on_due(self, ctx: CallContext, payload: bytes) -> None:
        """Remove approvals that have lapsed, or expel whom an earlier block could not."""
        if len(payload) == ACCOUNT_ID_BYTES:
            self._expel(ctx, payload)  # too much power would have changed with that block
        else:
            remove_lapsed(ctx, payload)

    def rebuild_index(self, ctx: CallContext, key: bytes, value: bytes) -> None:
        """Write the node index again from a member's leaf."""
        if key[:1] != MEMBER_SPACE:
            return
        account = key[1:]
        if load_account(ctx, account).status == ACTIVE:
            _index_node(ctx, account, decode_member(value))

    def _has_role(self, ctx: CallContext, account: bytes, role: str) -> Encodable:
        data = ctx.get(ACCOUNT_SPACE + account)
        if data is None or role not in self._role_names:
            return False
        leaf = decode_account(data)
        return leaf.status == ACTIVE and bool(leaf.roles >> self._role_names.index(role) & 1)

    def _set_status(
        self, ctx: CallContext, action: str, account: bytes, before: tuple[int, ...], after: int
    ) -> Encodable:
        if not approve(ctx, f"members.{action}", (account,)):
            return False
        if account == ctx.caller:
            raise CallError(
                "own_account", f"operators do not {action} themselves", hint="Ask another operator."
            )
        leaf = load_account(ctx, account)
        if leaf.status not in before:
            raise CallError("wrong_status", f"this member cannot be {action}ed now")
        was = replace(leaf)
        leaf.status = after
        self._count(ctx, was, leaf)
        save_account(ctx, account, leaf)
        member = load_member(ctx, account)
        if after == ACTIVE:
            _index_node(ctx, account, member)
        else:
            _leave_index(ctx, account, member)
        self._update_validator(ctx, account, leaf, member)
        ctx.emit(action, account)
        return True

    def _expel(self, ctx: CallContext, account: bytes) -> None:
        """Take the role of a validator away; the last validator keeps it."""
        leaf = load_account(ctx, account)
        known = read_validators(ctx.state)
        others = [validator for validator in known if validator.account != account]
        if not leaf.roles & self._validator or not others:
            return
        if not is_bounded_change(set_before(ctx), others):
            ctx.schedule(ctx.time_ms + 1, account)
            return
        was = replace(leaf)
        leaf.roles &= ~self._validator
        count_voter(ctx, was, leaf)
        save_account(ctx, account, leaf)
        change_validators(ctx, others)
        ctx.emit("expel", account)

    def _rotate(self, ctx: CallContext, account: bytes, new_key: bytes) -> None:
        leaf = load_account(ctx, account)
        if leaf.key == NO_KEY:
            raise CallError("no_key", "nobody signs for a contract", actual=account)
        leaf.key = new_key
        _validate_keys(leaf, load_member(ctx, account))
        save_account(ctx, account, leaf)
        ctx.emit("rotate_key", account, new_key)

    def _save(self, ctx: CallContext, account: bytes, member: Member) -> None:
        ctx.put(MEMBER_SPACE + account, member.encode())

    def _validate_roles(self, roles: int) -> None:
        if roles & ~self._all_roles:
            raise CallError(
                "unknown_role",
                "a role that this chain does not have",
                expected=f"bits of {self._all_roles:b}",
                actual=f"{roles:b}",
            )

    def _operates(self, leaf: Account) -> bool:
        return leaf.status == ACTIVE and bool(leaf.roles & self._operator)

    def _count(self, ctx: CallContext, before: Account | None, leaf: Account) -> None:
        """Keep the counts of voters and of operators, of whom enough for approvals must remain."""
        count_voter(ctx, before, leaf)
        change = self._operates(leaf) - (before is not None and self._operates(before))
        if not change:
            return
        count = int.from_bytes(ctx.get(OPERATORS_KEY) or b"", "big") + change
        needed = ctx.block.parameters.operator_threshold
        if change < 0 and count < needed:
            raise CallError(
                "too_few_operators",
                "too few operators would remain to agree on anything",
                expected=f"at least {needed}",
                actual=count,
                hint="Admit or reinstate another operator first.",
            )
        ctx.put(OPERATORS_KEY, count.to_bytes(8, "big"))

    def _update_validator(
        self, ctx: CallContext, account: bytes, leaf: Account, member: Member
    ) -> None:
        data = ctx.get(VALIDATORS_KEY)
        known = decode_validators(data) if data else ()
        others = [validator for validator in known if validator.account != account]
        validates = leaf.roles & self._validator and leaf.status == ACTIVE and member.vote_key
        if validates:
            if any(other.vote_key == member.vote_key for other in others):
                raise CallError("key_taken", "another validator votes with this key")
        elif len(others) == len(known):
            return
        if load_terms(ctx).token != NO_TOKEN and ctx.get(EQUAL_KEY) is None:
            ctx.put(TOUCHED_KEY, b"\1")  # the stakes decide at the block's end
            return
        if validates:
            if len(others) >= MAX_VALIDATORS:
                raise CallError("too_many_validators", "the set is full", expected=MAX_VALIDATORS)
            others.append(Validator(member.vote_key, 1, account))
        if not others:
            raise CallError("last_validator", "a chain needs at least one validator")
        change_validators(ctx, others)


def _is_active(ctx: CallContext, account: bytes) -> Encodable:
    data = ctx.get(ACCOUNT_SPACE + account)
    return data is not None and decode_account(data).status == ACTIVE


def _name_of(ctx: CallContext, account: bytes) -> Encodable:
    data = ctx.get(MEMBER_SPACE + account)
    return "" if data is None else decode_member(data).name


def _bus_of(ctx: CallContext, account: bytes) -> Encodable:
    data = ctx.get(MEMBER_SPACE + account)
    return "" if data is None else decode_member(data).bus


def _find(ctx: CallContext, name: str) -> Encodable:
    found = ctx.get(NAME_SPACE + name.encode()) if check_name(name) else None
    return bytes(ACCOUNT_ID_BYTES) if found is None else found


def _validate_keys(leaf: Account, member: Member) -> None:
    keys = [key for key in (leaf.key, member.node_key, member.vote_key) if key]
    if len(dict.fromkeys(keys)) != len(keys):
        raise CallError("key_taken", "account, node and votes each have a key of their own")


def _validate_node_proof(ctx: CallContext, member: Member) -> None:
    if bool(member.node_key) != bool(member.node_proof):
        raise CallError("invalid_arguments", "a node key comes with its certificate's proof")
    if not member.node_key:
        return
    ctx.charge(GAS_NODE_PROOF)
    if not verify_node_proof(member.node_key, member.node_proof):
        raise CallError(
            "wrong_proof",
            "the proof is not that of this node key's holder",
            actual=member.node_proof,
            hint="`bitenergy node keys` shows both on the member's machine.",
        )


def _index_node(ctx: CallContext, account: bytes, member: Member) -> None:
    # With the account in the key, who registers another's key and proof keeps nobody out.
    if member.node_key:
        ctx.put(NODE_INDEX + member.node_key + account, member.node_proof)


def _leave_index(ctx: CallContext, account: bytes, member: Member) -> None:
    if member.node_key:
        ctx.delete(NODE_INDEX + member.node_key + account)
