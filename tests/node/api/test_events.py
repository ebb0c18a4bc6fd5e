"""Following the chain over WebSocket: what arrives, to whom, and who is dropped."""

from __future__ import annotations

import asyncio
import json
import socket as sockets

import aiohttp
import pytest

from node.facade import FinalBlock
from tests.ledger.support import id_of
from tests.node.api.conftest import Api
from tests.node.api.shapes import find_misfits
from vm.primitives.address import encode_address

EVERYTHING = "/api/v1/events?topics=block,transaction,trade"


async def receive(socket: aiohttp.ClientWebSocketResponse, api: Api, count: int) -> list[dict]:
    """Return the next messages, each held to its schema."""
    found = []
    for _ in range(count):
        message = json.loads((await socket.receive(timeout=5)).data)
        schema = {"$ref": "#/components/schemas/EventMessage"}
        assert not list(find_misfits(message, schema, api.description))
        found.append(message)
    return found


async def test_blocks_transactions_and_trades_arrive(fresh_api: Api) -> None:
    async with fresh_api.session.ws_connect(fresh_api.url + EVERYTHING) as socket:
        block = fresh_api.node.trade()
        messages = await receive(socket, fresh_api, 7)
    assert [message["type"] for message in messages] == [
        "block",
        "transaction",
        "transaction",
        "block",
        "transaction",
        "trade",
        "trade",
    ]
    assert messages[3]["id"] == block.block_id.hex()
    assert messages[4]["id"] == block.transactions[0].id.hex()
    assert messages[5]["buyer_name"] == "P2"
    assert messages[5]["amount_micro"] == 4_500_000
    assert messages[5]["transaction_id"] == messages[4]["id"]


async def test_topics_and_accounts_are_chosen(fresh_api: Api) -> None:
    base = f"{fresh_api.url}/api/v1/events"
    node = fresh_api.node
    async with (
        fresh_api.session.ws_connect(base) as blocks,
        fresh_api.session.ws_connect(f"{base}?topics=trade") as trades,
        fresh_api.session.ws_connect(f"{base}?topics=transaction&account=P2") as mine,
        fresh_api.session.ws_connect(f"{base}?topics=trade,transaction&account=V1") as others,
    ):
        node.trade()
        paid = node.transaction("P1", ("accounts", "transfer", (id_of("P2"), 1, "")))
        node.grow(paid)
        assert [m["height"] for m in await receive(blocks, fresh_api, 3)] == [1, 2, 3]
        assert [m["type"] for m in await receive(trades, fresh_api, 2)] == ["trade"] * 2
        found = await receive(mine, fresh_api, 2)
        assert [m["height"] for m in found] == [2, 3]
        assert found[1]["id"] == paid.id.hex()
        with pytest.raises(TimeoutError):
            await others.receive(timeout=0.1)


async def test_requests_that_cannot_follow(api: Api) -> None:
    plain = await api.get("/events")
    assert (plain.status, plain.code) == (426, "not_a_websocket")
    assert (await api.get("/events?topics=gossip")).code == "invalid_parameter"
    assert (await api.get("/events?account=Nobody")).code == "unknown_account"
    assert (await api.get(f"/events?account={encode_address(bytes(20))}")).status == 426


async def test_a_reader_may_ping_but_not_talk(api: Api) -> None:
    url = api.url + EVERYTHING
    async with api.session.ws_connect(url, autoping=False) as socket:
        await socket.ping(b"there?")
        assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.PONG
        await socket.send_str("hello")
        message = await socket.receive(timeout=5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)
    async with api.session.ws_connect(url, autoping=False) as socket:
        for _ in range(30):
            await socket.ping()
        types = [(await socket.receive(timeout=5)).type for _ in range(21)]
        assert types[-1] is aiohttp.WSMsgType.CLOSE
    async with api.session.ws_connect(url) as socket:
        await socket.send_bytes(bytes(10_000))
        assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE


async def test_readers_are_counted(small_api: Api) -> None:
    url = small_api.url + EVERYTHING
    async with small_api.session.ws_connect(url), small_api.session.ws_connect(url):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await small_api.session.ws_connect(url)
        assert refused.value.status == 503
    await asyncio.sleep(0.1)
    async with small_api.session.ws_connect(url):
        assert (
            "bitenergy_api_websocket_readers 1" in (await small_api.get("/metrics")).body.decode()
        )


async def test_a_reader_that_never_reads_is_dropped(small_api: Api) -> None:
    node = small_api.node
    with sockets.socket() as deaf:
        deaf.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
        deaf.connect(("127.0.0.1", small_api.port))
        deaf.sendall(
            b"GET /api/v1/events?topics=transaction HTTP/1.1\r\nHost: localhost\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await asyncio.sleep(0.1)
        hub = small_api.server._context.hub
        assert hub.readers == 1
        block = node.grow(node.transaction("P1", ("accounts", "transfer", (id_of("Op"), 1, ""))))
        await asyncio.sleep(0.05)
        for _ in range(60_000):
            await hub.push(FinalBlock(block, 0))
            if not hub.readers:
                break
        assert hub.readers == 0
        assert hub.dropped_total == 1


async def test_a_following_that_the_node_ends_is_taken_up_again(fresh_api: Api) -> None:
    async with fresh_api.session.ws_connect(fresh_api.url + EVERYTHING) as socket:
        await asyncio.sleep(0.05)
        fresh_api.node.followers[0].queue.put_nowait(None)
        message = await socket.receive(timeout=5)
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    await asyncio.sleep(1.1)
    async with fresh_api.session.ws_connect(fresh_api.url + EVERYTHING) as socket:
        fresh_api.node.grow()
        assert (await receive(socket, fresh_api, 1))[0]["type"] == "block"


async def test_stopping_tells_the_readers(fresh_api: Api) -> None:
    async with fresh_api.session.ws_connect(fresh_api.url + EVERYTHING) as socket:
        await asyncio.sleep(0.05)
        stopping = asyncio.create_task(fresh_api.server.stop())
        message = await socket.receive(timeout=5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        await stopping
