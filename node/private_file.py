"""A private file: created whole with mode 0600, and read only while nobody else can touch it."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from vm.primitives.errors import InvalidInput


class PrivateFileError(InvalidInput):
    """A private file that is missing, exposed to others, or cannot be read or written."""

    default_code = "file_unreadable"


def write_private_file(path: Path, data: bytes, *, replace: bool) -> None:
    """Create `path` with `data`, mode 0600, synced, complete or not at all.

    Without `replace` an existing file is never touched, also when two processes race.
    Raises `PrivateFileError`.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                os.fchmod(handle.fileno(), 0o600)
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            if replace:
                os.replace(temporary, path)
            else:
                os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_directory(path.parent)
    except FileExistsError as error:
        raise PrivateFileError(
            f"{path} exists already and is not overwritten",
            code="file_exists",
            hint="Choose another name, or move the old file away if it is no longer needed.",
        ) from error
    except OSError as error:
        raise PrivateFileError(
            f"cannot write {path}: {error.strerror}",
            code="file_unwritable",
            hint="Check that the folder exists, is yours, and that the disk has room.",
        ) from error


def read_private_file(path: Path, *, max_bytes: int) -> bytes:
    """Return what `path` holds, cut one byte past `max_bytes`, if only its owner can touch it.

    Never waits (on a pipe, say). Raises `PrivateFileError`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise PrivateFileError(
            f"there is no file {path}", code="file_missing", hint="Check the name, or create it."
        ) from error
    except OSError as error:
        raise PrivateFileError(
            f"cannot read {path}: {error.strerror}", code="file_unreadable", hint="Check its owner."
        ) from error
    try:
        _validate_private(path, os.fstat(descriptor))
        return os.read(descriptor, max_bytes + 1)
    except OSError as error:
        raise PrivateFileError(
            f"cannot read {path}: {error.strerror}", code="file_unreadable"
        ) from error
    finally:
        os.close(descriptor)


def _validate_private(path: Path, found: os.stat_result) -> None:
    """Raise `PrivateFileError` unless `found` is a plain file that only its owner can touch."""
    if not stat.S_ISREG(found.st_mode):
        raise PrivateFileError(f"{path} is not a file", code="file_unreadable")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise PrivateFileError(
            f"{path} can be read or changed by other users, so its secret may be known to them",
            code="file_exposed",
            expected="mode 0600",
            actual=f"mode {stat.S_IMODE(found.st_mode):04o}",
            hint=f"If all users of this machine are trusted: chmod 600 {path}; else replace it.",
        )
    if os.geteuid() != 0 and found.st_uid not in (os.geteuid(), 0):
        raise PrivateFileError(
            f"{path} belongs to another user",
            code="file_exposed",
            expected=f"uid {os.geteuid()}",
            actual=f"uid {found.st_uid}",
            hint="Copy it to a file of your own.",
        )


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
