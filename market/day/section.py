"""The section `day` of a genesis file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from market.auction.crossing import RATIONING_NAMES
from market.auction.feeder import MAX_BUSES
from market.auction.records import HUANG, MECHANISM_NAMES, PAY_AS_BID, UNIFORM
from market.auction.section import INTERVAL_MINUTES, MINUTE_MS, BusesOf
from market.day.dates import (
    EU_RULE,
    MINUTES_PER_DAY,
    NO_RULE,
    RULE_NAMES,
    Zone,
    parse_clock,
    parse_minute,
)
from market.day.gates import (
    DAY_AHEAD,
    KIND_NAMES,
    MAX_GATES,
    Calendar,
    Gate,
    jump_minutes,
)
from market.day.records import DayMarket
from market.meters.records import MetersConfig
from vm.primitives.errors import InvalidGenesis
from vm.primitives.genesis_fields import AccountOf, GenesisFields, read_object
from vm.primitives.integers import MAX_AMOUNT, MILLI_WH_PER_KWH, divide_up

MAX_MARKETS: Final = 100
MAX_CHANGES: Final = 200
MAX_MEMBERS: Final = 100_000
MAX_OFFSET_MINUTES: Final = 14 * 60
MAX_PRICE: Final = 10**12
"""A million tokens per kWh."""
MAX_TOLERANCE_PERCENT: Final = 1_000
MAX_KEEP_DAYS: Final = 3_660
MAX_ENERGY: Final = 10**12
"""A million kWh."""
MAX_OF_ORDERS_MICRO: Final = MAX_AMOUNT // 20_000
"""Most that an interval's orders may come to for a member: a book takes orders of fewer than 20,000
members, and what a settlement comes to in all fits 64 bits."""
MAX_OF_METER_MICRO: Final = MAX_AMOUNT // 2_000_000
"""Most that an interval's readings may come to: the sum over MAX_MEMBERS is a twentieth of what
fits, and a debt that nobody pays takes decades to be more."""
_FIELDS: Final = (
    "name",
    "account",
    "upstream",
    "interval_minutes",
    "minute_ms",
    "zone",
    "epoch",
    "retail",
    "feed_in",
    "penalty",
    "tolerance_percent",
    "max_energy_kwh",
    "feeder",
    "keep_days",
    "members",
    "gates",
)
_GATE_FIELDS: Final = (
    "kind",
    "opens",
    "closes",
    "minutes",
    "mechanism",
    "rationing",
    "sealed",
    "opening_minutes",
    "deposit",
)


def read_section(
    section: Mapping[str, object], account_of: AccountOf, buses_of: BusesOf
) -> list[tuple[DayMarket, list[bytes]]]:
    """Return the day markets of a genesis section with those who belong to each from the start.

    Raises InvalidGenesis.
    """
    fields = read_object(section, "the section 'day'", ("markets",))
    found: list[tuple[DayMarket, list[bytes]]] = []
    for number, entry in enumerate(fields.entries("markets", most=MAX_MARKETS)):
        name = read_object(entry, "a day market", _FIELDS).name("name")
        own = read_object(entry, f"day market {name!r}", _FIELDS)
        market = _read(own, number, name, account_of)
        validate_market(market, own.where, buses_of(market.feeder) if market.feeder else 0)
        found.append((market, _members(own, account_of)))
    if len(dict.fromkeys([market.name for market, _ in found])) != len(found):
        raise InvalidGenesis("two day markets have the same name")
    members = [account for _, accounts in found for account in accounts]
    if len(dict.fromkeys(members)) != len(members):
        raise InvalidGenesis("a member belongs to two day markets")
    return found


def _read(fields: GenesisFields, number: int, name: str, account_of: AccountOf) -> DayMarket:
    length = fields.one_of("interval_minutes", INTERVAL_MINUTES, default=15)
    gates = [
        _gate(read_object(entry, f"{fields.where}, gate {place}", _GATE_FIELDS), place)
        for place, entry in enumerate(fields.entries("gates", most=MAX_GATES))
    ]
    calendar = Calendar(
        length,
        fields.integer("minute_ms", 1, MINUTE_MS, default=MINUTE_MS),
        _shift(fields, length),
        _zone(fields),
        tuple(gates),
    )
    return DayMarket(
        number,
        name,
        fields.account("account", account_of),
        fields.account("upstream", account_of),
        calendar,
        fields.decimal("retail", most=MAX_PRICE),
        fields.decimal("feed_in", most=MAX_PRICE),
        fields.decimal("penalty", default="0", most=MAX_PRICE),
        fields.integer("tolerance_percent", 0, MAX_TOLERANCE_PERCENT, default=10),
        fields.decimal("max_energy_kwh", default="1000", most=MAX_ENERGY),
        fields.name("feeder", default=""),
        fields.integer("keep_days", 1, MAX_KEEP_DAYS, default=62),
    )


def _gate(fields: GenesisFields, place: int) -> Gate:
    kind = fields.choice("kind", KIND_NAMES)
    local, before = ("opens", "closes"), ("minutes",)
    wanted, other = (local, before) if kind == DAY_AHEAD else (before, local)
    if any(field in fields.found for field in other) or (
        any(field not in fields.found for field in wanted)
    ):
        raise InvalidGenesis(
            f"{fields.where}: the fields do not fit the kind",
            expected="'opens' and 'closes' for day_ahead, 'minutes' for the others",
        )
    if kind == DAY_AHEAD:
        opens, closes = _clock(fields, "opens"), _clock(fields, "closes")
    else:
        opens = 0 if place else MINUTES_PER_DAY
        closes = fields.integer("minutes", 0, MINUTES_PER_DAY - 1)
    sealed = fields.flag("sealed")
    return Gate(
        kind,
        opens,
        closes,
        fields.choice("mechanism", MECHANISM_NAMES, default=MECHANISM_NAMES[0]),
        fields.choice("rationing", RATIONING_NAMES, default=RATIONING_NAMES[0]),
        sealed,
        fields.integer("opening_minutes", 0, MINUTES_PER_DAY, default=15 if sealed else 0),
        fields.decimal("deposit", default="0", most=MAX_PRICE),
    )


def _clock(fields: GenesisFields, field: str) -> int:
    minute = parse_clock(fields.text(field))
    if minute is None:
        raise fields.refusal(field, "is a local time", "for example 08:00")
    return minute


def _zone(fields: GenesisFields) -> Zone:
    zone = read_object(
        fields.found.get("zone", {}),
        f"{fields.where}, 'zone'",
        ("offset_minutes", "rule", "changes"),
    )
    limit = MAX_OFFSET_MINUTES
    offset = zone.integer("offset_minutes", -limit, limit, default=0)
    rule = zone.choice("rule", RULE_NAMES, default=RULE_NAMES[NO_RULE])
    changes: list[tuple[int, int]] = []
    for entry in zone.entries("changes", most=MAX_CHANGES):
        change = read_object(entry, f"{zone.where}, a change", ("utc", "offset_minutes"))
        changes.append((_minute(change, "utc"), change.integer("offset_minutes", -limit, limit)))
    if rule == EU_RULE and changes:
        raise InvalidGenesis(f"{zone.where} has a rule or changes, not both")
    if changes != sorted(dict(changes).items()):
        raise InvalidGenesis(f"{zone.where}: changes follow one another in time")
    return Zone(offset, rule, tuple(changes))


def _minute(fields: GenesisFields, field: str) -> int:
    minute = parse_minute(fields.text(field))
    if minute is None:
        raise fields.refusal(field, "is a time in UTC", "for example 2026-03-29T01:00")
    return minute


def _shift(fields: GenesisFields, length: int) -> int:
    if "epoch" not in fields.found:
        return 0
    epoch = read_object(fields.found["epoch"], f"{fields.where}, 'epoch'", ("interval", "utc"))
    minute = _minute(epoch, "utc")
    if minute % length:
        raise epoch.refusal("utc", "is the start of an interval", f"a multiple of {length} minutes")
    return minute - epoch.integer("interval", 0, MAX_AMOUNT) * length


def _members(fields: GenesisFields, account_of: AccountOf) -> list[bytes]:
    found: list[bytes] = []
    for name in fields.entries("members", most=MAX_MEMBERS):
        account = account_of(name) if isinstance(name, str) else None
        if account is None:
            raise InvalidGenesis(f"{fields.where}: 'members' names no member", actual=name)
        found.append(account)
    return found


def validate_market(market: DayMarket, where: str, buses: int) -> None:
    """Raise InvalidGenesis unless the parts of a market over `buses` buses fit together."""
    calendar = market.calendar
    if not market.feed_in_micro_per_kwh <= market.retail_micro_per_kwh:
        raise InvalidGenesis(f"{where}: 'feed_in' is above 'retail'")
    if not market.max_energy_milli_wh:
        raise InvalidGenesis(f"{where}: 'max_energy_kwh' is above 0")
    # Bought, sold short, and misstated, each at the retail price.
    of_orders = 3 * market.retail_micro_per_kwh + market.penalty_micro_per_kwh
    of_orders = divide_up(of_orders * market.max_energy_milli_wh, MILLI_WH_PER_KWH)
    if of_orders > MAX_OF_ORDERS_MICRO:
        raise InvalidGenesis(
            f"{where}: 'max_energy_kwh' at 'retail' and 'penalty' is more than can be settled",
            expected=f"at most {MAX_OF_ORDERS_MICRO} micro-tokens for a member and interval",
            actual=of_orders,
        )
    if market.account == market.upstream:
        raise InvalidGenesis(f"{where}: 'account' and 'upstream' are two members")
    if any(offset % calendar.interval_minutes for offset in calendar.zone.offsets()):
        raise InvalidGenesis(
            f"{where}: local days begin with an interval",
            expected=f"offsets of whole intervals of {calendar.interval_minutes} minutes",
        )
    if not calendar.gates:
        raise InvalidGenesis(f"{where}: 'gates' has at least one")
    if market.feeder and not 1 <= buses <= MAX_BUSES:
        raise InvalidGenesis(
            f"{where}: 'feeder' is a market with a network",
            expected=f"1 to {MAX_BUSES} buses",
            actual=buses,
        )
    for number, gate in enumerate(calendar.gates):
        _validate_gate(market, gate, f"{where}, gate {number}")
    _validate_order(calendar, where)


def validate_meters(market: DayMarket, meters: MetersConfig | None) -> None:
    """Raise InvalidGenesis unless the chain's meters measure the market's intervals.

    What a connection can carry in one, at the retail price, is bounded.
    """
    calendar, where = market.calendar, f"day market {market.name!r}"
    wanted = (calendar.interval_minutes, calendar.minute_ms)
    if meters is None or (meters.interval_minutes, meters.minute_ms) != wanted:
        raise InvalidGenesis(
            f"{where}: the section 'meters' has the same intervals",
            expected=f"{wanted[0]} minutes of {wanted[1]} ms",
            actual="no meters" if meters is None else f"{meters.interval_minutes} minutes",
        )
    of_meter = divide_up(meters.max_energy_milli_wh * market.retail_micro_per_kwh, MILLI_WH_PER_KWH)
    if of_meter > MAX_OF_METER_MICRO:
        raise InvalidGenesis(
            f"{where}: 'meters.max_power_w' at 'retail' is more than can be settled",
            expected=f"at most {MAX_OF_METER_MICRO} micro-tokens for an interval",
            actual=of_meter,
        )


def _validate_gate(market: DayMarket, gate: Gate, where: str) -> None:
    if market.feeder and gate.mechanism != UNIFORM:
        raise InvalidGenesis(f"{where}: what clears by zones is 'uniform'")
    if gate.mechanism == HUANG and not gate.sealed:
        raise InvalidGenesis(
            f"{where}: 'huang' ranks equal prices by a hash that who places last could choose",
            hint="Let it be sealed.",
        )
    if gate.mechanism == PAY_AS_BID and gate.sealed:
        raise InvalidGenesis(
            f"{where}: 'pay_as_bid' goes by arrival, which sealed orders do not have",
            hint="Let it not be sealed.",
        )
    if bool(gate.opening_minutes) != gate.sealed:
        raise InvalidGenesis(f"{where}: what is sealed has 'opening_minutes', and nothing else")
    if gate.kind == DAY_AHEAD and gate.opens_minute >= gate.closes_minute:
        raise InvalidGenesis(f"{where}: it closes before it opens")


def _validate_order(calendar: Calendar, where: str) -> None:
    """Raise InvalidGenesis unless each gate clears before the next closes, on every day."""
    kinds = [gate.kind for gate in calendar.gates]
    if kinds != sorted(kinds) or kinds.count(DAY_AHEAD) > 1:
        raise InvalidGenesis(
            f"{where}: gates are in the order of their closing",
            expected="at most one day_ahead, then intraday, then real_time",
        )
    # Minutes before the earliest interval of the day at which a gate is done; clocks may jump.
    left = calendar.gates[0].opens_minute
    for number, gate in enumerate(calendar.gates):
        before = gate.closes_minute
        if gate.kind == DAY_AHEAD:
            left = before = MINUTES_PER_DAY - gate.closes_minute - jump_minutes(calendar.zone)
        if before > left or (before == left and number) or before < gate.opening_minutes:
            raise InvalidGenesis(
                f"{where}: gate {number} is not done before the next gate, or before delivery",
                hint="Clocks may jump between a day-ahead gate and the day's first interval.",
            )
        left = before - gate.opening_minutes
