"""The strategy-proof multi-unit double auction of Huang, Scheller-Wolf and Sycara.

Source: P. Huang, A. Scheller-Wolf, K. Sycara, "Design of a Multi-unit Double Auction E-market",
Computational Intelligence 18(4), 2002, pp. 596-617. Its rules, and where they are here:

1. Each trader states one price and one quantity. `_traders`: all orders of an owner are one trader
   with the sum of their energy and the least favourable of their prices, and no owner stands on
   both sides; so splitting an order, or adding shills, is a statement of one price and one quantity
   like any other.
2. Buyers are ranked by falling, sellers by rising price: b1 ≥ b2 ≥ …, s1 ≤ s2 ≤ … `merit_order`.
   Equal prices are never merged into one step; they go by a rank that no price moves, and no trader
   can choose: the hash of the round's seed and the owner.
3. L and K are the last buyer and the last seller of the efficient trade. `find_crossing`.
4. Buyers 1 … L−1 and sellers 1 … K−1 trade; L and K set the prices and trade nothing. Buyers pay
   b_L, sellers get s_K; b_L ≥ s_K, and the difference is the market's. `clear_ranked`.
5. The short side trades all of its quantity. The long side bears the excess in equal parts; who
   stated less than a part trades nothing, and the others bear what is then missing (the paper's
   footnote to this rule). `bear_excess`.

In whole milliwatt-hours an equal part is rounded down, and the units left over are borne one each
by the last in rank. Neither depends on a price. A trader's price therefore decides only whether it
is before the margin, never what it pays or trades there: no other price than its own value serves
it better.
"""

from __future__ import annotations

from collections.abc import Sequence

from market.auction.clearing import Clearing, Fill, conclude, pair_fills
from market.auction.crossing import find_crossing
from market.auction.orders import Order, merit_order, order_by_price
from vm.primitives.codec import encode_trusted
from vm.primitives.errors import CallError
from vm.primitives.hashing import TAG_AUCTION_RANK, tagged_hash


def clear_huang(orders: Sequence[Order], seed: bytes) -> Clearing:
    """Clear a book whose round ended with `seed`; raises CallError `both_sides`.

    The priorities of the orders decide only which of an owner's own orders is filled first.
    """
    several = _owners_of_several(orders)
    traders = _traders(orders, several) if several else orders
    ranks = {order.number: rank_of(seed, order.owner) for order in traders}
    bids, offers, prices = clear_ranked(sorted(traders, key=lambda order: ranks[order.number]))
    trades = pair_fills(_spread(bids, several), _spread(offers, several), *prices)
    if not trades:
        return conclude(orders, ())
    return conclude(orders, trades, buyer_price=prices[0], seller_price=prices[1])


def clear_ranked(traders: Sequence[Order]) -> tuple[list[Fill], list[Fill], tuple[int, int]]:
    """Return what buyers and sellers trade, and the two prices in half micro-tokens per kWh.

    One order per trader, listed by the ranks of rule 2.
    """
    bids, offers = order_by_price(traders)
    crossing = find_crossing(bids, offers)
    if crossing is None:
        return [], [], (0, 0)
    prices = (
        2 * bids[crossing.last_bid].price_micro_per_kwh,
        2 * offers[crossing.last_offer].price_micro_per_kwh,
    )
    buyers, sellers = bids[: crossing.last_bid], offers[: crossing.last_offer]
    wanted = [order.energy_milli_wh for order in buyers]
    offered = [order.energy_milli_wh for order in sellers]
    excess = sum(wanted) - sum(offered)
    if excess:
        ranks = {order.number: rank for rank, order in enumerate(traders)}
        if excess > 0:
            wanted = bear_excess(wanted, excess, [ranks[order.number] for order in buyers])
        else:
            offered = bear_excess(offered, -excess, [ranks[order.number] for order in sellers])
    return (
        list(zip(buyers, wanted, strict=True)),
        list(zip(sellers, offered, strict=True)),
        prices,
    )


def bear_excess(stated: Sequence[int], excess: int, ranks: Sequence[int]) -> list[int]:
    """Return each stated energy less its equal part of the excess (rule 5), milliwatt-hours.

    The excess is at most the sum of all energy.
    """
    energies = list(stated)
    places = sorted(range(len(energies)), key=energies.__getitem__)
    left, bearers = excess, len(places)
    for place in places:
        if energies[place] * bearers > left:
            break
        left -= energies[place]
        energies[place] = 0
        bearers -= 1
    if not left:
        return energies
    bearing = places[len(places) - bearers :]
    bearing.sort(key=ranks.__getitem__, reverse=True)
    part, units = divmod(left, bearers)
    for rank, place in enumerate(bearing):
        energies[place] -= part + (rank < units)
    return energies


def rank_of(seed: bytes, owner: bytes) -> int:
    """Return an owner's rank among equal prices in a round; lower goes first."""
    return int.from_bytes(tagged_hash(TAG_AUCTION_RANK, encode_trusted((seed, owner))), "big")


def _owners_of_several(orders: Sequence[Order]) -> dict[bytes, list[Order]]:
    """Return the orders of those who have more than one, best first; raises CallError."""
    first: dict[bytes, Order] = {}
    several: dict[bytes, list[Order]] = {}
    for order in orders:
        owner = order.owner
        known = first.setdefault(owner, order)
        if known is order:
            continue
        if known.side != order.side:
            raise CallError(
                "both_sides",
                "an owner buys and sells in the same round",
                actual=owner,
                hint="In this auction a member stands on one side of an interval.",
            )
        several.setdefault(owner, [known]).append(order)
    return {
        owner: [order for side in merit_order(steps) for order in side]
        for owner, steps in several.items()
    }


def _traders(orders: Sequence[Order], several: dict[bytes, list[Order]]) -> list[Order]:
    """Return one order for each owner (rule 1)."""
    traders: list[Order] = []
    for order in orders:
        steps = several.get(order.owner)
        if steps is None:
            traders.append(order)
        elif order.number == steps[0].number:
            energy = sum([step.energy_milli_wh for step in steps])
            # The last step is the lowest bid, or the highest offer.
            price = steps[-1].price_micro_per_kwh
            traders.append(order._replace(energy_milli_wh=energy, price_micro_per_kwh=price))
    return traders


def _spread(fills: Sequence[Fill], several: dict[bytes, list[Order]]) -> Sequence[Fill]:
    """Return what each order trades of what its owner trades, the best first."""
    if not several:
        return fills
    spread: list[Fill] = []
    for trader, left in fills:
        for order in several.get(trader.owner, (trader,)):
            taken = min(left, order.energy_milli_wh)
            if taken:
                spread.append((order, taken))
                left -= taken
    return spread
