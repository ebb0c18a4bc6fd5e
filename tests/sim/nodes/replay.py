"""The replay: executes a chain anew from genesis, and compares blocks, state and disk."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

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


def replay(genesis: Any, store: Any, entries: dict[bytes, bytes], checks: Any, name: str) -> Store:
    """Execute the blocks of a node's store anew; raises Violation where anything differs."""
    disk = SimulatedDisk(Random(0))
    *_, (fresh, _) = execute_again(genesis, store, disk)
    for height in range(1, fresh.height + 1):
        head = fresh.head(height)
        if head is None or head.header.block_id() != checks.final[height]:
            raise Violation(f"replay: block {height} is not what was final")
    mine = disk.entries()
    for space in COMPARED:
        one = {key: value for key, value in mine.items() if key[:1] == space}
        other = {key: value for key, value in entries.items() if key[:1] == space}
        if one != other:
            raise Violation(f"replay: {name} holds other entries in {space!r}")
    leaves = {key[1:]: value for key, value in mine.items() if key[:1] == b"s"}
    checks.looks["tree"] += 1
    if update_tree(lambda path: None, leaves).root != head.header.state_root:
        raise Violation("tree: the root is not that of the state's entries")
    return fresh
