"""The two settlements of demand response, as pure functions over integers.

First settlement: bids and offers meet in a uniform-price auction at the price π. Where demand is
left over, the response price is π_DR = α π with α ≥ 1, not above the upstream price; without a π,
because nothing traded, it is the upstream price. Second settlement: who bought may give up energy,
d_DR = d − d_new, at least at a price of its own; who still wants energy, and would pay π_DR, gets
it. All trade at π_DR. Among all allocations that harm nobody it takes one of greatest welfare: the
bids' prices less the prices at which energy is given up. What then is left goes upstream; so demand
that is left over bids the upstream price.
"""

from __future__ import annotations

from collections.abc import Sequence

from market.auction.clearing import Clearing, conclude, pair_fills
from market.auction.crossing import PRO_RATA, TIME, fill_side
from market.auction.orders import Order, merit_order
from market.auction.uniform import clear_uniform
from vm.primitives.integers import divide_half_even

PERCENT = 100


def settle_first(orders: Sequence[Order]) -> Clearing:
    """Return the first settlement; its price is π."""
    return clear_uniform(orders)


def response_price_half_micro(
    price_half_micro: int | None, *, alpha_percent: int, upstream_price_micro: int
) -> int:
    """Return π_DR in half micro-tokens per kWh: one rational, rounded to nearest, half to even."""
    most = 2 * upstream_price_micro
    if price_half_micro is None:
        return most
    return min(most, divide_half_even(price_half_micro * alpha_percent, PERCENT))


def settle_second(wanted: Sequence[Order], given_up: Sequence[Order], price: int) -> Clearing:
    """Return the second settlement at π_DR = `price`, in half micro-tokens per kWh.

    `wanted` are bids with the energy that the first settlement left them, `given_up` offers of
    energy that their owners bought. The greatest volume trades: the dearest bids, the margin pro
    rata, with the cheapest offers, the margin by time.
    """
    bids, offers = merit_order(
        [
            *(order for order in wanted if 2 * order.price_micro_per_kwh >= price),
            *(order for order in given_up if 2 * order.price_micro_per_kwh <= price),
        ]
    )
    volume = min(
        sum([order.energy_milli_wh for order in bids]),
        sum([order.energy_milli_wh for order in offers]),
    )
    orders = (*wanted, *given_up)
    if not volume:
        return conclude(orders, ())
    trades = pair_fills(
        fill_side(bids, _last(bids, volume), volume, PRO_RATA),
        fill_side(offers, _last(offers, volume), volume, TIME),
        price,
        price,
    )
    return conclude(orders, trades, buyer_price=price, seller_price=price)


def _last(ranked: Sequence[Order], volume_milli_wh: int) -> int:
    """Return the place of the last order that a volume reaches by priority."""
    place = -1
    while volume_milli_wh > 0:
        place += 1
        volume_milli_wh -= ranked[place].energy_milli_wh
    return place
