"""What bills follow from is forgotten, page by page, once it is kept no longer.

How far that has come is a leaf of its own. So a vote that shortens the time leaves nothing behind,
and of an interval with more pages than a step deletes, the rest goes with the next one.
"""

from __future__ import annotations

from typing import Final

from market.day.records import DayMarket
from market.day.settlement_records import (
    CORRECTED,
    FIRST,
    head_key,
    load_settlement,
    page_key,
    settlement_key,
)
from vm.context import CallContext

FORGOTTEN_SPACE: Final = b"Df"
GAS_TO_KEEP: Final = 2_000
"""What a step leaves unused at the least: remembering how far it has come takes that."""
GAS_OF_PAGE: Final = 400
"""Most that deleting a page takes, or going on to another part."""


def forget_until(ctx: CallContext, market: DayMarket, interval: int, *, first: int) -> None:
    """Delete pages and sums of intervals before one, as far as gas goes; totals of months stay.

    `first` is the market's first interval, where to begin the first time.
    """
    key = FORGOTTEN_SPACE + market.number.to_bytes(2, "big")
    data = ctx.get(key)
    known = (first, FIRST, 0) if data is None else _decode(data)
    place = known
    while place[0] < interval and ctx.gas_limit - ctx.gas_used > GAS_TO_KEEP + GAS_OF_PAGE:
        place = _forget_page(ctx, market, place)
    if place != known or data is None:
        ctx.put(key, _encode(place))


def _forget_page(
    ctx: CallContext, market: DayMarket, place: tuple[int, int, int]
) -> tuple[int, int, int]:
    """Delete a page, or the sums after the last one; return what is to be deleted next."""
    interval, part, page = place
    found = load_settlement(ctx, market, interval, part)
    if found is not None and page < found.pages:
        ctx.delete(head_key(market, interval, part, page))
        ctx.delete(page_key(market, interval, part, page))
        return interval, part, page + 1
    if found is not None:
        ctx.delete(settlement_key(market, interval, part))
    return (interval, CORRECTED, 0) if part == FIRST else (interval + 1, FIRST, 0)


def _encode(place: tuple[int, int, int]) -> bytes:
    return place[0].to_bytes(8, "big") + place[1].to_bytes(1, "big") + place[2].to_bytes(2, "big")


def _decode(data: bytes) -> tuple[int, int, int]:
    return int.from_bytes(data[:8], "big"), data[8], int.from_bytes(data[9:], "big")
