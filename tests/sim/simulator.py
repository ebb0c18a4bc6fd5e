"""The simulator: virtual time, one event queue, a network with faults, all drawn from one seed."""

import hashlib
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random

from consensus import interface as api
from consensus.messages import Proposal, Validator, Vote, VoteKind
from consensus.poa import PoaEngine, rotating_proposer
from consensus.pos import PosEngine, weighted_proposer
from consensus.rules import ProposerChoice
from consensus.validator_set import ValidatorSet
from tests.sim.byzantine import TwoFaced
from tests.sim.checkers import Checkers
from tests.sim.node import EngineFactory, Node, Packet
from tests.sim.world import GENESIS, Violation, World

CONFIG = api.EngineConfig(
    min_block_interval_ms=120,
    heartbeat_ms=3_000,
    propose_timeout_ms=300,
    vote_timeout_ms=120,
    timeout_step_ms=80,
    timeout_cap_ms=1_000,
    resend_ms=150,
)
TIGHT = replace(CONFIG, rounds_kept=2, rounds_ahead=1, blocks_kept=3)
CHAOS_MS = 20_000
HEALING_BOUND_MS = 10_000
STUBBORN_MS = 14_000
AMBUSH_LOSS_PERCENT = 40
BLINDING_PERCENT = 85
HEIGHTS_AFTER_HEALING = 10
HEIGHTS_PER_SET = 3
CLOCKS_AGREE_MS = 10_000
TEXTS = 1_024


class Dice(Random):
    """The standard generator, with the one method that a simulation calls a million times."""

    def randrange(self, limit: int) -> int:  # type: ignore[override]
        """Return a number from 0 and below `limit`, the very one that `Random` would."""
        bits = limit.bit_length()
        number = self.getrandbits(bits)
        while number >= limit:
            number = self.getrandbits(bits)
        return number


@dataclass(frozen=True, slots=True)
class Scenario:
    """What one seed stands for."""

    seed: int
    powers: tuple[int, ...]
    followers: int
    dishonest: frozenset[int]
    loss_percent: int
    duplicate_percent: int
    delay_ms: int
    partitions: bool
    crashes: bool
    offsets_ms: tuple[int, ...]
    idle: bool
    ambush: bool
    """The network knows all: precommits get lost, who decides first is cut off, lights go out."""
    stubborn: bool
    """No proposal gets through for a while and one node is cut off, so that rounds drift apart."""
    absent: int | None
    """A validator that stays down after healing."""
    changing: bool = False
    """Whether powers change, and the last validator comes and goes, every few heights."""
    tight: bool = False
    """Whether engines keep as little as they may: few rounds, few blocks."""
    odd: int | None = None
    """A validator whose software finds every block invalid for a while."""
    forgetful: int | None = None
    """A validator whose crashes may take the end of its chain along, while its signing file stays.

    It is silent until it has what it signed, so that nobody else may be missing.
    """

    @staticmethod
    def draw_staked(seed: int) -> "Scenario":
        """Draw a scenario with unequal powers, in sets that change."""
        base = Scenario.draw(seed)
        random = Random(f"stakes {seed}")
        powers = tuple(random.choice((1, 3, 10, 30, 100)) for _ in base.powers)
        sure = replace(base, powers=powers, changing=True)
        return sure if sure.is_tolerable(powers) else replace(base, changing=True)

    @property
    def faulty(self) -> frozenset[int]:
        """Validators that lie, stay away, or have a wrong clock."""
        late = {i for i, offset in enumerate(self.offsets_ms) if abs(offset) > CLOCKS_AGREE_MS}
        others = {self.absent, self.odd, self.forgetful} - {None}
        return self.dishonest | late | others  # type: ignore[operator]

    def is_tolerable(self, powers: tuple[int, ...]) -> bool:
        """Tell whether the faulty ones hold less than a third of the power."""
        weak = sum(power for index, power in enumerate(powers) if index in self.faulty)
        return 3 * weak < sum(powers)

    def powers_at(self, height: int) -> tuple[int, ...]:
        """Return the powers that decide a height."""
        epoch = (height - 1) // HEIGHTS_PER_SET
        if not self.changing or epoch == 0:
            return self.powers
        random = Random(f"set {self.seed} {epoch}")
        grown = tuple(random.choice((1, 2, 3)) * power for power in self.powers)
        found = grown[: len(grown) - random.choice((0, 1))]
        return found if self.is_tolerable(found) else self.powers

    @staticmethod
    def draw(seed: int) -> "Scenario":
        """Draw a scenario; dishonest and badly timed validators stay below a third together."""
        random = Random(f"scenario {seed}")
        count = random.choice((4, 4, 4, 5, 6, 7))
        powers = tuple(random.choice((1, 1, 1, 2)) if seed % 5 == 0 else 1 for _ in range(count))
        order = list(range(count))
        random.shuffle(order)
        faulty: list[int] = []
        while 3 * (sum(powers[i] for i in faulty) + powers[order[0]]) < sum(powers):
            faulty.append(order.pop(0))
        dishonest = frozenset(faulty if random.random() < 0.5 else ())
        late = (
            random.choice((-200_000, 90_000))
            if faulty and not dishonest and random.random() < 0.3
            else 0
        )
        followers = random.choice((0, 0, 1))
        offsets = [random.randint(-400, 400) for _ in range(count + followers)]
        if late:
            offsets[faulty[0]] += late
        stubborn = random.random() < 0.2
        more = Random(f"more {seed}")
        tight, odd, forgetful = more.random() < 0.3, more.random() < 0.2, more.random() < 0.2
        absent = faulty[0] if stubborn and faulty and not dishonest and not late else None
        spare = faulty[0] if faulty and not (dishonest or late or stubborn) else None
        return Scenario(
            seed=seed,
            powers=powers,
            followers=followers,
            dishonest=dishonest,
            loss_percent=random.choice((0, 5, 15, 25, 40)),
            duplicate_percent=random.choice((0, 10, 30)),
            delay_ms=random.choice((5, 30, 120)),
            partitions=random.random() < 0.6,
            crashes=random.random() < 0.6,
            offsets_ms=tuple(offsets),
            idle=random.random() < 0.25,
            ambush=random.random() < 0.35,
            stubborn=stubborn,
            absent=absent,
            tight=tight,
            odd=spare if odd else None,
            forgetful=None if odd or not forgetful else spare,
        )


@dataclass(slots=True)
class Result:
    """What a simulation did."""

    heights: int
    trace: str
    healing_ms: int
    events: int
    crashes: int
    looks: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)


class Simulation:
    """One network; it is the `Host` of its nodes."""

    def __init__(
        self,
        scenario: Scenario,
        factory: EngineFactory = PoaEngine,
        node_type: type[Node] = Node,
        log: Callable[[str], None] | None = None,
        choose: ProposerChoice = rotating_proposer,
    ) -> None:
        self.scenario = scenario
        self.log = log
        self.random = Dice(f"run {scenario.seed}")
        self._text = lru_cache(TEXTS)(repr)
        self.now = 0
        self.sequence = 0
        self.events: list[tuple[int, int, str, int, object]] = []
        self.cut: set[tuple[int, int]] = set()
        self.faulty_network = True
        self.crash_count = 0
        self.silenced: dict[int, int] = {}
        self.is_mended = False
        self.trace = hashlib.sha256()
        count = len(scenario.powers)
        self.peers = count + scenario.followers
        self._sets: dict[int, ValidatorSet] = {}
        validators = _make_set(scenario.powers)
        self.world = World(validators, scenario.dishonest, choose, self._set_at)
        self.checkers = Checkers(self.world)
        self.liars = {
            index: TwoFaced(index, self, self.world, peers=self.peers)
            for index in sorted(scenario.dishonest)
        }
        self.nodes = {
            index: node_type(
                index,
                self,
                self.checkers,
                validators=validators,
                factory=factory,
                config=TIGHT if scenario.tight else CONFIG,
                peers=self.peers,
            )
            for index in range(self.peers)
            if index not in scenario.dishonest
        }

        self.outcast = self.random.choice([i for i in self.nodes if i != scenario.absent])

    def _set_at(self, height: int) -> ValidatorSet:
        if height not in self._sets:
            self._sets[height] = _make_set(self.scenario.powers_at(height))
        return self._sets[height]

    # --- the host ---------------------------------------------------------------------------

    def wall_ms(self, node: int) -> int:
        """A node's clock."""
        return GENESIS.time_ms + 1_000 + self.now + self.scenario.offsets_ms[node]

    def below(self, limit: int) -> int:
        """A random number of the simulation."""
        return self.random.randrange(limit)

    def _push(self, delay_ms: int, kind: str, node: int, content: object) -> None:
        self.sequence += 1
        heapq.heappush(self.events, (self.now + delay_ms, self.sequence, kind, node, content))

    def send(self, source: int, target: int, packet: Packet) -> None:
        """Lose, delay, reorder and duplicate."""
        scenario, roll = self.scenario, self.random.randrange
        if (source, target) in self.cut:
            return
        copies = 1
        if self.faulty_network:
            if roll(100) < scenario.loss_percent or self._is_swallowed(source, target, packet):
                return
            copies += roll(100) < scenario.duplicate_percent
        for _ in range(copies):
            self._push(1 + roll(scenario.delay_ms), "packet", target, (source, packet))

    def _is_swallowed(self, source: int, target: int, packet: Packet) -> bool:
        """The losses of the two scenarios that aim."""
        if self.now < self.silenced.get(source, 0):
            return True
        message = packet.message
        if self.scenario.ambush and isinstance(message, Vote):
            aimed = message.kind is VoteKind.PRECOMMIT and source not in self.liars
            if aimed and self.random.randrange(100) < AMBUSH_LOSS_PERCENT:
                return True
            next_proposer = self.world.proposer(message.height, message.round + 1)
            blinded = message.kind is VoteKind.PREVOTE and target == next_proposer
            if blinded and self.random.randrange(100) < BLINDING_PERCENT:
                return True
        if self.scenario.stubborn and self.now > CHAOS_MS - STUBBORN_MS:
            return self.outcast in (source, target) or isinstance(message, Proposal)
        return False

    def _spring_ambush(self, decided: int) -> None:
        """Somebody decided a new height: silence him, and maybe crash all others at once."""
        if self.random.randrange(3):
            self.silenced[decided] = self.now + 2_500
            if self.scenario.crashes and self.random.randrange(2) == 0:
                for index, node in self.nodes.items():
                    if index != decided and node.alive:
                        node.crash()
                        self.crash_count += 1
                        self._push(20 + self.random.randrange(100), "restart", index, None)

    def later(self, node: int, delay_ms: int, event: api.Input, token: int | None) -> None:
        """Feed an event after a delay, if the process still lives then."""
        self._push(delay_ms, "event", node, (self.nodes[node].incarnation, event, token))

    def may_crash(self, node: int) -> bool:
        """Crash between two outputs, now and then."""
        if not (self.scenario.crashes and self.faulty_network) or self.random.randrange(400):
            return False
        self._note_crash(node)
        return True

    def judges_oddly(self, node: int) -> bool:
        """Tell whether a node's software is wrong about blocks just now."""
        return node == self.scenario.odd and self.faulty_network and not self.is_mended

    def stop_for_conflict(self, node: int) -> None:
        """A node stopped because a quorum took what it found invalid: its owner mends it."""
        if node != self.scenario.odd:
            raise Violation(f"conflict: node {node} disagrees with a quorum about a block")
        self.is_mended = True
        self.nodes[node].crash()
        self._note_crash(node)

    def _note_crash(self, node: int) -> None:
        forgets = node == self.scenario.forgetful and self.faulty_network
        lost = self.random.randrange(4) if forgets else 0
        self.nodes[node].lose_blocks(lost)
        self.crash_count += 1
        self._push(50 + self.random.randrange(1_500), "restart", node, None)

    # --- faults -----------------------------------------------------------------------------

    def _plan(self) -> None:
        random = self.random
        for at in range(300, CHAOS_MS, 700):
            if self.scenario.partitions:
                self._push(at + random.randrange(400), "cut", 0, None)
            if self.scenario.crashes and random.random() < 0.5:
                victim = random.choice(sorted(self.nodes))
                self._push(at + random.randrange(700), "crash", victim, None)
        if self.scenario.idle:
            at = random.randrange(CHAOS_MS // 2)
            self._push(at, "idle", 0, None)
            self._push(at + random.randrange(CHAOS_MS // 2), "busy", 0, None)
        self._push(CHAOS_MS, "heal", 0, None)

    def _shift_partition(self) -> None:
        """Cut the network in two, or some links one way, or nothing."""
        style = self.random.randrange(5)
        self.cut.clear()
        if style == 0:
            return
        alone = self.random.choice(sorted(self.nodes))
        side = [self.random.random() < 0.5 for _ in range(self.peers)]
        for a in range(self.peers):
            for b in range(self.peers):
                across = side[a] != side[b]
                is_cut = {
                    1: self.random.random() < 0.3,
                    2: across,
                    3: across and side[a],
                    4: a == alone,
                }
                if is_cut[style]:
                    self.cut.add((a, b))

    def _heal(self) -> None:
        self.faulty_network = False
        self.cut.clear()
        for node in self.nodes.values():
            node.busy = True
            if node.index == self.scenario.absent:
                node.crash()
            elif not node.alive:
                node.start()
            else:
                node.feed(api.WorkAvailable(self.wall_ms(node.index)))

    # --- the loop ---------------------------------------------------------------------------

    def run(self) -> Result:
        """Run through chaos and healing; raises Violation when a promise is broken."""
        self._plan()
        for index in self.nodes:
            self._push(self.random.randrange(100), "restart", index, None)
        goal, count = None, 0
        while self.events:
            at, _sequence, kind, node, content = heapq.heappop(self.events)
            self.now = at
            count += 1
            line = self._line(at, kind, node, content)
            self.trace.update(line.encode())
            if self.log is not None:
                self.log(line)
            decided = len(self.world.final)
            self._step(kind, node, content)
            if self.scenario.ambush and self.faulty_network and len(self.world.final) > decided:
                self._spring_ambush(node)
            if kind == "heal":
                goal = max(self.world.final, default=0) + HEIGHTS_AFTER_HEALING
            if goal is not None and self._reached(goal):
                break
            if at > CHAOS_MS + HEALING_BOUND_MS:
                views = {i: n.engine.view() for i, n in self.nodes.items()}
                raise Violation(f"progress: no {goal} within {HEALING_BOUND_MS} ms: {views}")
        if goal is None or not self.world.final:
            raise Violation("progress: no height ran")
        return Result(
            heights=max(self.world.final),
            trace=self.trace.hexdigest(),
            healing_ms=self.now - CHAOS_MS,
            events=count,
            crashes=self.crash_count,
            looks=self.checkers.looks,
        )

    def _line(self, at: int, kind: str, node: int, content: object) -> str:
        """Return an event as text; what goes to many is put into words once."""
        if kind == "packet" and isinstance(content, tuple):
            source, packet = content
            return f"({at}, 'packet', {node}, ({source}, {self._text(packet)}))"
        return repr((at, kind, node, content))

    def _reached(self, goal: int) -> bool:
        return all(
            len(node.disk.chain) >= goal
            for node in self.nodes.values()
            if node.index != self.scenario.absent
        )

    def _step(self, kind: str, index: int, content: object) -> None:
        node = self.nodes.get(index)
        if kind == "packet":
            assert isinstance(content, tuple)
            source, packet = content
            if index in self.liars:
                self.liars[index].receive(source, packet)
            elif node is not None and node.alive:
                node.receive(source, packet)
        elif kind == "event":
            assert isinstance(content, tuple)
            incarnation, event, token = content
            if node is not None and node.alive and node.incarnation == incarnation:
                if token is None:
                    node.feed(event)
                else:
                    node.fire(event, token)
        elif kind == "restart" and node is not None and not node.alive:
            if self.faulty_network or index != self.scenario.absent:
                node.start()
        elif kind == "crash" and node is not None and node.alive:
            node.crash()
            self._note_crash(index)
        elif kind == "cut" and self.faulty_network:
            self._shift_partition()
        elif kind in ("idle", "busy"):
            for other in self.nodes.values():
                other.busy = kind == "busy"
                if other.busy and other.alive:
                    other.feed(api.WorkAvailable(self.wall_ms(other.index)))
        elif kind == "heal":
            self._heal()
        if node is not None and node.alive and self.sequence % 16 == 0:
            self._check_memory(node)

    def _check_memory(self, node: Node) -> None:
        state = getattr(node.engine, "_state", None)
        if state is not None:
            node.engine.view()  # people look at any time
            self.checkers.check_memory(node.index, state.votes.size(), state.blocks.size())


def _make_set(powers: tuple[int, ...]) -> ValidatorSet:
    return ValidatorSet(Validator(b"v%d" % index, power) for index, power in enumerate(powers))


def simulate(seed: int, factory: EngineFactory = PoaEngine, node_type: type[Node] = Node) -> Result:
    """Run one seed."""
    return Simulation(Scenario.draw(seed), factory, node_type).run()


def simulate_staked(seed: int) -> Result:
    """Run one seed of `pos` with unequal powers in changing sets."""
    return Simulation(Scenario.draw_staked(seed), PosEngine, choose=weighted_proposer).run()
