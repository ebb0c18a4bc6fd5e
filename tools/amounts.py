"""Amounts as people write them, to and from the integers of the chain, without rounding.

Energy is written `6kWh`, `0.5 MWh`, `250Wh`; money and prices `9.82` (tokens, which are cents in
the published cases; a price is per kWh). What an integer of base units cannot hold exactly is
refused, never rounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from vm.primitives.decimal_text import format_decimal
from vm.primitives.errors import InvalidInput
from vm.primitives.integers import MAX_AMOUNT

MILLI_WH_PER_KWH_DIGITS: Final = 6
MICRO_PER_TOKEN_DIGITS: Final = 6
MAX_TEXT_LENGTH: Final = 64

# Powers of ten from each unit to the base unit. The small m and the capital M differ by a factor
# of a thousand million, so prefixes are never guessed from the wrong case.
_ENERGY_UNITS: Final = {"mWh": 0, "Wh": 3, "kWh": 6, "MWh": 9, "GWh": 12}
_TOKEN_UNITS: Final = {
    "": 6, "token": 6, "tokens": 6, "cent": 6, "cents": 6, "ct": 6, "micro": 0
}  # fmt: skip
_PRICE_UNITS: Final = {
    "": 6, "token/kWh": 6, "tokens/kWh": 6, "cent/kWh": 6, "cents/kWh": 6, "ct/kWh": 6,
    "micro/kWh": 0,
}  # fmt: skip
_FORM: Final = re.compile(r"([0-9]*)(?:\.([0-9]+))? ?([A-Za-z/]*)", re.ASCII)


class InvalidAmount(InvalidInput):
    """Text that is not an amount, or one that the chain cannot hold exactly."""

    default_code = "invalid_amount"


def parse_energy(text: str) -> int:
    """Return the milliwatt-hours that `text` names, for example 6_000_000 for `6kWh`.

    Raises InvalidAmount, also where no unit stands: kWh and Wh differ too much to guess.
    """
    return _parse(text, _ENERGY_UNITS, "energy", "6kWh, 250Wh or 0.5MWh", "a milliwatt-hour")


def parse_tokens(text: str) -> int:
    """Return the micro-tokens that `text` names, for example 9_820_000 for `9.82`.

    Raises InvalidAmount.
    """
    return _parse(text, _TOKEN_UNITS, "an amount of tokens", "9.82", "a millionth of a token")


def parse_price(text: str) -> int:
    """Return the micro-tokens per kWh that `text` names, for example 9_820_000 for `9.82`.

    Raises InvalidAmount.
    """
    return _parse(text, _PRICE_UNITS, "a price per kWh", "9.82", "a millionth of a token per kWh")


def format_tokens(micro: int, min_decimals: int = 2) -> str:
    """Return micro-tokens as tokens: the shortest exact decimal of at least `min_decimals`.

    1_058_920_000 is `1058.92`; 1_000_000_000 is `1000.00`.
    """
    return format_decimal(micro, MICRO_PER_TOKEN_DIGITS, min_decimals=min_decimals)


def format_kwh(milli_wh: int, min_decimals: int = 1) -> str:
    """Return milliwatt-hours as kWh: the shortest exact decimal of at least `min_decimals`.

    58_000_000 is `58.0`; 1 is `0.000001`.
    """
    return format_decimal(milli_wh, MILLI_WH_PER_KWH_DIGITS, min_decimals=min_decimals)


def _parse(text: str, units: Mapping[str, int], what: str, example: str, base: str) -> int:
    """Return `text` in base units; `units` gives each unit's power of ten."""
    stripped = text.strip()
    match = _FORM.fullmatch(stripped) if len(stripped) <= MAX_TEXT_LENGTH else None
    if match is None or not (match[1] or match[2]):
        raise _refused(text, what, example)
    whole, decimals, unit = match[1] or "0", (match[2] or "").rstrip("0"), match[3]
    power = _power_of_ten(unit, units, text, example)
    if len(decimals) > power:
        raise InvalidAmount(
            f"{stripped} is finer than {base}, the chain's smallest step, and is not rounded",
            hint=f"Write at most {power} decimals.",
        )
    amount = int(whole + decimals) * 10 ** (power - len(decimals))
    if amount > MAX_AMOUNT:
        raise InvalidAmount(
            f"{stripped} is more than the chain can hold", hint="Check the number and its unit."
        )
    return amount


def _power_of_ten(unit: str, units: Mapping[str, int], text: str, example: str) -> int:
    """Return the power of ten of `unit`: as written, or in any case if that is unambiguous."""
    if unit in units:
        return units[unit]
    powers = {power for name, power in units.items() if name.lower() == unit.lower()}
    if len(powers) == 1 and not unit.startswith(("m", "M")):
        return powers.pop()
    if not unit:
        raise InvalidAmount(f"{text.strip()} has no unit", hint=f"Write for example {example}.")
    raise InvalidAmount(
        f"unknown unit {unit}",
        expected="one of " + ", ".join(name for name in units if name),
        hint="A small m is a thousandth and a capital M a million."
        if unit.lower() == "mwh"
        else f"Write for example {example}.",
    )


def _refused(text: str, what: str, example: str) -> InvalidAmount:
    """Return the error for text that has not even the form of an amount."""
    shown = text.strip()
    hint = f"Write for example {example}."
    if len(shown) > MAX_TEXT_LENGTH:
        shown = shown[:MAX_TEXT_LENGTH] + "…"
    elif shown.startswith(("-", "−")):
        hint = "Amounts are positive; what is taken away is said by the command."
    elif "," in shown:
        hint = f"Use a decimal point and no separators, for example {example}."
    elif re.search(r"[0-9][eE][+-]?[0-9]", shown):
        hint = f"Write the digits out, without an exponent, for example {example}."
    return InvalidAmount(f"{shown!r} is not {what}", hint=hint)
