"""The section of genesis for dispatch areas: read, checked, made into terms and first units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from market.dispatch_problem import MAX_INTERVAL_MINUTES, MAX_INTERVALS
from market.dispatch_records import FALLBACK_NAMES, KIND_NAMES, Area
from vm.primitives.address import check_name
from vm.primitives.decimal_text import parse_decimal
from vm.primitives.errors import BitenergyError, InvalidGenesis
from vm.primitives.integers import MAX_AMOUNT

MAX_AREAS: Final = 1_000
MAX_DEADLINE_MS: Final = 24 * 60 * 60_000
MAX_OPENS_MINUTES: Final = 7 * 24 * 60
MAX_KEPT_ROUNDS: Final = 10_000
TOKEN_DECIMALS: Final = 6
MS_PER_MINUTE: Final = 60_000

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
    _validate_fields(section, ("areas",), "the section 'dispatch'")
    areas = section.get("areas", [])
    if not isinstance(areas, list) or len(areas) > MAX_AREAS:
        raise InvalidGenesis("'areas' is a list", expected=f"at most {MAX_AREAS} areas")
    found = tuple(_read_area(entry, number) for number, entry in enumerate(areas))
    names = [each.area.name for each in found]
    if len(dict.fromkeys(names)) != len(names):
        raise InvalidGenesis("two dispatch areas have the same name", actual=", ".join(names))
    return found


def _read_area(entry: object, number: int) -> AreaSection:
    found = _object(entry, "a dispatch area")
    name = _name(found, "name", "a dispatch area")
    where = f"dispatch area {name!r}"
    _validate_fields(found, _FIELDS, where)
    opens = _integer(found, "opens_minutes", where, 0, MAX_OPENS_MINUTES, default=0)
    deadline = _integer(found, "deadline_ms", where, 1, MAX_DEADLINE_MS, default=60_000)
    if opens and deadline > opens * MS_PER_MINUTE:
        raise InvalidGenesis(
            f"{where}: a round would still be open when its first interval begins",
            expected=f"'deadline_ms' of at most {opens * MS_PER_MINUTE}",
            actual=deadline,
        )
    fallback = found.get("fallback", FALLBACK_NAMES[0])
    if fallback not in FALLBACK_NAMES:
        raise InvalidGenesis(
            f"{where}: 'fallback'", expected=" or ".join(FALLBACK_NAMES), actual=fallback
        )
    micro_per_dollar = _tokens(found, "tokens_per_dollar", where, default="100")
    if not micro_per_dollar:
        raise InvalidGenesis(f"{where}: 'tokens_per_dollar' is above 0")
    settles = _flag(found, "settles", where, default=0)
    area = Area(
        number=number,
        name=name,
        market=_name(found, "market", where),
        interval_minutes=_integer(
            found, "interval_minutes", where, 1, MAX_INTERVAL_MINUTES, default=60
        ),
        intervals=_integer(found, "intervals", where, 1, MAX_INTERVALS, default=1),
        opens_minutes=opens,
        deadline_ms=deadline,
        fallback=FALLBACK_NAMES.index(str(fallback)),
        micro_per_dollar=micro_per_dollar,
        reward_micro=_tokens(found, "reward", where),
        bond_micro=_tokens(found, "bond", where),
        settles=settles,
        keep_rounds=_integer(found, "keep_rounds", where, 1, MAX_KEPT_ROUNDS, default=100),
        members_register=_flag(found, "members_register", where, default=1 - settles),
        max_price_micro_dollar_per_kwh=_tokens(found, "max_price_per_kwh", where, default="100"),
    )
    units = found.get("units", [])
    if not isinstance(units, list):
        raise InvalidGenesis(f"{where}: 'units' is a list", actual=units)
    return AreaSection(
        area,
        _tokens(found, "pot", where),
        tuple(_read_unit(each, where) for each in units),
    )


def _read_unit(entry: object, where: str) -> FirstUnit:
    found = _object(entry, f"{where}: a unit")
    name = _name(found, "name", f"{where}: a unit")
    where = f"{where}, unit {name!r}"
    _validate_fields(found, _UNIT_FIELDS, where)
    kind = found.get("kind")
    if kind not in KIND_NAMES:
        raise InvalidGenesis(f"{where}: 'kind'", expected=" or ".join(KIND_NAMES), actual=kind)
    bids, storage = found.get("bids", []), found.get("storage", [])
    if not isinstance(bids, list) or not isinstance(storage, list):
        raise InvalidGenesis(f"{where}: 'bids' and 'storage' are lists")
    return FirstUnit(
        name,
        _name(found, "owner", where),
        _name(found, "bus", where),
        str(kind),
        tuple(_read_bid(bid, where) for bid in bids),
        tuple(_wide(number, where) for number in storage),
    )


def _read_bid(entry: object, where: str) -> tuple[int, int, int, int]:
    found = _object(entry, f"{where}: a bid")
    _validate_fields(found, _BID_FIELDS, f"{where}: a bid")
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


def _tokens(found: Mapping[str, object], field: str, where: str, *, default: str = "0") -> int:
    value = found.get(field, default)
    try:
        number = parse_decimal(value, TOKEN_DECIMALS) if isinstance(value, str) else -1
    except BitenergyError as error:
        raise InvalidGenesis(f"{where}: {field!r}: {error}") from error
    if not 0 <= number <= MAX_AMOUNT:
        raise InvalidGenesis(f"{where}: {field!r} is an amount as text", actual=value)
    return number


def _integer(
    found: Mapping[str, object], field: str, where: str, low: int, high: int, *, default: int
) -> int:
    value = found.get(field, default)
    if type(value) is not int or not low <= value <= high:
        raise InvalidGenesis(
            f"{where}: {field!r} is a whole number", expected=f"{low} to {high}", actual=value
        )
    return value


def _flag(found: Mapping[str, object], field: str, where: str, *, default: int) -> int:
    value = found.get(field, bool(default))
    if type(value) is not bool:
        raise InvalidGenesis(f"{where}: {field!r} is true or false", actual=value)
    return int(value)


def _name(found: Mapping[str, object], field: str, where: str) -> str:
    value = found.get(field)
    if not isinstance(value, str) or not check_name(value):
        raise InvalidGenesis(f"{where}: {field!r} is a name", actual=value)
    return value


def _object(entry: object, what: str) -> dict[str, object]:
    if not isinstance(entry, dict):
        raise InvalidGenesis(f"{what} is a JSON object", actual=entry)
    return entry


def _validate_fields(found: Mapping[str, object], names: tuple[str, ...], where: str) -> None:
    unknown = [name for name in found if name not in names]
    if unknown:
        raise InvalidGenesis(
            f"{where} has unknown fields",
            expected=", ".join(names),
            actual=", ".join(map(str, unknown)),
        )
