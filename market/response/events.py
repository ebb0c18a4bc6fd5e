"""The rules of demand-response events: baseline, what was delivered, reward and penalty.

An event calls for a profile, an energy for each of some intervals, to be consumed less (`down`) or
more (`up`) than the baseline. The baseline of an interval is the mean of comparable past intervals,
by a rule of the network: of all of them, or of the highest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vm.primitives.integers import MILLI_WH_PER_KWH, divide_half_even, divide_up

DOWN: Final = 0
UP: Final = 1
DIRECTION_NAMES: Final = ("down", "up")
PERCENT: Final = 100


def baseline_milli_wh(past_milli_wh: Sequence[int], highest: int) -> int:
    """Return the mean of the `highest` greatest of past energies; of all if that is 0.

    Rounded to nearest, half to even. There is at least one past energy.
    """
    ranked = sorted(past_milli_wh, reverse=True)
    counted = ranked[:highest] if highest else ranked
    return divide_half_even(sum(counted), len(counted))


def delivered_milli_wh(baseline: int, measured: int, promised: int, direction: int) -> int:
    """Return what counts of a promise: how far the meter is from the baseline, 0 to the promise."""
    apart = baseline - measured if direction == DOWN else measured - baseline
    return max(0, min(apart, promised))


def reward_micro(delivered: Sequence[int], price: int) -> int:
    """Return the reward for what was delivered in all intervals: one rational, rounded down."""
    return sum(delivered) * price // MILLI_WH_PER_KWH


def penalty_micro(
    promised: Sequence[int], delivered: Sequence[int], *, price: int, tolerance_percent: int
) -> int:
    """Return the penalty for what is missing beyond the tolerance: one rational, rounded down.

    The tolerance is a part of each interval's promise.
    """
    missing = sum(
        max(0, promise * (PERCENT - tolerance_percent) - PERCENT * part)
        for promise, part in zip(promised, delivered, strict=True)
    )
    return missing * price // (PERCENT * MILLI_WH_PER_KWH)


def reserve_micro(profile: Sequence[int], price: int) -> int:
    """Return what a whole profile can come to at a price: rounded up."""
    return divide_up(sum(profile) * price, MILLI_WH_PER_KWH)
