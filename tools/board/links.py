"""Connections of a board to its neighbours: mutual TLS, topics, heartbeats, and a traffic log.

The transport is that of the nodes, with other messages: nobody but the registered neighbours gets
past the handshake. A board hears of a neighbour what it subscribed to there.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Final, TextIO

from node.p2p.certificates import NodeCertificate
from node.p2p.framing import MessageKind, Priority
from node.p2p.hello import Disconnect
from node.p2p.limits import TransportLimits
from node.p2p.peers import Peer, PeerAddress
from node.p2p.service import PeerService
from tools.board.messages import MAX_MESSAGE_BYTES, MAX_TOPIC_BYTES, covers
from vm.primitives.codec import decode, encode_trusted
from vm.primitives.errors import DecodeError

_log = logging.getLogger("bitenergy.board")

SUBSCRIBE: Final = 16
PUBLISH: Final = 17
HEARTBEAT: Final = 18
KINDS: Final = (
    MessageKind(SUBSCRIBE, "subscribe", MAX_TOPIC_BYTES, Priority.URGENT),
    MessageKind(PUBLISH, "publish", MAX_MESSAGE_BYTES + MAX_TOPIC_BYTES + 16, Priority.NORMAL),
    MessageKind(HEARTBEAT, "heartbeat", 16, Priority.URGENT),
)
MAX_SUBSCRIPTIONS: Final = 32
HEARTBEAT_S: Final = 1.0
SILENT_S: Final = 5.0
LIMITS: Final = TransportLimits(max_peers=64, dial_max_delay_s=2.0, peer_queue_bytes=32_000_000)

Delivery = Callable[[str, str, bytes], None]
"""Takes the member, the topic and the bytes of a publication; raises BitenergyError."""


class BoardLinks:
    """All connections of one board. On the event loop; a PeerHandler."""

    def __init__(
        self,
        identity: NodeCertificate,
        genesis: bytes,
        deliver: Delivery,
        *,
        on_fatal: Callable[[BaseException], None],
        traffic: TextIO | None = None,
    ) -> None:
        self._deliver = deliver
        self._on_fatal = on_fatal
        self._traffic = traffic
        self._members: dict[bytes, str] = {}
        self._keys: dict[str, bytes] = {}
        self._subscriptions: dict[bytes, list[str]] = {}
        self._heard_s: dict[bytes, float] = {}
        self._service = PeerService(
            identity=identity,
            genesis=genesis,
            kinds=KINDS,
            handler=self,
            height=lambda: 0,
            random=Random(identity.node_key),
            limits=LIMITS,
        )

    async def start(
        self,
        host: str,
        port: int,
        neighbours: Mapping[str, tuple[bytes, bytes, str, int]],
    ) -> None:
        """Listen, and keep connections to the neighbours: node key, proof, host, port by member."""
        self._members = {key: member for member, (key, _, _, _) in neighbours.items()}
        self._keys = {member: key for key, member in self._members.items()}
        self._service.update_registry({key: proof for key, proof, _, _ in neighbours.values()})
        await self._service.listen(host, port)
        self._service.configure_peers(
            PeerAddress(key, where, at) for key, _, where, at in neighbours.values()
        )

    async def stop(self) -> None:
        """Close everything."""
        await self._service.stop()

    def publish(self, member: str, topic: str, data: bytes) -> bool:
        """Send a publication to one neighbour, if it subscribed to the topic."""
        key = self._keys.get(member)
        if key is None or not any(covers(each, topic) for each in self._subscriptions.get(key, ())):
            return False
        sent = self._service.send(key, PUBLISH, encode_trusted((topic, data)))
        if sent:
            self._note("out", member, topic, len(data))
        return sent

    def beat(self) -> None:
        """Tell all neighbours that this board lives."""
        self._service.broadcast(HEARTBEAT, b"")

    def silent(self) -> list[str]:
        """Return the neighbours of whom nothing was heard for a while."""
        now_s = time.monotonic()
        return [
            member
            for member, key in self._keys.items()
            if now_s - self._heard_s.get(key, 0.0) > SILENT_S
        ]

    # PeerHandler

    def on_connected(self, peer: Peer) -> None:
        """Subscribe to all that the neighbour has to say."""
        self._subscriptions[peer.key] = []
        self._heard_s[peer.key] = time.monotonic()
        self._service.send(peer.key, SUBSCRIBE, b"data")

    def on_message(self, key: bytes, kind: int, payload: bytes) -> None:
        """Take a neighbour's message; raises DecodeError on one that has no right form."""
        self._heard_s[key] = time.monotonic()
        member = self._members.get(key, "")
        if kind == SUBSCRIBE:
            if not payload.isascii() or len(self._subscriptions[key]) >= MAX_SUBSCRIPTIONS:
                raise DecodeError("not a subscription")
            self._subscriptions[key].append(payload.decode("ascii"))
        elif kind == PUBLISH:
            match decode(payload, max_bytes=MAX_MESSAGE_BYTES + MAX_TOPIC_BYTES + 16):
                case (str(topic), bytes(data)):
                    self._note("in", member, topic, len(data))
                    self._deliver(member, topic, data)
                case _:
                    raise DecodeError("not a publication")

    def on_disconnected(self, key: bytes, reason: Disconnect) -> None:
        """Forget what the neighbour subscribed to."""
        self._subscriptions.pop(key, None)

    def on_fatal(self, error: BaseException) -> None:
        """Stop the board."""
        self._on_fatal(error)

    def _note(self, direction: str, member: str, topic: str, size: int) -> None:
        if self._traffic is not None:
            entry = {
                "time_ms": time.time_ns() // 1_000_000,
                "direction": direction,
                "member": member,
                "topic": topic,
                "bytes": size,
            }
            self._traffic.write(json.dumps(entry) + "\n")
            self._traffic.flush()
