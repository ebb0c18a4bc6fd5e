"""Nodes that join by snapshot: from one who is honest, among those who lie, and after a crash."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from consensus.messages import Vote, VoteKind
from node.block_index import PAGE, STATE
from node.data_folder import JOINING_FOLDER
from node.driver_inputs import SyncedInput
from node.ledger.certificate import decode_certificate, encode_certificate, message_digest
from node.ledger.proof_paths import TrustedBlock
from node.node import Node
from node.snapshot.format import Manifest, encode_chunk, encode_outline
from node.snapshot.serving import read_changes
from node.snapshot.staging import Staging
from node.snapshot.wire import (
    CHANGES,
    CHUNK,
    GET_CHANGES,
    GET_CHUNK,
    GET_HEADER,
    GET_SNAPSHOTS,
    HEADER,
    SNAPSHOTS,
    decode_number,
    decode_part_request,
    encode_changes,
    encode_offers,
    encode_part,
)
from node.store import Store
from node.sync import read_range
from tests.node.network import Liar, Network, advance, liar, network, seed, until, vote_key
from vm.primitives.signatures import public_key, sign

pytestmark = pytest.mark.network

THREE = ("V0", "V1", "V2")
CERTIFICATES = ("one signer twice", "mixed rounds", "exactly two thirds")


def state_of(node: Node) -> dict[bytes, bytes]:
    """Return the whole state of a node with its tree and its indices."""
    with node.store.frozen() as view:
        return dict(view.iterator(start=STATE, stop=PAGE + b"\xff"))


async def take(net: Network, name: str) -> int:
    """Have a node take a snapshot, and return its height."""
    server = net.nodes[name]._snapshots.server
    server.take()
    await net.until(lambda: server._taking is None and server.held, what="a snapshot")
    return server.held[0].height


def dropped_by(node: Node, count: int) -> bool:
    """Tell whether a node has dropped so many peers."""
    return node._peers.counters().get("ended.dropped", 0) >= count


async def grown(net: Network) -> int:
    """Make a few blocks and a snapshot of them at V0; return its height."""
    for _ in range(3):
        await advance(net)
    await net.until_equal()
    return await take(net, "V0")


def test_a_joiner_has_the_same_state_and_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *THREE, followers=("F",), members=200) as net:
            height = await grown(net)
            node = await net.start("F", votes=False, join="snapshot")
            await net.until(lambda: node.chain.height == height)
            assert state_of(node) == state_of(net.nodes["V0"])
            assert node.store.validators_at(1) == net.nodes["V0"].store.validators_at(1)
            await advance(net)
            await net.until_equal()
            assert len(net.roots()) == 1
            assert node.store.base == height + 1
            await net.stop("F")
            await net.start("F", votes=False, join="snapshot")
            await advance(net)

    asyncio.run(scenario())


def test_a_network_of_pruned_nodes_is_joined_from_genesis_by_snapshot(tmp_path: Path) -> None:
    """Nobody has the first blocks any more, but who changed the validators is still shown."""

    async def scenario() -> None:
        async with network(tmp_path, "V0", followers=("A", "F")) as net:
            node = await net.start("A", votes=False, mode="full", keep_blocks=4)
            await net.until_connected("V0", "A")
            for _ in range(2):
                await advance(net)
            sent = net.next("V0", ("members", "set_vote_key", (public_key(seed("new")),)))
            await net.accept("V0", sent)
            await net.until_final(sent)
            await net.stop("V0")
            await net.start("V0", vote_seed=seed("new"), peers=["A"])
            for _ in range(12):
                await advance(net, "V0")
            changed = next(node.store.changes_after(0))
            await net.until(lambda: node.store.base > changed, what="pruning")
            height = await take(net, "A")
            joiner = await net.start("F", votes=False, peers=["A"], join="snapshot")
            await net.until(lambda: joiner.store.base == height + 1)
            assert state_of(joiner) == state_of(node)
            assert joiner.store.validators_at(1) != joiner.store.validators_at(height)

    asyncio.run(scenario())


def test_a_validator_that_joins_by_snapshot_votes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *THREE, "V3") as net:
            await net.stop("V3")
            height = await grown(net)
            (tmp_path / "V3").rename(tmp_path / "gone")
            node = await net.start("V3", join="snapshot")
            await net.until(lambda: node.store.base == height + 1)
            await net.until(lambda: node.engine_view().own_index is not None)
            await net.stop("V2")
            await advance(net)

    asyncio.run(scenario())


def test_who_finds_no_snapshot_joins_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.snapshot.joining.PATIENCE_S", 1.0)
    monkeypatch.setattr("node.snapshot.joining.OFFER_WAIT_S", 0.2)

    async def scenario() -> None:
        async with network(tmp_path, *THREE, followers=("F",)) as net:
            await advance(net)
            node = await net.start("F", votes=False, join="snapshot")
            await net.until(lambda: node.chain.height == net.nodes["V0"].chain.height)
            assert node.store.base == 0

    asyncio.run(scenario())


def test_a_network_that_begins_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block becomes final here while the last chunk is under way."""
    monkeypatch.setattr("node.snapshot.joining.OFFER_WAIT_S", 0.2)

    async def scenario() -> None:
        async with network(tmp_path, *THREE, followers=("F",)) as net:
            height = await grown(net)
            node = await net.start("F", votes=False, peers=[], join="snapshot")
            real = Staging.finish

            def finish(staging: Staging, *arguments: Any) -> None:
                real(staging, *arguments)
                first = read_range(net.nodes["V0"].chain, 1, 1)[0]
                block, certificate = node._sync._decode(first, 1)
                done: asyncio.Future[None] = loop.create_future()
                loop.call_soon_threadsafe(node._driver.feed, SyncedInput(block, certificate, done))

            loop = asyncio.get_running_loop()
            monkeypatch.setattr(Staging, "finish", finish)
            node._peers.configure_peers([net.address_of("V0")])
            await net.until(lambda: node.chain.height == height)
            assert node.store.base == 0
            assert not (tmp_path / "F" / JOINING_FOLDER).exists()

    asyncio.run(scenario())


def test_a_trusted_header_of_another_chain_lets_nobody_join(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *THREE, followers=("F", "G")) as net:
            height = await grown(net)
            wrong = TrustedBlock(1, bytes(32))
            for name, join, drops in (("F", "snapshot", 1), ("G", "blocks", 3)):
                node = await net.start(name, votes=False, join=join, trust=wrong)
                await net.until(partial(dropped_by, node, drops), what="drops")
                assert node.chain.height == 0
                await net.stop(name)
            good = net.nodes["V0"].store.head(height - 1)
            assert good
            trust = TrustedBlock(height - 1, good.header.block_id())
            node = await net.start("F", votes=False, join="snapshot", trust=trust)
            await net.until(lambda: node.chain.height == height)

    asyncio.run(scenario())


class LyingServer:
    """A liar that offers V0's snapshot, and damages one thing of it."""

    def __init__(self, net: Network, peer: Liar, damage: str) -> None:
        self.source = net.nodes["V0"]
        self.peer = peer
        self.damage = damage
        peer.answer = self.answer

    def answer(self, key: bytes, kind: int, payload: bytes) -> None:
        server = self.source._snapshots.server
        held, store = server.held[0], self.source.store
        if kind == GET_SNAPSHOTS:
            manifest = held.manifest
            if self.damage == "height":
                header = replace(manifest.header, height=10**6)
                manifest = replace(manifest, header=header)
            elif self.damage in CERTIFICATES:
                manifest = replace(manifest, certificate=self.certificate(manifest))
            self.send(key, SNAPSHOTS, encode_offers([manifest.encode()]))
        elif kind == GET_CHANGES:
            changes = read_changes(self.source.chain, decode_number(payload))
            hides = self.damage == "changes"
            self.send(key, CHANGES, encode_changes([] if hides else changes))
        elif kind == GET_HEADER:
            head = store.head_bytes(decode_number(payload))
            self.send(key, HEADER, head[0] if head else b"")
        elif kind == GET_CHUNK and self.damage != "silence":
            height, path = decode_part_request(payload)
            data = held.read(path)
            if not path and self.damage == "outline":
                data = encode_outline({})
            elif path and self.damage == "chunk":
                data = encode_chunk([(b"a" + bytes(20), b"a rich account")])
            elif path and self.damage == "nothing":
                data = b""
            self.send(key, CHUNK, encode_part(height, path, data))

    def certificate(self, manifest: Manifest) -> bytes:
        """Return a certificate that decides nothing."""
        found = decode_certificate(manifest.certificate)
        some = found.signatures[:2]
        match self.damage:
            case "one signer twice":
                found = replace(found, signatures=(*some, some[1]))
            case "mixed rounds":
                vote = Vote(VoteKind.PRECOMMIT, found.height, found.round + 1, found.block_id, 0)
                digest = message_digest(manifest.header.genesis, vote)
                names = {vote_key(name): name for name in THREE}
                validators = self.source.store.validators_at(found.height)
                assert validators
                later = sign(seed(f"vote {names[validators[2].vote_key]}"), digest)
                found = replace(found, signatures=(*some, (2, later)))
            case "exactly two thirds":
                found = replace(found, signatures=some)
        return encode_certificate(found)

    def send(self, key: bytes, kind: int, payload: bytes) -> None:
        assert self.peer.service is not None
        self.peer.service.send(key, kind, payload)


@pytest.mark.parametrize(
    "damage", ["height", "outline", "chunk", "nothing", "silence", *CERTIFICATES]
)
def test_a_lying_snapshot_is_dropped_and_the_join_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr("node.snapshot.joining.OFFER_WAIT_S", 0.2)
    if damage == "silence":
        monkeypatch.setattr("node.snapshot.joining.ANSWER_DEADLINE_S", 0.5)

    async def scenario() -> None:
        async with network(tmp_path, *THREE, followers=("F", "L")) as net:
            height = await grown(net)
            node = await net.start("F", votes=False, peers=[], join="snapshot")
            async with liar(net, "L", "F") as peer:
                LyingServer(net, peer, damage)
                await peer.until_dropped_by("F")
                assert node.chain.height == 0
                node._peers.configure_peers([net.address_of("V0")])
                await net.until(lambda: node.chain.height == height)
                assert state_of(node) == state_of(net.nodes["V0"])

    asyncio.run(scenario())


def test_who_hides_changes_of_the_validators_is_dropped_and_the_join_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A validator's key changed and changed back; evidence of that time needs the one between."""
    monkeypatch.setattr("node.snapshot.joining.OFFER_WAIT_S", 0.2)

    async def scenario() -> None:
        async with network(tmp_path, *THREE, "V3", followers=("F", "L")) as net:
            for key in (public_key(seed("another key")), vote_key("V3")):
                sent = net.next("V3", ("members", "set_vote_key", (key,)))
                await net.accept("V0", sent)
                await net.until_final(sent)
            height = await grown(net)
            source = net.nodes["V0"].store
            changed, back = source.changes_after(0)
            node = await net.start("F", votes=False, peers=[], join="snapshot")
            async with liar(net, "L", "F") as peer:
                LyingServer(net, peer, "changes")
                await peer.until_dropped_by("F")
                assert node.chain.height == 0
                asked: list[str] = []
                real = node._snapshots.join._ask_part

                async def ask(peer: bytes, manifest: object, path: str) -> bytes:
                    asked.append(path)
                    return await real(peer, manifest, path)  # type: ignore[arg-type]

                monkeypatch.setattr(node._snapshots.join, "_ask_part", ask)
                node._peers.configure_peers([net.address_of("V0")])
                await net.until(lambda: node.chain.height == height)
                assert asked == [""]  # the outline alone: the liar's chunks were right
            for at in (changed, changed + 1, back, back + 1):
                assert node.store.validators_at(at) == source.validators_at(at)
            assert source.validators_at(back) != source.validators_at(back + 1)

    asyncio.run(scenario())


def test_chunks_come_from_several_and_survive_who_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One source hangs up in the middle, one lies, the third completes it."""
    monkeypatch.setattr("node.snapshot.joining.OFFER_WAIT_S", 0.2)

    async def scenario() -> None:
        async with network(tmp_path, *THREE, followers=("F", "L")) as net:
            height = await grown(net)
            node = await net.start("F", votes=False, peers=[], join="snapshot")
            async with liar(net, "L", "F") as peer:
                server = LyingServer(net, peer, "")
                join = node._snapshots.join
                given = 0

                def some(key: bytes, kind: int, payload: bytes) -> None:
                    nonlocal given
                    given += kind == GET_CHUNK
                    if kind != GET_CHUNK or given <= 5:
                        server.answer(key, kind, payload)

                peer.answer = some
                await net.until(lambda: join.chunks_here >= 4)
            here = join.chunks_here
            assert 4 <= here < join.chunks_total and node.chain.height == 0
            node._peers.configure_peers([net.address_of("V0")])
            await net.until(lambda: node.chain.height == height)
            assert state_of(node) == state_of(net.nodes["V0"])

    asyncio.run(scenario())


def test_a_source_that_falls_silent_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It proves the snapshot and gives no chunk: another is asked long before its deadline."""
    monkeypatch.setattr("node.snapshot.joining.OFFER_WAIT_S", 0.2)
    monkeypatch.setattr("node.snapshot.joining.SILENT_S", 0.3)
    monkeypatch.setattr("node.snapshot.joining.ANSWER_DEADLINE_S", 3600.0)

    async def scenario() -> None:
        async with network(tmp_path, *THREE, followers=("F", "L")) as net:
            height = await grown(net)
            node = await net.start("F", votes=False, peers=[], join="snapshot")
            async with liar(net, "L", "F") as peer:
                server = LyingServer(net, peer, "")
                asked: list[str] = []

                def answer(key: bytes, kind: int, payload: bytes) -> None:
                    path = decode_part_request(payload)[1] if kind == GET_CHUNK else ""
                    if path:
                        asked.append(path)
                    else:
                        server.answer(key, kind, payload)

                peer.answer = answer
                await net.until(lambda: len(asked) == 2, what="two requests that wait")
                node._peers.configure_peers([net.address_of("V0")])
                await net.until(lambda: node.chain.height == height)
            assert state_of(node) == state_of(net.nodes["V0"])
            assert not dropped_by(node, 1)

    asyncio.run(scenario())


def test_a_join_that_was_cut_short_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.snapshot.joining.OFFER_WAIT_S", 0.2)

    async def scenario() -> None:
        async with network(tmp_path, *THREE, followers=("F", "L")) as net:
            height = await grown(net)
            node = await net.start("F", votes=False, peers=[], join="snapshot")
            async with liar(net, "L", "F") as peer:
                server = LyingServer(net, peer, "")
                given: list[bytes] = []

                def some(key: bytes, kind: int, payload: bytes) -> None:
                    given.extend([payload] if kind == GET_CHUNK else [])
                    if kind != GET_CHUNK or len(given) <= 6:
                        server.answer(key, kind, payload)

                peer.answer = some
                await net.until(lambda: node._snapshots.join.chunks_here == 5)
                await net.stop("F")
                assert (tmp_path / "F" / JOINING_FOLDER).exists()
            node = await net.start("F", votes=False, peers=["V0"], join="snapshot")
            asked: list[str] = []
            real = node._snapshots.join._ask_part

            async def ask(peer: bytes, manifest: object, path: str) -> bytes:
                asked.append(path)
                return await real(peer, manifest, path)  # type: ignore[arg-type]

            monkeypatch.setattr(node._snapshots.join, "_ask_part", ask)
            await net.until(lambda: node.chain.height == height)
            assert len(asked) == 1 + node._snapshots.join.chunks_total - 5
            assert state_of(node) == state_of(net.nodes["V0"])

    asyncio.run(scenario())


class PowerCut(Exception):
    """Ends the process."""


@pytest.mark.parametrize("moment", ["finish", "swap", "open"])
def test_a_crash_while_moving_in_is_mended_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def cut(*_: object) -> None:
        raise PowerCut

    async def scenario() -> None:
        async with network(tmp_path, *THREE, followers=("F",)) as net:
            height = await grown(net)
            node = await net.start("F", votes=False, join="snapshot")
            with monkeypatch.context() as patch:
                match moment:
                    case "finish":
                        patch.setattr(Staging, "_put_head", cut)
                    case "swap":
                        patch.setattr("node.store.finish_swap", cut)
                    case "open":
                        patch.setattr(Store, "_connect", cut)
                await until(lambda: "F" in net.failures)
                assert isinstance(net.failures.pop("F"), PowerCut)
                await net.stop("F")
            node = await net.start("F", votes=False, join="snapshot")
            await net.until(lambda: node.chain.height == height)
            assert state_of(node) == state_of(net.nodes["V0"])

    asyncio.run(scenario())
