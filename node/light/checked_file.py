"""Small files with a checksum, replaced as a whole: a crash leaves the old one or the new one."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Final

from vm.primitives.errors import DecodeError

CHECKSUM_BYTES: Final = 32
MAX_BYTES: Final = 1_048_576


def save_checked(path: Path, data: bytes) -> None:
    """Write `data` unless it stands there already; raises OSError."""
    content = sha256(data).digest() + data
    if path.exists() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)


def load_checked(path: Path) -> bytes:
    """Return what was written; raises FileNotFoundError, or DecodeError where it is damaged."""
    with path.open("rb") as handle:
        content = handle.read(MAX_BYTES + 1)
    data = content[CHECKSUM_BYTES:]
    if len(content) > MAX_BYTES or sha256(data).digest() != content[:CHECKSUM_BYTES]:
        raise DecodeError("the checksum is wrong", actual=f"{len(content)} bytes")
    return data
