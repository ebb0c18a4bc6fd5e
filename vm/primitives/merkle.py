"""A binary Merkle tree over a list of items, with the number of items bound into its root.

Leaves and inner nodes carry different tags, an odd node moves up unpaired (nothing is ever
repeated), and the root hashes the count with the top: no two lists share a root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from vm.primitives.errors import InvalidProof
from vm.primitives.hashing import (
    EMPTY_HASH,
    HASH_BYTES,
    TAG_MERKLE_LEAF,
    TAG_MERKLE_NODE,
    TAG_MERKLE_ROOT,
)

MAX_COUNT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class MerkleProof:
    """The way from one item to the root of its list."""

    index: int
    """Position of the item in the list, from 0."""
    count: int
    """Number of items in the list."""
    siblings: tuple[bytes, ...]
    """Hashes beside the way, from the leaf upwards, 32 bytes each."""


def merkle_root(items: Sequence[bytes]) -> bytes:
    """Return the 32-byte root of `items`; the empty list has a root of its own."""
    level = _leaves(items)
    while len(level) > 1:
        level = _parents(level)
    return _root(len(items), level[0] if level else EMPTY_HASH)


def merkle_proof(items: Sequence[bytes], index: int) -> MerkleProof:
    """Return the proof that `items[index]` stands at `index`; raises InvalidProof outside."""
    if not 0 <= index < len(items):
        raise InvalidProof("no such item", expected=f"0 to {len(items) - 1}", actual=index)
    level = _leaves(items)
    siblings: list[bytes] = []
    position = index
    while len(level) > 1:
        beside = position ^ 1
        if beside < len(level):
            siblings.append(level[beside])
        level = _parents(level)
        position //= 2
    return MerkleProof(index, len(items), tuple(siblings))


def verify_merkle_proof(root: bytes, item: bytes, proof: MerkleProof) -> bool:
    """Tell whether `proof` shows that `item` is in the list with `root`; the shape is strict."""
    if not 0 <= proof.index < proof.count <= MAX_COUNT:
        return False
    if any(len(sibling) != HASH_BYTES for sibling in proof.siblings):
        return False
    digest = sha256(TAG_MERKLE_LEAF + item).digest()
    position, width, used = proof.index, proof.count, 0
    while width > 1:
        if position ^ 1 < width:
            if used == len(proof.siblings):
                return False
            sibling = proof.siblings[used]
            used += 1
            pair = sibling + digest if position & 1 else digest + sibling
            digest = sha256(TAG_MERKLE_NODE + pair).digest()
        position //= 2
        width = (width + 1) // 2
    return used == len(proof.siblings) and _root(proof.count, digest) == root


def _leaves(items: Sequence[bytes]) -> list[bytes]:
    return [sha256(TAG_MERKLE_LEAF + item).digest() for item in items]


def _parents(level: list[bytes]) -> list[bytes]:
    pairs = zip(level[0::2], level[1::2], strict=False)
    parents = [sha256(TAG_MERKLE_NODE + left + right).digest() for left, right in pairs]
    if len(level) % 2:
        parents.append(level[-1])
    return parents


def _root(count: int, top: bytes) -> bytes:
    return sha256(TAG_MERKLE_ROOT + count.to_bytes(8, "big") + top).digest()
