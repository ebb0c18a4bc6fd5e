"""Frames on a connection: 4 bytes of payload length, 1 byte of kind, the payload.

No compression, no escape. Every kind has its own largest size, checked as soon as the five bytes
of the head are there, so that nobody makes a node reserve memory with a length alone. The decoder
does no I/O and is over after its first error.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from vm.primitives.errors import DecodeError, InvalidInput

HEAD_BYTES = 5
MAX_KIND = 255
FIRST_FREE_KIND = 16

HELLO = 0
PING = 1
PONG = 2
GOODBYE = 3

PING_BYTES = 8


class Priority(enum.IntEnum):
    """Who goes first when a peer reads slowly, and who is dropped first when its queue is full."""

    URGENT = 0
    """Votes and proposals: they pass all others and are never dropped."""
    NORMAL = 1
    """Transactions, announcements, requests."""
    BULK = 2
    """Old blocks, snapshots: whoever asked asks again."""


@dataclass(frozen=True, slots=True)
class MessageKind:
    """One kind of message."""

    number: int
    """16 to 255; what is below belongs to the transport."""
    name: str
    """For logs and statistics."""
    max_bytes: int
    """The largest payload, in bytes."""
    priority: Priority = Priority.NORMAL
    """The place in a slow peer's queue."""


TRANSPORT_KINDS = (
    MessageKind(HELLO, "hello", 256, Priority.URGENT),
    MessageKind(PING, "ping", PING_BYTES, Priority.URGENT),
    MessageKind(PONG, "pong", PING_BYTES, Priority.URGENT),
    MessageKind(GOODBYE, "goodbye", 512, Priority.URGENT),
)


class KindTable:
    """The kinds that a connection carries: the transport's own and the ones given."""

    __slots__ = ("_kinds", "largest_bytes", "max_bytes")

    def __init__(self, kinds: Iterable[MessageKind]) -> None:
        """Raise InvalidInput when a number is taken twice, reserved or out of range."""
        table: dict[int, MessageKind] = {kind.number: kind for kind in TRANSPORT_KINDS}
        for kind in kinds:
            if not FIRST_FREE_KIND <= kind.number <= MAX_KIND:
                raise InvalidInput(
                    f"the kind {kind.name!r} has a number that it cannot have",
                    expected=f"{FIRST_FREE_KIND} to {MAX_KIND}",
                    actual=kind.number,
                )
            if kind.number in table:
                raise InvalidInput(
                    f"the kinds {kind.name!r} and {table[kind.number].name!r} share a number",
                    actual=kind.number,
                )
            if not 0 <= kind.max_bytes < 2**31:
                raise InvalidInput(
                    f"the kind {kind.name!r} has no usable size limit",
                    expected="0 to 2147483647 bytes",
                    actual=kind.max_bytes,
                )
            table[kind.number] = kind
        self._kinds = table
        self.max_bytes = {number: kind.max_bytes for number, kind in table.items()}
        """The largest payload of each kind, in bytes."""
        self.largest_bytes = max(self.max_bytes.values()) + HEAD_BYTES
        """The largest frame of any kind, in bytes."""

    def kind(self, number: int) -> MessageKind:
        """Return the kind with this number; InvalidInput if there is none."""
        kind = self._kinds.get(number)
        if kind is None:
            raise InvalidInput("there is no such kind of message", actual=number)
        return kind

    def encode(self, number: int, payload: bytes) -> bytes:
        """Return the frame; InvalidInput when the kind is unknown or the payload too long."""
        limit = self.max_bytes.get(number)
        if limit is None or len(payload) > limit:
            kind = self.kind(number)
            raise InvalidInput(
                f"a message of kind {kind.name!r} is too long to send",
                expected=f"at most {kind.max_bytes} bytes",
                actual=len(payload),
            )
        return len(payload).to_bytes(4, "big") + bytes((number,)) + payload


class FrameDecoder:
    """Takes bytes as they come, gives frames as they become complete."""

    __slots__ = ("_buffer", "_error", "_limits", "_position")

    def __init__(self, kinds: KindTable) -> None:
        self._limits = kinds.max_bytes
        self._buffer = bytearray()
        self._position = 0
        self._error: DecodeError | None = None

    def receive(self, data: bytes) -> None:
        """Take the next bytes of the stream; raises the first error again if there was one."""
        if self._error is not None:
            raise self._error
        if self._position:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += data

    def next_frame(self) -> tuple[int, bytes] | None:
        """Return the next frame as (kind, payload), or None until more bytes come.

        Raises DecodeError on an unknown kind and on a length above the kind's limit, and from then
        on always: a stream that was wrong once has no next frame.
        """
        if self._error is not None:
            raise self._error
        buffer, start = self._buffer, self._position
        available = len(buffer) - start
        if available < HEAD_BYTES:
            return None
        size = int.from_bytes(buffer[start : start + 4], "big")
        kind = buffer[start + 4]
        limit = self._limits.get(kind)
        if limit is None or size > limit:
            self._fail(kind, size, limit)
        end = start + HEAD_BYTES + size
        if len(buffer) < end:
            return None
        self._position = end
        return kind, bytes(memoryview(buffer)[start + HEAD_BYTES : end])

    @property
    def pending_bytes(self) -> int:
        """How many received bytes no frame has taken yet."""
        return len(self._buffer) - self._position

    def _fail(self, kind: int, size: int, limit: int | None) -> None:
        self._buffer = bytearray()
        self._position = 0
        if limit is None:
            self._error = DecodeError(
                "a frame has a kind that this node does not know",
                actual=kind,
                hint="Run the same version on both nodes.",
            )
        else:
            self._error = DecodeError(
                f"a frame of kind {kind} announces too long a payload",
                expected=f"at most {limit} bytes",
                actual=size,
            )
        raise self._error
