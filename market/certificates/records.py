"""The leaves of certificates: the terms, plants, what was credited to them, lots, and coins.

Keys, with N a plant's number (4 bytes), numbers big-endian:

    Ct                 the terms              Cp N                a plant
    Cn name            number of a plant      Cm member           the plant at its connection
    Cd N period(8)     what was credited      Cg lot(8)           a lot of certificates
    Cb account         a member's coins       Cr, Cw              there once anything is due
    Cv since(8)        the terms as they were before that interval
    iCp N              the plant is credited  iCg owner lot       the lot is the owner's

Leaves are arrays `[type, version, fields...]`; index entries hold one byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Final, TypeVar

from vm.context import CallContext
from vm.overlay import INDEX_SPACE, StateReader
from vm.primitives.codec import encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation

TERMS_KEY: Final = b"Ct"
PLANT_SPACE: Final = b"Cp"
PLANT_NAME_SPACE: Final = b"Cn"
PLANT_OF_SPACE: Final = b"Cm"
CREDIT_SPACE: Final = b"Cd"
LOT_SPACE: Final = b"Cg"
COINS_SPACE: Final = b"Cb"
RUNNING_KEY: Final = b"Cr"
COINS_RUNNING_KEY: Final = b"Cw"
BEFORE_SPACE: Final = b"Cv"
PLANT_INDEX: Final = INDEX_SPACE + PLANT_SPACE
LOT_INDEX: Final = INDEX_SPACE + LOT_SPACE
MARK: Final = b"\x01"

TERMS_TYPE: Final = 140
PLANT_TYPE: Final = 141
CREDIT_TYPE: Final = 142
LOT_TYPE: Final = 143
COINS_TYPE: Final = 144
VERSION: Final = 1

PLANT_COUNTER: Final = "plant"
LOT_COUNTER: Final = "certificate"


@dataclass(frozen=True, slots=True)
class CertificateTerms:
    """What genesis says about certificates."""

    unit_milli_wh: int
    """Energy of one certificate."""
    period_intervals: int
    """Intervals that are credited together."""
    validity_minutes: int
    """How long after production a certificate can be transferred or retired."""
    technologies: tuple[str, ...]
    """Technologies that a plant may have; all of them renewable."""
    market: str
    """Day market whose contracts count for coins; empty if there are no coins."""
    earned_micro_per_kwh: int
    """Coins for a renewable kWh."""
    lost_micro_per_kwh: int
    """Coins that any other kWh costs."""
    since: int = 0
    """The first interval of which this holds; the state has what held before it."""


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Plant:
    """A working copy of a plant that was registered."""

    number: int
    """Its number, from 1."""
    name: str
    """Its name."""
    owner: bytes
    """Account that gets its certificates."""
    member: bytes
    """The member whose connection it feeds: that member's meter proves its energy."""
    technology: str
    """What it makes electricity from."""
    capacity_w: int
    """Its nominal power: it produces no more than that."""
    since: int
    """First interval that counts."""
    end: int | None
    """First interval that counts no more; None while it is registered."""
    issued: int
    """Certificates issued so far; the next serial number is one more."""
    carry_milli_wh: int
    """Energy beyond the certificates issued; below 0 where corrections took energy back."""
    carry_from: int
    """First interval of the energy carried."""
    carry_end: int
    """First interval after it."""
    is_watched: bool
    """Whether energy is still credited to it."""


@dataclass(frozen=True, slots=True)
class Lot:
    """Certificates of one plant with consecutive serial numbers, in one hand."""

    number: int
    """The lot's number, from 1."""
    plant: int
    """Number of the plant."""
    first_serial: int
    """Serial number of the first certificate at that plant, from 1."""
    count: int
    """Number of certificates."""
    owner: bytes
    """Whose they are."""
    technology: str
    """The plant's technology."""
    unit_milli_wh: int
    """Energy of each."""
    produced_from_ms: int
    """When their production began."""
    produced_until_ms: int
    """When it ended."""
    expires_ms: int
    """From when on they are worth nothing."""


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Coins:
    """A working copy of a member's green-choice coins."""

    balance_micro: int
    """Coins."""
    since: int | None
    """First interval of which its withdrawals count; None before it enrols."""
    end: int | None
    """First interval of which they count no more; None unless it left."""
    retired_milli_wh: int
    """Energy of certificates retired for it that covers withdrawals to come."""
    covered_milli_wh: int
    """Withdrawals that were renewable, all together."""
    other_milli_wh: int
    """Withdrawals that were not, all together."""


Leaf = CertificateTerms | Plant | Lot | Coins
_Leaf = TypeVar("_Leaf", CertificateTerms, Plant, Lot, Coins)
LEAF_TYPES: Final[dict[type, int]] = {
    CertificateTerms: TERMS_TYPE,
    Plant: PLANT_TYPE,
    Lot: LOT_TYPE,
    Coins: COINS_TYPE,
}

_FIELD_NAMES: Final[dict[type, tuple[str, ...]]] = {
    kind: tuple([each.name for each in fields(kind)]) for kind in LEAF_TYPES
}


def encode_leaf(leaf: Leaf) -> bytes:
    """Return the canonical bytes of a leaf."""
    values = [getattr(leaf, name) for name in _FIELD_NAMES[type(leaf)]]
    return encode_trusted((LEAF_TYPES[type(leaf)], VERSION, *values))


def decode_leaf(kind: type[_Leaf], data: bytes) -> _Leaf:
    """Return the leaf of its bytes."""
    value = unpack_trusted(data)
    head, count = (LEAF_TYPES[kind], VERSION), len(_FIELD_NAMES[kind]) + 2
    if not isinstance(value, tuple) or value[:2] != head or len(value) != count:
        raise InvariantViolation(f"not a leaf of {kind.__name__}: {data.hex()[:80]}")
    make: Callable[..., _Leaf] = kind
    return make(*value[2:])


def read_terms(state: StateReader) -> CertificateTerms | None:
    """Return the terms without gas, for readers; None where genesis has no certificates."""
    data = state.get(TERMS_KEY)
    return None if data is None else decode_leaf(CertificateTerms, data)


def load_terms(ctx: CallContext) -> CertificateTerms:
    """Return the terms; raises CallError `no_certificates`."""
    data = ctx.get(TERMS_KEY)
    if data is None:
        raise CallError(
            "no_certificates",
            "this network issues no certificates",
            hint="Genesis brings them in with a section 'certificates'.",
        )
    return decode_leaf(CertificateTerms, data)


def load_terms_at(ctx: CallContext, interval: int) -> CertificateTerms:
    """Return the terms as they are for an interval; raises CallError `no_certificates`."""
    terms = load_terms(ctx)
    while interval < terms.since:
        data = ctx.get(before_key(terms.since))
        if data is None:
            raise InvariantViolation(f"the terms before interval {terms.since} are lost")
        terms = decode_leaf(CertificateTerms, data)
    return terms


def save_changed_terms(
    ctx: CallContext, known: CertificateTerms, changed: CertificateTerms
) -> None:
    """Have other terms hold from an interval on, and keep those before."""
    if changed.since > known.since:
        ctx.put(before_key(changed.since), encode_leaf(known))
    ctx.put(TERMS_KEY, encode_leaf(changed))


def before_key(since: int) -> bytes:
    """Return the key of the terms as they were before an interval."""
    return BEFORE_SPACE + since.to_bytes(8, "big")


def load_plant(ctx: CallContext, number: int) -> Plant:
    """Return the plant with a number that the state names."""
    data = ctx.get(plant_key(number))
    if data is None:
        raise InvariantViolation(f"plant {number} is gone")
    return decode_leaf(Plant, data)


def find_plant(ctx: CallContext, name: str) -> Plant:
    """Return the plant with a name; raises CallError `unknown_plant`."""
    number = ctx.get(PLANT_NAME_SPACE + name.encode())
    if number is None:
        raise CallError("unknown_plant", "no plant has this name", actual=name)
    return load_plant(ctx, int.from_bytes(number, "big"))


def plant_at(ctx: CallContext, member: bytes) -> Plant | None:
    """Return the plant that feeds a member's connection, also one that is closed; None if none."""
    number = ctx.get(PLANT_OF_SPACE + member)
    return None if number is None else load_plant(ctx, int.from_bytes(number, "big"))


def save_plant(ctx: CallContext, plant: Plant) -> None:
    """Write a plant's leaf."""
    ctx.put(plant_key(plant.number), encode_leaf(plant))


def load_credit(ctx: CallContext, plant: int, period: int) -> int:
    """Return the energy that was credited to a plant for a period that is not final yet."""
    data = ctx.get(credit_key(plant, period))
    if data is None:
        return 0
    match unpack_trusted(data):
        case (142, 1, int(energy)):
            return energy
    raise InvariantViolation(f"not a credit: {data.hex()[:80]}")


def save_credit(ctx: CallContext, plant: int, period: int, energy_milli_wh: int) -> None:
    """Write what was credited; nothing is kept of nothing."""
    if energy_milli_wh:
        value = encode_trusted((CREDIT_TYPE, VERSION, energy_milli_wh))
        ctx.put(credit_key(plant, period), value)


def load_lot(ctx: CallContext, number: int) -> Lot:
    """Return a lot; raises CallError `unknown_lot`."""
    data = ctx.get(lot_key(number))
    if data is None:
        raise CallError(
            "unknown_lot",
            "no such lot stands: it was never issued, or all of it is retired or expired",
            actual=number,
        )
    return decode_leaf(Lot, data)


def save_lot(ctx: CallContext, lot: Lot) -> None:
    """Write a lot with its entry in its owner's list."""
    ctx.put(lot_key(lot.number), encode_leaf(lot))
    ctx.put(lot_index_key(lot), MARK)


def delete_lot(ctx: CallContext, lot: Lot) -> None:
    """Delete a lot with its entry in its owner's list."""
    ctx.delete(lot_key(lot.number))
    ctx.delete(lot_index_key(lot))


def load_coins(ctx: CallContext, account: bytes) -> Coins:
    """Return a member's coins, none at first."""
    data = ctx.get(COINS_SPACE + account)
    return Coins(0, None, None, 0, 0, 0) if data is None else decode_leaf(Coins, data)


def read_coins(state: StateReader, account: bytes) -> Coins | None:
    """Return a member's coins without gas, for readers; None if it never had any."""
    data = state.get(COINS_SPACE + account)
    return None if data is None else decode_leaf(Coins, data)


def save_coins(ctx: CallContext, account: bytes, coins: Coins) -> None:
    """Write a member's coins."""
    ctx.put(COINS_SPACE + account, encode_leaf(coins))


def read_plant(state: StateReader, number: int) -> Plant | None:
    """Return a plant without gas, for readers; None if there is none."""
    data = state.get(plant_key(number))
    return None if data is None else decode_leaf(Plant, data)


def read_lot(state: StateReader, number: int) -> Lot | None:
    """Return a lot without gas, for readers; None if there is none."""
    data = state.get(lot_key(number))
    return None if data is None else decode_leaf(Lot, data)


def read_lots_of(state: StateReader, owner: bytes, after: int = 0) -> Iterator[Lot]:
    """Yield the lots of an account in the order of their numbers, those after one number."""
    start = LOT_INDEX + owner
    for key, _ in state.scan(start + (after + 1).to_bytes(8, "big"), start + b"\xff" * 9):
        lot = read_lot(state, int.from_bytes(key[len(start) :], "big"))
        if lot is not None:
            yield lot


def plant_key(number: int) -> bytes:
    """Return the key of a plant."""
    return PLANT_SPACE + number.to_bytes(4, "big")


def credit_key(plant: int, period: int) -> bytes:
    """Return the key of what was credited to a plant for a period."""
    return CREDIT_SPACE + plant.to_bytes(4, "big") + period.to_bytes(8, "big")


def lot_key(number: int) -> bytes:
    """Return the key of a lot."""
    return LOT_SPACE + number.to_bytes(8, "big")


def lot_index_key(lot: Lot) -> bytes:
    """Return the key of a lot's entry in its owner's list."""
    return LOT_INDEX + lot.owner + lot.number.to_bytes(8, "big")
