"""What nodes say to each other beside the transport's own words: kinds of messages and payloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from consensus.messages import MAX_ROUND, NO_ROUND, Status
from node.ledger.block import (
    MAX_EVIDENCE,
    MAX_EVIDENCE_BYTES,
    MAX_HEADER_BYTES,
    Header,
    decode_header,
)
from node.ledger.certificate import MAX_CERTIFICATE_BYTES
from node.p2p.framing import MessageKind, Priority
from vm.primitives.codec import Value, decode, encode_trusted
from vm.primitives.errors import DecodeError
from vm.primitives.hashing import HASH_BYTES
from vm.primitives.integers import MAX_AMOUNT

VOTE: Final = 16
PROPOSAL: Final = 17
STATUS: Final = 18
CERTIFICATE: Final = 19
BLOCK: Final = 20
GET_BLOCK: Final = 21
GET_TRANSACTIONS: Final = 22
TRANSACTIONS: Final = 23
ANNOUNCE: Final = 24
GET_BLOCKS: Final = 25
BLOCKS: Final = 26
EVIDENCE: Final = 27
HEIGHT: Final = 28
BASE: Final = 48
GET_VOTES: Final = 49
VOTES: Final = 50

KINDS: Final = (
    MessageKind(VOTE, "vote", 256, Priority.URGENT),
    MessageKind(PROPOSAL, "proposal", 256, Priority.URGENT),
    MessageKind(STATUS, "status", 256, Priority.URGENT),
    MessageKind(CERTIFICATE, "certificate", 32_768, Priority.URGENT),
    MessageKind(BLOCK, "block", 4_194_304, Priority.URGENT),
    MessageKind(GET_BLOCK, "get_block", 64, Priority.URGENT),
    MessageKind(GET_TRANSACTIONS, "get_transactions", 1_048_576, Priority.URGENT),
    MessageKind(TRANSACTIONS, "transactions", 4_194_304),
    MessageKind(ANNOUNCE, "announce", 1_048_576),
    MessageKind(GET_BLOCKS, "get_blocks", 64),
    MessageKind(BLOCKS, "blocks", 12_582_912, Priority.BULK),
    MessageKind(EVIDENCE, "evidence", 1_024),
    MessageKind(HEIGHT, "height", 64),
    MessageKind(BASE, "base", 64),
    MessageKind(GET_VOTES, "get_votes", 64),
    MessageKind(VOTES, "votes", 4_096),
)

BLOCK_TYPE: Final = 22
STATUS_TYPE: Final = 23
RANGE_TYPE: Final = 24
BLOCKS_TYPE: Final = 25
VERSION: Final = 1
MAX_TRANSACTIONS_PER_MESSAGE: Final = 16_384
SYNC_BATCH_BLOCKS: Final = 64
SYNC_BATCH_BYTES: Final = 4_194_304


@dataclass(frozen=True, slots=True)
class CompactBlock:
    """A block that names its transactions, as nodes have most of them already."""

    header: Header
    """Its header."""
    last_commit: bytes
    """Canonical bytes of the parent's certificate, or empty."""
    evidence: tuple[bytes, ...]
    """Canonical bytes of each piece of evidence."""
    ids: tuple[bytes, ...]
    """Ids of its transactions, 32 bytes each, in order."""


@dataclass(frozen=True, slots=True)
class SyncedBlock:
    """A final block as a node hands it to one that was away."""

    header: bytes
    """Canonical bytes of the header."""
    certificate: bytes
    """Canonical bytes of the deciding certificate; empty under engines without one."""
    body: bytes
    """Canonical bytes of the body."""


def encode_compact_block(block: CompactBlock) -> bytes:
    """Return the payload of a compact block."""
    return encode_trusted(
        [
            BLOCK_TYPE,
            VERSION,
            block.header.encode(),
            block.last_commit,
            block.evidence,
            b"".join(block.ids),
        ]
    )


def decode_compact_block(payload: bytes) -> CompactBlock:
    """Return the compact block of a payload; raises DecodeError."""
    match decode(payload, max_bytes=len(payload), max_items=64, max_depth=3):
        case (22, 1, bytes(header), bytes(last_commit), tuple(evidence), bytes(ids)) if (
            len(header) <= MAX_HEADER_BYTES
            and len(last_commit) <= MAX_CERTIFICATE_BYTES
            and len(evidence) <= MAX_EVIDENCE
        ):
            pieces = tuple(
                item
                for item in evidence
                if isinstance(item, bytes) and len(item) <= MAX_EVIDENCE_BYTES
            )
            if len(pieces) == len(evidence):
                return CompactBlock(decode_header(header), last_commit, pieces, split_ids(ids))
    raise DecodeError("not a compact block of this version")


def split_ids(data: bytes) -> tuple[bytes, ...]:
    """Return the ids of 32 bytes that `data` strings together; raises DecodeError."""
    if len(data) % HASH_BYTES:
        raise DecodeError("ids have 32 bytes each", actual=len(data))
    return tuple([data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)])


def encode_transactions(transactions: Sequence[bytes]) -> bytes:
    """Return the payload of transactions: their canonical bytes in an array."""
    return encode_trusted(transactions)


def decode_transactions(payload: bytes) -> tuple[bytes, ...]:
    """Return the bytes of each transaction of a payload; raises DecodeError."""
    value = decode(
        payload, max_bytes=len(payload), max_items=MAX_TRANSACTIONS_PER_MESSAGE + 1, max_depth=1
    )
    if isinstance(value, tuple):
        found = tuple([item for item in value if isinstance(item, bytes)])
        if len(found) == len(value):
            return found
    raise DecodeError("transactions travel as an array of bytes")


def encode_status(status: Status) -> bytes:
    """Return the payload of a status; masks are byte strings, as they may pass 64 bits."""
    return encode_trusted(
        [
            STATUS_TYPE,
            VERSION,
            status.height,
            status.round,
            _mask_bytes(status.prevotes),
            _mask_bytes(status.precommits),
            status.has_proposal,
        ]
    )


def decode_status(payload: bytes) -> Status:
    """Return the status of a payload; raises DecodeError."""
    match decode(payload, max_bytes=256, max_items=16, max_depth=1):
        case (
            23,
            1,
            int(height),
            int(round_),
            bytes(prevotes),
            bytes(precommits),
            bool(has_proposal),
        ) if (
            0 <= height <= MAX_AMOUNT
            and NO_ROUND <= round_ <= MAX_ROUND
            and len(prevotes) <= 32
            and len(precommits) <= 32
        ):
            return Status(
                height,
                round_,
                int.from_bytes(prevotes, "big"),
                int.from_bytes(precommits, "big"),
                has_proposal,
            )
    raise DecodeError("not a status of this version")


def encode_range(first: int, count: int) -> bytes:
    """Return the payload of a request for `count` final blocks from height `first` on."""
    return encode_trusted([RANGE_TYPE, VERSION, first, count])


def decode_range(payload: bytes) -> tuple[int, int]:
    """Return (first height, count) of a request; raises DecodeError."""
    match decode(payload, max_bytes=64, max_items=8, max_depth=1):
        case (24, 1, int(first), int(count)) if 0 < first <= MAX_AMOUNT and count > 0:
            return first, min(count, SYNC_BATCH_BLOCKS)
    raise DecodeError("not a request for blocks of this version")


def encode_blocks(blocks: Sequence[SyncedBlock]) -> bytes:
    """Return the payload of final blocks."""
    return encode_trusted(
        [BLOCKS_TYPE, VERSION, [[item.header, item.certificate, item.body] for item in blocks]]
    )


def decode_blocks(payload: bytes) -> tuple[SyncedBlock, ...]:
    """Return the final blocks of a payload; raises DecodeError."""
    match decode(payload, max_bytes=len(payload), max_items=SYNC_BATCH_BLOCKS * 4 + 8, max_depth=4):
        case (25, 1, tuple(entries)):
            return tuple(_synced_block(entry) for entry in entries)
    raise DecodeError("not blocks of this version")


def encode_height(height: int) -> bytes:
    """Return the payload that tells a node's last final height, or the first that it has."""
    return height.to_bytes(8, "big")


def decode_height(payload: bytes) -> int:
    """Return the height of a payload; raises DecodeError."""
    if len(payload) != 8 or payload[0] >= 0x80:
        raise DecodeError("a height has 8 bytes", actual=payload)
    return int.from_bytes(payload, "big")


def _synced_block(entry: Value) -> SyncedBlock:
    match entry:
        case (bytes(header), bytes(certificate), bytes(body)):
            return SyncedBlock(header, certificate, body)
    raise DecodeError("a block is [header, certificate, body]")


def _mask_bytes(mask: int) -> bytes:
    return mask.to_bytes((mask.bit_length() + 7) // 8, "big")
