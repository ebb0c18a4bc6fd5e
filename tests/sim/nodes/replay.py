"""The replay: executes a chain anew from genesis, and compares blocks, state and disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from node.block_index import BASE_KEY
from node.chain import Chain
from node.ledger.chain_rules import Parent, apply_block
from node.ledger.state_tree import update_tree
from node.ledger.transaction import decode_transaction
from node.modules import make_runtime
from node.store import Store
from tests.sim.nodes.disk import SimulatedDisk
from tests.sim.world import Violation

COMPARED = (b"s", b"t", b"b", b"r", b"x")
"""State, pages, bodies, receipts and indices; heads may differ in who signed."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A node whose database is compared."""

    name: str
    """Its name."""
    store: Store
    """Its store."""
    entries: dict[bytes, bytes]
    """What its database holds."""
    has_joined: bool
    """Whether it came by a snapshot."""


def execute_again(genesis: Any, store: Any, disk: SimulatedDisk) -> Iterator[tuple[Store, Any]]:
    """Execute the blocks of a node's store anew from genesis on, on a disk of their own.

    Yields the new store and each block before it is written. Raises Violation where one is missing.
    """
    fresh = Store(Path("/simulated/replay"), disk=disk)
    chain = Chain(fresh, make_runtime(genesis.roles), genesis)
    for height in range(1, store.height + 1):
        head, body = store.head(height), store.body(height)
        if head is None or body is None:
            raise Violation(f"replay: block {height} is missing")
        candidate = apply_block(
            chain.runtime_at(fresh),
            Parent(chain.header, chain.block_id, fresh),
            header=head.header,
            body=body,
            transactions=[decode_transaction(raw) for raw in body.transactions],
            validators_at=fresh.validators_at,
        )
        yield fresh, candidate
        chain.write(candidate, head.certificate)
        chain.advance(candidate, head.certificate)


def replay(genesis: Any, nodes: Sequence[Replayed], checks: Any) -> Store:
    """Execute the blocks of the first node anew, and compare all nodes with it at their heights.

    The first has to hold every block. Raises Violation where anything differs.
    """
    disk = SimulatedDisk(Random(0))
    first = nodes[0].store
    fresh: Store | None = None
    for fresh, _ in execute_again(genesis, first, disk):
        _compare(nodes, fresh, disk, checks)
    if fresh is None:
        raise Violation("replay: there are no blocks")
    _compare(nodes, fresh, disk, checks)
    for height in range(1, fresh.height + 1):
        head = fresh.head(height)
        if head is None or head.header.block_id() != checks.final[height]:
            raise Violation(f"replay: block {height} is not what was final")
    leaves = {key[1:]: value for key, value in disk.entries().items() if key[:1] == b"s"}
    checks.looks["tree"] += 1
    if update_tree(lambda path: None, leaves).root != head.header.state_root:
        raise Violation("tree: the root is not that of the state's entries")
    return fresh


def _compare(nodes: Sequence[Replayed], fresh: Store, disk: SimulatedDisk, checks: Any) -> None:
    """Compare what nodes at this height hold: all of it, or the state where blocks are missing."""
    for node in nodes:
        if node.store.height != fresh.height:
            continue
        is_whole = node.store.base <= 1
        if not is_whole:
            checks.looks["joined" if node.has_joined else "pruned"] += 1
        for space in COMPARED if is_whole else COMPARED[:2]:
            one, other = _space(disk.entries(), space), _space(node.entries, space)
            if one != other:
                raise Violation(f"replay: {node.name} holds other entries in {space!r}")
        if not is_whole:
            _check_kept(node, fresh)


def _check_kept(node: Replayed, fresh: Store) -> None:
    """What is said to be kept is there, and what is said to be gone gives its bytes back."""
    # What the disk says: readers are kept off blocks that are about to go.
    base = int.from_bytes(node.entries.get(BASE_KEY, b""), "big")
    height = node.store.height
    for kind in (b"b", b"r"):
        kept = sorted(int.from_bytes(key[1:9], "big") for key in _space(node.entries, kind))
        if kept and (kept[0] < base or kept != list(range(kept[0], height + 1))):
            raise Violation(f"replay: {node.name} keeps {kind!r} of {kept}, from {base} on")
        if not kept and base <= height:
            raise Violation(f"replay: {node.name} lost the blocks from {base} on")


def _space(entries: dict[bytes, bytes], space: bytes) -> dict[bytes, bytes]:
    return {key: value for key, value in entries.items() if key[:1] == space}
