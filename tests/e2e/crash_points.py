"""Kills a node at every call that writes its data, and fails each such call: `make crashes`.

The calls of one scene are counted first; then, for each, a run in which strace kills the node on
entering it (what it would have written is not written; the next point stands for after), and runs
in which it fails with ENOSPC and EIO. After each the node is started by its plain command, and:
what it told as final is there, no key signed two things for one height and round, it trades on.

Scenes: the first start, a start on an existing chain, the commit of a block, and the commit during
which LevelDB begins a new log and writes a table.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import free_ports
from tests.e2e.load import ToldBlock, read_block
from tests.e2e.nodes import Nodes, local_network
from tests.e2e.support import Traffic, genesis_template, make_member, stop_in_order, until
from tests.e2e.tracing import (
    RENAMES,
    Call,
    attached,
    data_paths,
    read_trace,
    spawn_traced,
    until_written,
)
from tests.e2e.witness import Witness, witness_member
from tests.sim.campaign import Progress
from tools.errors import ClientError

HARMS = ("KILL", "ENOSPC", "EIO")
SCENES = ("first start", "start", "commit", "table")
STATUSES = (1, 74)
NAME = "V1"
TRADERS = 40
TRIES = 8
TABLE_KINDS = ("table", "manifest", "log")
TABLE_BYTES = 3_700_000
"""How much a log holds when LevelDB is about to begin the next one, at 4 MiB."""


@dataclass(frozen=True, slots=True)
class Point:
    """A call of a scene."""

    scene: str
    call: str
    nth: int
    """Which call of this name in its thread."""
    file: str

    def __str__(self) -> str:
        return f"{self.scene}: {self.call} {self.nth} ({self.file})"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one run."""

    point: Point
    harm: str
    struck: str
    """The call that was struck, empty where none was."""
    status: int | None
    """How the node ended; None where it went on."""
    failure: str = ""


class Lab:
    """A network of one validator, a witness, and what it told as final."""

    def __init__(self, folder: Path, nodes: Nodes, witness: Witness) -> None:
        self.nodes = nodes
        self.witness = witness
        self.told: dict[int, ToldBlock] = {}
        self._folder = folder
        self._members = [make_member(f"M{number}") for number in range(TRADERS)]
        self._traffic = Traffic(nodes.network.genesis, self._members)
        self._logs = 0

    @property
    def data(self) -> Path:
        """The node's data directory."""
        return self.nodes.node(NAME).folder / "data"

    def next_log(self) -> Path:
        """Return a path for strace's next log."""
        self._logs += 1
        return self._folder / f"trace-{self._logs}"

    def start(self) -> None:
        """Start the node by its plain command, and wait until the witness hears it."""
        self.nodes.start(NAME)
        until(lambda: self.witness.connections() == 1, "the witness hears the node")

    def trade(self) -> bool:
        """Have a transaction become final, and note the blocks that were told.

        False where the node ends instead.
        """
        process = self.nodes.processes[NAME]

        def traded() -> bool:
            if process.poll() is not None:
                return True
            with suppress(ClientError):
                # What was in a block when it ended becomes final after all, and takes the nonce.
                self.ask_nonces(1)
                sent = self._traffic.next(self._members[0])
                if not self.nodes.submit(NAME, [sent])[0]["accepted"]:
                    return False
                until(
                    lambda: process.poll() is not None or self._nonce() > sent.nonce,
                    "a transaction is final, or the node has ended",
                    deadline_s=20,
                    pause_s=0.005,
                )
                return process.poll() is not None or self.nodes.is_final(NAME, sent.id.hex())
            return False

        until(traded, "a transaction is taken", deadline_s=20)
        if process.poll() is not None:
            return False
        self.note_told()
        return True

    def trade_until_it_ends(self, blocks: int) -> int | None:
        """Trade until the node ends by itself or some blocks were made; return its exit status."""
        with suppress(ClientError):
            for _ in range(blocks):
                if not self.trade():
                    break
        return self.ended(0.5)

    def ended(self, wait_s: float) -> int | None:
        """Return how the node ended, None if it still runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.nodes.wait_ended(NAME, wait_s)
        return None

    def fill(self, bytes_of_log: int) -> None:
        """Trade until the database's log is nearly full."""
        self.ask_nonces()
        while self._log_bytes() < bytes_of_log:
            self.trade_much()
        self.note_told()

    def trade_much(self) -> None:
        """Have some hundred transactions become final; raises ClientError where the node ends."""
        client = self.nodes.client(NAME)
        client.submit([self._traffic.next(each).raw for _ in range(10) for each in self._members])
        until(lambda: not int(str(client.status()["mempool"])), "it is traded")

    def _nonce(self) -> int:
        return int(str(self.nodes.client(NAME).account(self._members[0].name)["nonce"]))

    def _log_bytes(self) -> int:
        return max(path.stat().st_size for path in (self.data / "chain").glob("*.log"))

    def ask_nonces(self, count: int = TRADERS) -> None:
        """Have the members ask for their next nonces, as a wallet does."""
        for member in self._members[:count]:
            account = self.nodes.client(NAME).account(member.name)
            member.nonce = int(str(account.get("next_nonce", account["nonce"])))

    def note_told(self) -> None:
        """Read what the node calls final."""
        client = self.nodes.client(NAME)
        for height in range(max(self.told, default=0) + 1, self.nodes.height(NAME) + 1):
            self.told[height] = read_block(client, height)

    def check(self) -> None:
        """Fail unless all that was told is there and nothing was signed twice."""
        client = self.nodes.client(NAME)
        for height, block in list(self.told.items())[-12:]:
            assert read_block(client, height) == block, f"block {height} is lost or another"
        assert self.nodes.height(NAME) >= max(self.told, default=0), "the final height fell"
        assert not self.witness.contradictions, self.witness.contradictions[:3]
        self.nodes.assert_no_fault()


@contextmanager
def laboratory(folder: Path, free_port: Callable[[], int]) -> Iterator[Lab]:
    """Make a network that does not run yet."""
    members = [make_member(f"M{number}") for number in range(TRADERS)]
    template = genesis_template(members, parameters={"block_interval_ms": 20})
    found = template["members"]
    assert isinstance(found, list)
    found.append(witness_member())
    folder.mkdir(parents=True, exist_ok=True)
    network = local_network(folder / "net", template, free_port, validators=1)
    with network as nodes, Witness(nodes) as witness:
        yield Lab(folder, nodes, witness)


# --- counting ------------------------------------------------------------------------------------


def count(lab: Lab, scene: str) -> list[Point]:
    """Run a scene unharmed and return its calls; the node runs afterwards."""
    log = lab.next_log()
    if scene in ("first start", "start"):
        if scene == "start":
            for _ in range(2):  # what the first one leaves behind is more than others do
                lab.start()
                lab.trade()
                lab.nodes.stop(NAME)
        spawn_traced(lab.nodes, NAME, log, data_paths(lab.data))
        lab.nodes.await_answer(NAME)
        calls = read_trace(log, lab.data)
        calls = [call for call in calls if call.thread == calls[0].thread]
    elif scene == "commit":
        lab.start()
        lab.trade()
        calls = _watch_commit(lab, log)
    else:
        lab.start()
        lab.fill(TABLE_BYTES)
        paths = data_paths(lab.data, TABLE_KINDS)
        with attached(lab.nodes.processes[NAME].pid, log, paths):
            _fill_over(lab)
        # The log's own calls are those of a commit; what is new is on the other thread.
        calls = [call for call in read_trace(log, lab.data) if call.file in ("table", "manifest")]
        calls = _thinned(_renumbered(calls))
    assert calls, f"no call was seen in {scene}"
    points = [Point(scene, call.name, call.nth, call.file) for call in calls]
    return list(dict.fromkeys(points))


def _watch_commit(lab: Lab, log: Path) -> list[Call]:
    """Return the calls of one block's commit, numbered within each file."""
    with attached(lab.nodes.processes[NAME].pid, log, data_paths(lab.data)):
        lab.trade()
    return _renumbered(read_trace(log, lab.data))


def _renumbered(calls: Sequence[Call]) -> list[Call]:
    counts: Counter[tuple[str, str]] = Counter()
    found = []
    for call in calls:
        counts[call.name, call.file] += 1
        nth = counts[call.name, call.file]
        found.append(Call(call.name, call.file, nth, call.thread, call.injected))
    return found


def _thinned(calls: Sequence[Call]) -> list[Call]:
    """Return the first, the middle and the last call of each kind: a table takes hundreds."""
    kinds: dict[str, list[Call]] = {}
    for call in calls:
        kinds.setdefault(str(call), []).append(call)
    return [
        found[place]
        for found in kinds.values()
        for place in sorted({0, len(found) // 2, len(found) - 1})
    ]


def _fill_over(lab: Lab) -> None:
    """Trade until LevelDB has begun a new log and its table is written."""
    chain = lab.data / "chain"
    before = {path.name for path in chain.glob("*.log")}
    with suppress(ClientError, AssertionError):
        for _ in range(30):
            if {path.name for path in chain.glob("*.log")} - before:
                break
            lab.trade_much()
    time.sleep(0.3)


# --- striking ------------------------------------------------------------------------------------


def strike(lab: Lab, point: Point, harm: str) -> Result:
    """Harm the node at a point; where the threads fell out so that it was missed, again."""
    for _ in range(TRIES if point.scene == "commit" else 2):
        result = _strike_once(lab, point, harm)
        if result.struck:
            break
    return result


def _strike_once(lab: Lab, point: Point, harm: str) -> Result:
    """Harm the node at a point, start it again, and look at what must hold."""
    injected = f"{point.call}:" + (f"signal={harm}" if harm == "KILL" else f"error={harm}")
    log = lab.next_log()
    if point.scene in ("first start", "start"):
        status = _strike_start(lab, point, f"{injected}:when={point.nth}", log)
    else:
        status = _strike_running(lab, point, f"{injected}:when={point.nth}", log)
    if log.exists() and status is not None:
        until_written(log)
    calls = read_trace(log, lab.data) if log.exists() else []
    struck = [call for call in calls if call.injected]
    if harm == "KILL":
        struck = calls[-1:] if status == -9 else []
    if struck and point.scene == "commit" and not _is_phase(point, calls, struck[0]):
        struck = []
    words = ""
    if status not in (None, -9):
        words = lab.nodes.reason(NAME)
        assert status in STATUSES, f"{point} {harm}: exit status {status}\n{words}"
        assert words, f"{point} {harm}: it ended without a word"
    if status is None:
        lab.nodes.stop(NAME)
    lab.start()
    lab.trade()
    lab.check()
    return Result(point, harm, str(struck[0]) if struck else "", status)


def _is_phase(point: Point, calls: Sequence[Call], struck: Call) -> bool:
    """Tell whether it was the first or the second time in its block, as the point asks."""
    same = [call for call in calls if (call.name, call.file) == (struck.name, struck.file)]
    return same.index(struck) % 2 + 1 == point.nth


def _strike_start(lab: Lab, point: Point, inject: str, log: Path) -> int | None:
    if point.scene == "start":
        for _ in range(1 if lab.told else 2):
            if NAME not in lab.nodes.processes:
                lab.start()
                lab.trade()
            lab.nodes.stop(NAME)
    spawn_traced(lab.nodes, NAME, log, data_paths(lab.data), inject)
    process = lab.nodes.processes[NAME]
    until(
        lambda: process.poll() is not None or lab.nodes.status(NAME) is not None,
        "an end or an answer",
    )
    if process.poll() is None:
        return lab.trade_until_it_ends(2)
    return lab.ended(2.0)


def _strike_running(lab: Lab, point: Point, inject: str, log: Path) -> int | None:
    if NAME not in lab.nodes.processes:
        lab.start()
    if point.scene == "table":
        lab.fill(TABLE_BYTES)
    paths = data_paths(lab.data, (point.file,))
    with attached(lab.nodes.processes[NAME].pid, log, paths, inject):
        if point.scene == "table":
            _fill_over(lab)
        return lab.trade_until_it_ends(8)


# --- the campaign --------------------------------------------------------------------------------


def points_of(scene: str, folder: Path, free_port: Callable[[], int]) -> list[Point]:
    """Return the points of a scene."""
    with laboratory(folder, free_port) as lab:
        return count(lab, scene)


def run_points(
    points: Sequence[Point],
    harms: Sequence[str],
    folder: Path,
    free_port: Callable[[], int],
    done: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Strike each point with each harm; a network serves until its first start is to be struck."""
    results: list[Result] = []
    todo = [(point, harm) for point in points for harm in harms if _can_have(point, harm)]
    number = 0
    while todo:
        number += 1
        with laboratory(folder / f"lab-{number}", free_port) as lab:
            for _ in range(1 if todo[0][0].scene == "first start" else 12):
                point, harm = todo.pop(0)
                try:
                    result = strike(lab, point, harm)
                except Exception as error:
                    result = Result(point, harm, "", None, f"{type(error).__name__}: {error}")
                results.append(result)
                done(result)
                if result.failure or not todo or todo[0][0].scene != point.scene:
                    break
        shutil.rmtree(folder / f"lab-{number}", ignore_errors=True)
    return results


def _can_have(point: Point, harm: str) -> bool:
    """A rename fails for want of space too, but nobody's disk forgets how to answer it."""
    return harm == "KILL" or point.call not in RENAMES or harm == "ENOSPC"


def main(arguments: Sequence[str]) -> int:
    """Strike every point of the scenes; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scene", choices=SCENES, action="append")
    parser.add_argument("--harm", choices=HARMS, action="append")
    options = parser.parse_args(arguments)
    logging.getLogger("bitenergy").setLevel(logging.CRITICAL)  # the witness dials dead nodes
    stop_in_order()
    folder = Path(tempfile.mkdtemp(prefix="bitenergy-crashes-"))
    results: list[Result] = []
    try:
        for scene in options.scene or SCENES:
            free_port = free_ports()
            points = points_of(scene, folder / "count", free_port)
            shutil.rmtree(folder / "count", ignore_errors=True)
            harms = options.harm or HARMS
            total = sum(_can_have(point, harm) for point in points for harm in harms)
            print(f"{scene}: {len(points)} calls write, sync or rename; {total} runs", flush=True)
            progress = Progress(total)
            shown = Counter[str]()

            def done(result: Result, progress: Progress = progress, shown=shown) -> None:
                shown["runs"] += 1
                if result.failure:
                    progress.failing += 1
                    print(f"\n{result.point} {result.harm}: {result.failure[:1500]}", flush=True)
                progress.show(shown["runs"])

            results += run_points(points, harms, folder / "runs", free_port, done)
            print()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report(results)


def report(results: Sequence[Result]) -> int:
    """Print what came of a campaign; return its exit status."""
    for scene in SCENES:
        for harm in HARMS:
            found = [each for each in results if (each.point.scene, each.harm) == (scene, harm)]
            if found:
                ends = Counter(_end_of(each) for each in found)
                said = ", ".join(f"{number} {end}" for end, number in sorted(ends.items()))
                print(f"{scene}, {harm}: {len(found)} runs, {said}")
    failed = [each for each in results if each.failure]
    missed = [each for each in results if not each.struck and not each.failure]
    for each in failed:
        print(f"FAILED: {each.point}, {each.harm}: {each.failure[:300]}")
    for each in missed:
        print(f"NOT REACHED: {each.point}, {each.harm}: nothing is known of it")
    struck = sum(bool(each.struck) for each in results)
    print(
        f"{len(results)} runs, {struck} struck, {len(failed)} failed, {len(missed)} not reached; "
        f"acknowledged transactions lost: {'0' if not failed else 'see above'}; manual repairs: 0"
    )
    return 1 if failed or missed or not struck else 0


def _end_of(result: Result) -> str:
    if result.failure:
        return "FAILED"
    if not result.struck:
        return "not reached"
    if result.status == -9:
        return "killed and went on after its start"
    return "went on" if result.status is None else "stopped itself and went on after its start"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
