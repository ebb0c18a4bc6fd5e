"""The members' network as the node sees it: listens, dials, keeps one connection per member.

All callbacks and methods run on the event loop. Nothing here knows what a message means: the kinds
come in as a table, and messages go to one handler.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from random import Random

from node.p2p.admission import AddressGate
from node.p2p.certificates import NODE_KEY_BYTES, NodeCertificate
from node.p2p.connection import Connection
from node.p2p.dialer import Dialer
from node.p2p.framing import KindTable, MessageKind
from node.p2p.hello import PROTOCOL_VERSION, Disconnect, Hello
from node.p2p.limits import TokenBucket, TransportLimits
from node.p2p.members import TrustedMembers
from node.p2p.peers import Direction, Peer, PeerAddress, PeerHandler, PeerStatistics
from node.p2p.tls import client_context
from vm.primitives.errors import BitenergyError, InvalidInput, InvariantViolation

_log = logging.getLogger("bitenergy.p2p")

_BACKLOG = 256
_REFUSALS_LOGGED_PER_S = 1.0
_REFUSALS_LOGGED_AT_ONCE = 20.0


class PeerService:
    """Connections to other members' nodes."""

    def __init__(
        self,
        *,
        identity: NodeCertificate,
        genesis: bytes,
        kinds: Iterable[MessageKind],
        handler: PeerHandler,
        height: Callable[[], int],
        random: Random,
        limits: TransportLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a service that does nothing yet; call it inside a running event loop.

        `height` returns the last final height, for hellos; `random` spreads waits; `clock` is
        monotonic, in seconds. InvalidInput when the kinds and the limits contradict each other.
        """
        self._identity = identity
        self._genesis = genesis
        self._kinds = KindTable(kinds)
        self._handler = handler
        self._height = height
        self._random = random
        self._limits = limits or TransportLimits()
        self._clock = clock
        if self._kinds.largest_bytes > self._limits.peer_queue_bytes:
            raise InvalidInput(
                "a peer's queue is smaller than one message",
                expected=f"at least {self._kinds.largest_bytes} bytes",
                actual=self._limits.peer_queue_bytes,
                hint="Raise peer_queue_bytes.",
            )
        self._members = TrustedMembers(identity)
        self._gate = AddressGate(self._limits)
        self._loop = asyncio.get_running_loop()
        self._servers: list[asyncio.Server] = []
        self._dialers: dict[bytes, Dialer] = {}
        self._sockets: dict[int, Connection] = {}
        self._open: dict[bytes, Connection] = {}
        self._unannounced_ends: dict[bytes, Connection] = {}
        self._banned_until_s: dict[bytes, float] = {}
        self._quiet: set[bytes] = set()
        self._unreachable: dict[bytes, str] = {}
        self._counters: Counter[str] = Counter()
        self._refusal_log = TokenBucket(
            _REFUSALS_LOGGED_PER_S, _REFUSALS_LOGGED_AT_ONCE, self._clock()
        )
        self._ticker = self._loop.call_later(self._limits.tick_s, self._tick)
        self._drained = asyncio.Event()
        self._drained.set()
        self._stopping = False
        self._fatal = False

    # Setting up.

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Accept connections on `host:port` (port 0: any free one); return the address taken.

        Raises OSError when the address cannot be had.
        """
        server = await self._loop.create_server(self._incoming, host, port, backlog=_BACKLOG)
        self._servers.append(server)
        taken = server.sockets[0].getsockname()
        _log.info("listening", extra={"address": f"{taken[0]}:{taken[1]}"})
        return str(taken[0]), int(taken[1])

    def configure_peers(self, peers: Iterable[PeerAddress]) -> None:
        """Keep connections to `peers`, beside those already configured; our own key is passed over.

        Raises InvalidInput on a malformed entry, before any is taken.
        """
        wanted = list(peers)
        for peer in wanted:
            _validate_address(peer)
        for peer in wanted:
            if peer.node_key != self._identity.node_key and peer.node_key not in self._dialers:
                self._dialers[peer.node_key] = Dialer(
                    self, peer, self._members, self._limits, self._random, self._clock
                )

    def update_registry(self, members: Mapping[bytes, bytes], *, joining: bool = False) -> None:
        """Trust `members` (node key -> node proof) and nobody else, from now on.

        Connections of others are closed. `joining` says that this node's registry is known to be
        old: configured peers are then trusted by their key alone, unless they were members once.
        """
        for key in self._members.update(members, joining=joining):
            _log.warning("a member's node proof is wrong: left out", extra={"peer": key.hex()})
        own = self._identity.node_key
        if not joining and members and own not in members:
            _log.warning("this node's key is in no member's entry: others will refuse it")
        for connection in list(self._sockets.values()):
            if connection.key and self._members.certificate(connection.key) is None:
                text = "the registry does not hold this node's key"
                connection.close(Disconnect("removed", text), tell=True)
        self._wake_dialers()

    async def stop(self) -> None:
        """Say goodbye to everybody, close everything, return when no socket or task is left."""
        self._stopping = True
        for server in self._servers:
            server.close()
        await asyncio.gather(*(dialer.stop() for dialer in self._dialers.values()))
        for connection in list(self._sockets.values()):
            connection.close(Disconnect("stopping", "the node stops"), tell=True)
        try:
            async with asyncio.timeout(self._limits.linger_s):
                await self._drained.wait()
        except TimeoutError:
            for connection in list(self._sockets.values()):
                connection.abort(Disconnect("stopping", "the node stops"))
            await self._drained.wait()
        self._ticker.cancel()
        for key in list(self._unannounced_ends):
            self._announce_end(key)
        for server in self._servers:
            await server.wait_closed()

    # Using it.

    def send(self, key: bytes, kind: int, payload: bytes) -> bool:
        """Send a message to the peer `key`; tell whether it was queued.

        False: no such peer, or its queue is full and the message may be dropped. InvalidInput: the
        kind is unknown or the payload too long for it.
        """
        frame = self._kinds.encode(kind, payload)
        connection = self._open.get(key)
        if connection is None:
            return False
        return connection.send(frame, self._kinds.kind(kind).priority)

    def broadcast(
        self,
        kind: int,
        payload: bytes,
        *,
        exclude: Iterable[bytes] = (),
        also_quiet: bool = False,
    ) -> int:
        """Send a message to all peers but those in `exclude`; return how many it was queued for.

        Quiet peers get it only with `also_quiet`.
        """
        frame = self._kinds.encode(kind, payload)
        priority = self._kinds.kind(kind).priority
        passed_over = frozenset(exclude) if also_quiet else self._quiet.union(exclude)
        return sum(
            connection.send(frame, priority)
            for key, connection in list(self._open.items())
            if key not in passed_over
        )

    def keep_quiet(self, key: bytes) -> None:
        """Leave the connected peer `key` out of broadcasts until its connection ends."""
        if key in self._open:
            self._quiet.add(key)

    def is_quiet(self, key: bytes) -> bool:
        """Tell whether the peer `key` is left out of broadcasts."""
        return key in self._quiet

    def drop(self, key: bytes, reason: str) -> None:
        """Close the connection to `key`, if there is one; it may come back."""
        connection = self._open.get(key)
        if connection is not None:
            connection.close(Disconnect("dropped", reason), tell=True)

    def ban(self, key: bytes, reason: str, duration_s: float) -> None:
        """Close the connection to `key` and refuse it for `duration_s` seconds."""
        self._banned_until_s[key] = self._clock() + duration_s
        for connection in list(self._sockets.values()):
            if connection.key == key:
                connection.close(Disconnect("banned", reason), tell=True)

    def peers(self) -> list[PeerStatistics]:
        """Return the connected peers' figures, by key."""
        now_s = self._clock()
        return [self._open[key].statistics(now_s) for key in sorted(self._open)]

    def counters(self) -> dict[str, int]:
        """Return counts since the start: `connected`, `refused`, `ended.<code>`, `dial_failed`."""
        return dict(self._counters)

    @property
    def sockets(self) -> int:
        """How many sockets are in use, whatever their state."""
        return len(self._sockets)

    # Connections' side (ConnectionOwner).

    def connection_opened(self, connection: Connection) -> bool:
        """Count a new socket; refuse it when the node stops or the address opened too many."""
        self._sockets[id(connection)] = connection
        self._drained.clear()
        if self._stopping or self._fatal:
            return False
        if connection.direction is Direction.OUTGOING:
            return True
        admission = self._gate.enter(id(connection), connection.host, self._clock())
        if admission.evicted is not None:
            evicted = self._sockets[admission.evicted]
            evicted.abort(Disconnect("evicted", "too many unfinished handshakes"))
        return admission.admitted

    def authenticate(self, connection: Connection, der: bytes | None) -> bytes:
        """Return the member's key whose certificate `der` is; InvalidInput if it may not enter."""
        key = self._members.key_of(der) if der is not None else None
        if key is None or connection.expected_key not in (None, key):
            raise InvalidInput(
                "the certificate is no member's",
                code="unknown_key",
                hint="Register the node's key, or wait until this node has caught up.",
            )
        if self._banned_until_s.get(key, 0.0) > self._clock():
            raise InvalidInput("this node is refused for a while", code="banned")
        return key

    def own_hello(self) -> Hello:
        """Return this node's hello at this moment."""
        return Hello(PROTOCOL_VERSION, self._genesis, self._height())

    def connection_greeted(self, connection: Connection, hello: Hello) -> None:
        """Make `connection` the one to its peer, or close it in favour of the one there is."""
        key = connection.key
        self._gate.leave(id(connection))
        old = self._open.get(key)
        if old is not None:
            if self._keeps(old, connection):
                text = "another connection between these nodes stands"
                connection.close(Disconnect("duplicate", text), tell=True)
                return
            text = "the same node opened a newer connection"
            old.close(Disconnect("replaced", text), tell=True)
        elif len(self._open) >= self._limits.max_peers and key not in self._dialers:
            text = f"this node has its {self._limits.max_peers} peers"
            connection.close(Disconnect("full", text), tell=True)
            return
        self._announce_end(key)
        self._open[key] = connection
        self._unreachable.pop(key, None)
        self._counters["connected"] += 1
        _log.info("peer connected", extra=_fields(connection))
        peer = Peer(key, connection.address, connection.direction, hello.height)
        self._call(connection, lambda: self._handler.on_connected(peer))

    def deliver(self, connection: Connection, kind: int, payload: bytes) -> None:
        """Give one message to the handler; its complaint drops the peer."""
        if self._fatal:
            return
        try:
            self._handler.on_message(connection.key, kind, payload)
        except BitenergyError as error:
            text = f"message of kind {self._kinds.kind(kind).name}: {error}"
            connection.close(Disconnect("bad_message", text), tell=True)
        except InvariantViolation as error:
            self._stop_everything(error)
        except Exception:
            connection.close(Disconnect("handler_failed", "internal error"), tell=True)
            raise

    def connection_closing(self, connection: Connection, reason: Disconnect) -> None:
        """Take a connection that ended out of use; its end is announced on the next turn."""
        self._counters["ended.goodbye" if reason.remote else f"ended.{reason.code}"] += 1
        key = connection.key
        if not reason.remote and reason.code in ("bad_message", "bad_frame"):
            until_s = self._clock() + self._limits.misbehaviour_ban_s
            self._banned_until_s[key] = max(until_s, self._banned_until_s.get(key, 0.0))
        if self._open.get(key) is connection:
            del self._open[key]
            self._quiet.discard(key)
            self._unannounced_ends[key] = connection
            self._loop.call_soon(self._announce_end, key)
        elif reason.code not in ("duplicate", "stopping"):
            self._counters["refused"] += 1
            self._log_refusal(connection)

    def connection_closed(self, connection: Connection) -> None:
        """Forget a socket that is gone."""
        self._gate.leave(id(connection))
        self._sockets.pop(id(connection), None)
        if not self._sockets:
            self._drained.set()

    # Dialers' side (DialerOwner).

    def should_dial(self, key: bytes) -> bool:
        """Tell whether the configured peer `key` is not connected, trusted and not banned."""
        return (
            not self._stopping
            and not self._fatal
            and key not in self._open
            and self._banned_until_s.get(key, 0.0) <= self._clock()
            and (self._members.is_member(key) or self._members.may_pin(key))
        )

    def outgoing_connection(self, peer: PeerAddress, certificate: bytes) -> Connection:
        """Return a connection, not yet opened, that accepts nobody but `peer`."""
        context = client_context(self._identity, certificate)
        return Connection(
            self,
            context,
            Direction.OUTGOING,
            self._kinds,
            self._limits,
            self._clock,
            peer.node_key,
        )

    def dial_failed(self, peer: PeerAddress, reason: Disconnect) -> None:
        """Count an attempt that came to nothing, and log it once until the reason is another."""
        self._counters["dial_failed"] += 1
        if reason.code in ("duplicate", "stopping"):
            return
        known = self._unreachable.get(peer.node_key)
        self._unreachable[peer.node_key] = reason.code
        if reason.code != known and self._may_log():
            fields = {"peer": peer.node_key.hex(), "address": f"{peer.host}:{peer.port}"}
            _log.warning("cannot reach a configured peer: %s", reason, extra=fields)

    # Inside.

    def _incoming(self) -> Connection:
        return Connection(
            self,
            self._members.server_context(),
            Direction.INCOMING,
            self._kinds,
            self._limits,
            self._clock,
        )

    def _keeps(self, old: Connection, new: Connection) -> bool:
        """Tell which of two connections to one peer stays: both nodes decide alike.

        When both dialed at once, the one that the node with the smaller key dialed stays. A peer
        that dials anew although a connection has stood for long has lost it: the new one stays.
        """
        age_s = self._clock() - old.greeted_s
        if old.direction is new.direction or age_s >= 2 * self._limits.handshake_timeout_s:
            return False
        smaller = self._identity.node_key < old.key
        preferred = Direction.OUTGOING if smaller else Direction.INCOMING
        return old.direction is preferred

    def _announce_end(self, key: bytes) -> None:
        connection = self._unannounced_ends.pop(key, None)
        if connection is None or connection.reason is None:
            return
        reason = connection.reason
        _log.info("peer disconnected: %s", reason, extra=_fields(connection))
        dialer = self._dialers.get(key)
        if dialer is not None:
            dialer.wake()
        self._call(connection, lambda: self._handler.on_disconnected(key, reason))

    def _call(self, connection: Connection, callback: Callable[[], None]) -> None:
        if self._fatal:
            return
        try:
            callback()
        except InvariantViolation as error:
            self._stop_everything(error)
        except Exception:
            connection.close(Disconnect("handler_failed", "internal error"), tell=True)
            raise

    def _stop_everything(self, error: InvariantViolation) -> None:
        """Deliver nothing more, close all, and tell the node that it must stop."""
        if self._fatal:
            return
        self._fatal = True
        _log.critical("an invariant is broken: %s", error)
        for connection in list(self._sockets.values()):
            connection.close(Disconnect("stopping", "the node stops"), tell=True)
        self._handler.on_fatal(error)

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(self._limits.tick_s, self._tick)
        now_s = self._clock()
        for connection in list(self._sockets.values()):
            connection.check_deadlines(now_s)
        over = [key for key, until_s in self._banned_until_s.items() if until_s <= now_s]
        for key in over:
            del self._banned_until_s[key]
        if over:
            self._wake_dialers()

    def _wake_dialers(self) -> None:
        for dialer in self._dialers.values():
            dialer.wake()

    def _may_log(self) -> bool:
        if self._refusal_log.try_take(1.0, self._clock()):
            return True
        self._counters["unlogged"] += 1
        return False

    def _log_refusal(self, connection: Connection) -> None:
        if connection.direction is Direction.INCOMING and self._may_log():
            _log.info("connection refused: %s", connection.reason, extra=_fields(connection))


def _fields(connection: Connection) -> dict[str, str]:
    return {
        "peer": connection.key.hex(),
        "address": connection.address,
        "direction": connection.direction.value,
    }


def _validate_address(peer: PeerAddress) -> None:
    if len(peer.node_key) != NODE_KEY_BYTES:
        raise InvalidInput(
            f"the configured peer {peer.host}:{peer.port} has no node key",
            expected=f"{NODE_KEY_BYTES} bytes",
            actual=f"{len(peer.node_key)} bytes",
            hint="Write it as host, port and the 64 hexadecimal digits of its key.",
        )
    if not peer.host or not 1 <= peer.port <= 65_535:
        raise InvalidInput(
            "a configured peer has no usable address",
            expected="a host and a port from 1 to 65535",
            actual=f"{peer.host!r}, port {peer.port}",
        )
