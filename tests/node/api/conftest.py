"""Fixtures of the API's tests: a node with some history, its server, and clients that check it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from node.api.limits import ApiLimits
from node.api.openapi import statuses
from node.api.routes import Router
from node.api.server import ApiServer
from node.api.table import ROUTES
from tests.ledger.support import id_of
from tests.node.api.shapes import find_misfits
from tests.node.api.support import FakeNode
from vm.primitives.errors import InvariantViolation

ROUTER = Router(ROUTES)


@dataclass
class Reply:
    """An answer that was read."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]


@dataclass
class Api:
    """A running server and a client; each answer is held to the API's own description."""

    server: ApiServer
    node: FakeNode
    port: int
    session: aiohttp.ClientSession
    fatal: list[InvariantViolation]
    description: dict = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def ask(self, method: str, path: str, **options: Any) -> Reply:
        """Send a request, with a path below /api/v1 or absolute; check the answer's shape."""
        if not path.startswith(("/openapi", "/metrics", "/api")):
            path = f"/api/v1{path}"
        async with self.session.request(method, self.url + path, **options) as response:
            reply = Reply(response.status, response.headers.copy(), await response.read())
        self._check(method, path.partition("?")[0], reply)
        return reply

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.ask("GET", path, **options)

    async def submit(self, body: object, **options: Any) -> Reply:
        """Post a body as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **options.pop("headers", {})}
        return await self.ask("POST", "/transactions", data=data, headers=headers, **options)

    def _check(self, method: str, path: str, reply: Reply) -> None:
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        if method not in ("GET", "POST"):
            return
        if reply.status in (404, 405) and reply.code in ("unknown_path", "method_not_allowed"):
            return
        if reply.status == 400 and reply.code in ("invalid_encoding", "malformed_request"):
            return
        route, _ = ROUTER.find(method, path)
        assert reply.status in statuses(route), f"{method} {path} answers {reply.status}"
        responses = self.description["paths"][route.path][method.lower()]["responses"]
        content = responses[str(reply.status)].get("content", {})
        if "application/json" not in content:
            return
        assert reply.headers["Content-Type"].startswith("application/json")
        schema = content["application/json"]["schema"]
        misfits = list(find_misfits(reply.json, schema, self.description))
        assert not misfits, misfits


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeNode]:
    """A node with a handful of blocks; tests may add more, never take away."""
    node = FakeNode(tmp_path_factory.mktemp("node"))
    node.grow(
        node.transaction("P1", ("accounts", "transfer", (id_of("P2"), 5_000_000, "for <b>tea</b>")))
    )
    node.trade()
    node.grow(node.transaction("P2", ("accounts", "transfer", (id_of("Op"), 10**15, ""))))
    node.grow()
    yield node
    node.store.close()


@pytest.fixture
def fresh_node(tmp_path: Path) -> Iterator[FakeNode]:
    """A node at its genesis block."""
    node = FakeNode(tmp_path)
    yield node
    node.store.close()


async def serve(node: FakeNode, **options: Any) -> AsyncIterator[Api]:
    """Run a server for `node`; the options are the server's."""
    fatal: list[InvariantViolation] = []
    server = ApiServer(node, port=0, on_fatal=fatal.append, **options)
    port = await server.start()
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        api = Api(server, node, port, session, fatal)
        async with session.get(f"{api.url}/openapi.json") as response:
            api.description = await response.json()
        try:
            yield api
        finally:
            await session.close()
            await server.stop()


@pytest_asyncio.fixture
async def api(node: FakeNode) -> AsyncIterator[Api]:
    """A server with the usual limits."""
    async for found in serve(node):
        yield found


@pytest_asyncio.fixture
async def small_api(node: FakeNode) -> AsyncIterator[Api]:
    """A server with tight limits."""
    limits = ApiLimits(
        max_connections=8,
        max_readers=2,
        max_body_bytes=20_000,
        max_bodies_bytes=25_000,
        max_batch=10,
        max_waiters=1,
        idle_s=0.4,
        body_s=0.3,
        write_s=0.3,
        write_bytes_per_s=10_000_000,
        closing_s=0.5,
        max_reader_buffer_bytes=50_000,
    )
    async for found in serve(node, limits=limits):
        yield found


@pytest_asyncio.fixture
async def fresh_api(fresh_node: FakeNode) -> AsyncIterator[Api]:
    """A server of a node at its genesis block."""
    async for found in serve(fresh_node):
        yield found
