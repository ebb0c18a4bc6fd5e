"""Headers and bodies of blocks, and the hashes that bind them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Final

from vm.primitives.codec import Value, decode, encode_trusted, has_types
from vm.primitives.errors import DecodeError, InvariantViolation
from vm.primitives.hashing import EMPTY_HASH, TAG_HEADER, tagged_hash
from vm.primitives.integers import MAX_AMOUNT

HEADER_TYPE: Final = 2
BODY_TYPE: Final = 3
VERSION: Final = 1
MAX_HEADER_BYTES: Final = 2_048
MAX_BODY_BYTES: Final = 8_388_608
MAX_BODY_ITEMS: Final = 262_144
MAX_SEAL_BYTES: Final = 128
MAX_EVIDENCE: Final = 16
MAX_EVIDENCE_BYTES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Header:
    """What a block commits to."""

    genesis: bytes
    """Hash of the network's genesis, 32 bytes."""
    height: int
    """Number of the block; the genesis block is 0."""
    time_ms: int
    """The proposer's clock, above the parent's; milliseconds UTC."""
    parent: bytes
    """Id of the block before, 32 bytes."""
    last_commit: bytes
    """Hash of the commit certificate of the block before, 32 bytes; zeros where there is none."""
    evidence_root: bytes
    """Merkle root of the evidence in the body, 32 bytes."""
    transactions_root: bytes
    """Merkle root of the ids of the transactions, 32 bytes."""
    state_root: bytes
    """Root of the state after this block, 32 bytes."""
    receipts_root: bytes
    """Merkle root of the receipts, 32 bytes."""
    validators: bytes
    """Hash of the set that decides this block, 32 bytes."""
    next_validators: bytes
    """Hash of the set that decides the next block, 32 bytes."""
    parameters: bytes
    """Hash of the chain's parameters after this block, 32 bytes."""
    gas_used: int
    """Gas that the transactions used."""
    proposer: bytes
    """Account id of the proposer, 20 bytes."""
    seal: bytes
    """What the engine adds: proof of work, or nothing."""

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode_trusted([HEADER_TYPE, VERSION, *_read_fields(self)])

    def block_id(self) -> bytes:
        """Return the id of the block, 32 bytes."""
        return tagged_hash(TAG_HEADER, self.encode())


def with_seal(header: Header, seal: bytes) -> Header:
    """Return the header with another seal, hence another id."""
    return replace(header, seal=seal)


_NAMES = tuple(field.name for field in fields(Header))
_LENGTHS = dict.fromkeys(_NAMES, 32) | {"proposer": 20}
_NUMBERS = ("height", "time_ms", "gas_used")
_TYPES = (int, int, *[int if name in _NUMBERS else bytes for name in _NAMES])
_read_fields = attrgetter(*_NAMES)


def decode_header(data: bytes) -> Header:
    """Return the header of canonical bytes; raises DecodeError."""
    value = decode(data, max_bytes=MAX_HEADER_BYTES, max_items=32)
    if (
        not isinstance(value, tuple)
        or not has_types(value, _TYPES)
        or value[:2] != (HEADER_TYPE, VERSION)
    ):
        raise DecodeError("not a header of this version", expected=f"{len(_NAMES) + 2} fields")
    for name, item in zip(_NAMES, value[2:], strict=True):
        if isinstance(item, int):
            if not 0 <= item <= MAX_AMOUNT:
                raise DecodeError(f"header field {name!r} is a number from 0", actual=item)
        elif not isinstance(item, bytes):
            raise InvariantViolation("a header's types were checked")
        elif name == "seal":
            if len(item) > MAX_SEAL_BYTES:
                raise DecodeError("the seal is too long", expected=MAX_SEAL_BYTES, actual=len(item))
        elif len(item) != _LENGTHS[name]:
            raise DecodeError(
                f"header field {name!r} has the wrong length",
                expected=_LENGTHS[name],
                actual=len(item),
            )
    return Header(*value[2:])  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Body:
    """What a block carries, as bytes that nobody has looked into yet."""

    last_commit: bytes
    """Canonical bytes of the parent's commit certificate; empty where there is none."""
    evidence: tuple[bytes, ...]
    """Canonical bytes of each piece of evidence."""
    transactions: tuple[bytes, ...]
    """Canonical bytes of each transaction, in the order of execution."""

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode_trusted(
            [BODY_TYPE, VERSION, self.last_commit, self.evidence, self.transactions]
        )


def decode_body(data: bytes) -> Body:
    """Return the body of canonical bytes; raises DecodeError."""
    value = decode(data, max_bytes=MAX_BODY_BYTES, max_items=MAX_BODY_ITEMS, max_depth=4)
    match value:
        case (3, 1, bytes(last_commit), tuple(evidence), tuple(transactions)) if has_types(
            value, (int, int, bytes, tuple, tuple)
        ):
            return Body(
                last_commit,
                _byte_strings(evidence, MAX_EVIDENCE, MAX_EVIDENCE_BYTES),
                _byte_strings(transactions, MAX_BODY_ITEMS, MAX_BODY_BYTES),
            )
    raise DecodeError("not a block body of this version")


def _byte_strings(items: tuple[Value, ...], most: int, longest: int) -> tuple[bytes, ...]:
    if len(items) > most:
        raise DecodeError("too many items in the body", expected=most, actual=len(items))
    found = tuple(item for item in items if type(item) is bytes and len(item) <= longest)
    if len(found) != len(items):
        raise DecodeError("the body holds something that is not bytes, or too long")
    return found


def hash_or_empty(domain: bytes, data: bytes) -> bytes:
    """Return the tagged hash of `data`, or 32 zeros where there is none."""
    return tagged_hash(domain, data) if data else EMPTY_HASH
