"""Closing of intervals: at the deadline, what was not read is estimated, in steps of bounded work.

A step looks at some hundred connections and schedules the next. So nobody calls it, and no block
does more than its gas for things due. After a standstill of the chain the intervals follow one
another until they have caught up; those beyond what a ring holds are passed over.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from market.meters.records import (
    MEASURED,
    PROGRESS_KEY,
    WATCH_INDEX,
    Connection,
    MetersConfig,
    Pair,
    Progress,
    Sums,
    decode_leaf,
    encode_leaf,
    load_connection,
    load_progress,
    save_connection,
    sums_key,
)
from market.meters.series import Series
from vm.context import CallContext
from vm.primitives.errors import InvariantViolation

CONNECTIONS_PER_STEP: Final = 400
"""Connections of one step: what it tells fits a receipt."""
INTERVALS_PER_STEP: Final = 100
GAS_OF_CONNECTION: Final = 2_500
"""What one connection takes at most, without the days of its mean."""
GAS_OF_DAY: Final = 300
"""What a day of the mean takes at most."""
GAS_OF_LOOK: Final = 17_000
"""What finding a step's connections takes at most."""
GAS_OF_END: Final = 1_500
"""What ending a step takes at most."""
_END: Final = b"\xff" * 21
PAYLOAD: Final = b""


def first_open(ctx: CallContext, config: MetersConfig, progress: Progress) -> int:
    """Return the first interval that a reading may still change."""
    by_time = ctx.time_ms - (config.deadline_minutes + config.correction_minutes) * config.minute_ms
    first = max(0, by_time // config.interval_ms)
    return max(min(first, progress.interval), config.oldest_retained(ctx.time_ms))


def begin_closing(ctx: CallContext, config: MetersConfig) -> Progress:
    """Return how far intervals are closed; closing begins with the first connection."""
    progress = load_progress(ctx)
    if progress.is_running:
        return progress
    late = ctx.time_ms - config.deadline_minutes * config.minute_ms
    first = max(0, late // config.interval_ms, progress.interval)
    begun = Progress(first, b"", True)
    ctx.put(PROGRESS_KEY, encode_leaf(begun))
    ctx.schedule(config.deadline_ms(first), PAYLOAD)
    return begun


def close_due(ctx: CallContext, config: MetersConfig) -> None:
    """Close the intervals whose deadlines have passed, as far as one step goes."""
    progress = load_progress(ctx)
    interval = max(progress.interval, config.oldest_retained(ctx.time_ms))
    resume, sums = progress.resume, _load_sums(ctx, config, interval)
    if interval != progress.interval or not resume:
        resume, sums = b"", Sums(interval)
    left, is_running = CONNECTIONS_PER_STEP, True
    need = _need(config)
    for _ in range(INTERVALS_PER_STEP):
        is_due = ctx.time_ms >= config.deadline_ms(interval)
        if not is_due or ctx.gas_limit - ctx.gas_used < GAS_OF_LOOK + need:
            break
        members = _watched(ctx, resume, left + 1)
        done, sums = _estimate(ctx, config, sums, members[:left])
        left -= done
        if done < len(members):
            resume = members[done - 1] if done else resume
            break
        _finish(ctx, config, sums)
        interval, resume = interval + 1, b""
        sums = Sums(interval)
        is_running = bool(_watched(ctx, b"", 1))
        if not is_running or left <= 0:
            break
    if resume:
        ctx.put(sums_key(config, interval), encode_leaf(sums))
    ctx.put(PROGRESS_KEY, encode_leaf(Progress(interval, resume, is_running)))
    if is_running:
        ctx.schedule(max(ctx.time_ms, config.deadline_ms(interval)), PAYLOAD)


def _need(config: MetersConfig) -> int:
    """Return the gas that must be left for one more connection and the end of the step."""
    days = max(config.mean_days, config.mean_days_before)
    return GAS_OF_CONNECTION + GAS_OF_DAY * days + GAS_OF_END


def _watched(ctx: CallContext, after: bytes, count: int) -> list[bytes]:
    start = WATCH_INDEX + after + b"\x00" if after else WATCH_INDEX
    found = islice(ctx.scan(start, WATCH_INDEX + _END), count)
    return [key[len(WATCH_INDEX) :] for key, _ in found]


def _load_sums(ctx: CallContext, config: MetersConfig, interval: int) -> Sums:
    """Return the sums of an interval that a step before began to close."""
    data = ctx.get(sums_key(config, interval))
    return Sums(interval) if data is None else decode_leaf(Sums, data)


def _finish(ctx: CallContext, config: MetersConfig, sums: Sums) -> None:
    ctx.put(sums_key(config, sums.interval), encode_leaf(sums))
    ctx.emit(
        "closed",
        sums.interval,
        sums.connections,
        sums.estimated,
        sums.injected_milli_wh,
        sums.withdrawn_milli_wh,
        sums.injecting,
        sums.withdrawing,
    )


def _estimate(
    ctx: CallContext, config: MetersConfig, sums: Sums, members: list[bytes]
) -> tuple[int, Sums]:
    """Give each member's interval an energy, while there is gas.

    Returns how many were done, and the sums with theirs.
    """
    need, interval = _need(config), sums.interval
    for done, member in enumerate(members):
        if ctx.gas_limit - ctx.gas_used < need:
            return done, sums
        connection = load_connection(ctx, member)
        if connection is None:
            raise InvariantViolation(f"the connection of {member.hex()} is gone")
        if connection.end is not None and interval >= connection.end:
            connection.is_watched = False
            save_connection(ctx, member, connection)
            ctx.delete(WATCH_INDEX + member)
        elif interval >= connection.since:
            energy, quality = _close(ctx, config, interval, member, connection)
            sums = Sums(
                interval,
                sums.connections + 1,
                sums.estimated + (quality != MEASURED),
                sums.injected_milli_wh + energy[0],
                sums.withdrawn_milli_wh + energy[1],
                sums.injecting + (quality == MEASURED and energy[0] > 0),
                sums.withdrawing + (quality == MEASURED and energy[1] > 0),
            )
    return len(members), sums


def _close(
    ctx: CallContext, config: MetersConfig, interval: int, member: bytes, connection: Connection
) -> tuple[Pair, int]:
    """Return a member's energy and its quality, estimated and told if it was not measured."""
    series = Series(ctx, config, member, connection, interval)
    had = series.quality(interval)
    quality = series.estimate(interval)
    if quality != had:
        series.save(interval)
    energy = series.energy(interval)
    if quality != MEASURED:
        ctx.emit("estimated", member, interval, *energy, quality)
    return energy, quality
