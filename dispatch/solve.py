"""One door to all solvers: a problem and the name of a method in, an integer solution out."""

from __future__ import annotations

from typing import Final

from dispatch.arrays import radial_arrays
from dispatch.quantise import quantise_radial
from dispatch.solution import Solution
from dispatch.tree import solve_tree
from market.dispatch_layout import lay_out
from market.dispatch_problem import DispatchProblem
from vm.primitives.errors import InvalidInput

TREE: Final = "tree"


def solve_radial(problem: DispatchProblem) -> Solution:
    """Return the optimum of a sound radial problem without storages, by the exact tree method."""
    layout = lay_out(problem)
    arrays = radial_arrays(layout)
    certificate = quantise_radial(arrays, solve_tree(arrays))
    return Solution(TREE, certificate, (arrays.depth,) * problem.intervals)


def solve(problem: DispatchProblem, method: str = TREE) -> Solution:
    """Return what `method` makes of a sound problem.

    Raises InvalidInput `unsuitable_method` where it cannot take this kind of problem.
    """
    if method == TREE and problem.is_radial and not problem.storages:
        return solve_radial(problem)
    raise InvalidInput(
        f"the method {method!r} cannot solve this problem",
        code="unsuitable_method",
        expected="a radial network without storages",
        actual=f"{len(problem.network.lines)} lines, {len(problem.storages)} storages",
    )
