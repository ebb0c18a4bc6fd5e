"""Continuous matching: each order, as it arrives, meets the best standing ones at their prices.

Arrival is the order of priorities. A trade is at the price of the order that stood, as a purchase
in the posted market is at the offer's. An order never trades with one of its own owner: a standing
one that would be next is cancelled instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from market.auction.clearing import Clearing, Trade, conclude
from market.auction.orders import BUY, Order

_Standing = list[tuple[int, int, int]]
"""A heap of (price, negated for bids; priority; place in the book)."""


def clear_pay_as_bid(orders: Sequence[Order]) -> Clearing:
    """Match a book in the order of arrival."""
    left = [order.energy_milli_wh for order in orders]
    bids: _Standing = []
    offers: _Standing = []
    trades: list[Trade] = []
    for place in sorted(range(len(orders)), key=lambda place: orders[place].priority):
        order = orders[place]
        if order.side == BUY:
            _match(orders, left, place, offers, trades)
            key, standing = -order.price_micro_per_kwh, bids
        else:
            _match(orders, left, place, bids, trades)
            key, standing = order.price_micro_per_kwh, offers
        if left[place]:
            heappush(standing, (key, order.priority, place))
    return conclude(orders, trades)


def _match(
    orders: Sequence[Order], left: list[int], place: int, standing: _Standing, trades: list[Trade]
) -> None:
    order = orders[place]
    is_bid = order.side == BUY
    price = order.price_micro_per_kwh
    while standing and left[place]:
        key, _, other_place = standing[0]
        other = orders[other_place]
        if key > price if is_bid else -key < price:
            return
        if other.owner == order.owner:
            heappop(standing)
            continue
        taken = min(left[place], left[other_place])
        at = 2 * other.price_micro_per_kwh
        bid, offer = (order, other) if is_bid else (other, order)
        trades.append(Trade(bid.number, offer.number, taken, at, at))
        left[place] -= taken
        left[other_place] -= taken
        if not left[other_place]:
            heappop(standing)
