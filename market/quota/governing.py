"""The terms of charging quotas that members may vote on, for rounds announced later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from market.governed import Bounds, governed_numbers
from market.quota.records import QuotaTerms
from market.quota.section import MAX_DEPOSIT_PERCENT
from vm.primitives.codec import Value
from vm.primitives.integers import MAX_AMOUNT

GOVERNED: Final[Bounds] = {
    "deposit_percent": (100, MAX_DEPOSIT_PERCENT),
    "penalty_price_micro_per_kwh": (0, MAX_AMOUNT),
}
"""Every name that a proposal may give, with its bounds."""


def changed_terms(terms: QuotaTerms, values: Mapping[str, Value], since: int) -> QuotaTerms:
    """Return other terms from a round on; raises CallError where a value does not fit."""
    numbers = governed_numbers(values, GOVERNED, "charging quotas have")
    return replace(terms, since=since, **numbers)
