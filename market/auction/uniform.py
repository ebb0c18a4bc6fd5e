"""The uniform-price call auction, and the midpoint auction that prices each pair on its own.

Uniform: one price for all trades. Let the marginal bid and offer be the last that trade. A price
clears the book if no order that it would leave better off waits: it lies from `low`, the higher of
the marginal offer and the best bid that waits, to `high`, the lower of the marginal bid and the
best offer that waits (the rest of an order that trades in part waits too). Where demand and supply
overlap vertically (`low` < `high`) the price is the middle; where they overlap horizontally, at one
price, the volume is the greatest. The rule `last_pair` takes the middle of marginal bid and offer
instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from market.auction.clearing import Clearing, Fill, Trade, conclude, pair_fills
from market.auction.crossing import PRO_RATA, TIME, Crossing, fill_side, find_crossing
from market.auction.orders import Order, merit_order

CROSSING: Final = 0
LAST_PAIR: Final = 1
PRICE_RULE_NAMES: Final = ("crossing", "last_pair")


def clear_uniform(
    orders: Sequence[Order], *, price_rule: int = CROSSING, rationing: int = PRO_RATA
) -> Clearing:
    """Clear a book at one price."""
    bids, offers = merit_order(orders)
    crossing = find_crossing(bids, offers)
    if crossing is None:
        return conclude(orders, ())
    price = _price(bids, offers, crossing, price_rule)
    trades = pair_fills(*_fill(bids, offers, crossing, rationing), price, price)
    return conclude(orders, trades, buyer_price=price, seller_price=price)


def clear_midpoint(orders: Sequence[Order], *, rationing: int = TIME) -> Clearing:
    """Clear a book pair by pair: dearest bid with cheapest offer, at the middle of the two.

    A trade with a bid b and an offer s is at (b + s) / 2.
    """
    bids, offers = merit_order(orders)
    crossing = find_crossing(bids, offers)
    if crossing is None:
        return conclude(orders, ())
    prices = {order.number: order.price_micro_per_kwh for order in orders}
    trades = [
        Trade(bid, offer, energy, prices[bid] + prices[offer], prices[bid] + prices[offer])
        for bid, offer, energy, _, _ in pair_fills(*_fill(bids, offers, crossing, rationing), 0, 0)
    ]
    return conclude(orders, trades)


def _fill(
    bids: Sequence[Order], offers: Sequence[Order], crossing: Crossing, rationing: int
) -> tuple[list[Fill], list[Fill]]:
    volume = crossing.volume_milli_wh
    return (
        fill_side(bids, crossing.last_bid, volume, rationing),
        fill_side(offers, crossing.last_offer, volume, rationing),
    )


def _price(
    bids: Sequence[Order], offers: Sequence[Order], crossing: Crossing, price_rule: int
) -> int:
    """Return the price in half micro-tokens per kWh."""
    high = bids[crossing.last_bid].price_micro_per_kwh
    low = offers[crossing.last_offer].price_micro_per_kwh
    if price_rule == LAST_PAIR:
        return low + high
    if crossing.next_bid < len(bids):
        low = max(low, bids[crossing.next_bid].price_micro_per_kwh)
    if crossing.next_offer < len(offers):
        high = min(high, offers[crossing.next_offer].price_micro_per_kwh)
    return low + high
