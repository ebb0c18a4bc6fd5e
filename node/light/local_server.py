"""A small HTTP server for programs on the same machine: one request a connection, JSON both ways.

The full node's server costs a light node a third of the memory that it may have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from node.api.answers import ApiError, encode_json, error_body, status_of
from vm.primitives.errors import BitenergyError

MAX_HEAD_BYTES: Final = 8_192
MAX_BODY_BYTES: Final = 1_048_576
MAX_CONNECTIONS: Final = 32
REQUEST_S: Final = 10.0
WRITE_S: Final = 10.0
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, within all bounds."""

    method: str
    """GET or POST."""
    path: str
    """Path without the query."""
    query: str
    """Query without the question mark."""
    body: bytes
    """JSON of a POST."""


Handler = Callable[[Request], Awaitable[object]]
"""Returns what becomes the JSON of the answer; raises BitenergyError."""


class LocalServer:
    """Answers the requests of this machine."""

    def __init__(
        self, handler: Handler, *, hosts: Iterable[str] = (), origins: Iterable[str] = ()
    ) -> None:
        """`hosts` are further names of this node, `origins` web origins that may use it."""
        self._handler = handler
        self._hosts = frozenset((*LOOPBACK_NAMES, *(host.lower() for host in hosts)))
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Begin to answer; return the port. Raises OSError if the address cannot be had."""
        self._server = await asyncio.start_server(self._enter, host, port, limit=MAX_HEAD_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._open) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._open.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass  # who hangs up, or is too slow, gets no answer
        finally:
            self._open.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                request = await self._read(reader)
            answer = await self._handler(request)
            await _send(writer, 200, encode_json(answer))  # type: ignore[arg-type]
        except BitenergyError as error:
            await _send(writer, status_of(error), error_body(error))
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            raise
        except Exception:
            bug = ApiError(500, "internal", "the node met a bug of its own", hint="See its log.")
            await _send(writer, 500, error_body(bug))
            raise

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        """Return a request; raises ApiError on what is none, or not from here."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError as error:
            raise ApiError(400, "head_too_long", "the request's head is too long") from error
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        words = first.split(" ")
        if len(words) != 3 or not words[1].startswith("/") or not first.isascii():
            raise ApiError(400, "malformed_request", "the request is not HTTP")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            if name.lower() in headers:
                raise ApiError(400, "malformed_request", f"{name} is given twice")
            headers[name.lower()] = value.strip()
        self._validate_source(headers)
        path, _, query = words[1].partition("?")
        size = _body_size(words[0], headers)
        body = await reader.readexactly(size) if size else b""
        return Request(words[0], path, query, body)

    def _validate_source(self, headers: dict[str, str]) -> None:
        """Refuse what a page of another site sends by a name of its own, or with its own origin."""
        host = headers.get("host", "").lower()
        if (
            host.partition("]")[0] + "]" not in self._hosts
            and host.split(":")[0] not in self._hosts
        ):
            raise ApiError(
                403,
                "host_not_allowed",
                "this node is not known by this name",
                actual=host,
                hint="Use 127.0.0.1, or add the name to `hosts` under [api] in node.toml.",
            )
        origin = headers.get("origin", "").lower()
        if origin and origin not in self._origins and origin != f"http://{host}":
            raise ApiError(
                403,
                "origin_not_allowed",
                "pages of this origin may not use this node",
                actual=origin,
                hint="Add the origin to `origins` under [api] in node.toml.",
            )


async def _send(writer: asyncio.StreamWriter, status: int, content: bytes) -> None:
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode("ascii") + content)
    async with asyncio.timeout(WRITE_S):
        await writer.drain()


def _body_size(method: str, headers: dict[str, str]) -> int:
    """Return how long the body is; raises ApiError."""
    text = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not (text.isascii() and text.isdigit()):
        raise ApiError(411, "length_required", "the request is to state the body's length")
    size = int(text)
    if size > MAX_BODY_BYTES:
        raise ApiError(
            413, "body_too_large", "the body is too long", expected=MAX_BODY_BYTES, actual=size
        )
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method == "POST" and kind != "application/json":
        raise ApiError(415, "not_json", "the body is to be declared as JSON", actual=kind)
    if method != "POST" and size:
        raise ApiError(400, "unexpected_body", "this request takes no body")
    return size
