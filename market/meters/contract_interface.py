"""The built-in interface `readings`: what contracts read of members' meters.

Energies are a member's personal data: a contract reads those of members that allowed it. One that
settles on a reading asks `is_closed` first, or `is_final` if it cannot correct what it paid.
Reading costs the gas of the chunks that are read.
"""

from __future__ import annotations

from typing import Final

from market.meters.readings import (
    Measured,
    add_up,
    has_meter,
    is_closed,
    is_final,
    may_read,
    read_intervals,
)
from market.meters.records import load_terms
from vm.context import CallContext
from vm.contract.interfaces import Signature
from vm.contract.value_types import ADDRESS, BOOL, INT, ValueType
from vm.module import ContractMethod, Interfaces
from vm.primitives.codec import Encodable
from vm.primitives.errors import CallError

MAX_INTERVALS: Final = 960
"""Intervals that one call adds up."""

_MEMBER: Final = ("member", ADDRESS)
_INTERVAL: Final = ("interval", INT)
_SPAN: Final = (_MEMBER, ("first_interval", INT), ("count", INT))


def readings_interfaces() -> Interfaces:
    """Return the interface."""

    def look(result: ValueType, *parameters: tuple[str, ValueType]) -> Signature:
        return Signature(parameters, result, is_view=True)

    return {
        "readings": {
            "injected_milli_wh": ContractMethod(look(INT, *_SPAN), _injected),
            "withdrawn_milli_wh": ContractMethod(look(INT, *_SPAN), _withdrawn),
            "quality": ContractMethod(look(INT, *_SPAN), _quality),
            "is_closed": ContractMethod(look(BOOL, _INTERVAL), _is_closed),
            "is_final": ContractMethod(look(BOOL, _INTERVAL), _is_final),
            "may_read": ContractMethod(look(BOOL, _MEMBER), _may_read),
            "has_meter": ContractMethod(look(BOOL, _MEMBER), has_meter),
            "interval_of": ContractMethod(look(INT, ("time_ms", INT)), _interval_of),
            "interval_ms": ContractMethod(look(INT), _interval_ms),
        }
    }


def _injected(ctx: CallContext, member: bytes, first: int, count: int) -> Encodable:
    """Return the energy that a member's connection injected in `count` intervals, mWh."""
    return _sum(ctx, member, first, count).injected_milli_wh


def _withdrawn(ctx: CallContext, member: bytes, first: int, count: int) -> Encodable:
    """Return the energy that a member's connection withdrew in `count` intervals, mWh."""
    return _sum(ctx, member, first, count).withdrawn_milli_wh


def _quality(ctx: CallContext, member: bytes, first: int, count: int) -> Encodable:
    """Return 1 if all was measured, 2 to 4 if some is estimated, 0 if some is missing."""
    return _sum(ctx, member, first, count).quality


def _sum(ctx: CallContext, member: bytes, first: int, count: int) -> Measured:
    config = load_terms(ctx)
    if not 1 <= count <= MAX_INTERVALS:
        raise CallError(
            "invalid_arguments",
            "too many intervals or none",
            expected=f"1 to {MAX_INTERVALS}",
            actual=count,
        )
    if not may_read(ctx, member, ctx.caller):
        raise CallError(
            "no_consent",
            "the member does not let this contract read its energies",
            actual=member,
            hint="It allows that with `meters.allow_reader`.",
        )
    return add_up(read_intervals(ctx, config, member, _validated(first), count))


def _may_read(ctx: CallContext, member: bytes) -> Encodable:
    """Tell whether the contract may read a member's energies."""
    return may_read(ctx, member, ctx.caller)


def _is_closed(ctx: CallContext, interval: int) -> Encodable:
    load_terms(ctx)
    return is_closed(ctx, _validated(interval))


def _is_final(ctx: CallContext, interval: int) -> Encodable:
    return is_final(ctx, _validated(interval))


def _interval_of(ctx: CallContext, time_ms: int) -> Encodable:
    return load_terms(ctx).interval_of(_validated(time_ms))


def _interval_ms(ctx: CallContext) -> Encodable:
    return load_terms(ctx).interval_ms


def _validated(number: int) -> int:
    if number < 0:
        raise CallError("invalid_arguments", "a time or interval is not negative", actual=number)
    return number
