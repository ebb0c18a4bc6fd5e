"""What every solver returns: an integer certificate, and how many rounds of messages it took."""

from __future__ import annotations

from dataclasses import dataclass

from market.dispatch_certificate import Certificate


@dataclass(frozen=True, slots=True)
class Residual:
    """What an iterative method left open in an interval in which it did not converge."""

    mismatch_w: float
    """Largest imbalance, W."""
    price_spread: float
    """Largest difference between prices that should be equal, as a part of the largest price."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A solved problem."""

    method: str
    """Name of the method, e.g. `tree`."""
    certificate: Certificate
    """Powers and prices in integers, as they are submitted and verified."""
    rounds: tuple[int, ...]
    """For each interval, the rounds of messages between neighbours that the method took; 0 for a
    method that one computer runs alone."""
    residuals: tuple[Residual | None, ...] = ()
    """For each interval None, or what was left open; empty for a method that does not iterate.
    A certificate of an interval that did not converge is what the method had, rounded."""
