"""What nodes say to each other: what is too large is refused before anybody looks at it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.ledger.block import MAX_EVIDENCE, MAX_EVIDENCE_BYTES, Header
from node.ledger.certificate import MAX_CERTIFICATE_BYTES
from node.wire import CompactBlock, decode_compact_block, encode_compact_block
from vm.primitives.errors import DecodeError

HASH = bytes(32)
HEADER = Header(HASH, 5, 9, *[HASH] * 9, 0, bytes(20), b"")
LARGEST = CompactBlock(
    HEADER,
    b"c" * MAX_CERTIFICATE_BYTES,
    (b"e" * MAX_EVIDENCE_BYTES,) * MAX_EVIDENCE,
    (b"t" * 32,),
)


def test_the_largest_compact_block_comes_back() -> None:
    assert decode_compact_block(encode_compact_block(LARGEST)) == LARGEST


@pytest.mark.parametrize(
    "block",
    [
        replace(LARGEST, last_commit=b"c" * (MAX_CERTIFICATE_BYTES + 1)),
        replace(LARGEST, evidence=(b"e",) * (MAX_EVIDENCE + 1)),
        replace(LARGEST, evidence=(b"e" * (MAX_EVIDENCE_BYTES + 1),)),
    ],
)
def test_a_compact_block_with_larger_parts_is_refused(block: CompactBlock) -> None:
    with pytest.raises(DecodeError):
        decode_compact_block(encode_compact_block(block))
