"""What the page server withstands, and that it hands on a node's answers whole or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from node.api.limits import ApiLimits
from tools.explorer.files import load_site
from tools.explorer.server import ExplorerServer

LONG = b'"' + b"x" * 3_000_000 + b'"'
KEPT = {"Cache-Control": "public, immutable", "ETag": '"7"', "Vary": "Origin, Authorization"}
LIMITS = ApiLimits(
    max_connections=8,
    max_body_bytes=20_000,
    max_bodies_bytes=25_000,
    idle_s=0.4,
    body_s=0.3,
    write_s=0.3,
    write_bytes_per_s=10_000_000,
    closing_s=0.5,
)
HEAD = b"Host: localhost\r\nContent-Type: application/json\r\n"


@dataclass
class Pages:
    """A page server over a node that says what a test wants."""

    port: int
    session: aiohttp.ClientSession
    asked: list[str]
    server: ExplorerServer
    news: asyncio.Event

    async def get(self, path: str, method: str = "GET", **options: object) -> tuple[int, bytes]:
        address = f"http://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, address, **options) as answer:  # type: ignore[arg-type]
            return answer.status, await answer.read()

    async def heard(self, count: int) -> None:
        """Wait until the node was asked so often."""
        while len(self.asked) < count:
            self.news.clear()
            await self.news.wait()

    async def talk(self, data: bytes, wait_s: float = 5) -> bytes:
        """Send bytes on a connection of their own; return all that comes until it is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        try:
            async with asyncio.timeout(wait_s):
                return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def pages(
    limits: ApiLimits | None = None, names: tuple[str, ...] = ()
) -> AsyncIterator[Pages]:
    asked: list[str] = []
    news = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(f"{request.method} {request.raw_path}")
        news.set()
        if request.path == "/api/v1/silent":
            await asyncio.Event().wait()
        if request.path == "/api/v1/events":
            socket = web.WebSocketResponse(autoclose=False)
            await socket.prepare(request)
            if request.query_string == "silent":
                await asyncio.Event().wait()
            for _ in range(400):
                await socket.send_str("y" * 100_000)
            return socket
        if request.path == "/api/v1/long":
            return web.Response(body=LONG, content_type="application/json", headers=KEPT)
        if request.path == "/api/v1/broken":
            broken = web.StreamResponse()
            broken.content_length = 1_000_000
            await broken.prepare(request)
            await broken.write(b"z" * 100_000)
            if request.transport is not None:
                request.transport.abort()
            return broken
        return web.json_response({"read": (await request.read()).decode()}, status=201)

    node = web.Server(answer)
    listener = await asyncio.get_running_loop().create_server(node, "127.0.0.1", 0)
    node_port = listener.sockets[0].getsockname()[1]
    server = ExplorerServer(
        load_site(),
        f"http://127.0.0.1:{node_port}",
        host="127.0.0.1",
        port=0,
        names=names,
        limits=limits,
    )
    port = await server.start()
    async with aiohttp.ClientSession() as session:
        try:
            yield Pages(port, session, asked, server, news)
        finally:
            await session.close()
            await server.stop()
            listener.close()
            await node.shutdown(0.1)


UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


async def test_stopping_ends_what_browsers_and_the_node_leave_open() -> None:
    """Neither end of these ever says good-bye, reads, or answers."""
    wanted = {"/api/v1/events": UPGRADE, "/api/v1/events?silent": UPGRADE}
    wanted |= {"/api/v1/long": b"", "/api/v1/silent": b""}
    async with pages() as found:
        writers = []
        for path, headers in wanted.items():
            _, writer = await asyncio.open_connection("127.0.0.1", found.port, limit=1_024)
            writer.write(b"GET %b HTTP/1.1\r\n%b%b\r\n" % (path.encode(), HEAD, headers))
            writers.append(writer)
        async with asyncio.timeout(5):
            await found.heard(len(wanted))
            await found.server.stop()
        left = [task for task in asyncio.all_tasks() if task.get_name().startswith("explorer-")]
        assert left == []
        for writer in writers:
            writer.close()


async def test_stopping_does_not_wait_for_those_who_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.explorer.server.STOP_S", 60.0)
    async with pages() as found:
        address = f"http://127.0.0.1:{found.port}/api/v1/events?silent"
        async with found.session.ws_connect(address) as socket, asyncio.timeout(10):
            reading = asyncio.create_task(socket.receive())
            await found.server.stop()
            assert (await reading).type is aiohttp.WSMsgType.CLOSE


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_long_answers_come_whole() -> None:
    async with pages() as found:
        assert await found.get("/api/v1/long") == (200, LONG)


async def test_what_the_node_says_of_caches_reaches_them() -> None:
    """Else a browser answers a member's signed request with what everybody got before."""
    async with pages() as found:
        url = f"http://127.0.0.1:{found.port}/api/v1/long"
        async with found.session.get(url) as answer:
            assert {name: answer.headers.get(name) for name in KEPT} == KEPT


async def test_an_answer_that_breaks_off_is_never_taken_for_the_whole() -> None:
    async with pages() as found:
        with pytest.raises(aiohttp.ClientError):
            await found.get("/api/v1/broken")
        assert (await found.get("/api/v1/status"))[0] == 201


async def test_paths_reach_the_node_as_they_were_written() -> None:
    async with pages() as found:
        for path in ("/api/v1/a%2Fb?c=%D9%A3&d=a+b", "/api/v1/..%2f..", "/metrics"):
            answer = await found.talk(
                b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path.encode()
            )
            assert status_of(answer) == 201
            assert found.asked[-1] == f"GET {path}"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "evil.example"}, "host_not_allowed"),
        ({"Host": "127.0.0.1.nip.io:80"}, "host_not_allowed"),
        ({"Origin": "http://evil.example"}, "origin_not_allowed"),
        ({"Origin": "null"}, "origin_not_allowed"),
    ],
)
async def test_other_sites_get_neither_pages_nor_answers(
    headers: dict[str, str], code: str
) -> None:
    async with pages() as found:
        for method, path in (
            ("GET", "/"),
            ("GET", "/app.js"),
            ("GET", "/api/v1/status"),
            ("GET", "/api/v1/events"),
            ("POST", "/api/v1/transactions"),
        ):
            status, body = await found.get(path, method, headers=headers)
            assert (status, json.loads(body)["error"]["code"]) == (403, code), path
        assert found.asked == []


async def test_names_of_this_machine_are_those_that_were_given() -> None:
    async with pages(names=("Node1.local",)) as found:
        for host, status in (
            ("node1.local:8650", 200),
            ("NODE1.LOCAL.", 200),
            ("node2.local", 403),
            ("node1.local.evil.example", 403),
        ):
            assert (await found.get("/", headers={"Host": host}))[0] == status, host
        own = {"Host": "node1.local:8650", "Origin": "http://node1.local:8650"}
        assert (await found.get("/api/v1/status", headers=own))[0] == 201
        other = own | {"Origin": "http://node2.local:8650"}
        status, body = await found.get("/api/v1/status", headers=other)
        assert (status, json.loads(body)["error"]["code"]) == (403, "origin_not_allowed")
    async with pages() as found:
        _, body = await found.get("/", headers={"Host": "node1.local"})
        assert "explorer run --name" in json.loads(body)["error"]["hint"]


async def test_bodies_are_json_of_a_stated_bounded_length() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"{}"

    json_type = {"Content-Type": "application/json"}
    async with pages(LIMITS) as found:
        post = "/api/v1/transactions"
        assert await found.get(post, "POST", data=b"{}", headers=json_type) == (
            201,
            b'{"read": "{}"}',
        )
        for headers, data, status in (
            ({"Content-Type": "text/plain"}, b"{}", 415),
            ({**json_type, "Content-Encoding": "gzip"}, b"{}", 415),
            (json_type, b"x" * 20_001, 413),
            (json_type, chunks(), 411),
        ):
            assert (await found.get(post, "POST", data=data, headers=headers))[0] == status
        assert (await found.get("/api/v1/status", data=b"x"))[0] == 400
        assert len(found.asked) == 1
        slow = b"POST /api/v1/transactions HTTP/1.1\r\n%bContent-Length: 19000\r\n\r\nx" % HEAD
        answers = await asyncio.gather(found.talk(slow), found.talk(slow))
        assert sorted(status_of(answer) for answer in answers) == [408, 503]


async def test_what_is_no_request_is_refused() -> None:
    async with pages(LIMITS) as found:
        for data, status in (
            (b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
            (b"GET http://evil.example/api/v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
            (b"GET /nothing/here HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
            (b"GET\r\n\r\n", 400),
            (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ):
            assert status_of(await found.talk(data)) == status, data[:40]
        assert found.asked == []


async def test_idle_slow_and_greedy_clients_are_dropped() -> None:
    async with pages(LIMITS) as found:
        assert await found.talk(b"") == b""
        for path in (b"/api/v1/long", b"/api/v1/events"):
            reader, writer = await asyncio.open_connection("127.0.0.1", found.port, limit=1_024)
            upgrade = (
                b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            )
            ask = b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
            more = upgrade if path.endswith(b"events") else b""
            writer.write(ask % (path, more) * (1 if more else 5))
            writer.transport.pause_reading()
            await asyncio.sleep(2.5)
            writer.transport.resume_reading()
            async with asyncio.timeout(5):
                try:
                    while await reader.read(65_536):
                        pass
                except ConnectionError:
                    pass
            writer.close()
        idle = [await asyncio.open_connection("127.0.0.1", found.port) for _ in range(8)]
        assert status_of(await found.talk(b"")) == 503
        for _, writer in idle:
            writer.close()
        await asyncio.sleep(0.1)
        assert (await found.get("/"))[0] == 200
