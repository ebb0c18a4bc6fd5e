"""What single connections can carry: bounds of power that the DSO or an operator registers.

Without one a connection can carry what genesis says of all. A bound holds from the next interval
on, so that registers which showed more before stay true; those before it are kept as long as
energies are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from market.meters.records import (
    LIMITS_SPACE,
    MILLI_WH_PER_WATT_MINUTE,
    Limits,
    MetersConfig,
    decode_leaf,
    encode_leaf,
)
from vm.context import CallContext
from vm.primitives.errors import CallError

MAX_LIMITS: Final = 8
"""Bounds of a connection that are kept."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a connection can carry over time."""

    interval_minutes: int
    """Length of an interval."""
    entries: tuple[tuple[int, int], ...]
    """From which interval on, ascending, the first from 0; and the power, watts."""

    def energy_milli_wh(self, first: int, end: int) -> int:
        """Return what the connection can carry from `first` up to but not including `end`."""
        energy, until = 0, end
        for since, power_w in reversed(self.entries):
            begin = max(first, since)
            if begin < until:
                energy += (until - begin) * _energy_of_interval(power_w, self.interval_minutes)
                until = begin
        return energy


def load_capacity(ctx: CallContext, config: MetersConfig, member: bytes) -> Capacity:
    """Return what a member's connection can carry."""
    return Capacity(config.interval_minutes, ((0, config.max_power_w), *_load(ctx, member)))


def set_limit(ctx: CallContext, config: MetersConfig, member: bytes, max_power_w: int) -> int:
    """Have a bound hold from the next interval on; return that interval. Raises CallError."""
    if max_power_w > config.max_power_w:
        raise CallError(
            "wrong_limit",
            "no connection carries more than genesis says",
            expected=f"1 to {config.max_power_w}",
            actual=max_power_w,
        )
    since = config.interval_of(ctx.time_ms) + 1
    kept = [entry for entry in _load(ctx, member) if entry[0] < since]
    oldest = config.oldest_retained(ctx.time_ms)
    while len(kept) > 1 and kept[1][0] <= oldest:
        del kept[0]
    if len(kept) >= MAX_LIMITS:
        raise CallError(
            "too_many_limits",
            "the connection's bound was changed too often in the time of which energies are kept",
            expected=f"at most {MAX_LIMITS} times",
        )
    entries = (*kept, (since, max_power_w))
    ctx.put(LIMITS_SPACE + member, encode_leaf(Limits(entries)))
    return since


def _load(ctx: CallContext, member: bytes) -> tuple[tuple[int, int], ...]:
    data = ctx.get(LIMITS_SPACE + member)
    return () if data is None else decode_leaf(Limits, data).entries


def _energy_of_interval(power_w: int, minutes: int) -> int:
    energy, per_minutes = MILLI_WH_PER_WATT_MINUTE
    return -(-power_w * minutes * energy // per_minutes)
