"""Levels of storages between rounds: where a proved round leaves one, the next round begins.

A level is kept exactly, in 1e-6 W·min, in a leaf of its own, `[87, 1, round, level]`, from the
first proved round on; before, the level that the unit is registered with holds. A round's problem
has it in whole milliwatt-hours, rounded down. Each proved round moves it by what the storage takes
and gives there, within the bounds that the unit is registered with: so it stays right where two
rounds were open at once and the later one began from what the earlier had not moved yet. A round
without a proof obliges nobody, and leaves levels as they are.

Who registers a storage with other numbers states its level anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from market.dispatch_certificate import Certificate
from market.dispatch_layout import DispatchLayout
from market.dispatch_problem import STORE_PER_MILLI_WH, DispatchProblem, Storage
from market.dispatch_records import (
    STORAGE_KIND,
    UNIT_NAME_SPACE,
    Area,
    Round,
    UnitRecord,
    decode_round,
    decode_unit,
    round_key,
    unit_key,
)
from vm.context import CallContext
from vm.overlay import StateReader
from vm.primitives.codec import decode_integer, encode_integer, encode_trusted, unpack_trusted
from vm.primitives.errors import InvariantViolation

LEVEL_SPACE: Final = b"dl"
LEVEL_TYPE: Final = 87
VERSION: Final = 1
GAS_MOVED: Final = 20
"""A step of a level that is added up."""


class Level(NamedTuple):
    """The level of a storage after the last proved round in which it took part."""

    round: int
    """That round's number."""
    store: int
    """The level, 1e-6 W·min."""

    @property
    def milli_wh(self) -> int:
        """The level with which the next round begins, mWh."""
        return self.store // STORE_PER_MILLI_WH


def level_key(prefix: bytes, number: int) -> bytes:
    """Return the key of the level of a unit of the area with `prefix`."""
    return LEVEL_SPACE + prefix + number.to_bytes(4, "big")


def read_level(state: StateReader | CallContext, prefix: bytes, number: int) -> Level | None:
    """Return the level of a unit; None where the registered one holds."""
    data = state.get(level_key(prefix, number))
    if data is None:
        return None
    match unpack_trusted(data):
        case (87, 1, int(round_number), bytes(store)):
            return Level(round_number, decode_integer(store))
    raise InvariantViolation(f"not a leaf of a level: {data.hex()[:80]}")


def storage_of(ctx: CallContext, area: Area, number: int, record: UnitRecord) -> Storage:
    """Return a registered storage as a round that opens now takes it."""
    registered = Storage(record.name, record.bus, *record.storage)
    level = read_level(ctx, area.prefix, number)
    if level is None:
        return registered
    return replace(registered, energy_start_milli_wh=level.milli_wh)


def forget_level(ctx: CallContext, area: Area, number: int) -> None:
    """Have the registered level of a unit hold."""
    if ctx.get(level_key(area.prefix, number)) is not None:
        ctx.delete(level_key(area.prefix, number))


def move_levels(
    ctx: CallContext,
    area: Area,
    found: Round,
    layout: DispatchLayout,
    certificate: Certificate,
) -> None:
    """Move each storage's level by what it takes and gives in a proved round."""
    problem = layout.problem
    ctx.charge(GAS_MOVED * len(layout.storages) * problem.intervals)
    for place, row in enumerate(layout.storages):
        storage = row.storage
        step = sum(
            one.storages[place].charge_w * storage.stored_ppm
            - one.storages[place].discharge_w * storage.drawn_ppm
            for one in certificate.intervals
        )
        number = _number_of(ctx, area, storage)
        if number is None:
            continue
        before = read_level(ctx, area.prefix, number)
        store = row.start if before is None else before.store
        store = min(max(store + problem.interval_minutes * step, row.end_least), row.greatest)
        ctx.put(
            level_key(area.prefix, number),
            encode_trusted((LEVEL_TYPE, VERSION, found.number, encode_integer(store))),
        )
    if layout.storages:
        ctx.emit("move_levels", area.name, found.number, len(layout.storages))


def tell_kept(ctx: CallContext, found: Round, problem: DispatchProblem) -> None:
    """Tell that levels stay as they were, because a round had no proof."""
    if problem.storages:
        ctx.emit("keep_levels", found.area, found.number, len(problem.storages))


def tell_pending(
    ctx: CallContext, found: Round, opened: list[int], problem: DispatchProblem
) -> None:
    """Tell that a round begins from levels that an earlier one of those `opened` may still move."""
    for earlier in opened if problem.storages else ():
        data = ctx.get(round_key(earlier))
        if data is None:
            raise InvariantViolation(f"round {earlier} is open and has no leaf")
        if decode_round(data).area == found.area:
            ctx.emit("levels_pending", found.area, found.number, earlier)


def _number_of(ctx: CallContext, area: Area, storage: Storage) -> int | None:
    """Return the number of the unit that a round's storage is; None if it is another one by now."""
    data = ctx.get(UNIT_NAME_SPACE + area.prefix + storage.name.encode())
    if data is None:
        return None
    number = int.from_bytes(data, "big")
    leaf = ctx.get(unit_key(area.prefix, number))
    record = None if leaf is None else decode_unit(leaf)
    if record is None or record.kind != STORAGE_KIND:
        return None
    registered = Storage(record.name, record.bus, *record.storage)
    if read_level(ctx, area.prefix, number) is not None:  # it moved since it was stated
        registered = replace(registered, energy_start_milli_wh=storage.energy_start_milli_wh)
    return number if registered == storage else None
