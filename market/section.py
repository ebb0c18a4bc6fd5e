"""The market's section of a genesis file: read, checked against itself, and turned into leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from market.intervals import INTERVAL_MINUTES
from market.network import Bus, Line, Network, orient, validate_network
from market.records import (
    PAYEE_EDC,
    PAYEE_NAMES,
    PENALTY,
    POLICY_NAMES,
    BusRecord,
    LineRecord,
    MarketConfig,
    pair_of,
)
from vm.primitives.address import check_name
from vm.primitives.decimal_text import parse_decimal
from vm.primitives.errors import BitenergyError, InvalidGenesis
from vm.primitives.integers import MAX_AMOUNT, MILLI_WH_PER_KWH, trade_amount_micro

MAX_MARKETS: Final = 1_000
PRICE_DECIMALS: Final = 6
KWH_DECIMALS: Final = 6
MAX_GATE_CLOSURE_MINUTES: Final = 7 * 24 * 60
DEFAULT_MIN_ENERGY_KWH: Final = "0.001"
DEFAULT_OFFERS_PER_MEMBER: Final = 1_000
MOST_OFFERS_PER_MEMBER: Final = 1_000_000
"""Highest `max_offers_per_member` that genesis takes."""

_FIELDS = (
    "name",
    "line_policy",
    "penalty_price",
    "penalty_payee",
    "edc",
    "pair_limits_kwh",
    "default_pair_limit_kwh",
    "network",
    "interval_minutes",
    "gate_closure_minutes",
    "min_price",
    "max_price",
    "min_energy_kwh",
    "max_offers_per_member",
)
_NETWORK_FIELDS = ("slack", "buses", "lines")
_LINE_FIELDS = ("name", "from", "to", "rating_w", "reactance_nano_ohm", "owner")

AccountOf = Callable[[str], bytes | None]
"""Returns the account of the member with a name, or None."""


@dataclass(frozen=True, slots=True)
class MarketSection:
    """All that genesis says about one market."""

    config: MarketConfig
    """Its parameters."""
    pair_limits: Mapping[bytes, int]
    """Limits in milliwatt-hours per interval by pair (two accounts, the smaller first)."""
    buses: tuple[BusRecord, ...]
    """Buses of its network; the first is number 1."""
    lines: tuple[LineRecord, ...]
    """Lines of its network; the first is number 1."""


def read_section(section: Mapping[str, object], account_of: AccountOf) -> tuple[MarketSection, ...]:
    """Return the markets of a genesis section, in its order; raises InvalidGenesis."""
    _validate_fields(section, ("markets",), "the section 'market'")
    markets = section.get("markets", [])
    if not isinstance(markets, list) or len(markets) > MAX_MARKETS:
        raise InvalidGenesis("'markets' is a list", expected=f"at most {MAX_MARKETS} markets")
    found = tuple(_read_market(entry, number, account_of) for number, entry in enumerate(markets))
    names = [market.config.name for market in found]
    if len(dict.fromkeys(names)) != len(names):
        raise InvalidGenesis("two markets have the same name", actual=", ".join(names))
    return found


def read_network(entry: object, where: str = "the network") -> Network:
    """Return the network that a JSON object describes; raises InvalidGenesis on its form only.

    `{"slack": bus, "buses": [bus…], "lines": [{"name", "from", "to", "rating_w",
    "reactance_nano_ohm", "owner"}…]}`; the last three may be missing or null.
    """
    found = _object(entry, where)
    _validate_fields(found, _NETWORK_FIELDS, where)
    buses, lines = found.get("buses"), found.get("lines", [])
    if not isinstance(buses, list) or not isinstance(lines, list):
        raise InvalidGenesis(f"{where}: 'buses' and 'lines' are lists")
    return Network(
        _text(found, "slack", where),
        tuple(Bus(str(name)) for name in buses),
        tuple(_read_line(line, where) for line in lines),
    )


def _read_line(entry: object, where: str) -> Line:
    found = _object(entry, f"{where}: a line")
    _validate_fields(found, _LINE_FIELDS, f"{where}: a line")
    rating = found.get("rating_w")
    return Line(
        _text(found, "name", where),
        _text(found, "from", where),
        _text(found, "to", where),
        None if rating is None else _integer(found, "rating_w", where),
        _integer(found, "reactance_nano_ohm", where),
        _text(found, "owner", where, default=""),
    )


def _read_market(entry: object, number: int, account_of: AccountOf) -> MarketSection:
    found = _object(entry, "a market")
    name = found.get("name")
    if not isinstance(name, str) or not check_name(name):
        raise InvalidGenesis("a market has a name", actual=name)
    where = f"market {name!r}"
    _validate_fields(found, _FIELDS, where)
    edc = _account(found.get("edc"), f"{where}: 'edc'", account_of)
    limits = _read_pair_limits(found, where, account_of)
    buses, lines = _read_places(found.get("network"), where, account_of)
    default_limit = found.get("default_pair_limit_kwh")
    min_energy = _decimal(
        found.get("min_energy_kwh", DEFAULT_MIN_ENERGY_KWH),
        f"{where}: 'min_energy_kwh'",
        KWH_DECIMALS,
    )
    if not min_energy:
        raise InvalidGenesis(f"{where}: 'min_energy_kwh' is above 0", actual=0)
    min_price = found.get("min_price")
    config = MarketConfig(
        number=number,
        name=name,
        policy=_choice(found, "line_policy", POLICY_NAMES, where),
        penalty_price_micro_per_kwh=_decimal(
            found.get("penalty_price", "0"), f"{where}: 'penalty_price'", PRICE_DECIMALS
        ),
        penalty_payee=_choice(found, "penalty_payee", PAYEE_NAMES, where),
        edc=edc,
        default_pair_limit_milli_wh=None
        if default_limit is None
        else _decimal(default_limit, f"{where}: 'default_pair_limit_kwh'", KWH_DECIMALS),
        pair_limits=len(limits),
        interval_minutes=_integer(found, "interval_minutes", where),
        gate_closure_minutes=_integer(found, "gate_closure_minutes", where),
        # By default the lowest at which the smallest purchase costs a micro-token.
        min_price_micro_per_kwh=-(-MILLI_WH_PER_KWH // min_energy)
        if min_price is None
        else _decimal(min_price, f"{where}: 'min_price'", PRICE_DECIMALS),
        max_price_micro_per_kwh=_decimal(
            found.get("max_price", "1000000"), f"{where}: 'max_price'", PRICE_DECIMALS
        ),
        min_energy_milli_wh=min_energy,
        max_offers_per_member=_integer(
            found, "max_offers_per_member", where, default=DEFAULT_OFFERS_PER_MEMBER
        ),
        buses=len(buses),
        lines=len(lines),
    )
    validate_config(config, where)
    return MarketSection(config, limits, buses, lines)


def validate_config(config: MarketConfig, where: str) -> None:
    """Raise InvalidGenesis where a market's parameters contradict each other."""
    if config.interval_minutes not in INTERVAL_MINUTES:
        raise InvalidGenesis(
            f"{where}: no such length of intervals",
            expected=INTERVAL_MINUTES,
            actual=config.interval_minutes,
        )
    if not 0 <= config.gate_closure_minutes <= MAX_GATE_CLOSURE_MINUTES:
        raise InvalidGenesis(
            f"{where}: 'gate_closure_minutes' is out of range",
            expected=f"0 to {MAX_GATE_CLOSURE_MINUTES}",
            actual=config.gate_closure_minutes,
        )
    if config.gate_closure_minutes and not config.interval_minutes:
        raise InvalidGenesis(f"{where}: without intervals there are no gates to close")
    if config.min_price_micro_per_kwh > config.max_price_micro_per_kwh:
        raise InvalidGenesis(f"{where}: 'min_price' is above 'max_price'")
    _validate_least(config, where)
    if config.policy == PENALTY and config.penalty_payee == PAYEE_EDC and not config.edc:
        raise InvalidGenesis(
            f"{where}: penalties go to a distribution company, and there is none",
            hint="Name a member as 'edc', or let 'penalty_payee' be 'seller'.",
        )


def _validate_least(config: MarketConfig, where: str) -> None:
    """Refuse a market in which the smallest purchase is paid for with nothing, unless it is free.

    What is left of an offer or a line may still be so little that its cost rounds to 0.
    """
    price, energy = config.min_price_micro_per_kwh, config.min_energy_milli_wh
    if price and not trade_amount_micro(energy, price):
        raise InvalidGenesis(
            f"{where}: the least energy at the lowest price costs less than a micro-token",
            hint="Raise 'min_price' or 'min_energy_kwh'; a 'min_price' of 0 allows free energy.",
        )
    if not 1 <= config.max_offers_per_member <= MOST_OFFERS_PER_MEMBER:
        raise InvalidGenesis(
            f"{where}: 'max_offers_per_member' is out of range",
            expected=f"1 to {MOST_OFFERS_PER_MEMBER}",
            actual=config.max_offers_per_member,
        )


def _read_pair_limits(
    found: Mapping[str, object], where: str, account_of: AccountOf
) -> dict[bytes, int]:
    limits: dict[bytes, int] = {}
    for names, limit in _object(found.get("pair_limits_kwh", {}), where).items():
        what = f"{where}: the limit of {names!r}"
        pair = _read_pair(names, what, account_of)
        if pair in limits:
            raise InvalidGenesis(f"{what} is given twice", hint="A-B and B-A are one pair.")
        limits[pair] = _decimal(limit, what, KWH_DECIMALS)
    return limits


def _read_pair(names: str, what: str, account_of: AccountOf) -> bytes:
    """Names may contain hyphens themselves: the split at which both are members counts."""
    pairs: list[bytes] = []
    for place, letter in enumerate(names):
        if letter == "-":
            first, second = account_of(names[:place]), account_of(names[place + 1 :])
            if first is not None and second is not None and first != second:
                pairs.append(pair_of(first, second))
    if len(pairs) != 1:
        raise InvalidGenesis(
            f"{what} does not name two members",
            expected="two different members with a hyphen between them",
            actual=f"{len(pairs)} ways to read it",
        )
    return pairs[0]


def _read_places(
    entry: object, where: str, account_of: AccountOf
) -> tuple[tuple[BusRecord, ...], tuple[LineRecord, ...]]:
    if entry is None:
        return (), ()
    network = read_network(entry, f"{where}: the network")
    try:
        validate_network(network, radial=True)
    except BitenergyError as error:
        raise InvalidGenesis(f"{where}: {error}") from error
    # Records number buses and lines from 1, so that 0 says "none".
    numbers = {bus.name: number for number, bus in enumerate(network.buses, 1)}
    buses = tuple(
        BusRecord(bus.name, place.parent + 1, place.line + 1, place.direction, place.depth)
        for bus, place in zip(network.buses, orient(network), strict=True)
    )
    lines = tuple(
        LineRecord(
            line.name,
            numbers[line.from_bus],
            numbers[line.to_bus],
            line.rating_w,
            line.reactance_nano_ohm,
            _account(line.owner or None, f"{where}: owner of line {line.name!r}", account_of),
        )
        for line in network.lines
    )
    return buses, lines


def _account(name: object, what: str, account_of: AccountOf) -> bytes:
    if name is None:
        return b""
    account = account_of(name) if isinstance(name, str) else None
    if account is None:
        raise InvalidGenesis(f"{what} is no member", expected="the name of a member", actual=name)
    return account


def _choice(found: Mapping[str, object], field: str, names: tuple[str, ...], where: str) -> int:
    value = found.get(field, names[0])
    if value not in names:
        raise InvalidGenesis(f"{where}: {field!r}", expected=" or ".join(names), actual=value)
    return names.index(str(value))


def _integer(found: Mapping[str, object], field: str, where: str, *, default: int = 0) -> int:
    value = found.get(field, default)
    if type(value) is not int or not 0 <= value <= MAX_AMOUNT:
        raise InvalidGenesis(f"{where}: {field!r} is a whole number", actual=value)
    return value


def _decimal(value: object, what: str, decimals: int) -> int:
    try:
        number = parse_decimal(value, decimals) if isinstance(value, str) else -1
    except BitenergyError as error:
        raise InvalidGenesis(f"{what}: {error}") from error
    if not 0 <= number <= MAX_AMOUNT:
        raise InvalidGenesis(
            f"{what} is a number as text, not below 0", expected='for example "0.1"', actual=value
        )
    return number


def _text(
    found: Mapping[str, object], field: str, where: str, *, default: str | None = None
) -> str:
    value = found.get(field)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise InvalidGenesis(f"{where}: {field!r} is a name", actual=value)
    return value


def _object(entry: object, what: str) -> dict[str, object]:
    if not isinstance(entry, dict):
        raise InvalidGenesis(f"{what}: not a JSON object", actual=entry)
    return entry


def _validate_fields(found: Mapping[str, object], names: tuple[str, ...], where: str) -> None:
    unknown = [name for name in found if name not in names]
    if unknown:
        raise InvalidGenesis(
            f"{where} has unknown fields",
            expected=", ".join(names),
            actual=", ".join(map(str, unknown)),
        )
