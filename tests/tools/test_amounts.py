"""Amounts: exact both ways, and helpful about what they refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.amounts import (
    InvalidAmount,
    format_kwh,
    format_tokens,
    parse_energy,
    parse_price,
    parse_tokens,
)
from vm.primitives.integers import MAX_AMOUNT

amounts = st.integers(min_value=0, max_value=MAX_AMOUNT)


@given(amounts, st.integers(min_value=0, max_value=8))
def test_energy_survives_the_round_trip(milli_wh: int, decimals: int) -> None:
    assert parse_energy(format_kwh(milli_wh, decimals) + "kWh") == milli_wh


@given(amounts, st.integers(min_value=0, max_value=8))
def test_money_and_prices_survive_the_round_trip(micro: int, decimals: int) -> None:
    assert parse_tokens(format_tokens(micro, decimals)) == micro
    assert parse_price(format_tokens(micro, decimals) + " cent/kWh") == micro


@given(st.text(max_size=80))
def test_any_text_is_an_amount_or_a_clear_refusal(text: str) -> None:
    for parse in (parse_energy, parse_tokens, parse_price):
        try:
            amount = parse(text)
        except InvalidAmount as refused:
            amount, hint = 0, refused.hint
        else:
            hint = "none needed"
        assert 0 <= amount <= MAX_AMOUNT
        assert hint


@pytest.mark.parametrize(
    ("text", "milli_wh"),
    [
        ("6kWh", 6_000_000),
        ("6 kWh", 6_000_000),
        (" 6kwh ", 6_000_000),
        ("6KWH", 6_000_000),
        ("0.5 MWh", 500_000_000),
        ("250Wh", 250_000),
        ("1mWh", 1),
        (".25kWh", 250_000),
        ("007Wh", 7_000),
        ("0.000001kWh", 1),
        ("1.0000000000kWh", 1_000_000),
        ("0kWh", 0),
        ("9223372.036854775807GWh", MAX_AMOUNT),
        ("9223372.036854775808GWh", None),
        ("9223372036854.775807kWh", MAX_AMOUNT),
    ],
)
def test_energies(text: str, milli_wh: int | None) -> None:
    if milli_wh is None:
        with pytest.raises(InvalidAmount):
            parse_energy(text)
    else:
        assert parse_energy(text) == milli_wh


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("6", "6kWh"),
        ("", "6kWh"),
        ("kWh", "6kWh"),
        (".", "6kWh"),
        ("6.kWh", "6kWh"),
        ("-6kWh", "positive"),
        ("+6kWh", "6kWh"),
        ("6,5kWh", "decimal point"),
        ("1e3kWh", "exponent"),
        ("6mwh", "small m"),
        ("6MWH", "small m"),
        ("6mWH", "small m"),
        ("6kW", "6kWh"),
        ("6 kWh kWh", "6kWh"),
        ("٦kWh", "6kWh"),
        ("0x6kWh", "6kWh"),
        ("nankWh", "6kWh"),
        ("0.0000001kWh", "6 decimals"),
        ("0.0001Wh", "3 decimals"),
        ("9223372036854.775808kWh", "unit"),
        ("1" * 63 + "W", "6kWh"),
        ("9" * 500 + "kWh", "6kWh"),
        ("1\x00kWh", "6kWh"),
        ("1\n2kWh", "6kWh"),
    ],
)
def test_refused_energies_say_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(InvalidAmount) as caught:
        parse_energy(text)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "micro"),
    [
        ("9.82", 9_820_000),
        ("10", 10_000_000),
        ("9.82 cents", 9_820_000),
        ("9.82ct", 9_820_000),
        ("1 Token", 1_000_000),
        ("0.000001", 1),
        ("5micro", 5),
    ],
)
def test_tokens(text: str, micro: int) -> None:
    assert parse_tokens(text) == micro


@pytest.mark.parametrize("text", ["9.82 ct/kWh", "9.82cent/kWh", "9.82 tokens/kwh", "9.82"])
def test_prices(text: str) -> None:
    assert parse_price(text) == 9_820_000


@pytest.mark.parametrize("text", ["9.82 ct/MWh", "9.82kWh", "$9.82", "9.8200001", "9,82", "-1"])
def test_refused_prices(text: str) -> None:
    with pytest.raises(InvalidAmount):
        parse_price(text)


def test_formats_are_those_of_the_published_tables() -> None:
    assert format_tokens(921_280_000) == "921.28"
    assert format_tokens(1_019_800_000) == "1019.80"
    assert format_tokens(1_000_000_000, 1) == "1000.0"
    assert format_kwh(58_000_000) == "58.0"
    assert format_kwh(1_500) == "0.0015"
    assert format_kwh(-2_500_000) == "-2.5"
    assert format_kwh(5_000_000, 0) == "5"
