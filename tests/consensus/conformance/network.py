"""A network in virtual time with faults drawn from one seed: what the suite runs engines in."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from random import Random

from consensus import interface as api
from consensus.messages import Validator
from consensus.validator_set import ValidatorSet
from tests.consensus.conformance.node import Factory, Node, Packet
from tests.consensus.conformance.world import GENESIS, Violation, World

CONFIG = api.EngineConfig(
    min_block_interval_ms=100,
    heartbeat_ms=2_000,
    propose_timeout_ms=300,
    vote_timeout_ms=120,
    timeout_step_ms=80,
    timeout_cap_ms=1_000,
    resend_ms=150,
)
FAULTS_MS = 8_000
HEALING_MS = 20_000
HEIGHTS_AFTER_HEALING = 5
HASHES_PER_MS = 1
"""How fast each node searches seals."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens to a network before it heals."""

    seed: int
    powers: tuple[int, ...] = (1, 1, 1, 1)
    """The validators' voting powers; which of them lie holds less than a third."""
    liars: frozenset[int] = frozenset()
    """Validators that build invalid blocks and find every block valid."""
    twin: int | None = None
    """A validator whose key runs in two places that know nothing of one another."""
    loss_percent: int = 0
    duplicate_percent: int = 0
    delay_ms: int = 5
    partitions: bool = False
    crashes: bool = False


class Network:
    """One network of engines (Host)."""

    def __init__(self, scenario: Scenario, factory: Factory) -> None:
        self.scenario = scenario
        self.random = Random(f"conformance {scenario.seed}")
        self.now_ms = 0
        self.crashes = 0
        self._sequence = 0
        self._ids = 0
        self._events: list[tuple[int, int, object]] = []
        self._side: dict[int, int] = {}
        self._is_faulty = True
        twins = frozenset() if scenario.twin is None else frozenset({scenario.twin})
        self.world = World(
            ValidatorSet(
                Validator(b"v%d" % place, power) for place, power in enumerate(scenario.powers)
            ),
            scenario.liars | twins,
        )
        places = [*range(len(scenario.powers))]
        if scenario.twin is not None:
            places.append(len(scenario.powers) + scenario.twin)
        self.nodes = {
            place: Node(place, self, factory, CONFIG, liar=place in scenario.liars)
            for place in places
        }
        self.peers = max(places) + 1

    # --- the host ---------------------------------------------------------------------------

    def wall_ms(self) -> int:
        """The nodes' clock."""
        return GENESIS.time_ms + 1_000 + self.now_ms

    def delay_ms(self) -> int:
        """A short random time that some work takes."""
        return 1 + self.random.randrange(6)

    def sealing_ms(self, work: int) -> int:
        """A random time that a search takes which needs `work` hashes on average."""
        return 1 + int(self.random.expovariate(1 / max(work, 1)) / HASHES_PER_MS)

    def fresh_id(self) -> bytes:
        """An id that no block has."""
        self._ids += 1
        return b"block %026d" % self._ids

    def later(self, node: Node, delay_ms: int, event: api.Input, token: int | None) -> None:
        """Feed an event after a delay, if the process lives then."""
        self._push(delay_ms, (node, node.incarnation, event, token))

    def send(self, source: int, target: int, packet: Packet) -> None:
        """Lose, delay, reorder and duplicate, as long as the network is faulty."""
        scenario, roll = self.scenario, self.random.randrange
        copies = 1
        if self._is_faulty:
            if self._side.get(source, 0) != self._side.get(target, 0):
                return
            if roll(100) < scenario.loss_percent:
                return
            copies += roll(100) < scenario.duplicate_percent
        for _ in range(copies):
            self._push(1 + roll(scenario.delay_ms), (source, target, packet))

    def _push(self, delay_ms: int, content: object) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (self.now_ms + delay_ms, self._sequence, content))

    # --- running ----------------------------------------------------------------------------

    def run(self) -> World:
        """Run through the faults, heal, and wait for progress; raises Violation."""
        for node in self.nodes.values():
            node.start()
        self._plan()
        goal: int | None = None
        while self._events:
            self.now_ms, _, content = heapq.heappop(self._events)
            self._step(content)
            if self.now_ms >= FAULTS_MS and goal is None:
                self._heal()
                goal = max(len(node.disk.chain) for node in self._honest()) + HEIGHTS_AFTER_HEALING
            if goal is not None and min(len(node.disk.chain) for node in self._honest()) >= goal:
                return self.world
            if self.now_ms > FAULTS_MS + HEALING_MS:
                break
        heights = {node.place: len(node.disk.chain) for node in self.nodes.values()}
        raise Violation(f"liveness: {heights}, wanted {goal} within {HEALING_MS} ms of healing")

    def run_until(self, end_ms: int) -> None:
        """Run up to a time, as it comes."""
        while self._events and self._events[0][0] <= end_ms:
            self.now_ms, _, content = heapq.heappop(self._events)
            self._step(content)
        self.now_ms = end_ms

    def _honest(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.honest]

    def _plan(self) -> None:
        roll = self.random.randrange
        for at_ms in range(500, FAULTS_MS, 700):
            if self.scenario.partitions:
                self._push(at_ms + roll(400), "partition")
            if self.scenario.crashes:
                self._push(at_ms + roll(400), "crash")

    def _step(self, content: object) -> None:
        match content:
            case "partition" if self._is_faulty:
                whole = self.random.randrange(3) == 0
                self._side = {place: self.random.randrange(2) * (not whole) for place in self.nodes}
            case "crash" if self._is_faulty:
                node = self.nodes[self.random.choice(list(self.nodes))]
                if node.alive:
                    node.crash()
                    self.crashes += 1
                    self._push(self.random.randrange(600), ("restart", node))
            case ("restart", Node() as node):
                if not node.alive:
                    node.start()
            case (Node() as node, int(incarnation), event, token):
                if node.alive and node.incarnation == incarnation:
                    node.fire(event, token)
            case (int(source), int(target), Packet() as packet):
                found = self.nodes.get(target)
                if found is not None and found.alive:
                    found.receive(source, packet)

    def _heal(self) -> None:
        self._is_faulty = False
        self._side = {}
        for node in self.nodes.values():
            if not node.alive:
                node.start()
