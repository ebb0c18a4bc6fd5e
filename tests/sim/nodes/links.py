"""Simulated connections between nodes, below the message layer: the transport's facade.

A link loses, doubles, delays and reorders messages and can be cut one way or both; connections
break and come back as the real ones do. Who may connect, how messages are bounded and what a bad
one costs its sender are as in the real service.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

from node.p2p.framing import KindTable
from node.p2p.hello import Disconnect
from node.p2p.limits import TransportLimits
from node.p2p.peers import Direction, Peer, PeerStatistics
from tests.sim.nodes.loop import LIFE, Life, SimulatedLoop
from vm.primitives.errors import BitenergyError, InvariantViolation

REDIAL_S = (0.2, 1.5)
BAN_S = TransportLimits().misbehaviour_ban_s


class Network:
    """All links: their faults, and who is connected to whom."""

    def __init__(self, loop: SimulatedLoop, random: Random) -> None:
        self.loop = loop
        self.random = random
        self.loss_percent = 0
        self.duplicate_percent = 0
        self.delay_s = 0.01
        self.cut: set[tuple[bytes, bytes]] = set()
        self.up: dict[bytes, SimulatedPeers] = {}
        self.trace = hashlib.sha256()
        self.log: Callable[[str], None] | None = None
        self.on_bug: Callable[[BaseException], None] = lambda error: None
        self.on_delivered: Callable[[SimulatedPeers], None] = lambda peers: None
        self.messages = 0
        self.names: dict[bytes, str] = {}

    def note(self, *fields: object) -> None:
        """Write an event into the trace."""
        line = repr((round(self.loop.time(), 6), *fields))
        self.trace.update(line.encode())
        if self.log is not None:
            self.log(line)

    def listen(self, peers: "SimulatedPeers") -> None:
        self.up[peers.key] = peers
        for other in list(self.up.values()):
            if other is not peers:
                self._dial_later(peers, other)

    def _dial_later(self, one: "SimulatedPeers", other: "SimulatedPeers") -> None:
        low, high = REDIAL_S
        self.loop.call_later(low + (high - low) * self.random.random(), self._dial, one, other)

    def _dial(self, one: "SimulatedPeers", other: "SimulatedPeers") -> None:
        if not (one.is_listening and other.is_listening) or other.key in one.open:
            return
        is_cut = (one.key, other.key) in self.cut or (other.key, one.key) in self.cut
        if is_cut or not (one.admits(other.key) and other.admits(one.key)):
            self._dial_later(one, other)
            return
        connection = Connection(one, other)
        one.open[other.key] = other.open[one.key] = connection
        heights = {one.key: one.height(), other.key: other.height()}
        for side, far, direction in (
            (one, other, Direction.OUTGOING),
            (other, one, Direction.INCOMING),
        ):
            peer = Peer(far.key, self.names.get(far.key, ""), direction, heights[far.key])
            side.run(lambda side=side, peer=peer: side.handler.on_connected(peer))

    def disconnect(self, connection: "Connection", reason: Disconnect) -> None:
        """End a connection; both sides hear of it on their next turn."""
        if connection.is_over:
            return
        connection.is_over = True
        for side in connection.sides:
            far = connection.other(side)
            if side.open.get(far.key) is connection:
                del side.open[far.key]
                self.loop.call_soon(side.announce_end, far.key, reason)
        self._dial_later(*connection.sides)

    def transmit(
        self, source: "SimulatedPeers", connection: "Connection", kind: int, payload: bytes
    ) -> None:
        """Put a message on its way, with the link's faults."""
        target = connection.other(source)
        random = self.random.random
        if (source.key, target.key) in self.cut:
            return
        if self.loss_percent and random() * 100 < self.loss_percent:
            return
        copies = 1 + (self.duplicate_percent > 0 and random() * 100 < self.duplicate_percent)
        for _ in range(copies):
            delay_s = 0.001 + self.delay_s * random()
            self.loop.call_later(delay_s, self._deliver, connection, source, target, kind, payload)

    def _deliver(
        self,
        connection: "Connection",
        source: "SimulatedPeers",
        target: "SimulatedPeers",
        kind: int,
        payload: bytes,
    ) -> None:
        if connection.is_over or not target.is_listening:
            return
        self.messages += 1
        trace = self.trace
        trace.update(b"%d %d " % (int(self.loop.time() * 1e6), kind))
        trace.update(source.key[:4] + target.key[:4] + payload)
        if self.log is not None:
            far, near = self.names.get(source.key), self.names.get(target.key)
            self.log(f"{self.loop.time():.3f} {far} -> {near} kind {kind}, {len(payload)} bytes")
        target.deliver(connection, source.key, kind, payload)
        self.on_delivered(target)


class Connection:
    """Two sides that hear one another."""

    __slots__ = ("is_over", "sides")

    def __init__(self, one: "SimulatedPeers", other: "SimulatedPeers") -> None:
        self.sides = (one, other)
        self.is_over = False

    def other(self, side: "SimulatedPeers") -> "SimulatedPeers":
        return self.sides[1] if side is self.sides[0] else self.sides[0]


class SimulatedPeers:
    """One node's connections (the facade of `PeerService`)."""

    def __init__(
        self,
        network: Network,
        *,
        key: bytes,
        kinds: Iterable[Any],
        handler: Any,
        height: Callable[[], int],
    ) -> None:
        self.network = network
        self.key = key
        self.handler = handler
        self.height = height
        self.open: dict[bytes, Connection] = {}
        self.is_listening = False
        self._kinds = KindTable(kinds)
        self._members: dict[bytes, bytes] = {}
        self._configured: set[bytes] = set()
        self._joining = False
        self._banned_until_s: dict[bytes, float] = {}
        self._quiet: set[bytes] = set()
        self._statistics: dict[bytes, PeerStatistics] = {}
        self.life: Life | None = LIFE.get()

    # --- PeerService ---------------------------------------------------------------------------

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        self.is_listening = True
        self.network.listen(self)
        return host, 1

    def configure_peers(self, peers: Iterable[Any]) -> None:
        self._configured = {peer.node_key for peer in peers}

    def update_registry(self, members: Mapping[bytes, bytes], *, joining: bool = False) -> None:
        self._members = dict(members)
        self._joining = joining
        for key, connection in list(self.open.items()):
            if not self._trusts(key):
                self.network.disconnect(connection, Disconnect("removed", "no member"))

    async def stop(self) -> None:
        self.hang_up(Disconnect("stopping", "the node stops"))

    def send(self, key: bytes, kind: int, payload: bytes) -> bool:
        self._kinds.encode(kind, payload)
        connection = self.open.get(key)
        if connection is None:
            return False
        self.transmit(connection, key, kind, payload)
        return True

    def keep_quiet(self, key: bytes) -> None:
        self._quiet.add(key)

    def is_quiet(self, key: bytes) -> bool:
        return key in self._quiet

    def broadcast(
        self,
        kind: int,
        payload: bytes,
        *,
        exclude: Iterable[bytes] = (),
        also_quiet: bool = False,
    ) -> int:
        self._kinds.encode(kind, payload)
        passed_over = tuple(exclude)
        targets = [
            item
            for item in self.open.items()
            if item[0] not in passed_over and (also_quiet or item[0] not in self._quiet)
        ]
        for key, connection in targets:
            self.transmit(connection, key, kind, payload)
        return len(targets)

    def drop(self, key: bytes, reason: str) -> None:
        if key in self.open:
            self.network.disconnect(self.open[key], Disconnect("dropped", reason))

    def ban(self, key: bytes, reason: str, duration_s: float) -> None:
        self._banned_until_s[key] = self.network.loop.time() + duration_s
        self.drop(key, reason)

    def peers(self) -> list[PeerStatistics]:
        return [self._statistics_of(key) for key in sorted(self.open)]

    def _statistics_of(self, key: bytes) -> PeerStatistics:
        found = self._statistics.get(key)
        if found is None:
            found = PeerStatistics(key, "", Direction.OUTGOING, 0.0, 0, 0, 0, 0, 0, 0, None)
            self._statistics[key] = found
        return found

    def counters(self) -> dict[str, int]:
        return {}

    # --- the network's side --------------------------------------------------------------------

    def transmit(self, connection: Connection, key: bytes, kind: int, payload: bytes) -> None:
        """Hand a message to the link; those who lie do it here."""
        if self.is_listening:
            self.network.transmit(self, connection, kind, payload)

    def admits(self, key: bytes) -> bool:
        """Tell whether a node may connect now."""
        now_s = self.network.loop.time()
        return self._trusts(key) and self._banned_until_s.get(key, 0.0) <= now_s

    def _trusts(self, key: bytes) -> bool:
        return key in self._members or (self._joining and key in self._configured)

    def deliver(self, connection: Connection, source: bytes, kind: int, payload: bytes) -> None:
        """Give one message to the node; its complaint drops the peer."""
        try:
            self._kinds.encode(kind, payload)
            if self.life is None:
                self.handler.on_message(source, kind, payload)
            else:
                _in_life(self.life, self.handler.on_message, source, kind, payload)
        except BitenergyError as error:
            self._banned_until_s[source] = self.network.loop.time() + BAN_S
            self.network.note("dropped", source.hex()[:8], str(error))
            self.network.disconnect(connection, Disconnect("bad_message", str(error)))
        except InvariantViolation as error:
            self.handler.on_fatal(error)
        except Exception as error:
            self.network.on_bug(error)

    def run(self, callback: Callable[[], None]) -> None:
        """Call the handler as this process."""
        if not self.is_listening:
            return
        try:
            if self.life is None:
                callback()
            else:
                _in_life(self.life, callback)
        except InvariantViolation as error:
            self.handler.on_fatal(error)
        except Exception as error:
            self.network.on_bug(error)

    def announce_end(self, key: bytes, reason: Disconnect) -> None:
        self._quiet.discard(key)
        self.run(lambda: self.handler.on_disconnected(key, reason))

    def hang_up(self, reason: Disconnect) -> None:
        """End all connections; nothing is heard or said any more."""
        self.is_listening = False
        if self.network.up.get(self.key) is self:
            del self.network.up[self.key]
        for connection in list(self.open.values()):
            self.network.disconnect(connection, reason)
        self.open.clear()


def _in_life(life: Life, function: Callable[..., None], *arguments: Any) -> None:
    token = LIFE.set(life)
    try:
        function(*arguments)
    finally:
        LIFE.reset(token)


async def sleep(delay_s: float) -> None:
    """Let simulated time pass."""
    await asyncio.sleep(delay_s)
