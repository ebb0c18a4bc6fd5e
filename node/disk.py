"""The disk: what the store and the signer ask of the file system, in one place to be replaced."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import plyvel


class Disk:
    """The machine's own file system."""

    def make_folder(self, path: Path) -> None:
        """Create a folder, and those above it, unless it is there."""
        path.mkdir(parents=True, exist_ok=True)

    def exists(self, path: Path) -> bool:
        """Tell whether there is a file or folder."""
        return path.exists()

    def has_any(self, folder: Path, pattern: str) -> bool:
        """Tell whether a folder has a file whose name matches."""
        return any(folder.glob(pattern))

    def open_database(self, path: Path, **options: int) -> plyvel.DB:
        """Open a LevelDB database; raises plyvel.Error."""
        return plyvel.DB(str(path), **options)

    def touch(self, path: Path) -> None:
        """Make an empty file that a crash cannot lose."""
        handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
        os.fsync(handle)
        os.close(handle)
        sync_folder(path.parent)

    def create(self, path: Path, data: bytes) -> None:
        """Make a file that only its owner reads, whole or not at all, synced."""
        draft = path.with_name(f"{path.name}.new")
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.pwrite(handle, data, 0)
            os.fsync(handle)
        finally:
            os.close(handle)
        draft.rename(path)
        sync_folder(path.parent)

    def open(self, path: Path) -> int:
        """Open a file for reading and writing."""
        return os.open(path, os.O_RDWR)

    def lock(self, file: int) -> None:
        """Keep other processes from locking an open file; raises OSError where one did."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def read(self, file: int, count: int, offset: int) -> bytes:
        """Return up to `count` bytes."""
        return os.pread(file, count, offset)

    def write(self, file: int, data: bytes, offset: int) -> None:
        """Write within a file; not before `sync` does it survive a crash."""
        os.pwrite(file, data, offset)

    def sync(self, file: int) -> None:
        """Make what was written to a file last."""
        os.fdatasync(file)

    def close(self, file: int) -> None:
        """Close a file and give up its lock."""
        os.close(file)

    def names(self, folder: Path) -> list[str]:
        """Return what a folder holds, sorted; nothing where there is none."""
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def load(self, path: Path) -> bytes:
        """Return what a file holds; raises OSError."""
        return path.read_bytes()

    def size(self, path: Path) -> int:
        """Return how many bytes a file holds."""
        return path.stat().st_size

    def append(self, path: Path, data: bytes) -> None:
        """Write at the end of a file, made if there is none; before `sync_file` it may be lost."""
        with path.open("ab") as file:
            file.write(data)

    def sync_file(self, path: Path) -> None:
        """Make all that was appended to a file last."""
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def rename(self, path: Path, target: Path) -> None:
        """Give a file or folder another name; after `sync_folder` it survives a crash."""
        path.rename(target)

    def remove(self, path: Path) -> None:
        """Remove a file, or a folder with all in it, as far as it can be."""
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Have the disk know which files a folder holds."""
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Have the disk know which files a folder holds."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def words(error: Exception) -> str:
    """Return what an error says; LevelDB says it in bytes."""
    found = error.args[0] if error.args else b""
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(error)
