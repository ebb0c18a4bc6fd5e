"""Genesis: the file that defines a network, its hash, and the state and header it begins with.

The hash of the file's content is the network's identity: everything that is signed names it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vm.parameters import ChainParameters, validate_parameters
from vm.primitives.address import account_id, check_name
from vm.primitives.codec import MAX_DEPTH, Encodable, encode
from vm.primitives.decimal_text import parse_decimal
from vm.primitives.errors import BitenergyError, InvalidGenesis
from vm.primitives.hashing import TAG_GENESIS, tagged_hash
from vm.primitives.integers import MAX_AMOUNT
from vm.primitives.signatures import check_public_key
from vm.runtime import validate_roles
from vm.system.accounts import ACTIVE, Account
from vm.system.governance_records import EngineChoice
from vm.system.members import NODE_PROOF_BYTES, Member

MAX_GENESIS_BYTES: Final = 67_108_864
TOKEN_DECIMALS: Final = 6
KWH_DECIMALS: Final = 6
_FIELDS = ("chain", "time_ms", "engine", "parameters", "roles", "members", "modules", "about")
_MEMBER_FIELDS = (
    "name",
    "roles",
    "bus",
    "balance",
    "energy",
    "key",
    "node_key",
    "node_proof",
    "vote_key",
)


@dataclass(frozen=True, slots=True)
class GenesisMember:
    """A member that the network begins with."""

    account: Account
    """Key, roles, money and energy."""
    member: Member
    """Name, bus, node key and vote key."""


@dataclass(frozen=True, slots=True)
class Genesis:
    """A checked genesis file."""

    chain: str
    """Name of the network, for people."""
    time_ms: int
    """Time of block 0, milliseconds UTC."""
    engine: str
    """Name of the consensus engine."""
    engine_parameters: Mapping[str, int]
    """The engine's own numbers."""
    parameters: ChainParameters
    """Limits and prices."""
    roles: tuple[str, ...]
    """All roles of the network, in the order of their bits."""
    members: tuple[GenesisMember, ...]
    """Members from the beginning."""
    modules: Mapping[str, Mapping[str, object]]
    """Sections of the built-in modules, as JSON gave them."""
    digest: bytes
    """Hash of the file's content: the network's identity, 32 bytes."""


def decode_genesis(data: bytes) -> Genesis:
    """Return the genesis of a JSON file; raises InvalidGenesis with what contradicts what."""
    if len(data) > MAX_GENESIS_BYTES:
        raise InvalidGenesis("the file is too long", expected=MAX_GENESIS_BYTES, actual=len(data))
    try:
        document = json.loads(
            data, object_pairs_hook=_unique, parse_float=_no_float, parse_constant=_no_float
        )
    except (ValueError, RecursionError) as error:
        raise InvalidGenesis("the file is not JSON", actual=error) from error
    if not isinstance(document, dict):
        raise InvalidGenesis("a genesis file is one JSON object")
    _known(document, _FIELDS, "the file")
    roles = validate_roles(_list(document, "roles"))
    engine = _dict(document, "engine")
    chain, time_ms = document.get("chain"), document.get("time_ms")
    if not isinstance(chain, str) or not check_name(chain):
        raise InvalidGenesis("'chain' is a name", actual=chain)
    if type(time_ms) is not int or not 0 < time_ms < 2**53:
        raise InvalidGenesis("'time_ms' is a time in milliseconds", actual=time_ms)
    members = tuple(_member(entry, roles) for entry in _list(document, "members"))
    _validate_members(members, roles)
    parameters = validate_parameters(_dict(document, "parameters"))
    _validate_operators(members, roles, parameters)
    return Genesis(
        chain,
        time_ms,
        _engine_name(engine),
        _engine_numbers(engine),
        parameters,
        roles,
        members,
        {name: _dict(_dict(document, "modules"), name) for name in _dict(document, "modules")},
        genesis_hash(document),
    )


def engine_of(genesis: Genesis) -> EngineChoice:
    """Return the engine that a network begins with."""
    return EngineChoice(genesis.engine, tuple(sorted(genesis.engine_parameters.items())))


def genesis_hash(document: object) -> bytes:
    """Return the hash of a genesis file's content, 32 bytes; order of keys plays no part."""
    try:
        return tagged_hash(TAG_GENESIS, encode(_canonical(document, MAX_DEPTH)))
    except BitenergyError as error:
        raise InvalidGenesis("the file holds a value that has no encoding", actual=error) from error


def _canonical(value: object, depth: int) -> Encodable:
    if isinstance(value, (dict, list)) and depth <= 0:
        raise InvalidGenesis("the file nests too deeply", expected=f"at most {MAX_DEPTH} levels")
    if isinstance(value, dict):
        ordered = sorted(value, key=lambda key: encode(str(key)))
        return {str(key): _canonical(value[key], depth - 1) for key in ordered}
    if isinstance(value, list):
        return [_canonical(item, depth - 1) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    raise InvalidGenesis("a genesis file holds text, whole numbers, lists and objects only")


def _member(entry: object, roles: tuple[str, ...]) -> GenesisMember:
    if not isinstance(entry, dict):
        raise InvalidGenesis("a member is a JSON object", actual=entry)
    _known(entry, _MEMBER_FIELDS, "a member")
    name = entry.get("name")
    if not isinstance(name, str) or not check_name(name):
        raise InvalidGenesis("a member has a name", actual=name)
    where = f"member {name!r}"
    bus = entry.get("bus") or ""
    if not isinstance(bus, str) or (bus and not check_name(bus)):
        raise InvalidGenesis(f"{where}: the bus is a name", actual=bus)
    names = _list(entry, "roles")
    unknown = [role for role in names if role not in roles]
    if unknown:
        raise InvalidGenesis(f"{where} has unknown roles", expected=roles, actual=unknown)
    mask = sum(1 << place for place, role in enumerate(roles) if role in names)
    account = Account(
        _key(entry, "key", where),
        mask,
        ACTIVE,
        0,
        _amount(entry, "balance", where, TOKEN_DECIMALS),
        0,
        _amount(entry, "energy", where, KWH_DECIMALS),
        0,
    )
    node_key = _key(entry, "node_key", where, optional=True)
    node_proof = _hex(entry, "node_proof", where)
    if len(node_proof) != (NODE_PROOF_BYTES if node_key else 0):
        raise InvalidGenesis(f"{where}: a node key comes with a proof of {NODE_PROOF_BYTES} bytes")
    vote_key = _key(entry, "vote_key", where, optional=True)
    return GenesisMember(account, Member(name, bus, node_key, node_proof, vote_key, 0))


def _validate_members(members: tuple[GenesisMember, ...], roles: tuple[str, ...]) -> None:
    for what, values in (
        ("names", [entry.member.name for entry in members]),
        ("keys", [account_id(entry.account.key) for entry in members]),
        ("node keys", [entry.member.node_key for entry in members if entry.member.node_key]),
        ("vote keys", [entry.member.vote_key for entry in members if entry.member.vote_key]),
    ):
        if len(dict.fromkeys(values)) != len(values):
            raise InvalidGenesis(f"two members have the same {what}")
    for what, total in (
        ("balances", sum(entry.account.money_micro for entry in members)),
        ("energies", sum(entry.account.energy_milli_wh for entry in members)),
    ):
        if total > MAX_AMOUNT:
            raise InvalidGenesis(f"the {what} overflow", expected=MAX_AMOUNT, actual=total)
    bit = 1 << roles.index("validator") if "validator" in roles else 0
    for entry in members:
        if bool(entry.account.roles & bit) != bool(entry.member.vote_key):
            raise InvalidGenesis(
                f"member {entry.member.name!r}: the role 'validator' and a vote key go together"
            )
        if entry.member.vote_key in (entry.account.key, entry.member.node_key or b"-"):
            raise InvalidGenesis(
                f"member {entry.member.name!r} votes with the key of its account or node",
                hint="Give each purpose a key of its own.",
            )
    if not any(entry.member.vote_key for entry in members):
        raise InvalidGenesis(
            "a network needs at least one validator with a vote key",
            hint="`bitenergy testnet init` fills in keys for a template.",
        )


def _validate_operators(
    members: tuple[GenesisMember, ...], roles: tuple[str, ...], parameters: ChainParameters
) -> None:
    bit = 1 << roles.index("operator")
    operators = sum(1 for entry in members if entry.account.roles & bit)
    if operators < 1:
        raise InvalidGenesis("a network needs at least one operator")
    if operators < parameters.operator_threshold:
        raise InvalidGenesis(
            "fewer operators than 'operator_threshold' asks for",
            expected=f"at least {parameters.operator_threshold}",
            actual=operators,
        )


def _engine_name(engine: dict[str, object]) -> str:
    _known(engine, ("name", "parameters"), "'engine'")
    name = engine.get("name")
    if not isinstance(name, str) or not check_name(name):
        raise InvalidGenesis("'engine' has a name", expected="for example poa", actual=name)
    return name


def _engine_numbers(engine: dict[str, object]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for name, value in _dict(engine, "parameters").items():
        if type(value) is not int or not 0 <= value < 2**53:
            raise InvalidGenesis(f"engine parameter {name!r} is a whole number", actual=value)
        numbers[name] = value
    return numbers


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidGenesis("an object names a field twice", actual=[key for key, _ in pairs])
    return found


def _no_float(text: str) -> object:
    raise InvalidGenesis(
        "numbers are whole; write amounts as text", expected=f'"{text[:20]}"', actual=text[:20]
    )


def _known(found: dict[str, object], names: tuple[str, ...], where: str) -> None:
    unknown = [name for name in found if name not in names]
    if unknown:
        raise InvalidGenesis(f"{where} has unknown fields", expected=names, actual=unknown)


def _list(found: Mapping[str, object], name: str) -> list[object]:
    value = found.get(name, [])
    if not isinstance(value, list):
        raise InvalidGenesis(f"{name!r} is a list", actual=value)
    return value


def _dict(found: Mapping[str, object], name: str) -> dict[str, object]:
    value = found.get(name, {})
    if not isinstance(value, dict):
        raise InvalidGenesis(f"{name!r} is an object", actual=value)
    return value


def _amount(entry: dict[str, object], name: str, where: str, decimals: int) -> int:
    value = entry.get(name, "0")
    try:
        amount = parse_decimal(value, decimals) if isinstance(value, str) else -1
    except BitenergyError as error:
        raise InvalidGenesis(f"{where}: {name!r}: {error}") from error
    if not 0 <= amount <= MAX_AMOUNT:
        raise InvalidGenesis(
            f"{where}: {name!r} is an amount as text", expected='for example "1000.0"', actual=value
        )
    return amount


def _hex(entry: dict[str, object], name: str, where: str) -> bytes:
    value = entry.get(name) or ""
    try:
        return bytes.fromhex(value) if isinstance(value, str) else _not_hex(name, where, value)
    except ValueError:
        return _not_hex(name, where, value)


def _not_hex(name: str, where: str, value: object) -> bytes:
    raise InvalidGenesis(f"{where}: {name!r} is text of hexadecimal digits", actual=value)


def _key(entry: dict[str, object], name: str, where: str, *, optional: bool = False) -> bytes:
    key = _hex(entry, name, where)
    if not key and optional:
        return key
    if not check_public_key(key):
        raise InvalidGenesis(
            f"{where}: {name!r} is no Ed25519 public key",
            expected="32 bytes, canonical, of prime order",
            actual=key,
            hint="`bitenergy testnet init` fills in keys for a template.",
        )
    return key
