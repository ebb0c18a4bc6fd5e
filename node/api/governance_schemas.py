"""The shapes of what the API says of governance, and of a block's bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from node.api.parameters import Schema
from node.api.schemas import (
    ADDRESS,
    BASE64,
    COUNT,
    NAME_OR_NULL,
    NUMBERS,
    TEXT,
    array,
    choice,
    nullable,
    record,
    ref,
)

_TALLY: Final[Schema] = record({"yes": COUNT, "no": COUNT, "abstain": COUNT})
_PROPOSAL: Final[Mapping[str, Schema]] = {
    "number": COUNT,
    "status": choice("voting", "counting", "passed", "applied", "failed", "expired", "void"),
    "result": TEXT,
    "kind": choice("parameters", "module", "engine"),
    "name": TEXT,
    "subject": TEXT,
    "values": {"type": "object", "additionalProperties": True},
    "height": COUNT,
    "about": TEXT,
    "proposer": ADDRESS,
    "proposer_name": NAME_OR_NULL,
    "ends_ms": COUNT,
    "votes": COUNT,
    "tally": _TALLY,
    "eligible": COUNT,
}

GOVERNANCE_SCHEMAS: Final[Mapping[str, Schema]] = {
    "Proposals": record(
        {
            "settings": record(
                {
                    "voters": NUMBERS,
                    "quorum": array(COUNT),
                    "threshold": array(COUNT),
                    "voting_period_ms": COUNT,
                    "notice_blocks": COUNT,
                    "eligible": COUNT,
                }
            ),
            "engine": record({"name": TEXT, "parameters": NUMBERS}),
            "module_versions": NUMBERS,
            "proposals": array(ref("Proposal")),
            "next": nullable(COUNT),
        }
    ),
    "Proposal": record(_PROPOSAL),
    "ShownProposal": record(
        {
            **_PROPOSAL,
            "ballots": array(
                record(
                    {"account": ADDRESS, "choice": choice("yes", "no", "abstain"), "weight": COUNT},
                    optional={"account_name": TEXT},
                )
            ),
        }
    ),
    "BlockBytes": record(
        {"height": COUNT, "header": BASE64, "certificate": BASE64, "body": BASE64}
    ),
}
"""Every schema of governance by name."""
