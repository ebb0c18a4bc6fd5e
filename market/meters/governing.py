"""What members may change of meters by a vote: on how many days an estimate rests.

It holds for the intervals after the one that closes next, whose connections may be estimated in
several steps. All else stays as genesis says: what is scheduled rests on lengths and deadlines,
what is kept on the retention, and what registers prove on the greatest power.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from market.governed import Bounds, governed_numbers
from market.meters.records import MetersConfig, Progress
from market.meters.section import MAX_MEAN_DAYS
from vm.primitives.codec import Value
from vm.primitives.errors import CallError

MEAN_DAYS: Final = "mean_days"
GOVERNED: Final[Bounds] = {MEAN_DAYS: (0, MAX_MEAN_DAYS)}
"""Every name that a proposal may give, with its bounds."""


def changed_config(
    config: MetersConfig, progress: Progress, values: Mapping[str, Value]
) -> MetersConfig:
    """Return the terms as a vote changes them; raises CallError where a value does not fit."""
    numbers = governed_numbers(values, GOVERNED, "meters have")
    mean_days = numbers.get(MEAN_DAYS, config.mean_days)
    if mean_days > config.retention_days:
        raise CallError(
            "invalid_parameters",
            "energies are not kept that long",
            expected=f"at most {config.retention_days} days",
            actual=mean_days,
        )
    return replace(
        config,
        mean_days=mean_days,
        mean_days_before=config.mean_days_of(progress.interval),
        mean_since=progress.interval + 1,
    )
