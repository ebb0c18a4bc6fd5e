"""The shapes of what the API says of day markets and bills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from market.auction.crossing import RATIONING_NAMES
from market.auction.orders import SIDE_NAMES
from market.auction.records import MECHANISM_NAMES
from market.day.bills import PART_NAMES
from market.day.dates import RULE_NAMES
from market.day.gates import KIND_NAMES as GATE_KINDS
from market.day.lines import KIND_NAMES
from market.day.settlement_records import SUM_FIELDS
from node.api.parameters import Schema
from node.api.schemas import (
    ADDRESS,
    BASE64,
    COUNT,
    FLAG,
    HASH,
    HEX,
    INTEGER,
    NAME_OR_NULL,
    TEXT,
    array,
    choice,
    nullable,
    record,
    ref,
)

_PART: Final[Schema] = choice(*PART_NAMES)
_LINE: Final[Mapping[str, Schema]] = {
    "kind": choice(*KIND_NAMES),
    "energy_milli_wh": INTEGER,
    "amount_micro": INTEGER,
}
_GATE: Final[Schema] = record(
    {
        "kind": choice(*GATE_KINDS),
        "opens_minute": COUNT,
        "closes_minute": COUNT,
        "mechanism": choice(*MECHANISM_NAMES),
        "rationing": choice(*RATIONING_NAMES),
        "sealed": FLAG,
        "opening_minutes": COUNT,
        "deposit_micro": COUNT,
    }
)
_MARKET: Final[Schema] = record(
    {
        "number": COUNT,
        "name": TEXT,
        "account": ADDRESS,
        "account_name": NAME_OR_NULL,
        "upstream": ADDRESS,
        "upstream_name": NAME_OR_NULL,
        "interval_minutes": COUNT,
        "minute_ms": COUNT,
        "interval": COUNT,
        "day": TEXT,
        "offset_minutes": INTEGER,
        "rule": choice(*RULE_NAMES),
        "changes": array(record({"utc_minute": INTEGER, "offset_minutes": INTEGER})),
        "retail_micro_per_kwh": COUNT,
        "feed_in_micro_per_kwh": COUNT,
        "penalty_micro_per_kwh": COUNT,
        "tolerance_percent": COUNT,
        "max_energy_milli_wh": COUNT,
        "feeder": NAME_OR_NULL,
        "keep_days": COUNT,
        "since_interval": COUNT,
        "gates": array(_GATE),
    }
)
_WINDOW: Final[Schema] = record(
    {
        "kind": choice(*GATE_KINDS),
        "opens_ms": INTEGER,
        "closes_ms": INTEGER,
        "clears_ms": INTEGER,
    }
)
_SETTLEMENT: Final[Schema] = record(
    {"part": _PART, "done": FLAG, **dict.fromkeys(SUM_FIELDS, nullable(INTEGER))}
)
_INTERVAL: Final[Mapping[str, Schema]] = {
    "market": TEXT,
    "interval": COUNT,
    "start_ms": COUNT,
    "local_start": TEXT,
    "day": TEXT,
    "retail_micro_per_kwh": COUNT,
    "feed_in_micro_per_kwh": COUNT,
    "penalty_micro_per_kwh": COUNT,
    "orders": COUNT,
    "steps": COUNT,
    "gates": array(_WINDOW),
    "settlements": array(_SETTLEMENT),
}
_CLEARING: Final[Schema] = record(
    {
        "height": COUNT,
        "time_ms": COUNT,
        "interval": COUNT,
        "gate": COUNT,
        "energy_milli_wh": COUNT,
        "buyer_price_half_micro_per_kwh": nullable(COUNT),
        "seller_price_half_micro_per_kwh": nullable(COUNT),
        "surplus_micro": INTEGER,
        "bids_milli_wh": COUNT,
        "offers_milli_wh": COUNT,
        "seed": HASH,
        "prices": array(record({"bus": TEXT, "price_half_micro_per_kwh": COUNT})),
        "flows": array(record({"line": TEXT, "energy_milli_wh": INTEGER})),
    }
)
_ORDER: Final[Schema] = record(
    {
        "number": COUNT,
        "first_gate": COUNT,
        "last_gate": COUNT,
        "side": nullable(choice(*SIDE_NAMES)),
        "steps": array(record({"energy_milli_wh": COUNT, "price_micro_per_kwh": COUNT})),
        "commitment": nullable(HASH),
        "cover_micro": COUNT,
        "deposit_micro": COUNT,
    }
)
_POSITION: Final[Mapping[str, Schema]] = {
    "market": TEXT,
    "interval": COUNT,
    "address": ADDRESS,
    "reserved_micro": COUNT,
    "stated_buy_milli_wh": COUNT,
    "stated_sell_milli_wh": COUNT,
    "bought_milli_wh": COUNT,
    "sold_milli_wh": COUNT,
    "bought_value": TEXT,
    "sold_value": TEXT,
    "orders": array(_ORDER),
}
_PROVED_LINE: Final[Schema] = record(
    {"item": HEX, "index": COUNT, "count": COUNT, "siblings": array(HASH)}
)

DAY_SCHEMAS: Final[Mapping[str, Schema]] = {
    "DayMarkets": record({"markets": array(_MARKET)}),
    "DayInterval": record(_INTERVAL),
    "DayIntervals": record(
        {
            "market": TEXT,
            "day": TEXT,
            "intervals": array(record({**_INTERVAL, "position": nullable(ref("DayPosition"))})),
            "next": nullable(COUNT),
        }
    ),
    "DayClearings": record(
        {
            "market": TEXT,
            "day": TEXT,
            "clearings": array(_CLEARING),
            "next": nullable(TEXT),
            "base_height": COUNT,
        }
    ),
    "DayPosition": record(_POSITION),
    "BillTotals": record({"lines": COUNT, "amount_micro": INTEGER, "kinds": array(record(_LINE))}),
    "Bill": record(
        {
            "market": TEXT,
            "address": ADDRESS,
            "name": NAME_OR_NULL,
            "month": TEXT,
            "totals": ref("BillTotals"),
            "lines": array(
                record(
                    {
                        "interval": COUNT,
                        "local_start": TEXT,
                        "part": _PART,
                        **_LINE,
                        "value": TEXT,
                    }
                )
            ),
            "next": nullable(COUNT),
        }
    ),
    "BillLinesProof": record(
        {
            "height": COUNT,
            "number": COUNT,
            "pages": array(
                record(
                    {"part": _PART, "page": COUNT, "proof": BASE64, "lines": array(_PROVED_LINE)}
                )
            ),
        }
    ),
    "BillTotalsProof": record(
        {"height": COUNT, "number": COUNT, "proof": BASE64, "totals": ref("BillTotals")}
    ),
}
