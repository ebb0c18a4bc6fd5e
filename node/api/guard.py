"""The guard before the API: whose requests are heard, how many connections, and for how long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Final

from aiohttp import web

from node.api.answers import ApiError, error_body
from node.api.context import Counters
from node.api.limits import ApiLimits, Tally, address_group
from vm.primitives.errors import InvariantViolation

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
MAX_HEAD_LINE_BYTES: Final = 4_096
MAX_HEADERS: Final = 64
JANITOR_S: Final = 1.0

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_log = logging.getLogger("bitenergy.api")
_BUSY = error_body(ApiError(503, "too_many_connections", "too many connections are open"))
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nRetry-After: 5\r\nContent-Length: %d\r\n\r\n%b" % (len(_BUSY), _BUSY)
)


class RequestGuard:
    """Which hosts and origins a request may name."""

    __slots__ = ("_hint", "_hosts", "_origins")

    def __init__(
        self,
        *,
        host: str,
        hosts: Iterable[str],
        origins: Iterable[str],
        hint: str = "Use its address, or add the name to `hosts` under [api] in node.toml.",
    ) -> None:
        """Hear requests to `host`, the names in `hosts` and addresses of this machine.

        `hint` says to whom names another host how that becomes one of them.
        """
        own = [] if host in ("", "0.0.0.0", "::") else [host]
        names = [_bare(name) for name in (*LOOPBACK_NAMES, *own, *hosts)]
        self._hosts = frozenset(names)
        self._hint = hint
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)

    def validate(self, request: web.BaseRequest) -> str | None:
        """Return the other origin that may read the answer, if there is one; raises ApiError.

        A page of another site reaches this machine under a name of its own (DNS rebinding) or
        with its own origin; both are refused. An address is fine if it is the one that the
        connection came to.
        """
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1:
            raise ApiError(400, "invalid_host", "a request names one host", actual=len(hosts))
        host = hosts[0].lower()
        name = _bare(_without_port(host))
        if name not in self._hosts and name != _local_address(request):
            raise ApiError(
                403,
                "host_not_allowed",
                "this node is not known by this name",
                actual=hosts[0],
                hint=self._hint,
            )
        origins = request.headers.getall("Origin", [])
        if not origins:
            return None
        origin = origins[0].lower()
        if len(origins) == 1 and origin in (f"http://{host}", f"https://{host}"):
            return None
        if len(origins) == 1 and origin in self._origins:
            return origins[0]
        raise ApiError(
            403,
            "origin_not_allowed",
            "pages of this origin may not use this node",
            actual=origins[0],
            hint="Add the origin to `origins` under [api] in node.toml.",
        )


def validate_body_headers(request: web.BaseRequest, max_bytes: int) -> int:
    """Return the length of a JSON body as the request declares it; raises ApiError."""
    kind, _, rest = request.headers.get("Content-Type", "").partition(";")
    charset = rest.strip().lower()
    if kind.strip().lower() != "application/json" or charset not in (
        "",
        "charset=utf-8",
        'charset="utf-8"',
    ):
        raise ApiError(
            415,
            "not_json",
            "the body is to be declared as JSON",
            expected="Content-Type: application/json",
            actual=request.headers.get("Content-Type", "no Content-Type"),
        )
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ApiError(
            415,
            "compressed_body",
            "compressed bodies are not taken",
            actual=request.headers.get("Content-Encoding"),
        )
    size = request.content_length
    if size is None or "Transfer-Encoding" in request.headers:
        raise ApiError(411, "length_required", "the request is to state the body's length")
    if size > max_bytes:
        raise ApiError(
            413,
            "body_too_large",
            "the body is too long",
            expected=f"at most {max_bytes} bytes",
            actual=size,
            hint="Send the transactions in several requests.",
        )
    return size


async def read_body(request: web.BaseRequest, size: int, body_s: float) -> bytes:
    """Return a body of `size` bytes; raises ApiError where it takes longer than `body_s` seconds.

    Who waits to be asked for it is asked first.
    """
    if not size:
        return b""
    if request.headers.get("Expect", "").lower() == "100-continue":
        if request.transport is not None:
            request.transport.write(_CONTINUE)
    try:
        async with asyncio.timeout(body_s):
            return await request.content.readexactly(size)
    except TimeoutError as error:
        raise ApiError(
            408,
            "body_too_slow",
            "the body did not come in time",
            expected=f"{size} bytes within {body_s:g} s",
        ) from error
    except (asyncio.IncompleteReadError, web.RequestPayloadError, ConnectionError) as error:
        raise ApiError(400, "body_cut_short", "the body is shorter than stated") from error


class GuardedProtocol(web.RequestHandler):
    """One HTTP connection: counted, refused where there are too many, its errors as JSON."""

    __slots__ = ("_counted", "_group", "_guard_server")

    def __init__(self, server: GuardedServer, loop: asyncio.AbstractEventLoop) -> None:
        limits = server.limits
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=limits.idle_s,
            timeout_ceil_threshold=2 * limits.idle_s,
            access_log=None,  # type: ignore[arg-type]
            max_line_size=MAX_HEAD_LINE_BYTES,
            max_field_size=MAX_HEAD_LINE_BYTES,
            max_headers=MAX_HEADERS,
            lingering_time=1.0,
            auto_decompress=False,
        )
        self._guard_server = server
        self._group = ""
        self._counted: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, or send it away."""
        peer = transport.get_extra_info("peername")
        self._group = address_group(str(peer[0])) if isinstance(peer, tuple) else ""
        if not self._guard_server.try_enter(self._group, transport):
            if isinstance(transport, asyncio.WriteTransport):
                transport.write(_REFUSAL)
            transport.close()
            return
        self._counted = transport
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless the connection was sent away."""
        if self._counted is not None:
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count the connection's end."""
        if self._counted is not None:
            self._guard_server.leave(self._group, self._counted)
            self._counted = None
            super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the parser refused, and our own bugs; the connection then ends.

        Raises the error where the client is gone and there is nobody to answer.
        """
        if isinstance(exc, ConnectionError):
            if request.transport is None or request.transport.is_closing():
                raise exc
        if status == 400:
            error = ApiError(400, "malformed_request", "the request is not HTTP", actual=message)
            self._guard_server.counters.refused += 1
        else:
            self._guard_server.report_bug(request, exc)
            error = ApiError(
                500, "internal", "the node met a bug of its own", hint="Its log says more."
            )
            status = 500
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer was sent already")
        response = web.Response(
            status=status,
            body=error_body(error),
            content_type="application/json",
            headers=SECURITY_HEADERS | {"Cache-Control": "no-store"},
        )
        response.force_close()
        return response


class GuardedServer(web.Server):
    """Makes the protocols, counts their connections, and ends those that will not end."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], object],
        *,
        limits: ApiLimits,
        counters: Counters,
        on_fatal: Callable[[InvariantViolation], None],
    ) -> None:
        super().__init__(handler)  # type: ignore[arg-type]
        self.limits = limits
        self.counters = counters
        self._on_fatal = on_fatal
        self._tally = Tally(limits.max_connections, limits.max_connections_per_address)
        self._open: dict[asyncio.BaseTransport, float] = {}

    def __call__(self) -> GuardedProtocol:
        """Return the protocol of a new connection."""
        return GuardedProtocol(self, asyncio.get_running_loop())

    def try_enter(self, group: str, transport: asyncio.BaseTransport) -> bool:
        """Count a connection; tell whether there is room for it."""
        if not self._tally.try_enter(group):
            self.counters.connections_refused += 1
            return False
        self.counters.connections = self._tally.total
        self._open[transport] = 0.0
        return True

    def leave(self, group: str, transport: asyncio.BaseTransport) -> None:
        """Count the end of a connection."""
        del self._open[transport]
        self._tally.leave(group)
        self.counters.connections = self._tally.total

    def report_bug(self, request: web.BaseRequest, error: BaseException | None) -> None:
        """Log our own bug; one that breaks an invariant stops the node."""
        self.counters.errors += 1
        _log.error(
            "the API met a bug",
            exc_info=error,
            extra={"method": request.method, "path": request.path},
        )
        if isinstance(error, InvariantViolation):
            self._on_fatal(error)

    def abort_all(self) -> None:
        """Break all connections that are still open."""
        for transport in list(self._open):
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()

    async def sweep(self) -> None:
        """End connections whose closing takes too long because nobody reads; runs for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(JANITOR_S)
            now_s = loop.time()
            for transport, closing_since_s in list(self._open.items()):
                if not transport.is_closing():
                    continue
                if not closing_since_s:
                    self._open[transport] = now_s
                elif now_s - closing_since_s > self.limits.closing_s:
                    if isinstance(transport, asyncio.WriteTransport):
                        transport.abort()


def _bare(name: str) -> str:
    return name.strip("[]").lower().rstrip(".")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _local_address(request: web.BaseRequest) -> str:
    """Return the address of this machine that the connection came to."""
    transport = request.transport
    name = transport.get_extra_info("sockname") if transport is not None else None
    if not isinstance(name, tuple):
        return ""
    try:
        return str(ip_address(str(name[0]).partition("%")[0]))
    except ValueError:
        return ""
