"""The shapes of what the API says of auctions, charging quotas and demand response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from market.auction.crossing import RATIONING_NAMES
from market.auction.orders import SIDE_NAMES
from market.auction.records import MECHANISM_NAMES
from market.quota.records import STAGE_NAMES as QUOTA_STAGES
from market.quota.rules import PRICING_NAMES
from market.response.events import DIRECTION_NAMES
from market.response.records import STAGE_NAMES as RESPONSE_STAGES
from node.api.auction_pages import STAGE_NAMES as AUCTION_STAGES
from node.api.parameters import Schema
from node.api.schemas import (
    ADDRESS,
    COUNT,
    FLAG,
    FREE,
    HASH,
    INTEGER,
    NAME_OR_NULL,
    TEXT,
    array,
    choice,
    nullable,
    record,
    ref,
)

_SIDE: Final[Schema] = choice(*SIDE_NAMES)
_MEMBER: Final[Mapping[str, Schema]] = {"member": ADDRESS, "member_name": NAME_OR_NULL}
_ENERGIES: Final[Schema] = array(COUNT)
_INTERVAL: Final[Mapping[str, Schema]] = {
    "interval": COUNT,
    "start_ms": COUNT,
    "gate_ms": COUNT,
    "clearing_ms": COUNT,
    "stage": choice(*AUCTION_STAGES),
    "orders": COUNT,
}
_QUOTA_ROUND: Final[Mapping[str, Schema]] = {
    "number": COUNT,
    "dso": ADDRESS,
    "dso_name": NAME_OR_NULL,
    "capacity_w": COUNT,
    "price_micro_per_kwh": COUNT,
    "demand_until_ms": COUNT,
    "trade_until_ms": COUNT,
    "start_ms": COUNT,
    "end_ms": COUNT,
    "readings_until_ms": COUNT,
    "stage": choice(*QUOTA_STAGES),
    "stations": COUNT,
    "demand_w": COUNT,
}
_RESPONSE_ROUND: Final[Mapping[str, Schema]] = {
    "number": COUNT,
    "stage": choice(*RESPONSE_STAGES),
    "orders_until_ms": COUNT,
    "responses_until_ms": COUNT,
    "members": COUNT,
    "response_price_half_micro_per_kwh": nullable(COUNT),
}
_RESPONSE_EVENT: Final[Mapping[str, Schema]] = {
    "number": COUNT,
    "caller": ADDRESS,
    "caller_name": NAME_OR_NULL,
    "direction": choice(*DIRECTION_NAMES),
    "price_micro_per_kwh": COUNT,
    "penalty_price_micro_per_kwh": COUNT,
    "enrol_until_ms": COUNT,
    "start_ms": COUNT,
    "end_ms": COUNT,
    "readings_until_ms": COUNT,
    "profile_left_milli_wh": _ENERGIES,
    "reserve_micro": COUNT,
    "members": COUNT,
}

MARKET_DAY_SCHEMAS: Final[Mapping[str, Schema]] = {
    "Auctions": record(
        {
            "auctions": array(
                record(
                    {
                        "name": TEXT,
                        "mechanism": choice(*MECHANISM_NAMES),
                        "rationing": choice(*RATIONING_NAMES),
                        "sealed": FLAG,
                        "minute_ms": COUNT,
                        "interval_minutes": COUNT,
                        "gate_minutes": COUNT,
                        "opening_minutes": COUNT,
                        "open_interval": COUNT,
                        "deposit_micro": COUNT,
                        "min_price_micro_per_kwh": COUNT,
                        "max_price_micro_per_kwh": COUNT,
                        "max_energy_milli_wh": COUNT,
                        "account": ADDRESS,
                        "account_name": NAME_OR_NULL,
                        "market": nullable(TEXT),
                    }
                )
            )
        }
    ),
    "AuctionIntervals": record(
        {"intervals": array(ref("AuctionInterval")), "next": nullable(COUNT)}
    ),
    "AuctionInterval": record(_INTERVAL),
    "AuctionBook": record(
        {
            **_INTERVAL,
            "book": array(
                record(
                    {
                        "order": COUNT,
                        **_MEMBER,
                        "side": nullable(_SIDE),
                        "steps": array(
                            record({"energy_milli_wh": COUNT, "price_micro_per_kwh": COUNT})
                        ),
                        "commitment": nullable(HASH),
                        "deposit_micro": COUNT,
                        "cover_micro": COUNT,
                        "cover_milli_wh": COUNT,
                    }
                )
            ),
            "next": nullable(COUNT),
        }
    ),
    "Clearings": record(
        {
            "clearings": array(
                record(
                    {
                        "height": COUNT,
                        "time_ms": COUNT,
                        "interval": COUNT,
                        "energy_milli_wh": COUNT,
                        "buyer_price_half_micro_per_kwh": nullable(COUNT),
                        "seller_price_half_micro_per_kwh": nullable(COUNT),
                        "surplus_micro": INTEGER,
                        "seed": HASH,
                        "orders": COUNT,
                        "forfeits": COUNT,
                        "prices": array(record({"bus": TEXT, "price_half_micro_per_kwh": COUNT})),
                        "flows": array(record({"line": TEXT, "energy_milli_wh": INTEGER})),
                        "awards": array(
                            record(
                                {
                                    "order": COUNT,
                                    **_MEMBER,
                                    "side": _SIDE,
                                    "energy_milli_wh": COUNT,
                                    "amount_micro": COUNT,
                                    "residual_milli_wh": COUNT,
                                }
                            )
                        ),
                    }
                )
            ),
            "next": nullable(TEXT),
            "base_height": COUNT,
        }
    ),
    "Quotas": record(
        {
            "terms": nullable(
                record(
                    {
                        "pricing": choice(*PRICING_NAMES),
                        "billed_minutes": COUNT,
                        "deposit_percent": COUNT,
                        "since": COUNT,
                        "penalty_price_micro_per_kwh": COUNT,
                    }
                )
            ),
            "rounds": array(record(_QUOTA_ROUND)),
            "next": nullable(COUNT),
        }
    ),
    "ShownQuotaRound": record(
        {
            **_QUOTA_ROUND,
            "charging": array(
                record(
                    {
                        "station": ADDRESS,
                        "station_name": NAME_OR_NULL,
                        "demand_w": COUNT,
                        "deposit_micro": COUNT,
                        "quota_w": COUNT,
                        "side": nullable(_SIDE),
                        "order_w": nullable(COUNT),
                        "order_price_micro_per_kwh": nullable(COUNT),
                        "measured_milli_wh": nullable(COUNT),
                        "assumed_milli_wh": nullable(COUNT),
                    }
                )
            ),
        }
    ),
    "ResponseRounds": record(
        {
            "terms": nullable(
                record(
                    {
                        "alpha_percent": COUNT,
                        "upstream_price_micro_per_kwh": COUNT,
                        "past_intervals": COUNT,
                        "highest": COUNT,
                        "tolerance_percent": COUNT,
                        "version": COUNT,
                        "account": ADDRESS,
                        "account_name": NAME_OR_NULL,
                    }
                )
            ),
            "rounds": array(record(_RESPONSE_ROUND)),
            "next": nullable(COUNT),
        }
    ),
    "ShownResponseRound": record(
        {
            **_RESPONSE_ROUND,
            "orders": array(
                record(
                    {
                        **_MEMBER,
                        "side": _SIDE,
                        "energy_milli_wh": COUNT,
                        "price_micro_per_kwh": COUNT,
                        "reserve_micro": COUNT,
                        "bought_milli_wh": COUNT,
                        "given_up_milli_wh": COUNT,
                        "given_up_price_micro_per_kwh": COUNT,
                    }
                )
            ),
        }
    ),
    "ResponseEvents": record({"events": array(record(_RESPONSE_EVENT)), "next": nullable(COUNT)}),
    "ShownResponseEvent": record(
        {
            **_RESPONSE_EVENT,
            "enrolled": array(
                record(
                    {
                        **_MEMBER,
                        "promised_milli_wh": _ENERGIES,
                        "deposit_micro": COUNT,
                        "baseline_milli_wh": _ENERGIES,
                        "measured_milli_wh": _ENERGIES,
                    }
                )
            ),
        }
    ),
    "Unasked": record(
        {
            "address": ADDRESS,
            "unasked": array(
                record(
                    {
                        "height": COUNT,
                        "time_ms": COUNT,
                        "what": TEXT,
                        "money_micro": nullable(INTEGER),
                        "energy_milli_wh": nullable(INTEGER),
                        "events": array(ref("Event")),
                    }
                )
            ),
            "next": nullable(TEXT),
            "base_height": COUNT,
        }
    ),
    "ModuleEvents": record(
        {
            "events": array(
                record(
                    {
                        "height": COUNT,
                        "index": nullable(COUNT),
                        "time_ms": COUNT,
                        "transaction_id": nullable(HASH),
                        "module": TEXT,
                        "event": TEXT,
                        "fields": FREE,
                        "values": array({}),
                    }
                )
            ),
            "next": nullable(TEXT),
            "base_height": COUNT,
        }
    ),
}
"""Every schema of the market day by name."""
