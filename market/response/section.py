"""The section `response` of a genesis file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from market.response.records import ResponseTerms
from vm.primitives.decimal_text import parse_decimal
from vm.primitives.errors import BitenergyError, InvalidGenesis
from vm.primitives.integers import MAX_AMOUNT

PRICE_DECIMALS = 6
MAX_PAST = 24
MAX_ALPHA_PERCENT = 100_000
_FIELDS = (
    "alpha_percent",
    "upstream_price",
    "past_intervals",
    "highest",
    "tolerance_percent",
    "account",
)


def read_section(
    section: Mapping[str, object], account_of: Callable[[str], bytes | None]
) -> ResponseTerms:
    """Return the terms of a genesis section; raises InvalidGenesis."""
    unknown = [name for name in section if name not in _FIELDS]
    if unknown:
        raise InvalidGenesis(
            "'response' has unknown fields", expected=", ".join(_FIELDS), actual=unknown
        )
    name = section.get("account")
    account = account_of(name) if isinstance(name, str) else None
    if account is None:
        raise InvalidGenesis(
            "'response.account' is no member", expected="the name of a member", actual=name
        )
    past = _number(section, "past_intervals", 10, 1, MAX_PAST)
    return ResponseTerms(
        _number(section, "alpha_percent", 100, 100, MAX_ALPHA_PERCENT),
        _price(section.get("upstream_price")),
        past,
        _number(section, "highest", 0, 0, past),
        _number(section, "tolerance_percent", 10, 0, 100),
        account,
    )


def _number(section: Mapping[str, object], field: str, default: int, low: int, high: int) -> int:
    value = section.get(field, default)
    if type(value) is not int or not low <= value <= high:
        raise InvalidGenesis(f"'response.{field}'", expected=f"{low} to {high}", actual=value)
    return value


def _price(text: object) -> int:
    try:
        price = parse_decimal(text, PRICE_DECIMALS) if isinstance(text, str) else -1
    except BitenergyError as error:
        raise InvalidGenesis(f"'response.upstream_price': {error}") from error
    if not 0 <= price <= MAX_AMOUNT:
        raise InvalidGenesis(
            "'response.upstream_price' is a price as text", expected='for example "35"', actual=text
        )
    return price
