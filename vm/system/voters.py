"""Who votes in governance: the weight of a member's roles, and the weight of all members together.

Without a section of genesis each operator has one vote. The sum of all weights is kept as a
counter while members come, go and change roles, so that a quorum needs no walk over the registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from vm.context import COUNTER_PREFIX, CallContext
from vm.primitives.codec import Value
from vm.primitives.errors import CallError, InvalidGenesis
from vm.system.account_leaf import ACTIVE, NO_KEY, Account
from vm.system.governance_records import SETTINGS_KEY, Settings, decode_settings

VOTERS_KEY: Final = COUNTER_PREFIX + b"voters"
"""Weight of all active members together, 8 bytes; only where genesis has settings."""
OPERATORS_KEY: Final = COUNTER_PREFIX + b"operators"
"""How many active operators there are, 8 bytes."""

MAX_WEIGHT: Final = 1_000_000
MAX_DENOMINATOR: Final = 1_000_000
MAX_PERIOD_MS: Final = 366 * 86_400_000
MAX_NOTICE_BLOCKS: Final = 100_000_000
DEFAULT_PERIOD_MS: Final = 86_400_000
DEFAULT_NOTICE_BLOCKS: Final = 100
DEFAULT_PART: Final = (2, 3)
_CHANGEABLE_PARTS: Final = ("quorum", "threshold")
_CHANGEABLE_NUMBERS: Final = {
    "voting_period_ms": MAX_PERIOD_MS,
    "notice_blocks": MAX_NOTICE_BLOCKS,
}
_FIELDS: Final = ("voters", *_CHANGEABLE_PARTS, *_CHANGEABLE_NUMBERS)


def load_settings(ctx: CallContext, operator_bit: int) -> Settings:
    """Return the settings in force."""
    data = ctx.get(SETTINGS_KEY)
    return default_settings(operator_bit) if data is None else decode_settings(data)


def default_settings(operator_bit: int) -> Settings:
    """Return the settings of a network whose genesis says nothing of governance."""
    return Settings(
        ((operator_bit, 1),), DEFAULT_PART, DEFAULT_PART, DEFAULT_PERIOD_MS, DEFAULT_NOTICE_BLOCKS
    )


def voting_weight(settings: Settings, leaf: Account) -> int:
    """Return the weight of an account's vote; 0 for who may not vote."""
    if leaf.status != ACTIVE or leaf.key == NO_KEY:
        return 0
    return max((weight for bit, weight in settings.weights if leaf.roles & bit), default=0)


def count_voter(ctx: CallContext, before: Account | None, after: Account) -> None:
    """Keep the weight of all voters while a member enters or changes."""
    data = ctx.get(SETTINGS_KEY)
    if data is None:
        return
    settings = decode_settings(data)
    was = 0 if before is None else voting_weight(settings, before)
    change = voting_weight(settings, after) - was
    if change:
        total = int.from_bytes(ctx.get(VOTERS_KEY) or b"", "big") + change
        ctx.put(VOTERS_KEY, total.to_bytes(8, "big"))


def eligible_weight(ctx: CallContext) -> int:
    """Return the weight of all who may vote."""
    key = OPERATORS_KEY if ctx.get(SETTINGS_KEY) is None else VOTERS_KEY
    return int.from_bytes(ctx.get(key) or b"", "big")


def save_settings(ctx: CallContext, settings: Settings) -> None:
    """Write settings; the first ones take the count of voters over from that of operators."""
    if ctx.get(SETTINGS_KEY) is None:
        ctx.put(VOTERS_KEY, eligible_weight(ctx).to_bytes(8, "big"))
    ctx.put(SETTINGS_KEY, settings.encode())


def changed_settings(settings: Settings, values: Mapping[str, Value]) -> Settings:
    """Return the settings with other values; raises CallError."""
    for name, value in values.items():
        if name in _CHANGEABLE_PARTS:
            part = _read_part(value)
            if part is None:
                raise _refusal(name, "a part such as 2/3", value)
            settings = _with_part(settings, name, part)
        elif name in _CHANGEABLE_NUMBERS:
            most = _CHANGEABLE_NUMBERS[name]
            if type(value) is not int or not 1 <= value <= most:
                raise _refusal(name, f"1 to {most}", value)
            settings = (
                replace(settings, voting_period_ms=value)
                if name == "voting_period_ms"
                else replace(settings, notice_blocks=value)
            )
        else:
            known = ", ".join((*_CHANGEABLE_PARTS, *_CHANGEABLE_NUMBERS))
            raise _refusal(name, known, name)
    return settings


def _read_part(value: Value) -> tuple[int, int] | None:
    numerator, _, denominator = value.partition("/") if isinstance(value, str) else ("", "", "")
    for digits in (numerator, denominator):
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 7):
            return None
    part = int(numerator), int(denominator)
    return part if 0 < part[0] <= part[1] <= MAX_DENOMINATOR else None


def _with_part(settings: Settings, name: str, part: tuple[int, int]) -> Settings:
    if name == "quorum":
        return replace(settings, quorum=part)
    return replace(settings, threshold=part)


def _refusal(name: str, expected: str, actual: object) -> CallError:
    return CallError(
        "invalid_parameters",
        f"governance: {name!r} does not fit",
        expected=expected,
        actual=actual,
    )


def read_settings(section: Mapping[str, object], roles: tuple[str, ...]) -> Settings:
    """Return the settings of a genesis section; raises InvalidGenesis."""
    unknown = [name for name in section if name not in _FIELDS]
    if unknown:
        raise InvalidGenesis(
            "the section 'governance' has unknown fields", expected=_FIELDS, actual=unknown
        )
    voters = section.get("voters", {"operator": 1})
    if not isinstance(voters, dict) or not voters:
        raise InvalidGenesis("'voters' gives roles their weight", expected='{"operator": 1}')
    weights: list[tuple[int, int]] = []
    for place, role in enumerate(roles):
        if role in voters:
            weights.append((1 << place, _number(voters, role, 1, MAX_WEIGHT)))
    if len(weights) != len(voters):
        raise InvalidGenesis(
            "'voters' names an unknown role", expected=", ".join(roles), actual=list(voters)
        )
    return Settings(
        tuple(weights),
        _part(section, "quorum"),
        _part(section, "threshold"),
        _number(section, "voting_period_ms", 1, MAX_PERIOD_MS, DEFAULT_PERIOD_MS),
        _number(section, "notice_blocks", 1, MAX_NOTICE_BLOCKS, DEFAULT_NOTICE_BLOCKS),
    )


def _part(section: Mapping[str, object], name: str) -> tuple[int, int]:
    value = section.get(name, list(DEFAULT_PART))
    match value:
        case [int(numerator), int(denominator)] if (
            type(numerator) is int
            and type(denominator) is int
            and 0 < numerator <= denominator <= MAX_DENOMINATOR
        ):
            return numerator, denominator
    raise InvalidGenesis(
        f"governance: {name!r} is a part of the whole", expected="for example [2, 3]", actual=value
    )


def _number(
    section: Mapping[str, object], name: str, low: int, high: int, default: int | None = None
) -> int:
    value = section.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise InvalidGenesis(
            f"governance: {name!r} is out of range", expected=f"{low} to {high}", actual=value
        )
    return value
