"""What stations charged where genesis has meters: what registers prove, and the most beyond it.

A station whose registers enclose the period exactly is read at the round's deadline. For the others
the round waits until no register can change the period any more. Then each counts as having charged
the most that its registers allow: of a gap as much as can have flowed in the period, and what its
connection can carry for the time of which nothing is known. So a reading kept back never lowers a
penalty: a true one only takes away from what could have been.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from market.meters.brackets import RegisterReader, gas_of_reach
from market.meters.readings import has_meter, is_closed, validate_measurable
from market.meters.records import MetersConfig, load_config
from market.quota.records import Round, load_stations, save_station
from vm.context import CallContext
from vm.primitives.codec import encode_trusted
from vm.primitives.errors import CallError

READ: Final = 0
"""Those are read whose registers enclose the period."""
FINAL: Final = 1
"""All are read, unless the chain stood still when that was due."""
LATE: Final = 2
"""All are read."""
GAS_OF_STATION: Final = 1_500
"""What a station takes at most, beside its registers: for being found and read, or settled."""


def validate_period(ctx: CallContext, start_ms: int, end_ms: int, readings_until_ms: int) -> None:
    """Raise CallError unless the network's meters, if it has any, measure a period in time."""
    meters = load_config(ctx)
    if meters is None:
        return
    validate_measurable(meters, start_ms, end_ms, readings_until_ms)
    count = (end_ms - start_ms) // meters.interval_ms
    if count > meters.intervals_per_day:
        raise CallError(
            "wrong_times",
            "meters keep the readings of a period that is a day at most",
            expected=f"at most {meters.intervals_per_day} intervals",
            actual=count,
        )


def validate_metered(ctx: CallContext) -> None:
    """Raise CallError `no_meter` if the network has meters and the caller's connection none."""
    if load_config(ctx) is not None and not has_meter(ctx, ctx.caller):
        raise CallError(
            "no_meter",
            "the connection has no meter: all that it can carry would count as charged",
            hint="The DSO or an operator registers one.",
        )


class Reading(NamedTuple):
    """How far the stations of a round are read."""

    step: int = READ
    """READ, FINAL or LATE."""
    resume: bytes = b""
    """The last station that was looked at in it; empty before the first."""
    unproved: int = 0
    """Those of them that are not read."""


def is_read(ctx: CallContext, number: int, found: Round, reading: Reading) -> bool:
    """Tell whether all stations are read; else read those that can be, and look again later."""
    meters = load_config(ctx)
    if meters is None:
        return True
    last = meters.interval_of(found.end_ms) - 1
    if not is_closed(ctx, last):
        _look_again(ctx, ctx.time_ms + 1, number, reading)  # meters close in steps
        return False
    final_ms = meters.correction_ms(last)
    is_late = ctx.time_ms > final_ms + meters.interval_ms
    if reading == Reading(FINAL) and is_late:
        # The chain stood still then, so that nobody could prove anything: once more, in time.
        _look_again(ctx, ctx.time_ms + grace_ms(meters), number, Reading(LATE))
        return False
    reading, is_done = _read_stations(ctx, meters, number, found, reading)
    if not is_done:
        _look_again(ctx, ctx.time_ms + 1, number, reading)
    elif reading.unproved:
        _look_again(ctx, final_ms, number, Reading(FINAL))
        ctx.emit("wait", number, reading.unproved, final_ms)
    return is_done and not reading.unproved


def grace_ms(meters: MetersConfig) -> int:
    """Return how long meters have to submit again after a standstill of the chain."""
    return max(meters.deadline_minutes, meters.interval_minutes) * meters.minute_ms


def _look_again(ctx: CallContext, due_ms: int, number: int, reading: Reading) -> None:
    ctx.schedule(due_ms, encode_trusted((number, *reading)))


def _read_stations(
    ctx: CallContext, meters: MetersConfig, number: int, found: Round, reading: Reading
) -> tuple[Reading, bool]:
    """Read the stations that are not, while there is gas; return how far, and if that was all."""
    first = meters.interval_of(found.start_ms)
    count = meters.interval_of(found.end_ms) - first
    stations = load_stations(ctx, number)
    step, resume, unproved = reading
    need = gas_of_reach(meters) + GAS_OF_STATION * (1 + len(stations))
    for account, station in stations.items():
        if account <= resume or station.measured_milli_wh is not None:
            continue
        if ctx.gas_limit - ctx.gas_used < need:
            return Reading(step, resume, unproved), False
        resume = account
        (bracket,) = RegisterReader(ctx, meters, account).brackets(first, count, 1)
        assumed = bracket.greatest[1] - bracket.least[1]
        if assumed and step == READ:
            unproved += 1
            continue
        station.measured_milli_wh, station.assumed_milli_wh = bracket.greatest[1], assumed
        save_station(ctx, number, account, station)
        ctx.emit("record", number, account, bracket.greatest[1], station.quota_w)
        if assumed:
            ctx.emit("unproved", number, account, bracket.least[1], assumed)
    return Reading(step, resume, unproved), True
