"""Demand-response events on the chain: call, enrolment, readings, settlement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from market.meters.readings import validate_metered
from market.meters.records import load_config
from market.response.events import (
    baseline_milli_wh,
    delivered_milli_wh,
    penalty_micro,
    reserve_micro,
    reward_micro,
)
from market.response.records import (
    ENROLMENT_SPACE,
    EVENT_SPACE,
    Enrolment,
    EventResult,
    ResponseEvent,
    ResponseTerms,
    delete_own,
    encode_leaf,
    events_of,
    load_each,
    load_event,
    load_leaf,
    mark_enrolled,
    number_key,
    own_key,
    save_own,
    save_result,
    unmark_enrolled,
)
from market.working_accounts import WorkingAccounts
from vm.context import CallContext
from vm.primitives.errors import CallError
from vm.system.accounts import load_account, save_account

MAX_ENROLMENTS: Final = 100
"""Members of an event: its settlement is one step, within the gas of one due item."""


def save_event(ctx: CallContext, number: int, event: ResponseEvent) -> None:
    """Write an event's leaf."""
    ctx.put(number_key(EVENT_SPACE, number), encode_leaf(event))


def enrol(ctx: CallContext, number: int, promised: Sequence[int]) -> int:
    """Enter the caller's promise against a deposit; return the deposit. Raises CallError."""
    event = load_event(ctx, number)
    if ctx.time_ms >= event.enrol_until_ms:
        raise CallError(
            "gate_closed", "enrolment has ended", expected=event.enrol_until_ms, actual=ctx.time_ms
        )
    validate_metered(ctx)
    if ctx.get(own_key(ENROLMENT_SPACE, number, ctx.caller)) is not None:
        raise CallError("already_enrolled", "the member is enrolled in this event")
    _validate_apart(ctx, event)
    if event.members >= MAX_ENROLMENTS:
        raise CallError("event_full", "the event is full", expected=f"at most {MAX_ENROLMENTS}")
    _validate_length(promised, len(event.profile))
    left = tuple([called - part for called, part in zip(event.profile, promised, strict=True)])
    if not sum(promised) or min(left) < 0:
        raise CallError(
            "profile_full",
            "a promise is some of what is still called for in each interval",
            expected=f"at most {', '.join(map(str, event.profile))}",
            actual=", ".join(map(str, promised)),
        )
    deposit = reserve_micro(promised, event.penalty_price_micro_per_kwh)
    leaf = load_account(ctx, ctx.caller)
    leaf.reserve_money(deposit)
    save_account(ctx, ctx.caller, leaf)
    save_own(ctx, ENROLMENT_SPACE, number, ctx.caller, Enrolment(tuple(promised), deposit, (), ()))
    mark_enrolled(ctx, ctx.caller, number)
    event.profile = left
    event.members += 1
    save_event(ctx, number, event)
    ctx.emit("enrol", number, ctx.caller, sum(promised), deposit)
    return deposit


def record_past(
    ctx: CallContext,
    terms: ResponseTerms,
    number: int,
    account: bytes,
    past: Sequence[Sequence[int]],
) -> None:
    """Set a member's baseline from past readings, once, before the event. Raises CallError."""
    event = load_event(ctx, number)
    enrolment = _load_enrolment(ctx, number, account)
    if ctx.time_ms >= event.start_ms:
        raise CallError(
            "wrong_time", "past readings come before the event", expected=event.start_ms
        )
    if enrolment.baseline:
        raise CallError("duplicate_reading", "the member has a baseline")
    _validate_length(past, len(event.profile))
    for energies in past:
        _validate_length(energies, terms.past_intervals)
    enrolment.baseline = tuple([baseline_milli_wh(each, terms.highest) for each in past])
    save_own(ctx, ENROLMENT_SPACE, number, account, enrolment)
    ctx.emit("baseline", number, account, *enrolment.baseline)


def record_event(ctx: CallContext, number: int, account: bytes, measured: Sequence[int]) -> None:
    """Record what a member's meter showed in each interval, once. Raises CallError."""
    event = load_event(ctx, number)
    enrolment = _load_enrolment(ctx, number, account)
    if not event.end_ms <= ctx.time_ms < event.readings_until_ms:
        raise CallError(
            "wrong_time",
            "readings come after the event and before their deadline",
            expected=f"{event.end_ms} to {event.readings_until_ms} ms",
            actual=ctx.time_ms,
        )
    if enrolment.measured:
        raise CallError("duplicate_reading", "the member was read")
    _validate_length(measured, len(event.profile))
    enrolment.measured = tuple(measured)
    save_own(ctx, ENROLMENT_SPACE, number, account, enrolment)
    ctx.emit("record", number, account, *measured)


def settle_event(ctx: CallContext, terms: ResponseTerms, number: int) -> None:
    """Pay rewards, take penalties, and set free what is left of reserves.

    A member without baseline or reading gets no reward and pays no penalty. Where genesis has
    meters, all are read, and one of whom they prove no baseline delivered nothing.
    """
    event, is_metered = load_event(ctx, number), load_config(ctx) is not None
    accounts = WorkingAccounts(ctx)
    totals = [0, 0, 0]
    for account, enrolment in load_each(ctx, Enrolment, ENROLMENT_SPACE, number).items():
        reward = penalty = 0
        if enrolment.measured and (enrolment.baseline or is_metered):
            delivered = _delivered(enrolment, event.direction)
            reward = reward_micro(delivered, event.price_micro_per_kwh)
            penalty = penalty_micro(
                enrolment.promised,
                delivered,
                price=event.penalty_price_micro_per_kwh,
                tolerance_percent=terms.tolerance_percent,
            )
            figures = (sum(delivered), reward, penalty)
            totals = [total + figure for total, figure in zip(totals, figures, strict=True)]
            ctx.emit("settle", number, account, *figures)
        else:
            ctx.emit("unread", number, account)
        accounts.pay_reserved(event.caller, account, number, reward)
        accounts.pay_reserved(account, event.caller, number, penalty)
        event.reserve_micro -= reward
        accounts.account(account).release_money(enrolment.deposit_micro - penalty)
        delete_own(ctx, ENROLMENT_SPACE, number, account)
        unmark_enrolled(ctx, account, number)
    accounts.account(event.caller).release_money(event.reserve_micro)
    accounts.save()
    ctx.delete(number_key(EVENT_SPACE, number))
    save_result(ctx, EventResult(number, *totals))
    ctx.emit("ended", number)


def _delivered(enrolment: Enrolment, direction: int) -> list[int]:
    """Return what counts of each promise; nothing without a baseline."""
    if not enrolment.baseline:
        return [0] * len(enrolment.promised)
    return [
        delivered_milli_wh(*each, direction)
        for each in zip(enrolment.baseline, enrolment.measured, enrolment.promised, strict=True)
    ]


def _validate_apart(ctx: CallContext, event: ResponseEvent) -> None:
    """Raise CallError if the caller is in another event of the same direction and time.

    Both would measure against the same baseline: what is delivered once would be paid twice.
    """
    for number in events_of(ctx, ctx.caller):
        other = load_event(ctx, number)
        overlap = event.start_ms < other.end_ms and other.start_ms < event.end_ms
        if overlap and other.direction == event.direction:
            raise CallError(
                "events_overlap",
                "the member is enrolled in an event of the same direction at that time",
                expected=f"one that begins at {other.end_ms} ms or later",
                actual=number,
                hint="Enrol in one of them: the same energy is not rewarded twice.",
            )


def _load_enrolment(ctx: CallContext, number: int, account: bytes) -> Enrolment:
    key = own_key(ENROLMENT_SPACE, number, account)
    return load_leaf(ctx, Enrolment, key, "not_enrolled", "the member is not enrolled")


def _validate_length(values: Sequence[object], length: int) -> None:
    if len(values) != length:
        raise CallError(
            "wrong_length", "one value for each interval", expected=length, actual=len(values)
        )
