"""Bills, read from a state: lines by interval, totals, and the way of each line to its root.

A bill is worked out from what the chain keeps: the records of a page give the lines of its members,
and these the Merkle tree whose root is in the page's head.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from market.day.dates import days_of
from market.day.lines import Line
from market.day.records import DayMarket, read_version
from market.day.settlement_records import (
    CORRECTED,
    DONE,
    FIRST,
    Head,
    Record,
    Totals,
    decode_head,
    decode_page,
    decode_totals,
    head_key,
    page_key,
    read_settlement,
    totals_key,
)
from vm.overlay import StateReader
from vm.primitives.errors import InvariantViolation
from vm.primitives.merkle import MerkleProof, merkle_proof

PARTS: Final = (FIRST, CORRECTED)
PART_NAMES: Final = ("settled", "corrected")


class BillLine(NamedTuple):
    """A line of a member, and where it is proved."""

    interval: int
    """Delivery interval."""
    part: int
    """FIRST or CORRECTED."""
    page: int
    """Page of the part."""
    line: Line
    """The line."""


class ProvedLine(NamedTuple):
    """A line with its way to the root of its page."""

    item: bytes
    """What stands for the line in the tree."""
    path: MerkleProof
    """Its way to the root."""


def intervals_of_month(market: DayMarket, month: int) -> range:
    """Return the intervals of a local month, for example 202606."""
    year, number = divmod(month, 100)
    first = days_of(year, number, 1)
    after = days_of(year + number // 12, number % 12 + 1, 1)
    calendar = market.calendar
    return range(calendar.intervals_of(first).start, calendar.intervals_of(after).start)


def read_totals(state: StateReader, market: DayMarket, account: bytes, month: int) -> Totals:
    """Return a member's totals of a month."""
    return decode_totals(state.get(totals_key(market, account, month)))


def read_bill(
    state: StateReader, market: DayMarket, account: bytes, intervals: range
) -> Iterator[BillLine]:
    """Yield a member's lines of some intervals, in order, corrections after what they change."""
    for interval in intervals:
        for part in PARTS:
            found = find_record(state, market, interval, part, account)
            if found is not None:
                page, record = found
                for line in record.lines(read_version(state, market, interval), part):
                    yield BillLine(interval, part, page, line)


def find_record(
    state: StateReader, market: DayMarket, interval: int, part: int, account: bytes
) -> tuple[int, Record] | None:
    """Return a member's record in a part of a settlement with its page; None if it has none."""
    sums = read_settlement(state, market, interval, part)
    if sums is None or sums.stage != DONE:
        return None
    # Members are settled in the order of their accounts, so pages are too.
    low, high = 0, sums.pages
    while low < high:
        middle = (low + high) // 2
        if read_head(state, market, (interval, part, middle)).first <= account:
            low = middle + 1
        else:
            high = middle
    if not low:
        return None
    for record in read_records(state, market, (interval, part, low - 1)):
        if record.account == account:
            return low - 1, record
    return None


def read_head(state: StateReader, market: DayMarket, where: tuple[int, int, int]) -> Head:
    """Return the head of a page, named by interval, part and number."""
    data = state.get(head_key(market, *where))
    if data is None:
        raise InvariantViolation(f"interval {where[0]} lost the head of page {where[2]}")
    return decode_head(data)


def read_records(
    state: StateReader, market: DayMarket, where: tuple[int, int, int]
) -> list[Record]:
    """Return the records of a page, named by interval, part and number."""
    data = state.get(page_key(market, *where))
    if data is None:
        raise InvariantViolation(f"interval {where[0]} lost page {where[2]} of its lines")
    return decode_page(data)


def page_items(market: DayMarket, interval: int, part: int, records: list[Record]) -> list[bytes]:
    """Return what stands for the lines of a page in its Merkle tree."""
    return [
        line.item(market.name, interval, part, record.account)
        for record in records
        for line in record.lines(market, part)
    ]


def prove_lines(
    state: StateReader, market: DayMarket, where: tuple[int, int, int], account: bytes
) -> list[ProvedLine]:
    """Return a member's lines on a page, each with its way to the page's root."""
    interval, part, _ = where
    market = read_version(state, market, interval)
    records = read_records(state, market, where)
    items = page_items(market, interval, part, records)
    place = 0
    for record in records:
        count = len(record.lines(market, part))
        if record.account == account:
            return [
                ProvedLine(items[index], merkle_proof(items, index))
                for index in range(place, place + count)
            ]
        place += count
    return []


def parse_month(text: str) -> int | None:
    """Return a month of a text like 2026-06 as 202606; None for anything else."""
    year, mark, month = text.partition("-")
    if len(year) != 4 or len(month) != 2 or not mark or not (year + month).isascii():
        return None
    if not (year + month).isdigit() or not 1 <= int(month) <= 12:
        return None
    return int(year) * 100 + int(month)


def format_month(month: int) -> str:
    """Return a month as people write it."""
    return f"{month // 100:04}-{month % 100:02}"
