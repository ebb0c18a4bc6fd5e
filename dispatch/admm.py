"""ADMM over the lines of a radial network: each bus and each line end exchange one number a round.

Every line has a flow z that both of its ends hold a copy f of, with a price y for each copy
(consensus ADMM, Boyd et al. 2011, section 7). A round: each bus chooses its units' powers and its
copies at least cost, which is one piecewise-linear equation in its price; sends over each line its
copy and its own penalty; then both ends of a line average, keep within the rating, and move y.

The penalty rho of a line adapts in two ways. First it follows the slope of what lies behind the
line (1/rho = sum of 1/a of the units at the margin and of 1/rho of the lines farther out): then a
change is not thrown back by the line, as a wave is not by a cable that ends in its own impedance.
A line that is full takes a large penalty, so that the prices on its two sides part quickly. Second,
where the copies stay apart while z stands still, rho grows, and shrinks again after (residual
balancing, Boyd et al. 2011, section 3.4.1, line by line). `admm_plain` is the readable twin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

from dispatch.arrays import Bids, Floats, RadialArrays, Tree
from dispatch.tree import RadialDispatch

if TYPE_CHECKING:
    from dispatch.admm_mesh import Mesh

MAX_ROUNDS: Final = 1_000
TOLERANCE: Final = 5e-5
"""How closely neighbours agree in the end; on the feeder no price is then 1e-4 off the optimum."""
RELAXATION: Final = 1.2
FOLLOW: Final = 0.2
"""How far the penalty moves each round towards what it should be, on a scale of logarithms."""
PARTED: Final = 3.0
"""Copies stay apart if they differ by more than this many changes of z."""
GROWTH: Final = 2.0
GROWTH_MAX: Final = 1_000.0
STILL_W: Final = 10.0
"""Copies this close count as equal for the penalty."""


class Penalties(NamedTuple):
    """Bounds of the penalties, 1e-24 $/(W²h); they scale with the units' own slopes."""

    least: float
    """Lower bound."""
    most: float
    """Upper bound of a line that is not full."""
    full: float
    """Penalty of a full line."""
    start: float
    """Penalty of each line in the first round."""


class LineState(NamedTuple):
    """What the ends of each bus's line to its parent know; it goes on from one hour to the next."""

    z: Floats
    """(n,) agreed flow towards the parent, W."""
    y: Floats
    """(n, 2) price of the copy at the bus and of that at its parent, 1e-24 $/Wh."""
    rho: Floats
    """(n,) penalty."""
    growth: Floats
    """(n,) factor by which residual balancing has raised the penalty."""


@dataclass(frozen=True, slots=True)
class AdmmResult:
    """Where the iteration stopped."""

    dispatch: RadialDispatch
    """Prices, powers and flows; the powers balance with the copies, not yet with each other."""
    rounds: tuple[int, ...]
    """Rounds of each interval."""
    converged: tuple[bool, ...]
    """Whether each interval came within the tolerance."""


def penalties_for(bids: Bids) -> Penalties:
    """Return the bounds of the penalties: parts and multiples of the units' middle slope."""
    slopes = bids.a[(bids.a > 0) & (bids.lo_w < bids.hi_w)]
    # Without any quadratic bid: the slope of a price over a power, as large as they come.
    scale = float(np.median(slopes)) if len(slopes) else _linear_scale(bids)
    return Penalties(0.4 * scale, 20.0 * scale, 140.0 * scale, 14.0 * scale)


def _linear_scale(bids: Bids) -> float:
    powers = np.maximum(np.abs(bids.lo_w), np.abs(bids.hi_w))
    return float(max(np.abs(bids.b).max(initial=1.0), 1.0) / max(powers.max(initial=1.0), 1.0))


def new_state(buses: int) -> LineState:
    """Return the state before the first hour: no flows, no prices."""
    return LineState(np.zeros(buses), np.zeros((buses, 2)), np.zeros(buses), np.ones(buses))


def solve_admm(
    arrays: RadialArrays, tolerance: float = TOLERANCE, max_rounds: int = MAX_ROUNDS
) -> AdmmResult:
    """Iterate each interval until neighbours agree to `tolerance`, warm from the one before.

    Agreed: over every line the two copies of the flow differ by at most `tolerance` of the largest
    flow, z moves by no more, and the prices at the ends of every line that is not full differ by at
    most `tolerance` of the price. A board sees that for its own lines.
    """
    buses = len(arrays.tree.parent)
    state = new_state(buses)
    intervals = arrays.bids.a.shape[0]
    prices, flows = np.zeros((intervals, buses)), np.zeros((intervals, buses))
    powers = np.zeros_like(arrays.bids.a)
    rounds, converged = [], []
    for interval in range(intervals):
        bids = arrays.interval_bids(interval)
        penalties = penalties_for(bids)
        state.rho[:] = penalties.start
        state.growth[:] = 1.0
        done, agreed = _iterate(
            arrays.tree, bids, penalties, state, prices[interval], tolerance, max_rounds
        )
        rounds.append(int(done))
        converged.append(bool(agreed))
        flows[interval] = state.z
        powers_at(arrays.tree, bids, prices[interval], powers[interval])
    return AdmmResult(RadialDispatch(prices, powers, flows), tuple(rounds), tuple(converged))


@njit(cache=True)
def _iterate(
    tree: Tree,
    bids: Bids,
    penalties: Penalties,
    state: LineState,
    price: Floats,
    tolerance: float,
    max_rounds: int,
) -> tuple[int, bool]:
    """Run rounds until all agree; return (rounds, whether they do)."""
    wanted = np.empty(tree.parent.shape[0])
    for done in range(1, max_rounds + 1):
        _choose_prices(tree, bids, state, price)
        _want_penalties(tree, bids, penalties, state, price, wanted)
        if _agree(tree, state, price, wanted, tolerance):
            return done, True
    return max_rounds, False


@njit(cache=True)
def _choose_prices(tree: Tree, bids: Bids, state: LineState, price: Floats) -> None:
    """Have each bus solve for the price at which its powers balance its copies of the flows."""
    count = tree.parent.shape[0]
    slope, offset = np.zeros(count), np.zeros(count)
    for bus in range(count):
        above = tree.parent[bus]
        if above >= 0:
            slope[bus] += 1.0 / state.rho[bus]
            slope[above] += 1.0 / state.rho[bus]
            offset[bus] += state.z[bus] - state.y[bus, 0] / state.rho[bus]
            offset[above] -= state.z[bus] - state.y[bus, 1] / state.rho[bus]
    for bus in range(count):
        price[bus] = solve_balance(tree, bids, bus, slope[bus], offset[bus], price[bus])


@njit(cache=True)
def solve_balance(
    places: Tree | Mesh, bids: Bids, bus: int, slope: float, offset: float, price: float
) -> float:
    """Return the price at which a bus's units inject offset - slope·price.

    Newton's steps in a bracket. `places` says which units are at the bus.
    """
    low, high = -1e34, 1e34
    for _ in range(200):
        value, steep = slope * price - offset, slope
        for place in range(places.first_unit[bus], places.first_unit[bus + 1]):
            unit = places.units[place]
            lo, hi, a = bids.lo_w[unit], bids.hi_w[unit], bids.a[unit]
            if a > 0.0:
                power = (price - bids.b[unit]) / a
                if lo < power < hi:
                    steep += 1.0 / a
                value += min(max(power, lo), hi)
            else:
                value += hi if price > bids.b[unit] else lo
        if value > 0.0:
            high = price
        else:
            low = price
        following = price - value / steep if steep > 0.0 else 0.5 * (low + high)
        if abs(following - price) <= 1e-13 * abs(price) + 1.0:
            return following
        price = following if low < following < high else 0.5 * (low + high)
    return price


@njit(cache=True)
def _want_penalties(
    tree: Tree,
    bids: Bids,
    penalties: Penalties,
    state: LineState,
    price: Floats,
    wanted: Floats,
) -> None:
    """Write the penalty that matches the slope of what lies behind each line."""
    behind = np.zeros(tree.parent.shape[0])
    for bus in tree.upward:
        for place in range(tree.first_unit[bus], tree.first_unit[bus + 1]):
            unit = tree.units[place]
            a, margin = bids.a[unit], price[bus] - bids.b[unit]
            if a > 0.0 and a * bids.lo_w[unit] < margin < a * bids.hi_w[unit]:
                behind[bus] += 1.0 / a
        above = tree.parent[bus]
        if above < 0:
            continue
        if abs(state.z[bus]) >= tree.rating_w[bus]:
            wanted[bus] = penalties.full
        else:
            matched = 1.0 / behind[bus] if behind[bus] > 0.0 else penalties.most
            wanted[bus] = min(max(matched, penalties.least), penalties.most)
            behind[above] += 1.0 / wanted[bus]


@njit(cache=True)
def _agree(tree: Tree, state: LineState, price: Floats, wanted: Floats, tolerance: float) -> bool:
    """Have both ends of each line agree on its flow; tell whether all were close already."""
    largest, apart, is_close = 1.0, 0.0, True
    for bus in range(tree.parent.shape[0]):
        above = tree.parent[bus]
        if above < 0:
            continue
        rho, flow = state.rho[bus], state.z[bus]
        here = flow - (state.y[bus, 0] + price[bus]) / rho
        there = flow - (state.y[bus, 1] - price[above]) / rho
        sent_here = RELAXATION * here + (1.0 - RELAXATION) * flow + state.y[bus, 0] / rho
        sent_there = RELAXATION * there + (1.0 - RELAXATION) * flow + state.y[bus, 1] / rho
        agreed = min(max(0.5 * (sent_here + sent_there), -tree.rating_w[bus]), tree.rating_w[bus])
        state.y[bus, 0] = rho * (sent_here - agreed)
        state.y[bus, 1] = rho * (sent_there - agreed)
        state.z[bus] = agreed
        moved, gap = abs(agreed - flow), abs(here - there)
        if gap > PARTED * moved and gap > STILL_W:
            state.growth[bus] = min(state.growth[bus] * GROWTH, GROWTH_MAX)
        else:
            state.growth[bus] = max(state.growth[bus] / GROWTH, 1.0)
        state.rho[bus] = rho * (wanted[bus] * state.growth[bus] / rho) ** FOLLOW
        largest, apart = max(largest, abs(agreed)), max(apart, gap, moved)
        if abs(agreed) < tree.rating_w[bus]:
            spread = abs(price[bus] - price[above])
            is_close = is_close and spread <= tolerance * max(abs(price[bus]), 1.0)
    return is_close and apart <= tolerance * largest


@njit(cache=True)
def powers_at(places: Tree | Mesh, bids: Bids, price: Floats, power: Floats) -> None:
    """Write what each unit injects at its bus's price."""
    for bus in range(price.shape[0]):
        for place in range(places.first_unit[bus], places.first_unit[bus + 1]):
            unit = places.units[place]
            lo, hi, margin = bids.lo_w[unit], bids.hi_w[unit], price[bus] - bids.b[unit]
            if bids.a[unit] > 0.0:
                power[unit] = min(max(margin / bids.a[unit], lo), hi)
            else:
                power[unit] = hi if margin > 0.0 else lo
