"""Plants every fault and tells which seed showed each: `make canaries`.

Each canary of whole nodes (`tests/sim/nodes/canaries.py`) and of bare engines (`mutants.py`) is
tried on the seeds that it names and then on a bounded number of others, until a promise breaks that
it may break. Exit status 1 if one was not caught; a run of none is refused.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from tests.sim import simulator
from tests.sim.mutants import MUTANTS
from tests.sim.nodes import scenario, simulation
from tests.sim.nodes.canaries import CANARIES, planted
from tests.sim.world import Violation

MOST_SEEDS = {"nodes": 60, "engine": 120}
"""How many seeds are tried beside those that a canary names."""
MOST_LOOKED_AT = 4_000
"""How many seeds are drawn to find some whose networks can show a canary."""
LONGEST_S = 900.0
"""After so long without a result a simulation is taken to hang."""

OWN_FAULT = "<locals>"
"""Stands in the words of an error that the canary itself made, by no longer fitting its place."""

Name = tuple[str, str]
"""Of `nodes` or of an `engine`, and the canary."""
NAMES: tuple[Name, ...] = (
    *(("nodes", name) for name in sorted(CANARIES)),
    *(("engine", name) for name in sorted(MUTANTS)),
)


@dataclass(frozen=True, slots=True)
class Search:
    """What came of planting one canary."""

    name: Name
    tried: int
    caught: tuple[int, ...]
    """The seeds that showed it: the first one, or in a survey all."""
    promise: str
    """What broke, in the first of them; empty if nothing did."""
    strange: str
    """What broke that this canary does not explain; empty if nothing did."""
    cpu_s: float

    @property
    def is_caught(self) -> bool:
        """Tell whether it was caught, and by nothing else than what it breaks."""
        return bool(self.caught) and not self.strange

    def __str__(self) -> str:
        kind, name = self.name
        found = f"NOT CAUGHT by {self.tried} seeds"
        if self.caught:
            shown = ", ".join(map(str, self.caught))
            found = f"caught by seed {shown}, {len(self.caught)} of {self.tried}: {self.promise}"
        found += f"; BROKE WHAT IT DOES NOT NAME: {self.strange}" if self.strange else ""
        return f"{kind} {name}: {found} ({self.cpu_s:.1f} s)"


def named_seeds(name: Name) -> tuple[int, ...]:
    """Return the seeds that are known to show a canary."""
    kind, word = name
    return CANARIES[word].seeds if kind == "nodes" else MUTANTS[word].try_first


def attempts(name: Name) -> Iterator[int]:
    """Yield the seeds known to show a canary, then a bounded number of others that may."""
    known = named_seeds(name)
    yield from known
    yield from islice(fitting(name, known), MOST_SEEDS[name[0]])


def fitting(name: Name, without: Sequence[int] = ()) -> Iterator[int]:
    """Yield the seeds whose networks can show a canary."""
    kind, word = name
    for seed in range(MOST_LOOKED_AT):
        if seed in without:
            continue
        if kind == "engine" or CANARIES[word].needs(scenario.draw(seed, CANARIES[word].engine)):
            yield seed


def breaks(name: Name, seed: int) -> str:
    """Return the promise that a canary breaks in a seed; empty if none."""
    kind, word = name
    try:
        if kind == "nodes":
            with planted(word):
                simulation.simulate(seed, CANARIES[word].engine)
        else:
            simulator.simulate(seed, MUTANTS[word].factory, MUTANTS[word].node_type)
    except Violation as violation:
        return str(violation)
    return ""


def search(name: Name, survey: int = 0) -> Search:
    """Plant a canary in one seed after the other until it is caught, or in some for a survey."""
    kind, word = name
    may_break = CANARIES[word].caught_by if kind == "nodes" else MUTANTS[word].caught_by
    began_s = time.process_time()
    caught: list[int] = []
    tried, promise, strange = 0, "", ""
    for seed in islice(fitting(name), survey) if survey else attempts(name):
        tried += 1
        broken = breaks(name, seed)
        gc.collect()
        if broken and (not broken.startswith(may_break) or OWN_FAULT in broken):
            strange = f"seed {seed}: {broken[:200]}"
            break
        if broken:
            caught.append(seed)
            promise = promise or broken[:90]
            if not survey:
                break
    return Search(name, tried, tuple(caught), promise, strange, time.process_time() - began_s)


def main(arguments: Sequence[str]) -> int:
    """Plant the canaries; return the exit status."""
    options = _read(arguments)
    names = [name for name in NAMES if not options.name or name[1] in options.name]
    began_s = time.monotonic()
    left = list(names)
    searches: list[Search] = []
    with multiprocessing.Pool(options.jobs, maxtasksperchild=20) as pool:
        results = pool.imap_unordered(partial(search, survey=options.survey), names)
        while left:
            try:
                found = results.next(LONGEST_S)
            except multiprocessing.TimeoutError:
                print(f"no result within {LONGEST_S:.0f} s; one of these hangs: {left}")
                break
            left.remove(found.name)
            searches.append(found)
            print(f"[{len(searches)}/{len(names)}] {found}", flush=True)
    return _report(names, searches, time.monotonic() - began_s)


def _report(names: Sequence[Name], searches: Sequence[Search], seconds: float) -> int:
    for found in searches:
        known = named_seeds(found.name)
        if found.caught and known and known[0] not in found.caught:
            print(f"{found.name[1]}: seed {known[0]} shows it no more, {found.caught[0]} does")
    missing = [found for found in searches if not found.is_caught]
    for found in missing:
        print(f"FAILED {found}")
    caught = len(searches) - len(missing)
    print(f"{len(names)} canaries in {seconds:.0f} s, {caught} caught")
    return 0 if names and caught == len(names) else 1


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    words = sorted({word for _, word in NAMES})
    parser.add_argument("--name", choices=words, action="append", help="only this one")
    survey = "plant each in the first N seeds that fit, and tell how many show it"
    parser.add_argument("--survey", type=int, default=0, metavar="N", help=survey)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
