"""What the API withstands: wrong hosts, origins and types; slow, greedy and malformed clients."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import time

from node.api.limits import Tally, address_group
from tests.node.api.conftest import Api, serve
from tests.node.api.support import FakeNode

EMPTY = b'{"transactions": []}'
POST = b"POST /api/v1/transactions HTTP/1.1\r\nHost: localhost\r\n"


async def talk(api: Api, data: bytes, *, wait_s: float = 5) -> bytes:
    """Send bytes on a connection of their own; return all that comes until it is closed.

    A server that closes before it has read everything resets the connection: what it answered
    before that counts.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(data)
    answer = b""
    try:
        async with asyncio.timeout(wait_s):
            while chunk := await reader.read(65_536):
                answer += chunk
            return answer
    except ConnectionResetError:
        return answer
    finally:
        writer.close()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def code_of(answer: bytes) -> str:
    return json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]


async def test_hosts_of_the_list_only(api: Api) -> None:
    for host in ("localhost", "LOCALHOST:1234", "127.0.0.1", f"[::1]:{api.port}", "localhost."):
        assert (await api.get("/status", headers={"Host": host})).status == 200, host
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.nip.io:80", "10.1.2.3", "x"):
        reply = await api.get("/status", headers={"Host": host})
        assert (reply.status, reply.code) == (403, "host_not_allowed"), host
    none = await talk(api, b"GET /api/v1/status HTTP/1.0\r\n\r\n")
    assert status_of(none) == 400
    two = await talk(api, b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nHost: x\r\n\r\n")
    assert status_of(two) == 400


async def test_configured_hosts_and_origins(node: FakeNode) -> None:
    options = {"allowed_hosts": ["board.lan"], "allowed_origins": ["https://explorer.example"]}
    async for api in serve(node, **options):
        assert (await api.get("/status", headers={"Host": "board.lan:8420"})).status == 200
        origin = {"Origin": "https://explorer.example"}
        reply = await api.get("/status", headers=origin)
        assert reply.headers["Access-Control-Allow-Origin"] == "https://explorer.example"
        preflight = await api.ask(
            "OPTIONS",
            "/transactions",
            headers={**origin, "Access-Control-Request-Method": "POST"},
        )
        assert preflight.status == 204
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        other = await api.get("/status", headers={"Origin": "https://other.example"})
        assert (other.status, other.code) == (403, "origin_not_allowed")


async def test_pages_of_other_origins_are_refused(api: Api) -> None:
    own = f"http://127.0.0.1:{api.port}"
    assert (await api.get("/status", headers={"Origin": own})).status == 200
    for origin in ("null", "http://evil.example", "http://127.0.0.1:1", "http://localhost", ""):
        for path in ("/status", "/events"):
            reply = await api.get(path, headers={"Origin": origin})
            assert (reply.status, reply.code) == (403, "origin_not_allowed"), origin
    posted = await api.submit({"transactions": []}, headers={"Origin": "http://evil.example"})
    assert posted.status == 403
    assert "Access-Control-Allow-Origin" not in posted.headers


async def test_bodies_that_are_not_json_or_are_compressed(api: Api) -> None:
    body = b'{"transactions": []}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=x"):
        reply = await api.submit(body, headers={"Content-Type": kind})
        assert (reply.status, reply.code) == (415, "not_json"), kind
    assert (await api.submit(body, headers={"Content-Type": "Application/JSON"})).status == 200
    bomb = gzip.compress(b" " * 10_000_000)
    reply = await api.submit(bomb, headers={"Content-Encoding": "gzip"})
    assert (reply.status, reply.code) == (415, "compressed_body")


async def test_lengths_are_stated(api: Api) -> None:
    async def chunks():
        yield b'{"transactions": []}'

    reply = await api.ask(
        "POST", "/transactions", data=chunks(), headers={"Content-Type": "application/json"}
    )
    assert (reply.status, reply.code) == (411, "length_required")
    reply = await api.get("/status", data=b"body")
    assert (reply.status, reply.code) == (400, "unexpected_body")


async def test_expect_continue(api: Api) -> None:
    head = (
        b"POST /api/v1/transactions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: 20\r\nExpect: 100-continue\r\n\r\n"
    )
    answer = await talk(api, head + b'{"transactions": []}')
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


async def test_methods_and_paths(api: Api) -> None:
    for method, path in (("POST", "/status"), ("DELETE", "/blocks/1"), ("GET", "/preview")):
        reply = await api.ask(method, path)
        assert (reply.status, reply.code) == (405, "method_not_allowed")
        assert "OPTIONS" in reply.headers["Allow"]
    options = await api.ask("OPTIONS", "/preview")
    assert (options.status, options.headers["Allow"]) == (204, "POST, OPTIONS")
    head = await api.ask("HEAD", "/status")
    assert (head.status, head.body) == (200, b"")
    for path in ("/", "/nothing", "/status/", "/blocks/1/2", "//status", "/Status"):
        assert (await api.get(path)).code == "unknown_path", path
    for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/blocks/..%2f..%2fetc"):
        answer = await talk(
            api,
            b"GET /api/v1%b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            % path.encode(),
        )
        assert status_of(answer) in (400, 404), path


async def test_query_parameters_are_known_and_given_once(api: Api) -> None:
    unknown = await api.get("/blocks?limit=1&foo=2")
    assert (unknown.status, unknown.code) == (400, "unknown_parameter")
    assert unknown.json["error"]["expected"] == "limit, before"
    assert (await api.get("/status?x")).json["error"]["expected"] == "none"
    assert (await api.get("/blocks/1?height=2")).code == "unknown_parameter"
    assert (await api.get("/blocks?limit=1&limit=2")).code == "repeated_parameter"
    assert (await api.get("/blocks?" + "&".join(f"a{n}=1" for n in range(20)))).status == 400
    for value in ("0", "1001", "-1", "1e3", "%D9%A3", "", "+1", " 1", "1" * 400):
        reply = await api.get(f"/blocks?limit={value}")
        assert (reply.status, reply.code) == (400, "invalid_parameter"), value


async def test_what_is_not_http(small_api: Api) -> None:
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"GET\r\n\r\n",
        b"GET /api/v1/status HTTP/9.9\r\n\r\n",
        b"GET /api/v1/status HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"x%d: y\r\n" % n for n in range(500)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: " + b"a" * 20_000 + b"\r\n\r\n",
        POST + b"Content-Length: -5\r\n\r\n",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ):
        answer = await talk(small_api, data)
        assert status_of(answer) == 400, data[:60]
        assert code_of(answer) == "malformed_request", data[:60]
    assert (await small_api.get("/status")).status == 200


async def test_silence_and_dripping_end(small_api: Api) -> None:
    async def drip(data: bytes, pause_s: float) -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", small_api.port)
        started = time.perf_counter()
        reading = asyncio.create_task(reader.read())
        for place in range(len(data)):
            if reading.done() or writer.is_closing():
                break
            writer.write(data[place : place + 1])
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(5):
            await asyncio.gather(reading, return_exceptions=True)
        writer.close()
        return time.perf_counter() - started

    head = (
        b"POST /api/v1/transactions HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 19000\r\n\r\n"
    )
    spent = await asyncio.gather(
        drip(b"", 0),
        drip(b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 90, 0.05),
        drip(head, 0),
    )
    assert max(spent) < 3.5
    slow_body = await talk(small_api, head + b"x")
    assert (status_of(slow_body), code_of(slow_body)) == (408, "body_too_slow")


async def test_bodies_being_read_are_bounded(small_api: Api) -> None:
    head = (
        b"POST /api/v1/transactions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: 19000\r\n\r\n"
    )
    answers = await asyncio.gather(talk(small_api, head + b"x"), talk(small_api, head + b"x"))
    assert sorted(status_of(answer) for answer in answers) == [408, 503]
    assert (await small_api.submit({"transactions": []})).status == 200


async def test_connections_are_bounded(small_api: Api) -> None:
    await small_api.get("/status")
    idle = [await asyncio.open_connection("127.0.0.1", small_api.port) for _ in range(7)]
    answer = await talk(small_api, b"")
    assert (status_of(answer), code_of(answer)) == (503, "too_many_connections")
    assert (await small_api.get("/status")).status == 200
    for _, writer in idle:
        writer.close()
    await asyncio.sleep(0.1)
    metrics = (await small_api.get("/metrics")).body.decode()
    assert "bitenergy_api_connections 1\n" in metrics
    assert "bitenergy_api_connections_refused_total 1\n" in metrics


async def test_a_client_that_does_not_read_its_answers_is_dropped(small_api: Api) -> None:
    """Long answers asked for without reading: the connection ends, its memory is given back."""
    small_api.server._context.ready["openapi"] = b"x" * 30_000_000
    _, writer = await asyncio.open_connection("127.0.0.1", small_api.port, limit=1_024)
    writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
    await asyncio.sleep(0.2)
    counters = small_api.server._counters
    assert counters.connections >= 1
    for _ in range(160):
        if counters.connections <= 1:
            break
        await asyncio.sleep(0.05)
    assert counters.connections <= 1
    writer.close()


def test_addresses_are_counted_apart() -> None:
    tally = Tally(5, 2)
    one, two, own = address_group("10.0.0.1"), address_group("10.0.0.2"), address_group("::1")
    assert own == address_group("127.0.0.1") == address_group("::ffff:127.0.0.1") == ""
    assert address_group("2001:db8::1") == address_group("2001:db8::2")
    assert address_group("2001:db8::1") != address_group("2001:db8:0:1::1")
    assert [tally.try_enter(one) for _ in range(3)] == [True, True, False]
    assert [tally.try_enter(own) for _ in range(3)] == [True, True, True]
    assert not tally.try_enter(two)
    tally.leave(one)
    assert tally.try_enter(two)


async def test_mutated_requests_leave_the_server_up(small_api: Api) -> None:
    random_ = random.Random(2)
    whole = POST + b"Content-Type: application/json\r\nContent-Length: 20\r\n\r\n" + EMPTY
    ask = b"GET /api/v1/blocks?limit=2 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for _ in range(100):
        data = bytearray(random_.choice([whole, ask, whole + ask]))
        for _ in range(random_.randrange(1, 6)):
            place = random_.randrange(len(data))
            match random_.randrange(3):
                case 0:
                    data[place] = random_.randrange(256)
                case 1:
                    del data[place : place + random_.randrange(1, 20)]
                case 2:
                    data[place:place] = random_.randbytes(random_.randrange(1, 20))
            if not data:
                break
        reader, writer = await asyncio.open_connection("127.0.0.1", small_api.port)
        writer.write(bytes(data))
        writer.write_eof()
        try:
            answer = await asyncio.wait_for(reader.read(), 5)
        except ConnectionResetError:
            answer = b""
        writer.close()
        assert b" 500 " not in answer[:20], bytes(data)
    assert (await small_api.get("/status")).status == 200
    assert small_api.server._counters.errors == 0


async def test_frames_that_are_no_websocket(api: Api) -> None:
    head = (
        b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    for junk in (
        b"\xff" * 64,
        b"\x81\x7f" + b"\xff" * 8,
        b"\x89\xfe\xff\xff" + bytes(64),
        b"GET /",
    ):
        answer = await talk(api, head + junk)
        assert status_of(answer) == 101, junk
    assert api.server._context.hub.readers == 0
