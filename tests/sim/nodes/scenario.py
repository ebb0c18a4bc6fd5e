"""What one seed stands for: a network, its engine, and a list of faults that can be shortened."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

CHAOS_S = 50.0
KINDS = (
    "loss",
    "duplicate",
    "delay",
    "cut",
    "crash",
    "blackout",
    "power",
    "full",
    "error",
    "rot",
    "setback",
    "stop",
    "clock",
    "liar",
)


@dataclass(frozen=True, slots=True)
class EngineCase:
    """An engine as the simulation runs it."""

    parameters: dict[str, int]
    """The engine's numbers in genesis."""
    has_stakes: bool = False
    """Whether validators have their power from stakes."""
    has_certificates: bool = True
    """Whether a commit certificate decides a block; work does where none does."""
    reward_micro: int = 0
    """What the maker of a block gets beside the fees."""


_ROUNDS = {
    "propose_timeout_ms": 1_200,
    "vote_timeout_ms": 500,
    "timeout_step_ms": 250,
    "timeout_cap_ms": 3_000,
    "resend_ms": 700,
}
_WORK = {
    "target_interval_ms": 2_000,
    "finality_depth": 16,
    "initial_difficulty": 512,
    "min_difficulty": 32,
    "resend_ms": 700,
}
ENGINES = {
    "poa": EngineCase(_ROUNDS),
    "pos": EngineCase(_ROUNDS, has_stakes=True),
    "pow": EngineCase(_WORK, has_certificates=False, reward_micro=250_000),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    kind: str
    """One of KINDS."""
    at_s: float
    """When it begins, seconds after the network's start."""
    lasts_s: float
    """How long it lasts."""
    node: int = -1
    """Whom it strikes; -1 for the network as a whole."""
    amount: int = 0
    """How much: per cent, milliseconds, writes until it strikes, or a style."""

    def __str__(self) -> str:
        where = "" if self.node < 0 else f" node {self.node}"
        return f"{self.at_s:.1f}s {self.kind}{where} {self.amount} for {self.lasts_s:.1f}s"


@dataclass(frozen=True, slots=True)
class Affair:
    """Something that the members change."""

    kind: str
    """`price`, `engine`, `rotate`, `admit`, `dismiss` or `stake`."""
    at_s: float
    """When it begins, seconds after the network's start."""
    node: int = -1
    """Whom it concerns; for `engine` whose software lacks it."""
    amount: int = 0
    """How much."""

    def __str__(self) -> str:
        return f"{self.at_s:.1f}s {self.kind} {self.node} {self.amount}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A network and its faults."""

    seed: int
    engine: str
    validators: int
    followers: int
    gas_price_micro: int
    trusts_certificates: bool
    """Whether block sync lets the commit certificate stand for transactions' signatures."""
    faults: tuple[Fault, ...]
    affairs: tuple[Affair, ...] = ()
    snapshot_interval: int = 0
    """Heights between snapshots; who begins anew joins by one then. 0 for none."""
    pruned: frozenset[int] = frozenset()
    """Nodes that keep the last blocks only."""
    joins_at_s: float = 0.0
    """When one more node joins the network; 0 for none."""
    tight: bool = False
    """Whether the engine of proof of work keeps as little as it may."""
    lights: int = 0
    """How many light nodes follow."""
    max_block_gas: int = 40_000_000
    """Gas that the transactions of one block may ask for together."""

    @property
    def has_stakes(self) -> bool:
        """Whether something is staked: a chain goes over only to an engine that has stakes then."""
        return ENGINES[self.engine].has_stakes or any(a.kind == "engine" for a in self.affairs)

    @property
    def dishonest(self) -> frozenset[int]:
        """The validators that lie."""
        return frozenset(fault.node for fault in self.faults if fault.kind == "liar")

    @property
    def unreliable(self) -> frozenset[int]:
        """The validators that lie, or whose clocks are wrong: together below a third."""
        late = frozenset(fault.node for fault in self.faults if fault.kind == "clock")
        return self.dishonest | late

    def without(self, faults: tuple[Fault, ...]) -> "Scenario":
        """Return the same network with fewer faults."""
        left = tuple(fault for fault in self.faults if fault not in faults)
        return replace(self, faults=left)


def draw(seed: int, engine: str | None = None) -> Scenario:
    """Draw a scenario; those who lie and those whose clocks are wrong stay below a third.

    Without an engine named, the seeds take them in turn.
    """
    engine = engine or list(ENGINES)[seed % len(ENGINES)]
    random = Random(f"nodes {seed}")
    validators = random.choice((4, 4, 4, 4, 4, 5, 6, 7))
    followers = random.choice((0, 0, 0, 1)) if validators < 6 else random.choice((0, 0, 0, 3))
    count = validators + followers
    faulty = random.sample(range(validators), (validators - 1) // 3)
    faults: list[Fault] = []
    style = random.randrange(8)
    if style < 5:
        faults += [Fault("liar", 0.0, 1e9, node, random.randrange(64)) for node in faulty]
    elif style < 7:
        off_ms = random.choice((-200_000, -45_000, 30_000, 300_000))
        faults += [Fault("clock", 0.0, 1e9, node, off_ms) for node in faulty]
    honest = [node for node in range(count) if node not in faulty or style == 7]
    makers: dict[str, Callable[[], list[Fault]]] = {
        "loss": lambda: [_noise(random, "loss", (2, 5, 10, 20, 40))],
        "duplicate": lambda: [_noise(random, "duplicate", (10, 30))],
        "delay": lambda: [_noise(random, "delay", (50, 150, 400, 800))],
        "cut": lambda: _cuts(random),
        "crash": lambda: _strikes(random, "crash", honest, 4),
        "blackout": lambda: [Fault("blackout", _when(random), random.uniform(0.2, 2.0))],
        "power": lambda: _strikes(random, "power", honest, 4, 12),
        "full": lambda: _strikes(random, "full", honest, 1, 8),
        "error": lambda: _strikes(random, "error", honest, 1, 8),
        "rot": lambda: _strikes(random, "rot", honest, 1),
        "stop": lambda: _strikes(random, "stop", honest, 2),
    }
    if style == 7:  # whose memory is set back is as bad as a liar: the only faulty one
        faults += _strikes(random, "setback", [random.randrange(validators)], 3)
    least = 3 - len({fault.kind for fault in faults})
    for kind in random.sample(sorted(makers), random.randint(max(least, 2), 6)):
        faults += makers[kind]()
    faults.sort(key=lambda fault: fault.at_s)
    drawn = Scenario(
        seed,
        engine,
        validators,
        followers,
        gas_price_micro=random.choice((0, 1, 3)),
        trusts_certificates=random.random() < 0.3,
        faults=tuple(faults),
    )
    return _with_life(drawn, faulty)


def _with_life(drawn: Scenario, faulty: list[int]) -> Scenario:
    """Draw what else happens in a network, beside its faults."""
    random = Random(f"life {drawn.seed}")
    case = ENGINES[drawn.engine]
    rotten = {fault.node for fault in drawn.faults if fault.kind in ("rot", "setback")}
    sound = [n for n in range(drawn.validators + drawn.followers) if n not in {*faulty, *rotten}]
    affairs = _draw_affairs(random, drawn, faulty, [n for n in sound if n < drawn.validators])
    pruned = random.sample(sound, 1) if random.randrange(3) == 0 else []
    if not case.has_certificates:
        tight = random.randrange(3) == 0
        return replace(drawn, affairs=affairs, pruned=frozenset(pruned), tight=tight)
    joins = random.randrange(4) == 0
    joins_at_s = random.uniform(20.0, CHAOS_S) if joins else 0.0
    faults = drawn.faults
    if joins and random.randrange(2):
        node, at_s = drawn.validators + drawn.followers, joins_at_s + random.uniform(0.2, 4.0)
        faults = (*faults, Fault("crash", min(at_s, CHAOS_S - 1), 0.5, node))
    return replace(
        drawn,
        faults=faults,
        affairs=affairs,
        snapshot_interval=random.choice((3, 5, 8)) if joins or random.randrange(3) == 0 else 0,
        pruned=frozenset(pruned),
        joins_at_s=joins_at_s,
        lights=2 * (random.randrange(4) == 0),
    )


def _draw_affairs(
    random: Random, drawn: Scenario, faulty: list[int], sound: list[int]
) -> tuple[Affair, ...]:
    case = ENGINES[drawn.engine]
    affairs: list[Affair] = []
    style = random.randrange(6)
    if style == 0:
        affairs.append(Affair("price", random.uniform(1, 8), amount=random.choice((1, 2, 3))))
    elif style == 1 and case.has_certificates:
        older = random.choice((-1, *range(drawn.validators, drawn.validators + drawn.followers)))
        if older < 0 and not faulty and sound:
            older = random.choice(sound)
        affairs.append(Affair("engine", random.uniform(1, 8), older))
    when_s = random.uniform(4, 25)
    kind = random.randrange(8)
    if kind == 0 and sound and case.has_certificates:
        affairs.append(Affair("rotate", when_s, random.choice(sound)))
    elif kind == 1 and drawn.followers and not case.has_stakes:
        affairs.append(Affair("admit", when_s, drawn.validators))
    elif kind == 2 and sound and 3 * len(faulty) < drawn.validators - 1 and not case.has_stakes:
        affairs.append(Affair("dismiss", when_s, random.choice(sound)))
    elif kind < 6 and case.has_stakes:
        affairs.append(Affair("stake", when_s))
    return tuple(affairs)


def _when(random: Random) -> float:
    return random.uniform(1.0, CHAOS_S - 8.0)


def _noise(random: Random, kind: str, amounts: tuple[int, ...]) -> Fault:
    begins_s = random.uniform(0.0, CHAOS_S / 2)
    lasts_s = random.uniform(5.0, CHAOS_S - begins_s)
    return Fault(kind, begins_s, lasts_s, amount=random.choice(amounts))


def _cuts(random: Random) -> list[Fault]:
    return [
        Fault("cut", _when(random), random.uniform(1.0, 8.0), amount=random.randrange(2**30))
        for _ in range(random.randint(1, 4))
    ]


def _strikes(
    random: Random, kind: str, nodes: list[int], most: int, writes: int = 1
) -> list[Fault]:
    return [
        Fault(
            kind,
            _when(random),
            random.uniform(6.0, 12.0) if kind == "setback" else random.uniform(0.3, 5.0),
            random.choice(nodes),
            random.randrange(writes),
        )
        for _ in range(random.randint(1, most))
    ]
