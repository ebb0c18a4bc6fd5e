"""A case: a dispatch problem with the names by which people and files speak of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from market.dispatch_problem import DispatchProblem

NORMAL: Final = "normal"
CONGESTED: Final = "congested"
LIMITS: Final = (NORMAL, CONGESTED)
"""Sets of line limits that a case may have; one that has a single set has it under both names."""


@dataclass(frozen=True, slots=True)
class Case:
    """A problem as a reader found it."""

    name: str
    """Name of the case, e.g. `ieee13_gao`."""
    limits: str
    """Which of its sets of line limits the problem has: one of LIMITS."""
    problem: DispatchProblem
    """The problem, one interval for each hour."""
    hours: tuple[int, ...]
    """Number of each interval's hour, counted from 1."""
    links: tuple[tuple[str, str], ...] = ()
    """Pairs of buses whose boards exchange messages; empty where they do so along the lines."""
    notes: tuple[str, ...] = ()
    """What the reader had to leave out or settle, one sentence each."""
