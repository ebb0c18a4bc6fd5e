"""The shapes of answers, as JSON schemas that OpenAPI refers to by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from node.api.parameters import Schema

_HEX64 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
HASH: Final[Schema] = _HEX64
HEX: Final[Schema] = {"type": "string", "pattern": "^([0-9a-f]{2})*$"}
BASE64: Final[Schema] = {"type": "string", "contentEncoding": "base64"}
ADDRESS: Final[Schema] = {"type": "string", "pattern": "^be[a-z2-7]{40}$"}
TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
INTEGER: Final[Schema] = {"type": "integer", "format": "int64"}
COUNT: Final[Schema] = {"type": "integer", "format": "int64", "minimum": 0}
ANYTHING: Final[Schema] = {}
FREE: Final[Schema] = {"type": "object", "additionalProperties": True}
"""An object whose fields depend on the chain's modules."""


def ref(name: str) -> Schema:
    """Return a reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def nullable(schema: Schema) -> Schema:
    """Return the schema of what may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def record(fields: Mapping[str, Schema], *, optional: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of an object with exactly these fields."""
    return {
        "type": "object",
        "properties": {**fields, **(optional or {})},
        "required": list(fields),
        "additionalProperties": False,
    }


def choice(*values: str) -> Schema:
    """Return the schema of one of some texts."""
    return {"type": "string", "enum": list(values)}


NAME_OR_NULL: Final = nullable(TEXT)
NUMBERS: Final[Schema] = {"type": "object", "additionalProperties": INTEGER}

_ACCOUNT: Final[Mapping[str, Schema]] = {
    "address": ADDRESS,
    "name": NAME_OR_NULL,
    "roles": array(TEXT),
    "status": choice("active", "suspended", "removed"),
    "key": HASH,
    "nonce": COUNT,
    "money_micro": COUNT,
    "money_reserved_micro": COUNT,
    "energy_milli_wh": nullable(COUNT),
    "energy_reserved_milli_wh": COUNT,
    "bus": TEXT,
    "node_key": nullable(HASH),
    "node_proof": nullable(HEX),
    "vote_key": nullable(HASH),
    "admitted_height": COUNT,
}
_PLACE: Final[Mapping[str, Schema]] = {"height": COUNT, "index": COUNT, "time_ms": COUNT}
_SENDER: Final[Mapping[str, Schema]] = {"sender": ADDRESS, "sender_name": NAME_OR_NULL}
_LISTED: Final[Mapping[str, Schema]] = {
    "index": COUNT,
    "id": HASH,
    **_SENDER,
    "nonce": COUNT,
    "calls": array(TEXT),
    "code": TEXT,
    "gas_used": COUNT,
    "fee_micro": COUNT,
}

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Error": record(
        {
            "error": record(
                {
                    "code": TEXT,
                    "message": TEXT,
                    "expected": nullable(TEXT),
                    "actual": nullable(TEXT),
                    "hint": nullable(TEXT),
                }
            )
        }
    ),
    "Status": record(
        {
            "node": TEXT,
            "chain": TEXT,
            "genesis": HASH,
            "engine": TEXT,
            "height": COUNT,
            "final_height": COUNT,
            "tip_height": COUNT,
            "tip_id": HASH,
            "base_height": COUNT,
            "block_id": HASH,
            "state_root": HASH,
            "time_ms": COUNT,
            "validators": COUNT,
            "peers": COUNT,
            "mempool": COUNT,
            "syncing": FLAG,
            "version": TEXT,
            "consensus": record(
                {
                    "height": COUNT,
                    "round": INTEGER,
                    "step": TEXT,
                    "proposer": TEXT,
                    "own_index": nullable(COUNT),
                    "locked_round": INTEGER,
                    "missing_prevotes": array(TEXT),
                    "missing_precommits": array(TEXT),
                }
            ),
        }
    ),
    "Genesis": record(
        {
            "genesis": HASH,
            "chain": TEXT,
            "time_ms": COUNT,
            "engine": TEXT,
            "engine_parameters": NUMBERS,
            "parameters": NUMBERS,
            "roles": array(TEXT),
            "document_bytes": COUNT,
            "document": nullable(FREE),
        }
    ),
    "GenesisDocument": FREE,
    "Parameters": record({"height": COUNT, "parameters": NUMBERS}),
    "Validator": record(
        {
            "index": COUNT,
            "address": ADDRESS,
            "name": NAME_OR_NULL,
            "vote_key": HASH,
            "power": COUNT,
        }
    ),
    "Validators": record(
        {"height": COUNT, "total_power": COUNT, "validators": array(ref("Validator"))}
    ),
    "Peers": record(
        {
            "peers": array(
                record(
                    {
                        "node_key": HEX,
                        "name": TEXT,
                        "address": TEXT,
                        "direction": choice("in", "out"),
                        "height": INTEGER,
                        "bytes_in": COUNT,
                        "bytes_out": COUNT,
                        "rtt_ms": INTEGER,
                    }
                )
            )
        }
    ),
    "Doctor": record(
        {
            "healthy": FLAG,
            "findings": array(
                record(
                    {
                        "severity": choice("ok", "warning", "problem"),
                        "topic": TEXT,
                        "message": TEXT,
                    }
                )
            ),
        }
    ),
    "Mempool": record({"transactions": COUNT, "bytes": COUNT, "max_bytes": COUNT}),
    "Modules": record(
        {
            "roles": array(TEXT),
            "modules": array(
                record(
                    {
                        "name": TEXT,
                        "about": TEXT,
                        "methods": array(
                            record(
                                {
                                    "name": TEXT,
                                    "about": TEXT,
                                    "arguments": array(record({"name": TEXT, "expects": TEXT})),
                                    "roles": array(TEXT),
                                }
                            )
                        ),
                    }
                )
            ),
        }
    ),
    "Header": record(
        {
            "genesis": HASH,
            "height": COUNT,
            "time_ms": COUNT,
            "parent": HASH,
            "last_commit": HASH,
            "evidence_root": HASH,
            "transactions_root": HASH,
            "state_root": HASH,
            "receipts_root": HASH,
            "validators": HASH,
            "next_validators": HASH,
            "parameters": HASH,
            "gas_used": COUNT,
            "proposer": ADDRESS,
            "proposer_name": NAME_OR_NULL,
            "seal": HEX,
        }
    ),
    "Certificate": record(
        {
            "height": COUNT,
            "round": COUNT,
            "block_id": HASH,
            "signatures": array(record({"index": COUNT, "signature": HEX})),
        }
    ),
    "Blocks": record(
        {
            "blocks": array(
                record(
                    {
                        "height": COUNT,
                        "id": HASH,
                        "time_ms": COUNT,
                        "proposer": ADDRESS,
                        "proposer_name": NAME_OR_NULL,
                        "final": FLAG,
                        "transactions": COUNT,
                        "gas_used": COUNT,
                        "state_root": HASH,
                    }
                )
            ),
            "next": nullable(COUNT),
            "base_height": COUNT,
        }
    ),
    "Block": record(
        {
            "height": COUNT,
            "id": HASH,
            "header": ref("Header"),
            "final": FLAG,
            "certificate": nullable(ref("Certificate")),
            "transactions_count": COUNT,
            "transactions": array(record(_LISTED)),
            "next": nullable(COUNT),
            "system_receipts_count": COUNT,
            "system_receipts": array(ref("Receipt")),
            "evidence": array(HEX),
        }
    ),
    "Transactions": record(
        {
            "transactions": array(record({"height": COUNT, "time_ms": COUNT, **_LISTED})),
            "next": NAME_OR_NULL,
            "base_height": COUNT,
        }
    ),
    "Attempt": record({"sender": ADDRESS, "calls": BASE64}),
    "SignedHeader": record(
        {
            "height": COUNT,
            "id": HASH,
            "final": FLAG,
            "header": BASE64,
            "certificate": BASE64,
            "validators": BASE64,
            "header_fields": ref("Header"),
            "certificate_fields": nullable(ref("Certificate")),
            "validators_fields": array(ref("Validator")),
        }
    ),
    "Call": record({"module": TEXT, "method": TEXT, "arguments": FREE, "values": array(ANYTHING)}),
    "Event": record({"module": TEXT, "event": TEXT, "fields": FREE, "values": array(ANYTHING)}),
    "Receipt": record(
        {
            "transaction_id": nullable(HASH),
            "code": TEXT,
            "message": TEXT,
            "gas_used": COUNT,
            "fee_micro": COUNT,
            "events": array(ref("Event")),
            "values": array(ANYTHING),
        }
    ),
    "Transaction": record(
        {
            "id": HASH,
            "genesis": HASH,
            **_SENDER,
            "key": HASH,
            "nonce": COUNT,
            "gas_limit": COUNT,
            "max_fee_micro": COUNT,
            "expiry_height": COUNT,
            "calls": array(ref("Call")),
            "signature": nullable(HEX),
            "raw": nullable(BASE64),
        }
    ),
    "FollowedTransaction": record(
        {
            "id": HASH,
            "status": choice("pending", "included", "final"),
            "final": FLAG,
            "height": nullable(COUNT),
            "index": nullable(COUNT),
            "block_id": nullable(HASH),
            "time_ms": nullable(COUNT),
            "transaction": ref("Transaction"),
            "receipt": nullable(ref("Receipt")),
        }
    ),
    "Batch": {
        "type": "object",
        "properties": {"transactions": {"type": "array", "items": BASE64}},
        "required": ["transactions"],
        "additionalProperties": False,
    },
    "Submissions": record(
        {
            "results": array(
                record(
                    {"id": nullable(HASH), "accepted": FLAG},
                    optional={"code": TEXT, "message": TEXT},
                )
            )
        }
    ),
    "Account": record({**_ACCOUNT, "next_nonce": COUNT, "height": COUNT}),
    "Member": record(_ACCOUNT),
    "Members": record({"members": array(ref("Member")), "next": NAME_OR_NULL}),
    "History": record(
        {
            "address": ADDRESS,
            "history": array(
                record(
                    {
                        **_PLACE,
                        "transaction_id": HASH,
                        **_SENDER,
                        "what": TEXT,
                        "calls": COUNT,
                        "code": TEXT,
                        "fee_micro": COUNT,
                        "money_micro": nullable(INTEGER),
                        "energy_milli_wh": nullable(INTEGER),
                        "events": array(ref("Event")),
                    }
                )
            ),
            "next": NAME_OR_NULL,
            "base_height": COUNT,
        }
    ),
    "AccountProof": record(
        {
            "proof": BASE64,
            "name_proof": nullable(BASE64),
            "height": COUNT,
            "block_id": HASH,
            "state_root": HASH,
            "address": ADDRESS,
            "exists": FLAG,
            "account": nullable(ref("Member")),
        }
    ),
    "TransactionProof": record(
        {
            "proof": BASE64,
            "id": HASH,
            "final": FLAG,
            "height": COUNT,
            "index": COUNT,
            "block_id": HASH,
            "transactions_root": HASH,
            "receipts_root": HASH,
        }
    ),
}
"""Every schema of the chain's part by name."""
