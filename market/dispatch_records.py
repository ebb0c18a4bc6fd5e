"""The leaves of dispatch areas: their keys and canonical bytes, for areas, units, bids and rounds.

Keys, with A the area's number (2 bytes), R a round's number (8), numbers big-endian:

    da name        an area                      dm A          its money and counters
    dn A name      number of a unit (4 bytes)   du A unit(4)  a unit
    db A unit(4) interval(8)   a bid for one interval
    dr R           a round                      ds A count(8) number of the area's count-th round
    dp R part(2)   a part of the problem's bytes
    dv R interval(2)   the accepted result, or the fallback's prices, of one interval
    dw R           accounts of the units' owners, 20 bytes each, until the area settled
    do             numbers of the open rounds   dd A account  arrears of a member, 8 bytes
    dc A account   a commitment to a result     dk A account  how many units a member has, 2 bytes
    dl A unit(4)   level of a storage after the last proved round (`dispatch_levels`)
    dz             names of the areas, in the order of genesis

Index entries that follow from them: `id A unit(4)` marks a unit, `iB A unit(4) interval(8)` a bid.
Costs and prices pass 64 bits and are byte strings of minimal two's complement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from market.dispatch_problem import Bid
from vm.context import CallContext
from vm.overlay import INDEX_SPACE
from vm.primitives.codec import decode_integer, encode_integer, encode_trusted, unpack_trusted
from vm.primitives.errors import InvariantViolation

AREA_SPACE: Final = b"da"
MONEY_SPACE: Final = b"dm"
UNIT_NAME_SPACE: Final = b"dn"
UNIT_SPACE: Final = b"du"
BID_SPACE: Final = b"db"
ROUND_SPACE: Final = b"dr"
SEQUENCE_SPACE: Final = b"ds"
PROBLEM_SPACE: Final = b"dp"
RESULT_SPACE: Final = b"dv"
OPEN_KEY: Final = b"do"
AREAS_KEY: Final = b"dz"
OWNERS_SPACE: Final = b"dw"
ARREARS_SPACE: Final = b"dd"
UNITS_SPACE: Final = b"dk"
UNIT_INDEX: Final = INDEX_SPACE + b"d"
BID_INDEX: Final = INDEX_SPACE + b"B"
MARK: Final = b"\x01"

AREA_TYPE: Final = 80
MONEY_TYPE: Final = 81
UNIT_TYPE: Final = 82
ROUND_TYPE: Final = 83
RESULT_TYPE: Final = 84
VERSION: Final = 1

PROBLEM_PART_BYTES: Final = 4_096
PRICE_UNITS_PER_MICRO_DOLLAR_PER_KWH: Final = 10**15

LAST_PRICES: Final = 0
UNIFORM: Final = 1
FALLBACK_NAMES: Final = ("last_prices", "uniform")

OPEN: Final = 0
PROVED: Final = 1
CLEARING: Final = 2
FALLEN_BACK: Final = 3
STATUS_NAMES: Final = ("open", "proved", "clearing", "fallen_back")

KIND_NAMES: Final = ("generator", "load", "storage")
STORAGE_KIND: Final = 2

BidFields = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Area:
    """The terms of dispatch rounds over one market's network."""

    number: int
    """Its number, from 0 in the order of genesis."""
    name: str
    """Its name."""
    market: str
    """The market whose network it is for."""
    interval_minutes: int
    """Length of a delivery interval."""
    intervals: int
    """Number of intervals in a round."""
    opens_minutes: int
    """How long before its first interval a round opens by itself; 0: the operator opens rounds."""
    deadline_ms: int
    """How long a round waits for a proof."""
    fallback: int
    """LAST_PRICES or UNIFORM: where prices come from if no proof comes."""
    micro_per_dollar: int
    """Micro-tokens that stand for a dollar."""
    reward_micro: int
    """What the first proof of a round earns, as far as the pot has it."""
    bond_micro: int
    """What a submission that does not verify costs."""
    settles: int
    """1 if an accepted result is paid for at its prices, 0 if it only tells prices."""
    keep_rounds: int
    """How many of the area's rounds stay in the state."""
    members_register: int
    """1 if members register units of their own, 0 if operators register all."""
    max_price_micro_dollar_per_kwh: int
    """No bid's marginal cost and no result's price passes it, in either direction."""
    max_power_w: int
    """No limit of a unit passes it, in either direction."""
    max_units_per_member: int
    """How many units a member may register by itself."""

    @property
    def max_price(self) -> int:
        """The greatest marginal cost of a bid, 1e-24 $/Wh."""
        return self.max_price_micro_dollar_per_kwh * PRICE_UNITS_PER_MICRO_DOLLAR_PER_KWH

    @property
    def prefix(self) -> bytes:
        """The area's number as it stands in keys, 2 bytes."""
        return self.number.to_bytes(2, "big")

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted(
            (
                AREA_TYPE,
                VERSION,
                self.number,
                self.name,
                self.market,
                self.interval_minutes,
                self.intervals,
                self.opens_minutes,
                self.deadline_ms,
                self.fallback,
                self.micro_per_dollar,
                self.reward_micro,
                self.bond_micro,
                self.settles,
                self.keep_rounds,
                self.members_register,
                self.max_price_micro_dollar_per_kwh,
                self.max_power_w,
                self.max_units_per_member,
            )
        )


@dataclass(slots=True)  # mutable: a working copy, saved when it is right
class AreaMoney:
    """A working copy of an area's money and counters."""

    pot_micro: int = 0
    """Rewards come from it, forfeited bonds go to it."""
    congestion_micro: int = 0
    """The congestion account: what settlement left over."""
    rounds: int = 0
    """How many rounds were opened."""
    last_proved: int = 0
    """Number of the last round with an accepted result; 0 before the first."""
    units: int = 0
    """Number that the last registered unit got."""
    standing_units: int = 0
    """How many units are registered now."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted(
            (
                MONEY_TYPE,
                VERSION,
                self.pot_micro,
                self.congestion_micro,
                self.rounds,
                self.last_proved,
                self.units,
                self.standing_units,
            )
        )


class UnitRecord(NamedTuple):
    """A registered generator, load or storage."""

    owner: bytes
    """Account that bids for it and is paid."""
    name: str
    """Its name, unique in the area."""
    bus: str
    """Name of its bus."""
    kind: int
    """Place in KIND_NAMES."""
    bids: tuple[BidFields, ...]
    """What it can do: one for all intervals of a round, or one for each; of a storage none."""
    storage: tuple[int, ...]
    """Of a storage its ten numbers, in the order of `Storage`; else empty."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted(
            (
                UNIT_TYPE,
                VERSION,
                self.owner,
                self.name,
                self.bus,
                self.kind,
                [_bid_fields(bid) for bid in self.bids],
                [encode_integer(number) for number in self.storage],
            )
        )


class Round(NamedTuple):
    """One dispatch round."""

    number: int
    """Its number on this chain, from 1."""
    area: str
    """Name of its area."""
    first_interval: int
    """Its first delivery interval; 0 in a round that is for no time."""
    intervals: int
    """Number of its intervals."""
    opened_ms: int
    """When it was opened."""
    deadline_ms: int
    """When it falls back unless a result is proved before."""
    status: int
    """OPEN, PROVED, CLEARING (the fallback is being computed) or FALLEN_BACK."""
    problem_hash: bytes
    """Hash of the problem, 32 bytes."""
    problem_bytes: int
    """Size of the problem."""
    items: int
    """Numbers that a result has in each interval: buses, units, lines and storages, and in a meshed
    network the places of its cycles."""
    refused: int
    """Submissions that did not verify."""
    submitter: bytes
    """Who proved the result; empty before."""
    root: bytes
    """Inner Merkle root of the result, or of the fallback's prices; empty before."""
    gap_twice: bytes
    """Twice the proven distance from the optimum, 1e-24 $/h, summed over the intervals."""
    turnover_twice: bytes
    """Twice the turnover, 1e-24 $/h, summed over the intervals."""
    reward_micro: int
    """What the submitter got."""
    price_source: int
    """Of a fallback: the round whose prices hold again, 0 for uniform clearing."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted((ROUND_TYPE, VERSION, *self))


class ResultRecord(NamedTuple):
    """The prices, and where a result was proved the powers and flows, of one interval."""

    prices: tuple[bytes, ...]
    """Price at each bus, 1e-24 $/Wh, in the order of the problem's buses."""
    powers_w: tuple[int, ...]
    """Injection of each unit, W, then of each storage; empty under a fallback."""
    flows_w: tuple[int, ...]
    """Flow of each line in its own direction, W; empty under a fallback."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted((RESULT_TYPE, VERSION, *self))


def decode_area(data: bytes) -> Area:
    """Return the area of a leaf's bytes."""
    return Area(*_fields(data, AREA_TYPE, 17))  # type: ignore[arg-type]


def decode_money(data: bytes | None) -> AreaMoney:
    """Return the money of a leaf's bytes."""
    if data is None:
        raise InvariantViolation("an area without a leaf of its money")
    return AreaMoney(*_fields(data, MONEY_TYPE, 6))  # type: ignore[arg-type]


def decode_unit(data: bytes) -> UnitRecord:
    """Return the unit of a leaf's bytes."""
    owner, name, bus, kind, bids, storage = _fields(data, UNIT_TYPE, 6)
    return UnitRecord(
        owner,  # type: ignore[arg-type]
        name,  # type: ignore[arg-type]
        bus,  # type: ignore[arg-type]
        kind,  # type: ignore[arg-type]
        tuple(_read_bid(bid) for bid in bids),  # type: ignore[attr-defined]
        tuple(decode_integer(number) for number in storage),  # type: ignore[attr-defined]
    )


def decode_round(data: bytes) -> Round:
    """Return the round of a leaf's bytes."""
    return Round(*_fields(data, ROUND_TYPE, 17))  # type: ignore[arg-type]


def decode_result(data: bytes) -> ResultRecord:
    """Return the result of a leaf's bytes."""
    return ResultRecord(*_fields(data, RESULT_TYPE, 3))  # type: ignore[arg-type]


def encode_bid(bid: Bid) -> bytes:
    """Return the bytes of a bid for one interval."""
    return encode_trusted(_bid_fields((bid.a, bid.b, bid.lo_w, bid.hi_w)))


def decode_bid(data: bytes) -> Bid:
    """Return the bid of a leaf's bytes."""
    return Bid(*_read_bid(unpack_trusted(data)))


def area_key(name: str) -> bytes:
    """Return the key of the area called `name`."""
    return AREA_SPACE + name.encode()


def unit_key(prefix: bytes, number: int) -> bytes:
    """Return the key of a unit of the area with `prefix`."""
    return UNIT_SPACE + prefix + number.to_bytes(4, "big")


def bid_key(prefix: bytes, number: int, interval: int) -> bytes:
    """Return the key of a unit's bid for one interval."""
    return BID_SPACE + prefix + number.to_bytes(4, "big") + interval.to_bytes(8, "big")


def write_bid(ctx: CallContext, prefix: bytes, number: int, interval: int, bid: Bid) -> None:
    """Write a unit's bid for one interval."""
    key = bid_key(prefix, number, interval)
    ctx.put(key, encode_bid(bid))
    ctx.put(BID_INDEX + key[len(BID_SPACE) :], MARK)


def delete_bid(ctx: CallContext, prefix: bytes, number: int, interval: int) -> None:
    """Delete a unit's bid for one interval."""
    key = bid_key(prefix, number, interval)
    ctx.delete(key)
    ctx.delete(BID_INDEX + key[len(BID_SPACE) :])


def round_key(number: int) -> bytes:
    """Return the key of a round."""
    return ROUND_SPACE + number.to_bytes(8, "big")


def part_key(number: int, part: int) -> bytes:
    """Return the key of a part of a round's problem."""
    return PROBLEM_SPACE + number.to_bytes(8, "big") + part.to_bytes(2, "big")


def result_key(number: int, interval: int) -> bytes:
    """Return the key of one interval's result."""
    return RESULT_SPACE + number.to_bytes(8, "big") + interval.to_bytes(2, "big")


def _bid_fields(bid: BidFields) -> tuple[bytes, bytes, int, int]:
    return encode_integer(bid[0]), encode_integer(bid[1]), bid[2], bid[3]


def _read_bid(value: object) -> BidFields:
    match value:
        case (bytes(a), bytes(b), int(lo_w), int(hi_w)):
            return decode_integer(a), decode_integer(b), lo_w, hi_w
    raise InvariantViolation("a leaf holds a bid of another form")


def _fields(data: bytes, kind: int, count: int) -> tuple[object, ...]:
    value = unpack_trusted(data)
    if not isinstance(value, tuple) or value[:2] != (kind, VERSION) or len(value) != count + 2:
        raise InvariantViolation(f"not a leaf of type {kind}: {data.hex()[:80]}")
    return value[2:]
