"""What the books of all call auctions share: clearing by mechanism or feeder, and the seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from market.auction.clearing import Award, Clearing
from market.auction.huang import clear_huang
from market.auction.orders import Order
from market.auction.pay_as_bid import clear_pay_as_bid
from market.auction.records import HUANG, MIDPOINT, PAY_AS_BID
from market.auction.uniform import clear_midpoint, clear_uniform
from market.auction.zones import ZonalClearing, clear_zones
from market.network import Network
from vm.context import CallContext
from vm.primitives.codec import Encodable, encode_trusted
from vm.primitives.hashing import TAG_AUCTION_ROUND, tagged_hash
from vm.system.members import load_member


def clear_by(mechanism: int, rationing: int, orders: Sequence[Order], seed: bytes) -> Clearing:
    """Clear a book by its mechanism; `seed` is that of the round."""
    if mechanism == HUANG:
        return clear_huang(orders, seed)
    if mechanism == PAY_AS_BID:
        return clear_pay_as_bid(orders)
    if mechanism == MIDPOINT:
        return clear_midpoint(orders, rationing=rationing)
    return clear_uniform(orders, rationing=rationing)


def clear_over_feeder(
    ctx: CallContext,
    network: Network,
    orders: Sequence[Order],
    interval_minutes: int,
    carried_milli_wh: Sequence[int] = (),
) -> ZonalClearing:
    """Clear a book over a market's feeder, whose lines may carry earlier trades.

    The orders of who is at no bus of it any more trade nothing.
    """
    buses = dict.fromkeys([bus.name for bus in network.buses])
    places = {
        owner: load_member(ctx, owner).bus
        for owner in dict.fromkeys([order.owner for order in orders])
    }
    connected = [order for order in orders if places[order.owner] in buses]
    found = clear_zones(
        connected,
        {order.number: places[order.owner] for order in connected},
        network,
        interval_minutes=interval_minutes,
        carried_milli_wh=carried_milli_wh,
    )
    away = [
        Award(order.number, 0, order.energy_milli_wh, 0, 0)
        for order in orders
        if places[order.owner] not in buses
    ]
    return replace(found, awards=(*found.awards, *away))


def tell_places(
    ctx: CallContext, network: Network, clearing: ZonalClearing, head: tuple[Encodable, ...]
) -> None:
    """Tell the price of each bus and the flow of each line, as events that begin with `head`."""
    for bus, price in zip(network.buses, clearing.prices_half_micro_per_kwh, strict=True):
        if price is not None:
            ctx.emit("price", *head, bus.name, price)
    for line, flow in zip(network.lines, clearing.flows_milli_wh, strict=True):
        if flow:
            ctx.emit("flow", *head, line.name, flow)


def next_seed(seed: bytes, number: int, data: bytes) -> bytes:
    """Return the seed after an opening or a forfeit.

    It is the same in whatever order they come: who opens last must not choose it by their order.
    """
    added = tagged_hash(TAG_AUCTION_ROUND, encode_trusted((number, data)))
    return bytes([old ^ new for old, new in zip(seed, added, strict=True)])
