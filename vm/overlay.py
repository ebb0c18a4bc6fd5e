"""A layer of changes over a state that is never touched: the only way in which code writes.

Every change is journalled, so that a failed call is undone by going back to a mark. Keys in an
ordered key space (first byte in ORDERED_SPACES) can be scanned; the others can only be looked up.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Final, Protocol

INDEX_SPACE: Final = b"i"
"""Derived indices: ordered, outside the authenticated tree, rebuilt from authenticated keys."""
QUEUE_SPACE: Final = b"q"
"""Things due at a time: ordered and authenticated."""
ORDERED_SPACES: Final = INDEX_SPACE + QUEUE_SPACE


class StateReader(Protocol):
    """A state as code reads it."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) ascending from `start` up to but not including `end`."""


class _Unset:
    """Marks a key that the overlay does not hold."""


_UNSET: Final = _Unset()
_Entry = bytes | None | _Unset


class Overlay:
    """Changes over `parent`: None stands for a deleted key."""

    __slots__ = ("_journal", "_ordered", "changes", "parent")

    def __init__(self, parent: StateReader) -> None:
        self.parent = parent
        self.changes: dict[bytes, bytes | None] = {}
        self._journal: list[tuple[bytes, _Entry]] = []
        self._ordered: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key` as changed here, else the parent's."""
        value: _Entry = self.changes.get(key, _UNSET)
        if value is _UNSET:
            return self.parent.get(key)
        return value  # type: ignore[return-value]

    def put(self, key: bytes, value: bytes | None) -> None:
        """Set `key` to `value`; None deletes it."""
        changes = self.changes
        old: _Entry = changes.get(key, _UNSET)
        self._journal.append((key, old))
        if key[0] in ORDERED_SPACES:
            if value is None and self.parent.get(key) is None:
                # It came and went within this layer: no scan needs to pass it.
                if old is not _UNSET:
                    self._drop(key)
                return
            if old is _UNSET:
                insort(self._ordered, key)
        changes[key] = value

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) ascending in [start, end); nothing may be written meanwhile."""
        for key, value in self.walk(start, end):
            if value is not None:
                yield key, value

    def walk(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield what a scan passes, entries deleted here included, so that each can be paid for."""
        ordered, changes = self._ordered, self.changes
        position = bisect_left(ordered, start)
        stop = bisect_left(ordered, end, position)
        for key, value in self.parent.scan(start, end):
            while position < stop and ordered[position] < key:
                yield ordered[position], changes[ordered[position]]
                position += 1
            if position < stop and ordered[position] == key:
                yield key, changes[key]
                position += 1
            else:
                yield key, value
        while position < stop:
            yield ordered[position], changes[ordered[position]]
            position += 1

    def mark(self) -> int:
        """Return a mark that `undo` goes back to."""
        return len(self._journal)

    def undo(self, mark: int) -> None:
        """Undo every change since `mark`."""
        journal, changes = self._journal, self.changes
        while len(journal) > mark:
            key, old = journal.pop()
            if old is _UNSET:
                if key in changes:
                    self._drop(key)
            else:
                if key not in changes and key[0] in ORDERED_SPACES:
                    insort(self._ordered, key)
                changes[key] = old  # type: ignore[assignment]

    def _drop(self, key: bytes) -> None:
        del self.changes[key]
        if key[0] in ORDERED_SPACES:
            del self._ordered[bisect_left(self._ordered, key)]

    def forget_journal(self) -> None:
        """Drop what `undo` would need: between transactions nothing is undone any more."""
        self._journal.clear()
