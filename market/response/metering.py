"""Readings of demand-response events where genesis has meters: they come from the chain itself.

What counts is what a connection consumes: what it withdrew less what it injected. A baseline is
taken from the same times of the days before the event. Where registers leave open when energy
flowed, the course counts that is worst for the member: of an event that calls for less, the most
that it can have consumed in the event, against the least that it can have before; of one that calls
for more, the other way round. So a reading kept back never makes a response.
"""

from __future__ import annotations

from itertools import chain
from typing import Final

from market.meters.brackets import Bracket, Brackets
from market.meters.proving import PROVED, Readers, Reading, are_read
from market.meters.readings import validate_measurable
from market.meters.records import MINUTES_PER_DAY, MetersConfig, load_config
from market.response.events import DOWN, baseline_milli_wh
from market.response.records import (
    ENROLMENT_SPACE,
    EVENT_DUE,
    Enrolment,
    ResponseEvent,
    ResponseTerms,
    load_each,
    load_event,
    save_own,
)
from vm.context import CallContext
from vm.primitives.codec import encode_trusted
from vm.primitives.errors import CallError, InvalidGenesis

GAS_OF_ENROLMENT: Final = 4_000
"""What a member takes at most, beside its registers: for being found and read, or settled."""


def validate_retention(ctx: CallContext, terms: ResponseTerms) -> None:
    """Raise InvalidGenesis unless meters keep their readings as long as baselines need them."""
    meters = load_config(ctx)
    if meters is None:
        return
    changeable = meters.deadline_minutes + meters.correction_minutes
    needed = terms.past_intervals + 1 + -(-changeable // MINUTES_PER_DAY)
    if meters.retention_days < needed:
        raise InvalidGenesis(
            "'response.past_intervals': meters do not keep readings that long",
            expected=f"'meters.retention_days' of {needed} or more",
            actual=meters.retention_days,
        )


def validate_intervals(
    ctx: CallContext, intervals: int, start_ms: int, end_ms: int, readings_until_ms: int
) -> None:
    """Raise CallError unless meters, if there are any, measure each interval of a profile."""
    meters = load_config(ctx)
    if meters is None:
        return
    validate_measurable(meters, start_ms, end_ms, readings_until_ms)
    count = (end_ms - start_ms) // meters.interval_ms
    if count % intervals or count > meters.intervals_per_day:
        raise CallError(
            "not_on_grid",
            "a profile is of whole intervals of the meters, within a day",
            expected=f"{intervals} times as many, at most {meters.intervals_per_day}",
            actual=count,
        )


def is_read(ctx: CallContext, number: int, terms: ResponseTerms, reading: Reading) -> bool:
    """Tell whether all who are enrolled are read; else read those that can be, and look again."""
    meters = load_config(ctx)
    if meters is None:
        return True
    event = load_event(ctx, number)
    enrolled = load_each(ctx, Enrolment, ENROLMENT_SPACE, number)

    def read(account: bytes, step: int) -> bool:
        past, found = _brackets(ctx, meters, account, event, terms.past_intervals)
        is_proved = all(each.least == each.greatest for each in chain(found, *past))
        if step == PROVED and not is_proved:
            return False
        enrolment = enrolled[account]
        _set_readings(enrolment, past, found, event.direction, terms.highest)
        save_own(ctx, ENROLMENT_SPACE, number, account, enrolment)
        ctx.emit("baseline", number, account, *enrolment.baseline)
        ctx.emit("record", number, account, *enrolment.measured)
        return True

    readers = Readers(
        number,
        event.end_ms,
        [account for account, enrolment in enrolled.items() if not enrolment.measured],
        read,
        GAS_OF_ENROLMENT * (1 + len(enrolled)),
        lambda due_ms, step: ctx.schedule(due_ms, encode_trusted((EVENT_DUE, number, *step))),
    )
    return are_read(ctx, meters, readers, reading)


def _brackets(
    ctx: CallContext, meters: MetersConfig, account: bytes, event: ResponseEvent, days: int
) -> tuple[list[list[Bracket]], list[Bracket]]:
    """Return what is proved of each interval of a profile: on the days before, and in the event."""
    first, end = meters.interval_of(event.start_ms), meters.interval_of(event.end_ms)
    size = (end - first) // len(event.profile)
    begins = [first - day * meters.intervals_per_day for day in range(days + 1)]
    begins = [begin for begin in begins if begin >= 0]
    brackets = Brackets(ctx, meters, account, begins[-1], end)
    found, *past = [
        [brackets.of(begin + place, begin + place + size) for place in range(0, end - first, size)]
        for begin in begins
    ]
    return past, found


def _set_readings(
    enrolment: Enrolment,
    past: list[list[Bracket]],
    found: list[Bracket],
    direction: int,
    highest: int,
) -> None:
    """Set baseline and readings; the baseline stays empty where nothing encloses a past interval.

    A past interval that no registers of one meter enclose is none that compares.
    """
    is_down = direction == DOWN
    compared = [
        [_least(each) if is_down else _greatest(each) for each in part if each.is_enclosed]
        for part in zip(*past, strict=True)
    ]
    if compared and all(compared):
        enrolment.baseline = tuple([baseline_milli_wh(each, highest) for each in compared])
    enrolment.measured = tuple([_greatest(each) if is_down else _least(each) for each in found])


def _least(bracket: Bracket) -> int:
    """Return what was consumed at least."""
    return bracket.least[1] - bracket.greatest[0]


def _greatest(bracket: Bracket) -> int:
    """Return what was consumed at most."""
    return bracket.greatest[1] - bracket.least[0]
