"""The terms of charging quotas that members may vote on, for rounds announced later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from market.quota.records import QuotaTerms
from market.quota.section import MAX_DEPOSIT_PERCENT
from vm.primitives.codec import Value
from vm.primitives.errors import CallError
from vm.primitives.integers import MAX_AMOUNT

GOVERNED: Final = {
    "deposit_percent": (100, MAX_DEPOSIT_PERCENT),
    "penalty_price_micro_per_kwh": (0, MAX_AMOUNT),
}
"""Every name that a proposal may give, with its bounds."""


def changed_terms(terms: QuotaTerms, values: Mapping[str, Value], since: int) -> QuotaTerms:
    """Return other terms from a round on; raises CallError where a value does not fit."""
    numbers: dict[str, int] = {}
    for name, value in values.items():
        if name not in GOVERNED:
            raise CallError(
                "unknown_parameter",
                "charging quotas have no such parameter that a vote may change",
                expected=", ".join(GOVERNED),
                actual=name,
            )
        low, high = GOVERNED[name]
        if type(value) is not int or not low <= value <= high:
            raise CallError(
                "invalid_parameters",
                f"parameter {name!r} does not fit",
                expected=f"{low} to {high}",
                actual=value,
            )
        numbers[name] = value
    return replace(terms, since=since, **numbers)
