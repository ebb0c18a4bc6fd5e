"""The two published methods in plain numpy: the slow twins by which `published_methods` is held."""

from __future__ import annotations

import numpy as np

from dispatch.arrays import Bids, Floats, Integers, RadialArrays
from dispatch.published_methods import (
    BASE_PRICE,
    BASE_W,
    DIVERGED,
    MAX_ROUNDS,
    STEP_ANGLE,
    STEP_BALANCE,
    STEP_LIMIT,
    STEP_NEIGHBOURS,
    Comparison,
    consensus_start,
    metropolis,
    softness,
    susceptances,
)


def run_consensus_plain(
    arrays: RadialArrays,
    interval: int,
    links: Integers,
    tolerance: float = 1e-4,
    max_rounds: int = MAX_ROUNDS,
) -> Comparison:
    """Return what `run_consensus` returns."""
    bids = arrays.interval_bids(interval)
    buses = len(arrays.tree.parent)
    weights = np.zeros((buses, buses))
    for (left, right), weight in zip(links, metropolis(buses, links), strict=True):
        weights[left, right] = weights[right, left] = weight
    weights += np.diag(1.0 - weights.sum(axis=1))
    start, step = consensus_start(bids, buses)
    price = np.full(buses, start)
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


def run_innovations_plain(
    arrays: RadialArrays,
    interval: int,
    reactance_ohm: Floats,
    tolerance: float = 1e-4,
    max_rounds: int = MAX_ROUNDS,
) -> Comparison:
    """Return what `run_innovations` returns."""
    bids = arrays.interval_bids(interval)
    buses = len(arrays.tree.parent)
    lines = np.flatnonzero(arrays.tree.parent >= 0)
    ends = arrays.tree.parent[lines]
    susceptance = susceptances(arrays.tree, reactance_ohm)[lines]
    soft = softness(arrays.tree, susceptances(arrays.tree, reactance_ohm))
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
        if converged or not np.isfinite(price).all() or np.abs(price).max() > DIVERGED:
            break
        price = price - soft * STEP_NEIGHBOURS * tension - STEP_BALANCE * balance
        angle = angle + soft * STEP_ANGLE * balance
        passed = np.where(np.isfinite(rating), np.array([flow - rating, -flow - rating]), -np.inf)
        limits = np.maximum(0.0, limits + soft * STEP_LIMIT * passed)
    scale = max(float(np.abs(price).max()), 1e-300)
    return Comparison(
        price * BASE_PRICE,
        _powers(arrays, bids, price * BASE_PRICE),
        done,
        converged,
        float(np.abs(balance).max()) * BASE_W,
        float(np.abs(tension).max()) / scale,
    )


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
