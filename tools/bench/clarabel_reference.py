"""One hour of a radial dispatch as a quadratic programme for Clarabel, an interior-point solver."""

from __future__ import annotations

import clarabel
import numpy as np
from scipy import sparse

from market.dispatch_problem import DispatchProblem

POWER_W = 1e5
PRICE = 1e19
TOLERANCE = 1e-10


def solve_with_clarabel(problem: DispatchProblem) -> float:
    """Return the optimal objective, $/h; the programme is in per-unit of 100 kW."""
    number = {bus.name: place for place, bus in enumerate(problem.network.buses)}
    bids = [unit.bids[0] for unit in problem.units]
    lines = problem.network.lines
    units, count = len(bids), len(bids) + len(lines)
    curvature = np.array([float(bid.a) for bid in bids] + [0.0] * len(lines)) * POWER_W / PRICE
    cost = np.array([float(bid.b) for bid in bids] + [0.0] * len(lines)) / PRICE
    starts = np.array([number[line.from_bus] for line in lines], dtype=np.int64)
    ends = np.array([number[line.to_bus] for line in lines], dtype=np.int64)
    at = np.array([number[unit.bus] for unit in problem.units], dtype=np.int64)
    flow = units + np.arange(len(lines))
    # Injections minus what leaves over lines is 0 at each bus.
    balance = sparse.csc_matrix(
        (
            np.concatenate([np.ones(units), -np.ones(len(lines)), np.ones(len(lines))]),
            (
                np.concatenate([at, starts, ends]),
                np.concatenate([np.arange(units), flow, flow]),
            ),
        ),
        shape=(len(number), count),
    )
    ratings = [line.rating_w for line in lines]
    limited = np.array([place for place, rating in enumerate(ratings) if rating is not None])
    bound = np.array([float(rating) for rating in ratings if rating is not None]) / POWER_W
    rows = sparse.eye(count, format="csc")
    kept = sparse.vstack([rows[:units], rows[units + limited.astype(np.int64)]], format="csc")
    upper = np.concatenate([np.array([float(bid.hi_w) for bid in bids]) / POWER_W, bound])
    lower = np.concatenate([np.array([float(bid.lo_w) for bid in bids]) / POWER_W, -bound])
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = TOLERANCE
    solution = clarabel.DefaultSolver(
        sparse.diags(curvature, format="csc"),
        cost,
        sparse.vstack([balance, kept, -kept], format="csc"),
        np.concatenate([np.zeros(len(number)), upper, -lower]),
        [clarabel.ZeroConeT(len(number)), clarabel.NonnegativeConeT(2 * len(upper))],
        settings,
    ).solve()
    return float(solution.obj_val) * POWER_W * PRICE * 1e-24
