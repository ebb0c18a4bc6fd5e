"""`bitenergy bench dispatch`: solving and verifying, and an interior-point solver beside them.

Times are of one core's work (process time), so that other work on the machine counts little.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from dispatch.arrays import radial_arrays
from dispatch.quantise import quantise_radial
from dispatch.solve import solve
from dispatch.tree import solve_tree
from market.dispatch_certificate import Certificate
from market.dispatch_check import verify_certificate
from market.dispatch_layout import DispatchLayout, lay_out
from market.dispatch_problem import DispatchProblem, single_interval
from tools.bench.feeders import random_feeder
from tools.cases.catalog import load_sound_case
from tools.errors import EXIT_FAILED, EXIT_OK, ToolError
from tools.output import note, print_fields, print_json
from tools.solution_file import UNITS_PER_DOLLAR, objective_twice

SIZES: Final = (1_300, 13_000, 130_000)
REPEATS: Final = 7
COMPARED: Final = 13_000


@dataclass(frozen=True, slots=True)
class SizeFigures:
    """One size of feeder; medians of several runs."""

    buses: int
    """Buses of the feeder."""
    units: int
    """Its generators and loads."""
    layout_ms: float
    """Laying the problem out for solver and verifier, once a round."""
    solve_ms: float
    """The tree method, from arrays to prices, powers and flows."""
    quantise_ms: float
    """From those to the integers of a certificate."""
    verify_ms: float
    """One verification of the certificate."""
    verify_us_per_bus: float
    """The same for each bus: it does not grow if the cost is linear."""
    clarabel_ms: float | None
    """Clarabel on the same problem, its set-up included; None if it is not installed, and on the
    largest size, where it takes minutes."""
    objective_difference: float | None
    """Its objective minus ours, as a part of ours."""


@dataclass(frozen=True, slots=True)
class CaseFigures:
    """A case that was named; medians of several runs."""

    name: str
    """Its name."""
    buses: int
    """Its buses."""
    units: int
    """Its generators and loads."""
    solve_ms: float
    """From the problem to the certificate, everything in between included, once compiled."""
    verify_ms: float
    """One verification of the certificate."""


@dataclass(frozen=True, slots=True)
class DispatchFigures:
    """What one run measured."""

    compile_s: float
    """The first solution: compiling the solver, or loading it from the cache."""
    feeder_24_hours_ms: float
    """24 congested hours of the 13-node feeder, solved."""
    feeder_24_hours_quantised_ms: float
    """The same with quantisation."""
    feeder_24_hours_clarabel_ms: float | None
    """Clarabel on the same 24 problems."""
    verify_13_buses_us: float
    """One verification of one hour: the slowest of the 24 medians."""
    sizes: tuple[SizeFigures, ...]
    """Larger feeders."""
    cases: tuple[CaseFigures, ...]
    """Cases that were named."""


def run_bench(cases: Sequence[str], *, as_json: bool) -> int:
    """Measure, print, and return the exit status: failed if a certificate was refused."""
    clarabel = _clarabel()
    if clarabel is None:
        note("Clarabel is not installed; for the comparison: pip install 'bitenergy[bench]'")
    figures = _measure(clarabel, cases)
    if as_json:
        print_json(asdict(figures))
    else:
        shown = [
            (key, value) for key, value in asdict(figures).items() if key not in ("sizes", "cases")
        ]
        print_fields("the 13-node feeder", shown)
        for size in figures.sizes:
            print_fields(f"{size.buses} buses", list(asdict(size).items()))
        for case in figures.cases:
            print_fields(case.name, list(asdict(case).items()))
    return EXIT_OK if figures.sizes else EXIT_FAILED


def _measure(
    clarabel: Callable[[DispatchProblem], float] | None, cases: Sequence[str]
) -> DispatchFigures:
    problem = load_sound_case("ieee13_gao", "congested").problem
    layout = lay_out(problem)
    arrays = radial_arrays(layout)
    begun = time.process_time()
    certificate = quantise_radial(arrays, solve_tree(arrays))
    compile_s = time.process_time() - begun
    hours = [single_interval(problem, hour) for hour in range(problem.intervals)]
    solved = _median_s(lambda: solve_tree(arrays), 50)
    whole = _median_s(lambda: quantise_radial(arrays, solve_tree(arrays)), 50)
    verified = max(
        _verify_s(lay_out(hour), Certificate((result,)), 500)
        for hour, result in zip(hours, certificate.intervals, strict=True)
    )
    compared = None
    if clarabel is not None:
        compared = 1_000 * _median_s(lambda: [clarabel(hour) for hour in hours], 3)
    return DispatchFigures(
        compile_s=compile_s,
        feeder_24_hours_ms=1_000 * solved,
        feeder_24_hours_quantised_ms=1_000 * whole,
        feeder_24_hours_clarabel_ms=compared,
        verify_13_buses_us=1e6 * verified,
        sizes=tuple(_measure_size(buses, clarabel) for buses in SIZES),
        cases=tuple(_measure_case(name) for name in cases),
    )


def _measure_case(name: str) -> CaseFigures:
    problem = load_sound_case(name).problem
    certificate = solve(problem).certificate
    return CaseFigures(
        name=name,
        buses=len(problem.network.buses),
        units=len(problem.units),
        solve_ms=1_000 * _median_s(lambda: solve(problem), REPEATS),
        verify_ms=1_000 * _verify_s(lay_out(problem), certificate, REPEATS),
    )


def _measure_size(buses: int, clarabel: Callable[[DispatchProblem], float] | None) -> SizeFigures:
    problem = random_feeder(buses)
    begun = time.process_time()
    layout = lay_out(problem)
    arrays = radial_arrays(layout)
    laid_out = time.process_time() - begun
    dispatch = solve_tree(arrays)
    certificate = quantise_radial(arrays, dispatch)
    verified = _verify_s(layout, certificate, REPEATS)
    compared = difference = None
    if clarabel is not None and buses <= COMPARED:
        begun = time.process_time()
        theirs = clarabel(problem)
        compared = 1_000 * (time.process_time() - begun)
        ours = objective_twice(problem, 0, certificate.intervals[0]) / (2 * UNITS_PER_DOLLAR)
        difference = (theirs - ours) / abs(ours)
    return SizeFigures(
        buses=buses,
        units=len(problem.units),
        layout_ms=1_000 * laid_out,
        solve_ms=1_000 * _median_s(lambda: solve_tree(arrays), REPEATS),
        quantise_ms=1_000 * _median_s(lambda: quantise_radial(arrays, dispatch), REPEATS),
        verify_ms=1_000 * verified,
        verify_us_per_bus=1e6 * verified / buses,
        clarabel_ms=compared,
        objective_difference=difference,
    )


def _verify_s(layout: DispatchLayout, certificate: Certificate, repeats: int) -> float:
    if not verify_certificate(layout, certificate):
        raise ToolError("an honest certificate was refused", code="refused")
    return _median_s(lambda: verify_certificate(layout, certificate), repeats)


def _median_s(work: Callable[[], object], repeats: int) -> float:
    took = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        took.append(time.process_time() - begun)
    return statistics.median(took)


def _clarabel() -> Callable[[DispatchProblem], float] | None:
    """Return a function that solves one hour with Clarabel for its objective, or None."""
    if importlib.util.find_spec("clarabel") is None:
        return None
    from tools.bench.clarabel_reference import solve_with_clarabel

    return solve_with_clarabel
