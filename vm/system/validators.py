"""The set of validators: who signs blocks, with which vote key and power."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from vm.overlay import StateReader
from vm.primitives.codec import Value, decode, encode_trusted, has_types
from vm.primitives.errors import DecodeError, InvariantViolation
from vm.primitives.hashing import TAG_VALIDATORS, tagged_hash

VALIDATORS_KEY: Final = b"v"
VALIDATORS_TYPE: Final = 5
VERSION: Final = 1
MAX_VALIDATORS: Final = 256
MAX_VALIDATORS_BYTES: Final = 65_536
_ENTRY_TYPES: Final = (bytes, int, bytes)


@dataclass(frozen=True, slots=True)
class Validator:
    """One of those who sign blocks."""

    vote_key: bytes
    """Public key of its votes, 32 bytes; never the key of its account or its node."""
    power: int
    """Voting power."""
    account: bytes
    """Id of its account, 20 bytes."""


def encode_validators(validators: Sequence[Validator]) -> bytes:
    """Return the canonical bytes of a set, in ascending order of account ids."""
    ordered = sorted(validators, key=lambda validator: validator.account)
    return encode_trusted(
        [VALIDATORS_TYPE, VERSION, [[v.vote_key, v.power, v.account] for v in ordered]]
    )


def decode_validators(data: bytes) -> tuple[Validator, ...]:
    """Return the set that `data` encodes; raises DecodeError."""
    value = decode(data, max_bytes=MAX_VALIDATORS_BYTES)
    match value:
        case (5, 1, tuple(entries)) if has_types(value, (int, int, tuple)):
            validators = tuple([_decode_validator(entry) for entry in entries])
        case _:
            raise DecodeError("not a set of validators", actual=data[:40])
    if not 1 <= len(validators) <= MAX_VALIDATORS:
        raise DecodeError(
            "too many validators, or none",
            expected=f"1 to {MAX_VALIDATORS}",
            actual=len(validators),
        )
    accounts = [validator.account for validator in validators]
    if accounts != sorted(accounts) or len(dict.fromkeys(accounts)) != len(accounts):
        raise DecodeError("validators stand in ascending order of accounts, each once")
    return validators


def validators_hash(data: bytes) -> bytes:
    """Return the hash of an encoded set, as headers carry it: 32 bytes."""
    return tagged_hash(TAG_VALIDATORS, data)


def signers_of(validators: Sequence[Validator]) -> list[tuple[bytes, bytes]]:
    """Return accounts and vote keys in order: what signatures are checked against."""
    return [(validator.account, validator.vote_key) for validator in validators]


def read_validators(state: StateReader) -> tuple[Validator, ...]:
    """Return the validators of the block after the one whose state this is."""
    data = state.get(VALIDATORS_KEY)
    if data is None:
        raise InvariantViolation("the state has no validators")
    return decode_validators(data)


def _decode_validator(entry: Value) -> Validator:
    if has_types(entry, _ENTRY_TYPES):
        key, power, account = cast(tuple[bytes, int, bytes], entry)
        if len(key) == 32 and len(account) == 20 and 0 < power < 2**53:
            return Validator(key, power, account)
    raise DecodeError("not a validator", expected="vote key, power, account", actual=entry)
