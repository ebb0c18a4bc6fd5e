"""The terms of certificates that members may change by a vote, and the check of each.

They hold from the interval after the one that runs; a period has those of its last interval. Lots
keep the energy and the expiry with which they were issued. Periods and the coins' market are not
among them: what is due rests on these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from market.certificates.records import CertificateTerms
from market.certificates.section import MAX_COINS, MAX_UNIT, MAX_VALIDITY_DAYS
from market.governed import Bounds, governed_numbers
from market.meters.records import MINUTES_PER_DAY
from vm.primitives.codec import Value

VALIDITY: Final = "validity_days"
GOVERNED: Final[Bounds] = {
    "earned_micro_per_kwh": (0, MAX_COINS),
    "lost_micro_per_kwh": (0, MAX_COINS),
    "unit_milli_wh": (1, MAX_UNIT),
    VALIDITY: (1, MAX_VALIDITY_DAYS),
}
"""Every name that a proposal may give, with its bounds."""


def changed_terms(
    terms: CertificateTerms, values: Mapping[str, Value], since: int
) -> CertificateTerms:
    """Return other terms from an interval on; raises CallError where a value does not fit."""
    numbers = governed_numbers(values, GOVERNED, "certificates have")
    days = numbers.pop(VALIDITY, None)
    if days is not None:
        numbers["validity_minutes"] = days * MINUTES_PER_DAY
    return replace(terms, since=since, **numbers)  # type: ignore[arg-type]
