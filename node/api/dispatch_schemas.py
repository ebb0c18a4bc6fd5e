"""The shapes of what the API says of dispatch rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from node.api.parameters import Schema
from node.api.schemas import (
    ADDRESS,
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

_WIDE: Final[Schema] = {"type": "string", "pattern": "^-?[0-9]+$"}
_WIDE_BY_NAME: Final[Schema] = {"type": "object", "additionalProperties": _WIDE}
_STATUS: Final = choice("open", "proved", "clearing", "fallen_back")

_BID: Final = record({"a": _WIDE, "b": _WIDE, "lo_w": INTEGER, "hi_w": INTEGER})

DISPATCH_SCHEMAS: Final[Mapping[str, Schema]] = {
    "DispatchAreas": record({"areas": array(ref("DispatchArea"))}),
    "DispatchArea": record(
        {
            "name": TEXT,
            "market": TEXT,
            "interval_minutes": COUNT,
            "intervals": COUNT,
            "opens_minutes": COUNT,
            "deadline_ms": COUNT,
            "fallback": choice("last_prices", "uniform"),
            "micro_per_dollar": COUNT,
            "reward_micro": COUNT,
            "bond_micro": COUNT,
            "settles": FLAG,
            "keep_rounds": COUNT,
            "max_price_micro_dollar_per_kwh": COUNT,
            "max_power_w": COUNT,
            "max_units_per_member": COUNT,
            "pot_micro": COUNT,
            "congestion_micro": COUNT,
            "last_proved": nullable(COUNT),
            "units": array(
                record(
                    {
                        "name": TEXT,
                        "owner": ADDRESS,
                        "owner_name": NAME_OR_NULL,
                        "bus": TEXT,
                        "kind": choice("generator", "load", "storage"),
                        "level_milli_wh": nullable(COUNT),
                        "level_round": nullable(COUNT),
                    }
                )
            ),
        }
    ),
    "DispatchRounds": record({"rounds": array(ref("DispatchRound")), "next": nullable(COUNT)}),
    "DispatchRound": record(
        {
            "number": COUNT,
            "area": TEXT,
            "status": _STATUS,
            "first_interval": COUNT,
            "intervals": COUNT,
            "opened_ms": COUNT,
            "deadline_ms": COUNT,
            "problem_hash": HASH,
            "refused": COUNT,
            "submitter": nullable(ADDRESS),
            "submitter_name": NAME_OR_NULL,
            "root": nullable(HASH),
            "gap_twice": nullable(_WIDE),
            "turnover_twice": nullable(_WIDE),
            "reward_micro": COUNT,
            "price_source": nullable(COUNT),
        }
    ),
    "ShownDispatchRound": record(
        {
            "round": ref("DispatchRound"),
            "problem": ref("DispatchProblem"),
            "problem_bytes": TEXT,
            "results": array(
                record({"lambda": _WIDE_BY_NAME, "p_w": _WIDE_BY_NAME, "flow_w": _WIDE_BY_NAME})
            ),
        }
    ),
    "DispatchProblem": record(
        {
            "slack": TEXT,
            "interval_minutes": COUNT,
            "buses": array(TEXT),
            "lines": array(
                record(
                    {
                        "name": TEXT,
                        "from": TEXT,
                        "to": TEXT,
                        "rating_w": nullable(COUNT),
                        "reactance_nano_ohm": COUNT,
                        "owner": TEXT,
                    }
                )
            ),
            "units": array(
                record(
                    {
                        "name": TEXT,
                        "bus": TEXT,
                        "kind": choice("generator", "load"),
                        "bids": array(_BID),
                    }
                )
            ),
            "storages": array(TEXT),
        }
    ),
    "DispatchProof": record(
        {
            "proof": TEXT,
            "height": COUNT,
            "root": HASH,
            "kind": choice("price", "power", "flow"),
            "interval": COUNT,
            "name": TEXT,
            "figure": _WIDE,
            "item": HEX,
            "index": COUNT,
            "count": COUNT,
            "siblings": array(HASH),
        }
    ),
}
