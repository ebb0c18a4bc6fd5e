"""Numbers that members may change by a vote: the check of what a proposal gives for them."""

from __future__ import annotations

from collections.abc import Mapping

from vm.primitives.codec import Value
from vm.primitives.errors import CallError

Bounds = Mapping[str, tuple[int, int]]
"""Every name that a proposal may give, with the least and the greatest value."""


def governed_numbers(values: Mapping[str, Value], bounds: Bounds, whose: str) -> dict[str, int]:
    """Return a proposal's values by name; raises CallError where one is unknown or out of bounds.

    `whose` begins a sentence in which they have no such parameter, as in "a market has".
    """
    numbers: dict[str, int] = {}
    for name, value in values.items():
        if name not in bounds:
            raise CallError(
                "unknown_parameter",
                f"{whose} no such parameter that a vote may change",
                expected=", ".join(bounds),
                actual=name,
            )
        low, high = bounds[name]
        if type(value) is not int or not low <= value <= high:
            raise CallError(
                "invalid_parameters",
                f"parameter {name!r} does not fit",
                expected=f"{low} to {high}",
                actual=value,
            )
        numbers[name] = value
    return numbers
