"""The store: one LevelDB database with the final state, its tree, the blocks and their indices.

One synced batch per block. LevelDB goes on acknowledging writes after one has failed, so the
first write error closes the store for good and stops the node; a restart opens with paranoid
checks and compares the root. A directory that once had blocks is never begun anew in silence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import plyvel

from consensus.messages import CommitCertificate
from node.block_index import (
    BASE_KEY,
    BLOCK_ID,
    BODY,
    CHANGE,
    FORMAT,
    FORMAT_KEY,
    HEAD,
    HEIGHT_KEY,
    HISTORY,
    PAGE,
    PENDING,
    RECEIPTS,
    STATE,
    TRANSACTION,
    VALIDATORS,
    height_bytes,
    involved_accounts,
)
from node.data_folder import CHAIN_FOLDER, MARKER_NAME, finish_swap, mark_joined
from node.disk import Disk, words
from node.ledger.block import Body, Header, decode_body, decode_header
from node.ledger.certificate import decode_certificate, encode_certificate
from node.ledger.chain_rules import Candidate
from node.ledger.receipt import Receipt, decode_receipt
from node.ledger.state_tree import tree_root
from node.store_caches import MISSING, OrderedKeys, RecentEntries
from vm.overlay import ORDERED_SPACES
from vm.primitives.codec import decode, encode_trusted
from vm.primitives.errors import BitenergyError, InvariantViolation
from vm.system.validators import VALIDATORS_KEY, Validator, decode_validators

CACHED_VALUES: Final = 16_384
CACHED_PAGES: Final = 4_096
MAX_RECEIPTS_BYTES: Final = 67_108_864
RESYNC_HINT: Final = "Fetch the chain anew from the node's peers: bitenergy node resync"


class StorageFailure(Exception):
    """The disk failed or the database is damaged: the node stops, nothing acknowledged is lost."""


class AlreadyOpen(BitenergyError):
    """Another process uses the data directory."""

    default_code = "already_open"


@dataclass(frozen=True, slots=True)
class StoredHead:
    """A block's header and the certificate that decided it."""

    header: Header
    """The header."""
    certificate: CommitCertificate | None
    """The certificate; None for block 0 and under engines with finality by depth."""


class Store:
    """The final chain on disk; it is also the final state as code reads it (a StateView)."""

    def __init__(self, directory: Path, *, disk: Disk | None = None) -> None:
        """Open the database, or begin one in an empty directory.

        Raises AlreadyOpen, or StorageFailure where blocks were but the database is gone.
        """
        self._disk = disk or Disk()
        self._disk.make_folder(directory)
        finish_swap(directory, self._disk)
        self._directory = directory
        self.syncs = 0
        self._connect()

    def _connect(self) -> None:
        path = self._directory / CHAIN_FOLDER
        marker = self._directory / MARKER_NAME
        fresh = not self._disk.exists(path / "CURRENT")
        is_known = self._disk.exists(marker) or any(
            self._disk.has_any(path, pattern) for pattern in ("*.ldb", "*.log")
        )
        if fresh and is_known:
            raise StorageFailure(
                f"{path} had blocks and its database is gone. Restore it, or fetch the chain anew "
                "from the node's peers: bitenergy node resync"
            )
        try:
            self._db = self._disk.open_database(
                path,
                create_if_missing=fresh,
                error_if_exists=False,
                paranoid_checks=True,
                lru_cache_size=4 * 1024 * 1024,
                write_buffer_size=4 * 1024 * 1024,
                compression=None,
                max_open_files=256,
            )
        except plyvel.IOError as error:
            if "io error: lock " in str(error).lower():
                raise AlreadyOpen(
                    "another process uses this data directory",
                    actual=self._directory,
                    hint="Stop the other node first, or give this one its own directory.",
                ) from error
            raise StorageFailure(
                f"the database at {path} cannot be opened: {words(error)}. Free space or mend the "
                "disk, then start the node again."
            ) from error
        except plyvel.Error as error:
            raise StorageFailure(
                f"the database at {path} is damaged: {words(error)}. {RESYNC_HINT}"
            ) from error
        self._marker = marker
        self._failed = False
        self._view = self._db.snapshot()
        self._values = RecentEntries(CACHED_VALUES)
        self._pages = RecentEntries(CACHED_PAGES)
        try:
            self._open(path, is_fresh=fresh)
        except BaseException:
            self._db.close()
            raise

    def _open(self, path: Path, *, is_fresh: bool) -> None:
        self._ordered = OrderedKeys(
            entry
            for space in ORDERED_SPACES
            for entry in self._scan_disk(bytes([space]), bytes([space + 1]))
        )
        stored = self._get(FORMAT_KEY)
        is_strange = stored is None and not is_fresh and any(True for _ in self._read(b"", b"\xff"))
        if stored not in (None, FORMAT) or is_strange:
            raise StorageFailure(f"{path} is not a bitenergy database of this version")
        self.height = int.from_bytes(self._get(HEIGHT_KEY) or b"", "big")
        self.base = int.from_bytes(self._get(BASE_KEY) or b"", "big")
        self.is_empty = stored is None
        if not self.is_empty and not self._disk.exists(self._marker):
            self._mark()

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def adopt_joined(self) -> None:
        """Read from the database in `joining`, complete and closed, from now on.

        Only a chain that holds nothing but genesis gives way to it.
        """
        if self.height:
            raise InvariantViolation("a chain that goes on was about to be replaced")
        self._view.close()
        self._db.close()
        try:
            mark_joined(self._directory, self._disk)
            finish_swap(self._directory, self._disk)
        except OSError as error:
            raise StorageFailure(f"the joined chain cannot be moved in: {words(error)}") from error
        self._connect()

    def frozen(self) -> plyvel.Snapshot:
        """Return the database as it is now, for reading in any thread; the caller closes it."""
        return self._db.snapshot()

    def drop(self, keys: Sequence[bytes], base: int) -> None:
        """Delete entries of blocks below `base`, in any thread; raises StorageFailure.

        Not synced: after a crash they are deleted again.
        """
        if self._failed:
            raise StorageFailure("the database failed before; restart the node")
        try:
            with self._db.write_batch(transaction=True) as batch:
                for key in keys:
                    batch.delete(key)
                batch.put(BASE_KEY, height_bytes(base))
        except (plyvel.Error, OSError) as error:
            self._failed = True
            raise StorageFailure(f"old blocks could not be deleted: {words(error)}") from error

    def show_base(self, base: int) -> None:
        """Let readers see what `drop` left."""
        self._refresh_view()
        self.base = base

    def compact(self, prefix: bytes) -> None:
        """Give the bytes of deleted entries below a prefix back to the disk, in any thread."""
        self._db.compact_range(start=prefix, stop=prefix + b"\xff" * 40)

    # --- the final state, as the ledger reads it ---------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a state key after the last final block."""
        if key[0] in ORDERED_SPACES:
            return self._ordered.get(key)
        value = self._values.get(key)
        if value is MISSING:
            value = self._get(STATE + key)
            self._values.put(key, value)
        return value

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Return (key, value) of the final state, ascending in [start, end)."""
        if start[0] in ORDERED_SPACES:
            return self._ordered.scan(start, end)
        return self._scan_disk(start, end)

    def _scan_disk(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key, value in self._read(STATE + start, STATE + end):
            yield key[1:], value

    def page(self, path: str) -> bytes | None:
        """Return a page of the final state tree."""
        key = path.encode("ascii")
        value = self._pages.get(key)
        if value is MISSING:
            value = self._get(PAGE + key)
            self._pages.put(key, value)
        return value

    # --- blocks ------------------------------------------------------------------------------

    def commit(self, block: Candidate, certificate: CommitCertificate | None) -> None:
        """Make a block final: `write_block` and `advance` in one."""
        self.write_block(block, certificate)
        self.advance(block)

    def write_block(
        self,
        block: Candidate,
        certificate: CommitCertificate | None,
        keep_pending: Collection[bytes] = (),
    ) -> None:
        """Write a final block, its state and its indices in one synced batch.

        Blocks of `keep_pending` stay beside it. May run in another thread than all else. Raises
        StorageFailure, after which nothing can be written any more.
        """
        executed = block.executed
        height = block.header.height.to_bytes(8, "big")
        encoded = encode_certificate(certificate) if certificate else b""
        writes: list[tuple[bytes, bytes]] = [
            (HEAD + height, encode_trusted([block.header.encode(), encoded])),
            (BODY + height, block.body.encode()),
            (RECEIPTS + height, encode_trusted(executed.encoded_receipts)),
            (BLOCK_ID + block.block_id, height),
            (HEIGHT_KEY, height),
            (FORMAT_KEY, FORMAT),
        ]
        validators = executed.state.get(VALIDATORS_KEY)
        if validators is not None and VALIDATORS_KEY in executed.state.overlay.changes:
            writes.append((VALIDATORS + executed.next_validators, validators))
        if block.header.next_validators != block.header.validators:
            writes.append((CHANGE + height, b""))
        for number, transaction in enumerate(block.transactions):
            place = height + number.to_bytes(4, "big")
            writes.append((TRANSACTION + transaction.id, place))
        for account, numbers in involved_accounts(
            block.transactions, executed.receipts, executed.first_transaction
        ).items():
            packed = b"".join([number.to_bytes(4, "big") for number in numbers])
            writes.append((HISTORY + account + height, packed))
        pages = {path.encode("ascii"): page for path, page in executed.state.pages.items()}
        gone = self._pending_ids() - set(keep_pending)
        self._write(writes, executed.state.overlay.changes, pages, gone)
        if self.is_empty:
            self._mark()

    def advance(self, block: Candidate) -> None:
        """Let readers see the block that `write_block` wrote."""
        for key, value in block.executed.state.overlay.changes.items():
            if key[0] not in ORDERED_SPACES:
                self._values.put(key, value)
        self._ordered.apply(block.executed.state.overlay.changes)
        for path, page in block.executed.state.pages.items():
            self._pages.put(path.encode("ascii"), page)
        self._refresh_view()
        self.height = block.header.height
        self.is_empty = False

    def _refresh_view(self) -> None:
        """Read what was written last; until then readers see one state, whatever is under way."""
        self._view.close()
        self._view = self._db.snapshot()

    def head(self, height: int) -> StoredHead | None:
        """Return the header and certificate of a final block, or None."""
        if (found := self.head_bytes(height)) is None:
            return None
        certificate = decode_certificate(found[1]) if found[1] else None
        return StoredHead(decode_header(found[0]), certificate)

    def head_bytes(self, height: int) -> tuple[bytes, bytes] | None:
        """Return the canonical bytes of a final block's header and certificate, or None."""
        stored = self._get(HEAD + height.to_bytes(8, "big"))
        if stored is None:
            return None
        match decode(stored, max_bytes=65_536):
            case (bytes(header), bytes(certificate)):
                return header, certificate
        raise StorageFailure(f"the head of block {height} is damaged")

    def body_bytes(self, height: int) -> bytes | None:
        """Return the canonical bytes of a final block's body, or None."""
        return self._get(BODY + height.to_bytes(8, "big"))

    def body(self, height: int) -> Body | None:
        """Return a final block's body, or None."""
        stored = self.body_bytes(height)
        return None if stored is None else decode_body(stored)

    def receipt_bytes(self, height: int) -> tuple[bytes, ...]:
        """Return the canonical bytes of a final block's receipts, in order."""
        stored = self._get(RECEIPTS + height.to_bytes(8, "big"))
        if stored is None:
            return ()
        value = decode(stored, max_bytes=MAX_RECEIPTS_BYTES, max_items=1_048_576)
        if not isinstance(value, tuple):
            raise StorageFailure(f"the receipts of block {height} are damaged")
        return tuple(item for item in value if isinstance(item, bytes))

    def receipts(self, height: int) -> tuple[Receipt, ...]:
        """Return a final block's receipts, in order."""
        return tuple(decode_receipt(data) for data in self.receipt_bytes(height))

    def receipts_from(self, height: int) -> Iterator[tuple[int, bytes]]:
        """Return (height, all receipts as stored) of the final blocks from `height` down."""
        for key, value in self._read(RECEIPTS, RECEIPTS + height_bytes(height + 1), reverse=True):
            yield int.from_bytes(key[1:], "big"), value

    def find_block(self, block_id: bytes) -> int | None:
        """Return the height of a final block, or None."""
        stored = self._get(BLOCK_ID + block_id)
        return None if stored is None else int.from_bytes(stored, "big")

    def find_transaction(self, transaction_id: bytes) -> tuple[int, int] | None:
        """Return (height, number in the block) of a final transaction, or None."""
        stored = self._get(TRANSACTION + transaction_id)
        if stored is None:
            return None
        return int.from_bytes(stored[:8], "big"), int.from_bytes(stored[8:], "big")

    def history(self, account: bytes, *, before: int, limit: int) -> list[tuple[int, int]]:
        """Return up to `limit` (height, number) of transactions that touched an account.

        The newest first, all in blocks below height `before`.
        """
        found: list[tuple[int, int]] = []
        stop = HISTORY + account + before.to_bytes(8, "big")
        for key, value in self._read(HISTORY + account, stop, reverse=True):
            height = int.from_bytes(key[-8:], "big")
            numbers = [int.from_bytes(value[at : at + 4], "big") for at in range(0, len(value), 4)]
            found.extend((height, number) for number in reversed(numbers))
            if len(found) >= limit:
                break
        return found[:limit]

    def validators_by_hash(self, digest: bytes) -> tuple[Validator, ...] | None:
        """Return the set of validators whose hash a header carries, or None."""
        stored = self._get(VALIDATORS + digest)
        return None if stored is None else decode_validators(stored)

    def validators_at(self, height: int) -> tuple[Validator, ...] | None:
        """Return the validators that decide the block at `height`, or None if not known."""
        found = self.head_bytes(height)
        if found is not None:
            return self.validators_by_hash(decode_header(found[0]).validators)
        if height > self.height + 1:
            return None
        change = next(self._read(CHANGE, CHANGE + height_bytes(height), reverse=True), None)
        before = self.head_bytes(0 if change is None else int.from_bytes(change[0][1:], "big"))
        following = None if before is None else decode_header(before[0]).next_validators
        return None if following is None else self.validators_by_hash(following)

    def changes_after(self, height: int) -> Iterator[int]:
        """Return the heights above `height` after which other validators decide, ascending."""
        for key, _ in self._read(CHANGE + height_bytes(height + 1), CHANGE + b"\xff" * 9):
            yield int.from_bytes(key[1:], "big")

    # --- blocks that are not final -----------------------------------------------------------

    def save_pending(
        self, block_id: bytes, header: bytes, body: bytes, *, synced: bool = True
    ) -> None:
        """Keep a block that is not final; synced where a crash of all must not lose it."""
        self._write([(PENDING + block_id, encode_trusted([header, body]))], {}, {}, synced=synced)

    def _pending_ids(self) -> set[bytes]:
        return {key[1:] for key, _ in self._read_pending()}

    def _read_pending(self) -> list[tuple[bytes, bytes]]:
        with self._db.snapshot() as newest:
            return list(self._read(PENDING, PENDING + b"\xff" * 33, view=newest))

    def pending(self) -> dict[bytes, tuple[Header, Body]]:
        """Return the kept blocks by id."""
        found: dict[bytes, tuple[Header, Body]] = {}
        for key, value in self._read_pending():
            match decode(value, max_bytes=MAX_RECEIPTS_BYTES):
                case (bytes(header), bytes(body)):
                    found[key[1:]] = (decode_header(header), decode_body(body))
        return found

    def verify_root(self) -> None:
        """Raise StorageFailure unless the stored tree has the root of the last final header."""
        found = self.head(self.height)
        if found is None:
            raise StorageFailure(f"the last final block is missing. {RESYNC_HINT}")
        actual = tree_root(self.page)
        if actual != found.header.state_root:
            raise StorageFailure(
                f"the state of block {self.height} is damaged: its root is {actual.hex()}, the "
                f"header says {found.header.state_root.hex()}. {RESYNC_HINT}"
            )

    def size_bytes(self) -> int:
        """Return about how many bytes the database takes on disk."""
        return int(self._db.approximate_size(b"\x00", b"\xff"))

    def _get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._view.get(key, verify_checksums=True)
        except plyvel.Error as error:
            self._failed = True
            raise StorageFailure(
                f"the database is damaged: {words(error)}. {RESYNC_HINT}"
            ) from error
        return value

    def _read(
        self,
        start: bytes,
        stop: bytes,
        *,
        reverse: bool = False,
        view: plyvel.Snapshot | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        try:
            with (view or self._view).iterator(
                start=start, stop=stop, reverse=reverse, verify_checksums=True
            ) as entries:
                yield from entries
        except plyvel.Error as error:
            self._failed = True
            raise StorageFailure(
                f"the database is damaged: {words(error)}. {RESYNC_HINT}"
            ) from error

    def _mark(self) -> None:
        try:
            self._disk.touch(self._marker)
        except OSError as error:
            self._failed = True
            raise StorageFailure(f"{self._marker} could not be written: {words(error)}") from error

    def _write(
        self,
        writes: Sequence[tuple[bytes, bytes]],
        changes: Mapping[bytes, bytes | None],
        pages: Mapping[bytes, bytes | None],
        gone: Collection[bytes] = (),
        *,
        synced: bool = True,
    ) -> None:
        if self._failed:
            raise StorageFailure("the database failed before; restart the node")
        try:
            with self._db.write_batch(transaction=True, sync=synced) as batch:
                for key, value in writes:
                    batch.put(key, value)
                for prefix, entries in ((STATE, changes), (PAGE, pages)):
                    for key, entry in entries.items():
                        if entry is None:
                            batch.delete(prefix + key)
                        else:
                            batch.put(prefix + key, entry)
                for block_id in gone:
                    batch.delete(PENDING + block_id)
            self.syncs += synced
        except (plyvel.Error, OSError) as error:
            self._failed = True
            raise StorageFailure(
                f"a block could not be written: {words(error)}. Nothing acknowledged is lost; "
                "free space or mend the disk, then start the node again."
            ) from error
