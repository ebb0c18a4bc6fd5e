"""A campaign runs many seeds on all cores: `python -m tests.sim.campaign --seeds 2000`.

A seed stands for a network of whole nodes (`tests/sim/nodes`) and for one of bare engines. Prints
progress, and of each failing seed the fewest faults that still make it fail, the end of its trace,
and how to replay it. Exit status 1 if a seed failed; a campaign of nothing is refused.
"""

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections import deque
from dataclasses import dataclass, field, replace
from functools import partial

from tests.sim import mutants, simulator
from tests.sim.nodes import canaries, scenario, simulation

TRACE_LINES = 60
EXPLAINED = 3
LEAST_KINDS = 3
KINDS = ("nodes", "engine")


@dataclass(slots=True)
class Report:
    """What came of one seed."""

    kind: str
    seed: int
    failure: str = ""
    heights: int = 0
    transactions: int = 0
    healing_s: float = 0.0
    cpu_s: float = 0.0
    faults: tuple[str, ...] = ()
    looks: dict[str, int] = field(default_factory=dict)


def run_seed(task: tuple[str, int], *, engine: str | None, plant: str | None) -> Report:
    """Run a seed; whatever goes wrong is its finding."""
    kind, seed = task
    report = Report(kind, seed)
    began_s = time.process_time()
    try:
        if kind == "nodes":
            outcome = run_nodes(scenario.draw(seed, engine), plant)
            report.heights, report.transactions = outcome.heights, outcome.transactions
            report.healing_s, report.faults = outcome.healing_s, outcome.kinds
            report.looks = outcome.looks
            report.failure = _shortfall(outcome)
        else:
            result = _engines(simulator.Scenario.draw(seed), plant).run()
            report.heights, report.healing_s = result.heights, result.healing_ms / 1000
            report.looks = result.looks
    except Exception as failure:
        report.failure = f"{type(failure).__name__}: {failure}"
    gc.collect()
    report.cpu_s = time.process_time() - began_s
    return report


def _shortfall(outcome: simulation.Outcome) -> str:
    """Return what a seed did too little of to count; empty if it did enough."""
    done = (outcome.heights, outcome.transactions, len(outcome.kinds))
    least = (simulation.HEIGHTS, simulation.TRANSACTIONS, LEAST_KINDS)
    if all(one >= other for one, other in zip(done, least, strict=True)):
        return ""
    return f"minima: {done} heights, transactions and kinds of fault, at least {least}"


def run_nodes(network: scenario.Scenario, plant: str | None, log=None) -> simulation.Outcome:
    """Run a network of nodes, with a planted fault or none."""
    if plant is None:
        return simulation.Simulation(network, log).run()
    with canaries.planted(plant):
        return simulation.Simulation(network, log).run()


def _engines(drawn: simulator.Scenario, plant: str | None, log=None) -> simulator.Simulation:
    mutant = mutants.MUTANTS[plant] if plant else mutants.Mutant(())
    return simulator.Simulation(drawn, mutant.factory, mutant.node_type, log)


# --- the shortest scenario that still fails -----------------------------------


def shrink_nodes(network: scenario.Scenario, plant: str | None) -> scenario.Scenario:
    """Return the network of a failing seed with only the faults that it needs to fail so."""
    wanted = _promise(network, plant)
    size = max(1, len(network.faults) // 2)
    while True:
        is_smaller = False
        for start in range(0, len(network.faults), size):
            fewer = network.without(network.faults[start : start + size])
            if len(fewer.faults) < len(network.faults) and _promise(fewer, plant) == wanted:
                network, is_smaller = fewer, True
                break
        if not is_smaller:
            if size == 1:
                return network
            size = max(1, size // 2)


def _promise(network: scenario.Scenario, plant: str | None) -> str:
    """Return which promise a scenario breaks; empty if none."""
    try:
        run_nodes(network, plant)
    except Exception as failure:
        return f"{type(failure).__name__} {str(failure).split(':')[0]}"
    return ""


def shrink_engines(seed: int, plant: str | None) -> simulator.Scenario:
    """Return the scenario of a failing seed without the faults that it does not need."""
    drawn = simulator.Scenario.draw(seed)
    changes: tuple[dict, ...] = (
        {"ambush": False},
        {"stubborn": False, "absent": None},
        {"idle": False},
        {"partitions": False},
        {"crashes": False},
        {"loss_percent": 0},
        {"duplicate_percent": 0},
        {"dishonest": frozenset()},
    )
    for change in changes:
        smaller = replace(drawn, **change)
        try:
            _engines(smaller, plant).run()
        except Exception:  # it still fails
            drawn = smaller
    return drawn


def explain(report: Report, engine: str | None, plant: str | None) -> None:
    """Print a failing seed's smallest scenario, the end of its trace, and how to replay it."""
    tail: deque[str] = deque(maxlen=TRACE_LINES)
    words = ["python -m tests.sim.campaign --seeds 1"]
    words += [f"--first {report.seed} --kind {report.kind}"]
    words += [f"--engine {engine}"] if report.kind == "nodes" and engine else []
    words += [f"--plant {plant}"] if plant else []
    print(f"\n{report.kind} seed {report.seed}, replay with: {' '.join(words)}")
    try:
        if report.kind == "nodes":
            network = shrink_nodes(scenario.draw(report.seed, engine), plant)
            print(f"{network.validators} validators, {network.followers} followers, and")
            print("\n".join(f"  {fault}" for fault in network.faults) or "  no fault at all")
            run_nodes(network, plant, tail.append)
        else:
            drawn = shrink_engines(report.seed, plant)
            print(drawn)
            _engines(drawn, plant, tail.append).run()
    except Exception as failure:  # the failure that is being explained
        print("\n".join(tail), failure, sep="\n")


# --- the campaign -------------------------------------------------------------


class Progress:
    """One line that says how far it is, at what rate, and until when."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began_s = time.monotonic()
        self._step = 1 if sys.stdout.isatty() else max(1, total // 10)
        self.failing = 0

    def show(self, done: int) -> None:
        """Show it; without a terminal only now and then."""
        if done % self._step and done != self._total:
            return
        passed_s = max(time.monotonic() - self._began_s, 1e-9)
        left_s = int((self._total - done) * passed_s / done)
        bar = "#" * (30 * done // self._total)
        line = (
            f"[{bar:30}] {done}/{self._total}, {done / passed_s:.1f}/s, "
            f"{left_s // 60}:{left_s % 60:02} left, {self.failing} failing"
        )
        if sys.stdout.isatty():
            print(f"\r{line} ", end="", flush=True)
        else:
            print(line, flush=True)


def main(arguments: list[str]) -> int:
    """Run a campaign; return the exit status."""
    options = _read(arguments)
    kinds = KINDS if options.kind == "all" else (options.kind,)
    seeds = range(options.first, options.first + options.seeds)
    tasks = [(kind, seed) for seed in seeds for kind in kinds]
    work = partial(run_seed, engine=options.engine, plant=options.plant)
    began_s = time.monotonic()
    progress = Progress(len(tasks))
    reports: list[Report] = []
    with multiprocessing.Pool(options.jobs, maxtasksperchild=100) as pool:
        for done, report in enumerate(pool.imap_unordered(work, tasks), 1):
            reports.append(report)
            if report.failure:
                progress.failing += 1
                print(f"\n{report.kind} seed {report.seed}: {report.failure[:300]}", flush=True)
            progress.show(done)
    print()
    for kind in kinds:
        _summarise(kind, [item for item in reports if item.kind == kind])
    failing = sorted((item for item in reports if item.failure), key=lambda item: item.seed)
    print(
        f"{len(reports)} simulations in {time.monotonic() - began_s:.0f} s, {len(failing)} failed"
    )
    for report in failing[:EXPLAINED]:
        explain(report, options.engine, options.plant)
    return 1 if failing or not sum(report.heights for report in reports) else 0


def _read(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--kind", choices=("all", *KINDS), default="all")
    parser.add_argument("--engine", choices=sorted(scenario.ENGINES), help="instead of all in turn")
    plants = sorted(canaries.CANARIES.keys() | mutants.MUTANTS.keys())
    parser.add_argument("--plant", choices=plants, help="a planted fault; name the kind with it")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error("a campaign of no seeds proves nothing; give --seeds 1 or more")
    known = {"nodes": canaries.CANARIES, "engine": mutants.MUTANTS}.get(options.kind, {})
    if options.plant and options.plant not in known:
        parser.error(f"there is no such planted fault for --kind {options.kind}")
    return options


def _summarise(kind: str, reports: list[Report]) -> None:
    passed = [report for report in reports if not report.failure]
    print(f"{kind}: {len(passed)} of {len(reports)} seeds passed", end="")
    if not passed:
        print()
        return
    heights = [report.heights for report in passed]
    print(f", heights at least {min(heights)}, {sum(heights) // len(heights)} on average", end="")
    print(f", {sum(report.cpu_s for report in reports) / len(reports):.2f} CPU seconds each")
    print(f"  slowest healing {max(report.healing_s for report in passed):.1f} simulated seconds")
    if kind == "nodes":
        print(f"  transactions at least {min(report.transactions for report in passed)}")
        print(f"  kinds of fault at least {min(len(report.faults) for report in passed)}")
        count = {name: sum(name in report.faults for report in passed) for name in scenario.KINDS}
        print("  seeds with", ", ".join(f"{name} {number}" for name, number in count.items()))
    looks: dict[str, int] = {}
    for report in passed:
        for name, number in report.looks.items():
            looks[name] = looks.get(name, 0) + number
    print("  checked", ", ".join(f"{name} {number}" for name, number in sorted(looks.items())))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
