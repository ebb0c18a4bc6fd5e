"""`bitenergy bench snapshot`: a snapshot of many accounts taken, moved and proved."""

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
from node.ledger.block import Body, Header
from node.ledger.chain_rules import Candidate
from node.ledger.execution import CandidateState, Executed
from node.ledger.genesis import decode_genesis
from node.ledger.state_tree import update_tree
from node.node import Node, anonymous_bytes
from node.snapshot.serving import REQUEST_NAME
from node.snapshot.taking import load_snapshots
from tools.bench.history import HistoryWriter, open_history
from tools.bench.machine import memory_bytes
from tools.bench.traffic import genesis_template
from tools.errors import EXIT_OK, NodeTimeout
from tools.output import note, print_fields, print_json
from tools.testnet import GENESIS_FILE, LocalNetwork, create_network, start_nodes, stop_nodes
from vm.overlay import Overlay
from vm.primitives.address import account_id
from vm.primitives.hashing import EMPTY_HASH
from vm.primitives.merkle import merkle_root
from vm.system.accounts import ACCOUNT_SPACE, ACTIVE, Account

VALIDATORS: Final = 4
BLOCK_ACCOUNTS: Final = 10_000
TIMEOUT_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class SnapshotFigures:
    """What one run measured: one node takes a snapshot, another joins by it, on this machine."""

    accounts: int
    """Accounts in the state."""
    snapshot_mb: float
    """Bytes of the snapshot's files, MB."""
    chunks: int
    """Its chunks."""
    taken_s: float
    """Taking it, while the node runs."""
    joined_s: float
    """Moving it to another node, proving it and standing on it."""
    total_s: float
    """Both."""
    source_rss_mb: float
    """Anonymous resident memory of the serving node and its workers after it, MB."""
    joiner_rss_mb: float
    """Largest anonymous resident memory of the joining process, MB."""
    base_rss_mb: float
    """The same process before it joined, MB."""


def run_bench(*, accounts: int, as_json: bool) -> int:
    """Measure and print; return the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="bitenergy-bench-"))
    network = create_network(folder / "network", genesis_template(()), validators=VALIDATORS)
    try:
        note(f"writing a state of {accounts} accounts")
        history = open_history(network)
        for first in range(0, accounts, BLOCK_ACCOUNTS):
            history.decide(_block(history, range(first, min(first + BLOCK_ACCOUNTS, accounts))))
        history.chain.store.close()
        figures = asdict(_measure(network, accounts))
    finally:
        stop_nodes(network.nodes)
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print_json(figures)
    else:
        print_fields("bench snapshot", list(figures.items()))
    return EXIT_OK


def _block(history: HistoryWriter, numbers: range) -> Candidate:
    """Return a block that brings accounts into the state, as no transaction could at this rate."""
    chain = history.chain
    overlay = Overlay(chain.store)
    for number in numbers:
        key = b"bench account".ljust(24, b".") + number.to_bytes(8, "big")
        account = Account(key, 0, ACTIVE, 1, 10**9 + number, 0, 0, 0)
        overlay.put(ACCOUNT_SPACE + account_id(key), account.encode())
    update = update_tree(chain.store.page, overlay.changes)
    before = chain.header
    executed = Executed(
        CandidateState(chain.store, overlay, update.pages),
        (),
        (),
        0,
        0,
        update.root,
        merkle_root(()),
        before.next_validators,
        before.parameters,
    )
    header = Header(
        before.genesis,
        before.height + 1,
        before.time_ms + 1,
        chain.block_id,
        EMPTY_HASH,
        merkle_root(()),
        merkle_root(()),
        update.root,
        executed.receipts_root,
        before.next_validators,
        before.next_validators,
        before.parameters,
        0,
        chain.validators[0].account,
        b"",
    )
    return Candidate(header, header.block_id(), Body(b"", (), ()), (), executed)


def _measure(network: LocalNetwork, accounts: int) -> SnapshotFigures:
    source = network.nodes[0]
    start_nodes([source], timeout_s=TIMEOUT_S)
    folder = source.folder / "data" / "snapshots"
    start_s = time.monotonic()
    folder.mkdir(exist_ok=True)
    (folder / REQUEST_NAME).touch()
    while not (held := load_snapshots(folder)):
        if time.monotonic() - start_s > TIMEOUT_S:
            raise NodeTimeout("the node took no snapshot")
        time.sleep(0.1)
    taken_s = time.monotonic() - start_s
    note(f"taken in {taken_s:.1f} s")
    files = list(held[0].folder.iterdir())
    before = anonymous_bytes()
    joined_s, most = asyncio.run(_join(network, held[0].height))
    return SnapshotFigures(
        accounts,
        round(sum(path.stat().st_size for path in files) / 1e6, 1),
        len(files) - 2,
        round(taken_s, 1),
        round(joined_s, 1),
        round(taken_s + joined_s, 1),
        round(memory_bytes(source.mark) / 1e6, 1),
        round(most / 1e6, 1),
        round(before / 1e6, 1),
    )


async def _join(network: LocalNetwork, height: int) -> tuple[float, int]:
    """Return how long an empty node needs to stand on the snapshot, and the most memory it had."""
    source, joiner = network.nodes[0], network.nodes[1]
    config = load_config(joiner.folder / "node.toml")
    peers = tuple(peer for peer in config.peers if peer.port == source.p2p_port)
    config = replace(config, join="snapshot", peers=peers)
    genesis = decode_genesis((network.folder / GENESIS_FILE).read_bytes())
    node = Node(config, genesis, load_node_keys(config))
    await node.start()
    failing = asyncio.ensure_future(node.wait_failed())
    start_s = time.monotonic()
    most = 0
    try:
        while node.chain.height < height:
            await asyncio.wait({failing}, timeout=0.1)
            most = max(most, anonymous_bytes())
            if failing.done():
                failing.result()
            if time.monotonic() - start_s > TIMEOUT_S:
                raise NodeTimeout("the node did not join")
        return time.monotonic() - start_s, most
    finally:
        failing.cancel()
        await node.stop()
