"""Taking snapshots from a store that goes on, and what is left on disk."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from node.chain import Chain
from node.snapshot.format import read_chunk, read_outline
from node.snapshot.taking import SnapshotTaking, load_snapshots, remove_leftovers
from node.store import StorageFailure, Store
from tests.node.network import make_transaction
from tests.node.test_store import GENESIS, RUNTIME, commit, open_chain
from tests.sim.nodes.disk import SimulatedDisk


def grow(chain: Chain, blocks: int) -> None:
    for nonce in range(chain.height, chain.height + blocks):
        commit(chain, *(make_transaction(GENESIS, f"m{number}", nonce) for number in range(5)))


def take(chain: Chain, base: Path, *, chunk_bytes: int = 1_000) -> None:
    for _ in SnapshotTaking(chain.store.frozen(), base, chunk_bytes=chunk_bytes).steps():
        pass


def authenticated(chain: Chain) -> dict[bytes, bytes]:
    """Return what the state root of a chain proves."""
    found = {
        **dict(chain.store.scan(b"\x01", b"i")),
        **dict(chain.store.scan(b"j", b"q")),
        **dict(chain.store.scan(b"q", b"r")),
        **dict(chain.store.scan(b"r", b"\xff")),
    }
    return found


@pytest.mark.parametrize("chunk_bytes", [50, 1_000, 1_000_000])
def test_a_snapshot_is_of_one_moment_whatever_goes_on(tmp_path: Path, chunk_bytes: int) -> None:
    chain = open_chain(tmp_path / "data")
    grow(chain, 3)
    expected, header = authenticated(chain), chain.header
    base = tmp_path / "snapshots"
    taking = SnapshotTaking(chain.store.frozen(), base, chunk_bytes=chunk_bytes)
    for _ in taking.steps():
        grow(chain, 1)
    assert chain.height > 4
    (held,) = load_snapshots(base)
    assert held.manifest.header == header
    hashes = read_outline(held.read(""), header.state_root, held.manifest.depth)
    found: dict[bytes, bytes] = {}
    for path, expected_hash in hashes.items():
        found |= read_chunk(held.read(path), path, expected_hash).leaves
    assert found == expected
    assert sorted(path.name for path in held.folder.iterdir()) == sorted(
        [*hashes, "manifest", "outline"]
    )
    chain.store.close()


def test_parts_are_read_by_path_alone(tmp_path: Path) -> None:
    chain = open_chain(tmp_path / "data")
    take(chain, tmp_path / "snapshots")
    (held,) = load_snapshots(tmp_path / "snapshots")
    (tmp_path / "secret").write_text("x")
    for path in ("manifest", "../../secret", "zz", "0" * 9):
        assert held.read(path) == b""
    chain.store.close()


def test_the_last_two_are_kept_and_nothing_that_is_not_whole(tmp_path: Path) -> None:
    chain = open_chain(tmp_path / "data")
    base = tmp_path / "snapshots"
    for _ in range(3):
        grow(chain, 1)
        take(chain, base)
    assert [held.height for held in load_snapshots(base)] == [3, 2]
    steps = SnapshotTaking(chain.store.frozen(), base).steps()
    next(steps)
    (base / "9").mkdir()
    (base / "9" / "manifest").write_bytes(b"half")
    remove_leftovers(base)
    assert [held.height for held in load_snapshots(base)] == [3, 2]
    assert sorted(path.name for path in base.iterdir()) == ["2", "3"]
    steps.close()
    chain.store.close()


def test_a_state_that_cannot_be_read_is_a_fault_of_the_disk() -> None:
    disk = SimulatedDisk(Random(0))
    chain = Chain(Store(Path("/simulated"), disk=disk), RUNTIME, GENESIS)
    rotten = next(key for key in disk.entries() if key[:1] == b"s")
    disk._databases["/simulated/chain"].rotten.add(rotten)
    with pytest.raises(StorageFailure, match="damaged"):
        for _ in SnapshotTaking(chain.store.frozen(), Path("/simulated/s"), disk=disk).steps():
            pass


def test_a_damaged_state_makes_no_snapshot(tmp_path: Path) -> None:
    chain = open_chain(tmp_path / "data")
    chain.store._db.delete(b"t")
    with pytest.raises(StorageFailure):
        take(chain, tmp_path / "snapshots")
    assert load_snapshots(tmp_path / "snapshots") == []
    chain.store.close()


@pytest.mark.parametrize("seed", range(4))
def test_a_snapshot_that_has_its_name_survives_a_loss_of_power(seed: int) -> None:
    disk, base = SimulatedDisk(Random(seed)), Path("/simulated/snapshots")
    chain = Chain(Store(Path("/simulated"), disk=disk), RUNTIME, GENESIS)
    grow(chain, 3)
    for _ in SnapshotTaking(chain.store.frozen(), base, chunk_bytes=1_000, disk=disk).steps():
        pass
    disk.crash()
    (held,) = load_snapshots(base, disk)
    hashes = read_outline(held.read(""), held.manifest.header.state_root, held.manifest.depth)
    assert len(hashes) > 1
    for path, expected_hash in hashes.items():
        read_chunk(held.read(path), path, expected_hash)
