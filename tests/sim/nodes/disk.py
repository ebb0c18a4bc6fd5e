"""A simulated disk: loses what was not synced, tears writes, fills up, fails, and rots.

`SimulatedDisk` outlives its process, as a disk does. Its database has the methods of LevelDB's
binding that the store uses, and raises that binding's own errors.
"""

import errno
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import plyvel

from node.disk import Disk

SECTOR_BYTES = 512


class ProcessKilled(BaseException):
    """The machine lost its power in the midst of a write."""


class _Batch:
    """Changes that are written together."""

    def __init__(self, write: Callable[[list[tuple[bytes, bytes | None]]], None]) -> None:
        self._write = write
        self._changes: list[tuple[bytes, bytes | None]] = []

    def put(self, key: bytes, value: bytes) -> None:
        self._changes.append((key, value))

    def delete(self, key: bytes) -> None:
        self._changes.append((key, None))

    def __enter__(self) -> "_Batch":
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None:
            self._write(self._changes)

    def write(self) -> None:
        self._write(self._changes)
        self._changes = []


class _View:
    """A state of the database that later writes do not change."""

    def __init__(self, files: "DatabaseFiles") -> None:
        self._files = files
        self._entries = files.entries
        self._keys = files.keys

    def get(self, key: bytes, default: bytes | None = None, **_: Any) -> bytes | None:
        self._files.validate(key)
        return self._entries.get(key, default)

    def iterator(
        self,
        start: bytes = b"",
        stop: bytes | None = None,
        prefix: bytes = b"",
        *,
        reverse: bool = False,
        include_key: bool = True,
        include_value: bool = True,
        include_start: bool = True,
        include_stop: bool = False,
        **_: Any,
    ) -> "_Entries":
        keys = self._keys
        first = (bisect_left if include_start else bisect_right)(keys, start)
        end = len(keys)
        if stop is not None:
            end = (bisect_right if include_stop else bisect_left)(keys, stop)
        keys = keys[max(first, bisect_left(keys, prefix)) : end]
        if prefix:
            keys = [key for key in keys if key.startswith(prefix)]
        return _Entries(self, keys[::-1] if reverse else keys, include_key, include_value)

    def __enter__(self) -> "_View":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        pass


class _Entries:
    def __init__(self, view: _View, keys: list[bytes], with_key: bool, with_value: bool) -> None:
        self._view, self._keys = view, iter(keys)
        self._with_key, self._with_value = with_key, with_value

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        key = next(self._keys)
        value = self._view.get(key)
        if not self._with_value:
            return key
        return (key, value) if self._with_key else value

    def __enter__(self) -> "_Entries":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass


class DatabaseFiles:
    """What lies on the disk of one database."""

    def __init__(self, entries: dict[bytes, bytes] | None = None) -> None:
        self.entries: dict[bytes, bytes] = entries or {}
        self.keys = sorted(self.entries)
        """Their keys; a view goes on with those that it began with."""
        self.unsynced: list[list[tuple[bytes, bytes | None]]] = []
        self.synced: dict[bytes, bytes] = self.entries
        self.rotten: set[bytes] = set()
        self.is_open = False
        self.exists = bool(entries)

    def apply(self, changes: list[tuple[bytes, bytes | None]], *, sync: bool) -> None:
        entries, keys = dict(self.entries), self.keys.copy()
        for key, value in changes:
            if value is None:
                if entries.pop(key, None) is not None:
                    del keys[bisect_left(keys, key)]
                continue
            if key not in entries:
                insort(keys, key)
            entries[key] = value
        if self.rotten:
            self.rotten.difference_update(key for key, _ in changes)
        self.entries, self.keys = entries, keys
        if sync:
            self.unsynced.clear()
            self.synced = entries
        else:
            self.unsynced.append(changes)

    def crash(self, random: Random) -> None:
        """Keep what was synced, and as many later batches as got out: a log has no holes."""
        kept = random.randrange(len(self.unsynced) + 1)
        entries = dict(self.synced)
        for changes in self.unsynced[:kept]:
            for key, value in changes:
                if value is None:
                    entries.pop(key, None)
                else:
                    entries[key] = value
        self.entries = self.synced = entries
        self.keys = sorted(entries)
        self.unsynced.clear()
        self.is_open = False

    def validate(self, key: bytes) -> None:
        if self.rotten and key in self.rotten:
            raise plyvel.CorruptionError(b"Corruption: block checksum mismatch")


class Database:
    """One opened database."""

    def __init__(self, disk: "SimulatedDisk", files: DatabaseFiles) -> None:
        self._disk = disk
        self._files = files
        files.is_open = files.exists = True

    def get(self, key: bytes, default: bytes | None = None, **_: Any) -> bytes | None:
        return self.snapshot().get(key, default)

    def put(self, key: bytes, value: bytes, *, sync: bool = False) -> None:
        self._write([(key, value)], sync)

    def delete(self, key: bytes, *, sync: bool = False) -> None:
        self._write([(key, None)], sync)

    def write_batch(self, *, transaction: bool = False, sync: bool = False) -> _Batch:
        return _Batch(lambda changes: self._write(changes, sync))

    def iterator(self, *args: Any, **options: Any) -> _Entries:
        return self.snapshot().iterator(*args, **options)

    def snapshot(self) -> _View:
        return _View(self._files)

    def approximate_size(self, start: bytes, stop: bytes) -> int:
        entries = self._files.entries.items()
        return sum(len(key) + len(value) for key, value in entries if start <= key < stop)

    def compact_range(self, **_: Any) -> None:
        pass

    def close(self) -> None:
        self._files.is_open = False

    def _write(self, changes: list[tuple[bytes, bytes | None]], sync: bool) -> None:
        fault = self._disk.strike()
        if fault == "full":
            raise plyvel.IOError(b"IO error: 000007.log: No space left on device")
        if fault == "error" and self._disk.random.randrange(2):
            raise plyvel.IOError(b"IO error: 000007.log: Input/output error")
        self._files.apply(changes, sync=sync and not fault)
        if fault == "error":
            raise plyvel.IOError(b"IO error: fdatasync: Input/output error")
        if fault == "crash":
            raise ProcessKilled


class _File:
    """A file: what a reader sees, and what a crash leaves of it."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.synced = bytes(data)
        self.unsynced: list[tuple[int, bytes]] = []
        self.is_locked = False

    def crash(self, random: Random) -> None:
        """Of each write that was not synced any of its sectors may be there."""
        data = bytearray(self.synced)
        for offset, written in self.unsynced:
            fate = random.randrange(3)
            for start in range(0, len(written), SECTOR_BYTES):
                if fate == 1 or (fate == 2 and random.randrange(2)):
                    piece = written[start : start + SECTOR_BYTES]
                    data[offset + start : offset + start + len(piece)] = piece
        self.data = data
        self.synced = bytes(data)
        self.unsynced.clear()
        self.is_locked = False


class SimulatedDisk(Disk):
    """One node's disk."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.writes = 0
        self.faults = 0
        self._marks: set[str] = set()
        self._databases: dict[str, DatabaseFiles] = {}
        self._files: dict[str, _File] = {}
        self._open: dict[int, _File] = {}
        self._armed: tuple[str, int] | None = None
        self._renamed: list[tuple[str, str]] = []
        self._handles = 2

    # --- what happens to it --------------------------------------------------------------------

    def arm(self, fault: str, after: int) -> None:
        """Have a write fail after so many others: `full`, `error` or `crash`."""
        self._armed = (fault, after)

    def disarm(self) -> None:
        """Let all writes succeed."""
        self._armed = None

    def strike(self) -> str:
        """Count a write; return the fault that strikes it, or nothing."""
        self.writes += 1
        if self._armed is None:
            return ""
        fault, after = self._armed
        if after > 0:
            self._armed = (fault, after - 1)
            return ""
        self.faults += 1
        if fault == "crash":
            self._armed = None
        return fault

    def crash(self) -> None:
        """Lose what was not synced."""
        for files in self._databases.values():
            files.crash(self.random)
        for file in self._files.values():
            file.crash(self.random)
        while self._renamed:
            old, new = self._renamed.pop()
            if self.random.randrange(2):
                self._move(new, old)
        self._open.clear()

    def rot(self) -> bool:
        """Damage an entry of the database for good; tell whether there was one."""
        for files in self._databases.values():
            keys = sorted(files.entries)
            if keys:
                files.rotten.add(self.random.choice(keys))
                return True
        return False

    def copy(self) -> tuple[Any, ...]:
        """Return all that is on the disk, synced as it is."""
        databases = {name: files.synced for name, files in self._databases.items()}
        return (
            databases,
            {name: file.synced for name, file in self._files.items()},
            set(self._marks),
        )

    def set_back(self, copy: tuple[Any, ...]) -> None:
        """Put an old copy of everything in the place of what is there."""
        databases, files, marks = copy
        self._databases = {name: DatabaseFiles(entries) for name, entries in databases.items()}
        self._files = {name: _File(data) for name, data in files.items()}
        self._marks = set(marks)

    def is_rotten(self) -> bool:
        """Tell whether an entry of the database is damaged."""
        return any(files.rotten for files in self._databases.values())

    def remove_databases(self) -> None:
        """What an operator does to have the node sync again; the signing files stay."""
        self._databases.clear()
        self._marks.clear()
        self._files = {path: file for path, file in self._files.items() if "/signing-" in path}

    def entries(self) -> dict[bytes, bytes]:
        """Return what the chain's database holds."""
        found = (files for path, files in self._databases.items() if path.endswith("/chain"))
        return next(found).entries

    # --- Disk ----------------------------------------------------------------------------------

    def make_folder(self, path: Path) -> None:
        pass

    def exists(self, path: Path) -> bool:
        if path.name == "CURRENT":
            files = self._databases.get(str(path.parent))
            return files is not None and files.exists
        text = str(path)
        return text in self._marks or text in self._files or text in self._databases

    def has_any(self, folder: Path, pattern: str) -> bool:
        return bool(self._databases.get(str(folder)) and self._databases[str(folder)].exists)

    def open_database(self, path: Path, **options: int) -> Any:
        files = self._databases.setdefault(str(path), DatabaseFiles())
        if files.is_open:
            raise plyvel.IOError(b"IO error: lock LOCK: already held by process")
        return Database(self, files)

    def touch(self, path: Path) -> None:
        self._marks.add(str(path))

    def create(self, path: Path, data: bytes) -> None:
        self._files[str(path)] = _File(data)

    def open(self, path: Path) -> int:
        self._handles += 1
        self._open[self._handles] = self._files[str(path)]
        return self._handles

    def lock(self, file: int) -> None:
        if self._open[file].is_locked:
            raise OSError(errno.EWOULDBLOCK, "locked")
        self._open[file].is_locked = True

    def read(self, file: int, count: int, offset: int) -> bytes:
        return bytes(self._open[file].data[offset : offset + count])

    def write(self, file: int, data: bytes, offset: int) -> None:
        found = self._open[file]
        fault = self.strike()
        if fault in ("full", "error"):
            raise OSError(errno.ENOSPC if fault == "full" else errno.EIO, fault)
        found.data[offset : offset + len(data)] = data
        found.unsynced.append((offset, bytes(data)))
        if fault == "crash":
            raise ProcessKilled

    def sync(self, file: int) -> None:
        found = self._open[file]
        fault = self.strike()
        if fault in ("full", "error"):
            raise OSError(errno.EIO, "fdatasync")
        if fault == "crash":
            raise ProcessKilled
        found.synced = bytes(found.data)
        found.unsynced.clear()

    def names(self, folder: Path) -> list[str]:
        start = f"{folder}/"
        paths = [path[len(start) :] for path in self._files if path.startswith(start)]
        return sorted({path.partition("/")[0] for path in paths})

    def load(self, path: Path) -> bytes:
        if str(path) not in self._files:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return bytes(self._files[str(path)].data)

    def size(self, path: Path) -> int:
        return len(self.load(path))

    def append(self, path: Path, data: bytes) -> None:
        self._strike_file()
        file = self._files.setdefault(str(path), _File(b""))
        file.unsynced.append((len(file.data), bytes(data)))
        file.data += data

    def sync_file(self, path: Path) -> None:
        handle = self.open(path)
        try:
            self.sync(handle)
        finally:
            del self._open[handle]

    def rename(self, path: Path, target: Path) -> None:
        self._strike_file()
        self._move(str(path), str(target))
        self._renamed.append((str(path), str(target)))

    def remove(self, path: Path) -> None:
        text = str(path)
        for entries in (self._files, self._databases):
            for key in [key for key in entries if key == text or key.startswith(f"{text}/")]:
                del entries[key]

    def sync_folder(self, folder: Path) -> None:
        self._strike_file()
        kept = [item for item in self._renamed if item[1].rpartition("/")[0] != str(folder)]
        self._renamed = kept

    def _move(self, old: str, new: str) -> None:
        """Rename what is there under `old`; nothing where that was removed, or replaced."""
        for entries in (self._files, self._databases):
            for key in [key for key in entries if key == old or key.startswith(f"{old}/")]:
                entries[new + key[len(old) :]] = entries.pop(key)

    def _strike_file(self) -> None:
        fault = self.strike()
        if fault in ("full", "error"):
            raise OSError(errno.ENOSPC if fault == "full" else errno.EIO, fault)
        if fault == "crash":
            raise ProcessKilled

    def close(self, file: int) -> None:
        found = self._open.pop(file, None)
        if found is not None:
            found.is_locked = False
