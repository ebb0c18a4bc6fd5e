"""Lots of certificates: transfer, retirement for somebody, expiry. Each certificate ends once."""

from __future__ import annotations

from dataclasses import replace

from market.certificates.due import EXPIRE, schedule
from market.certificates.records import (
    LOT_COUNTER,
    Lot,
    decode_leaf,
    delete_lot,
    load_coins,
    load_lot,
    load_plant,
    lot_index_key,
    lot_key,
    save_coins,
    save_lot,
)
from vm.context import CallContext
from vm.primitives.codec import Encodable
from vm.primitives.errors import CallError
from vm.primitives.integers import MAX_AMOUNT
from vm.system.account_leaf import load_active_account


def transfer_lot(ctx: CallContext, number: int, count: int, to: bytes) -> int:
    """Give `count` certificates of a lot to a member; return the lot in which they are then.

    Raises CallError.
    """
    lot = _load_own(ctx, number, count)
    load_active_account(ctx, to)
    ctx.delete(lot_index_key(lot))
    if count == lot.count:
        given = replace(lot, owner=to)
    else:
        given = replace(lot, number=ctx.next_number(LOT_COUNTER), count=count, owner=to)
        schedule(ctx, given.expires_ms, EXPIRE, given.number)
        save_lot(ctx, _without_first(lot, count))
    save_lot(ctx, given)
    ctx.emit("transfer", number, given.number, lot.first_serial, count, lot.owner, to)
    return given.number


def retire_lot(
    ctx: CallContext, number: int, count: int, beneficiary: bytes | str, purpose: str
) -> None:
    """Use up `count` certificates of a lot for somebody, for good. Raises CallError.

    Where the beneficiary is a member, their energy covers withdrawals of it that are still to come.
    """
    lot = _load_own(ctx, number, count)
    if isinstance(beneficiary, bytes):
        load_active_account(ctx, beneficiary)
        coins = load_coins(ctx, beneficiary)
        retired = coins.retired_milli_wh + count * lot.unit_milli_wh
        coins.retired_milli_wh = min(retired, MAX_AMOUNT)
        save_coins(ctx, beneficiary, coins)
    delete_lot(ctx, lot)
    if count < lot.count:
        save_lot(ctx, _without_first(lot, count))
    ctx.emit("retire", *_told(ctx, lot, count), beneficiary, purpose)


def expire_lot(ctx: CallContext, number: int) -> None:
    """End what is left of a lot, if anything is."""
    data = ctx.get(lot_key(number))
    if data is None:
        return
    lot = decode_leaf(Lot, data)
    delete_lot(ctx, lot)
    ctx.emit("expire", *_told(ctx, lot, lot.count))


def _load_own(ctx: CallContext, number: int, count: int) -> Lot:
    """Return a lot of the caller with at least `count` certificates that are still valid."""
    lot = load_lot(ctx, number)
    if lot.owner != ctx.caller:
        raise CallError("not_your_lot", "the lot belongs to another member", actual=lot.owner)
    if ctx.time_ms >= lot.expires_ms:
        raise CallError("expired", "the certificates are not valid any more", actual=number)
    if count > lot.count:
        raise CallError(
            "not_enough_certificates",
            "the lot has fewer certificates",
            expected=f"at most {lot.count}",
            actual=count,
        )
    return lot


def _without_first(lot: Lot, count: int) -> Lot:
    return replace(lot, first_serial=lot.first_serial + count, count=lot.count - count)


def _told(ctx: CallContext, lot: Lot, count: int) -> tuple[Encodable, ...]:
    plant = load_plant(ctx, lot.plant)
    produced = lot.produced_from_ms, lot.produced_until_ms
    return lot.number, plant.name, lot.first_serial, count, lot.owner, lot.technology, *produced
