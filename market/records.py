"""The market's leaves: their keys and canonical bytes, for markets, offers, buses, lines and usage.

Keys, with M the market's number (2 bytes), I the delivery interval (8), numbers big-endian:

    km name         a market                kn M name     number of a bus (4 bytes)
    kb M bus(4)     a bus                   ki M name     number of a line (4 bytes)
    kl M line(4)    a line                  kp M pair(40) limit of a pair of members
    o id(8)         a standing offer        u M I l line(4)   flow of a line
    u M I p pair(40)  energy a pair traded  u M I g       the interval's gate is scheduled

A pair is two account ids, the smaller first. Limits and traded energies are 8 bytes unsigned, flows
8 bytes signed, all in milliwatt-hours; the other leaves are arrays `[type, version, fields...]`.
Buses and lines are numbered from 1 in the order of genesis; 0 says "none".
Index entries that follow from them: `ik M` -> name; `ip M pair` and `iu M I ...` mark that the leaf
of the same tail is there; the order book is in `market/book.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from vm.overlay import INDEX_SPACE
from vm.primitives.codec import encode_trusted, unpack_trusted
from vm.primitives.errors import InvariantViolation

MARKET_SPACE: Final = b"km"
BUS_SPACE: Final = b"kb"
BUS_NAME_SPACE: Final = b"kn"
LINE_SPACE: Final = b"kl"
LINE_NAME_SPACE: Final = b"ki"
PAIR_LIMIT_SPACE: Final = b"kp"
OFFER_SPACE: Final = b"o"
USAGE_SPACE: Final = b"u"
MARKET_INDEX: Final = INDEX_SPACE + b"k"
PAIR_LIMIT_INDEX: Final = INDEX_SPACE + b"p"
USAGE_INDEX: Final = INDEX_SPACE + b"u"
MARK: Final = b"\x01"
"""Value of an index entry whose key says everything."""

PAIR_USAGE: Final = b"p"
LINE_FLOW: Final = b"l"
GATE_MARK: Final = b"g"

MARKET_TYPE: Final = 30
OFFER_TYPE: Final = 31
BUS_TYPE: Final = 32
LINE_TYPE: Final = 33
VERSION: Final = 1

IGNORE: Final = 0
SKIP: Final = 1
PENALTY: Final = 2
POLICY_NAMES: Final = ("ignore", "skip", "penalty")
PAYEE_SELLER: Final = 0
PAYEE_EDC: Final = 1
PAYEE_NAMES: Final = ("seller", "edc")


@dataclass(frozen=True, slots=True)
class MarketConfig:
    """A market's parameters."""

    number: int
    """Its number, from 0 in the order of genesis."""
    name: str
    """Its name."""
    policy: int
    """IGNORE, SKIP or PENALTY: what happens to energy beyond a limit."""
    penalty_price_micro_per_kwh: int
    """What each exceeded limit adds to a price."""
    penalty_payee: int
    """PAYEE_SELLER or PAYEE_EDC (the owner of the line; of a pair limit the market's `edc`)."""
    edc: bytes
    """Account of the market's distribution company; empty if it has none."""
    default_pair_limit_milli_wh: int | None
    """Limit per interval of any two members without one of their own; None for no limit."""
    pair_limits: int
    """Number of pairs with a limit of their own."""
    interval_minutes: int
    """Length of a delivery interval; 0 for a market without intervals."""
    gate_closure_minutes: int
    """How long before an interval's start its gate closes."""
    min_price_micro_per_kwh: int
    """Lowest price of an offer."""
    max_price_micro_per_kwh: int
    """Highest price of an offer."""
    min_energy_milli_wh: int
    """Least energy of an offer and of a purchase; what is left of an offer may be less."""
    max_offers_per_member: int
    """Standing offers that one seller may have, over all intervals."""
    buses: int
    """Number of buses of its network; 0 without a network."""
    lines: int
    """Number of lines of its network."""

    @property
    def prefix(self) -> bytes:
        """The market's number as it stands in keys, 2 bytes."""
        return self.number.to_bytes(2, "big")

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted(
            (
                MARKET_TYPE,
                VERSION,
                self.number,
                self.name,
                self.policy,
                self.penalty_price_micro_per_kwh,
                self.penalty_payee,
                self.edc,
                self.default_pair_limit_milli_wh,
                self.pair_limits,
                self.interval_minutes,
                self.gate_closure_minutes,
                self.min_price_micro_per_kwh,
                self.max_price_micro_per_kwh,
                self.min_energy_milli_wh,
                self.max_offers_per_member,
                self.buses,
                self.lines,
            )
        )


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Offer:
    """A working copy of a standing offer's leaf; put its bytes back to make changes stand."""

    market: int
    """Number of its market."""
    interval: int
    """Delivery interval; 0 in a market without intervals."""
    seller: bytes
    """Account of the seller, whose energy is reserved for it."""
    bus: int
    """Number of the bus at which it feeds in; 0 in a market without a network."""
    price_micro_per_kwh: int
    """Price without penalty."""
    sequence: int
    """Its place in time: at equal prices the lower one is sold first."""
    energy_milli_wh: int
    """Energy still on offer."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted(
            (
                OFFER_TYPE,
                VERSION,
                self.market,
                self.interval,
                self.seller,
                self.bus,
                self.price_micro_per_kwh,
                self.sequence,
                self.energy_milli_wh,
            )
        )


class BusRecord(NamedTuple):
    """A bus of a market's network, with its place in the tree."""

    name: str
    """Its name."""
    parent: int
    """Number of the next bus towards the slack bus; 0 at the slack bus."""
    line: int
    """Number of the line to it; 0 at the slack bus."""
    direction: int
    """1 if that line runs from here to the parent, -1 if the other way."""
    depth: int
    """Number of lines between here and the slack bus."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted((BUS_TYPE, VERSION, *self))


class LineRecord(NamedTuple):
    """A line of a market's network."""

    name: str
    """Its name."""
    from_bus: int
    """Number of the bus at its beginning: flow from there counts positive."""
    to_bus: int
    """Number of the bus at its end."""
    rating_w: int | None
    """Power it may carry, watts; None for no limit."""
    reactance_nano_ohm: int
    """Reactance."""
    owner: bytes
    """Account of its owner; empty if that is the market's distribution company."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted((LINE_TYPE, VERSION, *self))


def decode_market(data: bytes) -> MarketConfig:
    """Return the market of a leaf's bytes."""
    return MarketConfig(*_fields(data, MARKET_TYPE, 16))  # type: ignore[arg-type]


def decode_offer(data: bytes) -> Offer:
    """Return the offer of a leaf's bytes."""
    return Offer(*_fields(data, OFFER_TYPE, 7))  # type: ignore[arg-type]


def decode_bus(data: bytes) -> BusRecord:
    """Return the bus of a leaf's bytes."""
    return BusRecord(*_fields(data, BUS_TYPE, 5))  # type: ignore[arg-type]


def decode_line(data: bytes) -> LineRecord:
    """Return the line of a leaf's bytes."""
    return LineRecord(*_fields(data, LINE_TYPE, 6))  # type: ignore[arg-type]


def market_key(name: str) -> bytes:
    """Return the key of the market called `name`."""
    return MARKET_SPACE + name.encode()


def offer_key(offer_id: int) -> bytes:
    """Return the key of a standing offer."""
    return OFFER_SPACE + offer_id.to_bytes(8, "big")


def bus_key(prefix: bytes, number: int) -> bytes:
    """Return the key of a bus of the market with `prefix`."""
    return BUS_SPACE + prefix + number.to_bytes(4, "big")


def line_key(prefix: bytes, number: int) -> bytes:
    """Return the key of a line of the market with `prefix`."""
    return LINE_SPACE + prefix + number.to_bytes(4, "big")


def interval_prefix(prefix: bytes, interval: int) -> bytes:
    """Return market and interval as they stand in keys, 10 bytes."""
    return prefix + interval.to_bytes(8, "big")


def pair_of(first: bytes, second: bytes) -> bytes:
    """Return the pair of two accounts, whichever is named first, 40 bytes."""
    return first + second if first < second else second + first


def _fields(data: bytes, kind: int, count: int) -> tuple[object, ...]:
    value = unpack_trusted(data)
    if not isinstance(value, tuple) or value[:2] != (kind, VERSION) or len(value) != count + 2:
        raise InvariantViolation(f"not a leaf of type {kind}: {data.hex()[:80]}")
    return value[2:]
