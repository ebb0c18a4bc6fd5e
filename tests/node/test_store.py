"""The store: what was committed is read back, or refused; never something else, never silence."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.messages import CommitCertificate
from node.chain import Chain
from node.data_folder import MARKER_NAME
from node.ledger.chain_rules import Candidate
from node.ledger.genesis import decode_genesis
from node.ledger.transaction import Transaction
from node.modules import make_runtime
from node.store import AlreadyOpen, StorageFailure, Store
from tests.node.network import account_of, genesis_document, make_transaction
from tests.sim.nodes.disk import SimulatedDisk
from vm.primitives.errors import InvariantViolation
from vm.system.validators import read_validators

DOCUMENT = genesis_document(["V0", "V1", "V2", "V3"], members=5, time_ms=1)
GENESIS = decode_genesis(DOCUMENT)
RUNTIME = make_runtime(GENESIS.roles)


def open_chain(directory: Path) -> Chain:
    store = Store(directory)
    try:
        return Chain(store, RUNTIME, GENESIS)
    except BaseException:
        store.close()
        raise


def build(chain: Chain, transactions: Sequence[Transaction] = ()) -> Candidate:
    building = chain.building(
        time_ms=chain.header.time_ms + 10, proposer=account_of("V0"), evidence=()
    )
    for _ in building.steps(transactions, slice_size=64):
        pass
    assert building.candidate is not None
    return building.candidate


def commit(chain: Chain, *transactions: Transaction) -> Candidate:
    block = build(chain, transactions)
    assert len(block.transactions) == len(transactions)
    signatures = tuple((place, bytes([place]) * 64) for place in range(3))
    certificate = CommitCertificate(block.header.height, 0, block.block_id, signatures)
    chain.write(block, certificate)
    chain.advance(block, certificate)
    return block


def fill(directory: Path, heights: int = 3) -> list[Candidate]:
    """Make a directory with a few blocks of transfers."""
    chain = open_chain(directory)
    blocks = [
        commit(chain, *(make_transaction(GENESIS, f"m{number}", nonce) for number in (1, 2)))
        for nonce in range(heights)
    ]
    chain.store.close()
    return blocks


def test_everything_committed_reads_back_also_after_reopening(tmp_path: Path) -> None:
    blocks = fill(tmp_path)
    chain = open_chain(tmp_path)
    store = chain.store
    assert (store.height, chain.block_id) == (3, blocks[-1].block_id)
    assert chain.certificate is not None
    for block in blocks:
        height = block.header.height
        head = store.head(height)
        assert head is not None
        assert head.header == block.header
        assert head.certificate is not None
        assert head.certificate.block_id == block.block_id
        assert store.body(height) == block.body
        assert store.receipts(height) == block.executed.receipts
        assert store.receipt_bytes(height) == block.executed.encoded_receipts
        assert store.find_block(block.block_id) == height
        assert store.validators_at(height) == read_validators(store)
        for number, item in enumerate(block.transactions):
            assert store.find_transaction(item.id) == (height, number)
    assert store.validators_at(4) == read_validators(store)
    assert store.history(account_of("m1"), before=9, limit=9) == [(3, 0), (2, 0), (1, 0)]
    assert store.history(account_of("m0"), before=3, limit=3) == [(2, 1), (2, 0), (1, 1)]
    assert store.history(account_of("m4"), before=9, limit=9) == []
    assert store.size_bytes() >= 0
    store.close()


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    chain = open_chain(tmp_path)
    store = chain.store
    assert store.head(1) is store.body(1) is store.head_bytes(1) is store.validators_at(9) is None
    assert store.find_transaction(bytes(32)) is store.find_block(bytes(32)) is None
    assert store.receipts(5) == ()
    assert store.get(b"zz") is store.page("ff") is None
    store.close()


def test_a_second_process_on_the_directory_is_refused(tmp_path: Path) -> None:
    # The word "lock" in a path does not make every error look like this one.
    directory = tmp_path / "blockchain"
    store = Store(directory)
    with pytest.raises(AlreadyOpen):
        Store(directory)
    store.close()
    Store(directory).close()
    (directory / "chain" / "CURRENT").write_text("MANIFEST-999999\n")
    with pytest.raises(StorageFailure):
        Store(directory)


@pytest.mark.parametrize("gone", ["CURRENT", "MANIFEST*", "chain", "marker"])
def test_a_directory_that_had_blocks_is_never_begun_anew(tmp_path: Path, gone: str) -> None:
    fill(tmp_path)
    if gone == "chain":
        for path in (tmp_path / "chain").iterdir():
            path.unlink()
    else:
        for path in (tmp_path / "chain").glob("CURRENT" if gone == "marker" else gone):
            path.unlink()
        if gone == "marker":
            (tmp_path / MARKER_NAME).unlink()
    with pytest.raises(StorageFailure, match="chain"):
        open_chain(tmp_path)


def test_the_marker_is_made_again(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / MARKER_NAME).unlink()
    open_chain(tmp_path).store.close()
    assert (tmp_path / MARKER_NAME).exists()


def test_another_genesis_and_another_format_are_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    other = decode_genesis(genesis_document(["V0"], members=1))
    store = Store(tmp_path)
    with pytest.raises(StorageFailure, match="belongs to network"):
        Chain(store, RUNTIME, other)
    store._db.put(b"Mformat", b"bitenergy-store-9")
    store.close()
    with pytest.raises(StorageFailure, match="this version"):
        Store(tmp_path)


def test_a_state_that_does_not_have_the_headers_root_is_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    store = Store(tmp_path)
    root = store.page("")
    assert root is not None
    store._db.put(b"t", root[:-1] + bytes([root[-1] ^ 1]))
    store.close()
    with pytest.raises(StorageFailure, match="root"):
        open_chain(tmp_path)


@pytest.mark.parametrize("compacted", [False, True])
def test_flipped_bits_are_never_read_as_data(tmp_path: Path, compacted: bool) -> None:
    """Threat 14: wherever a bit flips, what can be read is right, or the store refuses."""
    blocks = fill(tmp_path / "good", heights=4)
    if compacted:
        store = Store(tmp_path / "good")
        store._db.compact_range()
        store.close()
    files = [
        path
        for path in sorted((tmp_path / "good" / "chain").iterdir())
        if path.suffix in (".ldb", ".log") and path.stat().st_size
    ]
    outcomes = {"refused": 0, "right": 0}
    for path in files:
        data = path.read_bytes()
        for place in range(0, len(data), max(1, len(data) // 40)):
            directory = tmp_path / "bad" / "chain"
            directory.mkdir(parents=True, exist_ok=True)
            for other in (tmp_path / "good" / "chain").iterdir():
                (directory / other.name).write_bytes(other.read_bytes())
            (tmp_path / "bad" / MARKER_NAME).touch()
            flipped = bytearray(data)
            flipped[place] ^= 0x10
            (directory / path.name).write_bytes(flipped)
            outcomes[_read_all(tmp_path / "bad", blocks)] += 1
            for other in directory.iterdir():
                other.unlink()
    assert outcomes["refused"]


def _read_all(directory: Path, blocks: Sequence[Candidate]) -> str:
    try:
        chain = open_chain(directory)
    except StorageFailure:
        return "refused"
    store = chain.store
    try:
        # A log that ends early is a crash to LevelDB: whole blocks are gone then, never parts.
        known = blocks[: store.height]
        assert chain.block_id == (known[-1].block_id if known else chain.block_id)
        for block in known:
            height = block.header.height
            assert store.body(height) == block.body
            assert store.receipts(height) == block.executed.receipts
            for number, item in enumerate(block.transactions):
                assert store.find_transaction(item.id) == (height, number)
        store.history(account_of("m0"), before=99, limit=99)
        store.pending()
        list(store.scan(b"i", b"j"))
        return "right"
    except StorageFailure:
        return "refused"
    finally:
        store.close()


class Failing:
    """The database, whose writes fail as those of a broken disk do, once or for good."""

    def __init__(self, inner: object, error: BaseException) -> None:
        self._inner = inner
        self._error: BaseException | None = error

    def write_batch(self, **options: object) -> object:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return self._inner.write_batch(**options)  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_a_kept_block_that_went_bad_is_a_fault_of_the_disk_and_none_of_ours() -> None:
    disk = SimulatedDisk(Random(0))
    chain = Chain(Store(Path("/simulated"), disk=disk), RUNTIME, GENESIS)
    chain.store.save_pending(b"k" * 32, b"header", b"body")
    rotten = next(key for key in disk.entries() if key[:1] == b"p")
    disk._databases["/simulated/chain"].rotten.add(rotten)
    with pytest.raises(StorageFailure, match="damaged"):
        commit(chain)


def test_after_a_failed_write_nothing_is_written_any_more(tmp_path: Path) -> None:
    chain = open_chain(tmp_path)
    first = commit(chain, make_transaction(GENESIS, "m1", 0))
    store = chain.store
    store._db = Failing(store._db, OSError(28, "No space left on device"))
    block = build(chain, [make_transaction(GENESIS, "m1", 1)])
    with pytest.raises(StorageFailure, match="No space left"):
        chain.write(block, None)
    with pytest.raises(StorageFailure, match="failed before"):  # the disk recovered; we did not
        chain.write(block, None)
    with pytest.raises(StorageFailure, match="failed before"):
        store.save_pending(bytes(32), b"h", b"b")
    store.close()
    again = open_chain(tmp_path)
    assert again.block_id == first.block_id
    commit(again, make_transaction(GENESIS, "m1", 1))
    again.store.close()


def test_a_full_disk_stops_it_and_loses_nothing(tmp_path: Path) -> None:
    """A real write error of the system, in a process of its own: files may not grow past a size."""
    script = """
import resource, sys
from pathlib import Path
from tests.node.test_store import *
chain = open_chain(Path(sys.argv[1]))
size = max(p.stat().st_size for p in (Path(sys.argv[1]) / "chain").iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, size + 20_000))
for nonce in range(200):
    try:
        commit(chain, make_transaction(GENESIS, "m1", nonce))
        print(chain.height, flush=True)
    except StorageFailure as error:
        print("stopped", flush=True)
        break
"""
    found = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = found.stdout.split()
    assert lines, found.stderr
    assert lines[-1] == "stopped"
    assert len(lines) > 2
    chain = open_chain(tmp_path)
    assert chain.height >= int(lines[-2])
    chain.store.close()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_block_that_does_not_stand_on_the_head_is_our_own_bug(tmp_path: Path) -> None:
    chain = open_chain(tmp_path)
    block = build(chain)
    commit(chain)
    with pytest.raises(InvariantViolation):
        chain.write(block, None)
    chain.store.close()


def test_readers_see_one_state_until_the_head_moves(tmp_path: Path) -> None:
    """The write runs in a thread: meanwhile proofs and pages must not mix two states."""
    chain = open_chain(tmp_path)
    store = chain.store
    commit(chain)
    block = build(chain, [make_transaction(GENESIS, "m1", 0)])
    key = b"a" + account_of("m1")
    before = Store.get(store, key)
    for cache in (store._values, store._pages):
        cache._young.clear()
        cache._old.clear()
    chain.write(block, None)
    assert store.get(key) == before
    assert store.head(2) is None
    assert store.find_transaction(block.transactions[0].id) is None
    chain.advance(block, None)
    assert store.get(key) != before
    assert store.find_transaction(block.transactions[0].id) == (2, 0)
    store.close()


def test_blocks_that_a_vote_locks_are_kept_until_the_next_is_final(tmp_path: Path) -> None:
    chain = open_chain(tmp_path)
    block = build(chain, [make_transaction(GENESIS, "m1", 0)])
    chain.store.save_pending(block.block_id, block.header.encode(), block.body.encode())
    chain.store.close()
    chain = open_chain(tmp_path)
    assert chain.store.pending() == {block.block_id: (block.header, block.body)}
    commit(chain, make_transaction(GENESIS, "m2", 0))
    assert chain.store.pending() == {}
    chain.store.close()


@settings(max_examples=15)
@given(st.lists(st.lists(st.integers(1, 4), max_size=6, unique=True), max_size=5))
def test_the_caches_equal_the_disk(plan: list[list[int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        chain = open_chain(Path(folder))
        nonces = dict.fromkeys(range(5), 0)
        keys: set[bytes] = set()
        for members in plan:
            items = []
            for number in members:
                items.append(make_transaction(GENESIS, f"m{number}", nonces[number]))
                nonces[number] += 1
            block = commit(chain, *items)
            keys |= block.executed.state.overlay.changes.keys()
        pages = {key.decode() for key in (*chain.store._pages._young, *chain.store._pages._old)}
        seen = {key: chain.store.get(key) for key in keys}
        seen_pages = {path: chain.store.page(path) for path in pages}
        scanned = list(chain.store.scan(b"i", b"j"))
        root = chain.header.state_root
        chain.store.close()
        fresh = open_chain(Path(folder))
        assert fresh.header.state_root == root
        assert seen == {key: fresh.store.get(key) for key in keys}
        assert seen_pages == {path: fresh.store.page(path) for path in pages}
        assert scanned == list(fresh.store.scan(b"i", b"j"))
        fresh.store.close()
