"""Markets, offers, line loadings and pair limits as readers see them: from a state, without gas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from market.book import (
    BOOK_INDEX,
    ENTRY_BYTES,
    OFFERS,
    RANK_BYTES,
    SELLER_HEAD,
    TOP_HEAD,
    entry_offer_id,
    iterate_book,
    scan_after,
)
from market.network import line_capacity_milli_wh
from market.records import (
    LINE_FLOW,
    MARKET_INDEX,
    PAIR_LIMIT_INDEX,
    PAIR_LIMIT_SPACE,
    PAIR_USAGE,
    USAGE_SPACE,
    MarketConfig,
    bus_key,
    decode_bus,
    decode_line,
    decode_market,
    decode_offer,
    interval_prefix,
    line_key,
    market_key,
    offer_key,
)
from vm.overlay import StateReader
from vm.primitives.errors import InvalidInput, InvariantViolation

MAX_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class OfferView:
    """A standing offer."""

    offer_id: int
    """Its number."""
    interval: int
    """Delivery interval; 0 for none."""
    seller: bytes
    """Account of the seller, 20 bytes."""
    bus: str
    """Name of its bus; empty in a market without a network."""
    energy_milli_wh: int
    """Energy still on offer."""
    price_micro_per_kwh: int
    """Price without penalty."""
    sequence: int
    """Its place in time among offers of one price."""


@dataclass(frozen=True, slots=True)
class OfferPage:
    """Some offers, and where the next ones begin."""

    offers: tuple[OfferView, ...]
    """By interval, then price, then time."""
    after: str
    """What to ask for next as `after`; empty at the end."""


@dataclass(frozen=True, slots=True)
class LineView:
    """A line and its load in one interval."""

    name: str
    """Its name."""
    from_bus: str
    """Name of the bus at its beginning."""
    to_bus: str
    """Name of the bus at its end."""
    owner: bytes
    """Account of its owner; empty if that is the market's distribution company."""
    rating_w: int | None
    """Power it may carry; None for no limit."""
    capacity_milli_wh: int | None
    """Energy it may carry in the interval; None for no limit."""
    flow_milli_wh: int
    """Net energy traded over it, positive from `from_bus` to `to_bus`."""


@dataclass(frozen=True, slots=True)
class PairView:
    """Two members with a limit of their own, and what they traded in one interval."""

    first: bytes
    """Account with the smaller id."""
    second: bytes
    """The other account."""
    limit_milli_wh: int
    """What they may trade in an interval."""
    traded_milli_wh: int
    """What they have traded in this one."""


def list_markets(state: StateReader) -> tuple[MarketConfig, ...]:
    """Return all markets in the order of genesis."""
    names = [name for _, name in state.scan(MARKET_INDEX, MARKET_INDEX + b"\xff" * 3)]
    return tuple(find_market(state, name.decode()) for name in names)


def find_market(state: StateReader, name: str) -> MarketConfig:
    """Return the market called `name`; raises InvalidInput `unknown_market`."""
    data = state.get(market_key(name))
    if data is None:
        raise InvalidInput("there is no such market", code="unknown_market", actual=name[:64])
    return decode_market(data)


def find_offer(state: StateReader, offer_id: int) -> OfferView | None:
    """Return a standing offer; None if there is none of this number."""
    data = state.get(offer_key(offer_id))
    if data is None:
        return None
    offer = decode_offer(data)
    bus = _bus_name(state, offer.market.to_bytes(2, "big"), offer.bus) if offer.bus else ""
    return OfferView(
        offer_id,
        offer.interval,
        offer.seller,
        bus,
        offer.energy_milli_wh,
        offer.price_micro_per_kwh,
        offer.sequence,
    )


def list_offers(
    state: StateReader,
    market: str,
    *,
    interval: int | None = None,
    seller: bytes | None = None,
    limit: int = 100,
    after: str = "",
) -> OfferPage:
    """Return a page of a market's standing offers by interval, price and time.

    `after` is what the page before gave. Raises InvalidInput `unknown_market`, `invalid_page`.
    """
    config = find_market(state, market)
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput(
            "no such page length", code="invalid_page", expected=f"1 to {MAX_PAGE}", actual=limit
        )
    start = _decode_cursor(after)
    intervals = _intervals(state, config, start[0]) if interval is None else iter((interval,))
    found: list[OfferView] = []
    for number in intervals:
        for entry in _entries(state, config, number, seller):
            if (number, entry[:RANK_BYTES]) <= start:
                continue
            if len(found) == limit:
                last = found[-1]
                cursor = f"{last.interval}-{last.price_micro_per_kwh}-{last.sequence}"
                return OfferPage(tuple(found), cursor)
            offer = find_offer(state, entry_offer_id(entry))
            if offer is None:
                raise InvariantViolation(f"the book holds offer {entry.hex()}, which is gone")
            found.append(offer)
    return OfferPage(tuple(found), "")


def list_lines(state: StateReader, market: str, interval: int) -> tuple[LineView, ...]:
    """Return all lines of a market's network with their loads in `interval` (0 for none)."""
    config = find_market(state, market)
    prefix = config.prefix
    group = interval_prefix(prefix, interval)
    found = []
    for number in range(1, config.lines + 1):
        data = state.get(line_key(prefix, number))
        if data is None:
            raise InvariantViolation(f"market {market!r} lost line {number}")
        line = decode_line(data)
        flow = state.get(USAGE_SPACE + group + LINE_FLOW + number.to_bytes(4, "big")) or b""
        capacity = (
            None
            if line.rating_w is None
            else line_capacity_milli_wh(line.rating_w, config.interval_minutes)
        )
        found.append(
            LineView(
                line.name,
                _bus_name(state, prefix, line.from_bus),
                _bus_name(state, prefix, line.to_bus),
                line.owner,
                line.rating_w,
                capacity,
                int.from_bytes(flow, "big", signed=True),
            )
        )
    return tuple(found)


def list_pair_limits(state: StateReader, market: str, interval: int) -> tuple[PairView, ...]:
    """Return the pairs of members with a limit of their own, and what they traded."""
    prefix = find_market(state, market).prefix
    start = PAIR_LIMIT_INDEX + prefix
    found = []
    for key, _ in state.scan(start, start + b"\xff" * 41):
        pair = key[len(start) :]
        limit = state.get(PAIR_LIMIT_SPACE + prefix + pair) or b""
        usage = USAGE_SPACE + interval_prefix(prefix, interval) + PAIR_USAGE + pair
        found.append(
            PairView(
                pair[:20],
                pair[20:],
                int.from_bytes(limit, "big"),
                int.from_bytes(state.get(usage) or b"", "big"),
            )
        )
    return tuple(found)


def _entries(
    state: StateReader, config: MarketConfig, interval: int, seller: bytes | None
) -> Iterator[bytes]:
    group = interval_prefix(config.prefix, interval)
    if seller is None:
        return iterate_book(state, group, networked=config.buses > 0)
    book = BOOK_INDEX + group
    found: list[bytes] = []
    # A seller has one head for each bus where its offers stand.
    for key, head in state.scan(book + SELLER_HEAD, book + TOP_HEAD):
        if key[-len(seller) :] == seller:
            found.append(head[:ENTRY_BYTES])
            rest = book + OFFERS + key[len(book) + 1 :]
            found += [key[-RANK_BYTES:] + value for key, value in scan_after(state, rest, head)]
    return iter(sorted(found))


def _intervals(state: StateReader, config: MarketConfig, start: int) -> Iterator[int]:
    """Yield the intervals, from `start` on, in which offers stand."""
    book = BOOK_INDEX + config.prefix
    interval = max(start, 0)
    while True:
        first = book + interval.to_bytes(8, "big")
        key, _ = next(state.scan(first, book + b"\xff" * 9), (b"", b""))
        if not key:
            return
        interval = int.from_bytes(key[len(book) : len(book) + 8], "big")
        yield interval
        interval += 1


def _decode_cursor(after: str) -> tuple[int, bytes]:
    parts = after.split("-")
    if not after:
        return -1, b""
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise InvalidInput("not a page's end", code="invalid_page", actual=after[:64])
    numbers = [int(part) for part in parts if len(part) <= 19]
    if len(numbers) != 3 or max(numbers) >= 2**63:
        raise InvalidInput("not a page's end", code="invalid_page", actual=after[:64])
    interval, price, sequence = numbers
    return interval, price.to_bytes(8, "big") + sequence.to_bytes(8, "big")


def _bus_name(state: StateReader, prefix: bytes, number: int) -> str:
    data = state.get(bus_key(prefix, number))
    if data is None:
        raise InvariantViolation(f"a market lost bus {number}")
    return decode_bus(data).name
