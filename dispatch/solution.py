"""What every solver returns: an integer certificate, and how many rounds of messages it took."""

from __future__ import annotations

from dataclasses import dataclass

from market.dispatch_certificate import Certificate


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
