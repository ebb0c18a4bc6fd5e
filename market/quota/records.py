"""The leaves of charging quotas: the network's terms, rounds, and stations in a round.

Keys, numbers big-endian:

    Qt                  the terms             Qr round(8)            a round
    Qv since(8)         the terms before that round
    Qs round account    a station in it       iQ round account -> 01 the station is there
    Qd account          what a station owes

Leaves are arrays `[type, version, fields...]`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from vm.context import CallContext
from vm.overlay import INDEX_SPACE, StateReader
from vm.primitives.codec import encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation

TERMS_KEY: Final = b"Qt"
ROUND_SPACE: Final = b"Qr"
STATION_SPACE: Final = b"Qs"
BEFORE_SPACE: Final = b"Qv"
DEBT_SPACE: Final = b"Qd"
STATION_INDEX: Final = INDEX_SPACE + b"Q"
MARK: Final = b"\x01"

TERMS_TYPE: Final = 105
ROUND_TYPE: Final = 106
STATION_TYPE: Final = 107
DEBT_TYPE: Final = 109
VERSION: Final = 1

DEMAND: Final = 0
TRADE: Final = 1
DELIVERY: Final = 2
SETTLED: Final = 3
STAGE_NAMES: Final = ("demand", "trade", "delivery", "settled")

NO_ORDER: Final = 2
"""In place of BUY or SELL: the station has no order."""


@dataclass(frozen=True, slots=True)
class QuotaTerms:
    """What genesis says about charging quotas."""

    pricing: int
    """Place in PRICING_NAMES."""
    billed_minutes: int
    """Time that fees and payments are for."""
    deposit_percent: int
    """Deposit, in percent of the service fee for all that is demanded; at least 100."""
    penalty_price_micro_per_kwh: int
    """What energy charged above a quota costs."""
    since: int = 0
    """The first round for which this holds; the state has what held before it."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return _encode(TERMS_TYPE, self)


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Round:
    """A working copy of a round's leaf: one charging period."""

    dso: bytes
    """Account of who announced it: fees, penalties and fractions go there."""
    capacity_w: int
    """Power that the stations may draw together."""
    price_micro_per_kwh: int
    """Price of the service fee."""
    demand_until_ms: int
    """When demands end and first quotas are given."""
    trade_until_ms: int
    """When quotas are traded."""
    start_ms: int
    """Beginning of the charging period."""
    end_ms: int
    """End of the charging period."""
    readings_until_ms: int
    """When readings end and penalties are taken."""
    stage: int
    """DEMAND, TRADE, DELIVERY or SETTLED."""
    stations: int
    """Number of stations in it."""
    demand_w: int
    """Sum of their demands."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return _encode(ROUND_TYPE, self)


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Station:
    """A working copy of a station's leaf in a round."""

    demand_w: int
    """What it demanded."""
    deposit_micro: int
    """What is left of its deposit, set aside in its account."""
    quota_w: int
    """Its quota so far."""
    side: int
    """BUY, SELL or NO_ORDER."""
    order_w: int
    """Quota that it wants or offers."""
    order_price_micro_per_kwh: int
    """Its limit."""
    order_number: int
    """Its place in time among equal prices."""
    order_reserve_micro: int
    """Money set aside for a bid."""
    measured_milli_wh: int | None
    """What counts as charged; None before the reading."""
    assumed_milli_wh: int = 0
    """The part of it that no reading proves."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return _encode(STATION_TYPE, self)


@dataclass(frozen=True, slots=True)
class Debts:
    """Penalties that a station could not pay."""

    owed: tuple[tuple[bytes, int], ...]
    """To whom, ascending, and how much, micro-tokens."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return _encode(DEBT_TYPE, self)

    @staticmethod
    def decode(data: bytes) -> Debts:
        """Return the debts of a leaf's bytes."""
        return Debts(*_fields(data, DEBT_TYPE, Debts))  # type: ignore[arg-type]


def load_terms(ctx: CallContext) -> QuotaTerms:
    """Return the terms; raises CallError `no_quotas`."""
    data = ctx.get(TERMS_KEY)
    if data is None:
        raise CallError(
            "no_quotas",
            "this network has no charging quotas",
            hint="Genesis brings them in with a section 'quota'.",
        )
    return decode_terms(data)


def load_terms_of(ctx: CallContext, number: int) -> QuotaTerms:
    """Return the terms of a round; raises CallError `no_quotas`."""
    terms = load_terms(ctx)
    while number < terms.since:
        data = ctx.get(before_key(terms.since))
        if data is None:
            raise InvariantViolation(f"the terms before round {terms.since} are lost")
        terms = decode_terms(data)
    return terms


def save_changed_terms(ctx: CallContext, known: QuotaTerms, changed: QuotaTerms) -> None:
    """Have other terms hold from a round on, and keep those before."""
    if changed.since > known.since:
        ctx.put(before_key(changed.since), known.encode())
    ctx.put(TERMS_KEY, changed.encode())


def before_key(since: int) -> bytes:
    """Return the key of the terms as they were before a round."""
    return BEFORE_SPACE + since.to_bytes(8, "big")


def load_round(ctx: CallContext, number: int) -> Round:
    """Return a round; raises CallError `unknown_round`."""
    data = ctx.get(round_key(number))
    if data is None:
        raise CallError("unknown_round", "no such round was announced", actual=number)
    return decode_round(data)


def read_round(state: StateReader, number: int) -> Round | None:
    """Return a round without gas, for readers; None if there is none."""
    data = state.get(round_key(number))
    return None if data is None else decode_round(data)


def load_station(ctx: CallContext, number: int, account: bytes) -> Station:
    """Return a station in a round; raises CallError `no_demand`."""
    data = ctx.get(station_key(number, account))
    if data is None:
        raise CallError("no_demand", "the station has no demand in this round", actual=account)
    return decode_station(data)


def load_stations(ctx: CallContext, number: int) -> dict[bytes, Station]:
    """Return all stations of a round by account, in the order of their ids."""
    prefix = STATION_INDEX + number.to_bytes(8, "big")
    accounts = [key[len(prefix) :] for key, _ in ctx.scan(prefix, prefix + b"\xff" * 21)]
    return {account: load_station(ctx, number, account) for account in accounts}


def save_station(ctx: CallContext, number: int, account: bytes, station: Station) -> None:
    """Write a station's leaf."""
    ctx.put(station_key(number, account), station.encode())


def decode_terms(data: bytes) -> QuotaTerms:
    """Return the terms of a leaf's bytes."""
    return QuotaTerms(*_fields(data, TERMS_TYPE, QuotaTerms))  # type: ignore[arg-type]


def decode_round(data: bytes) -> Round:
    """Return the round of a leaf's bytes."""
    return Round(*_fields(data, ROUND_TYPE, Round))  # type: ignore[arg-type]


def decode_station(data: bytes) -> Station:
    """Return the station of a leaf's bytes."""
    return Station(*_fields(data, STATION_TYPE, Station))  # type: ignore[arg-type]


def round_key(number: int) -> bytes:
    """Return the key of a round."""
    return ROUND_SPACE + number.to_bytes(8, "big")


def station_key(number: int, account: bytes) -> bytes:
    """Return the key of a station in a round."""
    return STATION_SPACE + number.to_bytes(8, "big") + account


def station_index_key(number: int, account: bytes) -> bytes:
    """Return the key of a station's index entry."""
    return STATION_INDEX + number.to_bytes(8, "big") + account


def _encode(kind: int, leaf: QuotaTerms | Round | Station | Debts) -> bytes:
    return encode_trusted((kind, VERSION, *(getattr(leaf, field.name) for field in fields(leaf))))


def _fields(
    data: bytes, kind: int, record: type[QuotaTerms | Round | Station | Debts]
) -> tuple[object, ...]:
    value = unpack_trusted(data)
    count = len(fields(record)) + 2
    if not isinstance(value, tuple) or value[:2] != (kind, VERSION) or len(value) != count:
        raise InvariantViolation(f"not a leaf of type {kind}: {data.hex()[:80]}")
    return value[2:]
