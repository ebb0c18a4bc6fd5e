"""The node as its HTTP API sees it: what can be read, submitted and followed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from consensus.interface import EngineView
from node.ledger.chain_rules import Candidate
from node.ledger.genesis import Genesis
from node.ledger.transaction import Transaction
from node.store import Store
from node.submission import Submission
from vm.parameters import ChainParameters
from vm.runtime import Runtime


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A connected peer, for people."""

    node_key: bytes
    """Its node key, 32 bytes."""
    name: str
    """The member's name; empty where unknown."""
    address: str
    """Host and port of the connection."""
    direction: str
    """`in` or `out`."""
    height: int
    """The final height it last told."""
    bytes_in: int
    """Bytes received from it."""
    bytes_out: int
    """Bytes sent to it."""
    rtt_ms: int
    """Last round trip, milliseconds; -1 if not measured."""


@dataclass(frozen=True, slots=True)
class MempoolInfo:
    """How full the mempool is."""

    transactions: int
    """Transactions waiting."""
    bytes: int
    """Their bytes."""
    max_bytes: int
    """The cap in bytes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `doctor` found."""

    severity: str
    """`ok`, `warning` or `problem`."""
    topic: str
    """What it is about, one word."""
    message: str
    """What was found and what to do, in words."""


@dataclass(frozen=True, slots=True)
class FinalBlock:
    """A block that just became final, as followers of events get it."""

    block: Candidate
    """The block with its transactions and receipts."""
    time_ms: int
    """When this node committed it, milliseconds UTC of its clock."""


@dataclass(frozen=True, slots=True)
class UndecidedBlock:
    """A block that was just applied, but may still be undone (engines that decide by depth)."""

    block: Candidate
    """The block with its transactions and receipts."""
    time_ms: int
    """When this node applied it, milliseconds UTC of its clock."""


@dataclass(frozen=True, slots=True)
class Reorganisation:
    """Blocks that were just undone, because a heavier branch was found."""

    undone: Sequence[Candidate]
    """The blocks undone, lowest first."""
    applied: Sequence[Candidate]
    """The blocks that take their place, lowest first; each follows as an `UndecidedBlock`."""
    time_ms: int
    """When, milliseconds UTC of this node's clock."""


ChainEvent = FinalBlock | UndecidedBlock | Reorganisation


class Subscription(Protocol):
    """A follower's bounded queue; a follower that does not keep up is dropped."""

    queue: asyncio.Queue[ChainEvent | None]
    """What happened, in order; None ends it (dropped, or the node stops)."""

    def close(self) -> None:
        """Stop following."""


class NodeFacade(Protocol):
    """All that the API needs of a node; everything is called on the event loop."""

    genesis: Genesis
    """The network's genesis."""
    store: Store
    """Final blocks and the final state (`get`, `scan`, `page`)."""
    name: str
    """The node's name, for people."""

    @property
    def runtime(self) -> Runtime:
        """The chain's modules, in the versions in force, and its roles."""

    @property
    def genesis_document(self) -> bytes:
        """The genesis file as it was given."""

    def parameters(self) -> ChainParameters:
        """Return the parameters in force."""

    def engine_view(self) -> EngineView:
        """Return where the engine stands."""

    def is_syncing(self) -> bool:
        """Tell whether the node catches up with others."""

    def peers(self) -> Sequence[PeerInfo]:
        """Return the connected peers."""

    def mempool(self) -> MempoolInfo:
        """Return how full the mempool is."""

    def find_waiting(self, transaction_id: bytes) -> Transaction | None:
        """Return a transaction of the mempool, or None."""

    def next_nonce(self, account: bytes) -> int:
        """Return the nonce after the account's final and waiting transactions."""

    async def submit(self, transactions: Sequence[bytes]) -> Sequence[Submission]:
        """Check transactions (decode, admission, signature off the loop) and take them in."""

    def undecided(self) -> Sequence[Candidate]:
        """Return the preferred branch above the last final block, lowest first.

        It is empty under engines whose blocks are final at once.
        """

    def subscribe(self) -> Subscription:
        """Follow the chain from now on."""

    def doctor(self) -> Sequence[Finding]:
        """Return in words why the network does or does not advance."""

    def metrics(self) -> Mapping[str, int]:
        """Return counters and gauges by Prometheus name (without the prefix `bitenergy_`).

        Names ending in `_total` are counters; e.g. height, peers, mempool_transactions,
        mempool_bytes, signatures_checked_total, syncs_total, blocks_total, transactions_total,
        resident_anonymous_bytes, loop_lag_us.
        """
