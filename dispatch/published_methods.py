"""Two published distributed methods as they stand, to compare with: consensus, and innovations.

Consensus economic dispatch (Yang, Tan and Xu 2013): each bus holds a price and an estimate of the
mismatch; both are averaged with the neighbours', the price moves with the mismatch, the mismatch
with the bus's own power. It knows no line limits.

Consensus + innovations for DC optimal power flow (Mohammadi, Hug and Kar 2014): each bus holds a
price and an angle, each line two multipliers; all take gradient steps of fixed size. The steps are
of the size that is used on transmission networks. A step along the lines can be no longer than
lines are soft: where those at a bus are stiffer than on such networks, steps along lines are
shortened by as much (`softness`), or the first rounds would overshoot beyond all numbers.

`published_plain` has the readable twins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit

from dispatch.admm import powers_at
from dispatch.arrays import Bids, Floats, Integers, RadialArrays, Tree

MAX_ROUNDS: Final = 1_000
CONSENSUS_STEP: Final = 0.05
"""Step of the price for each watt of mismatch, in units of the buses' mean slope."""
BASE_W: Final = 100_000.0
"""Power base of the feeder's per-unit system."""
BASE_PRICE: Final = 1e19
"""1 $/h for each per-unit of power, in 1e-24 $/Wh."""
BASE_OHM: Final = 173.056
"""Impedance base, 4.16 kV on 100 kVA."""
STEP_NEIGHBOURS: Final = 0.0056
"""Step of the price against its neighbours' (beta)."""
STEP_BALANCE: Final = 0.19
"""Step of the price along the bus's own balance (alpha)."""
STEP_ANGLE: Final = 0.005
"""Step of the angle along the bus's own balance (gamma)."""
STEP_LIMIT: Final = 0.16
"""Step of a line's multiplier along what the flow passes its rating by (delta)."""
STIFF_BUS: Final = 100.0
"""Per-unit susceptances at one bus, added up, for which the steps are made."""
DIVERGED: Final = 1e9
"""Per-unit price beyond which a run is stopped."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Where a published method stood when it was stopped, in one interval."""

    prices: Floats
    """(n,) price at each bus, 1e-24 $/Wh."""
    powers_w: Floats
    """(u,) power of each unit, W."""
    rounds: int
    """Rounds it ran."""
    converged: bool
    """Whether it came within its tolerance in them."""
    mismatch_w: float
    """Largest imbalance left: of a bus (innovations), or of all buses together (consensus)."""
    price_spread: float
    """Largest difference of prices between neighbours (innovations: of a bus's price equation),
    as a part of the largest price."""


def run_consensus(
    arrays: RadialArrays,
    interval: int,
    links: Integers,
    tolerance: float = 1e-4,
    max_rounds: int = MAX_ROUNDS,
) -> Comparison:
    """Run consensus economic dispatch over the pairs of buses `links`, shape (m, 2)."""
    bids = arrays.interval_bids(interval)
    buses = len(arrays.tree.parent)
    start, step = consensus_start(bids, buses)
    price = np.full(buses, start)
    done, converged = _agree_on_price(
        arrays.tree, bids, links, metropolis(buses, links), price, step, tolerance, max_rounds
    )
    powers = np.zeros(len(bids.a))
    powers_at(arrays.tree, bids, price, powers)
    spread = float(np.ptp(price)) / float(np.abs(price).max())
    return Comparison(price, powers, int(done), bool(converged), abs(float(powers.sum())), spread)


def run_innovations(
    arrays: RadialArrays,
    interval: int,
    reactance_ohm: Floats,
    tolerance: float = 1e-4,
    max_rounds: int = MAX_ROUNDS,
) -> Comparison:
    """Run consensus + innovations; `reactance_ohm` (n,) is that of each line to a parent.

    It is stopped early where prices pass 1e9 dollars for a per-unit: it has diverged.
    """
    bids = arrays.interval_bids(interval)
    buses = len(arrays.tree.parent)
    susceptance = susceptances(arrays.tree, reactance_ohm)
    soft = softness(arrays.tree, susceptance)
    price, balance, tension = np.zeros(buses), np.zeros(buses), np.zeros(buses)
    done, converged = _innovate(
        arrays.tree, bids, susceptance, soft, price, balance, tension, tolerance, max_rounds
    )
    powers = np.zeros(len(bids.a))
    powers_at(arrays.tree, bids, price * BASE_PRICE, powers)
    scale = max(float(np.abs(price).max()), 1e-300)
    return Comparison(
        price * BASE_PRICE,
        powers,
        int(done),
        bool(converged),
        float(np.abs(balance).max()) * BASE_W,
        float(np.abs(tension).max()) / scale,
    )


def consensus_start(bids: Bids, buses: int) -> tuple[float, float]:
    """Return the price that all begin with, and the step by which a mismatch moves it."""
    sensitivity = float((1.0 / bids.a[(bids.a > 0) & (bids.lo_w < bids.hi_w)]).sum())
    return float(np.median(bids.b)), CONSENSUS_STEP / max(sensitivity / buses, 1e-300)


def metropolis(buses: int, links: Integers) -> Floats:
    """Return (m,) the Metropolis weight of each link: it needs neighbours' degrees alone."""
    degree = np.bincount(links.ravel(), minlength=buses)
    return 1.0 / (1.0 + np.maximum(degree[links[:, 0]], degree[links[:, 1]]).astype(np.float64))


def susceptances(tree: Tree, reactance_ohm: Floats) -> Floats:
    """Return (n,) the per-unit susceptance of each bus's line to its parent, 0 at the slack bus."""
    return np.where(tree.parent >= 0, BASE_OHM / reactance_ohm, 0.0)


def softness(tree: Tree, susceptance: Floats) -> float:
    """Return by how much steps along lines are shortened, at most 1."""
    at_bus = susceptance.copy()
    lines = np.flatnonzero(tree.parent >= 0)
    np.add.at(at_bus, tree.parent[lines], susceptance[lines])
    return min(1.0, STIFF_BUS / max(float(at_bus.max(initial=0.0)), 1e-300))


@njit(cache=True)
def _agree_on_price(
    tree: Tree,
    bids: Bids,
    links: Integers,
    weights: Floats,
    price: Floats,
    step: float,
    tolerance: float,
    max_rounds: int,
) -> tuple[int, bool]:
    """Run consensus rounds until all agree; return (rounds, whether they do)."""
    buses = price.shape[0]
    power = np.zeros(bids.a.shape[0])
    injected = _inject(tree, bids, price, power)
    mismatch = -injected
    for done in range(1, max_rounds + 1):
        moved, shared = price + step * mismatch, mismatch.copy()
        for link in range(links.shape[0]):
            left, right, weight = links[link, 0], links[link, 1], weights[link]
            moved[left] += weight * (price[right] - price[left])
            moved[right] += weight * (price[left] - price[right])
            shared[left] += weight * (mismatch[right] - mismatch[left])
            shared[right] += weight * (mismatch[left] - mismatch[right])
        price[:] = moved
        fresh = _inject(tree, bids, price, power)
        mismatch = shared - (fresh - injected)
        injected = fresh
        low, high, total, size = price[0], price[0], 0.0, 0.0
        for bus in range(buses):
            low, high = min(low, price[bus]), max(high, price[bus])
            total += injected[bus]
            size += abs(injected[bus])
        if high - low <= tolerance * max(abs(low), abs(high)) and abs(total) <= tolerance * size:
            return done, True
    return max_rounds, False


@njit(cache=True)
def _innovate(
    tree: Tree,
    bids: Bids,
    susceptance: Floats,
    soft: float,
    price: Floats,
    balance: Floats,
    tension: Floats,
    tolerance: float,
    max_rounds: int,
) -> tuple[int, bool]:
    """Run rounds of innovations; return (rounds, whether all equations are met)."""
    buses = price.shape[0]
    angle, limits = np.zeros(buses), np.zeros((buses, 2))
    power, flow = np.zeros(bids.a.shape[0]), np.zeros(buses)
    for done in range(1, max_rounds + 1):
        injected = _inject(tree, bids, price * BASE_PRICE, power) / BASE_W
        balance[:] = injected
        tension[:] = 0.0
        for bus in range(buses):
            above = tree.parent[bus]
            if above >= 0:
                flow[bus] = susceptance[bus] * (angle[bus] - angle[above])
                balance[bus] -= flow[bus]
                balance[above] += flow[bus]
                pull = price[bus] - price[above] + limits[bus, 0] - limits[bus, 1]
                tension[bus] += susceptance[bus] * pull
                tension[above] -= susceptance[bus] * pull
        size, scale, open_balance, open_tension = 1.0, 1.0, 0.0, 0.0
        for bus in range(buses):
            size, scale = max(size, abs(injected[bus])), max(scale, abs(price[bus]))
            open_balance = max(open_balance, abs(balance[bus]))
            open_tension = max(open_tension, abs(tension[bus]))
        if open_balance <= tolerance * size and open_tension <= tolerance * scale:
            return done, True
        if not scale <= DIVERGED:
            return done, False
        for bus in range(buses):
            price[bus] -= soft * STEP_NEIGHBOURS * tension[bus] + STEP_BALANCE * balance[bus]
            angle[bus] += soft * STEP_ANGLE * balance[bus]
            rating = tree.rating_w[bus] / BASE_W
            if tree.parent[bus] >= 0 and np.isfinite(rating):
                for side in range(2):
                    passed = (flow[bus] if side == 0 else -flow[bus]) - rating
                    limits[bus, side] = max(0.0, limits[bus, side] + soft * STEP_LIMIT * passed)
    return max_rounds, False


@njit(cache=True)
def _inject(tree: Tree, bids: Bids, price: Floats, power: Floats) -> Floats:
    """Return (n,) what the units at each bus inject at its price, W."""
    powers_at(tree, bids, price, power)
    injected = np.zeros(price.shape[0])
    for bus in range(price.shape[0]):
        for place in range(tree.first_unit[bus], tree.first_unit[bus + 1]):
            injected[bus] += power[tree.units[place]]
    return injected
