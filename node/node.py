"""A node: composes chain, engine, mempool, peers and sync, and is what its API sees."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consensus.interface import Engine, EngineView
from node.chain import Chain
from node.config import ConfigError, NodeConfig, listening
from node.data_folder import SIGNING_PREFIX
from node.directory import Directory
from node.disk import Disk
from node.doctor import diagnose
from node.driver import Driver
from node.engines import make_engine, work_rules
from node.facade import (
    FinalBlock,
    Finding,
    MempoolInfo,
    PeerInfo,
    Reorganisation,
    UndecidedBlock,
)
from node.followers import Follower, Followers
from node.genesis_file import read_genesis_file
from node.gossip import TransactionGossip
from node.inbox import Inbox
from node.ledger.chain_rules import Candidate
from node.ledger.genesis import Genesis
from node.ledger.transaction import Transaction
from node.light_service import LightService
from node.light_wire import LIGHT_KINDS
from node.machine import Machine
from node.mempool import MAX_BYTES, Mempool
from node.miner import Sealer
from node.p2p.certificates import NodeCertificate
from node.p2p.peers import Direction
from node.peer_guard import PeerGuard
from node.pruning import Pruner
from node.signer import Signer
from node.snapshot.service import Snapshots
from node.snapshot.wire import SNAPSHOT_KINDS
from node.store import RESYNC_HINT, StorageFailure, Store
from node.submission import Submission
from node.sync import BlockSync
from node.undecided import UndecidedChain
from node.upgrades import SUPPORT, Support
from node.vote_guard import validate_signing_state
from node.wire import HEIGHT, KINDS, encode_height
from node.work_gate import WorkGate
from node.work_parts import make_pool, own_block, work_metrics
from vm.parameters import ChainParameters
from vm.primitives.signatures import public_key
from vm.runtime import Runtime

_log = logging.getLogger("bitenergy.node")

HEIGHT_INTERVAL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """A node's secrets, loaded."""

    identity: NodeCertificate
    """Key and certificate by which peers know it."""
    vote_seed: bytes | None = field(repr=False)
    """Seed of its vote key, 32 bytes; None if it only follows."""


class Node:
    """One node of one network (NodeFacade)."""

    def __init__(
        self,
        config: NodeConfig,
        genesis: Genesis,
        keys: NodeKeys,
        *,
        machine: Machine | None = None,
        support: Support = SUPPORT,
    ) -> None:
        """Open the store and compose the parts, inside a running event loop.

        Raises UpgradeNeeded where the chain needs more than the software's `support`.
        """
        loop = asyncio.get_running_loop()
        machine = machine or Machine()
        clock_ms = machine.clock_ms
        self.genesis = genesis
        self.name = config.name
        self._config = config
        self._clock_ms = clock_ms
        self._support = support
        self.store = Store(config.data, disk=machine.disk)
        self.chain = self._open_chain()
        _validate_trust(config, self.store)
        self._signer = _open_signer(config, keys.vote_seed, self.chain, machine.disk)
        self._mempool = Mempool(self.store)
        self._verifier = machine.make_verifier(config.workers)
        self._rules = work_rules(genesis)
        _validate_join(config, genesis)
        self._pool = make_pool(self.chain, self._mempool, self._rules)
        rules, trust = self._rules, config.trust
        self._gate = WorkGate(rules, self.chain, self._pool, trust) if rules else None
        self._sealer = self._make_sealer(machine)
        guard = PeerGuard(loop.time)
        self._directory = Directory(self.chain, guard, clock_ms=clock_ms)
        self._inbox = self._make_inbox(guard)
        self._undecided = self._make_undecided()
        self._tasks: set[asyncio.Task[None]] = set()
        self._peers = machine.make_peers(
            identity=keys.identity,
            genesis=genesis.digest,
            kinds=(*KINDS, *LIGHT_KINDS, *SNAPSHOT_KINDS),
            handler=self._inbox,
            height=lambda: self.chain.height,
        )
        self._driver = self._make_driver(clock_ms)
        self._gossip = self._make_gossip()
        self._sync = self._make_sync()
        light = LightService(
            self.chain, self._gossip, guard, self._peers, spawn=self.spawn, above=self.undecided
        )
        self._snapshots = self._make_snapshots(guard, machine.disk)
        self._inbox.connect(
            self._peers, self._driver, self._gossip, self._sync, light, self._snapshots
        )
        self._pruner = self._make_pruner()
        self._followers = Followers()
        self._failed: asyncio.Future[None] = loop.create_future()
        self._telling: asyncio.TimerHandle | None = None
        self._height_told_s = 0.0
        self._blocks = 0
        self._transactions = 0
        self._failed_transactions = 0
        self.p2p_address = ("", 0)

    def _make_inbox(self, guard: PeerGuard) -> Inbox:
        return Inbox(
            self.chain,
            self._pool,
            self._mempool,
            self._directory,
            guard,
            on_fatal=self.on_fatal,
            clock_ms=self._clock_ms,
            gate=self._gate,
        )

    def _make_sealer(self, machine: Machine) -> Sealer | None:
        if self._rules is None or self._signer is None or not self._config.mining_percent:
            return None
        return machine.make_sealer(self._config.mining_percent)

    def _make_undecided(self) -> UndecidedChain | None:
        if self._rules is None:
            return None
        return UndecidedChain(
            self.chain, self._pool, self._mempool, self._sealer, on_change=self._on_branch
        )

    def _open_chain(self) -> Chain:
        try:
            first = self._support.runtime(self.genesis.roles, {})
            chain = Chain(self.store, first, self.genesis, support=self._support)
            chain.validate_supported()
        except BaseException:
            self.store.close()
            raise
        return chain

    def _make_engine(self, parameters: ChainParameters, account: bytes | None) -> Engine:
        genesis = self.chain.engine_genesis()
        mines = self._rules is None or self._sealer is not None
        account = account if mines else None
        return make_engine(genesis, parameters, account, self._support.engines)

    def _make_driver(self, clock_ms: Callable[[], int]) -> Driver:
        return Driver(
            self._make_engine,
            self.chain,
            self._pool,
            self._mempool,
            self._inbox,
            signer=self._signer,
            on_final=self._on_final,
            clock_ms=clock_ms,
            is_held=True,
            undecided=self._undecided,
        )

    def _make_gossip(self) -> TransactionGossip:
        return TransactionGossip(
            self.chain,
            self._mempool,
            self._verifier,
            self._peers,
            spawn=self.spawn,
            is_requested=self._pool.is_requested,
            on_checked=self._inbox.on_checked,
            on_added=self._driver.work_available,
        )

    def _make_sync(self) -> BlockSync:
        return BlockSync(
            self.chain,
            self._driver,
            self._verifier,
            self._peers,
            verify_signatures=self._config.verify_synced_signatures,
            gate=self._gate,
            trusted=self._config.trust,
        )

    def _make_snapshots(self, guard: PeerGuard, disk: Disk) -> Snapshots:
        return Snapshots(
            self._config,
            self.chain,
            guard,
            self._driver,
            self._peers,
            disk=disk,
            spawn=self.spawn,
            on_moved=self._on_moved,
        )

    def _make_pruner(self) -> Pruner | None:
        if self._config.mode == "archive":
            return None
        return Pruner(
            self.store,
            keep_blocks=self._config.keep_blocks,
            spawn=self.spawn,
            on_pruned=self._inbox.tell_base,
        )

    # --- life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start workers, peers and the engine."""
        await self._verifier.start()
        if self._sealer is not None:
            await self._sealer.start()
        for block_id, (header, body) in self.store.pending().items():
            if header.height == self.chain.height + 1 or self._rules is not None:
                self._pool.add_complete(own_block(block_id, header, body))
        self._directory.update(self._peers)
        with listening("p2p.listen", self._config.p2p) as p2p:
            self.p2p_address = await self._peers.listen(p2p.host, p2p.port)
        self._peers.configure_peers(self._config.peers)
        self._driver.start()
        self._inbox.consider_release()
        self.spawn(self._driver.run())
        self.spawn(self._follow())
        self.spawn(self._snapshots.run())
        extra = {"height": self.chain.height, "genesis": self.genesis.digest, "node": self.name}
        _log.info("started", extra=extra)

    async def _follow(self) -> None:
        await self._snapshots.run_join()
        await self._sync.run()

    async def wait_failed(self) -> None:
        """Return never; raise what stops the node."""
        watched = [self._failed, self._driver.failed, *self._verifier.failures()]
        if self._sealer is not None:
            watched.extend(self._sealer.failures())
        done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        for future in done:
            future.result()

    async def stop(self) -> None:
        """Stop everything in order and close the store."""
        self._gossip.stop()
        self._snapshots.server.stop()
        self._followers.end()
        await self._peers.stop()
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._telling is not None:
            self._telling.cancel()
        await self._driver.stop()
        await self._verifier.stop()
        if self._sealer is not None:
            await self._sealer.stop()
        if self._signer is not None:
            self._signer.close()
        self.store.close()

    def spawn(self, work: Awaitable[None]) -> None:
        """Run a task whose failure stops the node."""
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.on_fatal(error)

    def on_fatal(self, error: BaseException) -> None:
        """Stop the node because of `error`."""
        if not self._failed.done():
            self._failed.set_exception(error)

    def _on_final(self, candidate: Candidate) -> None:
        self._blocks += 1
        self._transactions += len(candidate.transactions)
        receipts = candidate.executed.receipts[candidate.executed.first_transaction :]
        self._failed_transactions += sum(
            1 for receipt in receipts if receipt.transaction_id and receipt.code
        )
        self._followers.publish(FinalBlock(candidate, self._clock_ms()))
        self._directory.follow(candidate, self._peers)
        self._snapshots.server.on_final(candidate.header.height)
        if self._pruner is not None:
            self._pruner.on_final(candidate.header.height)
        self._inbox.consider_release()
        if self._telling is None:
            loop = asyncio.get_running_loop()
            wait_s = max(0.0, self._height_told_s + HEIGHT_INTERVAL_S - loop.time())
            self._telling = loop.call_later(wait_s, self._tell_height)

    def _on_branch(self, undone: Sequence[Candidate], applied: Sequence[Candidate]) -> None:
        now_ms = self._clock_ms()
        self._inbox.consider_release()
        if undone:
            self._followers.publish(Reorganisation(undone, applied, now_ms))
        for block in applied:
            self._followers.publish(UndecidedBlock(block, now_ms))

    def _on_moved(self) -> None:
        """Follow a head that came with its state."""
        if self._undecided is not None:
            self._undecided.forget()
        self._directory.update(self._peers)
        self._inbox.tell_base()
        self._inbox.consider_release()
        self._tell_height()

    def _tell_height(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        self._height_told_s = asyncio.get_running_loop().time()
        self._peers.broadcast(HEIGHT, encode_height(self.chain.height), also_quiet=True)

    # --- NodeFacade --------------------------------------------------------------------------

    @property
    def genesis_document(self) -> bytes:
        """The genesis file as it was given; raises BitenergyError where it is gone."""
        return read_genesis_file(self._config.genesis)

    def parameters(self) -> ChainParameters:
        """Return the parameters in force."""
        return self.chain.parameters

    def engine_view(self) -> EngineView:
        """Return where the engine stands."""
        return self._driver.engine.view()

    def is_syncing(self) -> bool:
        """Tell whether the node catches up with others."""
        return self._sync.is_syncing or self._snapshots.join.is_joining

    def peers(self) -> Sequence[PeerInfo]:
        """Return the connected peers."""
        return [
            PeerInfo(
                peer.key,
                self._directory.node_names.get(peer.key, ""),
                peer.address,
                "in" if peer.direction is Direction.INCOMING else "out",
                self._sync.sources.claimed_height(peer.key),
                peer.bytes_in,
                peer.bytes_out,
                -1 if peer.rtt_ms is None else int(peer.rtt_ms),
            )
            for peer in self._peers.peers()
        ]

    def mempool(self) -> MempoolInfo:
        """Return how full the mempool is."""
        return MempoolInfo(len(self._mempool), self._mempool.size_bytes, MAX_BYTES)

    def find_waiting(self, transaction_id: bytes) -> Transaction | None:
        """Return a transaction of the mempool, or None."""
        return self._mempool.get(transaction_id)

    def next_nonce(self, account: bytes) -> int:
        """Return the nonce after the account's final and waiting transactions."""
        return self._mempool.next_nonce(account)

    @property
    def runtime(self) -> Runtime:
        """The chain's modules, in the versions in force, and its roles."""
        return self.chain.runtime

    async def submit(self, transactions: Sequence[bytes]) -> Sequence[Submission]:
        """Check transactions and take them in."""
        return await self._gossip.submit(transactions)

    def undecided(self) -> Sequence[Candidate]:
        """Return the preferred branch above the last final block, lowest first."""
        return () if self._undecided is None else self._undecided.blocks

    def subscribe(self) -> Follower:
        """Follow the chain from now on."""
        return self._followers.add()

    def doctor(self) -> Sequence[Finding]:
        """Return in words why the network does or does not advance."""
        nodes = self._directory.validator_nodes
        findings = diagnose(
            view=self._driver.engine.view(),
            validators=self._directory.named_validators(),
            connected={nodes[peer.key] for peer in self._peers.peers() if peer.key in nodes},
            own_account=self._driver.find_account(),
            is_voted=self._rules is None,
            height=self.chain.height,
            best_height=self._sync.sources.best_height(),
            lowest_held=self._sync.sources.lowest_held(self.chain.height),
            head_age_ms=self._clock_ms() - self.chain.header.time_ms,
            heartbeat_ms=self.chain.parameters.heartbeat_ms,
            mempool=self.mempool(),
            data=self._config.data,
        )
        coming = [Finding("problem", "upgrade", str(why)) for why in self.chain.coming_upgrades()]
        return [*coming, *findings]

    def metrics(self) -> Mapping[str, int]:
        """Return counters and gauges by name."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "blocks_total": self._blocks,
            "transactions_total": self._transactions,
            "transactions_failed_total": self._failed_transactions,
            "transactions_executed_total": self._driver.executed,
            "messages_refused_total": self._inbox.refused,
            "height": self.chain.height,
            "base_height": self.store.base,
            "peers": len(self._peers.peers()),
            "mempool_transactions": len(self._mempool),
            "mempool_bytes": self._mempool.size_bytes,
            "signatures_checked_total": self._verifier.checked,
            "syncs_total": self.store.syncs + (self._signer.syncs if self._signer else 0),
            "resident_anonymous_bytes": anonymous_bytes(),
            "cpu_ms_total": int((usage.ru_utime + usage.ru_stime) * 1000),
            "round": self._driver.engine.view().round,
            **work_metrics(self._driver.engine, self._undecided, self._sealer),
        }


def _validate_join(config: NodeConfig, genesis: Genesis) -> None:
    if config.join == "snapshot" and work_rules(genesis) and config.trust is None:
        raise ConfigError(
            "under proof of work nobody signs a snapshot's block: it has to be one that you trust",
            hint='Set trust = "HEIGHT:ID" of a snapshot of a node of yours, or join = "blocks".',
        )


def _open_signer(
    config: NodeConfig, vote_seed: bytes | None, chain: Chain, disk: Disk
) -> Signer | None:
    if vote_seed is None:
        return None
    # Each vote key has a file of its own, so that keys can rotate.
    name = f"{SIGNING_PREFIX}{public_key(vote_seed).hex()[:16]}"
    signer = Signer(config.data / name, vote_seed, chain.genesis.digest, disk=disk)
    validate_signing_state(signer.state, signer.vote_key, chain.store, chain.height)
    return signer


def _validate_trust(config: NodeConfig, store: Store) -> None:
    """Raise StorageFailure where the chain here is not the one that the owner trusts."""
    found = store.head(config.trust.height) if config.trust is not None else None
    if found is not None and config.trust and found.header.block_id() != config.trust.block_id:
        raise StorageFailure(
            f"block {config.trust.height} here is {found.header.block_id().hex()}, the trusted one "
            f"is {config.trust.block_id.hex()}. Check node.trust. {RESYNC_HINT}"
        )


def anonymous_bytes(process: str = "self") -> int:
    """Return the anonymous resident memory of a process, bytes."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0
