"""A submitted dispatch: powers and prices, which together are their own proof of optimality."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StorageResult:
    """What one storage does in one interval."""

    charge_w: int
    """Power taken from the network, W, at least 0."""
    discharge_w: int
    """Power injected, W, at least 0."""
    store_price: int
    """Value of stored energy during the interval, 1e-24 $/Wh per part per million."""


@dataclass(frozen=True, slots=True)
class IntervalResult:
    """Dispatch and prices of one interval."""

    prices: tuple[int, ...]
    """Price at each bus, in the order of the network's buses, 1e-24 $/Wh."""
    powers_w: tuple[int, ...]
    """Injection of each unit, in the order of the problem's units, W."""
    flows_w: tuple[int, ...] = ()
    """Flow of each line, W; empty in a radial network, where flows follow from the balance."""
    cycle_prices: tuple[int, ...] = ()
    """Multiplier of the voltage law around each fundamental cycle, in the order of the lines that
    close them, 1e-24 $/Wh per nano-ohm; empty in a radial network."""
    storages: tuple[StorageResult, ...] = ()
    """One for each storage of the problem."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """One result for each interval of a problem, in order."""

    intervals: tuple[IntervalResult, ...]
    """The results."""
