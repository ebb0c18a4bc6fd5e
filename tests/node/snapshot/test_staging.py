"""The database made of a snapshot: the very one that executing every block makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.block_index import PAGE, STATE
from node.chain import Chain
from node.data_folder import JOINING_FOLDER
from node.snapshot.format import read_chunk, read_outline
from node.snapshot.staging import Staging
from node.snapshot.taking import HeldSnapshot, SnapshotTaking
from node.store import StorageFailure, Store
from tools.bench.history import open_history
from tools.bench.traffic import MARKET, Traffic, genesis_template, make_traders
from tools.calls import post_offer
from tools.testnet import create_network
from vm.runtime import Call

TRADERS = 12


class Offers(Traffic):
    """Nothing but offers; the first trader has the best one all the time, and betters it."""

    def _call(self, place: int) -> Call:
        lead = 0 if place else 20_000_000
        return post_offer(MARKET, 0, 1_000, 90_000_000 - lead - 10_000 * self._count)


@pytest.fixture(scope="module", params=[Traffic, Offers])
def market(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Chain, HeldSnapshot]:
    """A chain with standing offers, and perhaps trades, and a snapshot of it."""
    folder = tmp_path_factory.mktemp("market")
    traders = make_traders(TRADERS)
    network = create_network(folder / "net", genesis_template(traders), validators=2)
    history = open_history(network)
    traffic = request.param(network.genesis, traders, 1)
    for _ in range(4):
        history.append(traffic.take(60))
    chain = history.chain
    taking = SnapshotTaking(chain.store.frozen(), folder / "snapshots", chunk_bytes=500)
    for _ in taking.steps():
        pass
    assert taking.result is not None
    return chain, taking.result


def state_of(store: Store) -> dict[bytes, bytes]:
    with store.frozen() as view:
        return dict(view.iterator(start=STATE, stop=PAGE + b"\xff"))


def fetch(staging: Staging, held: HeldSnapshot, paths: list[str] | None = None) -> None:
    manifest = held.manifest
    hashes = read_outline(held.read(""), manifest.header.state_root, manifest.depth)
    for path in sorted(hashes) if paths is None else paths:
        staging.add(path, read_chunk(held.read(path), path, hashes[path]))


def finish(staging: Staging, chain: Chain) -> None:
    genesis, validators = chain.store.head_bytes(0), chain.store.validators_at(1)
    assert genesis and validators
    staging.finish(chain.runtime_at, genesis, validators, [])


def test_an_order_book_is_there_again(
    market: tuple[Chain, HeldSnapshot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the indices were half written when the power went."""
    chain, held = market
    monkeypatch.setattr("node.snapshot.staging.INDEX_BATCH", 7)
    staging = Staging(tmp_path, held.manifest)
    fetch(staging, held)
    staging._rebuild_index(chain.runtime)
    staging.close()
    again = Staging(tmp_path, held.manifest)
    assert again.slots == staging.slots and len(again.slots) >= 16
    finish(again, chain)
    (tmp_path / JOINING_FOLDER).rename(tmp_path / "chain")
    joined = Chain(Store(tmp_path), chain.runtime, chain.genesis)
    assert (joined.block_id, joined.certificate) == (chain.block_id, chain.certificate)
    assert (joined.validators, joined.next_due_ms) == (chain.validators, chain.next_due_ms)
    assert joined.store.validators_at(1) == chain.store.validators_at(1)
    found = state_of(joined.store)
    assert found == state_of(chain.store)
    assert any(key.startswith(STATE + b"i") for key in found)
    joined.store.close()


def test_a_lost_chunk_is_no_database(market: tuple[Chain, HeldSnapshot], tmp_path: Path) -> None:
    chain, held = market
    staging = Staging(tmp_path, held.manifest)
    fetch(staging, held)
    del staging.slots[min(staging.slots)]
    with pytest.raises(StorageFailure, match="do not make the state"):
        finish(staging, chain)


def test_what_is_of_another_snapshot_or_damaged_is_fetched_anew(
    market: tuple[Chain, HeldSnapshot], tmp_path: Path
) -> None:
    _, held = market
    first = held.manifest
    staging = Staging(tmp_path, first)
    hashes = read_outline(held.read(""), first.header.state_root, first.depth)
    fetch(staging, held, sorted(hashes)[:5])
    staging.close()
    assert Staging.load_manifest(tmp_path) == first
    staging = Staging(tmp_path, first)
    assert len(staging.slots) == 5
    staging.close()
    for path in (tmp_path / JOINING_FOLDER).glob("*.l*"):
        path.write_bytes(b"\xff" * 40_000)
    staging = Staging(tmp_path, first)
    assert staging.slots == {}
    staging.close()
