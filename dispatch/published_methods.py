"""Two published distributed methods as they stand, to compare with: consensus, and innovations.

Consensus economic dispatch (Yang, Tan and Xu 2013): each bus holds a price and an estimate of the
mismatch; both are averaged with the neighbours', the price moves with the mismatch, the mismatch
with the bus's own power. It knows no line limits.

Consensus + innovations for DC optimal power flow (Mohammadi, Hug and Kar 2014): each bus holds a
price and an angle, each line two multipliers; all take gradient steps of fixed size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from dispatch.arrays import Bids, Floats, Integers, RadialArrays

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
    weights = _metropolis(buses, links)
    step = CONSENSUS_STEP / max(_sensitivity(bids) / buses, 1e-300)
    price = np.full(buses, float(np.median(bids.b)))
    injected = _injections(arrays, bids, price)
    mismatch = -injected
    spread, scale, size, done = 0.0, 1.0, 0.0, 0
    while done < max_rounds:
        done += 1
        price = weights @ price + step * mismatch
        fresh = _injections(arrays, bids, price)
        mismatch = weights @ mismatch - (fresh - injected)
        injected = fresh
        spread, scale = float(np.ptp(price)), float(np.abs(price).max())
        size = float(np.abs(injected).sum())
        if spread <= tolerance * scale and abs(injected.sum()) <= tolerance * size:
            break
    converged = bool(spread <= tolerance * scale and abs(injected.sum()) <= tolerance * size)
    powers = _powers(arrays, bids, price)
    return Comparison(price, powers, done, converged, abs(float(powers.sum())), spread / scale)


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
    lines = np.flatnonzero(arrays.tree.parent >= 0)
    ends = arrays.tree.parent[lines]
    susceptance = BASE_OHM / reactance_ohm[lines]
    rating = arrays.tree.rating_w[lines] / BASE_W
    price, angle = np.zeros(buses), np.zeros(buses)
    limits = np.zeros((2, len(lines)))
    balance = tension = np.zeros(buses)
    converged, done = False, 0
    while done < max_rounds:
        done += 1
        flow = susceptance * (angle[lines] - angle[ends])
        injected = _injections(arrays, bids, price * BASE_PRICE) / BASE_W
        balance = injected - _at_ends(buses, lines, ends, flow)
        pull = susceptance * (price[lines] - price[ends] + limits[0] - limits[1])
        tension = _at_ends(buses, lines, ends, pull)
        size = max(float(np.abs(injected).max()), 1.0)
        converged = bool(
            np.abs(balance).max() <= tolerance * size
            and np.abs(tension).max() <= tolerance * max(float(np.abs(price).max()), 1.0)
        )
        if converged or not np.isfinite(price).all() or np.abs(price).max() > 1e9:
            break
        price = price - STEP_NEIGHBOURS * tension - STEP_BALANCE * balance
        angle = angle + STEP_ANGLE * balance
        passed = np.where(np.isfinite(rating), np.array([flow - rating, -flow - rating]), -np.inf)
        limits = np.maximum(0.0, limits + STEP_LIMIT * passed)
    scale = max(float(np.abs(price).max()), 1e-300)
    return Comparison(
        price * BASE_PRICE,
        _powers(arrays, bids, price * BASE_PRICE),
        done,
        converged,
        float(np.abs(balance).max()) * BASE_W,
        float(np.abs(tension).max()) / scale,
    )


def _metropolis(buses: int, links: Integers) -> Floats:
    """Return Metropolis weights (n, n): symmetric, and known from neighbours' degrees alone."""
    degree = np.bincount(links.ravel(), minlength=buses)
    weights = np.zeros((buses, buses))
    for left, right in links:
        weights[left, right] = weights[right, left] = 1.0 / (1.0 + max(degree[left], degree[right]))
    return weights + np.diag(1.0 - weights.sum(axis=1))


def _sensitivity(bids: Bids) -> float:
    return float((1.0 / bids.a[(bids.a > 0) & (bids.lo_w < bids.hi_w)]).sum())


def _powers(arrays: RadialArrays, bids: Bids, price: Floats) -> Floats:
    margin = price[arrays.unit_bus] - bids.b
    sloped = np.clip(margin / np.where(bids.a > 0, bids.a, 1.0), bids.lo_w, bids.hi_w)
    return np.asarray(
        np.where(bids.a > 0, sloped, np.where(margin > 0, bids.hi_w, bids.lo_w)), dtype=np.float64
    )


def _injections(arrays: RadialArrays, bids: Bids, price: Floats) -> Floats:
    powers = _powers(arrays, bids, price)
    return np.asarray(
        np.bincount(arrays.unit_bus, weights=powers, minlength=len(price)), dtype=np.float64
    )


def _at_ends(buses: int, starts: Integers, ends: Integers, flow: Floats) -> Floats:
    """Return what leaves each bus over its lines."""
    leaving = np.bincount(starts, weights=flow, minlength=buses)
    return np.asarray(leaving - np.bincount(ends, weights=flow, minlength=buses), dtype=np.float64)
