"""What a clearing comes to: trades, awards per order, and what the market's account keeps.

Prices of trades are in half micro-tokens per kWh, because the midpoint of two prices may lie
between two micro-tokens. An order's amount is one exact rational, the sum over its trades of
energy times price, rounded once: a bid's up, an offer's down. What the bids pay beyond what the
offers get, the spread between their prices and these fractions, is the surplus, never negative.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from market.auction.orders import BUY, Order
from vm.primitives.integers import MILLI_WH_PER_KWH, divide_up

HALF_PRICES_PER_AMOUNT: Final = 2 * MILLI_WH_PER_KWH
"""Milliwatt-hours times half micro-tokens per kWh, in one micro-token."""


class Trade(NamedTuple):
    """Energy that goes from an offer to a bid."""

    bid: int
    """Number of the bid."""
    offer: int
    """Number of the offer."""
    energy_milli_wh: int
    """Energy, at least 1."""
    buyer_price_half_micro_per_kwh: int
    """What the buyer pays."""
    seller_price_half_micro_per_kwh: int
    """What the seller gets; not more."""


class Award(NamedTuple):
    """What one order came to."""

    number: int
    """The order's number."""
    energy_milli_wh: int
    """Energy that it trades."""
    residual_milli_wh: int
    """Energy that it still wants or offers."""
    amount_micro: int
    """What a bid pays or an offer gets."""
    value: int
    """The same before rounding: energy times price, in half micro-tokens per kWh times mWh."""


@dataclass(frozen=True, slots=True)
class Clearing:
    """The result of an auction."""

    trades: tuple[Trade, ...]
    """Who delivers to whom, in merit order."""
    awards: tuple[Award, ...]
    """One for each order, in the order of the book."""
    buyer_price_half_micro_per_kwh: int | None
    """The one price that buyers pay; None if nothing trades or each trade has its own."""
    seller_price_half_micro_per_kwh: int | None
    """The one price that sellers get; None in the same cases."""
    volume_milli_wh: int
    """Energy traded."""
    surplus_micro: int
    """What the market's account keeps, at least 0."""
    welfare_pico: int
    """Bids' prices less offers' prices over the traded energy, in 1e-12 tokens, exact."""


Fill = tuple[Order, int]
"""An order and the energy that it is to trade, at most its own, in milliwatt-hours."""


def pair_fills(
    bids: Sequence[Fill], offers: Sequence[Fill], buyer_price: int, seller_price: int
) -> list[Trade]:
    """Return trades between bids and offers that fill the same energy, in their order."""
    trades: list[Trade] = []
    sources = iter(offers)
    offer_number = left = 0
    for bid, wanted in bids:
        while wanted:
            if not left:
                offer, left = next(sources)
                offer_number = offer.number
                continue
            taken = wanted if wanted < left else left
            trades.append(Trade(bid.number, offer_number, taken, buyer_price, seller_price))
            wanted -= taken
            left -= taken
    return trades


def conclude(
    orders: Sequence[Order],
    trades: Iterable[Trade],
    *,
    buyer_price: int | None = None,
    seller_price: int | None = None,
) -> Clearing:
    """Return the clearing of `orders` by `trades`, amounts rounded."""
    trades = tuple(trades)
    energies: dict[int, int] = {}
    values: dict[int, int] = {}
    for bid, offer, energy, paid, got in trades:
        energies[bid] = energies.get(bid, 0) + energy
        energies[offer] = energies.get(offer, 0) + energy
        values[bid] = values.get(bid, 0) + energy * paid
        values[offer] = values.get(offer, 0) + energy * got
    awards: list[Award] = []
    surplus = volume = welfare = 0
    for order in orders:
        number = order.number
        energy = energies.get(number, 0)
        if not energy:
            awards.append(Award(number, 0, order.energy_milli_wh, 0, 0))
        elif order.side == BUY:
            value = values[number]
            amount = divide_up(value, HALF_PRICES_PER_AMOUNT)
            awards.append(Award(number, energy, order.energy_milli_wh - energy, amount, value))
            surplus += amount
            volume += energy
            welfare += energy * order.price_micro_per_kwh
        else:
            value = values[number]
            amount = value // HALF_PRICES_PER_AMOUNT
            awards.append(Award(number, energy, order.energy_milli_wh - energy, amount, value))
            surplus -= amount
            welfare -= energy * order.price_micro_per_kwh
    return Clearing(trades, tuple(awards), buyer_price, seller_price, volume, surplus, welfare)


def reserved_micro(energy_milli_wh: int, price_micro_per_kwh: int) -> int:
    """Return the most that a bid can come to pay: its energy at its price, rounded up."""
    return divide_up(energy_milli_wh * price_micro_per_kwh, MILLI_WH_PER_KWH)
