"""An interior point over all hours of a meshed problem with storages: which limits hold.

The predictor-corrector method of Mehrotra (1992), as in `storage_interior`, with the flows of rated
lines as bounded variables of their own. `storage_plain` is the slow, readable twin, with one dense
matrix for everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from dispatch.arrays import Floats
from dispatch.mesh_storage_arrays import MeshStorageArrays
from dispatch.mesh_storage_newton import MeshNewton
from dispatch.storage_arrays import Flags
from vm.primitives.errors import InvalidInput

MAX_STEPS: Final = 120
TOLERANCE: Final = 1e-10
GOOD_ENOUGH: Final = 1e-6
"""Where rounding ends the steps before the tolerance is met: what then serves as well."""
NEAREST: Final = 1e-14
"""A variable counts as at least this far from its bounds."""
STEP: Final = 0.995
NARROWEST: Final = 1e-9
"""Least rating of a line in these steps: one of 0 leaves no room to step in."""


@dataclass(frozen=True, slots=True)
class MeshInteriorPoint:
    """Where the method stopped, in the scale of its arrays; w is variables, then rated lines."""

    x: Floats
    """(t, w) the variables and the flows."""
    balance_price: Floats
    """(t,) price of each hour's balance."""
    congestion: Floats
    """(t, m) what the limit of each rated line costs, positive at +F."""
    value: Floats
    """(t, s) multiplier of each level's step: minus the value of stored energy."""
    at_lower: Floats
    """(t, w) multipliers of the lower bounds."""
    at_upper: Floats
    """(t, w) multipliers of the upper bounds."""
    steps: int
    """Steps taken."""


def solve_mesh_interior(arrays: MeshStorageArrays) -> MeshInteriorPoint:
    """Return a point near the optimum; raises InvalidInput `no_solution` where none is found."""
    base = arrays.base
    hours, lines = len(base.lower), len(arrays.limit)
    wide = np.broadcast_to(np.maximum(arrays.limit, NARROWEST), (hours, lines))
    lower, upper = np.hstack([base.lower, -wide]), np.hstack([base.upper, wide])
    free = upper > lower
    point = MeshInteriorPoint(
        x=np.where(free, 0.5 * (lower + upper), lower),
        balance_price=np.zeros(hours),
        congestion=np.zeros((hours, lines)),
        value=np.zeros((hours, len(base.start))),
        at_lower=np.where(free, 1.0, 0.0),
        at_upper=np.where(free, 1.0, 0.0),
        steps=0,
    )
    count = 2 * max(int(free.sum()), 1)
    best, best_left, missing = point, np.inf, np.inf
    for step in range(1, MAX_STEPS + 1):
        below = np.where(free, np.maximum(point.x - lower, NEAREST), 1.0)
        above = np.where(free, np.maximum(upper - point.x, NEAREST), 1.0)
        residuals = _residuals(arrays, point, free)
        low, high = below * point.at_lower, above * point.at_upper
        gap = float((low + high).sum()) / count
        missing = max(float(np.abs(each).max(initial=0.0)) for each in residuals[1:])
        left = max(missing, float(np.abs(residuals[0]).max()), gap)
        if left < best_left:
            best, best_left = point, left
        if max(left * 1e-3, gap) < TOLERANCE:
            break
        stiffness = np.where(free, point.at_lower / below + point.at_upper / above, 0.0)
        try:
            newton = MeshNewton(arrays, free, stiffness)
        except np.linalg.LinAlgError:
            break

        def move(low: Floats, high: Floats) -> tuple[Floats, ...]:
            force = np.where(free, -residuals[0] - low / below + high / above, 0.0)
            x, *multipliers = newton.move(force, *residuals[1:])
            down = np.where(free, -(low + point.at_lower * x) / below, 0.0)
            up = np.where(free, -(high - point.at_upper * x) / above, 0.0)
            return x, *multipliers, down, up

        moves = move(low, high)
        size = _longest(free, below, above, point, moves)
        ahead = (below + size * moves[0]) * (point.at_lower + size * moves[-2])
        ahead += (above - size * moves[0]) * (point.at_upper + size * moves[-1])
        wanted = (float(ahead[free].sum()) / count / gap) ** 3 * gap
        moves = move(
            low + moves[0] * moves[-2] - wanted, high - moves[0] * moves[-1] - wanted
        )
        size = STEP * _longest(free, below, above, point, moves)
        fields = (point.x, point.balance_price, point.congestion, point.value)
        old = (*fields, point.at_lower, point.at_upper)
        point = MeshInteriorPoint(
            *(each + size * change for each, change in zip(old, moves, strict=True)), steps=step
        )
        if not np.isfinite(point.x).all():
            break
    if best_left < GOOD_ENOUGH:
        return best
    raise InvalidInput(
        "no dispatch was found within the limits of units, lines and storages",
        code="no_solution",
        expected=f"convergence within {MAX_STEPS} steps",
        actual=f"an imbalance of {missing * base.scale.power_w:.3g} W",
        hint="Lines, units or storages may not suffice for the load that must be served.",
    )


def _residuals(
    arrays: MeshStorageArrays, point: MeshInteriorPoint, free: Flags
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return what equations miss: (t, w) duals, (t,) balances, (t, m) flows, (t, s) levels."""
    base = arrays.base
    columns = base.lower.shape[1]
    x, flow = point.x[:, :columns], point.x[:, columns:]
    earned = base.priced(arrays.prices(point.balance_price, point.congestion), point.value)
    dual = np.hstack([base.quadratic * x + base.linear - earned, -point.congestion])
    dual = np.where(free, dual - point.at_lower + point.at_upper, 0.0)
    _, level = base.imbalance(x)
    return dual, x @ arrays.injection, x @ arrays.response.T - flow, level


def _longest(
    free: Flags,
    below: Floats,
    above: Floats,
    point: MeshInteriorPoint,
    moves: tuple[Floats, ...],
) -> float:
    """Return the longest step, at most 1, that keeps distances and multipliers above zero."""
    size = 1.0
    for distance, move in (
        (below, moves[0]),
        (above, -moves[0]),
        (point.at_lower, moves[-2]),
        (point.at_upper, moves[-1]),
    ):
        falling = free & (move < 0)
        if falling.any():
            size = min(size, float((-distance[falling] / move[falling]).min()))
    return size
