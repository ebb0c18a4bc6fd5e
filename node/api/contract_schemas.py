"""The shapes of what the API says of contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from node.api.parameters import Schema
from node.api.schemas import (
    ADDRESS,
    ANYTHING,
    BASE64,
    COUNT,
    FLAG,
    FREE,
    HASH,
    HEX,
    NAME_OR_NULL,
    TEXT,
    array,
    choice,
    nullable,
    record,
    ref,
)

_SHORT: Final[Mapping[str, Schema]] = {
    "address": ADDRESS,
    "name": NAME_OR_NULL,
    "number": COUNT,
    "owner": ADDRESS,
    "owner_name": NAME_OR_NULL,
    "deployer": ADDRESS,
    "deployer_name": NAME_OR_NULL,
    "code_hash": HASH,
    "approved_code_hash": nullable(HASH),
    "frozen": FLAG,
    "revision": COUNT,
    "height": COUNT,
    "code_bytes": COUNT,
    "source_bytes": COUNT,
    "data_bytes": COUNT,
    "deposit_micro": COUNT,
}
# A record is an object; lists, tuples and dictionaries are objects that name what they hold.
_FIELDS: Final = array(record({"name": TEXT, "type": ANYTHING}))

CONTRACT_SCHEMAS: Final[Mapping[str, Schema]] = {
    "Contracts": record(
        {"height": COUNT, "contracts": array(record(_SHORT)), "next": nullable(COUNT)}
    ),
    "Contract": record(
        {
            **_SHORT,
            "account": ref("Member"),
            "code": BASE64,
            "source": TEXT,
            "abi": ref("ContractAbi"),
            "final_height": COUNT,
        }
    ),
    "ContractAbi": record(
        {
            "code_hash": HASH,
            "functions": array(
                record(
                    {
                        "name": TEXT,
                        "kind": choice("export", "view", "init", "upgrade"),
                        "parameters": _FIELDS,
                        "result": ANYTHING,
                        "roles": array(TEXT),
                        "only": nullable(TEXT),
                        "reentrant": FLAG,
                    }
                )
            ),
            "events": array(record({"name": TEXT, "fields": _FIELDS})),
            "storage": array(record({"name": TEXT, "key": ANYTHING, "value": ANYTHING})),
            "calls": array(
                record(
                    {
                        "interface": TEXT,
                        "method": TEXT,
                        "parameters": array(ANYTHING),
                        "result": ANYTHING,
                        "view": FLAG,
                    }
                )
            ),
        }
    ),
    "ViewResult": record(
        {
            "height": COUNT,
            "address": ADDRESS,
            "function": TEXT,
            "result": ANYTHING,
            "gas_used": COUNT,
        }
    ),
    "ContractEvents": record(
        {
            "address": ADDRESS,
            "events": array(
                record(
                    {
                        "height": COUNT,
                        "index": COUNT,
                        "time_ms": COUNT,
                        "transaction_id": HASH,
                        "module": TEXT,
                        "event": TEXT,
                        "fields": FREE,
                        "values": array(ANYTHING),
                    }
                )
            ),
            "next": nullable(TEXT),
            "base_height": COUNT,
        }
    ),
    "StorageProof": record(
        {
            "proof": BASE64,
            "key": HEX,
            "height": COUNT,
            "block_id": HASH,
            "state_root": HASH,
            "exists": FLAG,
            "value": ANYTHING,
        }
    ),
}
