"""What the store keeps in memory: entries read lately, and the key spaces that code scans."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from vm.overlay import ORDERED_SPACES

MISSING: Final = object()
"""Says that a cache does not hold a key."""


class RecentEntries:
    """A cache in two generations, bounded in number and bytes: what is used moves to the young."""

    __slots__ = ("_bytes", "_limit", "_limit_bytes", "_old", "_young")

    def __init__(self, limit: int, limit_bytes: int = 16_777_216) -> None:
        self._limit = limit // 2
        self._limit_bytes = limit_bytes // 2
        self._bytes = 0
        self._young: dict[bytes, bytes | None] = {}
        self._old: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> object:
        """Return the entry of a key, None for one that is known to be nowhere, else MISSING."""
        value = self._young.get(key, MISSING)
        if value is MISSING:
            value = self._old.get(key, MISSING)
            if value is not MISSING:
                self.put(key, value)  # type: ignore[arg-type]
        return value

    def put(self, key: bytes, value: bytes | None) -> None:
        young = self._young
        if len(young) >= self._limit or self._bytes >= self._limit_bytes:
            self._old = young
            self._young = young = {}
            self._bytes = 0
        young[key] = value
        # An entry that is put again counts again, which only ends its generation earlier.
        self._bytes += len(key) + (0 if value is None else len(value))


class OrderedKeys:
    """The ordered key spaces in memory, so that a scan touches no disk and no deleted entries.

    LevelDB walks over every entry deleted since its last compaction, and the cheap end of an
    order book is where entries are deleted all the time.
    """

    __slots__ = ("_keys", "_values")

    def __init__(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        self._values = dict(entries)
        self._keys = sorted(self._values)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        keys, values = self._keys, self._values
        first = bisect_left(keys, start)
        for place in range(first, bisect_left(keys, end, first)):
            value = values.get(keys[place])
            if value is not None:  # gone since the scan began
                yield keys[place], value

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def apply(self, changes: Mapping[bytes, bytes | None]) -> None:
        values = self._values
        added: list[bytes] = []
        is_any_gone = False
        for key, value in changes.items():
            if key[0] not in ORDERED_SPACES:
                continue
            if value is None:
                is_any_gone |= values.pop(key, None) is not None
            else:
                if key not in values:
                    added.append(key)
                values[key] = value
        if is_any_gone or added:
            # New lists: a scan that is under way keeps the old one.
            kept = [key for key in self._keys if key in values] if is_any_gone else self._keys
            self._keys = sorted([*kept, *added])
