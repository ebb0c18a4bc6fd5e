"""The shapes of what the API says of markets, and of the messages of the WebSocket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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

_TRADE: Final[Mapping[str, Schema]] = {
    "height": COUNT,
    "index": nullable(COUNT),
    "transaction_id": nullable(HASH),
    "market": TEXT,
    "buyer": ADDRESS,
    "seller": ADDRESS,
    "offer_id": COUNT,
    "interval": COUNT,
    "energy_milli_wh": COUNT,
    "price_micro_per_kwh": COUNT,
    "penalty_micro_per_kwh": COUNT,
    "amount_micro": COUNT,
    "penalty_micro": COUNT,
}
_TRADE_NAMES: Final[Mapping[str, Schema]] = {"buyer_name": TEXT, "seller_name": TEXT}

MARKET_SCHEMAS: Final[Mapping[str, Schema]] = {
    "Markets": record(
        {
            "markets": array(
                record(
                    {
                        "name": TEXT,
                        "policy": choice("ignore", "skip", "penalty"),
                        "penalty_price_micro_per_kwh": COUNT,
                        "penalty_payee": choice("seller", "edc"),
                        "edc": nullable(ADDRESS),
                        "edc_name": NAME_OR_NULL,
                        "default_pair_limit_milli_wh": nullable(COUNT),
                        "pair_limits": COUNT,
                        "interval_minutes": COUNT,
                        "gate_closure_minutes": COUNT,
                        "open_interval": COUNT,
                        "min_price_micro_per_kwh": COUNT,
                        "max_price_micro_per_kwh": COUNT,
                        "buses": COUNT,
                        "lines": COUNT,
                    }
                )
            )
        }
    ),
    "Offers": record(
        {
            "offers": array(
                record(
                    {
                        "id": COUNT,
                        "seller": ADDRESS,
                        "seller_name": NAME_OR_NULL,
                        "interval": COUNT,
                        "bus": TEXT,
                        "energy_milli_wh": COUNT,
                        "price_micro_per_kwh": COUNT,
                        "sequence": COUNT,
                    }
                )
            ),
            "next": NAME_OR_NULL,
        }
    ),
    "Trade": record({**_TRADE, "time_ms": COUNT}, optional=_TRADE_NAMES),
    "Trades": record({"trades": array(ref("Trade")), "next": NAME_OR_NULL, "base_height": COUNT}),
    "Lines": record(
        {
            "interval": COUNT,
            "lines": array(
                record(
                    {
                        "name": TEXT,
                        "from_bus": TEXT,
                        "to_bus": TEXT,
                        "owner": nullable(ADDRESS),
                        "owner_name": NAME_OR_NULL,
                        "rating_w": nullable(COUNT),
                        "limit_milli_wh": nullable(COUNT),
                        "flow_milli_wh": INTEGER,
                        "used_milli_wh": COUNT,
                    }
                )
            ),
            "pairs": array(
                record(
                    {
                        "first": ADDRESS,
                        "first_name": NAME_OR_NULL,
                        "second": ADDRESS,
                        "second_name": NAME_OR_NULL,
                        "limit_milli_wh": COUNT,
                        "used_milli_wh": COUNT,
                    }
                )
            ),
        }
    ),
    "BlockMessage": record(
        {
            "type": choice("block"),
            "height": COUNT,
            "id": HASH,
            "time_ms": COUNT,
            "committed_ms": nullable(COUNT),
            "transactions": COUNT,
            "final": FLAG,
        }
    ),
    "TransactionMessage": record(
        {
            "type": choice("transaction"),
            "id": HASH,
            "height": COUNT,
            "index": COUNT,
            "code": TEXT,
            "final": FLAG,
        }
    ),
    "TradeMessage": record(
        {"type": choice("trade"), "final": FLAG, **_TRADE}, optional=_TRADE_NAMES
    ),
    "ReorganisationMessage": record(
        {
            "type": choice("reorganisation"),
            "final": FLAG,
            "time_ms": COUNT,
            "ancestor_height": COUNT,
            "undone": array(record({"height": COUNT, "id": HASH})),
            "applied": array(record({"height": COUNT, "id": HASH})),
            "undone_transactions": array(
                record(
                    {
                        "id": HASH,
                        "height": COUNT,
                        "index": COUNT,
                        "sender": ADDRESS,
                        "sender_name": NAME_OR_NULL,
                        "again_height": nullable(COUNT),
                    }
                )
            ),
            "undone_trades": array(FREE),
        }
    ),
    "EventMessage": {
        "oneOf": [
            ref("BlockMessage"),
            ref("TransactionMessage"),
            ref("TradeMessage"),
            ref("ReorganisationMessage"),
        ]
    },
}
"""Every schema of the market's part by name."""
