"""A simulated process: one real node on its own disk, clock and links, that can die at any time."""

import contextvars
from pathlib import Path
from random import Random
from typing import Any

from node.config import Address, NodeConfig
from node.facade import FinalBlock, Reorganisation, UndecidedBlock
from node.ledger.transaction import Transaction
from node.machine import Machine
from node.node import Node, NodeKeys
from node.p2p.hello import Disconnect
from node.p2p.peers import PeerAddress
from node.store import StorageFailure
from node.upgrades import Support
from tests.sim.nodes.disk import ProcessKilled, SimulatedDisk
from tests.sim.nodes.liar import Liar
from tests.sim.nodes.links import SimulatedPeers
from tests.sim.nodes.loop import LIFE, Life
from tests.sim.nodes.people import identity, vote_seed
from tests.sim.nodes.work import SimulatedSealer
from tests.sim.nodes.work_liar import LyingSealer, WorkLiar
from vm.primitives.signatures import verify_signature

DATA = Path("/simulated")
KEEP_BLOCKS = 8


class InlineVerifier:
    """Checks transactions' signatures at once; each is checked really, and once per run."""

    def __init__(self, known: dict[bytes, bool]) -> None:
        self._known = known
        self.checked = 0

    async def start(self) -> None:
        """Do nothing: there are no workers."""

    async def stop(self) -> None:
        """Do nothing."""

    def failures(self) -> list[Any]:
        """Return no tasks."""
        return []

    async def check(self, transactions: list[Transaction]) -> list[bool]:
        """Tell for each transaction whether its signature holds."""
        self.checked += len(transactions)
        return [self._holds(transaction) for transaction in transactions]

    def _holds(self, item: Transaction) -> bool:
        found = self._known.get(item.id)
        if found is None:
            found = verify_signature(item.key, item.digest, item.signature)
            self._known[item.id] = found
        return found


class SimulatedMachine(Machine):
    """What a node takes from the world, all of it simulated."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self.disk = process.disk

    def clock_ms(self) -> int:
        process = self._process
        return process.world.now_ms() + process.offset_ms

    def make_verifier(self, workers: int | None) -> Any:
        return InlineVerifier(self._process.world.checked_signatures)

    def make_sealer(self, percent: int) -> Any:
        process = self._process
        random = Random(f"sealer {process.world.scenario.seed} {process.index} {process.starts}")
        kind = SimulatedSealer if process.liar is None else LyingSealer
        process.sealer = kind(process.world.loop, random)
        return process.sealer

    def make_peers(
        self, *, identity: Any, genesis: bytes, kinds: Any, handler: Any, height: Any
    ) -> Any:
        process = self._process
        kind: type[SimulatedPeers] = SimulatedPeers
        if process.liar is not None:
            kind = Liar if process.world.checks.engine.has_certificates else WorkLiar
        process.peers = kind(
            process.world.network,
            key=identity.node_key,
            kinds=kinds,
            handler=handler,
            height=height,
        )
        return process.peers


class _Follower:
    """Hears of final blocks as the API does, at once."""

    def __init__(self, process: "Process", node: Node) -> None:
        self._process = process
        self._node = node

    def qsize(self) -> int:
        return 0

    def full(self) -> bool:
        return False

    def put_nowait(self, final: Any) -> None:
        world, process, node = self._process.world, self._process, self._node
        match final:
            case FinalBlock():
                world.on_final(process, node, final)
            case UndecidedBlock(block):
                world.on_undecided(process, node, block)
            case Reorganisation():
                world.on_reorganisation(process, node, final)


class Process:
    """One member's computer: what is on its disk stays, what runs on it comes and goes."""

    def __init__(
        self, world: Any, index: int, name: str, *, liar: int | None, offset_ms: int
    ) -> None:
        self.world = world
        self.index = index
        self.name = name
        self.liar = liar
        self.offset_ms = offset_ms
        self.disk = SimulatedDisk(Random(f"disk {world.scenario.seed} {index}"))
        self.node: Node | None = None
        self.life: Life | None = None
        self.peers: Any = None
        self.sealer: Any = None
        self.support = Support()
        """What its software can do."""
        self.vote_name = name if name[0] == "V" else ""
        """Whose vote key it has; empty for none."""
        self.has_joined = False
        """Whether its chain goes on from a snapshot."""
        self.is_emptied = False
        """Whether its database was removed: it begins anew."""
        self.starts = self.crashes = 0

    @property
    def is_up(self) -> bool:
        """Whether the node runs."""
        return self.node is not None and self.life is not None and self.life.alive

    def start(self) -> None:
        """Start the node, unless it runs."""
        if self.life is not None:
            return
        self.starts += 1
        self.life = Life(self.crash)
        self.world.network.note("start", self.name)
        self.spawn(self._run(self.life))

    def spawn(self, work: Any) -> None:
        """Run something as this process."""
        context = contextvars.copy_context()
        context.run(LIFE.set, self.life)
        self.world.loop.create_task(work, context=context)

    def crash(self) -> None:
        """Lose power: what is not synced is gone."""
        if self.life is None:
            return
        self.crashes += 1
        self.world.network.note("crash", self.name)
        self._end(Disconnect("lost", "the connection is lost"))
        self.disk.crash()
        self.world.on_down(self)

    def stop(self) -> None:
        """Ask the node to stop, as on a signal."""
        if self.is_up:
            self.spawn(self._stop(self.life, self.node))

    def _end(self, reason: Disconnect) -> None:
        life, self.life, self.node = self.life, None, None
        if self.peers is not None:
            self.peers.hang_up(reason)
            self.peers = None
        if life is not None:
            life.end()

    async def _stop(self, life: Life | None, node: Node | None) -> None:
        if node is None:
            return
        self.world.network.note("stop", self.name)
        await node.stop()
        if self.life is life:
            self._end(Disconnect("stopping", "the node stops"))
            self.disk.crash()  # whatever was left unsynced by a stop is as lost
            self.world.on_down(self)

    async def _run(self, life: Life) -> None:
        world = self.world
        node: Node | None = None
        try:
            node = self._open()
            await node.start()
            await node.wait_failed()
        except ProcessKilled:
            self.crash()
        except StorageFailure as error:
            world.network.note("storage", self.name, str(error))
            if node is not None:
                await node.stop()
            if self.life is life:
                self._end(Disconnect("lost", "the connection is lost"))
                self.disk.crash()
                world.on_storage_failure(self, was_open=node is not None)
        except Exception as error:
            if self.life is life:
                world.on_node_failed(self, error)

    @property
    def joins(self) -> bool:
        """Whether it comes to the others' height by a snapshot."""
        is_new = self.is_emptied or self.name[0] == "J"
        return is_new and self.world.scenario.snapshot_interval > 0

    def _open(self) -> Node:
        world = self.world
        others = [name for name in world.names if name != self.name]
        config = NodeConfig(
            name=self.name,
            genesis=DATA / "genesis.json",
            data=DATA / self.name,
            log_level="error",
            node_key=DATA / "unused",
            vote_key=None,
            p2p=Address("127.0.0.1", 1),
            peers=tuple(PeerAddress(identity(name).node_key, "h", 1) for name in others),
            api=Address("127.0.0.1", 1),
            api_hosts=(),
            api_origins=(),
            workers=1,
            verify_synced_signatures=not world.scenario.trusts_certificates,
            mode="full" if self.index in world.scenario.pruned else "archive",
            keep_blocks=KEEP_BLOCKS,
            snapshot_interval=world.scenario.snapshot_interval,
            join="snapshot" if self.joins else "blocks",
        )
        seed = vote_seed(self.vote_name) if self.vote_name else None
        keys = NodeKeys(identity(self.name), seed)
        machine = SimulatedMachine(self)
        node = Node(config, world.genesis, keys, machine=machine, support=self.support)
        self.node = node
        world.watch_outputs(self, node)
        if self.liar is None:
            world.on_open(self, node)
            node.subscribe().queue = _Follower(self, node)
        elif seed is not None:
            random = Random(f"liar {world.scenario.seed} {self.index} {self.starts}")
            self.peers.network_clients = world.clients
            self.peers.arm(node, seed, self.name, self.liar, random)
            if self.sealer is not None:
                self.sealer.liar = self.peers
        return node
