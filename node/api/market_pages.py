"""What the API says of markets: their rules, standing offers, trades, and used limits."""

from __future__ import annotations

import re
import time
from typing import Final

from market import views
from market.intervals import MS_PER_MINUTE
from market.records import PAYEE_NAMES, POLICY_NAMES, MarketConfig
from node.api.answers import Answer, ApiError, JsonObject
from node.api.chain_reader import StoredBlock
from node.api.context import ApiContext
from node.api.event_fields import TRADE
from node.api.event_search import find_events, mark_of
from node.api.parameters import Arguments, Parameter, ParameterKind
from node.api.render import trade_fields
from node.ledger.receipt import decode_receipt
from vm.primitives.address import encode_address
from vm.primitives.errors import InvalidInput

_PAGE_END = re.compile(r"(0|[1-9][0-9]{0,18})(-(0|[1-9][0-9]{0,18})){2}", re.ASCII)
_TRADE_MARK: Final = mark_of(TRADE[1])

AFTER_OFFER: Final = Parameter(
    "after",
    ParameterKind(
        "the `next` of the answer before",
        lambda text: text if _PAGE_END.fullmatch(text) else None,
        {"type": "string", "pattern": f"^{_PAGE_END.pattern}$"},
    ),
    "Only offers behind this place.",
)


async def list_markets(context: ApiContext, _: Arguments) -> Answer:
    """Answer GET /markets."""
    found = views.list_markets(context.facade.store)
    return Answer({"markets": [_market_json(context, market) for market in found]})


async def list_offers(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /markets/{market}/offers."""
    market = _find(context, arguments)
    who = arguments.text("seller")
    try:
        page = views.list_offers(
            context.facade.store,
            market.name,
            interval=arguments.optional_number("interval"),
            seller=context.resolve(who) if who else None,
            limit=arguments.number("limit"),
            after=arguments.text("after"),
        )
    except InvalidInput as error:
        raise ApiError(
            404, "unknown_page", "no page ends there", actual=arguments.text("after")
        ) from error
    offers: list[JsonObject] = [
        {
            "id": offer.offer_id,
            "seller": encode_address(offer.seller),
            "seller_name": context.names.find(offer.seller),
            "interval": offer.interval,
            "bus": offer.bus,
            "energy_milli_wh": offer.energy_milli_wh,
            "price_micro_per_kwh": offer.price_micro_per_kwh,
            "sequence": offer.sequence,
        }
        for offer in page.offers
    ]
    return Answer({"offers": offers, "next": page.after or None})


async def list_lines(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /markets/{market}/lines: the network's lines, and pairs with a limit."""
    market = _find(context, arguments)
    store = context.facade.store
    interval = arguments.optional_number("interval")
    if interval is None:
        interval = _open_interval(market)
    lines: list[JsonObject] = [
        {
            "name": line.name,
            "from_bus": line.from_bus,
            "to_bus": line.to_bus,
            **_owner(context, line.owner or market.edc),
            "rating_w": line.rating_w,
            "limit_milli_wh": line.capacity_milli_wh,
            "flow_milli_wh": line.flow_milli_wh,
            "used_milli_wh": abs(line.flow_milli_wh),
        }
        for line in views.list_lines(store, market.name, interval)
    ]
    pairs: list[JsonObject] = [
        {
            "first": encode_address(pair.first),
            "first_name": context.names.find(pair.first),
            "second": encode_address(pair.second),
            "second_name": context.names.find(pair.second),
            "limit_milli_wh": pair.limit_milli_wh,
            "used_milli_wh": pair.traded_milli_wh,
        }
        for pair in views.list_pair_limits(store, market.name, interval)
    ]
    return Answer({"interval": interval, "lines": lines, "pairs": pairs})


async def list_trades(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /markets/{market}/trades: the newest first, as far as one search reaches."""
    market = _find(context, arguments).name

    def read(block: StoredBlock) -> list[JsonObject]:
        return _trades_of(context, block, market)

    marks = (_TRADE_MARK, market.encode("ascii"))
    trades, following = await find_events(context, arguments, marks, read)
    return Answer({"trades": trades, "next": following, "base_height": context.facade.store.base})


def _trades_of(context: ApiContext, block: StoredBlock, market: str) -> list[JsonObject]:
    """Return a block's trades of one market, in order."""
    found: list[JsonObject] = []
    for place, data in enumerate(block.receipts):
        if _TRADE_MARK not in data:
            continue
        receipt = decode_receipt(data)
        for event in receipt.events:
            if event[:2] == TRADE and event[2][:1] == (market,):
                found.append(
                    {
                        "height": block.height,
                        "index": place - block.first if receipt.transaction_id else None,
                        "time_ms": block.header.time_ms,
                        "transaction_id": receipt.transaction_id.hex() or None,
                        **trade_fields(event, context.names),
                    }
                )
    return found


def _find(context: ApiContext, arguments: Arguments) -> MarketConfig:
    try:
        return views.find_market(context.facade.store, arguments.text("market"))
    except InvalidInput as error:
        raise ApiError(404, error.code, error.message, actual=error.actual) from error


def _market_json(context: ApiContext, market: MarketConfig) -> JsonObject:
    return {
        "name": market.name,
        "policy": POLICY_NAMES[market.policy],
        "penalty_price_micro_per_kwh": market.penalty_price_micro_per_kwh,
        "penalty_payee": PAYEE_NAMES[market.penalty_payee],
        "edc": encode_address(market.edc) if market.edc else None,
        "edc_name": context.names.find(market.edc) if market.edc else None,
        "default_pair_limit_milli_wh": market.default_pair_limit_milli_wh,
        "pair_limits": market.pair_limits,
        "interval_minutes": market.interval_minutes,
        "gate_closure_minutes": market.gate_closure_minutes,
        "open_interval": _open_interval(market),
        "min_price_micro_per_kwh": market.min_price_micro_per_kwh,
        "max_price_micro_per_kwh": market.max_price_micro_per_kwh,
        "buses": market.buses,
        "lines": market.lines,
    }


def _open_interval(market: MarketConfig) -> int:
    """Return the first interval whose gate is open by this machine's clock; 0 without any."""
    if not market.interval_minutes:
        return 0
    first_start_ms = time.time_ns() // 1_000_000 + market.gate_closure_minutes * MS_PER_MINUTE
    return first_start_ms // (market.interval_minutes * MS_PER_MINUTE) + 1


def _owner(context: ApiContext, owner: bytes) -> JsonObject:
    return {
        "owner": encode_address(owner) if owner else None,
        "owner_name": context.names.find(owner) if owner else None,
    }
