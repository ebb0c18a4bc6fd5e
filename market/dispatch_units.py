"""Registered units of a dispatch area: checked as the problem will need them, and written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from market.dispatch_findings import check_problem
from market.dispatch_levels import forget_level
from market.dispatch_problem import GENERATOR, LOAD, Bid, DispatchProblem, Storage, Unit
from market.dispatch_records import (
    BID_INDEX,
    KIND_NAMES,
    MARK,
    STORAGE_KIND,
    UNIT_INDEX,
    UNIT_NAME_SPACE,
    UNITS_SPACE,
    Area,
    AreaMoney,
    BidFields,
    UnitRecord,
    area_key,
    decode_unit,
    delete_bid,
    unit_key,
)
from market.dispatch_rounds import (
    DISPATCH_ACCOUNT,
    FORGETTING,
    load_money,
    save_money,
    schedule_opening,
)
from market.dispatch_section import MAX_AREA_UNITS, AreaSection, FirstUnit
from market.network import Bus, Network, NetworkFinding
from market.records import BUS_NAME_SPACE, decode_market, market_key
from vm.context import CallContext
from vm.primitives.codec import decode_integer, encode_trusted
from vm.primitives.errors import BitenergyError, CallError, InvalidGenesis, InvariantViolation
from vm.system.accounts import change_supply, load_account, save_account
from vm.system.members import NAME_SPACE

STORAGE_NUMBERS: Final = 10
FORGOTTEN_AT_ONCE: Final = 200
"""Bids of a retired unit that are deleted in one step."""
BidArgument = tuple[tuple[bytes, bytes, int, int], ...]
"""Bids as a call brings them: [a, b, lo_w, hi_w], the first two as bytes."""


def read_bids(bids: BidArgument) -> tuple[BidFields, ...]:
    """Return bids with their costs as integers; raises CallError `invalid_arguments`."""
    return tuple((read_wide(a), read_wide(b), lo_w, hi_w) for a, b, lo_w, hi_w in bids)


def read_wide(data: bytes) -> int:
    """Return an integer that came as bytes; raises CallError `invalid_arguments`."""
    try:
        return decode_integer(data)
    except BitenergyError as error:
        raise CallError("invalid_arguments", str(error)) from error


def find_unit(ctx: CallContext, area: Area, name: str) -> tuple[int, UnitRecord]:
    """Return a unit and its number; raises CallError `unknown_unit`."""
    number = ctx.get(UNIT_NAME_SPACE + area.prefix + name.encode())
    data = None if number is None else ctx.get(unit_key(area.prefix, int.from_bytes(number, "big")))
    if number is None or data is None:
        raise CallError("unknown_unit", "the area has no such unit", actual=name)
    return int.from_bytes(number, "big"), decode_unit(data)


def validate_bids(area: Area, record: UnitRecord) -> None:
    """Raise CallError `invalid_unit`, with all findings, unless the unit's bids are sound.

    The unit is looked at as the only one of a network with one bus, must-serve demand and all.
    """
    network = Network(record.bus, (Bus(record.bus),), ())
    storages: tuple[Storage, ...] = ()
    units: tuple[Unit, ...] = ()
    if record.kind == STORAGE_KIND:
        storages = (Storage(record.name, record.bus, *record.storage),)
        count = 1
    else:
        kind = (GENERATOR, LOAD)[record.kind]
        bids = tuple(Bid(*bid) for bid in record.bids)
        units = (Unit(record.name, record.bus, kind, bids),)
        count = len(bids)
    problem = DispatchProblem(network, area.interval_minutes, count, units, storages)
    for a, b, lo_w, hi_w in record.bids:
        # A bid at an absurd price would raise the turnover, of which a gap may be a part.
        worst = max(abs(b), abs(b + a * lo_w), abs(b + a * hi_w))
        if worst > area.max_price:
            raise CallError(
                "price_too_high",
                "a bid's marginal cost passes what the area allows",
                expected=f"within {area.max_price} 1e-24 $/Wh",
                actual=worst,
            )
    _validate_powers(area, record)
    findings = [each for each in check_problem(problem) if each.code != "infeasible"]
    for storage in storages:
        if storage.energy_end_min_milli_wh > storage.energy_start_milli_wh:
            # Where the network does not carry it, nobody could prove any result.
            message = "a storage ends a round at no more than it begins with"
            findings.append(NetworkFinding("limits", record.name, message))
    if findings:
        raise CallError(
            "invalid_unit",
            "the unit is not sound: " + "; ".join(each.message for each in findings[:20]),
            expected="no findings",
            actual=f"{len(findings)} findings",
        )


def _validate_powers(area: Area, record: UnitRecord) -> None:
    """Raise CallError `power_too_high` where a limit of a unit passes what the area allows."""
    powers = [power for bid in record.bids for power in bid[2:]]
    if record.kind == STORAGE_KIND:
        powers += record.storage[:2]
    worst = max(map(abs, powers), default=0)
    if worst > area.max_power_w:
        raise CallError(
            "power_too_high",
            "a unit's limit passes what the area allows",
            expected=f"within {area.max_power_w} W",
            actual=f"{worst} W",
        )


def validate_within(record: UnitRecord, bids: Sequence[BidFields]) -> None:
    """Raise CallError `beyond_unit` unless bids stay within the limits of a registered unit."""
    low, high = min(bid[2] for bid in record.bids), max(bid[3] for bid in record.bids)
    for _, _, lo_w, hi_w in bids:
        if lo_w < low or hi_w > high:
            raise CallError(
                "beyond_unit",
                "the unit is registered with other limits",
                expected=f"within {low} to {high} W",
                actual=f"{lo_w} to {hi_w} W",
                hint="Register it anew to change them.",
            )


def write_unit(
    ctx: CallContext, area: Area, record: UnitRecord, *, anyones: bool, most_of_owner: int
) -> int:
    """Write a new unit or a changed one; return its number.

    A unit of another member is changed only where `anyones` says so: for the operator. An owner
    that has `most_of_owner` units gets no more of them (`too_many_units`).
    """
    _validate_form(ctx, area, record)
    validate_bids(area, record)
    load_account(ctx, record.owner)
    known = ctx.get(UNIT_NAME_SPACE + area.prefix + record.name.encode())
    if known is None:
        money = load_money(ctx, area)
        if money.standing_units >= MAX_AREA_UNITS:
            raise CallError("too_many_units", "the area is full", expected=MAX_AREA_UNITS)
        count_units(ctx, area, record.owner, 1, most=most_of_owner)
        money.units += 1
        money.standing_units += 1
        save_money(ctx, area, money)
        number = money.units
        tail = area.prefix + number.to_bytes(4, "big")
        ctx.put(UNIT_NAME_SPACE + area.prefix + record.name.encode(), number.to_bytes(4, "big"))
        ctx.put(UNIT_INDEX + tail, MARK)
    else:
        number = int.from_bytes(known, "big")
        old = find_unit(ctx, area, record.name)[1]
        if old.owner != record.owner and not anyones:
            raise CallError("not_owner", "the unit is another member's", actual=record.name)
        if old.kind != record.kind:
            # Its bids stand, and what they say of another kind would be found when a round opens.
            raise CallError(
                "other_kind",
                "a unit keeps its kind",
                expected=KIND_NAMES[old.kind],
                actual=KIND_NAMES[record.kind],
                hint="Retire it first.",
            )
        if old.owner != record.owner:
            count_units(ctx, area, old.owner, -1, most=MAX_AREA_UNITS)
            count_units(ctx, area, record.owner, 1, most=most_of_owner)
        if old.storage != record.storage:
            forget_level(ctx, area, number)
    ctx.put(unit_key(area.prefix, number), record.encode())
    ctx.emit("register_unit", area.name, record.name, record.owner, record.bus, record.kind)
    return number


def count_units(ctx: CallContext, area: Area, owner: bytes, more: int, *, most: int) -> None:
    """Count a member's units up or down; raises CallError `too_many_units` beyond `most`."""
    key = UNITS_SPACE + area.prefix + owner
    count = int.from_bytes(ctx.get(key) or b"", "big") + more
    if more > 0 and count > most:
        raise CallError(
            "too_many_units",
            "the member has all the units that it may register",
            expected=f"at most {most}",
            hint="An operator registers more for it.",
        )
    if count:
        ctx.put(key, count.to_bytes(2, "big"))
    else:
        ctx.delete(key)


def forget_unit(ctx: CallContext, area: Area, name: str) -> UnitRecord:
    """Take a unit out of an area, and its bids with it, the later ones in due time.

    Raises CallError `unknown_unit`.
    """
    number, record = find_unit(ctx, area, name)
    ctx.delete(unit_key(area.prefix, number))
    ctx.delete(UNIT_NAME_SPACE + area.prefix + name.encode())
    ctx.delete(UNIT_INDEX + area.prefix + number.to_bytes(4, "big"))
    money = load_money(ctx, area)
    money.standing_units -= 1
    save_money(ctx, area, money)
    count_units(ctx, area, record.owner, -1, most=MAX_AREA_UNITS)
    forget_level(ctx, area, number)
    forget_bids(ctx, area, number)
    return record


def forget_bids(ctx: CallContext, area: Area, number: int) -> None:
    """Delete the bids of a retired unit, a batch now and the rest in due time."""
    if delete_bids(ctx, area, number, 2**63, FORGOTTEN_AT_ONCE) == FORGOTTEN_AT_ONCE:
        ctx.schedule(ctx.time_ms + 1, encode_trusted((FORGETTING, area.name, number)))


def delete_bids(ctx: CallContext, area: Area, number: int, before: int, most: int) -> int:
    """Delete at most `most` of a unit's bids for intervals before one; return how many."""
    unit = BID_INDEX + area.prefix + number.to_bytes(4, "big")
    end = unit + before.to_bytes(8, "big")
    found = [
        int.from_bytes(key[len(unit) :], "big") for key, _ in islice(ctx.scan(unit, end), most)
    ]
    for interval in found:
        delete_bid(ctx, area.prefix, number, interval)
    return len(found)


def write_area(ctx: CallContext, section: AreaSection) -> None:
    """Write an area of genesis, its money and its first units; raises InvalidGenesis."""
    area = section.area
    where = f"dispatch area {area.name!r}"
    market = ctx.get(market_key(area.market))
    if market is None or not decode_market(market).buses:
        raise InvalidGenesis(f"{where}: its market has no network", actual=area.market)
    ctx.put(area_key(area.name), area.encode())
    save_money(ctx, area, AreaMoney(pot_micro=section.pot_micro))
    if section.pot_micro:
        held = load_account(ctx, DISPATCH_ACCOUNT)
        try:
            held.earn(section.pot_micro)
            change_supply(ctx, money_micro=section.pot_micro)
        except CallError as error:
            raise InvalidGenesis(f"{where}: its pot is more than there can be") from error
        save_account(ctx, DISPATCH_ACCOUNT, held)
    for unit in section.units:
        try:
            record = _first_record(ctx, unit)
            write_unit(ctx, area, record, anyones=False, most_of_owner=MAX_AREA_UNITS)
        except CallError as error:
            raise InvalidGenesis(f"{where}, unit {unit.name!r}: {error}") from error
    schedule_opening(ctx, area)


def move_money(ctx: CallContext, payer: bytes, payee: bytes, amount_micro: int) -> None:
    """Move free money between two different accounts; raises CallError."""
    leaf = load_account(ctx, payer)
    leaf.pay(amount_micro)
    save_account(ctx, payer, leaf)
    leaf = load_account(ctx, payee)
    leaf.earn(amount_micro)
    save_account(ctx, payee, leaf)


def _first_record(ctx: CallContext, unit: FirstUnit) -> UnitRecord:
    owner = ctx.get(NAME_SPACE + unit.owner.encode())
    if owner is None:
        raise CallError("unknown_account", "its owner is no member", actual=unit.owner)
    kind = KIND_NAMES.index(unit.kind)
    return UnitRecord(owner, unit.name, unit.bus, kind, unit.bids, unit.storage)


def _validate_form(ctx: CallContext, area: Area, record: UnitRecord) -> None:
    market = ctx.get(market_key(area.market))
    if market is None:
        raise InvariantViolation(f"area {area.name!r} lost its market")
    prefix = decode_market(market).prefix
    if ctx.get(BUS_NAME_SPACE + prefix + record.bus.encode()) is None:
        raise CallError("unknown_bus", "the network has no such bus", actual=record.bus)
    is_storage = record.kind == STORAGE_KIND
    if is_storage != bool(record.storage) or is_storage == bool(record.bids):
        raise CallError(
            "invalid_arguments",
            "a storage has its ten numbers and no bids; a generator or load has bids alone",
        )
    if not is_storage and len(record.bids) not in (1, area.intervals):
        raise CallError(
            "wrong_intervals",
            "a unit has one bid, or one for each interval of a round",
            expected=f"1 or {area.intervals}",
            actual=len(record.bids),
        )
