"""What stations charged where genesis has meters: what registers prove, and the most beyond it.

A station whose registers enclose the period exactly is read at the round's deadline. For the others
the round waits until no register can change the period any more. Then each counts as having charged
the most that its registers allow: of a gap as much as can have flowed in the period, and what its
connection can carry for the time of which nothing is known. So a reading kept back never lowers a
penalty: a true one only takes away from what could have been.
"""

from __future__ import annotations

from typing import Final

from market.meters.brackets import Brackets
from market.meters.proving import PROVED, Readers, Reading, are_read
from market.meters.readings import validate_measurable
from market.meters.records import load_config
from market.quota.records import Round, load_stations, save_station
from vm.context import CallContext
from vm.primitives.codec import encode_trusted
from vm.primitives.errors import CallError

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


def is_read(ctx: CallContext, number: int, found: Round, reading: Reading) -> bool:
    """Tell whether all stations are read; else read those that can be, and look again later."""
    meters = load_config(ctx)
    if meters is None:
        return True
    first = meters.interval_of(found.start_ms)
    end = meters.interval_of(found.end_ms)
    stations = load_stations(ctx, number)

    def read(account: bytes, step: int) -> bool:
        bracket = Brackets(ctx, meters, account, first, end).of(first, end)
        proved, charged = bracket.least[1], bracket.greatest[1]
        if proved < charged and step == PROVED:
            return False
        station = stations[account]
        station.measured_milli_wh, station.assumed_milli_wh = charged, charged - proved
        save_station(ctx, number, account, station)
        ctx.emit("record", number, account, charged, station.quota_w)
        if proved < charged:
            ctx.emit("unproved", number, account, proved, charged - proved)
        return True

    unread = [each for each, station in stations.items() if station.measured_milli_wh is None]
    readers = Readers(
        number,
        found.end_ms,
        unread,
        read,
        GAS_OF_STATION * (1 + len(stations)),
        lambda due_ms, step: ctx.schedule(due_ms, encode_trusted((number, *step))),
    )
    return are_read(ctx, meters, readers, reading)
