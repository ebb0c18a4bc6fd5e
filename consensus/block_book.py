"""The block book knows which blocks of one height are stored, checked, and early.

An engine sees a block as an id with its parent, height and time; whether its content is right
is the driver's word, asked once per block.
"""

from collections.abc import Callable
from dataclasses import dataclass

from consensus.interface import BlockArrived


@dataclass(slots=True)  # mutable: the verdict comes later
class BlockEntry:
    """What is known of one block."""

    time_ms: int
    """Its header's time."""
    asked: bool = False
    """Whether the driver was asked to check it."""
    valid: bool | None = None
    """The verdict, or None as long as there is none."""


class BlockBook:
    """The blocks of one height; at most `limit` that nothing refers to."""

    __slots__ = ("_entries", "_height", "_limit", "_parent", "_parent_time_ms")

    def __init__(self, *, height: int, parent: bytes, parent_time_ms: int, limit: int) -> None:
        """Start empty for the blocks that may follow `parent`."""
        self._height = height
        self._parent = parent
        self._parent_time_ms = parent_time_ms
        self._limit = limit
        self._entries: dict[bytes, BlockEntry] = {}

    def get(self, block_id: bytes) -> BlockEntry | None:
        """Return what is known of a stored block, or None."""
        return self._entries.get(block_id)

    def add(self, block: BlockArrived, *, keep: Callable[[bytes], bool]) -> None:
        """Note a stored block; one that does not follow the parent is invalid unasked.

        Above the limit the oldest block that `keep` does not want is forgotten.
        """
        if block.block_id in self._entries:
            return
        entry = BlockEntry(block.time_ms)
        fits = block.parent == self._parent and block.height == self._height
        if not fits or block.time_ms <= self._parent_time_ms:
            entry.asked = True
            entry.valid = False
        self._entries[block.block_id] = entry
        if len(self._entries) > self._limit:
            for block_id in self._entries:
                if not keep(block_id):
                    del self._entries[block_id]
                    return

    def add_own(self, block_id: bytes, time_ms: int) -> None:
        """Note a block this node built: stored and valid."""
        self._entries[block_id] = BlockEntry(time_ms, asked=True, valid=True)

    def size(self) -> int:
        """Return how many blocks are known."""
        return len(self._entries)
