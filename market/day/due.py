"""What happens in a day market by itself, and when."""

from __future__ import annotations

from typing import Final

from market.day.records import CORRECTED_SPACE, CURSOR_SPACE, DayMarket
from market.meters.records import load_terms
from vm.context import CallContext
from vm.primitives.codec import encode_trusted

CLEARING: Final = 0
AWARDS: Final = 1
SETTLEMENT: Final = 2
CORRECTION: Final = 3
"""What is scheduled: `[one of these, market, interval, gate or 0, page or 0]`."""


def schedule(
    ctx: CallContext,
    due_ms: int,
    kind: int,
    market: DayMarket,
    interval: int,
    gate: int = 0,
    page: int = 0,
) -> None:
    """Have something of a market's interval done from a time on."""
    ctx.schedule(due_ms, encode_trusted((kind, market.name, interval, gate, page)))


def start_settling(ctx: CallContext, market: DayMarket, interval: int) -> None:
    """Have intervals settled one after the other from one on, unless they are already."""
    key = CURSOR_SPACE + market.number.to_bytes(2, "big")
    if ctx.get(key) is None:
        ctx.put(key, interval.to_bytes(8, "big"))
        schedule(ctx, load_terms(ctx).deadline_ms(interval), SETTLEMENT, market, interval)


def next_to_settle(ctx: CallContext, market: DayMarket) -> int | None:
    """Return the first interval that is not settled; None where settling has not begun."""
    data = ctx.get(CURSOR_SPACE + market.number.to_bytes(2, "big"))
    return None if data is None else int.from_bytes(data, "big")


def next_to_correct(ctx: CallContext, market: DayMarket) -> int:
    """Return the first interval of which the correction is not done; 0 before the first is."""
    data = ctx.get(CORRECTED_SPACE + market.number.to_bytes(2, "big"))
    return 0 if data is None else int.from_bytes(data, "big")


def save_next_to_correct(ctx: CallContext, market: DayMarket, interval: int) -> None:
    """Remember the first interval of which the correction is not done."""
    key = CORRECTED_SPACE + market.number.to_bytes(2, "big")
    ctx.put(key, interval.to_bytes(8, "big"))


def settle_next(ctx: CallContext, market: DayMarket, interval: int) -> None:
    """Have an interval corrected when its readings are final, and the one after it settled."""
    following = interval + 1
    key = CURSOR_SPACE + market.number.to_bytes(2, "big")
    ctx.put(key, following.to_bytes(8, "big"))
    terms = load_terms(ctx)
    schedule(ctx, terms.correction_ms(interval), CORRECTION, market, interval)
    schedule(ctx, terms.deadline_ms(following), SETTLEMENT, market, following)
