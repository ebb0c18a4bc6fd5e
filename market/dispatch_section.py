"""The section of genesis for dispatch areas: read, checked, made into terms and first units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from market.dispatch_problem import (
    MAX_BIDS,
    MAX_INTERVAL_MINUTES,
    MAX_INTERVALS,
    MAX_POWER_W,
    MAX_UNITS,
)
from market.dispatch_records import FALLBACK_NAMES, KIND_NAMES, Area
from vm.primitives.decimal_text import parse_decimal
from vm.primitives.errors import BitenergyError, InvalidGenesis
from vm.primitives.genesis_fields import read_object

MAX_AREAS: Final = 1_000
MAX_DEADLINE_MS: Final = 24 * 60 * 60_000
MAX_OPENS_MINUTES: Final = 7 * 24 * 60
MAX_KEPT_ROUNDS: Final = 10_000
MS_PER_MINUTE: Final = 60_000
MAX_AREA_UNITS: Final = 1_000
DEFAULT_POWER_W: Final = 10**9
DEFAULT_UNITS_PER_MEMBER: Final = 20

_FIELDS = (
    "name",
    "market",
    "interval_minutes",
    "intervals",
    "opens_minutes",
    "deadline_ms",
    "fallback",
    "tokens_per_dollar",
    "reward",
    "bond",
    "settles",
    "keep_rounds",
    "members_register",
    "max_price_per_kwh",
    "max_power_w",
    "max_units_per_member",
    "pot",
    "units",
)
_UNIT_FIELDS = ("name", "owner", "bus", "kind", "bids", "storage")
_BID_FIELDS = ("a", "b", "lo_w", "hi_w")


@dataclass(frozen=True, slots=True)
class FirstUnit:
    """A unit that an area begins with, as a call of `register` would give it."""

    name: str
    """Its name."""
    owner: str
    """Name of the member that owns it."""
    bus: str
    """Name of its bus."""
    kind: str
    """Its kind."""
    bids: tuple[tuple[int, int, int, int], ...]
    """Its bids: (a, b, lo_w, hi_w)."""
    storage: tuple[int, ...]
    """Of a storage its ten numbers."""


@dataclass(frozen=True, slots=True)
class AreaSection:
    """All that genesis says about one area."""

    area: Area
    """Its terms."""
    pot_micro: int
    """What its pot begins with."""
    units: tuple[FirstUnit, ...]
    """Units registered from the beginning."""


def read_areas(section: Mapping[str, object]) -> tuple[AreaSection, ...]:
    """Return the areas of a genesis section, in its order; raises InvalidGenesis."""
    fields = read_object(section, "the section 'dispatch'", ("areas",))
    areas = fields.entries("areas", most=MAX_AREAS)
    found = tuple(_read_area(entry, number) for number, entry in enumerate(areas))
    names = [each.area.name for each in found]
    if len(dict.fromkeys(names)) != len(names):
        raise InvalidGenesis("two dispatch areas have the same name", actual=", ".join(names))
    return found


def _read_area(entry: object, number: int) -> AreaSection:
    name = read_object(entry, "a dispatch area", _FIELDS).name("name")
    where = f"dispatch area {name!r}"
    fields = read_object(entry, where, _FIELDS)
    opens = fields.integer("opens_minutes", 0, MAX_OPENS_MINUTES, default=0)
    deadline = fields.integer("deadline_ms", 1, MAX_DEADLINE_MS, default=60_000)
    if opens and deadline > opens * MS_PER_MINUTE:
        raise fields.refusal(
            "deadline_ms",
            "lets a round be open when its first interval begins",
            f"at most {opens * MS_PER_MINUTE}",
        )
    micro_per_dollar = fields.decimal("tokens_per_dollar", default="100")
    if not micro_per_dollar:
        raise fields.refusal("tokens_per_dollar", "is above 0", "more than 0")
    settles = fields.flag("settles")
    area = Area(
        number=number,
        name=name,
        market=fields.name("market"),
        interval_minutes=fields.integer("interval_minutes", 1, MAX_INTERVAL_MINUTES, default=60),
        intervals=fields.integer("intervals", 1, MAX_INTERVALS, default=1),
        opens_minutes=opens,
        deadline_ms=deadline,
        fallback=fields.choice("fallback", FALLBACK_NAMES, default=FALLBACK_NAMES[0]),
        micro_per_dollar=micro_per_dollar,
        reward_micro=fields.decimal("reward", default="0"),
        bond_micro=fields.decimal("bond", default="0"),
        settles=int(settles),
        keep_rounds=fields.integer("keep_rounds", 1, MAX_KEPT_ROUNDS, default=100),
        members_register=int(fields.flag("members_register", default=not settles)),
        max_price_micro_dollar_per_kwh=fields.decimal("max_price_per_kwh", default="100"),
        max_power_w=fields.integer("max_power_w", 1, MAX_POWER_W, default=DEFAULT_POWER_W),
        max_units_per_member=fields.integer(
            "max_units_per_member", 0, MAX_AREA_UNITS, default=DEFAULT_UNITS_PER_MEMBER
        ),
    )
    units = fields.entries("units", most=MAX_UNITS)
    return AreaSection(
        area,
        fields.decimal("pot", default="0"),
        tuple(_read_unit(each, where) for each in units),
    )


def _read_unit(entry: object, where: str) -> FirstUnit:
    name = read_object(entry, f"{where}: a unit", _UNIT_FIELDS).name("name")
    where = f"{where}, unit {name!r}"
    fields = read_object(entry, where, _UNIT_FIELDS)
    bids = fields.entries("bids", most=MAX_BIDS)
    storage = fields.entries("storage", most=MAX_BIDS)
    return FirstUnit(
        name,
        fields.name("owner"),
        fields.name("bus"),
        KIND_NAMES[fields.choice("kind", KIND_NAMES)],
        tuple(_read_bid(bid, f"{where}: a bid") for bid in bids),
        tuple(_wide(number, where) for number in storage),
    )


def _read_bid(entry: object, where: str) -> tuple[int, int, int, int]:
    found = read_object(entry, where, _BID_FIELDS).found
    a, b, lo_w, hi_w = (_wide(found.get(name), f"{where}: {name!r}") for name in _BID_FIELDS)
    return a, b, lo_w, hi_w


def _wide(value: object, where: str) -> int:
    """Return an integer of any size, as a number or as decimal text."""
    if type(value) is int:
        return value
    try:
        return parse_decimal(value, 0) if isinstance(value, str) else _not_whole(where, value)
    except BitenergyError as error:
        raise InvalidGenesis(f"{where}: {error}") from error


def _not_whole(where: str, value: object) -> int:
    raise InvalidGenesis(f"{where} is a whole number", actual=value)
