"""The section `quota` of a genesis file."""

from __future__ import annotations

from collections.abc import Mapping

from market.quota.records import QuotaTerms
from market.quota.rules import BILLED_MINUTES, PRICING_NAMES
from vm.primitives.decimal_text import parse_decimal
from vm.primitives.errors import BitenergyError, InvalidGenesis
from vm.primitives.integers import MAX_AMOUNT

PRICE_DECIMALS = 6
MAX_DEPOSIT_PERCENT = 10_000
_FIELDS = ("pricing", "billed_minutes", "deposit_percent", "penalty_price")


def read_section(section: Mapping[str, object]) -> QuotaTerms:
    """Return the terms of a genesis section; raises InvalidGenesis."""
    unknown = [name for name in section if name not in _FIELDS]
    if unknown:
        raise InvalidGenesis(
            "'quota' has unknown fields", expected=", ".join(_FIELDS), actual=unknown
        )
    pricing = section.get("pricing", PRICING_NAMES[0])
    if pricing not in PRICING_NAMES:
        raise InvalidGenesis("'quota.pricing'", expected=" or ".join(PRICING_NAMES), actual=pricing)
    billed = section.get("billed_minutes", 60)
    if type(billed) is not int or billed not in BILLED_MINUTES:
        raise InvalidGenesis("'quota.billed_minutes'", expected=BILLED_MINUTES, actual=billed)
    percent = section.get("deposit_percent", 100)
    if type(percent) is not int or not 100 <= percent <= MAX_DEPOSIT_PERCENT:
        raise InvalidGenesis(
            "'quota.deposit_percent'", expected=f"100 to {MAX_DEPOSIT_PERCENT}", actual=percent
        )
    return QuotaTerms(
        PRICING_NAMES.index(str(pricing)),
        billed,
        percent,
        _price(section.get("penalty_price", "0")),
    )


def _price(text: object) -> int:
    try:
        price = parse_decimal(text, PRICE_DECIMALS) if isinstance(text, str) else -1
    except BitenergyError as error:
        raise InvalidGenesis(f"'quota.penalty_price': {error}") from error
    if not 0 <= price <= MAX_AMOUNT:
        raise InvalidGenesis(
            "'quota.penalty_price' is a price as text", expected='for example "224"', actual=text
        )
    return price
