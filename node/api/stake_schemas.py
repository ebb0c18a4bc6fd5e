"""The shapes of what the API says of stakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from node.api.parameters import Schema
from node.api.schemas import (
    ADDRESS,
    COUNT,
    FLAG,
    NAME_OR_NULL,
    array,
    choice,
    nullable,
    record,
)

_VALIDATOR: Final[Mapping[str, Schema]] = {"validator": ADDRESS, "validator_name": NAME_OR_NULL}

STAKE_SCHEMAS: Final[Mapping[str, Schema]] = {
    "Staking": record(
        {
            "height": COUNT,
            "terms": record(
                {
                    "token": choice("none", "money", "incentives"),
                    "min_stake_micro": COUNT,
                    "max_validators": COUNT,
                    "unbonding_ms": COUNT,
                    "slash_percent": COUNT,
                    "block_reward_micro": COUNT,
                    "share_fees": FLAG,
                    "fine_micro": COUNT,
                    "expel": FLAG,
                }
            ),
            "points_total_micro": COUNT,
            "validators": array(
                record(
                    {
                        **_VALIDATOR,
                        "stake_micro": COUNT,
                        "power": COUNT,
                        "commission_percent": COUNT,
                        "slashed_height": nullable(COUNT),
                    }
                )
            ),
        }
    ),
    "Stakes": record(
        {
            "height": COUNT,
            "address": ADDRESS,
            "name": NAME_OR_NULL,
            "points_micro": COUNT,
            "commission_micro": COUNT,
            "stakes": array(record({**_VALIDATOR, "stake_micro": COUNT, "reward_micro": COUNT})),
            "unbondings": array(
                record(
                    {
                        "id": COUNT,
                        **_VALIDATOR,
                        "amount_micro": COUNT,
                        "slashed_micro": COUNT,
                        "height": COUNT,
                        "due_ms": COUNT,
                    }
                )
            ),
        }
    ),
}
