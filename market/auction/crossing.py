"""The crossing of demand and supply in merit order, and who trades at the margin.

The volume is the greatest at which the dearest bids meet the cheapest offers with no bid below its
offer; at equal prices they still trade.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from market.auction.clearing import Fill
from market.auction.orders import Order

PRO_RATA: Final = 0
TIME: Final = 1
RATIONING_NAMES: Final = ("pro_rata", "time")
"""How orders at the marginal price share what is left for them."""


class Crossing(NamedTuple):
    """Where demand and supply meet."""

    volume_milli_wh: int
    """Energy that trades."""
    last_bid: int
    """Place of the last bid that trades."""
    last_offer: int
    """Place of the last offer that trades."""
    next_bid: int
    """Place of the first bid with energy left; the number of bids if none has."""
    next_offer: int
    """Place of the first offer with energy left; the number of offers if none has."""


def find_crossing(bids: Sequence[Order], offers: Sequence[Order]) -> Crossing | None:
    """Return the crossing of bids and offers in merit order; None if nothing can trade."""
    bid_count, offer_count = len(bids), len(offers)
    i = j = volume = wanted = offered = 0
    last_bid = last_offer = -1
    while i < bid_count and j < offer_count:
        bid, offer = bids[i], offers[j]
        if bid.price_micro_per_kwh < offer.price_micro_per_kwh:
            break
        wanted = wanted or bid.energy_milli_wh
        offered = offered or offer.energy_milli_wh
        taken = wanted if wanted < offered else offered
        volume += taken
        wanted -= taken
        offered -= taken
        last_bid, last_offer = i, j
        if not wanted:
            i += 1
        if not offered:
            j += 1
    return Crossing(volume, last_bid, last_offer, i, j) if volume else None


def fill_side(
    ranked: Sequence[Order], last: int, volume_milli_wh: int, rationing: int
) -> list[Fill]:
    """Return what each order of a side trades, in merit order, when the side trades `volume`.

    `last` is the place of its last order that trades by time priority. All orders before the
    marginal price level trade in full. The level shares the rest by time, or pro rata: each gets
    the rounded-down part in proportion to its energy, and the milliwatt-hours that are left over go
    one each to the first in time.
    """
    marginal = ranked[last].price_micro_per_kwh
    first = last
    while first and ranked[first - 1].price_micro_per_kwh == marginal:
        first -= 1
    energies = [order.energy_milli_wh for order in ranked[:first]]
    left = volume_milli_wh - sum(energies)
    fills = list(zip(ranked, energies, strict=False))
    level: list[Order] = []
    for place in range(first, len(ranked)):
        if ranked[place].price_micro_per_kwh != marginal:
            break
        level.append(ranked[place])
    shares = (
        share_pro_rata([order.energy_milli_wh for order in level], left)
        if rationing == PRO_RATA
        else share_in_order([order.energy_milli_wh for order in level], left)
    )
    fills += zip(level, shares, strict=True)
    return fills


def share_pro_rata(wanted: Sequence[int], total: int) -> list[int]:
    """Return parts of `total` in proportion to what each wants, none more than that.

    Each is rounded down; the units left over go one each to the first. `total` is at most the sum.
    """
    demand = sum(wanted)
    if total >= demand:
        return list(wanted)
    shares = [each * total // demand for each in wanted]
    # A share is below what is wanted, so that a unit more always fits.
    for place in range(total - sum(shares)):
        shares[place] += 1
    return shares


def share_in_order(wanted: Sequence[int], total: int) -> list[int]:
    """Return parts of `total`, the first served first."""
    shares: list[int] = []
    for each in wanted:
        share = each if each < total else total
        shares.append(share)
        total -= share
    return shares
