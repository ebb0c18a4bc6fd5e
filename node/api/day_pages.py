"""What the API says of day markets: their terms to all, bills to whom they concern."""

from __future__ import annotations

from typing import Final

from market.auction.crossing import RATIONING_NAMES
from market.auction.records import MECHANISM_NAMES
from market.day.bills import (
    PART_NAMES,
    PARTS,
    BillLine,
    find_record,
    format_month,
    intervals_of_month,
    parse_month,
    prove_lines,
    read_bill,
    read_totals,
)
from market.day.dates import RULE_NAMES, format_date
from market.day.gates import KIND_NAMES as GATE_KINDS
from market.day.gates import Gate
from market.day.lines import KIND_NAMES, Line
from market.day.records import DayMarket, read_markets
from market.day.settlement_records import Totals, head_key, totals_key
from node.api.answers import Answer, ApiError, JsonObject, JsonValue
from node.api.chain_pages import last_finality, state_proof
from node.api.context import ApiContext
from node.api.day_intervals import find_market
from node.api.parameters import Arguments
from node.api.privacy import personal_data
from node.api.render import to_base64
from vm.primitives.address import encode_address

STEP: Final = 24
"""Intervals whose lines are read before others are heard."""


async def list_markets(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /day-markets."""
    store = context.facade.store
    now_ms = context.reader.header(store.height).time_ms
    return Answer(
        {"markets": [_market_json(context, each, now_ms) for each in read_markets(store)]}
    )


async def show_bill(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /day-markets/{market}/bills/{who}/{month}."""
    store = context.facade.store
    market, account, month = _bill(context, arguments)
    intervals = intervals_of_month(market, month)
    first = arguments.optional_number("first")
    start = intervals.start if first is None else min(max(first, intervals.start), intervals.stop)
    last = market.calendar.interval_at(context.reader.header(store.height).time_ms)
    stop, limit, pace = min(intervals.stop, last + 1), arguments.number("limit"), context.pace()
    lines: list[BillLine] = []
    while start < stop and limit > 0:
        step = range(start, min(stop, start + min(limit, STEP)))
        found = list(read_bill(store, market, account, step))
        lines += found
        limit -= len({each.interval for each in found})
        start = step.stop
        if not await pace.may_go_on():
            break
    return Answer(
        {
            "market": market.name,
            "address": encode_address(account),
            "name": context.names.find(account),
            "month": format_month(month),
            "totals": _totals_json(read_totals(store, market, account, month)),
            "lines": [_bill_line_json(market, each) for each in lines],
            "next": start if start < stop else None,
        }
    )


async def prove_bill_lines(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /proofs/bill-lines/{market}/{who}/{interval}."""
    store, interval = context.facade.store, arguments.number("interval")
    market, account = find_market(context, arguments), _own(context, arguments)
    finality = last_finality(context)
    pages: list[JsonObject] = []
    for part in PARTS:
        found = find_record(store, market, interval, part, account)
        if found is None:
            continue
        where = (interval, part, found[0])
        proved = prove_lines(store, market, where, account)
        head = state_proof(context, finality, head_key(market, *where))
        pages.append(
            {
                "part": PART_NAMES[part],
                "page": found[0],
                "proof": to_base64(head),
                "lines": [
                    {
                        "item": each.item.hex(),
                        "index": each.path.index,
                        "count": each.path.count,
                        "siblings": [sibling.hex() for sibling in each.path.siblings],
                    }
                    for each in proved
                ],
            }
        )
    if not pages:
        raise ApiError(
            404,
            "unknown_bill",
            "the member has no lines in this interval",
            actual=interval,
            hint="It is not settled yet, or its lines were kept long enough.",
        )
    return Answer({"height": store.height, "number": market.number, "pages": pages})


async def prove_bill_totals(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /proofs/bill-totals/{market}/{who}/{month}."""
    store = context.facade.store
    market, account, month = _bill(context, arguments)
    proof = state_proof(context, last_finality(context), totals_key(market, account, month))
    totals = read_totals(store, market, account, month)
    return Answer(
        {
            "height": store.height,
            "number": market.number,
            "proof": to_base64(proof),
            "totals": _totals_json(totals),
        }
    )


def _own(context: ApiContext, arguments: Arguments) -> bytes:
    """Return the account whose bill is asked for; raises ApiError 403 for whom it is not."""
    account = context.resolve(arguments.text("who"))
    if not arguments.viewer.may_see(account):
        raise personal_data()
    return account


def _bill(context: ApiContext, arguments: Arguments) -> tuple[DayMarket, bytes, int]:
    market, account = find_market(context, arguments), _own(context, arguments)
    month = parse_month(arguments.text("month"))
    if month is None:
        raise ApiError(
            400,
            "invalid_parameter",
            "parameter 'month' does not fit",
            expected="a month such as 2026-06",
            actual=arguments.text("month"),
        )
    return market, account, month


def _market_json(context: ApiContext, market: DayMarket, now_ms: int) -> JsonObject:
    calendar, zone = market.calendar, market.calendar.zone
    return {
        "number": market.number,
        "name": market.name,
        "account": encode_address(market.account),
        "account_name": context.names.find(market.account),
        "upstream": encode_address(market.upstream),
        "upstream_name": context.names.find(market.upstream),
        "interval_minutes": calendar.interval_minutes,
        "minute_ms": calendar.minute_ms,
        "interval": calendar.interval_at(now_ms),
        "day": format_date(calendar.day_of(calendar.interval_at(now_ms))),
        "offset_minutes": zone.offset_minutes,
        "rule": RULE_NAMES[zone.rule],
        "changes": [
            {"utc_minute": minute, "offset_minutes": offset} for minute, offset in zone.changes
        ],
        "retail_micro_per_kwh": market.retail_micro_per_kwh,
        "feed_in_micro_per_kwh": market.feed_in_micro_per_kwh,
        "penalty_micro_per_kwh": market.penalty_micro_per_kwh,
        "tolerance_percent": market.tolerance_percent,
        "max_energy_milli_wh": market.max_energy_milli_wh,
        "feeder": market.feeder or None,
        "keep_days": market.keep_days,
        "since_interval": market.since,
        "gates": [_gate_json(gate) for gate in calendar.gates],
    }


def _gate_json(gate: Gate) -> JsonObject:
    return {
        **gate._asdict(),
        "kind": GATE_KINDS[gate.kind],
        "mechanism": MECHANISM_NAMES[gate.mechanism],
        "rationing": RATIONING_NAMES[gate.rationing],
    }


def _totals_json(totals: Totals) -> JsonObject:
    kinds: list[JsonValue] = [
        {"kind": kind, "energy_milli_wh": energy, "amount_micro": amount}
        for kind, energy, amount in zip(
            KIND_NAMES, totals.energies_milli_wh, totals.amounts_micro, strict=True
        )
        if energy or amount
    ]
    return {"lines": totals.lines, "amount_micro": sum(totals.amounts_micro), "kinds": kinds}


def _bill_line_json(market: DayMarket, found: BillLine) -> JsonObject:
    return {
        "interval": found.interval,
        "local_start": market.calendar.local_text(found.interval),
        "part": PART_NAMES[found.part],
        **line_json(found.line),
    }


def line_json(line: Line) -> JsonObject:
    """Return a line; its value as text, since it may pass 64 bits."""
    return {
        "kind": KIND_NAMES[line.kind],
        "energy_milli_wh": line.energy_milli_wh,
        "value": str(line.value),
        "amount_micro": line.amount_micro,
    }
