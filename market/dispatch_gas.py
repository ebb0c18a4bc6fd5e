"""What closing a dispatch round costs: by its fallback, or by paying for its result.

Both happen by themselves, each within the gas of one thing due; what does not fit would never end.
So a round that could not be closed is not opened.
"""

from __future__ import annotations

from typing import Final

from market.dispatch_fallback import clearing_gas
from market.dispatch_problem import DispatchProblem
from market.dispatch_records import PROBLEM_PART_BYTES
from vm.context import GAS_READ, MAX_EVENTS
from vm.primitives.errors import CallError

GAS_PROBLEM_BYTE: Final = 3
"""A byte of a problem that is read again and laid out."""
GAS_FIGURE: Final = 20
"""One product of a price and a power or flow."""
GAS_CLOSING: Final = 200
GAS_CLOSED_BUS: Final = 30
"""Gas that a batch of clearing leaves for each interval, and each bus in it, to close the round."""
GAS_PAID: Final = 600
"""Most that paying one unit takes: accounts, arrears, events."""
GAS_TOLD: Final = 200
"""Most that an event of a line takes."""
MAX_CLOSING_GAS: Final = 1_950_000
"""Most that closing a round may take: what one thing due has, less what reads the round itself."""


def ending_gas(problem: DispatchProblem) -> int:
    """Return what a batch of clearing leaves to close the round."""
    return (GAS_CLOSING + GAS_CLOSED_BUS * len(problem.network.buses)) * (problem.intervals + 2)


def validate_closable(problem: DispatchProblem, problem_bytes: int) -> None:
    """Raise CallError `too_large` unless a round of this problem can be closed, either way."""
    network = problem.network
    units = len(problem.units) + len(problem.storages)
    figures = (len(network.lines) + units) * problem.intervals
    read = (GAS_PROBLEM_BYTE * PROBLEM_PART_BYTES + GAS_READ) * (
        problem_bytes // PROBLEM_PART_BYTES + 1
    )
    fallback = clearing_gas(problem) + ending_gas(problem)
    payment = GAS_FIGURE * (figures + len(network.buses) * problem.intervals)
    payment += GAS_PAID * units + GAS_READ * len(network.lines)
    payment += GAS_TOLD * min(len(network.lines), MAX_EVENTS)
    gas = read + max(fallback, payment)
    if gas > MAX_CLOSING_GAS:
        raise CallError(
            "too_large",
            "a round of this problem could not be closed",
            expected=f"at most {MAX_CLOSING_GAS} gas",
            actual=gas,
            hint="Let a round have fewer intervals, units or buses.",
        )
