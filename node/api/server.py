"""The HTTP server of a node: takes each request through guard, route, handler and answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from ssl import SSLContext
from typing import Final

from aiohttp import WSMsgType, web

from node.api.answers import Answer, ApiError, error_body, status_of
from node.api.chain_reader import ChainReader
from node.api.context import ApiContext, Counters
from node.api.events import EventHub, Reader, topic_mask
from node.api.guard import (
    SECURITY_HEADERS,
    GuardedServer,
    RequestGuard,
    read_body,
    validate_body_headers,
)
from node.api.limits import ApiLimits, Tally, address_group
from node.api.openapi import describe
from node.api.parameters import Arguments
from node.api.privacy import NOBODY, Viewer
from node.api.render import Names
from node.api.request_signing import SCHEME
from node.api.routes import WEBSOCKET, Handler, Route, Router
from node.api.table import ROUTES
from node.api.viewers import identify
from node.api.web_pages import CONTENT_POLICY, Site, SiteFile
from node.facade import NodeFacade
from vm.primitives.errors import BitenergyError, InvariantViolation

WRITE_CHUNK_BYTES: Final = 65_536
PREFLIGHT_AGE_S: Final = 600
HEARTBEAT_S: Final = 20.0
MAX_READER_MESSAGE_BYTES: Final = 1_024
STOP_S: Final = 2.0
_FINAL_CACHE: Final = "public, max-age=31536000, immutable"
_READS: Final = ("GET", "HEAD")

_log = logging.getLogger("bitenergy.api")


def _log_only(violation: InvariantViolation) -> None:
    _log.critical("nobody stops the node on this", exc_info=violation)


class ApiServer:
    """The HTTP API of one node."""

    def __init__(
        self,
        facade: NodeFacade,
        *,
        host: str = "127.0.0.1",
        port: int = 8420,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
        limits: ApiLimits | None = None,
        site: Site | None = None,
        tls: SSLContext | None = None,
        on_fatal: Callable[[InvariantViolation], None] = _log_only,
    ) -> None:
        """Prepare to serve `facade` at `host` and `port` (0 takes any free one).

        `allowed_hosts` are further names of this node, `allowed_origins` web origins whose pages
        may use it. `site` are pages beside the API; with `tls` all is served by HTTPS. `on_fatal`
        is called with a violation that is to stop the node.
        """
        self._host, self._port = host, port
        self._limits = limits or ApiLimits()
        self._guard = RequestGuard(host=host, hosts=allowed_hosts, origins=allowed_origins)
        self._router = Router(ROUTES)
        self._site = site
        self._tls = tls
        self._counters = Counters()
        self._on_fatal = on_fatal
        names = Names(facade.store)
        self._context = ApiContext(
            facade,
            ChainReader(facade.store),
            names,
            EventHub(facade, names, self._limits),
            self._limits,
            lambda: describe(ROUTES),
            self._counters,
            {},
        )
        self._readers = Tally(self._limits.max_readers, self._limits.max_readers_per_address)
        self._bodies_bytes = 0
        self._turns = asyncio.Semaphore(self._limits.max_searches)
        self._searches_waiting = 0
        self._web: GuardedServer | None = None
        self._listener: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False

    async def start(self) -> int:
        """Begin to answer; return the port. Raises OSError if the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._web = GuardedServer(
            self._handle, limits=self._limits, counters=self._counters, on_fatal=self._on_fatal
        )
        self._listener = await loop.create_server(
            self._web, self._host or None, self._port, backlog=256, ssl=self._tls
        )
        self._tasks.append(loop.create_task(self._web.sweep(), name="api-sweep"))
        self._tasks.append(loop.create_task(self._context.reader.busy.follow(), name="api-busy"))
        self._follow()
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop answering: no new connections, what is being answered has a moment to end."""
        self._is_stopping = True
        if self._listener is not None:
            self._listener.close()
        await self._context.hub.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._web is not None:
            self._web.pre_shutdown()
            await self._web.shutdown(STOP_S)

    def _follow(self) -> None:
        if not self._is_stopping:
            self._context.hub.start().add_done_callback(self._after_following)

    def _after_following(self, task: asyncio.Task[None]) -> None:
        """Report a bug that ended the following of blocks, and follow again."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        _log.error("following the chain met a bug", exc_info=error)
        self._counters.errors += 1
        if isinstance(error, InvariantViolation):
            self._on_fatal(error)
        asyncio.get_running_loop().call_later(1.0, self._follow)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; what is not a BitenergyError is a bug and goes to `handle_error`."""
        self._counters.requests += 1
        origin: str | None = None
        try:
            origin = self._guard.validate(request)
            target = request.raw_path
            if not target.startswith("/") or not target.isascii():
                raise ApiError(400, "invalid_path", "the request's target is not a plain path")
            path, _, query = target.partition("?")
            if request.method == "OPTIONS":
                return await self._send_options(request, path, origin)
            page = self._site.find(path) if self._site and request.method in _READS else None
            if page is not None:
                return await self._send_page(request, page)
            route, captured = self._router.find(request.method, path)
            values = route.read(captured, query)
            if route.method == WEBSOCKET:
                return await self._serve_reader(request, Arguments(values, b""))
            if route.handler is None:
                raise InvariantViolation(f"route {route.name} has nobody who answers")
            viewer = self._identify(request, target)
            arguments = Arguments(values, await self._read_body(request, route), viewer)
            if route.searches:
                answer = await self._search(route.handler, arguments)
            else:
                answer = await route.handler(self._context, arguments)
        except BitenergyError as error:
            self._counters.refused += 1
            return await self._refuse(request, error, origin)
        return await self._send_answer(request, answer, origin)

    def _identify(self, request: web.BaseRequest, target: str) -> Viewer:
        """Return who signed a request; raises ApiError 401. What has a body is signed by nobody."""
        if request.method not in _READS:
            return NOBODY
        headers = request.headers.getall("Authorization", [])
        if len(headers) > 1:
            raise ApiError(401, "invalid_signature", "a request is signed once")
        header = headers[0] if headers else ""
        return identify(self._context.facade, request.method, target, header)

    async def _search(self, handler: Handler, arguments: Arguments) -> Answer:
        """Answer what may read much when it is its turn; raises ApiError 503 if many wait."""
        if self._searches_waiting >= self._limits.max_searches_waiting:
            raise ApiError(503, "busy", "too many requests search the chain", hint="Try again.")
        self._searches_waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._searches_waiting -= 1
        try:
            return await handler(self._context, arguments)
        finally:
            self._turns.release()

    # --- bodies in ---------------------------------------------------------------------------

    async def _read_body(self, request: web.BaseRequest, route: Route) -> bytes:
        if route.body is None:
            if request.content_length or "Transfer-Encoding" in request.headers:
                raise ApiError(400, "unexpected_body", "this request takes no body")
            return b""
        size = validate_body_headers(request, self._limits.max_body_bytes)
        if self._bodies_bytes + size > self._limits.max_bodies_bytes:
            raise ApiError(503, "busy", "too many requests are being read", hint="Try again.")
        if not size:
            return b""
        self._bodies_bytes += size
        try:
            return await read_body(request, size, self._limits.body_s)
        finally:
            self._bodies_bytes -= size

    # --- answers out -------------------------------------------------------------------------

    async def _send_answer(
        self, request: web.BaseRequest, answer: Answer, origin: str | None
    ) -> web.StreamResponse:
        headers = {"Cache-Control": "no-store"}
        # What a signed request got may be for nobody else: no cache is to know it.
        if answer.tag and "Authorization" not in request.headers:
            tag = f'"{answer.tag}"'
            headers = {"Cache-Control": _FINAL_CACHE, "ETag": tag}
            if _knows(request.headers.get("If-None-Match", ""), tag):
                return await self._send(request, 304, b"", headers, origin)
        headers["Content-Type"] = answer.content_type
        return await self._send(request, 200, answer.body(), headers, origin)

    async def _send_page(self, request: web.BaseRequest, page: SiteFile) -> web.StreamResponse:
        tag = f'"{page.tag}"'
        # Asked for again each time, so that an update shows at once; what is known costs no bytes.
        headers = {
            "Cache-Control": "no-cache",
            "Content-Security-Policy": CONTENT_POLICY,
            "Content-Type": page.content_type,
            "ETag": tag,
        }
        is_known = _knows(request.headers.get("If-None-Match", ""), tag)
        body = b"" if is_known else page.body
        return await self._send(request, 304 if is_known else 200, body, headers, None)

    async def _refuse(
        self, request: web.BaseRequest, error: BitenergyError, origin: str | None
    ) -> web.StreamResponse:
        status = status_of(error)
        headers = {"Cache-Control": "no-store", "Content-Type": "application/json"}
        if status == 405:
            headers["Allow"] = str(error.expected)
        elif status == 401:
            headers["WWW-Authenticate"] = SCHEME
        elif status == 503:
            headers["Retry-After"] = "1"
        elif status == 426:
            headers["Upgrade"] = "websocket"
        is_last = status in (403, 408, 411, 413, 415) or request.content_length is not None
        return await self._send(request, status, error_body(error), headers, origin, close=is_last)

    async def _send_options(
        self, request: web.BaseRequest, path: str, origin: str | None
    ) -> web.StreamResponse:
        allowed = ", ".join(self._router.methods(path))
        headers = {"Allow": allowed, "Cache-Control": "no-store"}
        if origin is not None:
            headers["Access-Control-Allow-Methods"] = allowed
            headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, If-None-Match"
            headers["Access-Control-Max-Age"] = str(PREFLIGHT_AGE_S)
        return await self._send(request, 204, b"", headers, origin)

    async def _send(
        self,
        request: web.BaseRequest,
        status: int,
        body: bytes,
        headers: dict[str, str],
        origin: str | None,
        *,
        close: bool = False,
    ) -> web.StreamResponse:
        """Write an answer; a client that does not read it in time loses its connection."""
        headers = SECURITY_HEADERS | headers
        headers["Vary"] = "Origin, Authorization"
        if origin is not None:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = "ETag"
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        limits = self._limits
        is_long = len(body) > WRITE_CHUNK_BYTES and request.method != "HEAD"
        response: web.StreamResponse
        if is_long:
            response = web.StreamResponse(status=status, headers=headers)
            response.content_length = len(body)
        else:
            response = web.Response(status=status, headers=headers, body=body)
        if close:
            response.force_close()
        try:
            async with asyncio.timeout(limits.write_s + len(body) / limits.write_bytes_per_s):
                await response.prepare(request)
                if is_long:
                    view = memoryview(body)
                    for start in range(0, len(body), WRITE_CHUNK_BYTES):
                        await response.write(view[start : start + WRITE_CHUNK_BYTES])
                await response.write_eof()
        except TimeoutError:
            response.force_close()
            if request.transport is not None:
                request.transport.abort()
        return response

    # --- WebSocket readers -------------------------------------------------------------------

    async def _serve_reader(
        self, request: web.BaseRequest, arguments: Arguments
    ) -> web.StreamResponse:
        """Let a WebSocket follow until it goes, is dropped, or says what it should not."""
        if self._is_stopping:
            raise ApiError(503, "stopping", "the node stops")
        topics = topic_mask(arguments.names("topics"))
        who = arguments.text("account")
        account = self._context.resolve(who) if who else b""
        group = address_group(request.remote or "")
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S,
            autoping=False,
            compress=False,
            max_msg_size=MAX_READER_MESSAGE_BYTES,
            timeout=1.0,
        )
        if not socket.can_prepare(request):
            raise ApiError(
                426,
                "not_a_websocket",
                "this path answers WebSocket requests only",
                expected="Upgrade: websocket",
            )
        if not self._readers.try_enter(group):
            raise ApiError(
                503, "too_many_readers", "too many readers follow events", hint="Try again later."
            )
        try:
            await socket.prepare(request)
            transport = request.transport
            if transport is not None:
                reader = Reader(transport, topics, account)
                self._context.hub.enter(reader)
                try:
                    await self._listen(socket)
                finally:
                    self._context.hub.leave(reader)
        finally:
            self._readers.leave(group)
        return socket

    async def _listen(self, socket: web.WebSocketResponse) -> None:
        """Answer pings until the reader goes; it may say nothing else, and not much of that."""
        loop = asyncio.get_running_loop()
        window_s, heard = loop.time(), 0
        with suppress(ConnectionError):
            while True:
                message = await socket.receive()
                now_s = loop.time()
                if now_s - window_s > 10:
                    window_s, heard = now_s, 0
                heard += 1
                is_control = message.type in (WSMsgType.PING, WSMsgType.PONG)
                if not is_control or heard > self._limits.max_reader_messages_per_10_s:
                    if message.type in (WSMsgType.TEXT, WSMsgType.BINARY) or is_control:
                        await socket.close(code=1008, message=b"readers only read")
                    return
                if message.type is WSMsgType.PING:
                    await socket.pong(message.data)


def _knows(header: str, tag: str) -> bool:
    """Tell whether an If-None-Match names the tag."""
    known = [part.strip().removeprefix("W/") for part in header.split(",")]
    return tag in known or "*" in known
