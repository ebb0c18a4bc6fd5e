"""ADMM on a mesh in plain numpy, matrices for its shape: the twin by which `admm_mesh` is held.

Rows of copies: all lines at their beginnings, all at their ends, then each cycle's lines.
"""

from __future__ import annotations

import numpy as np

from dispatch.admm_mesh import (
    BALANCED_EVERY,
    GROWTH_MOST,
    PARTED,
    RELAXATION,
    SPREAD,
    Mesh,
    bids_of,
    mesh_of,
    middle_slope,
)
from dispatch.arrays import Bids, Floats
from market.dispatch_layout import DispatchLayout


def solve_admm_mesh_plain(layout: DispatchLayout, rounds: int) -> tuple[Floats, Floats]:
    """Return (flows in W, prices) of the first interval after some rounds, from a cold start."""
    mesh, bids = mesh_of(layout), bids_of(layout, 0)
    lines, cycles = len(mesh.start), len(mesh.first_place) - 1
    slope = middle_slope(bids)
    rho = np.full(lines, slope)
    line_of_copy = np.concatenate([np.arange(lines), np.arange(lines), mesh.place_line])
    drops = np.zeros((cycles, len(mesh.place_line)))
    for cycle in range(cycles):
        inside = slice(mesh.first_place[cycle], mesh.first_place[cycle + 1])
        drops[cycle, inside] = mesh.place_drop[inside]
    z, y = np.zeros(lines), np.zeros(len(line_of_copy))
    price = np.zeros(len(layout.places))
    before = z
    for done in range(1, rounds + 1):
        give = 1.0 / rho[line_of_copy]
        free = z[line_of_copy] - y * give
        price = np.array([_bus_price(mesh, bids, bus, free, give) for bus in range(len(price))])
        copies = free.copy()
        copies[:lines] -= price[mesh.start] * give[:lines]
        copies[lines : 2 * lines] += price[mesh.end] * give[lines : 2 * lines]
        inner = slice(2 * lines, None)
        multiplier = (drops @ free[inner]) / (drops**2 @ give[inner])
        copies[inner] -= give[inner] * (drops.T @ multiplier)
        sent = RELAXATION * copies + (1 - RELAXATION) * z[line_of_copy] + y * give
        mean = np.bincount(line_of_copy, sent) / np.bincount(line_of_copy)
        z = np.clip(mean, -mesh.rating_w, mesh.rating_w)
        y = (sent - z[line_of_copy]) / give
        if done % BALANCED_EVERY == 0:
            apart, moved = np.zeros(lines), np.abs(z - before)
            np.maximum.at(apart, line_of_copy, np.abs(copies - z[line_of_copy]))
            factor = np.clip(np.sqrt((apart + 1) / (moved + 1)), 1 / GROWTH_MOST, GROWTH_MOST)
            uneven = (apart > PARTED * moved) | (moved > PARTED * apart)
            wanted = np.clip(rho * factor, slope / SPREAD, slope * SPREAD)
            rho = np.where(uneven, wanted, rho)
        before = z
    return z, price


def _bus_price(mesh: Mesh, bids: Bids, bus: int, free: Floats, give: Floats) -> float:
    """Return the price at which a bus's injection equals its copies of the flows, by bisection."""
    lines = len(mesh.start)
    out, into = np.flatnonzero(mesh.start == bus), np.flatnonzero(mesh.end == bus) + lines
    units = mesh.units[mesh.first_unit[bus] : mesh.first_unit[bus + 1]]
    a, b, lo_w, hi_w = (column[units] for column in bids)

    def surplus(price: float) -> float:
        sloped = np.clip((price - b) / np.where(a > 0, a, 1.0), lo_w, hi_w)
        power = np.where(a > 0, sloped, np.where(price > b, hi_w, lo_w)).sum()
        leaving = (free[out] - price * give[out]).sum() - (free[into] + price * give[into]).sum()
        return float(power - leaving)

    low, high = -1e24, 1e24
    for _ in range(120):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if surplus(middle) > 0 else (middle, high)
    return 0.5 * (low + high)
