"""The section `response` of a genesis file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from market.response.records import ResponseTerms
from vm.primitives.genesis_fields import AccountOf, read_object

MAX_PAST: Final = 24
MAX_ALPHA_PERCENT: Final = 100_000
_FIELDS: Final = (
    "alpha_percent",
    "upstream_price",
    "past_intervals",
    "highest",
    "tolerance_percent",
    "account",
)


def read_section(section: Mapping[str, object], account_of: AccountOf) -> ResponseTerms:
    """Return the terms of a genesis section; raises InvalidGenesis."""
    fields = read_object(section, "'response'", _FIELDS)
    past = fields.integer("past_intervals", 1, MAX_PAST, default=10)
    return ResponseTerms(
        fields.integer("alpha_percent", 100, MAX_ALPHA_PERCENT, default=100),
        fields.decimal("upstream_price"),
        past,
        fields.integer("highest", 0, past, default=0),
        fields.integer("tolerance_percent", 0, 100, default=10),
        fields.account("account", account_of),
    )
