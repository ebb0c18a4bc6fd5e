"""From an interior point to the exact optimum of a meshed problem with storages.

The limits that hold become equations, and these are solved by the steps of the interior point with
a little regularisation, which refinement takes out again: that of many solutions comes out which is
nearest to the interior point. Where a limit is passed, or a multiplier has the wrong sign, the
choice is mended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from dispatch.arrays import Floats
from dispatch.mesh_storage_arrays import MeshStorageArrays
from dispatch.mesh_storage_interior import MeshInteriorPoint
from dispatch.mesh_storage_newton import MeshNewton
from dispatch.storage_active import FREE, LOWER, UPPER, States, not_settled
from dispatch.storage_arrays import Flags

MAX_CORRECTIONS: Final = 200
REGULAR: Final = 1e-7
REFINEMENTS: Final = 30
SETTLED: Final = 1e-14
PASSED: Final = 1e-10
"""A limit passed by less is rounding."""
WRONG: Final = 1e-11
"""A multiplier of the wrong sign by less is rounding."""


@dataclass(frozen=True, slots=True)
class MeshActivePoint:
    """The optimum, in the scale of its arrays, and what is free in it."""

    x: Floats
    """(t, v) the variables; at a limit exactly the limit."""
    balance_price: Floats
    """(t,) price of each hour's balance, which is that of the slack bus."""
    congestion: Floats
    """(t, m) what the limit of each rated line costs, positive at +F, 0 where it is not full."""
    value: Floats
    """(t, s) multiplier of each level's step: minus the value of stored energy."""
    state: States
    """(t, v + m) LOWER, FREE or UPPER, of the variables and of the rated lines."""


def settle_mesh(arrays: MeshStorageArrays, near: MeshInteriorPoint) -> MeshActivePoint:
    """Return the optimum near an interior point; raises InvalidInput `no_solution`."""
    base = arrays.base
    columns = base.lower.shape[1]
    wide = np.broadcast_to(arrays.limit, near.congestion.shape)
    lower, upper = np.hstack([base.lower, -wide]), np.hstack([base.upper, wide])
    chooses = upper > lower
    state = _guess(arrays, near, lower, upper)
    found = MeshActivePoint(
        near.x[:, :columns], near.balance_price, near.congestion, near.value, state
    )
    for _ in range(MAX_CORRECTIONS):
        found = _solve_states(arrays, state, found)
        every = np.hstack([found.x, found.x @ arrays.response.T])
        over = np.where((state == FREE) & chooses, np.maximum(every - upper, lower - every), -1.0)
        earned = base.priced(arrays.prices(found.balance_price, found.congestion), found.value)
        slope = np.hstack([base.quadratic * found.x + base.linear - earned, -found.congestion])
        wrong = np.where(chooses & (state != FREE), state * slope, -1.0)
        if over.max() <= PASSED and wrong.max() <= WRONG:
            return found
        state = state.copy()
        if over.max() > PASSED:
            place = np.unravel_index(int(np.argmax(over)), over.shape)
            state[place] = UPPER if every[place] > upper[place] else LOWER
        else:
            state[np.unravel_index(int(np.argmax(wrong)), wrong.shape)] = FREE
    raise not_settled(MAX_CORRECTIONS)


def _guess(
    arrays: MeshStorageArrays, near: MeshInteriorPoint, lower: Floats, upper: Floats
) -> States:
    """Return which limit each variable stands at: the one whose multiplier outweighs its room."""
    state: States = np.zeros(near.x.shape, dtype=np.int8)
    state[near.at_upper > upper - near.x] = UPPER
    state[near.at_lower > near.x - lower] = LOWER
    state[upper <= lower] = LOWER
    # Taking and giving at once, where it costs nothing, is left out.
    _, lines, taken, given, _ = arrays.base.ends
    takes, gives = state[:, lines:taken], state[:, taken:given]
    most = np.minimum(near.x[:, lines:taken], near.x[:, taken:given])
    both: Flags = (takes == FREE) & (gives == FREE) & (most > PASSED)
    more_given = near.x[:, taken:given] >= near.x[:, lines:taken]
    takes[both & more_given] = LOWER
    gives[both & ~more_given] = LOWER
    return state


def _solve_states(
    arrays: MeshStorageArrays, state: States, near: MeshActivePoint
) -> MeshActivePoint:
    """Return the solution in which exactly what `state` says stands at its limit."""
    base = arrays.base
    columns = base.lower.shape[1]
    own, lines = state[:, :columns], state[:, columns:]
    free = state == FREE
    full = lines != FREE
    stiffness = np.hstack([np.full(own.shape, REGULAR), np.where(full, 1.0 / REGULAR, 0.0)])
    newton = MeshNewton(arrays, free, stiffness, REGULAR)
    x = np.where(own == UPPER, base.upper, np.where(own == LOWER, base.lower, near.x))
    price, value = near.balance_price, near.value
    congestion = np.where(full, near.congestion, 0.0)
    none = np.zeros(lines.shape)
    for _ in range(REFINEMENTS):
        earned = base.priced(arrays.prices(price, congestion), value)
        dual = np.where(free[:, :columns], base.quadratic * x + base.linear - earned, 0.0)
        balance = x @ arrays.injection
        passed = np.where(full, x @ arrays.response.T - lines * arrays.limit, 0.0)
        _, level = base.imbalance(x)
        left = max(float(np.abs(each).max(initial=0.0)) for each in (dual, balance, passed, level))
        if left < SETTLED:
            break
        moves = newton.move(np.hstack([-dual, none]), balance, passed, level)
        x = x + moves[0][:, :columns]
        price, value = price + moves[1], value + moves[3]
        congestion = congestion + np.where(full, moves[2], 0.0)
    return MeshActivePoint(x, price, congestion, value, state)
