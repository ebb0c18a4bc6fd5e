"""What gates cleared, as the state holds it for a while: volume, prices, those of the buses.

Results of a market lie in a ring of MAX_RESULTS places, by interval, each gate apart: nobody has to
clear them up. They are what the event `clear` tells of all members together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Final, NamedTuple

from market.auction.clearing import HALF_PRICES_PER_AMOUNT, Clearing
from market.auction.orders import BUY, Order
from market.auction.zones import ZonalClearing
from market.day.records import BUS_PRICE_SPACE, RESULT_SPACE, DayMarket, open_leaf
from vm.context import CallContext
from vm.primitives.codec import encode_trusted
from vm.primitives.integers import MAX_AMOUNT

RESULT_TYPE: Final = 137
BUS_PRICES_TYPE: Final = 138
VERSION: Final = 1
MAX_RESULTS: Final = 1_024
"""Intervals of which results are kept: ten days of quarters of an hour, those to come included."""
BUSES_OF_PAGE: Final = 32
"""Buses whose prices are one leaf, within what a proof may take."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a gate cleared of an interval."""

    interval: int
    """The delivery interval."""
    volume_milli_wh: int
    """Energy traded."""
    paid_micro: int
    """What that comes to at the buyers' prices, rounded down; at most MAX_AMOUNT."""
    buyer_price_half_micro_per_kwh: int | None
    """What buyers pay; None where nothing traded, each pair has its own, or each bus."""
    seller_price_half_micro_per_kwh: int | None
    """What sellers get; None in the same cases."""


class BusPrices(NamedTuple):
    """What a gate cleared at, at some buses of the feeder."""

    interval: int
    """The delivery interval."""
    prices_half_micro_per_kwh: tuple[int | None, ...]
    """Price at each; None where nothing traded in its zone."""


def save_result(
    ctx: CallContext,
    market: DayMarket,
    interval: int,
    gate: int,
    steps: Sequence[Order],
    clearing: Clearing | ZonalClearing,
) -> None:
    """Write what a gate cleared, in place of an interval that is long past."""
    bids = {step.number: True for step in steps if step.side == BUY}
    paid = sum([award.value for award in clearing.awards if award.number in bids])
    prices: tuple[int | None, int | None] = (None, None)
    if isinstance(clearing, Clearing):
        prices = (
            clearing.buyer_price_half_micro_per_kwh,
            clearing.seller_price_half_micro_per_kwh,
        )
    else:
        _save_bus_prices(ctx, market, interval, gate, clearing.prices_half_micro_per_kwh)
    # All the money there is may be more than one account, and a number of a leaf, can hold.
    paid_micro = min(paid // HALF_PRICES_PER_AMOUNT, MAX_AMOUNT)
    result = GateResult(interval, clearing.volume_milli_wh, paid_micro, *prices)
    data = encode_trusted((RESULT_TYPE, VERSION, *astuple(result)))
    ctx.put(RESULT_SPACE + _place(market, interval, gate), data)


def load_result(ctx: CallContext, market: DayMarket, interval: int, gate: int) -> GateResult | None:
    """Return what a gate cleared; None if it has not, had nothing to, or that is forgotten."""
    data = ctx.get(RESULT_SPACE + _place(market, interval, gate))
    if data is None:
        return None
    found = GateResult(*open_leaf(data, RESULT_TYPE, 5))  # type: ignore[arg-type]
    return found if found.interval == interval else None


def load_bus_price(
    ctx: CallContext, market: DayMarket, interval: int, gate: int, number: int
) -> int | None:
    """Return the price at a bus with a number from 1, half micro-tokens per kWh.

    None where nothing traded in its zone, or there is no result.
    """
    page, place = divmod(number - 1, BUSES_OF_PAGE)
    data = ctx.get(_page_key(market, interval, gate, page))
    if data is None:
        return None
    found = BusPrices(*open_leaf(data, BUS_PRICES_TYPE, 2))  # type: ignore[arg-type]
    return found.prices_half_micro_per_kwh[place] if found.interval == interval else None


def _save_bus_prices(
    ctx: CallContext,
    market: DayMarket,
    interval: int,
    gate: int,
    prices: Sequence[int | None],
) -> None:
    for page, first in enumerate(range(0, len(prices), BUSES_OF_PAGE)):
        found = BusPrices(interval, tuple(prices[first : first + BUSES_OF_PAGE]))
        data = encode_trusted((BUS_PRICES_TYPE, VERSION, *found))
        ctx.put(_page_key(market, interval, gate, page), data)


def _place(market: DayMarket, interval: int, gate: int) -> bytes:
    place = interval % MAX_RESULTS
    return market.number.to_bytes(2, "big") + place.to_bytes(2, "big") + gate.to_bytes(1, "big")


def _page_key(market: DayMarket, interval: int, gate: int, page: int) -> bytes:
    return BUS_PRICE_SPACE + _place(market, interval, gate) + page.to_bytes(1, "big")
