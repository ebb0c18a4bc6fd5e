"""What the API says of the intervals of a day market: gates, books, positions, clearings, sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from market.auction.orders import SIDE_NAMES
from market.day.bills import PART_NAMES, PARTS
from market.day.books import read_book
from market.day.dates import format_date
from market.day.gates import KIND_NAMES as GATE_KINDS
from market.day.records import (
    DayMarket,
    StandingOrder,
    read_market,
    read_position,
    read_version,
)
from market.day.settlement_records import DONE, SUM_FIELDS, Settlement, read_settlement
from node.api.answers import Answer, ApiError, JsonObject
from node.api.chain_reader import StoredBlock
from node.api.context import ApiContext
from node.api.event_fields import EVENT_FIELDS
from node.api.event_search import find_events, mark_of
from node.api.parameters import Arguments
from node.api.privacy import PUBLIC_SUMS
from node.api.render import plain
from node.ledger.receipt import decode_receipt
from vm.primitives.address import encode_address
from vm.primitives.codec import Encodable

LATE_BLOCKS: Final = 1_000
"""How many blocks after its due time a clearing is looked for: after a standstill of the chain
everything due is worked off from the first block on."""
_MODULE: Final = "day"
_CLEAR: Final = "clear"


async def list_intervals(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /day-markets/{market}/intervals: those of a local day, in order."""
    market = find_market(context, arguments)
    who = arguments.text("member")
    member = context.resolve(who) if who else b""
    intervals = market.calendar.intervals_of(_day(context, market, arguments))
    first = arguments.optional_number("first")
    start = intervals.start if first is None else min(max(first, intervals.start), intervals.stop)
    stop = min(intervals.stop, start + arguments.number("limit"))
    sees_all = arguments.viewer.sees_all
    return Answer(
        {
            "market": market.name,
            "day": format_date(market.calendar.day_of(intervals.start)),
            "intervals": [
                {
                    **_interval_json(context, market, each, sees_all=sees_all),
                    "position": _position_json(context, market, each, member) if member else None,
                }
                for each in range(start, stop)
            ],
            "next": stop if stop < intervals.stop else None,
        }
    )


async def show_interval(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /day-markets/{market}/intervals/{interval}."""
    market, interval = find_market(context, arguments), arguments.number("interval")
    return Answer(_interval_json(context, market, interval, sees_all=arguments.viewer.sees_all))


async def show_position(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /day-markets/{market}/intervals/{interval}/positions/{who}."""
    market, interval = find_market(context, arguments), arguments.number("interval")
    account = context.resolve(arguments.text("who"))
    position = _position_json(context, market, interval, account)
    if position is None:
        raise ApiError(
            404,
            "unknown_position",
            "the member has no position in this interval",
            actual=interval,
            hint="It placed no order, or the interval is settled.",
        )
    return Answer(position)


async def list_clearings(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /day-markets/{market}/clearings: those of a local day, the newest first."""
    market, store = find_market(context, arguments), context.facade.store
    calendar = market.calendar
    intervals = calendar.intervals_of(_day(context, market, arguments))
    clears_ms = [
        window.clears_ms
        for each in (intervals.start, intervals.stop - 1)
        for window in calendar.windows(each)
    ]
    first = _height_at(context, min(clears_ms))
    last = _height_at(context, max(clears_ms)) + LATE_BLOCKS

    def read(block: StoredBlock) -> list[JsonObject]:
        return _clearings_of(block, market, intervals)

    marks = (mark_of(_MODULE), mark_of(_CLEAR), mark_of(market.name))
    found, following = await find_events(
        context, arguments, marks, read, within=range(first, last + 1)
    )
    return Answer(
        {
            "market": market.name,
            "day": format_date(calendar.day_of(intervals.start)),
            "clearings": found,
            "next": following,
            "base_height": store.base,
        }
    )


def find_market(context: ApiContext, arguments: Arguments) -> DayMarket:
    """Return the day market that a request names; raises ApiError 404."""
    name = arguments.text("market")
    market = read_market(context.facade.store, name)
    if market is None:
        raise ApiError(404, "unknown_market", "there is no such day market", actual=name)
    return market


def _day(context: ApiContext, market: DayMarket, arguments: Arguments) -> int:
    """Return the local day that is asked for: without one, that of the last block."""
    calendar, day = market.calendar, arguments.optional_number("day")
    if day is None:
        now_ms = context.reader.header(context.facade.store.height).time_ms
        return calendar.day_of(calendar.interval_at(now_ms))
    if calendar.intervals_of(day).start < 0:
        raise ApiError(
            400,
            "invalid_parameter",
            "this day was before the market's first interval",
            expected=f"{format_date(calendar.day_of(0))} or later",
            actual=format_date(day),
        )
    return day


def _height_at(context: ApiContext, time_ms: int) -> int:
    """Return the first height whose block is not before a time; one above the last where none is.

    Of blocks that are gone it returns the lowest that is kept.
    """
    low, high = max(1, context.facade.store.base), context.facade.store.height + 1
    while low < high:
        middle = (low + high) // 2
        if context.reader.header(middle).time_ms < time_ms:
            low = middle + 1
        else:
            high = middle
    return low


def _interval_json(
    context: ApiContext, market: DayMarket, interval: int, *, sees_all: bool
) -> JsonObject:
    store, calendar = context.facade.store, market.calendar
    book, rules = read_book(store, market, interval), read_version(store, market, interval)
    return {
        "market": market.name,
        "interval": interval,
        "start_ms": calendar.start_ms(interval),
        "local_start": calendar.local_text(interval),
        "day": format_date(calendar.day_of(interval)),
        "retail_micro_per_kwh": rules.retail_micro_per_kwh,
        "feed_in_micro_per_kwh": rules.feed_in_micro_per_kwh,
        "penalty_micro_per_kwh": rules.penalty_micro_per_kwh,
        "orders": book.orders,
        "steps": book.steps,
        "gates": [
            {
                "kind": GATE_KINDS[gate.kind],
                "opens_ms": window.opens_ms,
                "closes_ms": window.closes_ms,
                "clears_ms": window.clears_ms,
            }
            for gate, window in zip(calendar.gates, calendar.windows(interval), strict=True)
        ],
        "settlements": [
            _settlement_json(sums, part, sees_all=sees_all)
            for part in PARTS
            if (sums := read_settlement(store, market, interval, part)) is not None
        ],
    }


def _settlement_json(sums: Settlement, part: int, *, sees_all: bool) -> JsonObject:
    """Return the sums of a settlement; those that follow from meters are not for everybody."""
    shown = SUM_FIELDS if sees_all else PUBLIC_SUMS
    values = asdict(sums)
    return {
        "part": PART_NAMES[part],
        "done": sums.stage == DONE,
        **{name: values[name] if name in shown else None for name in SUM_FIELDS},
    }


def _position_json(
    context: ApiContext, market: DayMarket, interval: int, account: bytes
) -> JsonObject | None:
    position = read_position(context.facade.store, market, interval, account)
    if position is None:
        return None
    sums: JsonObject = {
        name: getattr(position, name)
        for name in (
            "reserved_micro",
            "stated_buy_milli_wh",
            "stated_sell_milli_wh",
            "bought_milli_wh",
            "sold_milli_wh",
        )
    }
    return {
        "market": market.name,
        "interval": interval,
        "address": encode_address(account),
        **sums,
        "bought_value": str(position.bought_value),
        "sold_value": str(position.sold_value),
        "orders": [_order_json(order) for order in position.orders],
    }


def _order_json(order: StandingOrder) -> JsonObject:
    is_open = not order.commitment
    return {
        "number": order.number,
        "first_gate": order.first_gate,
        "last_gate": order.last_gate,
        "side": SIDE_NAMES[order.side] if is_open else None,
        "steps": [
            {"energy_milli_wh": energy, "price_micro_per_kwh": price}
            for energy, price in order.steps
        ],
        "commitment": order.commitment.hex() or None,
        "cover_micro": order.cover_micro,
        "deposit_micro": order.deposit_micro,
    }


def _clearings_of(block: StoredBlock, market: DayMarket, intervals: range) -> list[JsonObject]:
    """Return what gates cleared of some intervals in a block, in order; each is one receipt."""
    found: list[JsonObject] = []
    for data in block.system_receipts():
        if mark_of(_CLEAR) not in data:
            continue
        told = [
            (name, values)
            for module, name, values in decode_receipt(data).events
            if module == _MODULE and values[0] == market.name
        ]
        for name, values in told:
            if name == _CLEAR and values[1] in intervals:
                own = [each for each in told if each[1][1:3] == values[1:3]]
                found.append(
                    {
                        "height": block.height,
                        "time_ms": block.header.time_ms,
                        **_named(_CLEAR, values, 1),
                        "prices": [_named(*each, 3) for each in own if each[0] == "price"],
                        "flows": [_named(*each, 3) for each in own if each[0] == "flow"],
                    }
                )
    return found


def _named(event: str, values: Sequence[Encodable], first: int) -> JsonObject:
    """Return the values of an event from one on, with their names."""
    names = EVENT_FIELDS[_MODULE, event]
    return dict(zip(names[first:], map(plain, values[first:]), strict=True))
