"""One connection to a peer: TLS, hello, frames, limits and deadlines over one socket.

Lives in five states, in this order: handshake, hello, open, closing, closed. All of it runs on the
event loop without tasks of its own; the service calls `check_deadlines` now and then.
"""

from __future__ import annotations

import asyncio
import enum
import ssl
from collections.abc import Callable
from typing import Protocol, cast

from node.p2p.framing import (
    GOODBYE,
    HELLO,
    PING,
    PING_BYTES,
    PONG,
    FrameDecoder,
    KindTable,
    Priority,
)
from node.p2p.hello import (
    Disconnect,
    Hello,
    decode_goodbye,
    decode_hello,
    encode_goodbye,
    encode_hello,
    validate_hello,
)
from node.p2p.limits import Allowance, TransportLimits
from node.p2p.outbox import Outbox
from node.p2p.peers import Direction, PeerStatistics
from node.p2p.tls import TlsChannel, explain_tls_error
from vm.primitives.errors import BitenergyError, DecodeError

_WRITE_BYTES = 262_144
_MAX_HANDSHAKE_BYTES = 32_768


class ConnectionState(enum.Enum):
    """How far a connection has come."""

    HANDSHAKE = 0
    HELLO = 1
    OPEN = 2
    CLOSING = 3
    CLOSED = 4


_TALKING = (ConnectionState.HANDSHAKE, ConnectionState.HELLO, ConnectionState.OPEN)


class ConnectionOwner(Protocol):
    """What a connection asks of, and tells, the service."""

    def connection_opened(self, connection: Connection) -> bool:
        """The socket stands; False to close it at once."""

    def authenticate(self, connection: Connection, der: bytes | None) -> bytes:
        """Return the key of the peer that proved `der`; BitenergyError if it may not enter."""

    def own_hello(self) -> Hello:
        """Return what this node says first."""

    def connection_greeted(self, connection: Connection, hello: Hello) -> None:
        """The peer's hello was good: the connection is open, or the owner closes it here."""

    def deliver(self, connection: Connection, kind: int, payload: bytes) -> None:
        """Take one message of the user's kinds."""

    def connection_closing(self, connection: Connection, reason: Disconnect) -> None:
        """Nothing more will be delivered, because of `reason`."""

    def connection_closed(self, connection: Connection) -> None:
        """The socket is gone."""


class Connection(asyncio.Protocol):
    """One peer at the other end of one socket."""

    def __init__(
        self,
        owner: ConnectionOwner,
        context: ssl.SSLContext,
        direction: Direction,
        kinds: KindTable,
        limits: TransportLimits,
        clock: Callable[[], float],
        expected_key: bytes | None = None,
    ) -> None:
        now_s = clock()
        self._owner = owner
        self._clock = clock
        self._limits = limits
        self._kinds = kinds
        self._context = context
        self._channel: TlsChannel
        self._decoder = FrameDecoder(kinds)
        self._outbox = Outbox(limits.peer_queue_bytes)
        self._allowance = Allowance(limits, now_s)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._flush_scheduled = False
        self._write_paused = False
        self._resume_handle: asyncio.TimerHandle | None = None

        self._opened_s = now_s
        self._last_heard_s = now_s
        self._frame_started_s: float | None = None
        self._stalled_s: float | None = None
        self._close_by_s = 0.0
        self._ping_sent_s: float | None = None
        self._next_ping_s = now_s
        self._ping_number = 0

        self.direction = direction
        self.state = ConnectionState.HANDSHAKE
        self.expected_key = expected_key
        """The only key that may answer; None where any member's may."""
        self.key = b""
        """The peer's node key, once it is proved."""
        self.address = "?"
        """`host:port` of the other end."""
        self.host = "?"
        """The host part of it."""
        self.reason: Disconnect | None = None
        """Why the connection ended."""
        self.greeted = False
        """True once the peer's hello was good."""
        self.greeted_s = now_s
        """When it was, on the given clock."""
        self.settled = asyncio.Event()
        """Set once the connection is open, or never will be."""
        self.ended = asyncio.Event()
        """Set once nothing more is delivered."""
        self.rtt_ms: float | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.frames_in = 0
        self.frames_out = 0

    # The event loop's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the owner whether the socket may stay; begin TLS if we dialed."""
        transport = cast(asyncio.Transport, transport)
        self._transport = transport
        peer_name = transport.get_extra_info("peername")
        if isinstance(peer_name, tuple) and len(peer_name) >= 2:
            self.host = str(peer_name[0])
            self.address = f"{self.host}:{peer_name[1]}"
        transport.set_write_buffer_limits(high=_WRITE_BYTES)
        if not self._owner.connection_opened(self):
            self.abort(Disconnect("refused", "too many connections"))
            return
        incoming = self.direction is Direction.INCOMING
        self._channel = TlsChannel(self._context, server_side=incoming)
        if not incoming:
            self._channel.start()
            self._write(self._channel.outgoing())

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket through TLS and frames to the owner."""
        if self.state not in _TALKING:
            return
        if self.state is ConnectionState.HANDSHAKE and self.bytes_in > _MAX_HANDSHAKE_BYTES:
            self.close(Disconnect("not_tls", "the handshake is too long"))
            return
        self.bytes_in += len(data)
        self._allowance.take_bytes(len(data), self._clock())
        try:
            plain = self._channel.receive(data)
        except ssl.SSLError as error:
            self._write(self._channel.outgoing())
            dialed = self.direction is Direction.OUTGOING
            self.close(explain_tls_error(error, dialed=dialed))
            return
        self._write(self._channel.outgoing())
        if self.state is ConnectionState.HANDSHAKE and self._channel.secure:
            self._begin_hello()
        if plain and self.state in _TALKING:
            self._last_heard_s = self._clock()
            self._decoder.receive(plain)
            self._process()
        if self._channel.closed_by_peer and self.state in _TALKING:
            self.close(Disconnect("lost", self._lost_text()))

    def eof_received(self) -> None:
        """The peer sends no more: so do we."""
        if self.state in _TALKING:
            self.close(Disconnect("lost", self._lost_text()), linger=False)

    def pause_writing(self) -> None:
        """The socket has enough to send: the rest waits in the queue, by priority."""
        self._write_paused = True
        self._stalled_s = self._clock()

    def resume_writing(self) -> None:
        """The socket takes more."""
        self._write_paused = False
        self._stalled_s = None
        if self.state is ConnectionState.OPEN:
            self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if self.state in _TALKING:
            text = f"the connection broke: {exc}" if exc else self._lost_text()
            self._end(Disconnect("lost", text))
        self.state = ConnectionState.CLOSED
        self._transport = None
        if self._resume_handle is not None:
            self._resume_handle.cancel()
        self._owner.connection_closed(self)

    # The service's side.

    def send(self, frame: bytes, priority: Priority) -> bool:
        """Queue an encoded frame; tell whether it will be sent.

        Without room, an urgent frame ends the connection to a peer that reads too slowly; others
        are dropped.
        """
        if self.state is not ConnectionState.OPEN:
            return False
        return self._queue(frame, priority)

    def close(self, reason: Disconnect, *, tell: bool = False, linger: bool = True) -> None:
        """End the connection; with `tell`, send `reason` as a goodbye.

        What was written may still leave for a moment (`linger`), then the socket closes anyway.
        """
        if self.state not in _TALKING:
            return
        before = self.state
        if before is not ConnectionState.HANDSHAKE:
            if not self._write_paused:
                self._flush()
            if tell:
                goodbye = self._kinds.encode(GOODBYE, encode_goodbye(reason))
                self._write(self._seal(goodbye))
            self._write(self._channel.shutdown())
        self._end(reason)
        transport = self._transport
        if transport is None:
            return
        if not linger:
            transport.close()
            return
        self._close_by_s = self._clock() + self._limits.linger_s
        try:
            transport.write_eof()
        except OSError:
            transport.abort()
        else:
            transport.resume_reading()

    def abort(self, reason: Disconnect) -> None:
        """End the connection and its socket at once."""
        if self.state in _TALKING:
            self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    def check_deadlines(self, now_s: float) -> None:
        """Close what took too long; ask a quiet peer for a sign of life."""
        limits = self._limits
        if self.state is ConnectionState.CLOSING:
            if now_s >= self._close_by_s and self._transport is not None:
                self._transport.abort()
        elif self.state is not ConnectionState.OPEN:
            if now_s - self._opened_s >= limits.handshake_timeout_s:
                text = f"no complete handshake within {limits.handshake_timeout_s:g} s"
                self.close(Disconnect("handshake_timeout", text), tell=True)
        else:
            self._check_open(now_s)

    def statistics(self, now_s: float) -> PeerStatistics:
        """Return the connection's figures."""
        return PeerStatistics(
            key=self.key,
            address=self.address,
            direction=self.direction,
            connected_s=now_s - self.greeted_s,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            frames_in=self.frames_in,
            frames_out=self.frames_out,
            frames_dropped=self._outbox.dropped_frames,
            queued_bytes=self._outbox.queued_bytes,
            rtt_ms=self.rtt_ms,
        )

    # Inside.

    def _begin_hello(self) -> None:
        self.state = ConnectionState.HELLO
        try:
            self.key = self._owner.authenticate(self, self._channel.peer_certificate())
        except BitenergyError as error:
            self.close(Disconnect(error.code, str(error)), tell=True)
            return
        if self.direction is Direction.INCOMING:
            self._send_hello()

    def _send_hello(self) -> None:
        hello = encode_hello(self._owner.own_hello())
        self._queue(self._kinds.encode(HELLO, hello), Priority.URGENT)

    def _process(self) -> None:
        """Handle the complete frames there are, as far as the peer's allowance goes."""
        handled = self.frames_in
        try:
            while self.state in _TALKING:
                now_s = self._clock()
                wait_s = self._allowance.wait_s(now_s)
                if wait_s > 0:
                    self._pause_reading(wait_s)
                    break
                frame = self._decoder.next_frame()
                if frame is None:
                    break
                self.frames_in += 1
                self._allowance.take_message(now_s)
                self._handle(*frame)
        except BitenergyError as error:
            code = "bad_frame" if isinstance(error, DecodeError) else error.code
            self.close(Disconnect(code, str(error)), tell=True)
            return
        if not self._decoder.pending_bytes:
            self._frame_started_s = None
        elif self._frame_started_s is None or self.frames_in != handled:
            self._frame_started_s = self._clock()

    def _handle(self, kind: int, payload: bytes) -> None:
        if kind == GOODBYE:
            self.close(decode_goodbye(payload))
        elif self.state is ConnectionState.HELLO:
            self._handle_hello(kind, payload)
        elif kind == PING:
            _validate_ping(payload)
            self._queue(self._kinds.encode(PONG, payload), Priority.URGENT)
        elif kind == PONG:
            self._handle_pong(payload)
        elif kind == HELLO:
            raise DecodeError("the peer said hello twice")
        else:
            self._owner.deliver(self, kind, payload)

    def _handle_hello(self, kind: int, payload: bytes) -> None:
        if kind != HELLO:
            raise DecodeError("the peer's first message is no hello", expected=HELLO, actual=kind)
        hello = decode_hello(payload)
        if self.direction is Direction.OUTGOING:
            self._send_hello()
        validate_hello(hello, self._owner.own_hello())
        self.state = ConnectionState.OPEN
        self.greeted = True
        self.greeted_s = self._next_ping_s = self._clock()
        self._owner.connection_greeted(self, hello)
        self.settled.set()
        if self.state is ConnectionState.OPEN:
            self._ping(self.greeted_s)

    def _handle_pong(self, payload: bytes) -> None:
        if self._ping_sent_s is None or payload != self._ping_number.to_bytes(PING_BYTES, "big"):
            raise DecodeError("the peer answered a ping that was never sent")
        self.rtt_ms = (self._clock() - self._ping_sent_s) * 1_000
        self._ping_sent_s = None

    def _ping(self, now_s: float) -> None:
        self._ping_number += 1
        self._ping_sent_s = now_s
        self._next_ping_s = now_s + self._limits.ping_interval_s
        payload = self._ping_number.to_bytes(PING_BYTES, "big")
        self._queue(self._kinds.encode(PING, payload), Priority.URGENT)

    def _check_open(self, now_s: float) -> None:
        limits = self._limits
        if self._stalled_s is not None and now_s - self._stalled_s >= limits.stall_timeout_s:
            text = f"the peer read nothing for {limits.stall_timeout_s:g} s"
            self.close(Disconnect("slow_reader", text), tell=True)
            return
        if not self._throttled:
            if now_s - self._last_heard_s >= limits.idle_timeout_s:
                text = f"nothing was heard for {limits.idle_timeout_s:g} s"
                self.close(Disconnect("idle", text), tell=True)
                return
            started_s = self._frame_started_s
            if started_s is not None and now_s - started_s >= limits.frame_timeout_s:
                text = f"one message took more than {limits.frame_timeout_s:g} s"
                self.close(Disconnect("slow_sender", text), tell=True)
                return
        if self._ping_sent_s is None and now_s >= self._next_ping_s:
            self._ping(now_s)

    def _queue(self, frame: bytes, priority: Priority) -> bool:
        if not self._outbox.put(frame, priority):
            if priority is Priority.URGENT:
                text = f"{self._outbox.queued_bytes} bytes wait unread"
                self.close(Disconnect("slow_reader", text), tell=True)
            return False
        self.frames_out += 1
        if not self._flush_scheduled and not self._write_paused:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)
        return True

    def _flush(self) -> None:
        """Write what waits, many frames at once, until the socket has enough."""
        self._flush_scheduled = False
        while self._outbox.queued_bytes and not self._write_paused and self.state in _TALKING:
            self._write(self._seal(self._outbox.take(_WRITE_BYTES)))

    def _seal(self, plain: bytes) -> bytes:
        try:
            return self._channel.send(plain)
        except ssl.SSLError:
            # The session is over; the reading side learns it too and says why.
            return b""

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None:
            self.bytes_out += len(data)
            self._transport.write(data)

    def _pause_reading(self, wait_s: float) -> None:
        if self._transport is not None and self._resume_handle is None:
            self._transport.pause_reading()
            self._resume_handle = self._loop.call_later(wait_s, self._resume_reading)

    def _resume_reading(self) -> None:
        self._resume_handle = None
        self._last_heard_s = self._clock()
        if self.state in _TALKING:
            self._process()
        if not self._throttled and self._transport is not None:
            self._transport.resume_reading()

    @property
    def _throttled(self) -> bool:
        """True while we do not read because the peer used up its allowance."""
        return self._resume_handle is not None

    def _lost_text(self) -> str:
        when = "" if self.state is ConnectionState.OPEN else " before its hello"
        return f"the peer closed the connection{when}"

    def _end(self, reason: Disconnect) -> None:
        self.state = ConnectionState.CLOSING
        self.reason = reason
        self._outbox.clear()
        if self._resume_handle is not None:
            self._resume_handle.cancel()
            self._resume_handle = None
        self.settled.set()
        self.ended.set()
        self._owner.connection_closing(self, reason)


def _validate_ping(payload: bytes) -> None:
    if len(payload) != PING_BYTES:
        raise DecodeError(
            "a ping has the wrong size", expected=f"{PING_BYTES} bytes", actual=len(payload)
        )
