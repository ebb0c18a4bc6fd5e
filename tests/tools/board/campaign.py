"""A campaign of rounds of boards: `python -m tests.tools.board.campaign --seeds 500`.

Each seed is a feeder, an hour (of five seeds one: some hours with a battery), a part of messages
lost and repeated, boards that stop, and boards that lie in curves, prices or reports. An honest
board that stands must end with the optimum.
Prints progress and each seed that failed; exit status 1 if one did.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from dispatch.tree_bus import solve_exactly
from market.dispatch_certificate import Certificate
from market.dispatch_check import verify_certificate
from market.dispatch_layout import lay_out
from market.dispatch_problem import DispatchProblem, single_interval
from tests.dispatch.test_storage import battery
from tests.tools.board.links import Links
from tests.tools.board.test_protocol import cheat
from tools.board.messages import CURVES, PRICES, REPORT
from tools.cases.catalog import load_sound_case

DEADLINE_MS = 40_000
PRICE_TOLERANCE = 10**9
PROGRESS_S = 5.0


def run_seed(seed: int) -> str:
    """Run one seed; return what went wrong, empty if nothing did."""
    drawn = random.Random(seed)
    limits = drawn.choice(["normal", "congested"])
    day = load_sound_case("ieee13_gao", limits).problem
    if drawn.random() < 0.2:
        problem = _with_battery(day, drawn)
    else:
        problem = single_interval(day, drawn.randrange(24))
    buses = [bus.name for bus in problem.network.buses]
    stopped = {bus: drawn.randrange(6_000) for bus in drawn.sample(buses, drawn.randrange(4))}
    liars = {
        bus: cheat(drawn.choice([CURVES, PRICES, REPORT]))
        for bus in drawn.sample(buses, drawn.randrange(4))
    }
    links = Links(
        problem,
        seed=seed,
        loss=drawn.random() * 0.4,
        repeat=drawn.random() * 0.3,
        lies=liars,
        stops=stopped,
    )
    found = links.run(DEADLINE_MS)
    if found is None:
        return f"no result with {sorted(stopped)} stopped and {sorted(liars)} lying"
    if not verify_certificate(lay_out(problem), found):
        return "a result without proof"
    if problem.storages:
        return ""  # of several ways to round to watts a later attempt may take another one
    best = solve_exactly(problem)
    if liars:
        # What a lie moves within the certificate's tolerance, nobody can tell from rounding.
        same = [_powers(found) == _powers(best), _are_close(found, best)]
        return "" if all(same) else "another result than the optimum"
    return "" if found == best else "another result than the optimum"


def _powers(certificate: Certificate) -> list[Sequence[int]]:
    return [result.powers_w for result in certificate.intervals]


def _are_close(one: Certificate, other: Certificate) -> bool:
    """Tell whether the prices differ by less than a part in a billion."""
    return all(
        abs(price - best) * PRICE_TOLERANCE <= abs(best)
        for found, wanted in zip(one.intervals, other.intervals, strict=True)
        for price, best in zip(found.prices, wanted.prices, strict=True)
    )


def _with_battery(day: DispatchProblem, drawn: random.Random) -> DispatchProblem:
    """Return some hours of a day with a battery at one bus."""
    first, hours = drawn.randrange(18), drawn.randrange(2, 7)
    bus = drawn.choice(day.network.buses).name
    storage = battery(bus, drawn.randrange(1, 300) * 1_000, drawn.randrange(1, 900) * 10**6)
    units = tuple(replace(unit, bids=unit.bids[first : first + hours]) for unit in day.units)
    return replace(day, units=units, intervals=hours, storages=(storage,))


def main() -> int:
    """Run the seeds asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    chosen = parser.parse_args()
    if chosen.seeds < 1:
        parser.error("a campaign has at least one seed")
    failures = 0
    told_s = time.monotonic()
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        failure = run_seed(seed)
        if failure:
            failures += 1
            print(f"seed {seed}: {failure}", flush=True)
        if time.monotonic() - told_s >= PROGRESS_S:
            told_s = time.monotonic()
            print(f"{seed + 1 - chosen.first} of {chosen.seeds}, {failures} failed", flush=True)
    print(f"{chosen.seeds} seeds, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
