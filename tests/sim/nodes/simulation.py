"""One simulated network of real nodes: runs a scenario under the checkers' eyes."""

import asyncio
import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from consensus import pow as work_engine
from consensus.interface import ReportEvidence
from node.ledger import certificate as certificate_module
from node.p2p.hello import Disconnect
from node.snapshot import serving
from node.snapshot.joining import PATIENCE_S
from node.upgrades import UpgradeNeeded
from tests.sim.nodes.affairs import Affairs
from tests.sim.nodes.checks import Checks
from tests.sim.nodes.disk import ProcessKilled
from tests.sim.nodes.faults import Faults
from tests.sim.nodes.garden import Garden
from tests.sim.nodes.lights import LightProcess
from tests.sim.nodes.links import Network, SimulatedPeers
from tests.sim.nodes.loop import SimulatedLoop
from tests.sim.nodes.people import (
    BLOCK_INTERVAL_MS,
    MAX_DRIFT_MS,
    START_MS,
    Clients,
    identity,
    light_names,
    make_genesis,
    node_names,
)
from tests.sim.nodes.process import Process
from tests.sim.nodes.replay import Replayed, replay
from tests.sim.nodes.scenario import CHAOS_S, Scenario, draw
from tests.sim.world import Violation

HEIGHTS = 30
TRANSACTIONS = 200
PROGRESS_S = 10 * BLOCK_INTERVAL_MS / 1000
CATCH_UP_S = 90.0
TRAFFIC_S = 0.5
MOST_S = CHAOS_S + 600.0
STARTED_MS = 1_000
LOOK_AT_QUEUES = 64
MOST_OUTPUTS = 10_000
"""What engines may ask of all drivers at one moment of simulated time; seeds ask for hundreds."""
TIGHT = {"TREE_MARGIN": -8, "MAX_REFUSED": 4, "FETCHED_HEIGHTS": 4}
"""Bounds of proof of work that a few liars can fill.

Two branches of the final depth have room, and a node fetches more heights than block sync, which
brings what is final, leaves out.
"""


@dataclass(slots=True)
class Outcome:
    """What a simulation did."""

    heights: int
    transactions: int
    trace: str
    simulated_s: float
    messages: int
    crashes: int
    starts: int
    healing_s: float
    kinds: tuple[str, ...]
    evidence: int
    looks: dict[str, int] = field(default_factory=dict)


class Simulation:
    """Nodes, links, clients and checkers of one scenario."""

    def __init__(self, scenario: Scenario, log: Callable[[str], None] | None = None) -> None:
        self.scenario = scenario
        self.loop = SimulatedLoop()
        self.network = Network(self.loop, Random(f"links {scenario.seed}"))
        self.network.log = log
        self.network.on_bug = self.on_bug
        self.network.on_delivered = self._on_delivered
        self.genesis, self.document = make_genesis(scenario)
        self.names = node_names(scenario)
        self.network.names = {
            identity(name).node_key: name for name in (*self.names, *light_names(scenario))
        }
        self.clients = Clients(self.genesis, scenario.seed, scenario.gas_price_micro)
        self.checks = Checks(scenario, self.names, self.clients, self.genesis)
        self.checked_signatures: dict[bytes, bool] = {}
        self.random = Random(f"world {scenario.seed}")
        offsets = {fault.node: fault.amount for fault in scenario.faults if fault.kind == "clock"}
        liars = {fault.node: fault.amount for fault in scenario.faults if fault.kind == "liar"}
        self.processes = [
            Process(
                self,
                index,
                name,
                liar=liars.get(index),
                offset_ms=offsets.get(index, self.random.randint(-400, 400)),
            )
            for index, name in enumerate(self.names)
        ]
        self.lights = [LightProcess(self, name) for name in light_names(scenario)]
        self.failure: BaseException | None = None
        self.faults = Faults(self)
        self.affairs = self.checks.affairs = Affairs(self)
        self._is_over = False
        self._deliveries = 0
        self._still_at_s, self._outputs = 0.0, 0

    # --- what processes ask and tell -------------------------------------------------------------

    def now_ms(self) -> int:
        """Return the true time."""
        return START_MS + STARTED_MS + int(self.loop.time() * 1000)

    def on_open(self, process: Process, node: Any) -> None:
        """A node has opened its chain."""
        node.engine_view()  # people look at any time
        if self.checks.work is not None:
            node._driver.engine.work_view()
        self.checks.on_open(process.name, node.chain, process.disk.entries())
        signer = node._signer
        if signer is not None:
            sign = signer.sign

            def signed(message: Any) -> bytes:
                self.checks.on_signed(process.name, message)
                return sign(message)

            signer.sign = signed
        execute = node._driver._execute

        async def watched(output: Any) -> None:
            if isinstance(output, ReportEvidence):
                first = output.evidence.first
                validators = node.chain.store.validators_at(first.height)
                account = validators[first.validator_index].account
                self.checks.check_report(process.name, account, output.evidence)
            await execute(output)

        node._driver._execute = watched

    def watch_outputs(self, process: Process, node: Any) -> None:
        """Fail where an engine has its driver do ever more without any time passing."""
        execute = node._driver._execute

        async def counted(output: Any) -> None:
            now_s = self.loop.time()
            if now_s != self._still_at_s:
                self._still_at_s, self._outputs = now_s, 0
            self._outputs += 1
            if self._outputs > MOST_OUTPUTS:
                self._fail(Violation(f"progress: {process.name} goes round in a circle"))
                raise ProcessKilled
            await execute(output)

        node._driver._execute = counted

    def on_final(self, process: Process, node: Any, final: Any) -> None:
        """A node acknowledges a block."""
        if not process.has_joined and node.store.base > 1 and process.joins:
            process.has_joined = True
            self.network.note("joined", process.name, node.store.base - 1)
        header = final.block.header
        self.network.note("final", process.name, header.height, final.block.block_id.hex()[:16])
        try:
            is_readable = not process.disk.is_rotten()
            self.checks.on_final(process.name, node, final, self.now_ms(), is_readable=is_readable)
        except Violation as violation:
            self._fail(violation)

    def on_undecided(self, process: Process, node: Any, block: Any) -> None:
        """A node applies a block that may still be undone."""
        if self.checks.work is not None:
            try:
                self.checks.work.on_undecided(process.name, block, node.chain.block_id)
            except Violation as violation:
                self._fail(violation)

    def on_reorganisation(self, process: Process, node: Any, event: Any) -> None:
        """A node undoes blocks."""
        heights = [block.header.height for block in event.undone]
        self.network.note("reorganisation", process.name, heights)
        if self.checks.work is not None:
            try:
                self.checks.work.on_reorganisation(process.name, node, event.undone)
            except Violation as violation:
                self._fail(violation)

    def on_down(self, process: Process) -> None:
        """A process ended: somebody starts it again."""
        self.loop.call_later(self.faults.restart_in_s(process, self.random), process.start)

    def on_storage_failure(self, process: Process, *, was_open: bool) -> None:
        """A node stopped because of its disk: the operator makes room, or begins anew."""
        if not process.disk.faults and not process.disk.is_rotten():
            self._fail(Violation(f"disk: {process.name} fails on a disk without fault"))
        process.disk.disarm()
        if not was_open or process.disk.is_rotten():
            process.disk.remove_databases()
            process.is_emptied = True
            self.checks.forget(process.name)
            self.network.note("anew", process.name)
        self.on_down(process)

    def on_node_failed(self, process: Process, error: BaseException) -> None:
        """A node stopped for a fault of its own."""
        if isinstance(error, Violation):
            self._fail(error)
        elif isinstance(error, UpgradeNeeded):
            try:
                self.affairs.on_upgrade_needed(process)
            except Violation as violation:
                self._fail(violation)
        elif process.liar is None:
            violation = Violation(f"node: {process.name} failed: {type(error).__name__}: {error}")
            violation.__cause__ = error
            self._fail(violation)
        else:
            process.crash()

    def on_bug(self, error: BaseException) -> None:
        """Something failed that nobody waits for."""
        if not isinstance(error, Violation):
            violation = Violation(f"node: a handler failed: {type(error).__name__}: {error}")
            violation.__cause__ = error
            error = violation
        self._fail(error)

    def _on_loop_error(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException) and "never retrieved" not in context["message"]:
            self.on_bug(error)

    def _fail(self, failure: BaseException) -> None:
        if self.failure is None:
            self.failure = failure
        self._stop()

    def _stop(self) -> None:
        if not self._is_over:
            self.loop.stop()

    def _on_delivered(self, peers: SimulatedPeers) -> None:
        self._deliveries += 1
        if self._deliveries % LOOK_AT_QUEUES == 0:
            for process in self.processes:
                if process.peers is peers and process.node is not None and process.liar is None:
                    try:
                        self.checks.check_queues(process.name, process.node)
                    except Violation as violation:
                        self._fail(violation)

    # --- the run ---------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Run through chaos and healing; raises Violation when a promise is broken."""
        logging.getLogger("bitenergy").setLevel(logging.CRITICAL + 1)
        logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
        remembered = _remember_checks()
        garden = Garden()
        garden.put(serving, "REST_S", 0.0)  # in one thread it would only take real time
        if self.scenario.tight:
            for name, value in TIGHT.items():
                garden.put(work_engine, name, value)
        was_enabled = gc.isenabled()
        gc.disable()
        loop = self.loop
        loop.set_exception_handler(self._on_loop_error)
        asyncio.set_event_loop(loop)
        try:
            main = loop.create_task(self._play())
            main.add_done_callback(lambda _: self._stop())
            loop.run_forever()
            if self.failure is not None:
                raise self.failure
            healing_s = main.result()
            self._replay()
            return self._outcome(healing_s)
        finally:
            self._tear_down()
            certificate_module.verify_signature = remembered
            garden.clear()
            asyncio.set_event_loop(None)
            if was_enabled:
                gc.enable()

    async def _play(self) -> float:
        loop = self.loop
        for process in self.processes:
            begin_s = self.scenario.joins_at_s if process.name[0] == "J" else 0.0
            loop.call_later(begin_s + 0.3 * self.random.random(), process.start)
        for light in self.lights:
            loop.call_later(1.0 + self.random.random(), light.start)
        self.faults.plan(self.scenario.faults)
        self.affairs.plan()
        loop.call_later(TRAFFIC_S, self._send_traffic)
        await asyncio.sleep(CHAOS_S)
        self.faults.heal()
        healed_s = loop.time()
        before, reached = max(self.checks.final, default=0), self._reached()
        # A validator that lost its disk waits so long for a snapshot before it takes the blocks;
        # with a liar beside it there may be no quorum until then.
        waits = any(p.is_emptied and p.joins and not p.has_joined for p in self._honest())
        within_s = PROGRESS_S + (PATIENCE_S if waits else 0.0)
        await self._until(lambda: self._reached() > reached, within_s, "progress")
        healing_s = loop.time() - healed_s
        await self._until(lambda: self._least() > before, CATCH_UP_S, "progress: catching up")
        goal = max(HEIGHTS, before + 10)
        await self._until(
            lambda: self._least() >= goal and len(self.clients.final) >= TRANSACTIONS,
            MOST_S,
            "progress: heights and transactions",
        )
        await self._until(
            lambda: all(light.height > before and light.proved for light in self.lights),
            CATCH_UP_S,
            "progress: light nodes",
        )
        await self._until(
            lambda: self._whole_height() == max(self.checks.final),
            CATCH_UP_S,
            "progress: a node that holds every block",
        )
        return healing_s

    def _whole_height(self) -> int:
        """The height of the best node that holds every block; 0 if there is none."""
        return max(
            (p.node.store.height for p in self._sound() if p.node.store.base <= 1), default=0
        )

    def _honest(self) -> list[Process]:
        return [p for p in self.processes if p.liar is None]

    def _reached(self) -> int:
        """The highest block; under proof of work it is not final as yet."""
        tips = [p.node.chain.tip.height for p in self._honest() if p.node is not None]
        return (
            max(self.checks.final, default=0) if self.checks.work is None else max(tips, default=0)
        )

    def _least(self) -> int:
        """The lowest height of those who can follow.

        Under proof of work a block waits until a node's clock is there: who is behind by minutes
        finds nothing final, until it is put right.
        """
        is_worked = self.checks.work is not None
        return min(
            self.checks.heights.get(process.name, 0)
            for process in self._honest()
            if not is_worked or process.offset_ms > -MAX_DRIFT_MS
        )

    async def _until(self, condition: Callable[[], bool], within_s: float, what: str) -> None:
        end_s = self.loop.time() + within_s
        while not condition():
            if self.loop.time() > end_s:
                raise Violation(
                    f"{what}: not within {within_s:.0f} s of healing: {self.describe()}"
                )
            await asyncio.sleep(0.1)

    def _send_traffic(self) -> None:
        self.loop.call_later(TRAFFIC_S, self._send_traffic)
        made = len(self.clients.made)
        fresh = 3 if made < TRANSACTIONS * 6 // 5 else (self.random.randrange(4) == 0)
        batch = self.clients.due(self.loop.time(), int(fresh))
        up = [process for process in self._honest() if process.is_up]
        if batch and up:
            for process in self.random.sample(
                up, 1 + (self.random.randrange(8) == 0 and len(up) > 1)
            ):
                process.spawn(self._submit(process.node, batch))

    async def _submit(self, node: Any, batch: list[Any]) -> None:
        await node.submit([transaction.raw for transaction in batch])

    def _sound(self) -> list[Process]:
        """Those whose disks can be compared."""
        return [p for p in self._honest() if p.node is not None and not p.disk.is_rotten()]

    def _replay(self) -> None:
        """Execute the best whole chain anew from genesis; compare all nodes with it."""
        sound = [
            Replayed(p.name, p.node.store, p.disk.entries(), p.has_joined) for p in self._sound()
        ]
        sound.sort(key=lambda node: (node.store.base > 1, -node.store.height))
        if not sound or sound[0].store.base > 1:
            raise Violation("replay: no node holds every block")
        fresh = replay(self.genesis, sound, self.checks)
        for key in self.clients.final:
            if fresh.find_transaction(key) is None:
                raise Violation("acknowledged: a final transaction is in no final block")

    def _tear_down(self) -> None:
        self._is_over = True
        for process in self.processes:
            process._end(_OVER)
        for light in self.lights:
            light.stop()
        loop = self.loop
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=5))
        loop.close()

    def _outcome(self, healing_s: float) -> Outcome:
        return Outcome(
            heights=max(self.checks.final),
            transactions=len(self.clients.final),
            trace=self.network.trace.hexdigest(),
            simulated_s=self.loop.time(),
            messages=self.network.messages,
            crashes=sum(process.crashes for process in self.processes),
            starts=sum(process.starts for process in self.processes),
            healing_s=healing_s,
            kinds=tuple(sorted(self.faults.kinds)),
            evidence=len(self.checks.accused),
            looks=self.checks.looks,
        )

    def describe(self) -> str:
        """Return where the nodes stand, for failures."""
        lines = []
        for process in self.processes:
            node = process.node
            state = "down" if node is None else _stand(node)
            lines.append(f"{process.name}{'*' if process.liar is not None else ''}: {state}")
        return "; ".join(lines)


def _stand(node: Any) -> str:
    view = node.engine_view()
    held = " held" if node._driver.is_held else ""
    sync = " syncing" if node._sync.is_syncing else ""
    at = f"{view.height}/{view.round}/{view.step.name}"
    return f"height {node.chain.height}, engine {at}{held}{sync}"


def _remember_checks() -> Any:
    """Check each signature of a vote really, but once for all nodes together."""
    real = certificate_module.verify_signature
    known: dict[tuple[bytes, bytes, bytes], bool] = {}

    def remembered(key: bytes, message: bytes, signature: bytes) -> bool:
        place = (key, message, signature)
        found = known.get(place)
        if found is None:
            found = known[place] = real(key, message, signature)
        return found

    certificate_module.verify_signature = remembered
    return real


_OVER = Disconnect("stopping", "the simulation is over")


def simulate(seed: int, engine: str | None = None) -> Outcome:
    """Run one seed, under the engine that is its turn unless one is named."""
    return Simulation(draw(seed, engine)).run()
