"""The authenticated state: a sparse Merkle tree of arity 4 over hashed keys.

Definition. A leaf stands at the path that the 256 bits of its key's hash spell, two bits a level;
its hash binds that key hash and the hash of its value. A subtree without a leaf is 32 zero bytes;
a subtree with one leaf is that leaf; any other is the hash of its four children. So the root
depends on the set of (key, value) pairs alone, not on how they came to be.

Storage. Two levels make a page of 16 slots, kept under its path in hexadecimal digits. A slot is
empty, a child page (its hash, 32 bytes) or a leaf (leaf hash, key hash and value hash, 96 bytes).
A batch of changes loads, hashes and writes each page on its way once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from vm.overlay import INDEX_SPACE
from vm.primitives.errors import InvariantViolation
from vm.primitives.hashing import (
    EMPTY_HASH,
    HASH_BYTES,
    TAG_STATE_KEY,
    TAG_STATE_LEAF,
    TAG_STATE_NODE,
    TAG_STATE_VALUE,
)

LEAF_BYTES: Final = 3 * HASH_BYTES
PAGE_SLOTS: Final = 16
_NO_SLOT: Final = b""

PageReader = Callable[[str], bytes | None]
"""Returns the stored page at a path of hexadecimal digits, or None."""
_Change = tuple[str, bytes]
"""Key hash in hexadecimal digits, and the new leaf (96 bytes, or empty to delete)."""


@dataclass(frozen=True, slots=True)
class TreeUpdate:
    """What a batch of changes does to the tree."""

    root: bytes
    """The new root, 32 bytes."""
    pages: dict[str, bytes | None]
    """Pages that changed, by path; None deletes."""


def key_hash(key: bytes) -> bytes:
    """Return where a key stands in the tree, 32 bytes."""
    return sha256(TAG_STATE_KEY + key).digest()


def value_hash(value: bytes) -> bytes:
    """Return the hash of a value, 32 bytes."""
    return sha256(TAG_STATE_VALUE + value).digest()


def leaf_hash(key_digest: bytes, value_digest: bytes) -> bytes:
    """Return the hash of a leaf, 32 bytes."""
    return sha256(TAG_STATE_LEAF + key_digest + value_digest).digest()


def node_hash(children: bytes) -> bytes:
    """Return the hash of an inner node from its four children's hashes, 128 bytes in one."""
    return sha256(TAG_STATE_NODE + children).digest()


def update_tree(read_page: PageReader, changes: Mapping[bytes, bytes | None]) -> TreeUpdate:
    """Return the tree after `changes` (state key to value, None deletes).

    Keys of the index space are left out: they are not authenticated.
    """
    batch: list[_Change] = []
    for key, value in changes.items():
        if key[:1] == INDEX_SPACE:
            continue
        digest = sha256(TAG_STATE_KEY + key).digest()
        leaf = _NO_SLOT
        if value is not None:
            value_digest = sha256(TAG_STATE_VALUE + value).digest()
            tail = digest + value_digest
            leaf = sha256(TAG_STATE_LEAF + tail).digest() + tail
        batch.append((digest.hex(), leaf))
    batch.sort()
    pages: dict[str, bytes | None] = {}
    if not batch:
        return TreeUpdate(tree_root(read_page), pages)
    slot = _update_page(read_page, pages, "", batch, is_stored=True)
    return TreeUpdate(slot[:HASH_BYTES] or EMPTY_HASH, pages)


def tree_root(read_page: PageReader) -> bytes:
    """Return the root of the stored tree, 32 bytes."""
    stored = read_page("")
    if stored is None:
        return EMPTY_HASH
    slots = unpack_page(stored)
    filled = [slot for slot in slots if slot]
    if len(filled) == 1 and len(filled[0]) == LEAF_BYTES:
        return filled[0][:HASH_BYTES]
    return page_hash(slots)


def _update_page(
    read_page: PageReader,
    pages: dict[str, bytes | None],
    path: str,
    batch: list[_Change],
    *,
    is_stored: bool,
) -> bytes:
    """Apply `batch` below `path`, record the pages that change, return the slot for the parent."""
    stored = read_page(path) if is_stored else None
    if stored is None and is_stored and path:
        raise InvariantViolation(f"the state tree has no page at {path}: the database is damaged")
    slots = [_NO_SLOT] * PAGE_SLOTS if stored is None else unpack_page(stored)
    depth = len(path)
    start, count = 0, len(batch)
    while start < count:
        digit = batch[start][0][depth]
        stop = start + 1
        while stop < count and batch[stop][0][depth] == digit:
            stop += 1
        place = int(digit, 16)
        slots[place] = _update_slot(read_page, pages, path + digit, slots[place], batch[start:stop])
        start = stop
    filled = [slot for slot in slots if slot]
    if not filled or (path and len(filled) == 1 and len(filled[0]) == LEAF_BYTES):
        if is_stored:
            pages[path] = None
        return filled[0] if filled else _NO_SLOT
    pages[path] = pack_page(slots)
    if len(filled) == 1 and len(filled[0]) == LEAF_BYTES:
        return filled[0]
    return page_hash(slots)


def _update_slot(
    read_page: PageReader,
    pages: dict[str, bytes | None],
    path: str,
    slot: bytes,
    batch: list[_Change],
) -> bytes:
    if len(slot) == HASH_BYTES:
        return _update_page(read_page, pages, path, batch, is_stored=True)
    if slot:
        standing = slot[HASH_BYTES : 2 * HASH_BYTES].hex()
        if all(digits != standing for digits, _ in batch):
            batch = sorted([*batch, (standing, slot)])
    if len(batch) == 1:
        return batch[0][1]
    leaves = [change for change in batch if change[1]]
    if len(leaves) <= 1:
        return leaves[0][1] if leaves else _NO_SLOT
    return _update_page(read_page, pages, path, leaves, is_stored=False)


def page_hash(slots: list[bytes]) -> bytes:
    """Return the hash of a page with its 16 slots: two levels of the tree, 32 bytes."""
    tops = TAG_STATE_NODE
    for start in (0, 4, 8, 12):
        first, second, third, fourth = slots[start : start + 4]
        leaf = first or second or third or fourth
        size = len(first) + len(second) + len(third) + len(fourth)
        if not size:
            tops += EMPTY_HASH
        elif len(leaf) == LEAF_BYTES == size:
            tops += leaf[:HASH_BYTES]
        else:
            tops += sha256(
                TAG_STATE_NODE
                + (first[:HASH_BYTES] or EMPTY_HASH)
                + (second[:HASH_BYTES] or EMPTY_HASH)
                + (third[:HASH_BYTES] or EMPTY_HASH)
                + (fourth[:HASH_BYTES] or EMPTY_HASH)
            ).digest()
    return sha256(tops).digest()


def pack_page(slots: list[bytes]) -> bytes:
    """Return the stored form of a page: a bit mask of leaves, one of children, the slots."""
    leaves = children = 0
    bit = 1
    for slot in slots:
        if slot:
            if len(slot) == LEAF_BYTES:
                leaves |= bit
            else:
                children |= bit
        bit <<= 1
    return leaves.to_bytes(2, "big") + children.to_bytes(2, "big") + b"".join(slots)


def unpack_page(data: bytes) -> list[bytes]:
    """Return the 16 slots of a stored page."""
    leaves = data[0] << 8 | data[1]
    filled = leaves | data[2] << 8 | data[3]
    slots = [_NO_SLOT] * PAGE_SLOTS
    position, place = 4, 0
    while filled:
        if filled & 1:
            end = position + (LEAF_BYTES if leaves & 1 else HASH_BYTES)
            slots[place] = data[position:end]
            position = end
        filled >>= 1
        leaves >>= 1
        place += 1
    return slots
