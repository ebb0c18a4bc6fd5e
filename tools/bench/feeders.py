"""Random radial feeders of any size, with units like those of the 13-node feeder."""

from __future__ import annotations

import random

from market.dispatch_problem import GENERATOR, LOAD, Bid, DispatchProblem, Unit
from market.network import Bus, Line, Network

PRICE_UNIT = 10**18
"""A tenth of a cent per kWh."""


def random_feeder(buses: int, seed: int = 1) -> DispatchProblem:
    """Return a feasible feeder of one hour, some 1.8 units a bus, a good part of its lines full."""
    drawn = random.Random(seed)
    parents = [max(0, bus - 1 - int(drawn.expovariate(0.16))) for bus in range(1, buses)]
    supply = Bid(36 * 10**11, 207 * PRICE_UNIT, 0, buses * 400_000)
    units = [Unit("grid", "N0", GENERATOR, (supply,))]
    must_serve = [0] * buses
    for bus in range(buses):
        for number in range(drawn.choice((1, 2, 2))):
            a = drawn.randrange(40, 90) * 10**11
            if drawn.random() < 0.4:
                bid = Bid(a, drawn.randrange(30, 60) * PRICE_UNIT, 0, drawn.randrange(2, 6) * 10**5)
                units.append(Unit(f"G{bus}.{number}", f"N{bus}", GENERATOR, (bid,)))
            else:
                most = drawn.randrange(60, 400) * 1_000
                must_serve[bus] += most * 6 // 10
                bid = Bid(a, drawn.randrange(63, 80) * PRICE_UNIT, -most, -most * 6 // 10)
                units.append(Unit(f"L{bus}.{number}", f"N{bus}", LOAD, (bid,)))
    behind = list(must_serve)
    for bus in range(buses - 1, 0, -1):
        behind[parents[bus - 1]] += behind[bus]
    lines = tuple(
        Line(
            f"line{bus}",
            f"N{parent}",
            f"N{bus}",
            # What must be served behind it always fits; what is cheap behind it often does not.
            None if drawn.random() < 0.2 else behind[bus] + drawn.randrange(20, 300) * 1_000,
            1_000_000,
            "",
        )
        for bus, parent in enumerate(parents, 1)
    )
    network = Network("N0", tuple(Bus(f"N{bus}") for bus in range(buses)), lines)
    return DispatchProblem(network, 60, 1, tuple(units))
