"""The section `meters` of a genesis file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from market.meters.records import MINUTES_PER_DAY, MetersConfig
from vm.primitives.errors import InvalidGenesis

INTERVAL_MINUTES: Final = (15, 30, 60)
MINUTE_MS: Final = 60_000
MAX_OPEN_INTERVALS: Final = 960
"""Intervals that one reading may change: what it tells of them fits a receipt."""
MAX_DAYS: Final = 62
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

AccountOf = Callable[[str], bytes | None]
"""Returns the account of the member with a name, or None."""


def read_section(
    section: Mapping[str, object], account_of: AccountOf
) -> tuple[MetersConfig, list[tuple[bytes, bytes]]]:
    """Return the terms of a genesis section, and the accounts of each meter and its member.

    Raises InvalidGenesis.
    """
    unknown = [name for name in section if name not in _FIELDS]
    if unknown:
        raise InvalidGenesis(
            "'meters' has unknown fields", expected=", ".join(_FIELDS), actual=unknown
        )
    minutes = section.get("interval_minutes", 15)
    if type(minutes) is not int or minutes not in INTERVAL_MINUTES:
        raise InvalidGenesis("'meters.interval_minutes'", expected=INTERVAL_MINUTES, actual=minutes)
    week = 7 * MINUTES_PER_DAY
    config = MetersConfig(
        minutes,
        _number(section, "minute_ms", MINUTE_MS, 1, MINUTE_MS),
        _number(section, "deadline_minutes", 60, 0, week),
        _number(section, "correction_minutes", 2 * MINUTES_PER_DAY, 0, MAX_DAYS * MINUTES_PER_DAY),
        _number(section, "retention_days", 7, 1, MAX_DAYS),
        _number(section, "mean_days", 3, 0, 30),
        _number(section, "max_power_w", 1_000_000, 1, MAX_POWER_W),
    )
    _validate(config)
    meters = section.get("meters", [])
    if not isinstance(meters, list) or len(meters) > MAX_METERS:
        raise InvalidGenesis("'meters.meters' is a list", expected=f"at most {MAX_METERS}")
    return config, [_read_meter(entry, account_of) for entry in meters]


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


def _read_meter(entry: object, account_of: AccountOf) -> tuple[bytes, bytes]:
    if not isinstance(entry, dict) or sorted(entry) != ["member", "meter"]:
        raise InvalidGenesis("'meters.meters' has entries of 'meter' and 'member'", actual=entry)
    found: list[bytes] = []
    for name in (entry["meter"], entry["member"]):
        account = account_of(name) if isinstance(name, str) else None
        if account is None:
            raise InvalidGenesis("'meters.meters' names somebody who is no member", actual=name)
        found.append(account)
    return found[0], found[1]


def _number(section: Mapping[str, object], name: str, default: int, low: int, high: int) -> int:
    value = section.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise InvalidGenesis(f"'meters.{name}'", expected=f"{low} to {high}", actual=value)
    return value
