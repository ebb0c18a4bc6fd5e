"""The shapes of what the API says of meters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from market.meters.records import QUALITY_NAMES
from node.api.parameters import Schema
from node.api.schemas import (
    ADDRESS,
    BASE64,
    COUNT,
    FLAG,
    HASH,
    INTEGER,
    NAME_OR_NULL,
    array,
    choice,
    nullable,
    record,
    ref,
)

READING_SCHEMAS: Final[Mapping[str, Schema]] = {
    "Sums": record(
        {
            "terms": nullable(
                record(
                    {
                        "interval_minutes": COUNT,
                        "minute_ms": COUNT,
                        "deadline_minutes": COUNT,
                        "correction_minutes": COUNT,
                        "retention_days": COUNT,
                        "mean_days": COUNT,
                        "max_power_w": COUNT,
                        "mean_days_before": COUNT,
                        "mean_since": COUNT,
                    }
                )
            ),
            "intervals": array(
                record(
                    {
                        "interval": COUNT,
                        "start_ms": COUNT,
                        "connections": COUNT,
                        "estimated": COUNT,
                        "injected_milli_wh": nullable(COUNT),
                        "withdrawn_milli_wh": nullable(COUNT),
                    }
                )
            ),
            "next": nullable(COUNT),
        }
    ),
    "Reading": record(
        {
            "interval": COUNT,
            "start_ms": COUNT,
            "injected_milli_wh": COUNT,
            "withdrawn_milli_wh": COUNT,
            "quality": choice(*QUALITY_NAMES),
        }
    ),
    "Readings": record(
        {
            "address": ADDRESS,
            "connection": nullable(
                record(
                    {
                        "meter": ADDRESS,
                        "meter_name": NAME_OR_NULL,
                        "since": COUNT,
                        "start": COUNT,
                        "end": nullable(COUNT),
                        "rollover_milli_wh": COUNT,
                        "latest": COUNT,
                        "latest_injected_milli_wh": COUNT,
                        "latest_withdrawn_milli_wh": COUNT,
                        "estimated_injected_milli_wh": COUNT,
                        "estimated_withdrawn_milli_wh": COUNT,
                        "true_up_injected_milli_wh": INTEGER,
                        "true_up_withdrawn_milli_wh": INTEGER,
                        "is_watched": FLAG,
                    }
                )
            ),
            "readings": array(ref("Reading")),
            "next": nullable(COUNT),
        }
    ),
    "ReadingProof": record(
        {
            "proof": BASE64,
            "height": COUNT,
            "block_id": HASH,
            "state_root": HASH,
            "address": ADDRESS,
            "reading": ref("Reading"),
        }
    ),
}
