"""The faults of one simulated network: begins and ends them as the scenario says."""

from collections.abc import Callable
from random import Random
from typing import Any

from tests.sim.nodes.people import identity
from tests.sim.nodes.process import Process
from tests.sim.nodes.scenario import Fault

BASE_DELAY_S = 0.02
RESTART_S = 1.5


class Faults:
    """Strikes nodes and links of a simulation until it is healed."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._network = world.network
        self._network.delay_s = BASE_DELAY_S
        self.kinds: set[str] = set()
        """What has happened."""
        self.is_healed = False
        self.down_until: dict[int, float] = {}
        self._cuts: dict[int, set[tuple[bytes, bytes]]] = {}
        self._copies: dict[int, tuple[int, tuple[Any, ...]]] = {}
        self._noise: dict[str, list[int]] = {"loss": [], "duplicate": [], "delay": []}

    def plan(self, faults: tuple[Fault, ...]) -> None:
        """Have all faults of a scenario happen in their time."""
        for fault in faults:
            if fault.kind in ("liar", "clock"):
                self.kinds.add(fault.kind)
            else:
                self._world.loop.call_at(fault.at_s, self._begin, fault)

    def heal(self) -> None:
        """All faults end; those who lie go on, and clocks stay wrong."""
        self.is_healed = True
        self._network.note("heal")
        self._noise = {"loss": [], "duplicate": [], "delay": []}
        self._cuts.clear()
        self.down_until.clear()
        self._set_noise()
        self._set_cuts()
        for process in self._world.processes:
            process.disk.disarm()

    def restart_in_s(self, process: Process, random: Random) -> float:
        """Return when somebody starts a node again that is down."""
        until_s = self.down_until.get(process.index, 0.0) - self._world.loop.time()
        return max(RESTART_S * random.random(), 0.05, until_s)

    def _begin(self, fault: Fault) -> None:
        if self.is_healed:
            return
        world = self._world
        self.kinds.add(fault.kind)
        self._network.note("fault", str(fault))
        process = world.processes[fault.node] if fault.node >= 0 else None
        end_s = world.loop.time() + fault.lasts_s
        if fault.kind in self._noise:
            self._noise[fault.kind].append(fault.amount)
            self._set_noise()
        elif fault.kind == "cut":
            self._cuts[id(fault)] = self._draw_cut(fault.amount)
            self._set_cuts()
        elif fault.kind == "blackout":
            for other in world.processes:
                self.down_until[other.index] = end_s
                other.crash()
        elif process is not None and fault.kind in ("power", "full", "error"):
            process.disk.arm("crash" if fault.kind == "power" else fault.kind, fault.amount)
        elif process is not None and fault.kind == "rot":
            process.disk.rot()
        elif process is not None and fault.kind == "setback":
            height = world.checks.heights.get(process.name, 0)
            self._copies[id(fault)] = height, process.disk.copy()
        elif process is not None and fault.kind in ("crash", "stop"):
            self.down_until[process.index] = end_s
            process.crash() if fault.kind == "crash" else process.stop()
        world.loop.call_later(fault.lasts_s, self._end, fault)

    def _end(self, fault: Fault) -> None:
        if self.is_healed:
            return
        if fault.kind in self._noise:
            self._noise[fault.kind].remove(fault.amount)
            self._set_noise()
        elif fault.kind == "cut":
            self._cuts.pop(id(fault), None)
            self._set_cuts()
        elif fault.kind == "setback":
            self._set_back(self._world.processes[fault.node], *self._copies.pop(id(fault)))

    def _set_back(self, process: Process, height: int, copy: tuple[Any, ...]) -> None:
        """Put an old copy of the whole data directory in its place, signing file included.

        Only where all others are past what it signed: within a height it cannot be noticed.
        """
        checks = self._world.checks
        others = [other for other in self._world.processes if other is not process]
        if min(checks.heights.get(other.name, 0) for other in others) < max(
            height + 1, checks.signed_height(process.name)
        ):
            return
        self._network.note("setback", process.name, height)
        process.crash()
        process.disk.set_back(copy)
        checks.set_back(process.name, height)

    def _set_noise(self) -> None:
        network = self._network
        network.loss_percent = max(self._noise["loss"], default=0)
        network.duplicate_percent = max(self._noise["duplicate"], default=0)
        network.delay_s = max([BASE_DELAY_S, *(ms / 1000 for ms in self._noise["delay"])])

    def _set_cuts(self) -> None:
        self._network.cut = set().union(*self._cuts.values())

    def _draw_cut(self, seed: int) -> set[tuple[bytes, bytes]]:
        """Cut the network in two, one way or both, or some links, or one node's mouth or ears."""
        random = Random(seed)
        keys = [identity(name).node_key for name in self._world.names]
        side = {key: random.random() < 0.5 for key in keys}
        alone = random.choice(keys)
        style = random.randrange(5)
        rules: tuple[Callable[[bytes, bytes], bool], ...] = (
            lambda a, b: side[a] != side[b],
            lambda a, b: side[a] and not side[b],
            lambda a, b: random.random() < 0.3,
            lambda a, b: a == alone,
            lambda a, b: b == alone,
        )
        return {(a, b) for a in keys for b in keys if a != b and rules[style](a, b)}
