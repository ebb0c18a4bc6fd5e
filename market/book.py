"""The order book: standing offers in a nested order, in which a whole seller or bus is one entry.

It has three levels. A seller's offers at one bus, the sellers at one bus, and the buses of one
market and interval are each kept as a *head* (the best item) under a key of its own and the *rest*
in order of price and time; only the head takes part in the level above. So a buyer who cannot use
a seller, or a whole bus, passes over all of its offers in one step, and posting or removing an
offer writes a number of entries that does not depend on how many stand in the book.

All entries are index entries: they follow from the offers' leaves and are not authenticated. With
G = market (2 bytes) and interval (8), rank = price (8) and sequence (8), item = offer id (8),
seller (20) and bus (4):

    io G 0 bus seller rank -> item    other offers of a seller at a bus
    io G 1 bus rank        -> item    other sellers' best offers at a bus
    io G 2 bus             -> rank item         best offer at a bus
    io G 3 rank            -> item    other buses' best offers
    io G 4 bus seller      -> rank item count   best offer of a seller at a bus, and how many
    io G 5                 -> rank item         best offer of all (markets with a network)

    ic M seller            -> count    standing offers of a seller in a market, all intervals

with M = market (2 bytes). The first three hold every standing offer exactly once. A scan for the
next best starts behind the rank that was best, never at the list's beginning, where entries removed
in the same block would have to be passed over again and again.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final, NamedTuple, Protocol

from market.records import Offer, interval_prefix
from vm.overlay import INDEX_SPACE
from vm.primitives.errors import CallError, InvariantViolation

BOOK_INDEX: Final = INDEX_SPACE + b"o"
OFFERS: Final = b"\x00"
SELLERS: Final = b"\x01"
BUS_HEAD: Final = b"\x02"
BUSES: Final = b"\x03"
SELLER_HEAD: Final = b"\x04"
TOP_HEAD: Final = b"\x05"

COUNT_INDEX: Final = INDEX_SPACE + b"c"

RANK_BYTES: Final = 16
ENTRY_BYTES: Final = 48
"""Rank and item together."""
COUNT_BYTES: Final = 4
NO_CAP: Final = 2**32 - 1
"""Where an index is built again, every offer that stands has its place."""


class IndexReader(Protocol):
    """What reading a book needs: a call's context, or a state."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) ascending in [start, end)."""


class IndexWriter(IndexReader, Protocol):
    """What changing a book needs: a call's context."""

    def first(self, start: bytes, end: bytes) -> tuple[bytes, bytes] | None:
        """Return the first (key, value) in [start, end)."""

    def put(self, key: bytes, value: bytes) -> None:
        """Set `key` to `value`."""

    def delete(self, key: bytes) -> None:
        """Delete `key`."""


class BookPlace(NamedTuple):
    """Where a seller's offers stand: the keys of the three levels."""

    offers: bytes
    """Prefix of the seller's other offers."""
    seller_head: bytes
    """Key of the seller's best offer."""
    sellers: bytes
    """Prefix of the bus's other sellers."""
    bus_head: bytes
    """Key of the bus's best offer."""
    buses: bytes
    """Prefix of the other buses; empty in a market without a network."""
    top_head: bytes
    """Key of the best offer of all; empty in a market without a network."""
    offer_count: bytes
    """Key of the number of the seller's offers in the market."""


def book_place(group: bytes, bus: int, seller: bytes) -> BookPlace:
    """Return the keys for the offers of `seller` at `bus`, 0 in a market without a network.

    `group` is market and interval, 10 bytes.
    """
    book = BOOK_INDEX + group
    place = bus.to_bytes(4, "big")
    return BookPlace(
        book + OFFERS + place + seller,
        book + SELLER_HEAD + place + seller,
        book + SELLERS + place,
        book + BUS_HEAD + place,
        book + BUSES if bus else b"",
        book + TOP_HEAD if bus else b"",
        COUNT_INDEX + group[:2] + seller,
    )


def best_key(group: bytes, *, networked: bool) -> bytes:
    """Return the key under which the best offer of a book stands."""
    book = BOOK_INDEX + group
    return book + TOP_HEAD if networked else book + BUS_HEAD + bytes(4)


def book_entry(price: int, sequence: int, offer_id: int, seller: bytes, bus: int) -> bytes:
    """Return rank and item of an offer, 48 bytes."""
    return (
        price.to_bytes(8, "big")
        + sequence.to_bytes(8, "big")
        + offer_id.to_bytes(8, "big")
        + seller
        + bus.to_bytes(4, "big")
    )


def offer_place(offer: Offer) -> BookPlace:
    """Return where an offer stands."""
    group = interval_prefix(offer.market.to_bytes(2, "big"), offer.interval)
    return book_place(group, offer.bus, offer.seller)


def offer_entry(offer: Offer, offer_id: int) -> bytes:
    """Return an offer's entry, 48 bytes."""
    return book_entry(offer.price_micro_per_kwh, offer.sequence, offer_id, offer.seller, offer.bus)


def scan_book(ctx: IndexReader, group: bytes) -> Iterator[bytes]:
    """Yield the entries of all standing offers, each once; those cheapest to remove first."""
    book = BOOK_INDEX + group
    for key, value in ctx.scan(book + OFFERS, book + BUSES):
        yield value if len(value) == ENTRY_BYTES else key[-RANK_BYTES:] + value


def entry_offer_id(entry: bytes) -> int:
    """Return the offer's number in an entry."""
    return int.from_bytes(entry[16:24], "big")


def insert_offer(ctx: IndexWriter, place: BookPlace, entry: bytes, *, most: int = NO_CAP) -> None:
    """Enter an offer; raises CallError `too_many_offers` if the seller has `most` already."""
    standing = int.from_bytes(ctx.get(place.offer_count) or b"", "big") + 1
    if standing > most:
        raise CallError(
            "too_many_offers",
            "the seller has too many standing offers in this market",
            expected=f"at most {most}",
            hint="Withdraw some, or offer more energy in one.",
        )
    ctx.put(place.offer_count, standing.to_bytes(COUNT_BYTES, "big"))
    known = ctx.get(place.seller_head)
    if known is None:
        ctx.put(place.seller_head, entry + b"\x00\x00\x00\x01")
        _raise_seller(ctx, place, None, entry)
        return
    count = int.from_bytes(known[ENTRY_BYTES:], "big") + 1
    head = known[:ENTRY_BYTES]
    if entry < head:
        ctx.put(place.seller_head, entry + count.to_bytes(4, "big"))
        ctx.put(place.offers + head[:RANK_BYTES], head[RANK_BYTES:])
        _raise_seller(ctx, place, head, entry)
    else:
        ctx.put(place.seller_head, head + count.to_bytes(4, "big"))
        ctx.put(place.offers + entry[:RANK_BYTES], entry[RANK_BYTES:])


def remove_offer(ctx: IndexWriter, place: BookPlace, entry: bytes) -> None:
    """Take an offer that stands in the book out of it."""
    known = ctx.get(place.seller_head)
    if known is None:
        raise InvariantViolation(f"an offer is missing from the book: {entry.hex()}")
    standing = int.from_bytes(ctx.get(place.offer_count) or b"", "big") - 1
    if standing:
        ctx.put(place.offer_count, standing.to_bytes(COUNT_BYTES, "big"))
    else:
        ctx.delete(place.offer_count)
    count = int.from_bytes(known[ENTRY_BYTES:], "big") - 1
    head = known[:ENTRY_BYTES]
    if entry != head:
        ctx.delete(place.offers + entry[:RANK_BYTES])
        ctx.put(place.seller_head, head + count.to_bytes(4, "big"))
    elif count == 0:
        ctx.delete(place.seller_head)
        _raise_seller(ctx, place, head, None)
    else:
        follower = next_entry(ctx, place.offers, head)
        if follower is None:
            raise InvariantViolation(f"the book lost offers of {place.seller_head.hex()}")
        ctx.delete(place.offers + follower[:RANK_BYTES])
        ctx.put(place.seller_head, follower + count.to_bytes(4, "big"))
        _raise_seller(ctx, place, head, follower)


def next_entry(ctx: IndexWriter, prefix: bytes, after: bytes) -> bytes | None:
    """Return the first entry of the list at `prefix` that is behind `after`; None if none is."""
    found = ctx.first(prefix + after[:RANK_BYTES], prefix + b"\xff")
    return None if found is None else found[0][-RANK_BYTES:] + found[1]


def scan_after(ctx: IndexReader, prefix: bytes, after: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Scan the list at `prefix` from behind the rank of `after` on."""
    # Sequences are unique, so that the rank itself, whatever stood there, can be left in.
    return ctx.scan(prefix + after[:RANK_BYTES], prefix + b"\xff")


def _raise_seller(ctx: IndexWriter, place: BookPlace, old: bytes | None, new: bytes | None) -> None:
    """Carry the change of a seller's best offer to its bus, and from there to the top."""
    changed = _replace(ctx, place.bus_head, place.sellers, old, new)
    if changed is not None and place.top_head:
        _replace(ctx, place.top_head, place.buses, *changed)


def _replace(
    ctx: IndexWriter, head_key: bytes, rest: bytes, old: bytes | None, new: bytes | None
) -> tuple[bytes | None, bytes | None] | None:
    """Put `new` in place of `old` in a level; return its head before and after if that changed."""
    head = ctx.get(head_key)
    if old is not None and old == head:
        follower = next_entry(ctx, rest, head)
        if follower is not None and (new is None or follower < new):
            ctx.delete(rest + follower[:RANK_BYTES])
            if new is not None:
                ctx.put(rest + new[:RANK_BYTES], new[RANK_BYTES:])
            new = follower
        if new is None:
            ctx.delete(head_key)
        else:
            ctx.put(head_key, new)
        return head, new
    if old is not None:
        ctx.delete(rest + old[:RANK_BYTES])
    if new is None:
        return None
    if head is None or new < head:
        if head is not None:
            ctx.put(rest + head[:RANK_BYTES], head[RANK_BYTES:])
        ctx.put(head_key, new)
        return head, new
    ctx.put(rest + new[:RANK_BYTES], new[RANK_BYTES:])
    return None


def iterate_book(ctx: IndexReader, group: bytes, *, networked: bool) -> Iterator[bytes]:
    """Yield the entries of a book by price and time; opens its lists only as far as it is read."""
    best = ctx.get(best_key(group, networked=networked))
    if best is None:
        return
    book = BOOK_INDEX + group
    heap = [(best, BUSES)]
    lists: dict[bytes, Iterator[tuple[bytes, bytes]]] = {}
    while heap:
        entry, level = heappop(heap)
        yield entry
        seller = OFFERS + entry[44:ENTRY_BYTES] + entry[24:44]
        behind = [seller]
        if level != OFFERS:
            behind.append(SELLERS + entry[44:ENTRY_BYTES])
        if level == BUSES and networked:
            behind.append(BUSES)
        for rest in behind:
            if rest not in lists:
                lists[rest] = scan_after(ctx, book + rest, entry)
            for key, value in lists[rest]:
                heappush(heap, (key[-RANK_BYTES:] + value, rest[:1]))
                break
