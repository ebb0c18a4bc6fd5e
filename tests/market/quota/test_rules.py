"""The published tables of charging quotas come out of the rules, to the printed digit."""

from __future__ import annotations

import json
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.auction.orders import BUY, SELL, Order
from market.quota.rules import (
    BILLED_MINUTES,
    PAIRWISE_MIDPOINT,
    PRICING_NAMES,
    UNIFORM_MIDPOINT,
    clear_quotas,
    deposit_micro,
    excess_penalty_micro,
    first_quotas_w,
    quota_energy_milli_wh,
    quota_power_w,
    service_fee_micro,
)

CASE = json.loads((Path(__file__).parents[3] / "genesis/cases/ev_quota.json").read_text())
NAMES = sorted(CASE["demand_kw"])
DEMANDS_W = [int(Decimal(CASE["demand_kw"][name]) * 1000) for name in NAMES]
CAPACITY_W = int(Decimal(CASE["capacity_kw"]) * 1000)
PRICE = 112_000_000


def printed(micro: int, digits: str) -> Decimal:
    return (Decimal(micro) / 10**6).quantize(Decimal(digits), ROUND_HALF_EVEN)


def test_table_2_first_quotas() -> None:
    quotas = first_quotas_w(DEMANDS_W, CAPACITY_W)
    for name, quota_w in zip(NAMES, quotas, strict=True):
        assert printed(quota_w * 1000, "0.01") == Decimal(CASE["initial_quota_kw"][name]), name
    assert CAPACITY_W - len(NAMES) < sum(quotas) <= CAPACITY_W


def test_table_4_service_fees() -> None:
    total_w = sum(DEMANDS_W)
    for name, demand_w in zip(NAMES, DEMANDS_W, strict=True):
        fee = service_fee_micro(demand_w, CAPACITY_W, total_w, price=PRICE, billed_minutes=60)
        assert printed(fee, "0.01") == Decimal(CASE["service_fee_token"][name]), name


def test_quotas_rounded_to_watts_first_would_not_give_the_printed_fees() -> None:
    quotas = first_quotas_w(DEMANDS_W, CAPACITY_W)
    fees = [printed(quota_w * PRICE // 1000, "0.01") for quota_w in quotas]
    assert fees != [Decimal(CASE["service_fee_token"][name]) for name in NAMES]


def payments(pricing: int) -> dict[str, Decimal]:
    """Return what each station pays in the auction; below 0 for what it gets."""
    orders = []
    for side, book in ((BUY, CASE["bids"]), (SELL, CASE["offers"])):
        for name, (power, price) in book.items():
            energy = quota_energy_milli_wh(int(Decimal(power) * 1000), 60)
            number = NAMES.index(name)
            micro = int(Decimal(price) * 10**6)
            orders.append(Order(number, name.encode(), side, energy, micro, number))
    clearing = clear_quotas(orders, pricing)
    assert clearing.surplus_micro == 0
    found = dict.fromkeys(NAMES, Decimal(0))
    for order, award in zip(orders, clearing.awards, strict=True):
        sign = 1 if order.side == BUY else -1
        found[order.owner.decode()] = sign * printed(award.amount_micro, "0.1")
    return found


@pytest.mark.parametrize(
    ("pricing", "rule"),
    [(UNIFORM_MIDPOINT, "uniform_midpoint"), (PAIRWISE_MIDPOINT, "pairwise_midpoint")],
)
def test_table_4_auction_payments_balance(pricing: int, rule: str) -> None:
    assert PRICING_NAMES[pricing] == rule
    expected = CASE["balanced_auction_payment_token"][rule]
    found = payments(pricing)
    assert found == {name: Decimal(expected[name]) for name in NAMES}
    assert sum(found.values()) == 0


def test_all_but_the_two_entries_that_do_not_balance_are_as_printed() -> None:
    expected = CASE["printed_auction_payment_token"]
    found = payments(UNIFORM_MIDPOINT)
    assert [name for name in NAMES if found[name] != Decimal(expected[name])] == ["B", "C"]
    assert sum(Decimal(expected[name]) for name in NAMES) != 0


@given(
    demands=st.lists(st.integers(1, 10**9), min_size=1, max_size=50),
    capacity=st.integers(1, 10**10),
    price=st.integers(0, 10**12),
    billed=st.sampled_from(BILLED_MINUTES),
    percent=st.integers(100, 300),
)
def test_quotas_fit_and_deposits_cover_fees(
    demands: list[int], capacity: int, price: int, billed: int, percent: int
) -> None:
    quotas = first_quotas_w(demands, capacity)
    total = sum(demands)
    assert sum(quotas) <= capacity
    assert total <= capacity or sum(quotas) > capacity - len(demands)
    for demand, quota in zip(demands, quotas, strict=True):
        assert 0 <= quota <= demand
        fee = service_fee_micro(demand, capacity, total, price=price, billed_minutes=billed)
        deposit = deposit_micro(demand, price=price, billed_minutes=billed, percent=percent)
        assert 0 <= fee <= deposit
    assert quota_power_w(quota_energy_milli_wh(quotas[0], billed), billed) == quotas[0]


def test_the_penalty_is_for_what_is_beyond_the_quota() -> None:
    half_hour_ms = 30 * 60_000

    def penalty(energy: int, quota_w: int = 30_000) -> int:
        return excess_penalty_micro(
            energy, quota_w, duration_ms=half_hour_ms, penalty_price=224_000_000
        )

    assert penalty(15_000_000) == penalty(0) == 0
    assert penalty(16_000_000) == 224_000_000
    assert penalty(15_000_001) == 224
    assert penalty(1_000_000, 0) == 224_000_000
