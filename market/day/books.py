"""The book of an interval: how much stands in it, and which gate clears it next."""

from __future__ import annotations

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


def load_book(ctx: CallContext, prefix: bytes) -> Book:
    """Return the book of an interval, an empty one if there is none."""
    data = ctx.get(BOOK_SPACE + prefix)
    return Book(0, 0, 0, EMPTY_HASH, NO_GATE, 0) if data is None else decode_leaf(Book, data)


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
    return Book(0, 0, 0, EMPTY_HASH, NO_GATE, 0) if data is None else decode_leaf(Book, data)
