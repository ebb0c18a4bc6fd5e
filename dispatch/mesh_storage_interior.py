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
from dispatch.storage_interior import GOOD_ENOUGH, MAX_STEPS, NEAREST, STEP, TOLERANCE
from vm.primitives.errors import InvalidInput

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


@np.errstate(over="ignore", invalid="ignore")  # what diverges is seen to, and said
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
    )
    count = 2 * max(int(free.sum()), 1)
    best, best_left, missing = point, np.inf, np.inf
    for _ in range(MAX_STEPS):
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
        here = _Here(point, free, below, above)
        moves = here.moves(newton, residuals, low, high)
        size = here.longest(moves)
        ahead = (below + size * moves.x) * (point.at_lower + size * moves.at_lower)
        ahead += (above - size * moves.x) * (point.at_upper + size * moves.at_upper)
        wanted = (float(ahead[free].sum()) / count / gap) ** 3 * gap
        low = low + moves.x * moves.at_lower - wanted
        high = high - moves.x * moves.at_upper - wanted
        moves = here.moves(newton, residuals, low, high)
        point = here.after(moves, STEP * here.longest(moves))
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


@dataclass(frozen=True, slots=True)
class _Here:
    """Where a step begins."""

    point: MeshInteriorPoint
    """The point."""
    free: Flags
    """(t, w) what can move."""
    below: Floats
    """(t, w) distances from the lower bounds."""
    above: Floats
    """(t, w) distances from the upper bounds."""

    def moves(
        self,
        newton: MeshNewton,
        residuals: tuple[Floats, Floats, Floats, Floats],
        low: Floats,
        high: Floats,
    ) -> MeshInteriorPoint:
        """Return the moves that take out residuals and the products `low` and `high`."""
        dual, *missing = residuals
        force = np.where(self.free, -dual - low / self.below + high / self.above, 0.0)
        x, price, congestion, value = newton.move(force, *missing)
        at_lower = np.where(self.free, -(low + self.point.at_lower * x) / self.below, 0.0)
        at_upper = np.where(self.free, -(high - self.point.at_upper * x) / self.above, 0.0)
        return MeshInteriorPoint(x, price, congestion, value, at_lower, at_upper)

    def longest(self, moves: MeshInteriorPoint) -> float:
        """Return the longest step, at most 1, that keeps distances and multipliers above zero."""
        size = 1.0
        for distance, move in (
            (self.below, moves.x),
            (self.above, -moves.x),
            (self.point.at_lower, moves.at_lower),
            (self.point.at_upper, moves.at_upper),
        ):
            falling = self.free & (move < 0)
            if falling.any():
                size = min(size, float((-distance[falling] / move[falling]).min()))
        return size

    def after(self, moves: MeshInteriorPoint, size: float) -> MeshInteriorPoint:
        """Return the point after a step."""
        point = self.point
        return MeshInteriorPoint(
            point.x + size * moves.x,
            point.balance_price + size * moves.balance_price,
            point.congestion + size * moves.congestion,
            point.value + size * moves.value,
            point.at_lower + size * moves.at_lower,
            point.at_upper + size * moves.at_upper,
        )
