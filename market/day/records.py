"""The leaves of day markets on the chain.

Keys, with A the market's number (2 bytes) and I the delivery interval (8), numbers big-endian:

    Dc name              a market                Dn number(2)          its name
    Dm account           a member's standing     iDm A account         it belongs to the market
    Db A I               a book                  Dp A I account        a member's position
    iDp A I account      the position is there   Da A I page(2)        awards to be written down
    Dk A                 next interval to settle
    Dx A                 next interval to correct
    Df A                 what is to be forgotten next: interval(8), part(1), page(2)
    Dv A since(8)        the market as it was before that interval
    Dg A place(2) gate(1)   what a gate cleared
    Dz A place gate page(1) prices of it at buses
    Di A I part(1)       a settlement            Dh A I part page(2)   the root of a page of lines
    Dr A I part page     the page's records      Dt A account month(4) a member's totals

Leaves are arrays `[type, version, fields...]`; index entries hold one byte. Values of energy at a
price are in half micro-tokens per kWh times milliwatt-hours, exact, as byte strings that integers
beyond 64 bits take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final, NamedTuple, TypeVar

from market.day.dates import Zone
from market.day.gates import Calendar, Gate
from vm.context import CallContext
from vm.overlay import INDEX_SPACE, StateReader
from vm.primitives.codec import Encodable, encode_integer, encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation

MARKET_SPACE: Final = b"Dc"
NAME_SPACE: Final = b"Dn"
STANDING_SPACE: Final = b"Dm"
BOOK_SPACE: Final = b"Db"
POSITION_SPACE: Final = b"Dp"
AWARD_SPACE: Final = b"Da"
CURSOR_SPACE: Final = b"Dk"
CORRECTED_SPACE: Final = b"Dx"
BEFORE_SPACE: Final = b"Dv"
RESULT_SPACE: Final = b"Dg"
BUS_PRICE_SPACE: Final = b"Dz"
STANDING_INDEX: Final = INDEX_SPACE + STANDING_SPACE
POSITION_INDEX: Final = INDEX_SPACE + POSITION_SPACE
MARK: Final = b"\x01"

DAY_MARKET_TYPE: Final = 125
STANDING_TYPE: Final = 126
BOOK_TYPE: Final = 127
POSITION_TYPE: Final = 128
VERSION: Final = 1

NO_GATE: Final = 255
"""For a book of which no clearing is scheduled."""


@dataclass(frozen=True, slots=True)
class DayMarket:
    """A day market's parameters."""

    number: int
    """Its number, from 0 in the order of genesis."""
    name: str
    """Its name."""
    account: bytes
    """Account that takes surpluses, penalties and forfeited deposits."""
    upstream: bytes
    """Account of the upstream supplier."""
    calendar: Calendar
    """Its intervals and gates."""
    retail_micro_per_kwh: int
    """Price at which the upstream supplier sells."""
    feed_in_micro_per_kwh: int
    """Price at which it buys."""
    penalty_micro_per_kwh: int
    """What a seller pays beside that for energy it sold and did not deliver."""
    tolerance_percent: int
    """How far a reading may be from what was stated, where a gate is `huang`."""
    max_energy_milli_wh: int
    """Most that a member states of an interval and a side, all its orders together."""
    feeder: str
    """Market whose feeder limits the trades; empty for none."""
    keep_days: int
    """How long the lines of bills stay in the state after corrections end."""
    since: int = 0
    """The first interval for which this holds; the state has what held before it."""

    def prefix(self, interval: int) -> bytes:
        """Return market and interval as they stand in keys, 10 bytes."""
        return self.number.to_bytes(2, "big") + interval.to_bytes(8, "big")

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        calendar, zone = self.calendar, self.calendar.zone
        return encode_trusted(
            (
                DAY_MARKET_TYPE,
                VERSION,
                self.number,
                self.name,
                self.account,
                self.upstream,
                calendar.interval_minutes,
                calendar.minute_ms,
                calendar.shift_minutes,
                (zone.offset_minutes, zone.rule, zone.changes),
                [tuple(gate) for gate in calendar.gates],
                self.retail_micro_per_kwh,
                self.feed_in_micro_per_kwh,
                self.penalty_micro_per_kwh,
                self.tolerance_percent,
                self.max_energy_milli_wh,
                self.feeder,
                self.keep_days,
                self.since,
            )
        )


class StandingOrder(NamedTuple):
    """An order that stands in a book, or a commitment to one."""

    number: int
    """Its number in the book, from 1 in order of arrival."""
    first_gate: int
    """The first gate that it takes part in."""
    last_gate: int
    """The last one."""
    side: int
    """BUY or SELL, once it is open."""
    steps: tuple[tuple[int, int], ...]
    """Energy that has not traded and price of each step; empty before it is opened."""
    commitment: bytes = b""
    """What it committed to, 32 bytes; empty for an order that is open."""
    most_steps: int = 0
    """Steps that the order committed to may have."""
    cover_micro: int = 0
    """Money set aside for the order committed to."""
    deposit_micro: int = 0
    """Money set aside against not opening it."""


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Position:
    """A working copy of what a member has in an interval: contracts, and orders that stand."""

    reserved_micro: int
    """Money set aside for all of it."""
    stated_buy_milli_wh: int
    """Energy of all its bids, traded or not."""
    stated_sell_milli_wh: int
    """Energy of all its offers, traded or not."""
    bought_milli_wh: int
    """Energy that it bought."""
    bought_value: int
    """That energy times its prices."""
    sold_milli_wh: int
    """Energy that it sold."""
    sold_value: int
    """That energy times its prices."""
    orders: tuple[StandingOrder, ...]
    """Its orders and commitments."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted(
            (
                POSITION_TYPE,
                VERSION,
                self.reserved_micro,
                self.stated_buy_milli_wh,
                self.stated_sell_milli_wh,
                self.bought_milli_wh,
                encode_integer(self.bought_value),
                self.sold_milli_wh,
                encode_integer(self.sold_value),
                [_shorten(order) for order in self.orders],
            )
        )


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Book:
    """A working copy of a book: what stands of one interval."""

    orders: int
    """Orders and commitments in it."""
    steps: int
    """Steps that they have, or may have."""
    positions: int
    """Members with something in the interval: contracts, or what stands."""
    last_number: int
    """Number of the order that came last."""
    seed: bytes
    """XOR of the hashes of all openings and forfeits so far, 32 bytes."""
    gate: int
    """The gate whose clearing is scheduled; NO_GATE if none is."""
    pages: int
    """Pages of awards that are still to be written down."""
    carried_milli_wh: tuple[int, ...] = ()
    """What the gates so far have each line of the feeder carry, in the network's order."""


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Standing:
    """A working copy of what a member is in its market."""

    market: int
    """Number of the market."""
    since: int
    """The first interval that is settled for it."""
    owed_micro: int
    """What it owes the upstream supplier; below 0 what that owes it."""
    owed_ecoin_milli_wh: int
    """Ecoins that a correction took back and that it had not any more."""
    trued_injected_milli_wh: int
    """Energy of final intervals, found later, that is settled: injected."""
    trued_withdrawn_milli_wh: int
    """The same: withdrawn."""
    end: int | None = None
    """The first interval that is not settled for it any more; None unless it leaves."""

    def is_in(self, interval: int) -> bool:
        """Tell whether an interval is settled for the member."""
        return self.since <= interval and (self.end is None or interval < self.end)


_Leaf = TypeVar("_Leaf", Book, Standing)
_TYPES: Final[dict[type, int]] = {Book: BOOK_TYPE, Standing: STANDING_TYPE}

_FIELD_NAMES: Final[dict[type, tuple[str, ...]]] = {
    kind: tuple([each.name for each in fields(kind)]) for kind in _TYPES
}


def encode_leaf(leaf: Book | Standing) -> bytes:
    """Return the canonical bytes of a leaf of plain fields."""
    values = [getattr(leaf, name) for name in _FIELD_NAMES[type(leaf)]]
    return encode_trusted((_TYPES[type(leaf)], VERSION, *values))


def decode_leaf(kind: type[_Leaf], data: bytes) -> _Leaf:
    """Return the leaf of its bytes."""
    make: Callable[..., _Leaf] = kind
    return make(*open_leaf(data, _TYPES[kind], len(_FIELD_NAMES[kind])))


def open_leaf(data: bytes, type_number: int, count: int) -> tuple[Encodable, ...]:
    """Return the fields of a leaf."""
    value = unpack_trusted(data)
    if (
        not isinstance(value, tuple)
        or value[:2] != (type_number, VERSION)
        or len(value) != count + 2
    ):
        raise InvariantViolation(f"not a leaf of type {type_number}: {data.hex()[:80]}")
    return value[2:]


def decode_position(data: bytes) -> Position:
    """Return the position of a leaf's bytes."""
    reserved, buy, sell, bought, bought_value, sold, sold_value, orders = open_leaf(
        data, POSITION_TYPE, 8
    )
    return Position(
        reserved,  # type: ignore[arg-type]
        buy,  # type: ignore[arg-type]
        sell,  # type: ignore[arg-type]
        bought,  # type: ignore[arg-type]
        int.from_bytes(bought_value, "big", signed=True),  # type: ignore[arg-type]
        sold,  # type: ignore[arg-type]
        int.from_bytes(sold_value, "big", signed=True),  # type: ignore[arg-type]
        tuple([StandingOrder(*order) for order in orders]),  # type: ignore[union-attr, misc]
    )


def decode_market(data: bytes) -> DayMarket:
    """Return the market of a leaf's bytes."""
    (number, name, account, upstream, length, minute_ms, shift, zone, gates, *rest) = open_leaf(
        data, DAY_MARKET_TYPE, 17
    )
    calendar = Calendar(
        length,  # type: ignore[arg-type]
        minute_ms,  # type: ignore[arg-type]
        shift,  # type: ignore[arg-type]
        Zone(*zone),  # type: ignore[misc]
        tuple([Gate(*gate) for gate in gates]),  # type: ignore[union-attr, misc]
    )
    return DayMarket(number, name, account, upstream, calendar, *rest)  # type: ignore[arg-type]


def load_market(ctx: CallContext, name: str) -> DayMarket:
    """Return a market; raises CallError `unknown_market`."""
    data = ctx.get(MARKET_SPACE + name.encode())
    if data is None:
        raise CallError("unknown_market", "there is no such day market", actual=name)
    return decode_market(data)


def load_market_at(ctx: CallContext, name: str, interval: int) -> DayMarket:
    """Return a market as it is for an interval; raises CallError `unknown_market`."""
    market = load_market(ctx, name)
    while interval < market.since:
        market = _before(market, ctx.get(before_key(market.number, market.since)))
    return market


def read_version(state: StateReader, market: DayMarket, interval: int) -> DayMarket:
    """Return a market as it is for an interval without gas, for readers."""
    while interval < market.since:
        market = _before(market, state.get(before_key(market.number, market.since)))
    return market


def save_changed_market(ctx: CallContext, known: DayMarket, changed: DayMarket) -> None:
    """Have another version of a market hold from an interval on, and keep the one before."""
    if changed.since > known.since:
        ctx.put(before_key(known.number, changed.since), known.encode())
    ctx.put(MARKET_SPACE + changed.name.encode(), changed.encode())


def before_key(number: int, since: int) -> bytes:
    """Return the key of a market as it was before an interval."""
    return BEFORE_SPACE + number.to_bytes(2, "big") + since.to_bytes(8, "big")


def _before(market: DayMarket, data: bytes | None) -> DayMarket:
    if data is None:
        raise InvariantViolation(f"day market {market.name!r} is lost before {market.since}")
    return decode_market(data)


def read_market(state: StateReader, name: str) -> DayMarket | None:
    """Return a market without gas, for readers; None if there is none."""
    data = state.get(MARKET_SPACE + name.encode())
    return None if data is None else decode_market(data)


def read_markets(state: StateReader) -> list[DayMarket]:
    """Return all day markets without gas, in the order of genesis."""
    found: list[DayMarket] = []
    while (name := state.get(NAME_SPACE + len(found).to_bytes(2, "big"))) is not None:
        market = read_market(state, name.decode())
        if market is None:
            raise InvariantViolation(f"the day market {name.decode()!r} has no leaf")
        found.append(market)
    return found


def position_key(prefix: bytes, account: bytes) -> bytes:
    """Return the key of a member's position in the interval with `prefix`."""
    return POSITION_SPACE + prefix + account


def load_position(ctx: CallContext, prefix: bytes, account: bytes) -> Position | None:
    """Return a member's position; None if it has none."""
    data = ctx.get(POSITION_SPACE + prefix + account)
    return None if data is None else decode_position(data)


def read_position(
    state: StateReader, market: DayMarket, interval: int, account: bytes
) -> Position | None:
    """Return a member's position without gas, for readers; None if it has none."""
    data = state.get(position_key(market.prefix(interval), account))
    return None if data is None else decode_position(data)


def save_position(ctx: CallContext, prefix: bytes, account: bytes, position: Position) -> None:
    """Write a position that is there already."""
    ctx.put(POSITION_SPACE + prefix + account, position.encode())


def delete_position(ctx: CallContext, prefix: bytes, account: bytes) -> None:
    """Delete a position with its index entry."""
    key = position_key(prefix, account)
    ctx.delete(key)
    ctx.delete(INDEX_SPACE + key)


def load_standing(ctx: CallContext, account: bytes) -> Standing | None:
    """Return what a member is in its market; None if it is in none."""
    data = ctx.get(STANDING_SPACE + account)
    return None if data is None else decode_leaf(Standing, data)


def delete_standing(ctx: CallContext, account: bytes, standing: Standing) -> None:
    """Delete what a member was in its market, with its index entry."""
    ctx.delete(STANDING_SPACE + account)
    ctx.delete(STANDING_INDEX + standing.market.to_bytes(2, "big") + account)


def save_standing(ctx: CallContext, account: bytes, standing: Standing) -> None:
    """Write what a member is in its market."""
    ctx.put(STANDING_SPACE + account, encode_leaf(standing))


def _shorten(order: StandingOrder) -> tuple[Encodable, ...]:
    """Return an order without the fields that only a commitment has."""
    return tuple(order) if order.commitment else tuple(order[:5])
