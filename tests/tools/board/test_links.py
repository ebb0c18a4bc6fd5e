"""Neighbours hear what they subscribed to; nobody else gets past the handshake."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from hashlib import sha256

import pytest

from node.p2p.certificates import NodeCertificate, make_certificate
from tools.board.links import BoardLinks
from tools.node_folder import choose_ports
from vm.primitives.errors import DecodeError

GENESIS = b"g" * 32
HOST = "127.0.0.1"
DEADLINE_S = 20.0


def identity(name: str) -> NodeCertificate:
    return make_certificate(sha256(name.encode()).digest())


class End:
    """One board's end, with what it heard."""

    def __init__(self, name: str, port: int) -> None:
        self.name, self.port = name, port
        self.heard: list[tuple[str, str, bytes]] = []
        self.traffic = io.StringIO()
        self.links = BoardLinks(
            identity(name), GENESIS, self._hear, on_fatal=self._fail, traffic=self.traffic
        )

    async def start(self, *neighbours: End) -> None:
        known = {
            each.name: (identity(each.name).node_key, identity(each.name).proof, HOST, each.port)
            for each in neighbours
        }
        await self.links.start(HOST, self.port, known)

    def _hear(self, member: str, topic: str, data: bytes) -> None:
        if data == b"nonsense":
            raise DecodeError("nonsense")
        self.heard.append((member, topic, data))

    def _fail(self, error: BaseException) -> None:
        raise error


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110  # what is waited for sets no event
            await asyncio.sleep(0.01)


@pytest.mark.asyncio
async def test_neighbours_hear_each_other_and_strangers_nothing() -> None:
    left, right, stranger = (
        End(name, port)
        for name, port in zip(("left", "right", "odd"), choose_ports(3), strict=True)
    )
    await left.start(right)
    await right.start(left)
    await stranger.start(left)
    try:
        await until(lambda: left.links.publish("right", "data/consumer/left", b"one"))
        await until(lambda: right.links.publish("left", "data/generator/right", b"two"))
        await until(lambda: bool(left.heard and right.heard))
        assert right.heard == [("left", "data/consumer/left", b"one")]
        assert left.heard == [("right", "data/generator/right", b"two")]
        assert not left.links.publish("right", "other/topic", b"three"), "nobody subscribed"
        assert not left.links.publish("odd", "data/consumer/left", b"four")
        left.links.beat()
        assert left.links.silent() == []
        await until(lambda: bool(stranger.links._service.counters().get("dial_failed")))
        assert not stranger.links.publish("left", "data/consumer/odd", b"five")
        assert stranger.heard == []
        left.links.publish("right", "data/consumer/left", b"nonsense")
        await until(lambda: not right.links.publish("left", "data/generator/right", b"six"))
        noted = [json.loads(line) for line in left.traffic.getvalue().splitlines()]
        assert {(entry["member"], entry["direction"]) for entry in noted} == {
            ("right", "out"),
            ("right", "in"),
        }
    finally:
        for end in (left, right, stranger):
            await end.links.stop()
