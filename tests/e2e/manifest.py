"""Networks of real processes from short manifests: who takes part, what goes wrong, what holds.

A manifest is a TOML file in `networks/`:

    engine = "poa"
    validators = 4
    traders = 12
    faults = [
        "1.0 kill V1 for 1.5",          # SIGKILL, and started again after 1.5 s
        "2.0 pause V2 for 3",           # SIGSTOP, SIGCONT
        "3.0 cut V3 for 2",             # its connections break, and new ones are refused
        "3.5 hold V1+V2 for 4",         # nothing passes between these and the others
        "4.0 deafen V4 for 2",          # nothing reaches it; what it says arrives
        "4.5 slow all for 3",           # each piece of bytes takes 200 ms longer
        "6.0 restart V4",               # stopped in order, and started again
    ]
    decides_within_s = 10               # after the last fault has ended

Whatever is written there, at the end every node has one height and root, all that any node told
as final stands in everybody's chain, no key signed two things for one height and round, and all
money and energy is there.
"""

from __future__ import annotations

import heapq
import os
import re
import signal
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.load import Load, until_equal
from tests.e2e.nodes import Nodes, local_network
from tests.e2e.proxy import Lines, Way, apart
from tests.e2e.support import genesis_template, make_member, until
from tests.e2e.witness import Witness, witness_member
from tools.engine_choice import LOCAL_PARAMETERS

FOLDER = Path(__file__).with_name("networks")
SLOW_S = 0.2
MOST_S = 120.0
LINE = re.compile(r"(?P<at>[\d.]+) (?P<kind>\w+) (?P<nodes>[\w+]+)(?: for (?P<lasts>[\d.]+))?")
WAYS = {"cut": Way.CUT, "hold": Way.HELD, "deafen": Way.HELD, "slow": Way.OPEN}
KINDS = ("kill", "pause", "restart", *WAYS)
# Deeper than two parts can mine apart while a fault lasts, also at the first blocks' quick pace.
PARAMETERS = {"poa": {}, "pos": {}, "pow": {**LOCAL_PARAMETERS["pow"], "finality_depth": 24}}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    at_s: float
    kind: str
    nodes: tuple[str, ...]
    lasts_s: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """A network, what goes wrong in it, and what must hold at the end beside the usual."""

    engine: str
    validators: int
    traders: int
    faults: tuple[Fault, ...]
    decides_within_s: float
    final: int
    """How many transactions become final at least."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did."""

    height: int
    final: int
    faults: int
    healed_s: float
    """From the end of the last fault to the next height."""
    signatures: int


def load_manifest(path: Path) -> Manifest:
    """Read a manifest; what is not understood is refused."""
    found = tomllib.loads(path.read_text())
    validators = int(found.pop("validators", 4))
    names = [f"V{number}" for number in range(1, validators + 1)]
    manifest = Manifest(
        engine=found.pop("engine"),
        validators=validators,
        traders=int(found.pop("traders", 12)),
        faults=tuple(parse_fault(line, names) for line in found.pop("faults")),
        decides_within_s=float(found.pop("decides_within_s", 10)),
        final=int(found.pop("final", 100)),
    )
    assert not found, f"{path.name}: unknown {sorted(found)}"
    assert manifest.engine in PARAMETERS, f"{path.name}: unknown engine {manifest.engine}"
    assert manifest.faults, f"{path.name}: a network without a fault shows nothing"
    return manifest


def parse_fault(line: str, names: Sequence[str]) -> Fault:
    """Return what a line of a manifest says."""
    found = LINE.fullmatch(line)
    assert found and found["kind"] in KINDS, f"expected {KINDS} as in the docstring, not {line!r}"
    assert (found["lasts"] is None) == (found["kind"] == "restart"), line
    chosen = tuple(names if found["nodes"] == "all" else found["nodes"].split("+"))
    assert set(chosen) <= set(names), f"{line!r} names others than {names}"
    return Fault(float(found["at"]), found["kind"], chosen, float(found["lasts"] or 0))


def template_of(manifest: Manifest) -> dict[str, object]:
    """Return the genesis template of a manifest's network; its members' sums stay as they are."""
    members = [make_member(f"M{number}") for number in range(manifest.traders)]
    template = genesis_template(members, parameters={"block_interval_ms": 100})
    template["engine"] = {"name": manifest.engine, "parameters": PARAMETERS[manifest.engine]}
    found = template["members"]
    assert isinstance(found, list)
    found.append(witness_member())
    return template


class Run:
    """A manifest's network while it runs."""

    def __init__(self, manifest: Manifest, nodes: Nodes, lines: Lines) -> None:
        self._manifest = manifest
        self._nodes = nodes
        self._lines = lines
        self._order = 0
        self._todo: list[tuple[float, int, Callable[[], None]]] = []
        self._down: dict[str, int] = dict.fromkeys(nodes.names, 0)
        self._paused: dict[str, int] = dict.fromkeys(nodes.names, 0)

    def play(self) -> None:
        """Begin and end all faults at their times."""
        start_s = time.monotonic()
        for fault in self._manifest.faults:
            self._at(fault.at_s, lambda fault=fault: self._begin(fault))
        while self._todo:
            at_s, _, step = heapq.heappop(self._todo)
            time.sleep(max(0.0, start_s + at_s - time.monotonic()))
            step()
            for name, process in self._nodes.processes.items():
                assert process.poll() is None, f"{name} ended\n{self._nodes.log(name)[-3000:]}"

    def _at(self, at_s: float, step: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._todo, (at_s, self._order, step))

    def _begin(self, fault: Fault) -> None:
        end_s = fault.at_s + fault.lasts_s
        if fault.kind in WAYS:
            number = self._lines.begin(
                self._pairs(fault), WAYS[fault.kind], SLOW_S if fault.kind == "slow" else 0.0
            )
            self._at(end_s, lambda: self._lines.end(number))
            return
        for name in fault.nodes:
            if fault.kind == "pause":
                self._pause(name)
                self._at(end_s, lambda name=name: self._resume(name))
            else:
                self._stop(name, fault.kind)
                self._at(end_s, lambda name=name: self._start(name))

    def _pairs(self, fault: Fault) -> list[tuple[str, str]]:
        others = [name for name in self._nodes.names if name not in fault.nodes]
        if fault.kind == "deafen":
            return [(other, name) for name in fault.nodes for other in others]
        return apart(fault.nodes, others or fault.nodes)

    def _stop(self, name: str, kind: str) -> None:
        """End a node, unless another fault has done so already."""
        self._down[name] += 1
        if self._down[name] == 1:
            if kind == "kill" or self._paused[name]:
                self._nodes.kill(name)
            else:
                # Whoever has only just been started does not listen to the signal as yet.
                ended = self._nodes.stop(name)[0]
                assert ended in (0, -signal.SIGTERM), self._nodes.log(name)[-3000:]

    def _start(self, name: str) -> None:
        self._down[name] -= 1
        if not self._down[name]:
            self._nodes.spawn(name)

    def _pause(self, name: str) -> None:
        self._paused[name] += 1
        if name in self._nodes.processes:
            os.kill(self._nodes.processes[name].pid, signal.SIGSTOP)

    def _resume(self, name: str) -> None:
        self._paused[name] -= 1
        if not self._paused[name] and name in self._nodes.processes:
            os.kill(self._nodes.processes[name].pid, signal.SIGCONT)


def run_manifest(manifest: Manifest, folder: Path, free_port: Callable[[], int]) -> Outcome:
    """Run a manifest's network and look at all that must hold."""
    template = template_of(manifest)
    with local_network(folder, template, free_port, validators=manifest.validators) as nodes:
        members = [make_member(f"M{number}") for number in range(manifest.traders)]
        with Lines(nodes, free_port) as lines:
            nodes.start()
            for name in nodes.names:
                until(lambda name=name: nodes.peers(name) >= len(nodes.names) - 1, "peers")
            with Witness(nodes) as witness, Load(nodes, members, pause_s=0.15) as load:
                until(lambda: witness.connections() == len(nodes.names), "the witness hears all")
                load.until_final(1)
                Run(manifest, nodes, lines).play()
                healed_s = _until_decided(load, manifest.decides_within_s)
                load.until_final(manifest.final)
                load.stop_trading()
                _until_settled(nodes, load, manifest.engine)
                assert lines.moved, "the nodes spoke past the lines"
            load.assert_nothing_lost()
            load.assert_conserved()
            if manifest.engine != "pow":  # nothing is signed there but by work
                witness.assert_nobody_signed_twice()
            nodes.assert_no_fault()
            return Outcome(load.height, load.final, len(manifest.faults), healed_s, witness.heard)


def _until_decided(load: Load, within_s: float) -> float:
    """Wait for a new height of the network; return how long it took."""
    start_s, before = time.monotonic(), load.height

    def decided() -> bool:
        load.check()
        return load.height > before

    until(decided, f"a block after height {before}", deadline_s=within_s)
    return time.monotonic() - start_s


def _until_settled(nodes: Nodes, load: Load, engine: str) -> None:
    """Wait until every node has one height and root."""
    if engine == "pow":
        # Its miners go on: what was told as final must be final everywhere, at equal blocks.
        height = load.height
        until(lambda: min(load.heights.values()) >= height, f"height {height} of all")
        return
    until_equal(nodes, deadline_s=MOST_S)
