"""What proof of work lets go or waits for: branches that are many, junk, or dated ahead."""

import asyncio
from dataclasses import replace
from typing import Any

from node.ledger.block import Header
from node.wire import BLOCK, CompactBlock, encode_compact_block
from tests.sim.nodes.people import MAX_DRIFT_MS
from tests.sim.nodes.simulation import CATCH_UP_S
from tests.sim.nodes.work import sealed
from tests.sim.world import Violation
from vm.primitives.merkle import merkle_root

FETCHED = 2
LEAVES = 60
DATED_BLOCKS = 19
"""So many, each harder than the one before, outweigh the undecided blocks of all honest miners."""
DATED_AHEAD_MS = MAX_DRIFT_MS + 8_000


def _child(world: Any, parent: Header, number: int, time_ms: int) -> Header:
    """Return the header of an empty block with a good seal, which executing does not give."""
    header = replace(
        parent,
        height=parent.height + 1,
        parent=parent.block_id(),
        time_ms=time_ms,
        evidence_root=merkle_root(()),
        transactions_root=merkle_root(()),
        state_root=number.to_bytes(32, "big"),
    )
    return sealed(header, world.node._gate._needed(parent))


def _show(world: Any, header: Header, teller: str = "F0") -> None:
    payload = encode_compact_block(CompactBlock(header, b"", (), ()))
    world.tell(world.process, BLOCK, payload, teller)


async def let_a_full_tree_drop_what_is_checked(world: Any) -> None:
    """A block is checked, and so many heavier ones come that there is no place for it any more."""
    tip = world.node.chain.tip
    doomed, base = (_child(world, tip, number, tip.time_ms + 1) for number in (0, 1))
    for header in (doomed, base):
        _show(world, header)
    for number in range(LEAVES):
        _show(world, _child(world, base, number, base.time_ms + 1))
    await world._until(
        lambda: not _knows(world, doomed) and not _knows(world, base),
        CATCH_UP_S,
        "refusal: junk stays in the tree",
    )
    world.refused.append("the tree is full")


def _knows(world: Any, header: Header) -> bool:
    return world.node._driver.engine._tree.get(header.block_id()) is not None


async def wait_for_a_branch_dated_ahead(world: Any) -> None:
    """A heavier branch is not due yet: nothing is final beside it, and goes on once it is junk."""
    chain = world.node.chain
    last, time_ms = chain.header, world.node._clock_ms() + DATED_AHEAD_MS
    depth, height = world.node._rules.finality_depth, chain.height
    for number in range(DATED_BLOCKS):
        last = _child(world, last, number, time_ms + number)
        _show(world, last)
    await world._until(
        lambda: chain.tip.height - chain.height > depth + 1, CATCH_UP_S, "progress: blocks"
    )
    if chain.height > height + 1:
        raise Violation("refusal: blocks became final beside a heavier branch")
    world.refused.append("a heavier branch is dated ahead")
    await world._until(
        lambda: chain.height > height + 2, CATCH_UP_S, "progress: the branch is junk"
    )


async def keep_few_blocks_without_parents(world: Any) -> None:
    """Blocks whose parents nobody has: the one kept longest gives way."""
    engine, tip = world.node._driver.engine, world.node.chain.tip
    with world.narrow(engine, "_fetched_heights", FETCHED):
        for number in range(4 * FETCHED):
            parent = (number + 1).to_bytes(32, "big")
            header = replace(tip, height=tip.height + 2, parent=parent, time_ms=tip.time_ms + 9)
            header = replace(
                header, evidence_root=merkle_root(()), transactions_root=merkle_root(())
            )
            difficulty = world.node._rules.initial_difficulty
            _show(world, sealed(header, difficulty), f"V{1 + number % 3}")
        await asyncio.sleep(0.1)
        if not 0 < len(engine._orphans) <= 2 * FETCHED:
            raise Violation(f"refusal: {len(engine._orphans)} blocks without parents are kept")
    world.refused.append("few blocks without parents are kept")


WORK_REFUSALS = (
    keep_few_blocks_without_parents,
    wait_for_a_branch_dated_ahead,
    let_a_full_tree_drop_what_is_checked,
)
