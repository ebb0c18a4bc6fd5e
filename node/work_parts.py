"""Parts of a node that differ under proof of work: its pool of blocks, and its metrics."""

from __future__ import annotations

from collections.abc import Mapping

from consensus.interface import Engine
from consensus.pow import FETCHED_HEIGHTS, PowEngine
from consensus.work import WorkRules
from node.block_pool import BlockPool, CompleteBlock
from node.chain import Chain
from node.ledger.block import Body, Header
from node.ledger.transaction import decode_transaction
from node.mempool import Mempool
from node.miner import Sealer
from node.undecided import UndecidedChain


def make_pool(chain: Chain, mempool: Mempool, rules: WorkRules | None) -> BlockPool:
    """Return the pool; under proof of work with the last final blocks, which forks lead back to."""
    if rules is None:
        return BlockPool(mempool.get)
    kept = rules.finality_depth + FETCHED_HEIGHTS
    pool = BlockPool(mempool.get, heights_ahead=2 * kept, heights_kept=kept)
    # Peers on another branch ask for these one by one.
    for height in range(max(chain.height - kept, 1), chain.height + 1):
        head, body = chain.store.head(height), chain.store.body(height)
        if head is not None and body is not None:
            pool.add_complete(own_block(head.header.block_id(), head.header, body))
    return pool


def own_block(block_id: bytes, header: Header, body: Body) -> CompleteBlock:
    """Return a block of our own disk, whose signatures were checked before it was written."""
    transactions = tuple(decode_transaction(raw) for raw in body.transactions)
    return CompleteBlock(block_id, header, body, transactions)


def work_metrics(
    engine: Engine, undecided: UndecidedChain | None, sealer: Sealer | None
) -> Mapping[str, int]:
    """Return counters and gauges by name; none but under proof of work."""
    if not isinstance(engine, PowEngine) or undecided is None:
        return {}
    view = engine.work_view()
    return {
        "difficulty": view.difficulty,
        "tip_height": view.tip_height,
        "undecided_blocks": view.undecided,
        "deep_forks_refused_total": view.deep_forks,
        "reorganisations_total": undecided.reorganisations,
        "hashes_total": 0 if sealer is None else sealer.hashes,
        "hashes_per_second": 0 if sealer is None else sealer.hashes_per_s,
    }
