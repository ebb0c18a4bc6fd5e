"""What the API says of call auctions: their terms, intervals with books, and what was cleared."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from market.auction.crossing import RATIONING_NAMES
from market.auction.orders import SIDE_NAMES
from market.auction.records import (
    AUCTION_SPACE,
    BOOK_SPACE,
    MECHANISM_NAMES,
    ORDER_INDEX,
    AuctionConfig,
    AuctionOrder,
    Book,
    decode_leaf,
    read_order,
)
from node.api.answers import Answer, ApiError, JsonObject
from node.api.chain_reader import StoredBlock
from node.api.context import ApiContext
from node.api.event_search import find_events, mark_of
from node.api.parameters import Arguments
from node.api.render import named, plain
from node.ledger.receipt import decode_receipt
from vm.overlay import StateReader
from vm.primitives.address import encode_address
from vm.primitives.codec import Encodable
from vm.primitives.errors import InvariantViolation

Values = tuple[Encodable, ...]
"""What an event tells."""
MAX_INTERVALS: Final = 1_000
"""Standing intervals that one answer looks at."""
STAGE_NAMES: Final = ("open", "opening", "clearing")
"""Orders are taken; commitments are opened; what is left is to be cleared with the next block."""
_NUMBER_BYTES: Final = 8
_MODULE: Final = "auction"
_CLEAR: Final = "clear"
_AWARDS: Final = ("bought", "sold")
_AWARD_FIELDS: Final = ("order", "member", "energy_milli_wh", "amount_micro", "residual_milli_wh")


async def list_auctions(context: ApiContext, _: Arguments) -> Answer:
    """Answer GET /auctions: in the order of genesis."""
    found = sorted(_configs(context), key=lambda config: config.number)
    return Answer({"auctions": [_auction_json(context, config) for config in found]})


async def list_intervals(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /auctions/{auction}/intervals: those with a book, the next first."""
    config, store = _find(context, arguments), context.facade.store
    limit, after = arguments.number("limit"), arguments.optional_number("after")
    first = 0 if after is None else after + 1
    found = list(islice(_standing(store, config, first), min(limit, MAX_INTERVALS) + 1))
    shown = found[:limit]
    return Answer(
        {
            "intervals": [_interval_json(store, config, interval) for interval in shown],
            "next": shown[-1] if len(found) > limit else None,
        }
    )


async def show_book(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /auctions/{auction}/intervals/{interval}: a book, in the order of its orders."""
    config, store = _find(context, arguments), context.facade.store
    interval, limit = arguments.number("interval"), arguments.number("limit")
    after = arguments.optional_number("after")
    who = arguments.text("member")
    member = context.resolve(who) if who else b""
    start = ORDER_INDEX + config.prefix(interval)
    first = start if after is None else start + (after + 1).to_bytes(_NUMBER_BYTES, "big")
    orders: list[JsonObject] = []
    following: int | None = None
    for key, _ in store.scan(first, start + b"\xff" * 9):
        number = int.from_bytes(key[len(start) :], "big")
        order = read_order(store, config.prefix(interval), number)
        if order is None:
            raise InvariantViolation(f"the index knows order {number}, which is gone")
        if member in (b"", order.account):
            if len(orders) == limit:
                following = int(str(orders[-1]["order"]))
                break
            orders.append(_order_json(context, number, order))
    return Answer({**_interval_json(store, config, interval), "book": orders, "next": following})


async def list_clearings(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /auctions/{auction}/clearings: the newest first."""
    config = _find(context, arguments)
    who = arguments.text("member")
    member = context.resolve(who) if who else b""

    def read(block: StoredBlock) -> list[JsonObject]:
        return _clearings_of(context, block, config, member)

    marks = (mark_of(_MODULE), mark_of(_CLEAR), mark_of(config.name))
    found, following = await find_events(context, arguments, marks, read)
    return Answer({"clearings": found, "next": following, "base_height": context.facade.store.base})


def _clearings_of(
    context: ApiContext, block: StoredBlock, config: AuctionConfig, member: bytes
) -> list[JsonObject]:
    """Return what was cleared of an auction in a block, in order; each is one receipt."""
    found: list[JsonObject] = []
    for data in block.system_receipts():
        if mark_of(_CLEAR) not in data:
            continue
        events = [
            (name, values)
            for module, name, values in decode_receipt(data).events
            if module == _MODULE and values[0] == config.name
        ]
        for values in [values for name, values in events if name == _CLEAR]:
            own = [(name, each) for name, each in events if each[1] == values[1]]
            found.append(
                {
                    "height": block.height,
                    "time_ms": block.header.time_ms,
                    **_clearing_json(values, own),
                    "awards": [
                        _award_json(context, name, each)
                        for name, each in own
                        if name in _AWARDS and member and each[3] == member
                    ],
                }
            )
    return found


def _clearing_json(values: Values, own: Sequence[tuple[str, Values]]) -> JsonObject:
    """Return what `clear` tells of a book, with the prices of buses and the flows of lines."""
    _, interval, volume, buyers, sellers, surplus, seed = map(plain, values)
    return {
        "interval": interval,
        "energy_milli_wh": volume,
        "buyer_price_half_micro_per_kwh": buyers,
        "seller_price_half_micro_per_kwh": sellers,
        "surplus_micro": surplus,
        "seed": seed,
        "orders": sum(name in _AWARDS for name, _ in own),
        "forfeits": sum(name == "forfeit" for name, _ in own),
        "prices": [
            {"bus": plain(each[2]), "price_half_micro_per_kwh": plain(each[3])}
            for name, each in own
            if name == "price"
        ],
        "flows": [
            {"line": plain(each[2]), "energy_milli_wh": plain(each[3])}
            for name, each in own
            if name == "flow"
        ],
    }


def _award_json(context: ApiContext, name: str, values: Values) -> JsonObject:
    fields = named(zip(_AWARD_FIELDS, values[2:], strict=True), context.names)
    return {"member_name": None, **fields, "side": SIDE_NAMES[_AWARDS.index(name)]}


def _configs(context: ApiContext) -> Iterator[AuctionConfig]:
    """Yield the auctions that genesis names; there are none later."""
    for _, data in context.facade.store.scan(AUCTION_SPACE, AUCTION_SPACE + b"\xff"):
        yield decode_leaf(AuctionConfig, data)


def _find(context: ApiContext, arguments: Arguments) -> AuctionConfig:
    data = context.facade.store.get(AUCTION_SPACE + arguments.text("auction").encode())
    if data is None:
        raise ApiError(
            404,
            "unknown_auction",
            "there is no such auction",
            actual=arguments.text("auction"),
            hint="/auctions lists them.",
        )
    return decode_leaf(AuctionConfig, data)


def _standing(store: StateReader, config: AuctionConfig, first: int) -> Iterator[int]:
    """Yield the intervals from `first` on in whose books something stands."""
    start = ORDER_INDEX + config.prefix(0)[:2]
    interval = first
    while True:
        at = ORDER_INDEX + config.prefix(interval)
        found = next(iter(store.scan(at, start + b"\xff" * 17)), None)
        if found is None:
            return
        interval = int.from_bytes(found[0][len(start) : len(start) + _NUMBER_BYTES], "big")
        yield interval
        interval += 1


def _interval_json(store: StateReader, config: AuctionConfig, interval: int) -> JsonObject:
    data = store.get(BOOK_SPACE + config.prefix(interval))
    now_ms = time.time_ns() // 1_000_000
    gate_ms, clearing_ms = config.gate_ms(interval), config.clearing_ms(interval)
    return {
        "interval": interval,
        "start_ms": interval * config.interval_ms,
        "gate_ms": max(0, gate_ms),
        "clearing_ms": max(0, clearing_ms),
        "stage": STAGE_NAMES[(now_ms >= gate_ms) + (now_ms >= clearing_ms)],
        "orders": 0 if data is None else decode_leaf(Book, data).orders,
    }


def _order_json(context: ApiContext, number: int, order: AuctionOrder) -> JsonObject:
    is_open = not order.commitment
    return {
        "order": number,
        "member": encode_address(order.account),
        "member_name": context.names.find(order.account),
        "side": SIDE_NAMES[order.side] if is_open else None,
        "steps": [
            {"energy_milli_wh": energy, "price_micro_per_kwh": price}
            for energy, price in order.steps
        ],
        "commitment": order.commitment.hex() or None,
        "deposit_micro": order.deposit_micro,
        "cover_micro": order.money_micro,
        "cover_milli_wh": order.energy_milli_wh,
    }


def _auction_json(context: ApiContext, config: AuctionConfig) -> JsonObject:
    now_ms = time.time_ns() // 1_000_000
    gate_ms = config.gate_minutes * config.minute_ms
    return {
        "name": config.name,
        "mechanism": MECHANISM_NAMES[config.mechanism],
        "rationing": RATIONING_NAMES[config.rationing],
        "sealed": bool(config.sealed),
        "minute_ms": config.minute_ms,
        "interval_minutes": config.interval_minutes,
        "gate_minutes": config.gate_minutes,
        "opening_minutes": config.opening_minutes,
        "open_interval": (now_ms + gate_ms) // config.interval_ms + 1,
        "deposit_micro": config.deposit_micro,
        "min_price_micro_per_kwh": config.min_price_micro_per_kwh,
        "max_price_micro_per_kwh": config.max_price_micro_per_kwh,
        "max_energy_milli_wh": config.max_energy_milli_wh,
        "account": encode_address(config.account),
        "account_name": context.names.find(config.account),
        "market": config.market or None,
    }
