"""From an iteration's floats to an exact dispatch: full lines are kept, the rest is solved.

An iterative method stops near the optimum. What it has found by then is which lines are full; in
each zone between them the price follows from one balance. If it found wrongly, the dispatch that
comes out is no optimum, and the verifier refuses it.
"""

from __future__ import annotations

import numpy as np

from dispatch.arrays import Floats, Integers, RadialArrays
from dispatch.tree import RadialDispatch
from dispatch.tree_plain import add, allocate, unit_curve

FULL_PART = 1e-9
"""A flow this near to the rating, as a part of it, is a full line."""


def settle(arrays: RadialArrays, flows_w: Floats) -> RadialDispatch:
    """Return the dispatch whose full lines are those of `flows_w`, shape (t, n)."""
    results = [
        _settle_interval(arrays, interval, flows_w[interval]) for interval in range(len(flows_w))
    ]
    prices, powers, flows = (np.array(column) for column in zip(*results, strict=True))
    return RadialDispatch(prices, powers, flows)


def _settle_interval(
    arrays: RadialArrays, interval: int, flow: Floats
) -> tuple[Floats, Floats, Floats]:
    tree = arrays.tree
    is_full = np.isfinite(tree.rating_w) & (np.abs(flow) >= tree.rating_w * (1 - FULL_PART))
    zone: Integers = np.arange(len(tree.parent))
    target = np.zeros(len(tree.parent))
    for bus in tree.upward[::-1]:
        above = tree.parent[bus]
        if above < 0:
            continue
        if is_full[bus]:
            target[bus] += np.copysign(tree.rating_w[bus], flow[bus])
            target[zone[above]] -= np.copysign(tree.rating_w[bus], flow[bus])
        else:
            zone[bus] = zone[above]
    bids = list(zip(*arrays.interval_bids(interval), strict=True))
    price = np.zeros(len(tree.parent))
    for top in np.unique(zone):
        inside = [unit_curve(*bids[unit]) for unit in np.flatnonzero(zone[arrays.unit_bus] == top)]
        curve = add(inside)
        found = curve.lowest_reaching(target[top])
        if not np.isfinite(found):
            found = curve.highest_reaching(target[top])
        price[zone == top] = found if np.isfinite(found) else 0.0
    return (price, *allocate(arrays, bids, price))
