"""How something that meters' readings settle waits for them: it reads who can be read, then all.

At its deadline those are read whose registers prove all of their time. If these are not all, it
waits until no register can change the time any more; then the others are read too, by what their
registers leave possible. Reading takes steps, each within the gas of one due item.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from market.meters.brackets import gas_of_reach
from market.meters.readings import is_closed
from market.meters.records import MetersConfig
from vm.context import CallContext

PROVED: Final = 0
"""Those are read whose registers prove all of their time."""
FINAL: Final = 1
"""All are read, unless the chain stood still when that was due."""
LATE: Final = 2
"""All are read."""


class Reading(NamedTuple):
    """How far those are read whom something waits for."""

    step: int = PROVED
    """PROVED, FINAL or LATE."""
    resume: bytes = b""
    """The last one that was looked at in this step; empty before the first."""
    unproved: int = 0
    """Those of them that were not read."""


@dataclass(frozen=True, slots=True)
class Readers:
    """What is to be read, and how."""

    number: int
    """Number of what waits, for the event `wait`."""
    end_ms: int
    """When its time ends, at a bound of intervals."""
    accounts: Sequence[bytes]
    """Members that are not read yet, ascending."""
    read: Callable[[bytes, int], bool]
    """Reads a member in a step, always after PROVED; tells whether it did."""
    gas: int
    """What reading one takes beside its registers, and what comes after the last."""
    look_again: Callable[[int, Reading], None]
    """Schedules the next step."""


def are_read(ctx: CallContext, meters: MetersConfig, readers: Readers, reading: Reading) -> bool:
    """Tell whether all are read; else read those that can be, and have it looked at again."""
    last = meters.interval_of(readers.end_ms) - 1
    if not is_closed(ctx, last):
        readers.look_again(ctx.time_ms + 1, reading)  # meters close their intervals in steps
        return False
    final_ms = meters.correction_ms(last)
    if reading == Reading(FINAL) and ctx.time_ms > final_ms + meters.interval_ms:
        # The chain stood still then, so that nobody could prove anything: once more, in time.
        readers.look_again(ctx.time_ms + grace_ms(meters), Reading(LATE))
        return False
    step, resume, unproved = reading
    for account in readers.accounts:
        if account <= resume:
            continue
        if ctx.gas_limit - ctx.gas_used < gas_of_reach(meters) + readers.gas:
            readers.look_again(ctx.time_ms + 1, Reading(step, resume, unproved))
            return False
        unproved += not readers.read(account, step)
        resume = account
    if unproved:
        readers.look_again(final_ms, Reading(FINAL))
        ctx.emit("wait", readers.number, unproved, final_ms)
    return not unproved


def grace_ms(meters: MetersConfig) -> int:
    """Return how long meters have to submit again after a standstill of the chain."""
    return max(meters.deadline_minutes, meters.interval_minutes) * meters.minute_ms
