"""The bytes of a snapshot: its manifest, the outline of its tree, and its chunks.

A snapshot is the state after one final block, cut by the state tree: a chunk holds every pair of
key and value whose key hash begins with the chunk's path, `depth` hexadecimal digits. The outline
holds the tree's pages above that. The outline is checked against the header's state root, a chunk
against the outline, so that a chunk proves itself alone, whoever sent it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from node.ledger.block import MAX_HEADER_BYTES, Header, decode_header
from node.ledger.certificate import MAX_CERTIFICATE_BYTES
from node.ledger.state_tree import (
    LEAF_BYTES,
    PAGE_SLOTS,
    key_hash,
    leaf_hash,
    pack_page,
    page_hash,
    tree_root,
    unpack_page,
    update_tree,
)
from vm.overlay import INDEX_SPACE
from vm.primitives.codec import decode, encode_trusted
from vm.primitives.errors import DecodeError, InvalidProof
from vm.primitives.hashing import EMPTY_HASH, HASH_BYTES

MANIFEST_TYPE: Final = 61
OUTLINE_TYPE: Final = 62
CHUNK_TYPE: Final = 63
VERSION: Final = 1
MAX_DEPTH: Final = 5
MAX_CHUNK_BYTES: Final = 8_388_608
MAX_CHUNK_LEAVES: Final = 262_144
MAX_OUTLINE_BYTES: Final = 12_000_000
MAX_MANIFEST_BYTES: Final = MAX_HEADER_BYTES + MAX_CERTIFICATE_BYTES + 64
_DIGITS: Final = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot is of."""

    header: Header
    """Header of the block whose state it is."""
    certificate: bytes
    """Canonical bytes of the certificate that decided the block; empty under engines without."""
    depth: int
    """Hexadecimal digits in the path of a chunk, 1 to MAX_DEPTH."""

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode_trusted(
            [MANIFEST_TYPE, VERSION, self.header.encode(), self.certificate, self.depth]
        )


def decode_manifest(data: bytes) -> Manifest:
    """Return the manifest of canonical bytes; raises DecodeError."""
    match decode(data, max_bytes=MAX_MANIFEST_BYTES, max_items=8, max_depth=1):
        case (61, 1, bytes(header), bytes(certificate), int(depth)) if 1 <= depth <= MAX_DEPTH:
            return Manifest(decode_header(header), certificate, depth)
    raise DecodeError("not a manifest of a snapshot of this version")


def encode_outline(pages: Mapping[str, bytes]) -> bytes:
    """Return the canonical bytes of the pages above the chunks, by path."""
    return encode_trusted([OUTLINE_TYPE, VERSION, [[path, pages[path]] for path in sorted(pages)]])


def read_outline(data: bytes, root: bytes, depth: int) -> dict[str, bytes]:
    """Return the hash (32 bytes) of each chunk that is not empty, by its path.

    Raises DecodeError, or InvalidProof unless the outline is that of a tree with this root.
    """
    pages = _decode_outline(data)
    if tree_root(pages.get) != root:
        raise InvalidProof("the outline is not that of the state root", expected=root)
    chunks: dict[str, bytes] = {}
    waiting = [""] if pages else []
    seen = 0
    while waiting:
        path = waiting.pop()
        seen += 1
        for digit, slot in zip(_DIGITS, unpack_page(pages[path]), strict=True):
            below = path + digit
            if not slot:
                continue
            if len(slot) == LEAF_BYTES:
                chunks[_leaf_path(below, slot, depth)] = slot[:HASH_BYTES]
            elif len(below) == depth:
                chunks[below] = slot
            elif below in pages and page_hash(unpack_page(pages[below])) == slot:
                waiting.append(below)
            else:
                raise InvalidProof("the outline lacks a page, or holds a wrong one", actual=below)
    if seen != len(pages):
        raise InvalidProof("the outline holds pages of another tree", expected=seen)
    return chunks


def encode_chunk(leaves: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the canonical bytes of a chunk: its pairs in ascending order of keys."""
    ordered = [item for pair in sorted(leaves) for item in pair]
    return encode_trusted([CHUNK_TYPE, VERSION, ordered])


@dataclass(frozen=True, slots=True)
class ProvedChunk:
    """A chunk that belongs to the state root."""

    leaves: dict[bytes, bytes]
    """Its pairs of key and value."""
    pages: dict[str, bytes]
    """The tree's pages below its path, by path."""
    slot: bytes
    """What the page above holds in its place: a hash of 32 bytes, or a leaf of 96."""


def read_chunk(data: bytes, path: str, expected: bytes) -> ProvedChunk:
    """Return the chunk at `path` whose hash the outline gives.

    Raises DecodeError, or InvalidProof unless it holds exactly the pairs that belong there.
    """
    leaves = _decode_leaves(data)
    pages = {
        place: page
        for place, page in update_tree(_no_page, leaves).pages.items()
        if page is not None
    }
    slot = _slot_at(pages, path)
    if slot[:HASH_BYTES] != expected:
        raise InvalidProof("a chunk is not that of the state root", actual=path)
    if any(not key_hash(key).hex().startswith(path) for key in leaves):
        raise InvalidProof("a chunk holds what belongs to another", actual=path)
    below = {place: page for place, page in pages.items() if place.startswith(path)}
    return ProvedChunk(leaves, below, slot)


def join_slots(slots: Mapping[str, bytes], depth: int) -> tuple[bytes, dict[str, bytes]]:
    """Return the root of a tree and its pages above `depth`, from the slots of its chunks."""
    pages: dict[str, bytes] = {}
    level = dict(slots)
    for length in range(depth - 1, -1, -1):
        groups: dict[str, list[bytes]] = {}
        for path, slot in level.items():
            group = groups.setdefault(path[:length], [b""] * PAGE_SLOTS)
            group[int(path[length], 16)] = slot
        level = {}
        for path, group in groups.items():
            filled = [slot for slot in group if slot]
            if path and len(filled) == 1 and len(filled[0]) == LEAF_BYTES:
                level[path] = filled[0]
                continue
            pages[path] = pack_page(group)
            level[path] = page_hash(group)
    return (tree_root(pages.get) if pages else EMPTY_HASH), pages


def _no_page(path: str) -> bytes | None:
    return None


def _slot_at(pages: Mapping[str, bytes], path: str) -> bytes:
    """Return the slot of the subtree at `path` of a tree with nothing beside it."""
    page = pages.get(path)
    if page is not None:
        return page_hash(unpack_page(page))
    filled = [slot for slot in unpack_page(pages[""]) if slot] if "" in pages else []
    if len(filled) == 1 and len(filled[0]) == LEAF_BYTES:
        return filled[0]
    return b""


def _decode_outline(data: bytes) -> dict[str, bytes]:
    value = decode(data, max_bytes=MAX_OUTLINE_BYTES, max_items=1_048_576, max_depth=3)
    pages: dict[str, bytes] = {}
    match value:
        case (62, 1, tuple(entries)):
            for entry in entries:
                match entry:
                    case (str(path), bytes(page)) if len(path) < MAX_DEPTH and path not in pages:
                        _validate_page(page)
                        pages[path] = page
                    case _:
                        raise DecodeError("a page of an outline is [path, bytes]")
            return pages
    raise DecodeError("not an outline of this version")


def _validate_page(page: bytes) -> None:
    """Raise DecodeError unless a page is the one form of its slots, its leaves hashed rightly."""
    leaves, children = int.from_bytes(page[:2], "big"), int.from_bytes(page[2:4], "big")
    size = 4 + LEAF_BYTES * leaves.bit_count() + HASH_BYTES * children.bit_count()
    if len(page) != size or leaves & children:
        raise DecodeError("a page of an outline is damaged", expected=size, actual=len(page))
    for slot in unpack_page(page):
        if len(slot) == LEAF_BYTES:
            tail = slot[HASH_BYTES:]
            if leaf_hash(tail[:HASH_BYTES], tail[HASH_BYTES:]) != slot[:HASH_BYTES]:
                raise DecodeError("a leaf of an outline is damaged")


def _leaf_path(below: str, slot: bytes, depth: int) -> str:
    path = slot[HASH_BYTES : 2 * HASH_BYTES].hex()[:depth]
    if not path.startswith(below):
        raise InvalidProof("a leaf of the outline stands in another's place", actual=below)
    return path


def _decode_leaves(data: bytes) -> dict[bytes, bytes]:
    value = decode(data, max_bytes=MAX_CHUNK_BYTES, max_items=2 * MAX_CHUNK_LEAVES + 4, max_depth=2)
    match value:
        case (63, 1, tuple(items)) if items and len(items) % 2 == 0:
            if any(type(item) is not bytes for item in items):
                raise DecodeError("a chunk holds bytes alone")
            keys, values = items[::2], items[1::2]
            leaves = dict(zip(keys, values, strict=True))
            if list(leaves) != sorted(leaves) or len(leaves) != len(keys):
                raise DecodeError("the keys of a chunk ascend, each once")
            if any(not key or key[:1] == INDEX_SPACE for key in leaves):
                raise DecodeError("a chunk holds what the state root does not prove")
            return leaves
    raise DecodeError("not a chunk of this version")
