"""The section `quota` of a genesis file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from market.quota.records import QuotaTerms
from market.quota.rules import BILLED_MINUTES, PRICING_NAMES
from vm.primitives.genesis_fields import read_object

MAX_DEPOSIT_PERCENT: Final = 10_000
_FIELDS: Final = ("pricing", "billed_minutes", "deposit_percent", "penalty_price")


def read_section(section: Mapping[str, object]) -> QuotaTerms:
    """Return the terms of a genesis section; raises InvalidGenesis."""
    fields = read_object(section, "'quota'", _FIELDS)
    return QuotaTerms(
        fields.choice("pricing", PRICING_NAMES, default=PRICING_NAMES[0]),
        fields.one_of("billed_minutes", BILLED_MINUTES, default=60),
        fields.integer("deposit_percent", 100, MAX_DEPOSIT_PERCENT, default=100),
        fields.decimal("penalty_price", default="0"),
    )
