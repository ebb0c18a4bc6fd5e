"""The staging database: takes the proved chunks of one snapshot, until it is a chain of its own.

Every chunk comes in one batch with the note that it is here, so that a join that was cut short
goes on where it was; what was not written is fetched again. The notes go last, with the marks
that make a database of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import plyvel

from node.block_index import (
    BASE_KEY,
    BLOCK_ID,
    CHANGE,
    FORMAT,
    FORMAT_KEY,
    HEAD,
    HEIGHT_KEY,
    PAGE,
    STATE,
    VALIDATORS,
    height_bytes,
)
from node.data_folder import JOINING_FOLDER
from node.disk import Disk
from node.ledger.block import Header, decode_header
from node.snapshot.format import Manifest, ProvedChunk, decode_manifest, join_slots
from node.snapshot.wire import ValidatorChange
from node.store import StorageFailure
from vm.context import BlockContext, CallContext
from vm.module import Module
from vm.overlay import INDEX_SPACE, Overlay, StateReader
from vm.parameters import PARAMETERS_KEY, decode_parameters
from vm.primitives.codec import encode_trusted
from vm.primitives.errors import DecodeError
from vm.runtime import Runtime
from vm.system.validator_history import ValidatorHistory, read_history
from vm.system.validators import (
    VALIDATORS_KEY,
    Validator,
    encode_validators,
    validators_hash,
)

MANIFEST_KEY: Final = b"Jmanifest"
SLOT: Final = b"J/"
INDEX_BATCH: Final = 2_000
INDEX_GAS: Final = 10**15


class Staging:
    """A snapshot's database in the making."""

    def __init__(self, directory: Path, manifest: Manifest, disk: Disk | None = None) -> None:
        """Go on with what is there of this snapshot, or begin; raises StorageFailure."""
        self._path = directory / JOINING_FOLDER
        self._disk = disk or Disk()
        self.manifest = manifest
        self.slots: dict[str, bytes] = {}
        try:
            self._open_db()
            if not self._go_on():
                self._db.close()
                self._disk.remove(self._path)
                self._open_db()
                self._db.put(MANIFEST_KEY, manifest.encode())
        except (plyvel.Error, OSError) as error:
            raise StorageFailure(f"{self._path} cannot be written: {error}") from error

    def _go_on(self) -> bool:
        """Take up what is here; tell whether it is of this snapshot, and whole."""
        try:
            if self._db.get(MANIFEST_KEY, verify_checksums=True) != self.manifest.encode():
                return False
            for key, slot in self._db.iterator(prefix=SLOT, verify_checksums=True):
                self.slots[key[len(SLOT) :].decode("ascii")] = slot
        except plyvel.Error:
            self.slots.clear()
            return False
        return True

    @classmethod
    def load_manifest(cls, directory: Path, disk: Disk | None = None) -> Manifest | None:
        """Return what a join that was cut short was fetching, or None."""
        path, disk = directory / JOINING_FOLDER, disk or Disk()
        if not disk.exists(path / "CURRENT"):
            return None
        try:
            db = disk.open_database(path, create_if_missing=False)
            stored = db.get(MANIFEST_KEY)
            db.close()
            return None if stored is None else decode_manifest(stored)
        except (plyvel.Error, OSError, DecodeError):
            return None

    def _open_db(self) -> None:
        open_db = partial(
            self._disk.open_database,
            self._path,
            create_if_missing=True,
            paranoid_checks=True,
            lru_cache_size=4 * 1024 * 1024,
            write_buffer_size=8 * 1024 * 1024,
            compression=None,
            max_open_files=128,
        )
        try:
            self._db = open_db()
        except plyvel.CorruptionError:
            self._disk.remove(self._path)
            self._db = open_db()

    def add(self, path: str, chunk: ProvedChunk) -> None:
        """Write a chunk, in any thread; raises StorageFailure."""
        try:
            with self._db.write_batch(transaction=True) as batch:
                for key, value in chunk.leaves.items():
                    batch.put(STATE + key, value)
                for place, page in chunk.pages.items():
                    batch.put(PAGE + place.encode("ascii"), page)
                batch.put(SLOT + path.encode("ascii"), chunk.slot)
        except (plyvel.Error, OSError) as error:
            raise StorageFailure(f"{self._path} cannot be written: {error}") from error
        self.slots[path] = chunk.slot

    def read_history(self) -> ValidatorHistory:
        """Return what the staged state says of the validators' changes; raises StorageFailure."""
        try:
            return read_history(_StagedState(self._db))
        except plyvel.Error as error:
            raise StorageFailure(f"{self._path} cannot be read: {error}") from error

    def finish(
        self,
        runtime_at: Callable[[StateReader], Runtime],
        genesis: tuple[bytes, bytes],
        validators: Sequence[Validator],
        changes: Sequence[ValidatorChange],
        below: bytes = b"",
    ) -> None:
        """Make a database of what is here and close it, in any thread; raises StorageFailure.

        `genesis` holds the bytes of block 0's header and certificate, `validators` those that it
        names. `changes` are all changes of validators, to the snapshot's height, `below` is the
        header under the snapshot's where the next block needs it. `runtime_at` returns the modules
        in the versions that a state names.
        """
        header = self.manifest.header
        try:
            root, pages = join_slots(self.slots, self.manifest.depth)
            if root != header.state_root:
                raise StorageFailure("the chunks do not make the state: the disk lost some")
            self._rebuild_index(runtime_at(_StagedState(self._db)))
            with self._db.write_batch(transaction=True, sync=True) as batch:
                for path, page in pages.items():
                    batch.put(PAGE + path.encode("ascii"), page)
                batch.put(HEAD + height_bytes(0), encode_trusted(list(genesis)))
                encoded = encode_validators(validators)
                batch.put(VALIDATORS + validators_hash(encoded), encoded)
                for change in changes:
                    _put_change(batch, change)
                if below:
                    batch.put(HEAD + height_bytes(header.height - 1), encode_trusted([below, b""]))
                self._put_head(batch, header)
                for path in self.slots:
                    batch.delete(SLOT + path.encode("ascii"))
                batch.delete(MANIFEST_KEY)
        except plyvel.Error as error:
            raise StorageFailure(f"{self._path} cannot be written: {error}") from error
        finally:
            self._db.close()

    def _put_head(self, batch: plyvel.WriteBatch, header: Header) -> None:
        certificate = self.manifest.certificate
        height = height_bytes(header.height)
        batch.put(HEAD + height, encode_trusted([header.encode(), certificate]))
        batch.put(BLOCK_ID + header.block_id(), height)
        batch.put(BASE_KEY, height_bytes(header.height + 1))
        validators = self._db.get(STATE + VALIDATORS_KEY)
        if validators is not None:
            batch.put(VALIDATORS + validators_hash(validators), validators)
        if header.next_validators != header.validators:
            batch.put(CHANGE + height, b"")
        batch.put(HEIGHT_KEY, height)
        batch.put(FORMAT_KEY, FORMAT)

    def close(self) -> None:
        """Close it; what is here stays for the next attempt."""
        self._db.close()

    def _rebuild_index(self, runtime: Runtime) -> None:
        """Write the index entries that follow from the proved pairs."""
        rebuild = [
            module.rebuild_index
            for module in runtime.modules.values()
            if type(module).rebuild_index is not Module.rebuild_index
        ]
        header = self.manifest.header
        parameters = decode_parameters(self._db.get(STATE + PARAMETERS_KEY) or b"")
        block = BlockContext(header.genesis, header.height, header.time_ms, parameters)
        self._clear_index()
        with self._db.iterator(prefix=STATE, verify_checksums=True) as entries:
            while batch := list(islice(entries, INDEX_BATCH)):
                overlay = Overlay(_StagedState(self._db))
                ctx = CallContext(block, overlay, INDEX_GAS)
                for key, value in batch:
                    for write in rebuild:
                        write(ctx, key[1:], value)
                self._put_index(overlay)

    def _clear_index(self) -> None:
        """Remove what a join that was cut short wrote of it."""
        with self._db.write_batch(transaction=True) as batch:
            for key in self._db.iterator(prefix=STATE + INDEX_SPACE, include_value=False):
                batch.delete(key)

    def _put_index(self, overlay: Overlay) -> None:
        with self._db.write_batch(transaction=True) as batch:
            for key, value in overlay.changes.items():
                if value is None:
                    batch.delete(STATE + key)
                else:
                    batch.put(STATE + key, value)


class _StagedState:
    """The staged pairs, as a module reads them."""

    __slots__ = ("_db",)

    def __init__(self, db: plyvel.DB) -> None:
        self._db = db

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._db.get(STATE + key)
        return value

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        with self._db.iterator(
            start=STATE + start, stop=STATE + end, verify_checksums=True
        ) as entries:
            for key, value in entries:
                yield key[len(STATE) :], value


def _put_change(batch: plyvel.WriteBatch, change: ValidatorChange) -> None:
    header = decode_header(change.header)
    height = height_bytes(header.height)
    batch.put(HEAD + height, encode_trusted([change.header, change.certificate]))
    batch.put(BLOCK_ID + header.block_id(), height)
    batch.put(CHANGE + height, b"")
    batch.put(VALIDATORS + validators_hash(change.validators), change.validators)
