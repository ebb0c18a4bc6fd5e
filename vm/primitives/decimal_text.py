"""Exact decimal text for amounts: no float ever stands between a person's figure and an integer."""

from __future__ import annotations

from vm.primitives.errors import InvalidInput

_DIGITS = frozenset("0123456789")


def parse_decimal(text: str, decimals: int) -> int:
    """Return `text` times 10**decimals as an exact integer, e.g. ("9.82", 6) -> 9820000.

    Raises InvalidInput on anything that is not a plain decimal number or has more digits after
    the point than `decimals`.
    """
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    whole, point, fraction = digits.partition(".")
    if not whole or (point and not fraction) or not _DIGITS.issuperset(whole + fraction):
        raise InvalidInput("not a decimal number", expected="for example 9.82", actual=text[:64])
    if len(whole) > 40 or len(fraction.rstrip("0")) > decimals:
        raise InvalidInput(
            "the number has more digits than can be kept",
            expected=f"at most {decimals} after the point",
            actual=text[:64],
        )
    scaled = fraction.rstrip("0").ljust(decimals, "0")
    return sign * int(whole + scaled)


def format_decimal(number: int, decimals: int, *, min_decimals: int = 0) -> str:
    """Return `number` divided by 10**decimals as shortest text with at least `min_decimals`."""
    digits = str(abs(number)).rjust(decimals + 1, "0")
    whole, fraction = (digits[:-decimals], digits[-decimals:]) if decimals else (digits, "")
    fraction = fraction.rstrip("0").ljust(min_decimals, "0")
    text = f"{whole}.{fraction}" if fraction else whole
    return f"-{text}" if number < 0 else text
