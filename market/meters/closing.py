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
    MetersConfig,
    Progress,
    encode_leaf,
    load_connection,
    load_progress,
    save_connection,
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
    resume = progress.resume if interval == progress.interval else b""
    left, is_running = CONNECTIONS_PER_STEP, True
    need = _need(config)
    for _ in range(INTERVALS_PER_STEP):
        is_due = ctx.time_ms >= config.deadline_ms(interval)
        if not is_due or ctx.gas_limit - ctx.gas_used < GAS_OF_LOOK + need:
            break
        members = _watched(ctx, resume, left + 1)
        done = _estimate(ctx, config, interval, members[:left])
        left -= done
        if done < len(members):
            resume = members[done - 1] if done else resume
            break
        interval, resume = interval + 1, b""
        ctx.emit("closed", interval - 1)
        is_running = bool(_watched(ctx, b"", 1))
        if not is_running or left <= 0:
            break
    ctx.put(PROGRESS_KEY, encode_leaf(Progress(interval, resume, is_running)))
    if is_running:
        ctx.schedule(max(ctx.time_ms, config.deadline_ms(interval)), PAYLOAD)


def _need(config: MetersConfig) -> int:
    """Return the gas that must be left for one more connection and the end of the step."""
    return GAS_OF_CONNECTION + GAS_OF_DAY * config.mean_days + GAS_OF_END


def _watched(ctx: CallContext, after: bytes, count: int) -> list[bytes]:
    start = WATCH_INDEX + after + b"\x00" if after else WATCH_INDEX
    found = islice(ctx.scan(start, WATCH_INDEX + _END), count)
    return [key[len(WATCH_INDEX) :] for key, _ in found]


def _estimate(ctx: CallContext, config: MetersConfig, interval: int, members: list[bytes]) -> int:
    """Give each member's interval an energy, while there is gas; return how many were done."""
    need = _need(config)
    for done, member in enumerate(members):
        if ctx.gas_limit - ctx.gas_used < need:
            return done
        connection = load_connection(ctx, member)
        if connection is None:
            raise InvariantViolation(f"the connection of {member.hex()} is gone")
        if connection.end is not None and interval >= connection.end:
            connection.is_watched = False
            save_connection(ctx, member, connection)
            ctx.delete(WATCH_INDEX + member)
        elif interval >= connection.since:
            series = Series(ctx, config, member, connection, interval)
            had = series.quality(interval)
            quality = series.estimate(interval)
            if quality != had:
                series.save(interval)
            if quality != MEASURED:
                ctx.emit("estimated", member, interval, *series.energy(interval), quality)
    return len(members)
