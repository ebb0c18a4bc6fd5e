"""The direct method for meshed networks: an interior point finds the limits that hold, and the
equations of these are solved exactly.

DC optimal power flow in bus angles. With A the incidence of units to buses, f = W Dθ the flows (D
the incidence of lines, W the inverse reactances), it minimises ½ PᵀQP + bᵀP under A P = DᵀW D θ,
lo ≤ P ≤ hi and |f| ≤ F. Units: MW, $/MW²h and $/MWh, so that numbers stay near one. The interior
point is the predictor-corrector method of Mehrotra (1992); one computer runs it alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dispatch.arrays import Floats
from market.dispatch_layout import DispatchLayout
from vm.primitives.errors import InvalidInput

MAX_STEPS: Final = 100
MAX_CORRECTIONS: Final = 60
W_PER_MW: Final = 1e6
PRICE_UNIT: Final = 1e-18
"""$/MWh in one unit of the integer model's prices."""
SLOPE_UNIT: Final = 1e-12
"""$/MW²h in one unit of the integer model's slopes."""
INTERIOR_STEP: Final = 0.99
SETTLED: Final = 1e-7
"""How near to a limit an iteration's figure stands at it, as a part of the limit's size."""
SMALL: Final = 1e-9
FAR: Final = 1e7
"""A solution beyond this, in MW or $/MWh, is one of nearly dependent equations."""
TINY_A: Final = 1e-12
"""Curvature added to linear bids, $/MW²h, by which the interior point's equations are regular."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class MeshedProblem:
    """One interval in floats: units that have a choice, and a network with fixed injections."""

    a: Floats
    """(u,) slopes, $/MW²h."""
    b: Floats
    """(u,) marginal costs at 0, $/MWh."""
    lo: Floats
    """(u,) least injections, MW."""
    hi: Floats
    """(u,) greatest injections, MW; above `lo`."""
    at_bus: Floats
    """(n, u) 1 where a unit is at a bus."""
    fixed: Floats
    """(n,) injections of units without a choice, MW."""
    incidence: Floats
    """(m, n) 1 at a line's beginning, -1 at its end."""
    weight: Floats
    """(m,) inverse reactances, arbitrary scale."""
    limit: Floats
    """(m,) ratings, MW."""


@dataclass(frozen=True, slots=True)
class MeshedDispatch:
    """The optimum of one interval in floats."""

    power: Floats
    """(u,) of the units with a choice, MW."""
    flow: Floats
    """(m,) flows, MW."""
    price: Floats
    """(n,) nodal prices, $/MWh."""
    congestion: Floats
    """(m,) price of each line's limit, $/MWh; positive for a flow at +F, negative at -F, else 0."""
    at_limit: Flags
    """(u,) whether a unit stands at a limit."""
    steps: int
    """Steps of the interior point."""


@dataclass(frozen=True, slots=True)
class Standard:
    """min ½ xᵀQx + cᵀx under E x = e and G x ≤ g; x is powers, then angles but the slack's."""

    quadratic: Floats
    """(x,) diagonal of Q."""
    linear: Floats
    """(x,) c."""
    equal: Floats
    """(n, x) E."""
    equal_to: Floats
    """(n,) e."""
    below: Floats
    """(g, x) G: upper limits, lower limits, line limits, line limits backwards."""
    bound: Floats
    """(g,) g."""


def read_interval(layout: DispatchLayout, interval: int) -> tuple[MeshedProblem, Flags]:
    """Return one interval of a meshed problem, and (u,) which units have a choice."""
    rows = layout.units[interval]
    buses = len(layout.places)
    chooses: Flags = np.array([row.lo_w < row.hi_w for row in rows], dtype=bool)
    free = [row for row in rows if row.lo_w < row.hi_w]
    at_bus = np.zeros((buses, len(free)))
    for place, row in enumerate(free):
        at_bus[row.bus, place] = 1.0
    fixed = np.zeros(buses)
    for row in rows:
        if row.lo_w == row.hi_w:
            fixed[row.bus] += row.lo_w / W_PER_MW
    incidence = np.zeros((len(layout.lines), buses))
    for place, line in enumerate(layout.lines):
        incidence[place, line.start], incidence[place, line.end] = 1.0, -1.0
    reactance = np.array([float(line.reactance_nano_ohm) for line in layout.lines])
    limit_w = np.array([float(line.rating_w) for line in layout.lines])
    if not any(row.hi_w > 0 for row in rows) or not any(row.lo_w < 0 for row in rows):
        # Nothing can be traded: lines without a rating, of 0 W then, must not part prices.
        limit_w = np.maximum(limit_w, max((max(row.hi_w, -row.lo_w) for row in rows), default=1))
    problem = MeshedProblem(
        a=np.array([row.a * SLOPE_UNIT for row in free]),
        b=np.array([row.b * PRICE_UNIT for row in free]),
        lo=np.array([row.lo_w / W_PER_MW for row in free]),
        hi=np.array([row.hi_w / W_PER_MW for row in free]),
        at_bus=at_bus,
        fixed=fixed,
        incidence=incidence,
        weight=np.median(reactance) / reactance,
        limit=limit_w / W_PER_MW,
    )
    return problem, chooses


def solve_meshed_interval(problem: MeshedProblem, slack: int) -> MeshedDispatch:
    """Return the optimum of one interval; raises InvalidInput `no_solution` where none is found.

    A network of homes is solved in a smaller unit of power than MW: limits that hold are told from
    those that do not by numbers near one.
    """
    most = max(float(np.abs(part).max(initial=0.0)) for part in (problem.lo, problem.hi))
    unit_mw = min(1.0, most) or 1.0
    small = _in_unit(problem, unit_mw)
    standard = _standard(small, slack)
    try:
        x, multipliers, steps = interior_point(standard)
    except np.linalg.LinAlgError:
        raise _no_solution("singular equations") from None
    active: Flags = multipliers > standard.bound - standard.below @ x
    found = _polish(small, standard, slack, x, active, steps)
    return replace(found, power=found.power * unit_mw, flow=found.flow * unit_mw)


def _in_unit(problem: MeshedProblem, unit_mw: float) -> MeshedProblem:
    """Return the same problem with powers in another unit; prices stay."""
    return replace(
        problem,
        a=problem.a * unit_mw,
        lo=problem.lo / unit_mw,
        hi=problem.hi / unit_mw,
        fixed=problem.fixed / unit_mw,
        limit=problem.limit / unit_mw,
    )


def settle_meshed_interval(
    problem: MeshedProblem, slack: int, power: Floats, flow: Floats
) -> MeshedDispatch:
    """Return the optimum near (u,) powers and (m,) flows in MW that an iteration has found.

    Limits at which they stand are taken as those that hold. Raises InvalidInput `no_solution`.
    """
    standard = _standard(problem, slack)
    angle = np.linalg.lstsq(problem.incidence, flow / problem.weight, rcond=None)[0]
    angle = np.delete(angle - angle[slack], slack)
    x = np.concatenate([power, angle]).astype(np.float64)
    near = SETTLED * np.maximum(problem.hi - problem.lo, 1.0)
    full = SETTLED * problem.limit
    active: Flags = np.concatenate(
        [
            problem.hi - power < near,
            power - problem.lo < near,
            problem.limit - flow <= full,
            problem.limit + flow <= full,
        ]
    )
    return _polish(problem, standard, slack, x, active, 0)


def _standard(problem: MeshedProblem, slack: int) -> Standard:
    units = len(problem.a)
    keep = np.arange(len(problem.fixed)) != slack
    flows = (problem.weight[:, None] * problem.incidence)[:, keep]
    balance = -(problem.incidence.T @ flows)
    lines = len(flows)
    below = np.vstack(
        [
            np.hstack([np.eye(units), np.zeros((units, flows.shape[1]))]),
            np.hstack([-np.eye(units), np.zeros((units, flows.shape[1]))]),
            np.hstack([np.zeros((lines, units)), flows]),
            np.hstack([np.zeros((lines, units)), -flows]),
        ]
    )
    return Standard(
        quadratic=np.concatenate([problem.a, np.zeros(flows.shape[1])]),
        linear=np.concatenate([problem.b, np.zeros(flows.shape[1])]),
        equal=np.hstack([problem.at_bus, balance]),
        equal_to=-problem.fixed,
        below=below,
        bound=np.concatenate([problem.hi, -problem.lo, problem.limit, problem.limit]),
    )


@np.errstate(over="ignore", invalid="ignore")  # what diverges is seen to, and said
def interior_point(standard: Standard) -> tuple[Floats, Floats, int]:
    """Return x, the multipliers of G x ≤ g, and the steps taken."""
    below, bound, equal = standard.below, standard.bound, standard.equal
    quadratic = standard.quadratic + TINY_A
    scale = max(1.0, float(np.abs(standard.linear).max(initial=0.0)))
    x: Floats = np.linalg.lstsq(equal, standard.equal_to, rcond=None)[0].astype(np.float64)
    slack = np.maximum(bound - below @ x, 1.0)
    multipliers: Floats = np.full(len(bound), scale)
    prices = np.zeros(len(equal))
    primal = equal @ x - standard.equal_to
    for step in range(1, MAX_STEPS + 1):
        dual = quadratic * x + standard.linear + below.T @ multipliers + equal.T @ prices
        primal = equal @ x - standard.equal_to
        above = below @ x + slack - bound
        gap = float(slack @ multipliers) / len(bound)
        if max(np.abs(dual).max() / scale, np.abs(primal).max(), np.abs(above).max()) < SMALL:
            if gap < SMALL * scale:
                return x, multipliers, step
        solver = _Newton(quadratic, equal, below, slack, multipliers)
        moves = solver.move(dual, primal, above, slack * multipliers)
        size = _longest(slack, moves[2], multipliers, moves[3])
        ahead = (slack + size * moves[2]) @ (multipliers + size * moves[3]) / len(bound)
        centring = (ahead / gap) ** 3 * gap
        moves = solver.move(
            dual, primal, above, slack * multipliers + moves[2] * moves[3] - centring
        )
        size = INTERIOR_STEP * _longest(slack, moves[2], multipliers, moves[3])
        x = x + size * moves[0]
        prices = prices + size * moves[1]
        slack = slack + size * moves[2]
        multipliers = multipliers + size * moves[3]
        if not np.isfinite(x).all():
            break
    raise _no_solution(f"an imbalance of {np.abs(primal).max():.3g} MW")


def _no_solution(actual: str) -> InvalidInput:
    return InvalidInput(
        "no dispatch was found within the limits of units and lines",
        code="no_solution",
        expected=f"convergence within {MAX_STEPS} steps",
        actual=actual,
        hint="Lines or units may not suffice for the load that must be served.",
    )


class _Newton:
    """The equations of one step, put together once and solved for two right sides."""

    def __init__(
        self,
        quadratic: Floats,
        equal: Floats,
        below: Floats,
        slack: Floats,
        multipliers: Floats,
    ) -> None:
        self._slack, self._multipliers, self._below = slack, multipliers, below
        self._ratio = multipliers / slack
        size, rows = len(quadratic), len(equal)
        self._matrix = np.zeros((size + rows, size + rows))
        self._matrix[:size, :size] = np.diag(quadratic) + below.T @ (self._ratio[:, None] * below)
        self._matrix[:size, size:] = equal.T
        self._matrix[size:, :size] = equal
        self._size = size

    def move(
        self, dual: Floats, primal: Floats, above: Floats, products: Floats
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Return the moves of x, of the prices, of the slacks and of the multipliers."""
        inner = self._ratio * above - products / self._slack
        right = np.concatenate([-dual - self._below.T @ inner, -primal])
        found = np.linalg.solve(self._matrix, right)
        move = found[: self._size]
        slack = -above - self._below @ move
        multipliers = -(products + self._multipliers * slack) / self._slack
        return move, found[self._size :], slack, multipliers


def _longest(slack: Floats, slack_move: Floats, multipliers: Floats, move: Floats) -> float:
    """Return the longest step, at most 1, that keeps slacks and multipliers above zero."""
    size = 1.0
    for value, change in ((slack, slack_move), (multipliers, move)):
        falling = change < 0
        if falling.any():
            size = min(size, float((-value[falling] / change[falling]).min()))
    return size


def _polish(
    problem: MeshedProblem,
    standard: Standard,
    slack: int,
    x: Floats,
    active: Flags,
    steps: int,
) -> MeshedDispatch:
    """Take the limits that hold as equations and solve these; mend the choice until signs fit."""
    for _ in range(MAX_CORRECTIONS):
        refined, prices, found = _solve_active(standard, x, active)
        excess = standard.below @ refined - standard.bound
        violated = ~active & (excess > 1e-7)
        wrong = active & (found < -1e-7)
        if not violated.any() and not wrong.any():
            break
        if violated.any():
            active[np.argmax(np.where(violated, excess, -np.inf))] = True
        else:
            active[np.argmin(np.where(wrong, found, np.inf))] = False
    else:
        raise InvalidInput(
            "the active limits of the dispatch could not be settled",
            code="no_solution",
            expected=f"an answer within {MAX_CORRECTIONS} corrections",
        )
    units, lines = len(problem.a), len(problem.limit)
    power = refined[:units].copy()
    top, bottom = active[:units], active[units : 2 * units]
    power[top], power[bottom] = problem.hi[top], problem.lo[bottom]
    keep = np.arange(len(problem.fixed)) != slack
    flow = (problem.weight[:, None] * problem.incidence)[:, keep] @ refined[units:]
    forward, backward = found[2 * units : 2 * units + lines], found[2 * units + lines :]
    return MeshedDispatch(power, flow, -prices, forward - backward, top | bottom, steps)


def _solve(matrix: Floats, right: Floats) -> Floats:
    """Return a solution of possibly dependent equations, the shortest where there are many."""
    try:
        found = np.linalg.solve(matrix, right)
        if np.abs(matrix @ found - right).max() <= SMALL * max(1.0, float(np.abs(right).max())):
            if np.abs(found).max() < FAR:
                return found.astype(np.float64)
    except np.linalg.LinAlgError:
        pass
    return np.linalg.lstsq(matrix, right, rcond=1e-13)[0].astype(np.float64)


def _solve_active(standard: Standard, x: Floats, active: Flags) -> tuple[Floats, Floats, Floats]:
    """Return x, prices and multipliers where exactly the `active` limits hold as equations.

    Of several solutions (linear bids) it takes the one nearest to `x`, which is within all limits.
    """
    held = standard.below[active]
    size, rows, limits = len(x), len(standard.equal), len(held)
    matrix = np.zeros((size + rows + limits,) * 2)
    matrix[:size, :size] = np.diag(standard.quadratic)
    matrix[:size, size : size + rows] = standard.equal.T
    matrix[:size, size + rows :] = held.T
    matrix[size : size + rows, :size] = standard.equal
    matrix[size + rows :, :size] = held
    right = np.concatenate([-standard.linear, standard.equal_to, standard.bound[active]])
    found = np.concatenate([x, np.zeros(rows + limits)])
    for _ in range(3):  # the later rounds refine: they take out the error of the first
        found = found + _solve(matrix, right - matrix @ found)
    multipliers = np.zeros(len(standard.bound))
    multipliers[active] = found[size + rows :]
    return found[:size], found[size : size + rows], multipliers
