"""The market's section of a genesis file: read, checked against itself, and turned into leaves."""

from __future__ import annotations

from collections.abc import Mapping
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
from vm.primitives.errors import BitenergyError, InvalidGenesis
from vm.primitives.genesis_fields import AccountOf, read_decimal, read_object
from vm.primitives.integers import MAX_AMOUNT, MILLI_WH_PER_KWH, trade_amount_micro

MAX_MARKETS: Final = 1_000
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
    fields = read_object(section, "the section 'market'", ("markets",))
    markets = fields.entries("markets", most=MAX_MARKETS)
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
    fields = read_object(entry, where, _NETWORK_FIELDS)
    buses, lines = fields.found.get("buses"), fields.found.get("lines", [])
    if not isinstance(buses, list) or not isinstance(lines, list):
        raise InvalidGenesis(f"{where}: 'buses' and 'lines' are lists")
    return Network(
        fields.text("slack"),
        tuple(Bus(str(name)) for name in buses),
        tuple(_read_line(line, f"{where}: a line") for line in lines),
    )


def _read_line(entry: object, where: str) -> Line:
    fields = read_object(entry, where, _LINE_FIELDS)
    return Line(
        fields.text("name"),
        fields.text("from"),
        fields.text("to"),
        None if fields.found.get("rating_w") is None else fields.integer("rating_w", 0, MAX_AMOUNT),
        fields.integer("reactance_nano_ohm", 0, MAX_AMOUNT, default=0),
        fields.text("owner", default=""),
    )


def _read_market(entry: object, number: int, account_of: AccountOf) -> MarketSection:
    name = read_object(entry, "a market", _FIELDS).name("name")
    where = f"market {name!r}"
    fields = read_object(entry, where, _FIELDS)
    limits = _read_pair_limits(fields.found.get("pair_limits_kwh", {}), where, account_of)
    buses, lines = _read_places(fields.found.get("network"), where, account_of)
    min_energy = fields.decimal("min_energy_kwh", default=DEFAULT_MIN_ENERGY_KWH)
    if not min_energy:
        raise fields.refusal("min_energy_kwh", "is above 0", "more than 0")
    config = MarketConfig(
        number=number,
        name=name,
        policy=fields.choice("line_policy", POLICY_NAMES, default=POLICY_NAMES[0]),
        penalty_price_micro_per_kwh=fields.decimal("penalty_price", default="0"),
        penalty_payee=fields.choice("penalty_payee", PAYEE_NAMES, default=PAYEE_NAMES[0]),
        edc=fields.account("edc", account_of, default=b""),
        default_pair_limit_milli_wh=None
        if fields.found.get("default_pair_limit_kwh") is None
        else fields.decimal("default_pair_limit_kwh"),
        pair_limits=len(limits),
        interval_minutes=fields.integer("interval_minutes", 0, MAX_AMOUNT, default=0),
        gate_closure_minutes=fields.integer("gate_closure_minutes", 0, MAX_AMOUNT, default=0),
        # By default the lowest at which the smallest purchase costs a micro-token.
        min_price_micro_per_kwh=-(-MILLI_WH_PER_KWH // min_energy)
        if fields.found.get("min_price") is None
        else fields.decimal("min_price"),
        max_price_micro_per_kwh=fields.decimal("max_price", default="1000000"),
        min_energy_milli_wh=min_energy,
        max_offers_per_member=fields.integer(
            "max_offers_per_member", 0, MAX_AMOUNT, default=DEFAULT_OFFERS_PER_MEMBER
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


def _read_pair_limits(entry: object, where: str, account_of: AccountOf) -> dict[bytes, int]:
    if not isinstance(entry, dict):
        raise InvalidGenesis(f"{where}: 'pair_limits_kwh' is a JSON object", actual=entry)
    limits: dict[bytes, int] = {}
    for names, limit in entry.items():
        what = f"{where}: the limit of {names!r}"
        pair = _read_pair(names, what, account_of)
        if pair in limits:
            raise InvalidGenesis(f"{what} is given twice", hint="A-B and B-A are one pair.")
        limits[pair] = read_decimal(limit, what)
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
        # A meshed one serves dispatch rounds; `_find_bus` refuses to trade over it.
        validate_network(network, radial=False)
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
            _owner_account(line, where, account_of),
        )
        for line in network.lines
    )
    return buses, lines


def _owner_account(line: Line, where: str, account_of: AccountOf) -> bytes:
    account = account_of(line.owner) if line.owner else b""
    if account is None:
        raise InvalidGenesis(
            f"{where}: the owner of line {line.name!r} is no member",
            expected="the name of a member",
            actual=line.owner,
        )
    return account
