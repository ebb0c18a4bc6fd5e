"""Delivery intervals of a market: which are open, and when their gates close.

An interval's id is its start in milliseconds UTC divided by its length. Id 0 stands for no interval
and is the only one of a market without them; its gate never closes.
"""

from __future__ import annotations

from typing import Final

from market.records import MarketConfig
from vm.primitives.errors import CallError

MS_PER_MINUTE: Final = 60_000
INTERVAL_MINUTES: Final = (0, 15, 30, 60)
MAX_AHEAD_MS: Final = 400 * 24 * 60 * MS_PER_MINUTE
"""How far ahead an interval may start for offers to be posted."""


def start_ms(config: MarketConfig, interval: int) -> int:
    """Return when an interval starts, milliseconds UTC."""
    return interval * config.interval_minutes * MS_PER_MINUTE


def end_ms(config: MarketConfig, interval: int) -> int:
    """Return when an interval ends, milliseconds UTC."""
    return start_ms(config, interval + 1)


def gate_ms(config: MarketConfig, interval: int) -> int:
    """Return when an interval's gate closes, milliseconds UTC."""
    return max(0, start_ms(config, interval) - config.gate_closure_minutes * MS_PER_MINUTE)


def validate_open(config: MarketConfig, interval: int, now_ms: int) -> None:
    """Raise CallError `wrong_interval` or `gate_closed` unless `interval` may be traded."""
    if not config.interval_minutes:
        if interval:
            raise CallError(
                "wrong_interval",
                "this market has no delivery intervals",
                expected=0,
                actual=interval,
            )
        return
    length_ms = config.interval_minutes * MS_PER_MINUTE
    last = (now_ms + MAX_AHEAD_MS) // length_ms
    if not 1 <= interval <= last:
        raise CallError(
            "wrong_interval",
            "no delivery interval of this market, or one too far ahead",
            expected=f"{now_ms // length_ms + 1} to {last}",
            actual=interval,
            hint=f"An interval is the start in milliseconds UTC divided by {length_ms}.",
        )
    if now_ms >= gate_ms(config, interval):
        raise CallError(
            "gate_closed",
            "the interval's gate is closed",
            expected=f"before {gate_ms(config, interval)} ms",
            actual=now_ms,
            hint="Choose a later interval.",
        )
