"""Kills nodes of a trading network over and over: `make cycles CYCLES=500`.

Each cycle kills one validator of four with SIGKILL at a random moment, starts it by its plain
command, and goes on when it answers. All of them take turns; members trade through all of them
meanwhile. Prints what was acknowledged, what of it was lost, and who signed twice.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.conftest import free_ports
from tests.e2e.load import Load, until_equal
from tests.e2e.nodes import Nodes, local_network
from tests.e2e.support import genesis_template, make_member, stop_in_order, until
from tests.e2e.witness import Witness, witness_member
from tests.sim.campaign import Progress

VALIDATORS = 4
TRADERS = 32
LONGEST_S = 1.2


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all cycles."""

    cycles: int
    seconds: float
    height: int
    acknowledged: int
    """Transactions that some node told as final."""
    lost: int
    """Those of them that are not in every node's chain at the end."""
    signatures: int
    """Votes and proposals that the witness heard."""
    double_signatures: int
    manual_repairs: int
    """Starts that took more than the plain command: there is no code here that would do more."""
    slowest_return_s: float
    """The longest time from a start to the node's first answer."""


def run_cycles(
    cycles: int,
    folder: Path,
    free_port: Callable[[], int],
    *,
    engine: str = "poa",
    seed: int = 1,
    pause_s: float = 0.05,
    done: Callable[[int], None] = lambda cycle: None,
) -> Report:
    """Run the cycles; raises AssertionError where a promise is broken."""
    random = Random(f"cycles {seed}")
    members = [make_member(f"M{number}") for number in range(TRADERS)]
    template = genesis_template(members, parameters={"block_interval_ms": 100})
    template["engine"] = {"name": engine, "parameters": {}}
    found = template["members"]
    assert isinstance(found, list)
    found.append(witness_member())
    began_s = time.monotonic()
    with local_network(folder, template, free_port, validators=VALIDATORS) as nodes:
        nodes.start_connected()
        with Witness(nodes) as witness, Load(nodes, members, pause_s=pause_s) as load:
            until(lambda: witness.connections() == VALIDATORS, "the witness hears all")
            slowest_s = 0.0
            for cycle in range(cycles):
                slowest_s = max(slowest_s, _cycle(nodes, load, random, nodes.names[cycle % 4]))
                assert not witness.contradictions, witness.contradictions
                done(cycle + 1)
            load.stop_trading()
            until_equal(nodes)
        load.check()
        lost = {each for name in nodes.names for each in load.lost(name)}
        load.assert_conserved()
        nodes.assert_no_fault()
        return Report(
            cycles=cycles,
            seconds=round(time.monotonic() - began_s, 1),
            height=load.height,
            acknowledged=load.final,
            lost=len(lost),
            signatures=witness.heard,
            double_signatures=len(witness.contradictions),
            manual_repairs=0,
            slowest_return_s=round(slowest_s, 2),
        )


def _cycle(nodes: Nodes, load: Load, random: Random, victim: str) -> float:
    """Kill a node at a random moment and start it; return how long its first answer took."""
    time.sleep(random.random() * LONGEST_S)
    load.check()
    told = load.heights[victim]
    nodes.kill(victim)
    start_s = time.monotonic()
    nodes.spawn(victim)
    nodes.await_answer(victim)
    answered_s = time.monotonic() - start_s
    assert nodes.height(victim) >= told, f"{victim} told {told} as final and has less"
    before = load.height
    until(lambda: load.height > before, f"a block after {before}", deadline_s=30)
    return answered_s


def main(arguments: Sequence[str]) -> int:
    """Run the cycles with a progress bar; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=500)
    parser.add_argument("--engine", choices=("poa", "pos"), default="poa")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.cycles < 1:
        parser.error("no cycles prove nothing; give --cycles 1 or more")
    logging.getLogger("bitenergy").setLevel(logging.CRITICAL)  # the witness dials dead nodes
    stop_in_order()
    progress = Progress(options.cycles)
    with tempfile.TemporaryDirectory(prefix="bitenergy-cycles-") as folder:
        report = run_cycles(
            options.cycles,
            Path(folder) / "net",
            free_ports(),
            engine=options.engine,
            seed=options.seed,
            done=progress.show,
        )
    print(
        f"\n{report.cycles} cycles of kill -9 in {report.seconds:.0f} s under {options.engine}, "
        f"to height {report.height}\n"
        f"acknowledged transactions {report.acknowledged}, lost {report.lost}\n"
        f"signatures heard {report.signatures}, double signatures {report.double_signatures}\n"
        f"manual repairs {report.manual_repairs}\n"
        f"slowest return to the first answer {report.slowest_return_s} s"
    )
    return 1 if report.lost or report.double_signatures or not report.acknowledged else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
