"""The section `meters` of a genesis file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from market.meters.records import MINUTES_PER_DAY, MetersConfig
from vm.primitives.errors import InvalidGenesis
from vm.primitives.genesis_fields import AccountOf, read_object

INTERVAL_MINUTES: Final = (15, 30, 60)
MINUTE_MS: Final = 60_000
MAX_OPEN_INTERVALS: Final = 960
"""Intervals that one reading may change: what it tells of them fits a receipt."""
MAX_DAYS: Final = 62
MAX_MEAN_DAYS: Final = 30
MAX_POWER_W: Final = 10**9
MAX_METERS: Final = 10_000
_FIELDS: Final = (
    "interval_minutes",
    "minute_ms",
    "deadline_minutes",
    "correction_minutes",
    "retention_days",
    "mean_days",
    "max_power_w",
    "meters",
)


def read_section(
    section: Mapping[str, object], account_of: AccountOf
) -> tuple[MetersConfig, list[tuple[bytes, bytes]]]:
    """Return the terms of a genesis section, and the accounts of each meter and its member.

    Raises InvalidGenesis.
    """
    fields = read_object(section, "'meters'", _FIELDS)
    week, most = 7 * MINUTES_PER_DAY, MAX_DAYS * MINUTES_PER_DAY
    config = MetersConfig(
        fields.one_of("interval_minutes", INTERVAL_MINUTES, default=15),
        fields.integer("minute_ms", 1, MINUTE_MS, default=MINUTE_MS),
        fields.integer("deadline_minutes", 0, week, default=60),
        fields.integer("correction_minutes", 0, most, default=2 * MINUTES_PER_DAY),
        fields.integer("retention_days", 1, MAX_DAYS, default=14),
        fields.integer("mean_days", 0, MAX_MEAN_DAYS, default=3),
        fields.integer("max_power_w", 1, MAX_POWER_W, default=1_000_000),
    )
    _validate(config)
    meters: list[tuple[bytes, bytes]] = []
    for place, entry in enumerate(fields.entries("meters", most=MAX_METERS)):
        own = read_object(entry, f"'meters': meter {place}", ("meter", "member"))
        meters.append((own.account("meter", account_of), own.account("member", account_of)))
    return config, meters


def _validate(config: MetersConfig) -> None:
    changeable = config.deadline_minutes + config.correction_minutes
    intervals = changeable // config.interval_minutes + 2
    if intervals > MAX_OPEN_INTERVALS:
        raise InvalidGenesis(
            "'meters': deadline and corrections span too many intervals",
            expected=f"at most {MAX_OPEN_INTERVALS}",
            actual=intervals,
        )
    kept = config.retention_days * MINUTES_PER_DAY
    if changeable + MINUTES_PER_DAY > kept or config.mean_days > config.retention_days:
        raise InvalidGenesis(
            "'meters.retention_days' is too short",
            expected="a day more than deadline and corrections take, and at least 'mean_days'",
            actual=config.retention_days,
        )
