"""The section `auction` of a genesis file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from market.auction.crossing import RATIONING_NAMES
from market.auction.feeder import MAX_BUSES
from market.auction.records import HUANG, MECHANISM_NAMES, PAY_AS_BID, UNIFORM, AuctionConfig
from vm.primitives.address import check_name
from vm.primitives.decimal_text import parse_decimal
from vm.primitives.errors import BitenergyError, InvalidGenesis
from vm.primitives.integers import MAX_AMOUNT

DECIMALS: Final = 6
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

AccountOf = Callable[[str], bytes | None]
"""Returns the account of the member with a name, or None."""
BusesOf = Callable[[str], int]
"""Returns the number of buses of a market's network; 0 if there is none."""


def read_section(
    section: Mapping[str, object], account_of: AccountOf, buses_of: BusesOf
) -> list[AuctionConfig]:
    """Return the auctions of a genesis section; raises InvalidGenesis."""
    auctions = section.get("auctions", [])
    if list(section) not in ([], ["auctions"]) or not isinstance(auctions, list):
        raise InvalidGenesis("the section 'auction' has a list 'auctions'", actual=list(section))
    if len(auctions) > MAX_AUCTIONS:
        raise InvalidGenesis("too many auctions", expected=MAX_AUCTIONS, actual=len(auctions))
    found = [_read(entry, number, account_of) for number, entry in enumerate(auctions)]
    for config in found:
        _validate(config, buses_of(config.market) if config.market else 0)
    if len(dict.fromkeys([config.name for config in found])) != len(found):
        raise InvalidGenesis("two auctions have the same name")
    return found


def _read(entry: object, number: int, account_of: AccountOf) -> AuctionConfig:
    if not isinstance(entry, dict):
        raise InvalidGenesis("an auction is a JSON object", actual=entry)
    name = entry.get("name")
    if not isinstance(name, str) or not check_name(name):
        raise InvalidGenesis("an auction has a name", actual=name)
    where = f"auction {name!r}"
    unknown = [field for field in entry if field not in _FIELDS]
    if unknown:
        raise InvalidGenesis(f"{where} has unknown fields", expected=_FIELDS, actual=unknown)
    sealed = entry.get("sealed", True)
    if type(sealed) is not bool:
        raise InvalidGenesis(f"{where}: 'sealed' is true or false", actual=sealed)
    owner = entry.get("account")
    account = account_of(owner) if isinstance(owner, str) else None
    if account is None:
        raise InvalidGenesis(f"{where}: 'account' is no member", actual=owner)
    minutes = entry.get("interval_minutes", 15)
    if type(minutes) is not int or minutes not in INTERVAL_MINUTES:
        raise InvalidGenesis(f"{where}: 'interval_minutes'", expected=INTERVAL_MINUTES)
    market = entry.get("market", "")
    if not isinstance(market, str) or (market and not check_name(market)):
        raise InvalidGenesis(f"{where}: 'market' is a name", actual=market)
    return AuctionConfig(
        number,
        name,
        _choice(entry, "mechanism", MECHANISM_NAMES, where),
        _choice(entry, "rationing", RATIONING_NAMES, where),
        sealed,
        _number(entry, "minute_ms", MINUTE_MS, 1, MINUTE_MS, where),
        minutes,
        _number(entry, "gate_minutes", 60, 0, MAX_MINUTES, where),
        _number(entry, "opening_minutes", 15 if sealed else 0, 0, MAX_MINUTES, where),
        _decimal(entry, "deposit", "0", where),
        _decimal(entry, "min_price", "0", where),
        _decimal(entry, "max_price", "1000000", where),
        _decimal(entry, "max_energy_kwh", "1000000", where),
        account,
        market,
    )


def _validate(config: AuctionConfig, buses: int) -> None:
    where = f"auction {config.name!r}"
    if config.market and not 1 <= buses <= MAX_BUSES:
        raise InvalidGenesis(
            f"{where}: 'market' is one with a network",
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


def _choice(entry: Mapping[str, object], field: str, names: tuple[str, ...], where: str) -> int:
    value = entry.get(field, names[0])
    if value not in names:
        raise InvalidGenesis(f"{where}: {field!r}", expected=" or ".join(names), actual=value)
    return names.index(str(value))


def _number(
    entry: Mapping[str, object], field: str, default: int, low: int, high: int, where: str
) -> int:
    value = entry.get(field, default)
    if type(value) is not int or not low <= value <= high:
        raise InvalidGenesis(f"{where}: {field!r}", expected=f"{low} to {high}", actual=value)
    return value


def _decimal(entry: Mapping[str, object], field: str, default: str, where: str) -> int:
    text = entry.get(field, default)
    try:
        number = parse_decimal(text, DECIMALS) if isinstance(text, str) else -1
    except BitenergyError as error:
        raise InvalidGenesis(f"{where}: {field!r}: {error}") from error
    if not 0 <= number <= MAX_AMOUNT:
        raise InvalidGenesis(f"{where}: {field!r} is a number as text", actual=text)
    return number
