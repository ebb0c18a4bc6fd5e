"""What other modules read of meters: the energies of a member's intervals, and whether they stand.

An interval is closed when the missing readings of all connections are estimated: only then is it
to be settled. Until it is final, later readings may change it; the event `corrected` tells by how
much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from market.meters.records import (
    CHUNK_INTERVALS,
    GAS_CHUNK,
    NONE,
    MetersConfig,
    chunk_key,
    consent_key,
    decode_chunk,
    load_config,
    load_connection,
    load_progress,
    load_terms,
)
from vm.context import CallContext
from vm.primitives.errors import CallError

GAS_OF_INTERVAL: Final = 10
"""For telling the energy of an interval."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a connection moved, both ways."""

    injected_milli_wh: int
    """Energy that went into the network."""
    withdrawn_milli_wh: int
    """Energy that came out of the network."""
    quality: int
    """Of one interval NONE to ZERO; of several the greatest, and NONE if one has none."""


NOT_MEASURED = Measured(0, 0, NONE)


def read_intervals(
    ctx: CallContext, config: MetersConfig, member: bytes, first: int, count: int
) -> list[Measured]:
    """Return what a member's connection moved in each of `count` intervals from `first` on."""
    found: list[Measured] = []
    ctx.charge(GAS_OF_INTERVAL * count)
    interval, end = first, first + count
    while interval < end:
        number = interval // CHUNK_INTERVALS
        until = min(end, (number + 1) * CHUNK_INTERVALS)
        ctx.charge(GAS_CHUNK)
        data = ctx.get(chunk_key(config, member, number))
        chunk = None if data is None else decode_chunk(data)
        if chunk is None or chunk.number != number:
            found += [NOT_MEASURED] * (until - interval)
        else:
            for place in range(interval % CHUNK_INTERVALS, until - number * CHUNK_INTERVALS):
                energy = chunk.injected[place], chunk.withdrawn[place]
                found.append(Measured(*energy, chunk.quality(place)))
        interval = until
    return found


def read_interval(ctx: CallContext, config: MetersConfig, member: bytes, interval: int) -> Measured:
    """Return what a member's connection moved in an interval."""
    return read_intervals(ctx, config, member, interval, 1)[0]


def add_up(energies: list[Measured]) -> Measured:
    """Return the sum of intervals' energies."""
    qualities = [each.quality for each in energies]
    return Measured(
        sum([each.injected_milli_wh for each in energies]),
        sum([each.withdrawn_milli_wh for each in energies]),
        NONE if NONE in qualities or not qualities else max(qualities),
    )


def measured(ctx: CallContext, member: bytes, start_ms: int, end_ms: int) -> Measured:
    """Return what a member's connection moved in a time; raises CallError `not_on_grid`."""
    config = load_terms(ctx)
    validate_on_grid(config, start_ms, end_ms)
    first = config.interval_of(start_ms)
    return add_up(read_intervals(ctx, config, member, first, config.interval_of(end_ms) - first))


def validate_on_grid(config: MetersConfig, start_ms: int, end_ms: int) -> None:
    """Raise CallError `not_on_grid` unless two times are bounds of intervals, in their order."""
    length = config.interval_ms
    if start_ms % length or end_ms % length or not start_ms < end_ms:
        raise CallError(
            "not_on_grid",
            "meters measure whole intervals",
            expected=f"multiples of {length} ms, one after the other",
            actual=f"{start_ms} to {end_ms}",
        )


def validate_measurable(
    config: MetersConfig, start_ms: int, end_ms: int, readings_until_ms: int
) -> None:
    """Raise CallError `not_on_grid`, `wrong_times` unless meters measure a time by a deadline."""
    validate_on_grid(config, start_ms, end_ms)
    last = config.interval_of(end_ms) - 1
    low, high = config.deadline_ms(last), config.correction_ms(last)
    if not low <= readings_until_ms <= high:
        raise CallError(
            "wrong_times",
            "a meter's readings are complete at their deadline, and at last final",
            expected=f"readings until {low} to {high} ms",
            actual=readings_until_ms,
        )


def validate_unmetered(ctx: CallContext) -> None:
    """Raise CallError `read_by_meters` where readings come from the network's meters alone."""
    if load_config(ctx) is not None:
        raise CallError(
            "read_by_meters",
            "this network takes readings from its registered meters",
            hint="They submit them with `meters.submit`.",
        )


def validate_metered(ctx: CallContext) -> None:
    """Raise CallError `no_meter` where readings count and the caller's connection has no meter."""
    if load_config(ctx) is not None and not has_meter(ctx, ctx.caller):
        raise CallError(
            "no_meter",
            "the connection has no meter: nothing could be proved of it",
            hint="The DSO or an operator registers one.",
        )


def is_closed(ctx: CallContext, interval: int) -> bool:
    """Tell whether all connections have an energy for an interval."""
    progress = load_progress(ctx)
    if progress.is_running or interval < progress.interval:
        return interval < progress.interval
    return ctx.time_ms >= load_terms(ctx).deadline_ms(interval)


def is_final(ctx: CallContext, interval: int) -> bool:
    """Tell whether an interval is closed and no reading can change it any more."""
    return ctx.time_ms >= load_terms(ctx).correction_ms(interval) and is_closed(ctx, interval)


def has_meter(ctx: CallContext, member: bytes) -> bool:
    """Tell whether a member's connection has a meter now."""
    connection = load_connection(ctx, member)
    return connection is not None and connection.end is None


def true_ups(ctx: CallContext, member: bytes) -> tuple[int, int]:
    """Return the energy that registers showed beyond final intervals so far; signed."""
    found = load_connection(ctx, member)
    if found is None:
        return 0, 0
    return found.true_up_injected_milli_wh, found.true_up_withdrawn_milli_wh


def may_read(ctx: CallContext, member: bytes, reader: bytes) -> bool:
    """Tell whether a member lets an account, or a contract, read its energies."""
    return reader == member or ctx.get(consent_key(member, reader)) is not None
