"""What waits for one peer to read: three queues by priority, one bound in bytes. Does no I/O."""

from __future__ import annotations

from collections import deque

from node.p2p.framing import Priority


class Outbox:
    """Frames in order within a priority, urgent ones before all others."""

    __slots__ = ("_bytes", "_max_bytes", "_queues", "dropped_frames", "queued_bytes")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._queues: tuple[deque[bytes], ...] = tuple(deque() for _ in Priority)
        self._bytes = [0] * len(Priority)
        self.queued_bytes = 0
        """The sum of the waiting frames, in bytes."""
        self.dropped_frames = 0
        """How many frames gave way or found no room."""

    def put(self, frame: bytes, priority: Priority) -> bool:
        """Queue `frame`; tell whether there was room.

        Where there is none, waiting frames of lower priorities give way, the last of the lowest
        first; a frame that still finds none is counted as dropped.
        """
        size = len(frame)
        if self.queued_bytes + size > self._max_bytes and not self._make_room(size, priority):
            self.dropped_frames += 1
            return False
        self._queues[priority].append(frame)
        self._bytes[priority] += size
        self.queued_bytes += size
        return True

    def take(self, max_bytes: int) -> bytes:
        """Return the next frames, joined, up to `max_bytes` (one frame may be longer alone)."""
        parts: list[bytes] = []
        taken = 0
        for priority, queue in enumerate(self._queues):
            while queue and (not parts or taken + len(queue[0]) <= max_bytes):
                frame = queue.popleft()
                taken += len(frame)
                self._bytes[priority] -= len(frame)
                parts.append(frame)
            if queue:
                break
        self.queued_bytes -= taken
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def clear(self) -> None:
        """Forget everything that waits."""
        for queue in self._queues:
            queue.clear()
        self._bytes = [0] * len(Priority)
        self.queued_bytes = 0

    def _make_room(self, size: int, priority: Priority) -> bool:
        lower = [other for other in reversed(Priority) if other > priority]
        removable = sum(self._bytes[other] for other in lower)
        if self.queued_bytes - removable + size > self._max_bytes:
            return False
        for other in lower:
            queue = self._queues[other]
            while queue and self.queued_bytes + size > self._max_bytes:
                frame = queue.pop()
                self._bytes[other] -= len(frame)
                self.queued_bytes -= len(frame)
                self.dropped_frames += 1
        return True
