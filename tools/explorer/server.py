"""A server for the pages alone: it hands the browser's questions on to a node elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from typing import Final

import aiohttp
from aiohttp import web
from aiohttp.typedefs import URL

from node.api.answers import ApiError, error_body, status_of
from node.api.context import Counters
from node.api.guard import (
    SECURITY_HEADERS,
    GuardedServer,
    RequestGuard,
    read_body,
    validate_body_headers,
)
from node.api.limits import ApiLimits
from node.api.web_pages import CONTENT_POLICY, Site, SiteFile
from vm.primitives.errors import BitenergyError, InvariantViolation

API_PATHS: Final = ("/api/v1/", "/openapi.json", "/metrics")
EVENTS_PATH: Final = "/api/v1/events"
CONNECT_S: Final = 10.0
ANSWER_S: Final = 45.0
CLOSE_S: Final = 1.0
"""How long either end of a WebSocket may take to say good-bye."""
STOP_S: Final = 0.5
"""How long requests may go on once the server is to stop."""
WRITE_CHUNK_BYTES: Final = 65_536
_PASSED_DOWN: Final = ("Content-Type", "Cache-Control", "ETag", "Retry-After", "Allow", "Vary")
_PASSED_UP: Final = ("Authorization", "Content-Type", "If-None-Match")

_log = logging.getLogger("bitenergy.explorer")


class ExplorerServer:
    """Pages of this machine over the API of a node."""

    def __init__(
        self,
        site: Site,
        node: str,
        *,
        host: str,
        port: int,
        names: Iterable[str] = (),
        fingerprint: bytes = b"",
        limits: ApiLimits | None = None,
    ) -> None:
        """Prepare to serve `site` at `host` and `port`; `node` is the URL of a node's API,
        `names` are further ones of this machine.

        With `fingerprint` the node is asked over HTTPS if its certificate has this SHA-256.
        """
        self._site = site
        self._node = node.rstrip("/")
        self._host, self._port = host, port
        self._fingerprint = fingerprint
        self._limits = limits or ApiLimits()
        self._bodies_bytes = 0
        self._guard = RequestGuard(
            host=host,
            hosts=names,
            origins=(),
            hint="Use its address, or start with `bitenergy explorer run --name HOST`.",
        )
        self._session: aiohttp.ClientSession | None = None
        self._web: GuardedServer | None = None
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._answering: set[asyncio.Task[object]] = set()

    async def start(self) -> int:
        """Begin to answer; return the port. Raises OSError if the address cannot be had."""
        loop = asyncio.get_running_loop()
        # The node's errors are handed on, so no redirect is followed and no status raises.
        pinned = aiohttp.Fingerprint(self._fingerprint) if self._fingerprint else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=pinned, limit=self._limits.max_connections),
            timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_S, sock_read=ANSWER_S),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        self._web = GuardedServer(
            self._handle, limits=self._limits, counters=Counters(), on_fatal=_log_violation
        )
        self._listener = await loop.create_server(self._web, self._host, self._port)
        self._sweeper = loop.create_task(self._web.sweep(), name="explorer-sweep")
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop answering: soon, whatever browsers and the node do; nothing runs on afterwards."""
        if self._listener is not None:
            self._listener.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._ending.set()
        if self._web is not None:
            self._web.pre_shutdown()
            await self._web.shutdown(STOP_S)
            self._web.abort_all()
        if self._session is not None:
            await self._session.close()
        for task in self._answering:
            task.cancel()
        if self._answering:
            await asyncio.wait(self._answering, timeout=CLOSE_S)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        # A connection's task: it also writes what is left to be written after this returns.
        task = asyncio.current_task()
        if task is not None and task not in self._answering:
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        try:
            self._guard.validate(request)
            target = request.raw_path
            if not target.startswith("/") or not target.isascii():
                raise ApiError(400, "invalid_path", "the request's target is not a plain path")
            path = target.partition("?")[0]
            page = self._site.find(path) if request.method in ("GET", "HEAD") else None
            if page is not None:
                return await self._send_page(request, page)
            if not path.startswith(API_PATHS):
                raise ApiError(404, "unknown_path", "there is nothing at this path", actual=path)
            if path == EVENTS_PATH and request.method == "GET":
                return await self._follow(request)
            return await self._ask(request)
        except BitenergyError as error:
            headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
            body = error_body(error)
            return await self._send(request, status_of(error), headers, _whole(body), len(body))

    async def _send_page(self, request: web.BaseRequest, page: SiteFile) -> web.StreamResponse:
        headers = {
            "Content-Security-Policy": CONTENT_POLICY,
            "Content-Type": page.content_type,
            "Cache-Control": "no-cache",
            "ETag": f'"{page.tag}"',
        }
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return await self._send(request, 304, headers, _whole(b""), 0)
        return await self._send(request, 200, headers, _whole(page.body), len(page.body))

    async def _ask(self, request: web.BaseRequest) -> web.StreamResponse:
        """Hand one request on and its answer back; raises ApiError 502 where the node is silent."""
        body = await self._read_body(request)
        headers = {name: request.headers[name] for name in _PASSED_UP if name in request.headers}
        try:
            answer = await self._opened().request(
                request.method,
                URL(self._node + request.raw_path, encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(
                502,
                "no_answer",
                "the node does not answer",
                expected=self._node,
                actual=error,
                hint="Is it running? `bitenergy node status` says more.",
            ) from error
        passed = {name: answer.headers[name] for name in _PASSED_DOWN if name in answer.headers}
        try:
            # In pieces, as the browser takes them: a long answer is never whole in memory.
            pieces = answer.content.iter_any()
            return await self._send(request, answer.status, passed, pieces, answer.content_length)
        finally:
            answer.close()

    async def _read_body(self, request: web.BaseRequest) -> bytes | None:
        """Return what a POST carries; raises ApiError as the node itself would."""
        if request.method != "POST":
            if request.content_length or "Transfer-Encoding" in request.headers:
                raise ApiError(400, "unexpected_body", "this request takes no body")
            return None
        size = validate_body_headers(request, self._limits.max_body_bytes)
        if self._bodies_bytes + size > self._limits.max_bodies_bytes:
            raise ApiError(503, "busy", "too many requests are being read", hint="Try again.")
        self._bodies_bytes += size
        try:
            return await read_body(request, size, self._limits.body_s)
        finally:
            self._bodies_bytes -= size

    async def _send(
        self,
        request: web.BaseRequest,
        status: int,
        headers: Mapping[str, str],
        pieces: AsyncIterator[bytes],
        size: int | None,
    ) -> web.StreamResponse:
        """Write an answer; who does not read it in time, or whose node breaks off, is cut off.

        What is cut off is shorter than its header says, so no browser takes it for the whole.
        """
        response = web.StreamResponse(status=status, headers=SECURITY_HEADERS | dict(headers))
        if size is not None and status != 304:
            response.content_length = size
        if status >= 400 and request.content_length:
            response.force_close()
        limits = self._limits
        try:
            async with asyncio.timeout(limits.write_s + (size or 0) / limits.write_bytes_per_s):
                await response.prepare(request)
                if request.method != "HEAD" and status != 304:
                    async for piece in pieces:
                        await response.write(piece)
                await response.write_eof()
        except (TimeoutError, aiohttp.ClientError):
            response.force_close()
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _follow(self, request: web.BaseRequest) -> web.StreamResponse:
        """Pass the node's events on until either side ends."""
        socket = web.WebSocketResponse(heartbeat=20.0, max_msg_size=1_024, timeout=CLOSE_S)
        if not socket.can_prepare(request):
            return await self._ask(request)
        url = URL(self._node + request.raw_path, encoded=True)
        try:
            limit = aiohttp.ClientWSTimeout(ws_close=CLOSE_S)
            source = await self._opened().ws_connect(url, timeout=limit)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(502, "no_answer", "the node does not answer", actual=error) from error
        try:
            await socket.prepare(request)
            reading = asyncio.create_task(socket.receive(), name="explorer-reader")
            try:
                await self._pass_on(source, socket, reading)
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
            finally:
                reading.cancel()
        finally:
            with suppress(ConnectionError):
                await source.close()
        return socket

    async def _pass_on(
        self,
        source: aiohttp.ClientWebSocketResponse,
        socket: web.WebSocketResponse,
        reading: asyncio.Task[aiohttp.WSMessage],
    ) -> None:
        """Send on what comes; whatever the browser says, its leaving included, ends it.

        Raises TimeoutError where the browser does not read.
        """
        ending = asyncio.create_task(self._ending.wait(), name="explorer-ending")
        coming: asyncio.Task[aiohttp.WSMessage] | None = None
        try:
            while not reading.done() and not ending.done():
                coming = asyncio.create_task(source.receive(), name="explorer-source")
                first = asyncio.FIRST_COMPLETED
                await asyncio.wait({coming, reading, ending}, return_when=first)
                if not coming.done() or coming.result().type is not aiohttp.WSMsgType.TEXT:
                    return
                with suppress(ConnectionError):
                    text = coming.result().data
                    await asyncio.wait_for(socket.send_str(text), self._limits.write_s)
        finally:
            ending.cancel()
            if coming is not None:
                coming.cancel()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise InvariantViolation("the server answers before it was started")
        return self._session


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), WRITE_CHUNK_BYTES):
        yield body[start : start + WRITE_CHUNK_BYTES]


def _log_violation(violation: InvariantViolation) -> None:
    _log.critical("a bug of the explorer", exc_info=violation)
