"""Requests that a member of the tests' networks signs."""

from __future__ import annotations

import time

from node.api.request_signing import sign_request
from tests.ledger.support import id_of, seed
from tests.node.api.conftest import Api, Reply


async def ask(api: Api, path: str, signer: str) -> Reply:
    """Ask, with the request signed by a member if one is named."""
    if not signer:
        return await api.get(path)
    value = sign_request(
        seed(signer),
        genesis=api.node.genesis.digest,
        node=api.node.name,
        method="GET",
        target=f"/api/v1{path}",
        account=id_of(signer),
        time_ms=time.time_ns() // 1_000_000,
    )
    return await api.get(path, headers={"Authorization": value})
