"""Rounding, decimal text, addresses and names, each against an independent definition."""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.support import key_of
from vm.primitives.address import (
    account_id,
    check_name,
    decode_address,
    encode_address,
    validate_name,
)
from vm.primitives.decimal_text import format_decimal, parse_decimal
from vm.primitives.errors import CallError, InvalidInput
from vm.primitives.integers import (
    MAX_AMOUNT,
    checked_add,
    divide_half_even,
    trade_amount_micro,
)

BIG = st.integers(-(2**130), 2**130)


@given(BIG, st.integers(1, 2**70) | st.sampled_from([1, 2, 4, 10, 1_000_000]))
def test_division_rounds_halves_to_even(numerator: int, denominator: int) -> None:
    with localcontext() as context:
        context.prec = 200
        exact = Decimal(numerator) / Decimal(denominator)
        rounded = exact.to_integral_value(ROUND_HALF_EVEN)
    quotient = divide_half_even(numerator, denominator)
    assert abs(2 * (quotient * denominator - numerator)) <= denominator
    if denominator in (1, 2, 4, 10, 1_000_000):  # exact in decimal digits
        assert quotient == int(rounded)


@pytest.mark.parametrize(
    ("numerator", "denominator", "quotient"),
    [(1, 2, 0), (3, 2, 2), (5, 2, 2), (-1, 2, 0), (-3, 2, -2), (-5, 2, -2), (10, 4, 2), (14, 4, 4)],
)
def test_exact_halves(numerator: int, denominator: int, quotient: int) -> None:
    assert divide_half_even(numerator, denominator) == quotient


def test_ten_thousand_odd_trades_do_not_drift() -> None:
    exact = sum(1_000 * price for price in range(1, 20_001, 2))
    rounded = sum(trade_amount_micro(1_000, price) for price in range(1, 20_001, 2))
    assert abs(rounded * 1_000_000 - exact) <= 500 * 1_000_000
    assert trade_amount_micro(6_000_000, 9_820_000) == 58_920_000


@given(st.integers(0, MAX_AMOUNT), st.integers(-MAX_AMOUNT, MAX_AMOUNT))
def test_sums_stay_in_range_or_fail(left: int, right: int) -> None:
    total = left + right
    if 0 <= total < 2**63:
        assert checked_add(left, right) == total
    else:
        with pytest.raises(CallError) as caught:
            checked_add(left, right)
        assert caught.value.code == "overflow"


@given(st.integers(-(10**30), 10**30), st.integers(0, 24), st.integers(0, 6))
def test_decimal_text_comes_back(number: int, decimals: int, least: int) -> None:
    text = format_decimal(number, decimals, min_decimals=min(least, decimals))
    assert parse_decimal(text, decimals) == number
    with localcontext() as context:
        context.prec = 100
        assert Decimal(text) * 10**decimals == number


@pytest.mark.parametrize("text", ["", "-", ".", "1.", ".1", "1e2", "+1", " 1", "0x1", "1_0", "١"])
def test_text_that_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_decimal(text, 6)


def test_a_digit_too_many_is_refused_and_not_rounded() -> None:
    assert parse_decimal("0.1234560", 6) == 123_456
    with pytest.raises(InvalidInput):
        parse_decimal("0.1234561", 6)


@given(st.binary(min_size=20, max_size=20))
def test_addresses_come_back(account: bytes) -> None:
    text = encode_address(account)
    assert text.startswith("be") and len(text) == 42
    assert decode_address(text) == account


@given(st.binary(min_size=20, max_size=20), st.integers(2, 41), st.characters())
def test_one_wrong_letter_is_caught(account: bytes, place: int, letter: str) -> None:
    text = encode_address(account)
    other = text[:place] + letter + text[place + 1 :]
    if other == text:
        assert decode_address(other) == account
    else:
        with pytest.raises(InvalidInput):
            decode_address(other)


@given(st.text(max_size=50))
def test_no_other_text_is_an_address(text: str) -> None:
    with pytest.raises(InvalidInput):
        decode_address(text)


def test_letters_that_only_look_small_are_refused() -> None:
    """Dotless i and long s become I and S once made large, in any Unicode table."""
    text = next(
        one
        for one in (encode_address(bytes([number]) * 20) for number in range(256))
        if "i" in one and "s" in one
    )
    for letter, other in (("i", "\u0131"), ("s", "\u017f")):
        with pytest.raises(InvalidInput):
            decode_address(text.replace(letter, other))


def test_an_id_is_bound_to_its_key() -> None:
    assert account_id(key_of("P1")) != account_id(key_of("P2"))
    with pytest.raises(InvalidInput):
        encode_address(bytes(19))


@given(st.text(max_size=40))
def test_names_are_plain(text: str) -> None:
    plain = 1 <= len(text) <= 32 and all(
        letter.isascii() and (letter.isalnum() or letter in "._-") for letter in text
    )
    assert check_name(text) == plain
    if not plain:
        with pytest.raises(InvalidInput):
            validate_name(text)
