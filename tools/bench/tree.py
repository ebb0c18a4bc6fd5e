"""`bitenergy bench tree`: what the state tree costs a leaf, and what its arity costs a proof."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from random import Random
from typing import Final

from node.ledger.state_tree import (
    LEAF_BYTES,
    PAGE_SLOTS,
    node_hash,
    page_hash,
    unpack_page,
    update_tree,
)
from tools.errors import EXIT_OK
from tools.output import print_fields, print_json
from vm.primitives.hashing import EMPTY_HASH, HASH_BYTES

SEED: Final = 1
VALUE_BYTES: Final = 90
BATCH: Final = 1_000
ARITIES: Final = (2, 4, 16)
PROOF_LEAVES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class TreeFigures:
    """What one run measured."""

    leaves: int
    """Leaves in the tree."""
    batch: int
    """Leaves changed at once."""
    update_us_per_leaf: float
    """Time of a batch per changed leaf, microseconds, pages in memory."""
    pages_per_leaf: float
    """Pages that a batch rewrites per changed leaf."""
    page_hash_us: dict[str, float]
    """Time to hash a page of 16 slots as one, two or four levels, by arity, microseconds."""
    proof_bytes: dict[str, int]
    """Siblings of a proof in a full tree of a million leaves, by arity, bytes."""


def run_bench(*, leaves: int, as_json: bool) -> int:
    """Measure and print; return the exit status."""
    figures = asdict(_measure(leaves))
    if as_json:
        print_json(figures)
    else:
        print_fields("bench tree", list(figures.items()))
    return EXIT_OK


def _measure(leaves: int) -> TreeFigures:
    random = Random(SEED)
    pages: dict[str, bytes] = {}
    _apply(pages, {_key(number): random.randbytes(VALUE_BYTES) for number in range(leaves)})
    changes = {
        _key(number): random.randbytes(VALUE_BYTES)
        for number in random.sample(range(leaves), min(BATCH, leaves))
    }
    start_s = time.perf_counter()
    update = update_tree(pages.get, changes)
    seconds = time.perf_counter() - start_s
    sample = [unpack_page(page) for page in update.pages.values() if page is not None]
    return TreeFigures(
        leaves,
        len(changes),
        round(seconds / len(changes) * 1e6, 1),
        round(len(update.pages) / len(changes), 2),
        {str(arity): _hash_us(sample, arity) for arity in ARITIES},
        {
            str(arity): (arity - 1) * HASH_BYTES * math.ceil(math.log(PROOF_LEAVES, arity))
            for arity in ARITIES
        },
    )


def _hash_us(pages: list[list[bytes]], arity: int) -> float:
    start_s = time.perf_counter()
    for slots in pages:
        if arity == 4:
            page_hash(slots)
        else:
            _hash_with(slots, arity)
    return round((time.perf_counter() - start_s) / len(pages) * 1e6, 2)


def _hash_with(slots: list[bytes], arity: int) -> bytes:
    """Hash a page with another arity, by the same rule for empty and single leaves."""
    level = [(slot[:HASH_BYTES] or EMPTY_HASH, len(slot) == LEAF_BYTES) for slot in slots]
    while len(level) > 1:
        parents: list[tuple[bytes, bool]] = []
        for start in range(0, len(level), arity):
            group = level[start : start + arity]
            filled = [child for child in group if child[0] is not EMPTY_HASH]
            if not filled:
                parents.append((EMPTY_HASH, False))
            elif len(filled) == 1 and filled[0][1]:
                parents.append(filled[0])
            else:
                parents.append((node_hash(b"".join([child[0] for child in group])), False))
        level = parents
    return level[0][0]


def _apply(pages: dict[str, bytes], changes: dict[bytes, bytes]) -> None:
    for path, page in update_tree(pages.get, changes).pages.items():
        if page is None:
            pages.pop(path, None)
        else:
            pages[path] = page


def _key(number: int) -> bytes:
    return b"a" + number.to_bytes(PAGE_SLOTS, "big")
