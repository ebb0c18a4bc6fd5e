"""What nodes say to each other about snapshots: kinds of messages and their payloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.ledger.block import MAX_HEADER_BYTES
from node.ledger.certificate import MAX_CERTIFICATE_BYTES
from node.p2p.framing import MessageKind, Priority
from node.snapshot.format import MAX_CHUNK_BYTES, MAX_DEPTH, MAX_MANIFEST_BYTES, MAX_OUTLINE_BYTES
from vm.primitives.codec import decode, encode_trusted
from vm.primitives.errors import DecodeError
from vm.primitives.integers import MAX_AMOUNT
from vm.system.validators import MAX_VALIDATORS_BYTES

GET_SNAPSHOTS: Final = 40
SNAPSHOTS: Final = 41
GET_CHANGES: Final = 42
CHANGES: Final = 43
GET_CHUNK: Final = 44
CHUNK: Final = 45
GET_HEADER: Final = 46
HEADER: Final = 47

MAX_OFFERED: Final = 4
MAX_CHANGES_BYTES: Final = 1_048_576
_PART_BYTES: Final = max(MAX_CHUNK_BYTES, MAX_OUTLINE_BYTES)

SNAPSHOT_KINDS: Final = (
    MessageKind(GET_SNAPSHOTS, "get_snapshots", 64),
    MessageKind(SNAPSHOTS, "snapshots", MAX_OFFERED * (MAX_MANIFEST_BYTES + 8) + 16),
    MessageKind(GET_CHANGES, "get_changes", 64),
    MessageKind(CHANGES, "changes", 2 * MAX_CHANGES_BYTES),
    MessageKind(GET_CHUNK, "get_chunk", 64),
    MessageKind(CHUNK, "chunk", _PART_BYTES + 64, Priority.BULK),
    MessageKind(GET_HEADER, "get_header", 64),
    MessageKind(HEADER, "header", MAX_HEADER_BYTES),
)

OFFERS_TYPE: Final = 64
PART_REQUEST_TYPE: Final = 65
PART_TYPE: Final = 66
CHANGES_TYPE: Final = 67
VERSION: Final = 1
OUTLINE_PATH: Final = ""
"""Asks for the outline instead of a chunk."""


@dataclass(frozen=True, slots=True)
class ValidatorChange:
    """A block after which other validators decide."""

    header: bytes
    """Canonical bytes of its header."""
    certificate: bytes
    """Canonical bytes of the certificate that decided it."""
    validators: bytes
    """Canonical bytes of the set that decides from the next block on."""


def encode_offers(manifests: Sequence[bytes]) -> bytes:
    """Return the payload that offers snapshots by their manifests."""
    return encode_trusted([OFFERS_TYPE, VERSION, list(manifests)])


def decode_offers(payload: bytes) -> tuple[bytes, ...]:
    """Return the manifests of an offer; raises DecodeError."""
    match decode(payload, max_bytes=len(payload), max_items=MAX_OFFERED + 8, max_depth=2):
        case (64, 1, tuple(entries)):
            found = tuple([entry for entry in entries if isinstance(entry, bytes)])
            if len(found) == len(entries):
                return found
    raise DecodeError("not an offer of snapshots of this version")


def encode_part_request(height: int, path: str) -> bytes:
    """Return the payload that asks for a chunk, or the outline, of the snapshot at a height."""
    return encode_trusted([PART_REQUEST_TYPE, VERSION, height, path])


def decode_part_request(payload: bytes) -> tuple[int, str]:
    """Return (height, path) of a request; raises DecodeError."""
    match decode(payload, max_bytes=64, max_items=8, max_depth=1):
        case (65, 1, int(height), str(path)) if 0 < height <= MAX_AMOUNT and is_path(path):
            return height, path
    raise DecodeError("not a request for a part of a snapshot of this version")


def encode_part(height: int, path: str, data: bytes) -> bytes:
    """Return the payload of a part; empty `data` says that it is not here."""
    return encode_trusted([PART_TYPE, VERSION, height, path, data])


def decode_part(payload: bytes) -> tuple[int, str, bytes]:
    """Return (height, path, bytes) of a part; raises DecodeError."""
    match decode(payload, max_bytes=len(payload), max_items=8, max_depth=1):
        case (66, 1, int(height), str(path), bytes(data)) if is_path(path):
            return height, path, data
    raise DecodeError("not a part of a snapshot of this version")


def encode_changes(changes: Sequence[ValidatorChange]) -> bytes:
    """Return the payload of changes of the validators, in order of heights."""
    entries = [[change.header, change.certificate, change.validators] for change in changes]
    return encode_trusted([CHANGES_TYPE, VERSION, entries])


def decode_changes(payload: bytes) -> tuple[ValidatorChange, ...]:
    """Return the changes of a payload; raises DecodeError."""
    value = decode(payload, max_bytes=len(payload), max_items=16_384, max_depth=3)
    changes: list[ValidatorChange] = []
    match value:
        case (67, 1, tuple(entries)):
            for entry in entries:
                match entry:
                    case (bytes(header), bytes(certificate), bytes(validators)) if (
                        len(certificate) <= MAX_CERTIFICATE_BYTES
                        and len(validators) <= MAX_VALIDATORS_BYTES
                    ):
                        changes.append(ValidatorChange(header, certificate, validators))
                    case _:
                        raise DecodeError("a change is [header, certificate, validators]")
            return tuple(changes)
    raise DecodeError("not changes of validators of this version")


def encode_number(number: int) -> bytes:
    """Return a height as the payload of a request, 8 bytes."""
    return number.to_bytes(8, "big")


def decode_number(payload: bytes) -> int:
    """Return the height of a request; raises DecodeError."""
    if len(payload) != 8 or payload[0] >= 0x80:
        raise DecodeError("a height has 8 bytes", actual=payload)
    return int.from_bytes(payload, "big")


def is_path(text: str) -> bool:
    """Tell whether a text is the path of a part."""
    return len(text) <= MAX_DEPTH and all(digit in "0123456789abcdef" for digit in text)
