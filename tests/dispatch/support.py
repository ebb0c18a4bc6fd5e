"""Random radial problems, and the published feeder with its expected results."""

from __future__ import annotations

import json
import random
from functools import cache
from importlib.resources import files

from market.dispatch_layout import DispatchLayout, lay_out
from market.dispatch_problem import GENERATOR, LOAD, Bid, DispatchProblem, Unit
from market.network import Bus, Line, Network
from tools.cases.case import LIMITS
from tools.cases.catalog import load_sound_case

CASE_HOURS = [(limits, hour) for limits in LIMITS for hour in range(1, 25)]
PRICE_UNITS_PER_PU = 10**19


@cache
def feeder(limits: str) -> DispatchProblem:
    """The modified IEEE 13-node feeder, 24 hours."""
    return load_sound_case("ieee13_gao", limits).problem


@cache
def feeder_layout(limits: str) -> DispatchLayout:
    """Its layout."""
    return lay_out(feeder(limits))


@cache
def expected_hours(limits: str) -> list[dict]:
    """What the file of expected results says of each hour."""
    text = files("genesis").joinpath("cases", "ieee13_gao_expected.json").read_text()
    return json.loads(text)["hours"][limits]


def random_problem(seed: int, buses: int = 12, intervals: int = 2) -> DispatchProblem:
    """A radial problem of small integers with many ties: equal bids, full lines, fixed units."""
    drawn = random.Random(seed)
    slopes = (0, 10**12, 4 * 10**12) if drawn.random() < 0.7 else (0,)
    units = []
    for number in range(3 * buses):
        bus = f"N{drawn.randrange(buses)}"
        size = drawn.choice([0, 10, 200, 999])
        kind = drawn.choice([GENERATOR, LOAD])
        bids = []
        for _ in range(intervals):
            served = drawn.choice([0, size // 2, size])
            lo_w, hi_w = (-size, -served) if kind == LOAD else (0, size)
            bids.append(
                Bid(drawn.choice(slopes), drawn.randrange(1, 9) * 10**18, lo_w * 100, hi_w * 100)
            )
        units.append(Unit(f"U{number}", bus, kind, tuple(bids)))
    supply = Bid(drawn.choice(slopes), 9 * 10**18, 0, 10**7)
    units.append(Unit("grid", "N0", GENERATOR, (supply,) * intervals))
    for bus in range(buses):
        # A dear last resort at each bus keeps every drawing feasible.
        resort = Bid(0, 20 * 10**18, 0, 10**7)
        units.append(Unit(f"R{bus}", f"N{bus}", GENERATOR, (resort,) * intervals))
    lines = []
    for bus in range(1, buses):
        ends = [f"N{drawn.randrange(bus)}", f"N{bus}"]
        drawn.shuffle(ends)
        rating = drawn.choice([None, 0, 5_000, 30_000, 100_000])
        lines.append(Line(f"line{bus}", ends[0], ends[1], rating, 1_000_000, ""))
    network = Network("N0", tuple(Bus(f"N{bus}") for bus in range(buses)), tuple(lines))
    return DispatchProblem(network, 60, intervals, tuple(units))
