"""The terms of demand response that members may vote on, for rounds and events that begin later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from market.governed import Bounds, governed_numbers
from market.response.metering import validate_retention
from market.response.records import ResponseTerms
from market.response.section import MAX_ALPHA_PERCENT, MAX_PAST
from vm.context import CallContext
from vm.primitives.codec import Value
from vm.primitives.errors import CallError, InvalidGenesis
from vm.primitives.integers import MAX_AMOUNT

GOVERNED: Final[Bounds] = {
    "alpha_percent": (100, MAX_ALPHA_PERCENT),
    "highest": (0, MAX_PAST),
    "past_intervals": (1, MAX_PAST),
    "tolerance_percent": (0, 100),
    "upstream_price_micro_per_kwh": (0, MAX_AMOUNT),
}
"""Every name that a proposal may give, with its bounds."""


def changed_terms(
    ctx: CallContext, terms: ResponseTerms, values: Mapping[str, Value]
) -> ResponseTerms:
    """Return the terms' next version; raises CallError where a value does not fit."""
    numbers = governed_numbers(values, GOVERNED, "demand response has")
    changed = replace(terms, version=terms.version + 1, **numbers)  # type: ignore[arg-type]
    if changed.highest > changed.past_intervals:
        raise CallError(
            "invalid_parameters",
            "of the past intervals no more count than there are",
            expected=f"'highest' of at most {changed.past_intervals}",
            actual=changed.highest,
        )
    try:
        validate_retention(ctx, changed)
    except InvalidGenesis as error:
        raise CallError("invalid_parameters", str(error)) from error
    return changed
