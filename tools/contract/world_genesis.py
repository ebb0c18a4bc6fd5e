"""The genesis of the network on which contracts are tested in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from vm.primitives.signatures import public_key

START_MS: Final = 1_700_000_000_000
ROLES: Final = (
    "operator", "validator", "edc", "dso", "prosumer", "consumer", "meter", "board", "aggregator",
    "supplier",
)  # fmt: skip
DEPLOYERS: Final = [role for role in ROLES if role != "validator"]


def genesis_bytes(modules: Mapping[str, object]) -> bytes:
    """Return the genesis file: one operator, one validator, everybody may deploy contracts."""
    sections = {"contracts": {"deploy_roles": DEPLOYERS}, **modules}
    document = {
        "chain": "world",
        "time_ms": START_MS - 1,
        "engine": {"name": "poa", "parameters": {}},
        "parameters": {"max_transaction_bytes": 131_072, "max_transaction_gas": 20_000_000},
        "roles": list(ROLES),
        "members": [
            {"name": "operator", "roles": ["operator"], "key": _key("account of operator")},
            {
                "name": "validator",
                "roles": ["validator"],
                "key": _key("account of validator"),
                "vote_key": _key("vote of validator"),
            },
        ],
        "modules": sections,
    }
    return json.dumps(document).encode()


def _key(purpose: str) -> str:
    return public_key(sha256(purpose.encode()).digest()).hex()
