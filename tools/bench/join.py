"""`bitenergy bench join`: transactions a second by block sync, in both of its modes."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from node.app import load_node_keys
from node.config import load_config
from node.ledger.genesis import decode_genesis
from node.node import Node, anonymous_bytes
from tools.bench.history import open_history
from tools.bench.machine import Yardstick, measure_yardstick
from tools.bench.traffic import Traffic, genesis_template, make_traders
from tools.errors import EXIT_OK, NodeTimeout
from tools.output import note, print_fields, print_json, waiting
from tools.testnet import GENESIS_FILE, LocalNetwork, create_network, start_nodes, stop_nodes

VALIDATORS: Final = 4
BLOCK_TRANSACTIONS: Final = 500
TRAFFIC_SEED: Final = 1
TIMEOUT_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class JoinFigures:
    """What one run measured: a node joins from one other, both on this machine."""

    transactions: int
    """Market transactions in the chain: 40 % posts, 40 % buys, 20 % transfers."""
    heights: int
    """Blocks that hold them."""
    verified_per_s: float
    """Transactions a second with every signature checked."""
    certified_per_s: float
    """Transactions a second where the commit certificate stands for the signatures."""
    v_per_s: int
    """Signature verifications a second of one core, same run."""
    w_per_s: int
    """The same of all cores."""
    rss_mb: float
    """Anonymous resident memory of the joining process after both, MB."""


def run_bench(*, transactions: int, as_json: bool) -> int:
    """Measure and print; return the exit status."""
    with waiting("measuring the machine", quiet=as_json):
        yardstick = measure_yardstick()
    folder = Path(tempfile.mkdtemp(prefix="bitenergy-bench-"))
    traders = make_traders()
    network = create_network(folder / "network", genesis_template(traders), validators=VALIDATORS)
    try:
        note(f"writing a chain of {transactions} transactions")
        heights = _write_chain(
            network, Traffic(network.genesis, traders, TRAFFIC_SEED), transactions
        )
        start_nodes(network.nodes[:1])
        figures = asdict(_measure(network, transactions, heights, yardstick))
    finally:
        stop_nodes(network.nodes)
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print_json(figures)
    else:
        print_fields("bench join", list(figures.items()))
    return EXIT_OK


def _write_chain(network: LocalNetwork, traffic: Traffic, transactions: int) -> int:
    history = open_history(network)
    left = transactions
    while left:
        count = min(left, BLOCK_TRANSACTIONS)
        history.append(traffic.take(count))
        left -= count
    history.chain.store.close()
    return history.chain.height


def _measure(
    network: LocalNetwork, transactions: int, heights: int, yardstick: Yardstick
) -> JoinFigures:
    rates: list[float] = []
    for is_verified in (True, False):
        seconds = asyncio.run(_join(network, heights, is_verified=is_verified))
        rates.append(round(transactions / seconds, 1))
        note(f"{rates[-1]:.0f} a second {'with' if is_verified else 'without'} all signatures")
    return JoinFigures(
        transactions,
        heights,
        rates[0],
        rates[1],
        yardstick.v_per_s,
        yardstick.w_per_s,
        round(anonymous_bytes() / 1e6, 1),
    )


async def _join(network: LocalNetwork, heights: int, *, is_verified: bool) -> float:
    """Return how long a node with an empty chain needs to reach the height of the first."""
    source, joiner = network.nodes[0], network.nodes[1]
    config = load_config(joiner.folder / "node.toml")
    config = replace(
        config,
        data=joiner.folder / f"data-{is_verified}",
        verify_synced_signatures=is_verified,
        peers=tuple(peer for peer in config.peers if peer.port == source.p2p_port),
    )
    genesis = decode_genesis((network.folder / GENESIS_FILE).read_bytes())
    node = Node(config, genesis, load_node_keys(config))
    await node.start()
    failing = asyncio.ensure_future(node.wait_failed())
    start_s = time.monotonic()
    try:
        while node.chain.height < heights:
            await asyncio.wait({failing}, timeout=0.02)
            if failing.done():
                failing.result()
            if time.monotonic() - start_s > TIMEOUT_S:
                raise NodeTimeout(f"the node reached block {node.chain.height} of {heights}")
        return time.monotonic() - start_s
    finally:
        failing.cancel()
        await node.stop()
