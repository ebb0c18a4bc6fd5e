"""A server for the pages alone: it hands the browser's questions on to a node elsewhere."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

import aiohttp
from aiohttp import web

from node.api.answers import ApiError, error_body
from node.api.context import Counters
from node.api.guard import SECURITY_HEADERS, GuardedServer, RequestGuard
from node.api.limits import ApiLimits
from node.api.web_pages import CONTENT_POLICY, Site
from vm.primitives.errors import BitenergyError, InvariantViolation

API_PATHS: Final = ("/api/v1/", "/openapi.json", "/metrics")
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
ANSWER_S: Final = 45.0
_PASSED_DOWN: Final = ("Content-Type", "Cache-Control", "ETag", "Retry-After", "Allow")
_PASSED_UP: Final = ("Content-Type", "If-None-Match")

_log = logging.getLogger("bitenergy.explorer")


class ExplorerServer:
    """Pages of this machine over the API of a node."""

    def __init__(self, site: Site, node: str, *, host: str, port: int) -> None:
        """Prepare to serve `site` at `host` and `port`; `node` is the URL of a node's API."""
        self._site = site
        self._node = node.rstrip("/")
        self._host, self._port = host, port
        self._limits = ApiLimits()
        self._guard = RequestGuard(host=host, hosts=(), origins=())
        self._session: aiohttp.ClientSession | None = None
        self._web: GuardedServer | None = None
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Begin to answer; return the port. Raises OSError if the address cannot be had."""
        loop = asyncio.get_running_loop()
        # The node's errors are handed on, so no redirect is followed and no status raises.
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S))
        self._web = GuardedServer(
            self._handle, limits=self._limits, counters=Counters(), on_fatal=_log_violation
        )
        self._listener = await loop.create_server(self._web, self._host, self._port)
        self._sweeper = loop.create_task(self._web.sweep(), name="explorer-sweep")
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop answering."""
        if self._listener is not None:
            self._listener.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._web is not None:
            self._web.pre_shutdown()
            await self._web.shutdown(1.0)
        if self._session is not None:
            await self._session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            self._guard.validate(request)
            path = request.raw_path.partition("?")[0]
            if request.method in ("GET", "HEAD"):
                page = self._site.find(path)
                if page is not None:
                    headers = SECURITY_HEADERS | {
                        "Content-Security-Policy": CONTENT_POLICY,
                        "Content-Type": page.content_type,
                        "Cache-Control": "no-cache",
                    }
                    return web.Response(body=page.body, headers=headers)
            if not path.startswith(API_PATHS):
                raise ApiError(404, "unknown_path", "there is nothing at this path", actual=path)
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._follow(request)
            return await self._ask(request)
        except BitenergyError as error:
            status = error.status if isinstance(error, ApiError) else 400
            return web.Response(
                status=status,
                body=error_body(error),
                content_type="application/json",
                headers=SECURITY_HEADERS,
            )

    async def _ask(self, request: web.BaseRequest) -> web.StreamResponse:
        """Hand one request on and its answer back; raises ApiError 502 where the node is silent."""
        size = request.content_length or 0
        if size > self._limits.max_body_bytes or "Transfer-Encoding" in request.headers:
            raise ApiError(413, "body_too_large", "the body is too long")
        async with asyncio.timeout(self._limits.body_s):
            body = await request.content.readexactly(size) if size else None
        headers = {name: request.headers[name] for name in _PASSED_UP if name in request.headers}
        try:
            async with self._opened().request(
                request.method,
                self._node + request.raw_path,
                data=body,
                headers=headers,
                allow_redirects=False,
            ) as answer:
                content = await answer.content.read(MAX_ANSWER_BYTES)
                passed = {
                    name: answer.headers[name] for name in _PASSED_DOWN if name in answer.headers
                }
                return web.Response(
                    status=answer.status, body=content, headers=SECURITY_HEADERS | passed
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

    async def _follow(self, request: web.BaseRequest) -> web.StreamResponse:
        """Pass the node's events on until either side ends."""
        try:
            source = await self._opened().ws_connect(self._node + request.raw_path)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(502, "no_answer", "the node does not answer", actual=error) from error
        socket = web.WebSocketResponse(heartbeat=20.0, max_msg_size=1_024, timeout=1.0)
        try:
            await socket.prepare(request)
            reading = asyncio.create_task(socket.receive(), name="explorer-reader")
            try:
                await self._pass_on(source, socket, reading)
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
        """Send on what comes; whatever the browser says, its leaving included, ends it."""
        while not reading.done():
            coming = asyncio.ensure_future(source.receive())
            await asyncio.wait({coming, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                return
            message = coming.result()
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            with suppress(ConnectionError):
                await asyncio.wait_for(socket.send_str(message.data), self._limits.write_s)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise InvariantViolation("the server answers before it was started")
        return self._session


def _log_violation(violation: InvariantViolation) -> None:
    _log.critical("a bug of the explorer", exc_info=violation)
