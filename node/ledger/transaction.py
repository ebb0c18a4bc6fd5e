"""A transaction: up to 64 calls that one member signs, and that succeed or fail together."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from vm.primitives.codec import (
    MAX_ITEMS,
    SCAN_FREE_BYTES,
    Encodable,
    Value,
    decode,
    encode_trusted,
    unpack,
    validate_depth,
    validate_shape,
)
from vm.primitives.errors import DecodeError, InvalidTransaction
from vm.primitives.hashing import TAG_TRANSACTION, TAG_TRANSACTION_SIGN, tagged_hash
from vm.primitives.integers import MAX_AMOUNT
from vm.primitives.signatures import SIGNATURE_BYTES, sign
from vm.runtime import Call

TRANSACTION_TYPE: Final = 1
VERSION: Final = 1
MAX_CALLS: Final = 64
MAX_TRANSACTION_BYTES: Final = 65_536
MAX_ARGUMENT_DEPTH: Final = 8
_MAX_NAME_BYTES = 32

# An array of 11 items, type 1, version 1; without its signature the array has 10 items.
_SIGNED_START = b"\x9b\x01\x01"
_UNSIGNED_ARRAY = b"\x9a"
_FIELD_TYPES = (int, int, bytes, bytes, bytes, int, int, int, int, tuple, bytes)
# The signature's own bytes: a two-byte header and 64 bytes.
_SIGNATURE_TAIL = SIGNATURE_BYTES + 2


# mutable: nothing changes it, but there is one per transaction, and freezing doubles its cost
@dataclass(slots=True)
class Transaction:
    """A well-formed transaction; whether its signature and nonce hold is another question."""

    genesis: bytes
    """Hash of the network it is for, 32 bytes."""
    sender: bytes
    """Account id, 20 bytes."""
    key: bytes
    """The key it is signed with, 32 bytes: the account's current one."""
    nonce: int
    """The account's number of this transaction, from 0."""
    gas_limit: int
    """Most gas that it may use."""
    max_fee_micro: int
    """Most fee that it may pay, micro-tokens."""
    expiry_height: int
    """Last height at which it may stand in a block."""
    calls: tuple[Call, ...]
    """What it asks for, in order, all or nothing."""
    signature: bytes
    """Ed25519 signature of `digest`, 64 bytes."""
    raw: bytes
    """Its canonical bytes, signature included."""
    id: bytes
    """Hash of `raw`, 32 bytes."""
    digest: bytes
    """What the signature signs, 32 bytes."""


def decode_transaction(raw: bytes) -> Transaction:
    """Return the transaction of canonical bytes; raises DecodeError or InvalidTransaction.

    Decodes once and hashes once; the signature is not checked here.
    """
    if len(raw) > SCAN_FREE_BYTES:
        if len(raw) > MAX_TRANSACTION_BYTES:
            raise DecodeError(
                "the transaction is too long", expected=MAX_TRANSACTION_BYTES, actual=len(raw)
            )
        validate_shape(raw, max_items=MAX_ITEMS, max_depth=MAX_ARGUMENT_DEPTH + 4)
    if raw[:3] != _SIGNED_START:
        raise DecodeError(
            "not a transaction of this version", expected="[1, 1, ...], 11 items", actual=raw[:3]
        )
    value = unpack(raw)
    if encode_trusted(value) != raw:
        raise DecodeError(
            "the encoding is not canonical", hint="Encode each value in its shortest form."
        )
    return _from_fields(value, raw)


def _from_fields(value: Value, raw: bytes) -> Transaction:
    if type(value) is not tuple or tuple(map(type, value)) != _FIELD_TYPES:
        raise InvalidTransaction("a field is of the wrong kind")
    genesis: bytes
    sender: bytes
    key: bytes
    nonce: int
    gas_limit: int
    max_fee: int
    expiry: int
    calls: tuple[Value, ...]
    signature: bytes
    _, _, genesis, sender, key, nonce, gas_limit, max_fee, expiry, calls, signature = value  # type: ignore[assignment]
    if len(genesis) != 32 or len(sender) != 20 or len(key) != 32 or len(signature) != 64:
        raise InvalidTransaction("a field has the wrong length")
    if not (
        0 <= nonce <= MAX_AMOUNT
        and 0 <= gas_limit <= MAX_AMOUNT
        and 0 <= max_fee <= MAX_AMOUNT
        and 0 <= expiry <= MAX_AMOUNT
    ):
        raise InvalidTransaction("a number leaves its range", expected=f"0 to {MAX_AMOUNT}")
    validate_calls(calls)
    digest = sha256(
        TAG_TRANSACTION_SIGN + _UNSIGNED_ARRAY + raw[1 : len(raw) - _SIGNATURE_TAIL]
    ).digest()
    return Transaction(
        genesis,
        sender,
        key,
        nonce,
        gas_limit,
        max_fee,
        expiry,
        calls,  # type: ignore[arg-type]
        signature,
        raw,
        sha256(TAG_TRANSACTION + raw).digest(),
        digest,
    )


def decode_calls(data: bytes) -> tuple[Call, ...]:
    """Return the calls of canonical bytes; raises DecodeError or InvalidTransaction."""
    calls = decode(data, max_bytes=MAX_TRANSACTION_BYTES, max_depth=MAX_ARGUMENT_DEPTH + 3)
    if type(calls) is not tuple:
        raise InvalidTransaction("calls are an array")
    validate_calls(calls)
    return calls  # type: ignore[return-value]


def validate_calls(calls: tuple[Value, ...]) -> None:
    """Raise InvalidTransaction unless `calls` are 1 to MAX_CALLS well-formed calls."""
    if not 1 <= len(calls) <= MAX_CALLS:
        raise InvalidTransaction("too many calls or none", expected="1 to 64", actual=len(calls))
    for call in calls:
        _validate_call(call)


def _validate_call(call: Value) -> None:
    if (
        type(call) is not tuple
        or len(call) != 3
        or type(call[0]) is not str
        or type(call[1]) is not str
        or type(call[2]) is not tuple
        or len(call[0]) > _MAX_NAME_BYTES
        or len(call[1]) > _MAX_NAME_BYTES
    ):
        raise InvalidTransaction("a call is [module, method, [arguments]]")
    validate_depth(call[2], MAX_ARGUMENT_DEPTH)


def sign_transaction(
    seed: bytes,
    *,
    genesis: bytes,
    sender: bytes,
    key: bytes,
    nonce: int,
    gas_limit: int,
    max_fee_micro: int,
    expiry_height: int,
    calls: tuple[Call, ...],
) -> Transaction:
    """Return a transaction signed with the key pair of `seed` (32 bytes)."""
    fields: list[Encodable] = [
        TRANSACTION_TYPE,
        VERSION,
        genesis,
        sender,
        key,
        nonce,
        gas_limit,
        max_fee_micro,
        expiry_height,
        calls,
    ]
    signature = sign(seed, tagged_hash(TAG_TRANSACTION_SIGN, encode_trusted(fields)))
    return decode_transaction(encode_trusted([*fields, signature]))
