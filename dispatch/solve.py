"""One door to all solvers: a problem and the name of a method in, an integer solution out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from dispatch.admm import solve_admm
from dispatch.admm_mesh import solve_admm_mesh
from dispatch.arrays import Floats, Integers, RadialArrays, radial_arrays
from dispatch.mesh_storage import solve_meshed_with_storages
from dispatch.meshed import (
    W_PER_MW,
    read_interval,
    settle_meshed_interval,
    solve_meshed_interval,
)
from dispatch.published_methods import Comparison, run_consensus, run_innovations
from dispatch.quantise import quantise_radial, round_price
from dispatch.quantise_mesh import quantise_meshed
from dispatch.settle import settle
from dispatch.solution import Residual, Solution
from dispatch.storage import solve_with_storages
from dispatch.tree import solve_tree
from market.dispatch_certificate import Certificate, IntervalResult
from market.dispatch_layout import DispatchLayout, lay_out
from market.dispatch_problem import MAX_PRICE, DispatchProblem
from vm.primitives.errors import InvalidInput

TREE: Final = "tree"
ADMM: Final = "admm"
CONSENSUS: Final = "consensus"
INNOVATIONS: Final = "innovations"
DIRECT: Final = "direct"
METHODS: Final = (TREE, ADMM, CONSENSUS, INNOVATIONS, DIRECT)
NANO: Final = 1e-9


def solve_radial(problem: DispatchProblem) -> Solution:
    """Return the optimum of a sound radial problem without storages, by the exact tree method."""
    layout = lay_out(problem)
    arrays = radial_arrays(layout)
    certificate = quantise_radial(arrays, solve_tree(arrays))
    return Solution(TREE, certificate, (arrays.depth,) * problem.intervals)


def solve_meshed(problem: DispatchProblem) -> Solution:
    """Return the optimum of a sound meshed problem without storages, by the direct method.

    Raises InvalidInput `no_solution`, `no_rounding`.
    """
    layout = lay_out(problem)
    results = []
    for interval in range(problem.intervals):
        numbers, chooses = read_interval(layout, interval)
        found = solve_meshed_interval(numbers, layout.root)
        results.append(quantise_meshed(layout, interval, found, chooses))
    return Solution(DIRECT, Certificate(tuple(results)), (0,) * problem.intervals)


def solve_meshed_by_admm(problem: DispatchProblem) -> Solution:
    """Return what neighbours agree on in a sound meshed problem without storages, settled exactly.

    Raises InvalidInput `no_solution`, `no_rounding`.
    """
    layout = lay_out(problem)
    found = solve_admm_mesh(layout)
    results = []
    for interval, one in enumerate(found):
        numbers, chooses = read_interval(layout, interval)
        settled = settle_meshed_interval(
            numbers, layout.root, one.power_w[chooses] / W_PER_MW, one.flow_w / W_PER_MW
        )
        results.append(quantise_meshed(layout, interval, settled, chooses))
    residuals = tuple(
        None if one.converged else Residual(one.apart_w, float("nan")) for one in found
    )
    rounds = tuple(one.rounds for one in found)
    return Solution(ADMM, Certificate(tuple(results)), rounds, residuals)


def solve_storages(problem: DispatchProblem) -> Solution:
    """Return the optimum of a sound problem with storages, over all its intervals at once.

    Raises InvalidInput `no_solution`, `no_rounding`.
    """
    layout = lay_out(problem)
    if problem.is_radial:
        certificate = solve_with_storages(layout)
    else:
        certificate = solve_meshed_with_storages(layout)
    return Solution(DIRECT, certificate, (0,) * problem.intervals)


def solve(
    problem: DispatchProblem, method: str = TREE, links: Sequence[tuple[str, str]] = ()
) -> Solution:
    """Return what `method` makes of a sound problem.

    `links` are the pairs of buses that exchange messages under consensus, by default the lines'.
    The tree method stands for the direct one where the network is meshed or has storages.
    Raises InvalidInput `unsuitable_method` where a method cannot take this kind of problem.
    """
    is_meshed = not problem.is_radial
    if method in (TREE, DIRECT) and is_meshed and not problem.storages:
        return solve_meshed(problem)
    if method == ADMM and is_meshed and not problem.storages:
        return solve_meshed_by_admm(problem)
    if method in (TREE, DIRECT) and problem.storages:
        return solve_storages(problem)
    if method not in METHODS or method == DIRECT or is_meshed or problem.storages:
        raise InvalidInput(
            f"the method {method!r} cannot solve this problem",
            code="unsuitable_method",
            expected="tree or direct with storages; without them tree, direct or admm in a meshed "
            "network, and tree, admm, consensus or innovations in a radial one",
            actual=f"a {'meshed' if is_meshed else 'radial'} network, "
            f"{len(problem.storages)} storages",
        )
    if method == TREE:
        return solve_radial(problem)
    layout = lay_out(problem)
    arrays = radial_arrays(layout)
    if method == ADMM:
        return _solve_by_admm(arrays)
    if method == CONSENSUS:
        pairs = _numbered(problem, links)
        found = [run_consensus(arrays, hour, pairs) for hour in range(problem.intervals)]
    else:
        reactance = _reactances(layout)
        found = [run_innovations(arrays, hour, reactance) for hour in range(problem.intervals)]
    return _compared(arrays, method, found)


def _solve_by_admm(arrays: RadialArrays) -> Solution:
    """Iterate, then settle what the iteration has found by then exactly."""
    result = solve_admm(arrays)
    certificate = quantise_radial(arrays, settle(arrays, result.dispatch.flows_w))
    residuals = tuple(
        None
        if agreed
        else Residual(
            abs(float(result.dispatch.powers_w[interval].sum())),
            float(np.ptp(result.dispatch.prices[interval])),
        )
        for interval, agreed in enumerate(result.converged)
    )
    return Solution(ADMM, certificate, result.rounds, residuals)


def _compared(arrays: RadialArrays, method: str, found: Sequence[Comparison]) -> Solution:
    """Return a published method's result: settled where it converged, only rounded elsewhere."""
    settled = quantise_radial(
        arrays, settle(arrays, np.zeros((len(found), len(arrays.tree.parent))))
    ).intervals
    return Solution(
        method,
        Certificate(
            tuple(
                settled[interval] if one.converged else _rounded(one)
                for interval, one in enumerate(found)
            )
        ),
        tuple(one.rounds for one in found),
        tuple(
            None if one.converged else Residual(one.mismatch_w, one.price_spread) for one in found
        ),
    )


def _rounded(found: Comparison) -> IntervalResult:
    prices = [float(price) for price in np.nan_to_num(found.prices)]
    return IntervalResult(
        tuple(max(-MAX_PRICE, min(MAX_PRICE, round_price(price))) for price in prices),
        tuple(round(float(power)) for power in np.nan_to_num(found.powers_w)),
    )


def _numbered(problem: DispatchProblem, links: Sequence[tuple[str, str]]) -> Integers:
    """Return the pairs of numbers of the buses that exchange messages, shape (m, 2)."""
    number = {bus.name: place for place, bus in enumerate(problem.network.buses)}
    pairs = links or [(line.from_bus, line.to_bus) for line in problem.network.lines]
    chosen = [(number[left], number[right]) for left, right in pairs]
    return np.array(chosen, dtype=np.int64).reshape(-1, 2)


def _reactances(layout: DispatchLayout) -> Floats:
    """Return the reactance of each bus's line to its parent, ohm; at least a nano-ohm."""
    lines = layout.problem.network.lines
    return np.array(
        [
            max(lines[place.line].reactance_nano_ohm, 1) * NANO if place.depth else 1.0
            for place in layout.places
        ]
    )
