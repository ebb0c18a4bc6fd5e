"""Integers with bounds, and the few named functions that round.

Money is in micro-tokens, energy in milliwatt-hours, prices in micro-tokens per kWh. An amount is
one exact rational, rounded once, here.
"""

from __future__ import annotations

from vm.primitives.errors import CallError

MAX_AMOUNT = 2**63 - 1
MILLI_WH_PER_KWH = 1_000_000


def divide_half_even(numerator: int, denominator: int) -> int:
    """Return `numerator / denominator` rounded to the nearest integer, halves to even.

    The denominator is positive; the numerator may have either sign.
    """
    quotient, remainder = divmod(numerator, denominator)
    double = 2 * remainder
    if double > denominator or (double == denominator and quotient & 1):
        return quotient + 1
    return quotient


def divide_up(numerator: int, denominator: int) -> int:
    """Return `numerator / denominator` rounded up; the denominator is positive."""
    return -(-numerator // denominator)


def trade_amount_micro(energy_milli_wh: int, price_micro_per_kwh: int) -> int:
    """Return what `energy_milli_wh` costs at `price_micro_per_kwh`, in micro-tokens.

    The one place where a trade's amount is rounded: to the nearest micro-token, halves to even.
    What the buyer pays is exactly what the payees get.
    """
    return divide_half_even(energy_milli_wh * price_micro_per_kwh, MILLI_WH_PER_KWH)


def checked_add(left: int, right: int) -> int:
    """Return the sum of two amounts; raises CallError if it leaves 0 to MAX_AMOUNT."""
    total = left + right
    if not 0 <= total <= MAX_AMOUNT:
        raise CallError(
            "overflow", "an amount leaves its range", expected=f"0 to {MAX_AMOUNT}", actual=total
        )
    return total
