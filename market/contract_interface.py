"""The built-in interface `market`: what contracts do in a market, and what they read of it.

A contract posts, withdraws and buys as a member with the roles that operators gave it; it is held
to what a transaction is held to. What it reads costs the gas of reading it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from market.book import entry_offer_id, iterate_book
from market.network import line_capacity_milli_wh
from market.records import (
    LINE_FLOW,
    LINE_NAME_SPACE,
    LINE_SPACE,
    OFFER_SPACE,
    PAIR_LIMIT_SPACE,
    PAIR_USAGE,
    USAGE_SPACE,
    MarketConfig,
    decode_line,
    decode_offer,
    interval_prefix,
    pair_of,
)
from vm.context import CallContext
from vm.contract.interfaces import Signature
from vm.contract.value_types import (
    ADDRESS,
    BOOL,
    INT,
    NONE,
    STR,
    ValueType,
    list_of,
    tuple_of,
)
from vm.module import ContractMethod, Interfaces
from vm.primitives.codec import Encodable
from vm.primitives.errors import CallError, InvariantViolation

MAX_LISTED: Final = 32
"""Offers that one call lists."""
NO_LIMIT: Final = -1

LoadConfig = Callable[[CallContext, str], MarketConfig]
"""Returns a market by its name; raises CallError `unknown_market`."""
Handlers = tuple[
    Callable[..., Encodable],
    Callable[..., Encodable],
    Callable[..., Encodable],
    Callable[..., Encodable],
]

Parameter = tuple[str, ValueType]

_MARKET: Final = ("market", STR)
_INTERVAL: Final = ("interval", INT)
_OFFER_ID: Final = ("offer_id", INT)
_ENERGY: Final = ("energy_milli_wh", INT)
_PRICE: Final = ("price_micro_per_kwh", INT)
_FILL: Final = tuple_of(INT, ADDRESS, INT, INT, INT, INT)
_OFFER: Final = tuple_of(INT, ADDRESS, INT, INT)


def market_interfaces(load: LoadConfig, handlers: Handlers) -> Interfaces:
    """Return the interface; `handlers` are the module's own of post, update, withdraw and buy."""
    post, update, withdraw, buy = handlers

    def list_offers(ctx: CallContext, market: str, interval: int, limit: int) -> Encodable:
        return _list_offers(ctx, load(ctx, market), interval, limit)

    def read_line(ctx: CallContext, market: str, line: str, interval: int) -> Encodable:
        return _read_line(ctx, load(ctx, market), line, interval)

    def read_pair(
        ctx: CallContext, market: str, first: bytes, second: bytes, interval: int
    ) -> Encodable:
        return _read_pair(ctx, load(ctx, market), first, second, interval)

    def act(result: ValueType, run: Callable[..., Encodable], *rest: Parameter) -> ContractMethod:
        return ContractMethod(Signature((_MARKET, *rest), result, is_view=False), run)

    def look(result: ValueType, run: Callable[..., Encodable], *rest: Parameter) -> ContractMethod:
        return ContractMethod(Signature((_MARKET, *rest), result, is_view=True), run)

    return {
        "market": {
            "post": act(INT, post, _INTERVAL, _ENERGY, _PRICE),
            "update": act(NONE, update, _OFFER_ID, _ENERGY, _PRICE),
            "withdraw": act(NONE, withdraw, _OFFER_ID),
            "buy": act(
                list_of(_FILL),
                buy,
                _INTERVAL,
                _ENERGY,
                ("max_price_micro_per_kwh", INT),
                ("allow_partial", BOOL),
            ),
            "offers": look(list_of(_OFFER), list_offers, _INTERVAL, ("limit", INT)),
            "line": look(tuple_of(INT, INT), read_line, ("line", STR), _INTERVAL),
            "pair": look(
                tuple_of(INT, INT), read_pair, ("first", ADDRESS), ("second", ADDRESS), _INTERVAL
            ),
        }
    }


def _list_offers(
    ctx: CallContext, config: MarketConfig, interval: int, limit: int
) -> list[Encodable]:
    """Return the best standing offers: each number, seller, energy, price without penalty."""
    if not 1 <= limit <= MAX_LISTED:
        raise CallError(
            "invalid_arguments", "too many offers or none", expected=f"1 to {MAX_LISTED}"
        )
    group = interval_prefix(config.prefix, _validate_interval(interval))
    found: list[Encodable] = []
    for entry in islice(iterate_book(ctx, group, networked=config.buses > 0), limit):
        data = ctx.get(OFFER_SPACE + entry[16:24])
        if data is None:
            raise InvariantViolation(f"the book holds offer {entry_offer_id(entry)}, which is gone")
        offer = decode_offer(data)
        found.append(
            (
                entry_offer_id(entry),
                offer.seller,
                offer.energy_milli_wh,
                offer.price_micro_per_kwh,
            )
        )
    return found


def _read_line(ctx: CallContext, config: MarketConfig, line: str, interval: int) -> Encodable:
    """Return what a line may carry in an interval, -1 for no limit, and its net flow, in mWh."""
    number = ctx.get(LINE_NAME_SPACE + config.prefix + line.encode())
    if number is None:
        raise CallError("unknown_line", "the market's network has no such line", actual=line[:80])
    data = ctx.get(LINE_SPACE + config.prefix + number)
    if data is None:
        raise InvariantViolation(f"market {config.name!r} lost line {line!r}")
    rating_w = decode_line(data).rating_w
    group = interval_prefix(config.prefix, _validate_interval(interval))
    flow = ctx.get(USAGE_SPACE + group + LINE_FLOW + number) or b""
    capacity = (
        NO_LIMIT if rating_w is None else line_capacity_milli_wh(rating_w, config.interval_minutes)
    )
    return capacity, int.from_bytes(flow, "big", signed=True)


def _read_pair(
    ctx: CallContext, config: MarketConfig, first: bytes, second: bytes, interval: int
) -> Encodable:
    """Return what two members may trade in an interval, -1 for no limit, and what they did, mWh."""
    pair = pair_of(first, second)
    own = ctx.get(PAIR_LIMIT_SPACE + config.prefix + pair)
    limit = config.default_pair_limit_milli_wh
    if own is not None:
        limit = int.from_bytes(own, "big")
    group = interval_prefix(config.prefix, _validate_interval(interval))
    used = ctx.get(USAGE_SPACE + group + PAIR_USAGE + pair) or b""
    return NO_LIMIT if limit is None else limit, int.from_bytes(used, "big")


def _validate_interval(interval: int) -> int:
    if interval < 0:
        raise CallError("invalid_arguments", "an interval is not negative", actual=interval)
    return interval
