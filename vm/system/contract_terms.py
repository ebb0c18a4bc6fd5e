"""The terms of contracts as genesis states them and as votes change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from vm.module import Section
from vm.primitives.codec import Value
from vm.primitives.errors import CallError
from vm.primitives.genesis_fields import read_object
from vm.primitives.hashing import HASH_BYTES
from vm.system.contract_records import Contract, ContractTerms

MAX_DEPOSIT_MICRO_PER_BYTE: Final = 10**12
CODE_HASH: Final = "code_hash"
_FIELDS: Final = ("deploy_roles", "deposit_per_byte", "upgrade_needs_vote")
_CHANGEABLE: Final = ("deploy_roles", "deposit_micro_per_byte", "upgrade_needs_vote")


def read_section(section: Section, roles: Sequence[str]) -> ContractTerms:
    """Return the terms of a genesis section; raises InvalidGenesis."""
    fields = read_object(section, "the section 'contracts'", _FIELDS)
    names = fields.entries("deploy_roles", most=len(roles))
    if not names or any(name not in roles for name in names):
        raise fields.refusal("deploy_roles", "lists roles of the network", ", ".join(roles))
    deposit = fields.decimal("deposit_per_byte", default="0", most=MAX_DEPOSIT_MICRO_PER_BYTE)
    return ContractTerms(_mask(roles, names), deposit, fields.flag("upgrade_needs_vote"))


def changed_terms(
    terms: ContractTerms, roles: Sequence[str], values: Mapping[str, Value]
) -> ContractTerms:
    """Return the terms with other values; raises CallError `invalid_parameters`."""
    for name, value in values.items():
        if name == "deploy_roles":
            names = value.split(",") if isinstance(value, str) else []
            if not names or any(role not in roles for role in names):
                raise _refusal(name, f"some of {','.join(roles)}, with commas", value)
            terms = replace(terms, deploy_roles=_mask(roles, names))
        elif name == "deposit_micro_per_byte":
            if type(value) is not int or not 0 <= value <= MAX_DEPOSIT_MICRO_PER_BYTE:
                raise _refusal(name, f"0 to {MAX_DEPOSIT_MICRO_PER_BYTE}", value)
            terms = replace(terms, deposit_micro_per_byte=value)
        elif name == "upgrade_needs_vote":
            if type(value) is not int or value not in (0, 1):
                raise _refusal(name, "0 or 1", value)
            terms = replace(terms, upgrade_needs_vote=value == 1)
        else:
            raise _refusal(name, ", ".join(_CHANGEABLE), name)
    return terms


def parse_code_hash(record: Contract, values: Mapping[str, Value]) -> bytes:
    """Return the hash of the code that a vote makes way for; raises CallError."""
    text = values.get(CODE_HASH)
    if record.is_frozen:
        raise CallError("frozen", "the contract's code can not be replaced")
    if list(values) != [CODE_HASH] or not isinstance(text, str) or not _is_hash(text):
        raise _refusal(CODE_HASH, f"{CODE_HASH} and {2 * HASH_BYTES} hexadecimal digits", text)
    return bytes.fromhex(text)


def _is_hash(text: str) -> bool:
    return len(text) == 2 * HASH_BYTES and all(letter in "0123456789abcdef" for letter in text)


def _mask(roles: Sequence[str], names: Sequence[object]) -> int:
    return sum(1 << place for place, role in enumerate(roles) if role in names)


def _refusal(name: str, expected: str, actual: object) -> CallError:
    return CallError(
        "invalid_parameters",
        f"contracts: {name!r} does not fit",
        expected=expected,
        actual=actual,
    )
