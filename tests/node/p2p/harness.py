"""Nodes on loopback for the tests: services with recorders, and hand-driven clients."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from random import Random
from typing import TypeVar

from node.p2p.certificates import NodeCertificate, make_certificate
from node.p2p.framing import FrameDecoder, KindTable, MessageKind, Priority
from node.p2p.hello import PROTOCOL_VERSION, Disconnect, Hello, encode_hello
from node.p2p.limits import TransportLimits
from node.p2p.peers import Peer, PeerAddress
from node.p2p.service import PeerService
from node.p2p.tls import client_context

GENESIS = bytes(range(32))
VOTE, NOTE, BLOCK = 16, 17, 18
KINDS = (
    MessageKind(VOTE, "vote", 1_000, Priority.URGENT),
    MessageKind(NOTE, "note", 100_000, Priority.NORMAL),
    MessageKind(BLOCK, "block", 400_000, Priority.BULK),
)
TABLE = KindTable(KINDS)
QUICK = TransportLimits(
    handshake_timeout_s=3.0,
    ping_interval_s=0.2,
    tick_s=0.02,
    linger_s=0.3,
    dial_first_delay_s=0.02,
    dial_max_delay_s=0.1,
    misbehaviour_ban_s=0.1,
    address_burst_connections=10_000,
)
DEADLINE_S = 8.0

T = TypeVar("T")


def identity(number: int) -> NodeCertificate:
    """Return the identity of the test node `number`."""
    return make_certificate(number.to_bytes(32, "big"))


def ordered_identities(count: int) -> list[NodeCertificate]:
    """Return identities by ascending node key."""
    return sorted((identity(number) for number in range(1, count + 1)), key=lambda i: i.node_key)


def registry(*members: NodeCertificate) -> dict[bytes, bytes]:
    """Return the registry that holds `members`."""
    return {member.node_key: member.proof for member in members}


class Recorder:
    """A handler that keeps what it is told; `react` may answer or raise."""

    def __init__(self) -> None:
        self.connected: list[Peer] = []
        self.messages: list[tuple[bytes, int, bytes]] = []
        self.disconnected: list[tuple[bytes, Disconnect]] = []
        self.fatal: list[BaseException] = []
        self.order: list[str] = []
        self.react: Callable[[bytes, int, bytes], None] | None = None

    def on_connected(self, peer: Peer) -> None:
        self.connected.append(peer)
        self.order.append("connected")

    def on_message(self, key: bytes, kind: int, payload: bytes) -> None:
        self.messages.append((key, kind, payload))
        if self.react is not None:
            self.react(key, kind, payload)

    def on_disconnected(self, key: bytes, reason: Disconnect) -> None:
        self.disconnected.append((key, reason))
        self.order.append("disconnected")

    def on_fatal(self, error: BaseException) -> None:
        self.fatal.append(error)

    @property
    def codes(self) -> list[str]:
        return [reason.code for _, reason in self.disconnected]


@dataclasses.dataclass
class Node:
    """A listening service with its recorder."""

    identity: NodeCertificate
    service: PeerService
    recorder: Recorder
    host: str
    port: int

    @property
    def key(self) -> bytes:
        return self.identity.node_key

    @property
    def address(self) -> PeerAddress:
        return PeerAddress(self.key, self.host, self.port)

    def dial(self, *others: Node) -> None:
        self.service.configure_peers(other.address for other in others)

    def is_connected_to(self, other: Node) -> bool:
        return any(peer.key == other.key for peer in self.service.peers())

    def counter(self, name: str) -> int:
        return self.service.counters().get(name, 0)


class Nodes:
    """Makes nodes and stops them all."""

    def __init__(self) -> None:
        self._made: list[Node] = []

    async def make(
        self,
        who: NodeCertificate,
        members: Iterable[NodeCertificate] = (),
        *,
        port: int = 0,
        joining: bool = False,
        genesis: bytes = GENESIS,
        kinds: Iterable[MessageKind] = KINDS,
        **limits: float,
    ) -> Node:
        recorder = Recorder()
        service = PeerService(
            identity=who,
            genesis=genesis,
            kinds=kinds,
            handler=recorder,
            height=lambda: 7,
            random=Random(1),
            limits=dataclasses.replace(QUICK, **limits),  # type: ignore[arg-type]
        )
        service.update_registry(registry(*members), joining=joining)
        host, taken = await service.listen("127.0.0.1", port)
        node = Node(who, service, recorder, host, taken)
        self._made.append(node)
        return node

    async def stop(self) -> None:
        await asyncio.gather(*(node.service.stop() for node in self._made))
        for node in self._made:
            assert node.service.sockets == 0


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Nodes]:
    """Give a maker of nodes; afterwards nothing is left running."""
    before = asyncio.all_tasks()
    nodes = Nodes()
    try:
        yield nodes
    finally:
        await nodes.stop()
    await asyncio.sleep(0)
    left = {task for task in asyncio.all_tasks() - before if not task.done()}
    assert not left, left


def run(scenario: Coroutine[object, object, T]) -> T:
    """Run a scenario to its end, or fail at a deadline."""

    async def bounded() -> T:
        async with asyncio.timeout(20):
            return await scenario

    return asyncio.run(bounded())


async def until(condition: Callable[[], bool], what: str = "the condition") -> None:
    """Wait until `condition` holds; fail at the deadline."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + DEADLINE_S
    while not condition():
        if loop.time() > end_s:
            raise AssertionError(f"{what} did not come about within {DEADLINE_S} s")
        await asyncio.sleep(0.002)


class Client:
    """A member that is driven by hand: TLS and frames are right, the rest is the test's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._decoder = FrameDecoder(TABLE)

    @classmethod
    async def open(cls, who: NodeCertificate, node: Node) -> Client:
        context = client_context(who, node.identity.der)
        return cls(*await asyncio.open_connection(node.host, node.port, ssl=context))

    async def greet(self, *, genesis: bytes = GENESIS, version: int = PROTOCOL_VERSION) -> None:
        assert (await self.frame()) is not None
        self.send(0, encode_hello(Hello(version, genesis, 3)))

    def send(self, kind: int, payload: bytes) -> None:
        self.writer.write(len(payload).to_bytes(4, "big") + bytes((kind,)) + payload)

    async def frame(self) -> tuple[int, bytes] | None:
        """Return the next frame, or None at the end of the stream."""
        async with asyncio.timeout(DEADLINE_S):
            while (frame := self._decoder.next_frame()) is None:
                try:
                    data = await self.reader.read(65_536)
                except OSError:
                    return None
                if not data:
                    return None
                self._decoder.receive(data)
            return frame

    async def frame_of(self, kind: int) -> bytes | None:
        """Return the payload of the next frame of `kind`, or None at the end of the stream."""
        while (frame := await self.frame()) is not None:
            if frame[0] == kind:
                return frame[1]
        return None

    async def close(self) -> None:
        self.writer.transport.abort()
        await asyncio.sleep(0)


async def raw_exchange(node: Node, data: bytes) -> bytes:
    """Send bytes to the port without TLS, return all that comes back until it closes."""
    reader, writer = await asyncio.open_connection(node.host, node.port)
    try:
        writer.write(data)
        async with asyncio.timeout(DEADLINE_S):
            try:
                return await reader.read()
            except OSError:
                return b""
    finally:
        writer.transport.abort()
