"""A campaign runs many seeds on all cores: `python -m tests.sim.campaign --seeds 2000`.

Prints progress, each failing seed with the smallest set of faults that still fails, and how to
replay it (`--first SEED --seeds 1 --trace`). Exit status 1 if a seed failed.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import deque
from dataclasses import replace
from functools import partial

from tests.sim.mutants import MUTANTS, Mutant
from tests.sim.simulator import Result, Scenario, Simulation

TRACE_LINES = 60


def run_seed(seed: int, *, mutant: str | None) -> tuple[int, Result | None, str]:
    """Run a seed; return its result, or None and what was broken."""
    try:
        return seed, _simulation(Scenario.draw(seed), mutant).run(), ""
    except Exception as failure:  # whatever goes wrong is the seed's finding
        return seed, None, f"{type(failure).__name__}: {failure}"


def _simulation(scenario: Scenario, mutant: str | None, log=None) -> Simulation:
    planted = MUTANTS[mutant] if mutant else Mutant(())
    return Simulation(scenario, planted.factory, planted.node_type, log)


def shrink(seed: int, mutant: str | None) -> Scenario:
    """Return the scenario of a failing seed without the faults it does not need."""
    scenario = Scenario.draw(seed)
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
        smaller = replace(scenario, **change)
        try:
            _simulation(smaller, mutant).run()
        except Exception:  # it still fails
            scenario = smaller
    return scenario


def main(arguments: list[str]) -> int:
    """Run a campaign; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--mutant", choices=sorted(MUTANTS))
    parser.add_argument("--trace", action="store_true", help="print the last events of a failure")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error("a campaign of no seeds proves nothing; give --seeds 1 or more")
    seeds = range(options.first, options.first + options.seeds)
    begun = time.monotonic()
    work = partial(run_seed, mutant=options.mutant)
    heights: list[int] = []
    healing: list[int] = []
    failing: list[tuple[int, str]] = []
    with multiprocessing.Pool(options.jobs) as pool:
        for done, (seed, result, failure) in enumerate(pool.imap_unordered(work, seeds), 1):
            if result is None:
                failing.append((seed, failure))
                print(f"\nseed {seed}: {failure[:300]}")
            else:
                heights.append(result.heights)
                healing.append(result.healing_ms)
            if sys.stdout.isatty():
                print(f"\r{done}/{len(seeds)} seeds, {len(failing)} failing", end="", flush=True)
    _summarise(len(seeds), heights, healing, time.monotonic() - begun)
    for seed, _failure in sorted(failing)[:3]:
        _explain(seed, options.mutant, trace=options.trace)
    return 1 if failing or not sum(heights) else 0


def _summarise(count: int, heights: list[int], healing: list[int], seconds: float) -> None:
    print(f"\n{count} seeds in {seconds:.0f} s, {sum(heights)} heights, {len(heights)} passed")
    if heights:
        print(
            f"heights per seed: least {min(heights)}, mean {sum(heights) / len(heights):.0f}; "
            f"ten heights after healing took at most {max(healing)} ms of virtual time"
        )


def _explain(seed: int, mutant: str | None, *, trace: bool) -> None:
    scenario = shrink(seed, mutant)
    print(f"seed {seed} still fails with: {scenario}")
    if trace:
        tail: deque[str] = deque(maxlen=TRACE_LINES)
        try:
            _simulation(scenario, mutant, tail.append).run()
        except Exception as failure:  # the failure that is being explained
            print("\n".join(tail), failure, sep="\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
