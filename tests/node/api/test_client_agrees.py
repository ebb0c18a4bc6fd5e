"""The tools' own client and the API understand each other."""

from __future__ import annotations

import asyncio

import pytest

from tests.ledger.support import id_of
from tests.node.api.conftest import Api
from tools.client import NodeClient
from tools.errors import NodeRefused, TransactionFailed
from vm.primitives.address import encode_address


async def test_the_client_reads_submits_and_waits(fresh_api: Api) -> None:
    node = fresh_api.node
    client = NodeClient(fresh_api.url, genesis=node.genesis.digest)
    account = await asyncio.to_thread(client.account, "P1")
    assert account["address"] == encode_address(id_of("P1"))
    good = node.transaction("P1", ("accounts", "transfer", (id_of("Op"), 1, "")))
    bad = node.transaction("P1", ("accounts", "transfer", (id_of("Op"), 10**15, "")))
    for transaction in (good, bad):
        await asyncio.to_thread(client.submit_one, transaction.raw)
    assert await asyncio.to_thread(client.next_nonce, encode_address(id_of("P1"))) == 2
    waiting = asyncio.create_task(asyncio.to_thread(client.wait, good.id.hex(), timeout_s=10))
    await asyncio.sleep(0.1)
    node.grow(good, bad)
    final = await waiting
    assert (final.height, final.receipt["code"]) == (1, "")
    with pytest.raises(TransactionFailed, match="not enough money"):
        await asyncio.to_thread(client.wait, bad.id.hex(), timeout_s=10)
    with pytest.raises(NodeRefused) as refused:
        await asyncio.to_thread(client.account, "Nobody")
    assert (refused.value.status, refused.value.code) == (404, "unknown_account")
    client.close()
