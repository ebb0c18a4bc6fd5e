"""Taking a snapshot while the node goes on: from a frozen view of the database into files.

SNAPSHOTS/HEIGHT/manifest   what it is of
SNAPSHOTS/HEIGHT/outline    the tree's pages above the chunks
SNAPSHOTS/HEIGHT/PATH       one chunk each

A snapshot is made under another name and renamed when it is whole and synced. Memory is bounded by
the buffers of the chunks and the largest chunk, whatever the size of the state.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import plyvel

from node.block_index import HEAD, HEIGHT_KEY, PAGE, STATE, height_bytes
from node.disk import Disk
from node.ledger.block import decode_header
from node.ledger.state_tree import key_hash, unpack_page
from node.snapshot.format import (
    MAX_CHUNK_BYTES,
    MAX_DEPTH,
    Manifest,
    decode_manifest,
    encode_chunk,
    encode_outline,
)
from node.store import RESYNC_HINT, StorageFailure
from vm.overlay import INDEX_SPACE
from vm.primitives.codec import decode
from vm.primitives.errors import DecodeError
from vm.primitives.hashing import HASH_BYTES

MANIFEST_NAME: Final = "manifest"
OUTLINE_NAME: Final = "outline"
UNFINISHED_NAME: Final = "unfinished"
DRAFT_SUFFIX: Final = ".draft"
CHUNK_BYTES: Final = 1_048_576
"""What a chunk aims at."""
BUFFER_BYTES: Final = 16_777_216
"""What may wait in memory for all the chunks' files."""
STEP_ENTRIES: Final = 256
PAIR_BYTES: Final = 12
"""What a chunk needs for a pair beside its key and value."""
KEPT: Final = 2


@dataclass(frozen=True, slots=True)
class HeldSnapshot:
    """A snapshot that is here, whole."""

    folder: Path
    """Where its files are."""
    manifest: Manifest
    """What it is of."""
    disk: Disk
    """What holds them."""

    @property
    def height(self) -> int:
        """The height of its block."""
        return self.manifest.header.height

    def read(self, path: str) -> bytes:
        """Return a chunk, or the outline for the empty path; empty bytes where there is none."""
        name = path if len(path) == self.manifest.depth else OUTLINE_NAME if not path else ""
        try:
            return self.disk.load(self.folder / name) if name else b""
        except OSError:
            return b""


def load_snapshots(base: Path, disk: Disk | None = None) -> list[HeldSnapshot]:
    """Return the whole snapshots below `base`, the newest first."""
    disk = disk or Disk()
    found: list[HeldSnapshot] = []
    for name in disk.names(base):
        if not name.isdecimal():
            continue
        try:
            manifest = decode_manifest(disk.load(base / name / MANIFEST_NAME))
            found.append(HeldSnapshot(base / name, manifest, disk))
        except (OSError, DecodeError):
            continue
    return sorted(found, key=lambda snapshot: -snapshot.height)


def remove_leftovers(base: Path, disk: Disk | None = None, *, kept: int = KEPT) -> None:
    """Remove what is not whole, and the oldest snapshots beyond those kept."""
    disk = disk or Disk()
    whole = [snapshot.folder.name for snapshot in load_snapshots(base, disk)[:kept]]
    for name in disk.names(base):
        if (name.isdecimal() or name == UNFINISHED_NAME) and name not in whole:
            disk.remove(base / name)


class SnapshotTaking:
    """One snapshot in the making: `steps` does the work, `result` is it."""

    def __init__(
        self,
        view: plyvel.Snapshot,
        base: Path,
        *,
        disk: Disk | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        """Take the final state that `view` shows; `steps` closes the view."""
        self._view = view
        self._base = base
        self._disk = disk or Disk()
        self._chunk_bytes = chunk_bytes
        self._folder = base / UNFINISHED_NAME
        self.height = int.from_bytes(view.get(HEIGHT_KEY) or b"", "big")
        self.result: HeldSnapshot | None = None

    def steps(self) -> Iterator[None]:
        """Write the files in small steps; raises StorageFailure where the state is damaged."""
        try:
            self._disk.remove(self._folder)
            self._disk.make_folder(self._folder)
            header, certificate = self._head()
            size = yield from self._measure()
            depth = 1
            while depth < MAX_DEPTH and size > self._chunk_bytes * 16**depth:
                depth += 1
            while True:
                yield from self._distribute(depth)
                largest = max((self._disk.size(path) for path in self._drafts()), default=0)
                if largest <= MAX_CHUNK_BYTES * 3 // 4 or depth == MAX_DEPTH:
                    break
                depth += 1
            for path in self._drafts():
                chunk = encode_chunk(_pairs(self._disk.load(path)))
                self._write(path.name.removesuffix(DRAFT_SUFFIX), chunk)
                self._disk.remove(path)
                yield
            self._write(OUTLINE_NAME, encode_outline(self._outline(depth)))
            manifest = Manifest(decode_header(header), certificate, depth)
            self._write(MANIFEST_NAME, manifest.encode())
            self.result = self._publish(manifest)
        except plyvel.Error as error:
            raise StorageFailure(f"the database is damaged: {error}. {RESYNC_HINT}") from error
        finally:
            self._view.close()

    def _write(self, name: str, data: bytes) -> None:
        """Make a file that lasts: who offers a snapshot must have it, also after a crash."""
        self._disk.append(self._folder / name, data)
        self._disk.sync_file(self._folder / name)

    def _head(self) -> tuple[bytes, bytes]:
        match decode(self._view.get(HEAD + height_bytes(self.height)) or b"", max_bytes=65_536):
            case (bytes(header), bytes(certificate)):
                return header, certificate
        raise StorageFailure(f"the head of block {self.height} is damaged")

    def _measure(self) -> Generator[None, None, int]:
        """Return how many bytes the chunks take in all."""
        size = 0
        for number, (key, value) in enumerate(self._state()):
            size += len(key) + len(value) + PAIR_BYTES
            if number % STEP_ENTRIES == 0:
                yield
        return size

    def _state(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield what the state root proves: all keys but those of the derived indices."""
        spaces = ((STATE, STATE + INDEX_SPACE), (STATE + _next(INDEX_SPACE), _next(STATE)))
        for start, stop in spaces:
            with self._view.iterator(start=start, stop=stop, verify_checksums=True) as entries:
                for key, value in entries:
                    yield key[1:], value

    def _distribute(self, depth: int) -> Iterator[None]:
        """Append each pair to the draft of its chunk."""
        for path in self._drafts():
            self._disk.remove(path)
        most = max(BUFFER_BYTES >> (4 * depth), 1_024)
        buffers: dict[str, bytearray] = {}
        for number, (key, value) in enumerate(self._state()):
            path = key_hash(key).hex()[:depth]
            buffer = buffers.setdefault(path, bytearray())
            buffer += len(key).to_bytes(4, "big") + len(value).to_bytes(4, "big") + key + value
            if len(buffer) >= most:
                self._append(path, buffer)
            if number % STEP_ENTRIES == 0:
                yield
        for path, buffer in buffers.items():
            self._append(path, buffer)

    def _append(self, path: str, buffer: bytearray) -> None:
        self._disk.append(self._folder / f"{path}{DRAFT_SUFFIX}", bytes(buffer))
        buffer.clear()

    def _drafts(self) -> list[Path]:
        names = self._disk.names(self._folder)
        return [self._folder / name for name in names if name.endswith(DRAFT_SUFFIX)]

    def _outline(self, depth: int) -> Mapping[str, bytes]:
        pages: dict[str, bytes] = {}
        waiting = [""]
        while waiting:
            path = waiting.pop()
            page = self._view.get(PAGE + path.encode("ascii"))
            if page is None:
                raise StorageFailure(f"the state tree has no page at {path!r}")
            pages[path] = page
            if len(path) + 1 < depth:
                waiting.extend(
                    f"{path}{place:x}"
                    for place, slot in enumerate(unpack_page(page))
                    if len(slot) == HASH_BYTES
                )
        return pages

    def _publish(self, manifest: Manifest) -> HeldSnapshot:
        """Give the snapshot its name, and remove the oldest beyond those kept."""
        folder = self._base / str(self.height)
        self._disk.remove(folder)
        self._disk.rename(self._folder, folder)
        self._disk.sync_folder(self._base)
        remove_leftovers(self._base, self._disk)
        return HeldSnapshot(folder, manifest, self._disk)


def _pairs(draft: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position < len(draft):
        middle = position + 8 + int.from_bytes(draft[position : position + 4], "big")
        end = middle + int.from_bytes(draft[position + 4 : position + 8], "big")
        yield draft[position + 8 : middle], draft[middle:end]
        position = end


def _next(prefix: bytes) -> bytes:
    return prefix[:-1] + bytes([prefix[-1] + 1])
