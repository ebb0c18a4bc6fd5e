"""The section `auction` of a genesis file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from market.auction.crossing import RATIONING_NAMES
from market.auction.feeder import MAX_BUSES
from market.auction.records import HUANG, MECHANISM_NAMES, PAY_AS_BID, UNIFORM, AuctionConfig
from vm.primitives.errors import InvalidGenesis
from vm.primitives.genesis_fields import AccountOf, read_object

MAX_AUCTIONS: Final = 100
MAX_MINUTES: Final = 7 * 24 * 60
MINUTE_MS: Final = 60_000
INTERVAL_MINUTES: Final = (15, 30, 60)
_FIELDS: Final = (
    "name",
    "mechanism",
    "rationing",
    "sealed",
    "minute_ms",
    "interval_minutes",
    "gate_minutes",
    "opening_minutes",
    "deposit",
    "min_price",
    "max_price",
    "max_energy_kwh",
    "account",
    "market",
)

BusesOf = Callable[[str], int]
"""Returns the number of buses of a market's network; 0 if there is none."""


def read_section(
    section: Mapping[str, object], account_of: AccountOf, buses_of: BusesOf
) -> list[AuctionConfig]:
    """Return the auctions of a genesis section; raises InvalidGenesis."""
    fields = read_object(section, "the section 'auction'", ("auctions",))
    auctions = fields.entries("auctions", most=MAX_AUCTIONS)
    found = [_read(entry, number, account_of) for number, entry in enumerate(auctions)]
    for config in found:
        validate_auction(config, buses_of(config.market) if config.market else 0)
    if len(dict.fromkeys([config.name for config in found])) != len(found):
        raise InvalidGenesis("two auctions have the same name")
    return found


def _read(entry: object, number: int, account_of: AccountOf) -> AuctionConfig:
    name = read_object(entry, "an auction", _FIELDS).name("name")
    fields = read_object(entry, f"auction {name!r}", _FIELDS)
    sealed = fields.flag("sealed", default=True)
    return AuctionConfig(
        number,
        name,
        fields.choice("mechanism", MECHANISM_NAMES, default=MECHANISM_NAMES[0]),
        fields.choice("rationing", RATIONING_NAMES, default=RATIONING_NAMES[0]),
        sealed,
        fields.integer("minute_ms", 1, MINUTE_MS, default=MINUTE_MS),
        fields.one_of("interval_minutes", INTERVAL_MINUTES, default=15),
        fields.integer("gate_minutes", 0, MAX_MINUTES, default=60),
        fields.integer("opening_minutes", 0, MAX_MINUTES, default=15 if sealed else 0),
        # Free of charge, a commitment could be left unopened whenever the others' orders show so.
        fields.decimal("deposit", default="1" if sealed else "0"),
        fields.decimal("min_price", default="0"),
        fields.decimal("max_price", default="1000000"),
        fields.decimal("max_energy_kwh", default="1000000"),
        fields.account("account", account_of),
        fields.name("market", default=""),
    )


def validate_auction(config: AuctionConfig, buses: int) -> None:
    """Raise InvalidGenesis unless parameters fit each other and the number of feeder buses."""
    where = f"auction {config.name!r}"
    if config.market and not 1 <= buses <= MAX_BUSES:
        raise InvalidGenesis(
            f"{where}: 'market' is one with a radial network",
            expected=f"1 to {MAX_BUSES} buses",
            actual=buses,
        )
    if config.market and config.mechanism != UNIFORM:
        raise InvalidGenesis(f"{where}: what clears by zones is 'uniform'")
    if config.mechanism == HUANG and not config.sealed:
        raise InvalidGenesis(
            f"{where}: 'huang' ranks equal prices by a hash that who places last could choose",
            hint="Let it be sealed.",
        )
    if config.mechanism == PAY_AS_BID and config.sealed:
        raise InvalidGenesis(
            f"{where}: 'pay_as_bid' goes by arrival, which sealed orders do not have",
            hint="Let it not be sealed.",
        )
    if bool(config.opening_minutes) != config.sealed:
        raise InvalidGenesis(f"{where}: what is sealed has 'opening_minutes', and nothing else")
    if config.opening_minutes > config.gate_minutes:
        raise InvalidGenesis(f"{where}: openings end after the interval has begun")
    if config.min_price_micro_per_kwh > config.max_price_micro_per_kwh:
        raise InvalidGenesis(f"{where}: 'min_price' is above 'max_price'")
    if not config.max_energy_milli_wh:
        raise InvalidGenesis(f"{where}: 'max_energy_kwh' is above 0")
