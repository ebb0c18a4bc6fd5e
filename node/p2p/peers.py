"""The values that the transport and its user exchange about peers."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

from node.p2p.hello import Disconnect


class Direction(enum.Enum):
    """Who opened a connection."""

    INCOMING = "incoming"
    OUTGOING = "outgoing"


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """A configured peer: where to dial, and whom to expect there."""

    node_key: bytes
    """32 bytes."""
    host: str
    """A name or an address."""
    port: int
    """1 to 65535."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer at the moment of its hello."""

    key: bytes
    """Its node key, 32 bytes: the name it is sent to and heard from by."""
    address: str
    """`host:port` as the socket sees it."""
    direction: Direction
    """Who opened the connection."""
    height: int
    """The final height it claims."""


@dataclass(frozen=True, slots=True)
class PeerStatistics:
    """A connected peer's figures, for the API."""

    key: bytes
    """Its node key, 32 bytes."""
    address: str
    """`host:port` as the socket sees it."""
    direction: Direction
    """Who opened the connection."""
    connected_s: float
    """How long the connection has stood, in seconds."""
    bytes_in: int
    """Received, as on the wire."""
    bytes_out: int
    """Handed to the socket, as on the wire."""
    frames_in: int
    """Frames received."""
    frames_out: int
    """Frames queued for it."""
    frames_dropped: int
    """Frames that found no room in its queue."""
    queued_bytes: int
    """What waits for it to read."""
    rtt_ms: float | None
    """The last round trip in milliseconds; None before the first."""


class PeerHandler(Protocol):
    """The user of the transport. All methods are called on the event loop and must be cheap.

    An error of the `BitenergyError` tree raised by `on_message` drops the peer that sent the
    message; `InvariantViolation` goes to `on_fatal`. Any other error is a bug: the peer is dropped
    and the error goes on to the event loop's exception handler.
    """

    def on_connected(self, peer: Peer) -> None:
        """Called once per connection, before its first message."""

    def on_message(self, key: bytes, kind: int, payload: bytes) -> None:
        """Called for each message, in the order in which the peer sent them."""

    def on_disconnected(self, key: bytes, reason: Disconnect) -> None:
        """Called once for each `on_connected`, after the last message."""

    def on_fatal(self, error: BaseException) -> None:
        """Called once when our own code broke a rule: stop the node. Nothing is delivered after."""
