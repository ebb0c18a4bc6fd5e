"""ADMM in plain numpy, bus by bus and line by line: the slow twin by which `admm` is held."""

from __future__ import annotations

import numpy as np

from dispatch.admm import (
    FOLLOW,
    GROWTH,
    GROWTH_MAX,
    PARTED,
    RELAXATION,
    STILL_W,
    LineState,
    Penalties,
    new_state,
    penalties_for,
)
from dispatch.arrays import Bids, Floats, RadialArrays


def solve_admm_plain(arrays: RadialArrays, rounds: int) -> tuple[Floats, Floats]:
    """Return (prices, flows) of the first interval after a number of rounds, from a cold start."""
    bids = arrays.interval_bids(0)
    penalties = penalties_for(bids)
    state = new_state(len(arrays.tree.parent))
    state.rho[:] = penalties.start
    price = np.zeros(len(arrays.tree.parent))
    for _ in range(rounds):
        price = np.array([_bus_price(arrays, bids, state, bus) for bus in range(len(price))])
        wanted = _matched_penalties(arrays, bids, penalties, state, price)
        for bus in arrays.tree.upward[:-1]:
            _agree_on_line(arrays, state, price, wanted, bus)
    return price, state.z


def _ends_at(arrays: RadialArrays, bus: int) -> list[tuple[int, int]]:
    """Return (line, end) of all line ends at a bus; a line is named after its farther bus."""
    ends = [(int(other), 1) for other in np.flatnonzero(arrays.tree.parent == bus)]
    return ends + ([(bus, 0)] if arrays.tree.parent[bus] >= 0 else [])


def _injection(arrays: RadialArrays, bids: Bids, bus: int, price: float) -> float:
    units = np.flatnonzero(arrays.unit_bus == bus)
    a, b, lo_w, hi_w = (column[units] for column in bids)
    linear = np.where(price > b, hi_w, lo_w)
    sloped = np.clip((price - b) / np.where(a > 0, a, 1.0), lo_w, hi_w)
    return float(np.where(a > 0, sloped, linear).sum())


def _bus_price(arrays: RadialArrays, bids: Bids, state: LineState, bus: int) -> float:
    """Return the price at which a bus's injection equals its copies of the flows, by bisection."""

    def surplus(price: float) -> float:
        leaving = 0.0
        for line, end in _ends_at(arrays, bus):
            sign = 1.0 if end == 0 else -1.0
            target = state.z[line] - state.y[line, end] / state.rho[line]
            leaving += sign * (target - sign * price / state.rho[line])
        return _injection(arrays, bids, bus, price) - leaving

    low, high = -1e24, 1e24
    for _ in range(120):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if surplus(middle) > 0 else (middle, high)
    return 0.5 * (low + high)


def _matched_penalties(
    arrays: RadialArrays, bids: Bids, penalties: Penalties, state: LineState, price: Floats
) -> Floats:
    margin = price[arrays.unit_bus] - bids.b
    inner = (bids.a > 0) & (bids.a * bids.lo_w < margin) & (margin < bids.a * bids.hi_w)
    wanted = np.zeros(len(price))
    for bus in arrays.tree.upward[:-1]:
        if abs(state.z[bus]) >= arrays.tree.rating_w[bus]:
            wanted[bus] = penalties.full
            continue
        children = np.flatnonzero(arrays.tree.parent == bus)
        open_ = [one for one in children if abs(state.z[one]) < arrays.tree.rating_w[one]]
        slope = (1.0 / bids.a[inner & (arrays.unit_bus == bus)]).sum() + (1.0 / wanted[open_]).sum()
        wanted[bus] = np.clip(
            1.0 / slope if slope > 0 else penalties.most, penalties.least, penalties.most
        )
    return wanted


def _agree_on_line(
    arrays: RadialArrays, state: LineState, price: Floats, wanted: Floats, bus: int
) -> None:
    rho, before = state.rho[bus], state.z[bus]
    ends = np.array([price[bus], -price[arrays.tree.parent[bus]]])
    copies = before - (state.y[bus] + ends) / rho
    sent = RELAXATION * copies + (1 - RELAXATION) * before + state.y[bus] / rho
    rating = arrays.tree.rating_w[bus]
    state.z[bus] = np.clip(sent.mean(), -rating, rating)
    state.y[bus] = rho * (sent - state.z[bus])
    gap = abs(copies[0] - copies[1])
    parted = gap > PARTED * abs(state.z[bus] - before) and gap > STILL_W
    grown = state.growth[bus] * (GROWTH if parted else 1.0 / GROWTH)
    state.growth[bus] = np.clip(grown, 1.0, GROWTH_MAX)
    state.rho[bus] = rho * (wanted[bus] * state.growth[bus] / rho) ** FOLLOW
