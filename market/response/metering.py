"""Readings of demand-response events where genesis has meters: they come from the chain itself.

What counts is what a connection consumes: what it withdrew less what it injected. A baseline is
taken from the same times of the days before the event, as far as these are measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from market.meters.readings import (
    NOT_MEASURED,
    Measured,
    add_up,
    is_closed,
    read_intervals,
    validate_measurable,
)
from market.meters.records import (
    INTERPOLATED,
    MEASURED,
    MINUTES_PER_DAY,
    NONE,
    MetersConfig,
    load_config,
)
from market.response.events import baseline_milli_wh
from market.response.records import Enrolment, ResponseEvent, ResponseTerms, load_event
from vm.context import CallContext
from vm.primitives.errors import CallError, InvalidGenesis


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


def is_measured(ctx: CallContext, number: int) -> bool:
    """Tell whether the network's meters, if it has any, have an event's readings."""
    meters = load_config(ctx)
    if meters is None:
        return True
    return is_closed(ctx, meters.interval_of(load_event(ctx, number).end_ms) - 1)


def read_meter(
    ctx: CallContext,
    terms: ResponseTerms,
    account: bytes,
    event: ResponseEvent,
    enrolment: Enrolment,
) -> None:
    """Set baseline and readings of an enrolment; both stay empty where meters have none of one.

    An estimate proves nothing: where one is in a part of the profile, the reading is the baseline.
    """
    meters = load_config(ctx)
    if meters is None:
        return
    first, parts = meters.interval_of(event.start_ms), len(event.profile)
    count = meters.interval_of(event.end_ms) - first
    past = _past(ctx, meters, account, first, count, terms.past_intervals, parts)
    found = read_intervals(ctx, meters, account, first, count)
    if not all(past) or add_up(found).quality == NONE:
        return
    enrolment.baseline = tuple([baseline_milli_wh(each, terms.highest) for each in past])
    read = zip(enrolment.baseline, _consumed(_without_estimates(found), parts), strict=True)
    enrolment.measured = tuple([base if each is None else each for base, each in read])


def _past(
    ctx: CallContext,
    meters: MetersConfig,
    account: bytes,
    first: int,
    count: int,
    days: int,
    parts: int,
) -> list[list[int]]:
    """Return for each interval of a profile what was consumed at that time of the days before."""
    past: list[list[int]] = [[] for _ in range(parts)]
    for day in range(1, days + 1):
        begin = first - day * meters.intervals_per_day
        if begin < 0:
            break
        found = _without_estimates(read_intervals(ctx, meters, account, begin, count))
        for known, energy in zip(past, _consumed(found, parts), strict=True):
            if energy is not None:
                known.append(energy)
    return past


def _without_estimates(found: Sequence[Measured]) -> list[Measured]:
    """Return the intervals, those without a reading of the meter as not measured."""
    read = (MEASURED, INTERPOLATED)
    return [each if each.quality in read else NOT_MEASURED for each in found]


def _consumed(found: Sequence[Measured], parts: int) -> list[int | None]:
    """Return what was consumed in each of `parts` equal parts; None where something is missing."""
    size = len(found) // parts
    energies: list[int | None] = []
    for place in range(0, len(found), size):
        part = found[place : place + size]
        missing = any(each.quality == NONE for each in part)
        consumed = sum([each.withdrawn_milli_wh - each.injected_milli_wh for each in part])
        energies.append(None if missing else consumed)
    return energies
