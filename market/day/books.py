"""The book of an interval: how much stands in it, how much may, and which gate clears it next.

A gate clears a book whole, as one thing due, and what that may use is bounded. So a book takes no
more than is certain to clear: the gas of a clearing is what positions, orders and steps of the
greatest size would cost.
"""

from __future__ import annotations

from typing import Final

from market.day.due import CLEARING, schedule
from market.day.records import (
    BOOK_SPACE,
    NO_GATE,
    Book,
    DayMarket,
    decode_leaf,
    encode_leaf,
)
from vm.context import CallContext
from vm.overlay import StateReader
from vm.primitives.hashing import EMPTY_HASH

FULL_BOOK_GAS: Final = 1_980_000
"""Most that clearing a book may cost: a little less than one thing due has."""
_BOOK_GAS: Final = 120_000
"""Most that is read, written and told of a book itself, and that writing 300 awards down costs."""
_FEEDER_GAS: Final = 300_000
"""What a feeder of 100 buses adds."""
_POSITION_GAS: Final = 100
"""Most that finding, reading and keeping a position costs, its orders not counted."""
_PLACE_GAS: Final = 40
"""Most that finding its member's bus costs."""
_ORDER_GAS: Final = 75
"""Most that keeping what an order came to costs, its steps not counted."""
_STEP_GAS: Final = 65
"""Most that clearing a step and keeping what it came to costs."""


def clearing_gas(positions: int, orders: int, steps: int, *, over_feeder: bool) -> int:
    """Return the most that clearing a book of so much may cost."""
    each = _POSITION_GAS + _PLACE_GAS if over_feeder else _POSITION_GAS
    rest = _BOOK_GAS + _FEEDER_GAS if over_feeder else _BOOK_GAS
    return rest + positions * each + orders * _ORDER_GAS + steps * _STEP_GAS


def load_book(ctx: CallContext, prefix: bytes) -> Book:
    """Return the book of an interval, an empty one if there is none."""
    data = ctx.get(BOOK_SPACE + prefix)
    return Book(0, 0, 0, 0, EMPTY_HASH, NO_GATE, 0) if data is None else decode_leaf(Book, data)


def save_book(ctx: CallContext, prefix: bytes, book: Book) -> None:
    """Write the book of an interval."""
    ctx.put(BOOK_SPACE + prefix, encode_leaf(book))


def schedule_gate(
    ctx: CallContext, market: DayMarket, interval: int, book: Book, gate: int
) -> None:
    """Have a book cleared at a gate, unless it waits for one already."""
    if book.gate != NO_GATE:
        return
    book.gate = gate
    due_ms = market.calendar.windows(interval)[gate].clears_ms
    schedule(ctx, due_ms, CLEARING, market, interval, gate)


def read_book(state: StateReader, market: DayMarket, interval: int) -> Book:
    """Return the book of an interval without gas, for readers; an empty one if there is none."""
    data = state.get(BOOK_SPACE + market.prefix(interval))
    return Book(0, 0, 0, 0, EMPTY_HASH, NO_GATE, 0) if data is None else decode_leaf(Book, data)
