"""Prices moved to fit whole watts: where a unit takes over what storages were rounded by.

A unit with a sloped bid that stands watts off its best power at a price costs the square of them in
the proof. But at a price that is a little higher or lower, what it does is the best. That price is
free to move where no linear bid sets it; with it go the values of energy in the storages that move
in its zone, and with each value the prices of all hours until that storage's level meets a bound,
and so on. All that moves together has one freedom, and takes the one that costs least.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np

from dispatch.arrays import Floats, Integers
from dispatch.storage_active import FREE, ActivePoint, join_zones
from dispatch.storage_arrays import StorageArrays

FEW_W: Final = 1.0
"""A unit this near to its best power costs nothing."""


@dataclass(slots=True)  # mutable: filled zone by zone
class _Together:
    """Zones and values that move together."""

    zones: dict[int, float]
    """Zones by number, with how their prices move with the freedom."""
    values: dict[tuple[int, int], float]
    """Stretches of values (storage, number), with how they move."""
    is_free: bool
    """False where a linear bid or the way back to where it began holds them."""


def fit_prices(arrays: StorageArrays, found: ActivePoint, watts: Integers) -> ActivePoint:
    """Return an optimum's prices and values as they fit (2, t, s) whole watts best."""
    number, count = join_zones(arrays, found.state)
    slope, is_flat = _slopes(arrays, found, number, count)
    off = _off(arrays, found, number, count, watts)
    stretch = _stretches(arrays, found)
    links = _links(arrays, found, number, stretch)
    price, value = np.zeros(count), np.zeros(found.value.shape)
    seen: set[int] = set()
    for zone in sorted({zone for zone, *_ in links}):
        if zone in seen:
            continue
        part = _gather(zone, links, is_flat)
        seen |= part.zones.keys()
        if part.is_free:
            freedom = _least(part, slope, off)
            for each, factor in part.zones.items():
                price[each] = factor * freedom
            for (storage, which), factor in part.values.items():
                value[stretch[:, storage] == which, storage] = factor * freedom
    return replace(found, price=found.price + price[number], value=found.value + value)


def _slopes(
    arrays: StorageArrays, found: ActivePoint, number: Integers, count: int
) -> tuple[Floats, Floats]:
    """Return (g,) slopes of the zones' prices a watt, 0 for none, and how many bids are flat."""
    units = len(arrays.unit_zone)
    inside = (found.state[:, :units] == FREE) & (
        np.minimum(found.x - arrays.lower, arrays.upper - found.x)[:, :units] > 0
    )
    zone, quadratic = number[:, arrays.unit_zone][inside], arrays.quadratic[:, :units][inside]
    give, flat = np.zeros(count), np.zeros(count)
    np.add.at(give, zone[quadratic > 0], 1.0 / quadratic[quadratic > 0])
    np.add.at(flat, zone[quadratic == 0], 1.0)
    watts = arrays.scale.power_w
    return np.where(give > 0, 1.0 / np.where(give > 0, give * watts, 1.0), 0.0), flat


def _off(
    arrays: StorageArrays, found: ActivePoint, number: Integers, count: int, watts: Integers
) -> Floats:
    """Return (g,) how much more the units of each zone have to inject than in the optimum."""
    _, lines, taken, given, _ = arrays.ends
    exact = (found.x[:, taken:given] - found.x[:, lines:taken]) * arrays.scale.power_w
    off = np.zeros(count)
    np.add.at(off, number[:, arrays.storage_zone], exact - (watts[1] - watts[0]))
    return off


def _stretches(arrays: StorageArrays, found: ActivePoint) -> Integers:
    """Return (t, s) numbers of the stretches of hours over which each value is the same."""
    level = found.state[:, arrays.ends[3] :]
    ends = np.vstack([np.zeros((1, level.shape[1]), dtype=np.int64), (level[:-1] != FREE)])
    return np.asarray(np.cumsum(ends, axis=0), dtype=np.int64)


Link = tuple[int, tuple[int, int], float]


def _links(
    arrays: StorageArrays, found: ActivePoint, number: Integers, stretch: Integers
) -> list[Link]:
    """Return (zone, stretch of a value, what the price does where the multiplier moves by one)."""
    _, lines, taken, _, _ = arrays.ends
    links: list[Link] = []
    for hour, storage in np.ndindex(found.value.shape):
        zone = int(number[hour, arrays.storage_zone[storage]])
        value = (storage, int(stretch[hour, storage]))
        if found.state[hour, taken + storage] == FREE:
            links.append((zone, value, -float(arrays.drawn[storage])))
        elif found.state[hour, lines + storage] == FREE:
            links.append((zone, value, -float(arrays.stored[storage])))
    return links


def _gather(zone: int, links: list[Link], is_flat: Floats) -> _Together:
    """Return everything that moves with the price of a zone."""
    part = _Together({zone: 1.0}, {}, is_free=True)
    grew = True
    while grew:
        grew = False
        for each, value, factor in links:
            if each in part.zones and value not in part.values:
                part.values[value] = part.zones[each] / factor
                grew = True
            elif value in part.values and each not in part.zones:
                part.zones[each] = part.values[value] * factor
                grew = True
    part.is_free = not any(is_flat[each] for each in part.zones) and all(
        abs(part.zones[each] - part.values[value] * factor) < 1e-9
        for each, value, factor in links
        if each in part.zones
    )
    return part


def _least(part: _Together, slope: Floats, off: Floats) -> float:
    """Return the freedom at which what units are off costs least, as a price."""
    zones = [each for each in part.zones if slope[each] > 0]
    factors = np.array([part.zones[each] for each in zones])
    slopes, watts = slope[zones], off[zones]
    # Between these the cost is a parabola, and no zone gets free or dear.
    corners = sorted(
        float(slopes[k] * (watts[k] + few) / factors[k])
        for k in range(len(zones))
        for few in (-FEW_W, FEW_W)
    )
    tried = [0.0, *corners, *(0.5 * (low + high) for low, high in pairwise(corners))]

    def cost(freedom: float) -> tuple[float, float]:
        left = np.abs(watts - factors * freedom / slopes)
        dear = np.where(left > FEW_W - 1e-6, left, 0.0)
        return float((slopes * dear**2).sum()), abs(freedom)

    return min(tried, key=cost) if zones else 0.0
