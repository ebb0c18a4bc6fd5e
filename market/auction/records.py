"""The leaves of call auctions on the chain: auctions, books of an interval, orders, and members.

Keys, with A the auction's number (2 bytes) and I the delivery interval (8), numbers big-endian:

    Xc name              an auction            Xb A I              a book
    Xo A I number(8)     an order              iXo A I number      the order is there
    Xm A I account       a member in a book    Xr A place(2)      a result
    Xv A version(4)      the auction as it was in that version

Results of an auction lie in a ring of MAX_RESULTS places, by interval: nobody has to clear them up.
Leaves are arrays `[type, version, fields...]`; index entries hold one byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final, TypeVar

from market.auction.orders import Step
from vm.context import CallContext
from vm.overlay import INDEX_SPACE, StateReader
from vm.primitives.codec import encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation

AUCTION_SPACE: Final = b"Xc"
BOOK_SPACE: Final = b"Xb"
ORDER_SPACE: Final = b"Xo"
MEMBER_SPACE: Final = b"Xm"
RESULT_SPACE: Final = b"Xr"
BEFORE_SPACE: Final = b"Xv"
ORDER_INDEX: Final = INDEX_SPACE + ORDER_SPACE
MARK: Final = b"\x01"

AUCTION_TYPE: Final = 110
BOOK_TYPE: Final = 111
ORDER_TYPE: Final = 112
MEMBER_TYPE: Final = 113
RESULT_TYPE: Final = 114
VERSION: Final = 1

MAX_RESULTS: Final = 512
"""Results of an auction that are kept: five days of quarters of an hour."""

UNIFORM: Final = 0
MIDPOINT: Final = 1
HUANG: Final = 2
PAY_AS_BID: Final = 3
MECHANISM_NAMES: Final = ("uniform", "midpoint", "huang", "pay_as_bid")


@dataclass(frozen=True, slots=True)
class AuctionConfig:
    """An auction's parameters."""

    number: int
    """Its number, from 0 in the order of genesis."""
    name: str
    """Its name."""
    mechanism: int
    """UNIFORM, MIDPOINT, HUANG or PAY_AS_BID."""
    rationing: int
    """PRO_RATA or TIME at the margin."""
    sealed: bool
    """Whether orders are committed to, and opened after the gate."""
    minute_ms: int
    """Length of a minute on the chain's clock; 60,000 unless a day is compressed."""
    interval_minutes: int
    """Length of a delivery interval."""
    gate_minutes: int
    """How long before an interval its gate closes."""
    opening_minutes: int
    """How long after the gate commitments are opened; 0 where nothing is sealed."""
    deposit_micro: int
    """Set aside with each commitment; forfeited if it is not opened."""
    min_price_micro_per_kwh: int
    """Lowest price of a step."""
    max_price_micro_per_kwh: int
    """Highest price of a step."""
    max_energy_milli_wh: int
    """Greatest energy of an order, its steps together."""
    account: bytes
    """Account that takes the surplus and forfeited deposits."""
    market: str
    """Market whose feeder limits the trades; empty for none."""
    version: int = 0
    """How often votes changed it: orders keep the version in which they were placed."""

    @property
    def interval_ms(self) -> int:
        """Length of a delivery interval on the chain's clock."""
        return self.interval_minutes * self.minute_ms

    def gate_ms(self, interval: int) -> int:
        """Return when the gate of an interval closes."""
        return interval * self.interval_ms - self.gate_minutes * self.minute_ms

    def clearing_ms(self, interval: int) -> int:
        """Return when an interval is cleared: at its gate, or when openings end."""
        return self.gate_ms(interval) + self.opening_minutes * self.minute_ms

    def prefix(self, interval: int) -> bytes:
        """Return auction and interval as they stand in keys, 10 bytes."""
        return self.number.to_bytes(2, "big") + interval.to_bytes(8, "big")


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Book:
    """A working copy of a book: the orders of one interval."""

    orders: int
    """Orders and commitments in it."""
    seed: bytes
    """XOR of the hashes of all openings so far, 32 bytes."""


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class AuctionOrder:
    """A working copy of an order, or of a commitment to one."""

    account: bytes
    """Who placed it."""
    commitment: bytes
    """What it committed to, 32 bytes; empty for an order that is open."""
    deposit_micro: int
    """Money set aside against not opening it."""
    money_micro: int
    """Money set aside to pay for it."""
    energy_milli_wh: int
    """Energy set aside to deliver it."""
    side: int
    """BUY or SELL, once it is open."""
    steps: tuple[tuple[int, int], ...]
    """Energy and price of each step; empty before it is opened."""
    version: int = 0
    """Version of the auction in which it was placed."""


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class AuctionMember:
    """A working copy of what a member has in a book."""

    orders: int
    """Its orders and commitments."""
    sides: int
    """Bit mask of the sides on which it has open orders: 1 bids, 2 offers."""


@dataclass(frozen=True, slots=True)
class AuctionResult:
    """What came of an interval's clearing."""

    interval: int
    """The interval."""
    volume_milli_wh: int
    """Energy that changed hands."""
    buyer_price_half_micro_per_kwh: int | None
    """What buyers paid; None where there is no one price."""
    seller_price_half_micro_per_kwh: int | None
    """What sellers got; None where there is no one price."""


Leaf = AuctionConfig | Book | AuctionOrder | AuctionMember | AuctionResult
_Leaf = TypeVar("_Leaf", AuctionConfig, Book, AuctionOrder, AuctionMember, AuctionResult)
LEAF_TYPES: Final[dict[type, int]] = {
    AuctionConfig: AUCTION_TYPE,
    Book: BOOK_TYPE,
    AuctionOrder: ORDER_TYPE,
    AuctionMember: MEMBER_TYPE,
    AuctionResult: RESULT_TYPE,
}


def encode_leaf(leaf: Leaf) -> bytes:
    """Return the canonical bytes of a leaf."""
    values = [getattr(leaf, field.name) for field in fields(leaf)]
    return encode_trusted((LEAF_TYPES[type(leaf)], VERSION, *values))


def decode_leaf(kind: type[_Leaf], data: bytes) -> _Leaf:
    """Return the leaf of its bytes."""
    value = unpack_trusted(data)
    count = len(fields(kind)) + 2
    if (
        not isinstance(value, tuple)
        or value[:2] != (LEAF_TYPES[kind], VERSION)
        or len(value) != count
    ):
        raise InvariantViolation(f"not a leaf of {kind.__name__}: {data.hex()[:80]}")
    make: Callable[..., _Leaf] = kind
    return make(*value[2:])


def load_config(ctx: CallContext, name: str) -> AuctionConfig:
    """Return an auction; raises CallError `unknown_auction`."""
    data = ctx.get(AUCTION_SPACE + name.encode())
    if data is None:
        raise CallError("unknown_auction", "there is no such auction", actual=name)
    return decode_leaf(AuctionConfig, data)


def load_version(ctx: CallContext, config: AuctionConfig, version: int) -> AuctionConfig:
    """Return an auction as it was in a version."""
    if version == config.version:
        return config
    data = ctx.get(before_key(config.number, version))
    if data is None:
        raise InvariantViolation(f"auction {config.name!r} is lost in version {version}")
    return decode_leaf(AuctionConfig, data)


def save_changed_config(ctx: CallContext, known: AuctionConfig, changed: AuctionConfig) -> None:
    """Have another version of an auction hold from now on, and keep the one before."""
    ctx.put(before_key(known.number, known.version), encode_leaf(known))
    ctx.put(AUCTION_SPACE + changed.name.encode(), encode_leaf(changed))


def before_key(number: int, version: int) -> bytes:
    """Return the key of an auction as it was in a version."""
    return BEFORE_SPACE + number.to_bytes(2, "big") + version.to_bytes(4, "big")


def read_order(state: StateReader, prefix: bytes, number: int) -> AuctionOrder | None:
    """Return an order without gas, for readers; None if there is none."""
    data = state.get(order_key(prefix, number))
    return None if data is None else decode_leaf(AuctionOrder, data)


def load_own_order(ctx: CallContext, prefix: bytes, number: int) -> AuctionOrder:
    """Return an order of the caller; raises CallError `unknown_order`, `not_your_order`."""
    data = ctx.get(order_key(prefix, number))
    if data is None:
        raise CallError("unknown_order", "no such order stands in this book", actual=number)
    order = decode_leaf(AuctionOrder, data)
    if order.account != ctx.caller:
        raise CallError("not_your_order", "the order belongs to another member")
    return order


def save_order(ctx: CallContext, prefix: bytes, number: int, order: AuctionOrder) -> None:
    """Write an order with its index entry."""
    key = order_key(prefix, number)
    ctx.put(key, encode_leaf(order))
    ctx.put(INDEX_SPACE + key, MARK)


def delete_order(ctx: CallContext, prefix: bytes, number: int) -> None:
    """Delete an order with its index entry."""
    key = order_key(prefix, number)
    ctx.delete(key)
    ctx.delete(INDEX_SPACE + key)


def load_orders(ctx: CallContext, prefix: bytes) -> dict[int, AuctionOrder]:
    """Return all orders of a book by number, the first placed first."""
    start = ORDER_INDEX + prefix
    numbers = [
        int.from_bytes(key[len(start) :], "big") for key, _ in ctx.scan(start, start + b"\xff" * 9)
    ]
    found: dict[int, AuctionOrder] = {}
    for number in numbers:
        data = ctx.get(order_key(prefix, number))
        if data is None:
            raise InvariantViolation(f"the book lost order {number}")
        found[number] = decode_leaf(AuctionOrder, data)
    return found


def steps_of(order: AuctionOrder) -> tuple[Step, ...]:
    """Return the steps of an open order."""
    return tuple([Step(*step) for step in order.steps])


def save_result(ctx: CallContext, config: AuctionConfig, result: AuctionResult) -> None:
    """Write what came of an interval, in place of one that is long past."""
    ctx.put(_result_key(config, result.interval), encode_leaf(result))


def load_result(ctx: CallContext, config: AuctionConfig, interval: int) -> AuctionResult | None:
    """Return what came of an interval; None before it is cleared, or once it is forgotten."""
    data = ctx.get(_result_key(config, interval))
    found = None if data is None else decode_leaf(AuctionResult, data)
    return found if found is not None and found.interval == interval else None


def _result_key(config: AuctionConfig, interval: int) -> bytes:
    place = interval % MAX_RESULTS
    return RESULT_SPACE + config.number.to_bytes(2, "big") + place.to_bytes(2, "big")


def order_key(prefix: bytes, number: int) -> bytes:
    """Return the key of an order in the book with `prefix`."""
    return ORDER_SPACE + prefix + number.to_bytes(8, "big")
