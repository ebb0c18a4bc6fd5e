"""The orders of a call auction: bids and offers with their steps, and the merit order.

An order is one price-quantity step. A member's bid or offer of several steps is several orders of
the same owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Final, NamedTuple

from vm.primitives.errors import CallError
from vm.primitives.integers import MAX_AMOUNT

BUY: Final = 0
SELL: Final = 1
SIDE_NAMES: Final = ("buy", "sell")
MAX_STEPS: Final = 24
"""Steps of one bid or offer."""

_BY_PRICE: Final = attrgetter("price_micro_per_kwh")
_BY_PRIORITY: Final = attrgetter("priority")


class Order(NamedTuple):
    """One step of a bid or an offer."""

    number: int
    """Its number, unique in the book."""
    owner: bytes
    """Account of who placed it."""
    side: int
    """BUY or SELL."""
    energy_milli_wh: int
    """Energy that is wanted or offered, at least 1."""
    price_micro_per_kwh: int
    """Highest price of a bid, lowest price of an offer."""
    priority: int
    """Its place among equal prices, unique in the book; lower goes first."""


class Step(NamedTuple):
    """A quantity and its price, as a member states it."""

    energy_milli_wh: int
    """Energy of this step alone."""
    price_micro_per_kwh: int
    """Highest price of a bid's step, lowest price of an offer's."""


def validate_steps(side: int, steps: Sequence[Step]) -> None:
    """Raise CallError unless the steps are those of one bid or one offer.

    `no_steps`, `too_many_steps`, `invalid_energy`, `invalid_price`, `steps_out_of_order`: a bid's
    prices fall from step to step, an offer's rise.
    """
    if not steps:
        raise CallError("no_steps", "a bid or an offer has at least one step")
    if len(steps) > MAX_STEPS:
        raise CallError(
            "too_many_steps",
            "a bid or an offer has fewer steps",
            expected=f"at most {MAX_STEPS}",
            actual=len(steps),
        )
    for step in steps:
        _validate_amounts(step.energy_milli_wh, step.price_micro_per_kwh)
    for step, follower in pairwise(steps):
        rises = follower.price_micro_per_kwh > step.price_micro_per_kwh
        falls = follower.price_micro_per_kwh < step.price_micro_per_kwh
        if not (falls if side == BUY else rises):
            raise CallError(
                "steps_out_of_order",
                "the steps are not in the order of their prices",
                expected="falling prices" if side == BUY else "rising prices",
                actual=f"{step.price_micro_per_kwh}, then {follower.price_micro_per_kwh}",
                hint="State the most favourable step first, each price once.",
            )


def validate_book(orders: Iterable[Order]) -> None:
    """Raise CallError unless the orders are a book: `invalid_side`, `invalid_energy`,
    `invalid_price`, `duplicate_order`, `duplicate_priority`.
    """
    numbers: dict[int, bool] = {}
    priorities: dict[int, bool] = {}
    count = 0
    for order in orders:
        count += 1
        if order.side not in (BUY, SELL):
            raise CallError(
                "invalid_side", "an order buys or sells", expected="0 or 1", actual=order.side
            )
        _validate_amounts(order.energy_milli_wh, order.price_micro_per_kwh)
        numbers[order.number] = True
        priorities[order.priority] = True
    if len(numbers) != count:
        raise CallError("duplicate_order", "two orders have the same number")
    if len(priorities) != count:
        raise CallError("duplicate_priority", "two orders have the same priority")


def merit_order(orders: Iterable[Order]) -> tuple[list[Order], list[Order]]:
    """Return bids, dearest first, and offers, cheapest first; equal prices by priority."""
    return order_by_price(sorted(orders, key=_BY_PRIORITY))


def order_by_price(ranked: Iterable[Order]) -> tuple[list[Order], list[Order]]:
    """Return bids, dearest first, and offers, cheapest first; equal prices as they come."""
    bids: list[Order] = []
    offers: list[Order] = []
    for order in ranked:
        (bids if order.side == BUY else offers).append(order)
    # Sorting keeps the order of equals, also when it is reversed.
    bids.sort(key=_BY_PRICE, reverse=True)
    offers.sort(key=_BY_PRICE)
    return bids, offers


def _validate_amounts(energy_milli_wh: int, price_micro_per_kwh: int) -> None:
    if not 1 <= energy_milli_wh <= MAX_AMOUNT:
        raise CallError(
            "invalid_energy",
            "a step's energy is out of range",
            expected=f"1 to {MAX_AMOUNT}",
            actual=energy_milli_wh,
        )
    if not 0 <= price_micro_per_kwh <= MAX_AMOUNT:
        raise CallError(
            "invalid_price",
            "a step's price is out of range",
            expected=f"0 to {MAX_AMOUNT}",
            actual=price_micro_per_kwh,
        )
