"""Nodes under proof of work: reorganisations, finality by depth, restarts, and cheap refusals."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node.api.server import ApiServer
from node.facade import FinalBlock, UndecidedBlock
from node.node import Node
from node.wire import BLOCK, CompactBlock, encode_compact_block
from tests.node.network import ROLES, account_of, liar, node_identity, vote_key
from tests.node.pow_network import MARKET, PowNetwork, pow_network, sealed
from vm.primitives.codec import unpack_trusted
from vm.primitives.errors import InvalidBlock
from vm.primitives.merkle import merkle_root
from vm.system.accounts import SUPPLY_KEY, read_account

pytestmark = pytest.mark.network

KWH = 1_000_000
TOKEN = 1_000_000


def snapshot(node: Node) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Return the state root on the tip and all ordered entries, the market's books among them."""
    blocks = node.undecided()
    state = blocks[-1].executed.state if blocks else node.store
    entries = [*state.scan(b"i", b"j"), *state.scan(b"q", b"r")]
    return node.chain.tip.state_root, entries


def post(net: PowNetwork, name: str, price: int):
    return net.next(name, ("market", "post", (MARKET, 0, KWH, price * TOKEN)))


def buy(net: PowNetwork, name: str, price: int):
    return net.next(name, ("market", "buy", (MARKET, 0, KWH, price * TOKEN, False)))


def test_a_block_is_final_once_enough_stand_on_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pow_network(tmp_path, "V0", "V1", reward="2.5") as net:
            first, second = await net.open("V0"), await net.open("V1", peers=["V0"])
            await net.until_connected("V0", "V1")
            following = first.subscribe()
            transaction = net.next("m1")
            await net.accept("V1", transaction)
            await net.mine("V0", least=1)
            await net.mine("V0", 5)
            await net.until_tip("V0", "V1")
            assert first.chain.height == second.chain.height == 0
            assert first.store.find_transaction(transaction.id) is None
            await net.mine("V1")
            await net.until_height(1)
            assert first.store.find_transaction(transaction.id) == (1, 0)
            assert second.store.find_transaction(transaction.id) == (1, 0)
            # The maker of block 1 earned the reward, and it came into being.
            maker = read_account(first.store, account_of("V0"))
            assert maker is not None and maker.money_micro == 1_002_500_000
            supply = unpack_trusted(first.store.get(SUPPLY_KEY) or b"")
            assert supply[0] == 6 * 1_000_000_000 + 2_500_000
            events = [following.queue.get_nowait() for _ in range(8)]
            assert [type(event) for event in events] == [UndecidedBlock] * 7 + [FinalBlock]

    asyncio.run(scenario())


async def read(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """Return the JSON that a URL answers."""
    async with session.get(url) as response:
        return await response.json()


def test_a_heavier_branch_undoes_a_trade_and_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pow_network(tmp_path, "V0", "V1") as net:
            node = await net.open("V0")
            await net.open("V1")
            api = ApiServer(node, port=0)
            base = f"http://127.0.0.1:{await api.start()}/api/v1"
            offer, trade = post(net, "m1", 9), buy(net, "m2", 10)
            trade_url = f"{base}/transactions/{trade.id.hex()}"
            other = net.next("m3")
            await net.accept("V0", offer, trade, other)
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(f"{base}/events?topics=block,trade") as events,
            ):
                await net.mine("V0", least=3)
                traded = snapshot(node)
                undone_id = node.chain.tip.block_id().hex()
                answer = await read(session, trade_url)
                assert (answer["status"], answer["final"]) == ("included", False)
                block = await read(session, f"{base}/blocks/{undone_id}")
                assert (block["final"], block["transactions_count"]) == (False, 3)
                told = [(await events.receive_json(timeout=5)) for _ in range(2)]
                kinds = [(each["type"], each["final"]) for each in told]
                assert kinds == [("block", False), ("trade", False)]
                # V1 mined two blocks by itself, with one of the three transactions.
                await net.accept("V1", other)
                await net.mine("V1", least=1)
                await net.mine("V1")
                await connect(net, "V1", "V0")
                await net.until_tip("V1", "V0")
                message = await events.receive_json(timeout=5)
                assert message["type"] == "reorganisation"
                assert message["undone"] == [{"height": 1, "id": undone_id}]
                assert [each["height"] for each in message["applied"]] == [1, 2]
                again = {
                    each["id"]: each["again_height"] for each in message["undone_transactions"]
                }
                assert again == {offer.id.hex(): None, trade.id.hex(): None, other.id.hex(): 1}
                trades = [each["transaction_id"] for each in message["undone_trades"]]
                assert trades == [trade.id.hex()]
                answer = await read(session, trade_url)
                assert (answer["status"], answer["final"]) == ("pending", False)
                assert node.metrics()["reorganisations_total"] == 1
                # What was undone is traded again, and on the same state gives the same.
                await net.mine("V0", least=2)
                answer = await read(session, trade_url)
                assert (answer["status"], answer["height"]) == ("included", 3)
                assert snapshot(node)[1] == traded[1]
                await net.mine("V0", 6)
                await net.until_height(3, "V0")
                answer = await read(session, trade_url)
                assert (answer["status"], answer["final"]) == ("final", True)
            await api.stop()

    asyncio.run(scenario())


async def connect(net: PowNetwork, one: str, other: str) -> None:
    """Have two nodes meet that ran apart."""
    net.nodes[one]._peers.configure_peers([net.address_of(other)])
    await net.until_connected(one, other)


def test_state_and_market_are_those_of_the_branch_also_there_and_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pow_network(tmp_path, "V0", "V1", "V2") as net:
            node = await net.open("V0")
            await net.open("V2", peers=["V0"])
            await net.until_connected("V0", "V2")
            await net.accept("V0", post(net, "m1", 9), buy(net, "m2", 10))
            await net.mine("V0", least=2)
            await net.until_tip("V0", "V2")
            await net.stop("V2")
            first = snapshot(node)
            other = await net.open("V1")
            await net.accept("V1", post(net, "m3", 8))
            await net.mine("V1", 2, least=1)
            await connect(net, "V1", "V0")
            await net.until_tip("V1", "V0")
            assert snapshot(node) == snapshot(other) != first
            # V2 has gone on alone where all were before.
            third = await net.open("V2")
            await net.until(lambda: third.chain.tip.height == 1, what="the tip from disk")
            assert snapshot(third) == first
            await net.accept("V2", post(net, "m1", 7))
            await net.mine("V2", 3, least=1)
            await connect(net, "V2", "V0")
            await net.until_tip("V2", "V0", "V1")
            assert snapshot(node) == snapshot(other) == snapshot(third)
            assert node.metrics()["reorganisations_total"] == 2

    asyncio.run(scenario())


def test_what_is_final_is_never_undone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pow_network(tmp_path, "V0", "V1", finality_depth=2) as net:
            node = await net.open("V0")
            await net.open("V1")
            await net.mine("V0", 4)
            await net.mine("V1", 9)
            await net.until_height(2, "V0")
            head, tip = node.chain.block_id, node.chain.tip.block_id()
            await connect(net, "V1", "V0")
            await net.mine("V1")
            await net.until(lambda: node.metrics()["deep_forks_refused_total"] > 0)
            assert (node.chain.block_id, node.chain.tip.block_id()) == (head, tip)
            assert node.metrics()["reorganisations_total"] == 0

    asyncio.run(scenario())


def test_a_restart_keeps_the_blocks_above_the_final_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pow_network(tmp_path, "V0") as net:
            node = await net.open("V0")
            item = net.next("m1")
            await net.mine("V0", 7)
            await net.accept("V0", item)
            await net.mine("V0", least=1)
            await net.until_height(2)
            tip, height = node.chain.tip.block_id(), node.chain.height
            await net.stop("V0")
            node = await net.open("V0")
            await net.until(lambda: node.chain.tip.block_id() == tip, what="the same tip")
            assert node.chain.height == height
            assert node.next_nonce(account_of("m1")) == 1
            await net.mine("V0", 6)
            await net.until_height(8)
            assert node.store.find_transaction(item.id) == (8, 0)

    asyncio.run(scenario())


def test_a_new_engine_goes_on_with_the_same_branch(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pow_network(tmp_path, "V0", "V1", finality_depth=2) as net:
            first, second = await net.open("V0"), await net.open("V1", peers=["V0"])
            await net.until_connected("V0", "V1")
            # V1 loses its voice, and with it its right to mine, once this is final.
            await net.accept("V0", net.next("V1", ("members", "set_vote_key", (vote_key("m1"),))))
            await net.mine("V0", least=1)
            await net.mine("V0", 2)
            await net.until_height(1)
            await net.until_tip("V0", "V1")
            assert (await asyncio.wait_for(second._driver.settled(), 10)) is None
            assert second.engine_view().own_index is None
            assert second.chain.tip == first.chain.tip
            assert second.metrics()["reorganisations_total"] == 0
            await net.mine("V0", 3)
            await net.until_height(4)
            assert second.metrics()["reorganisations_total"] == 0

    asyncio.run(scenario())


def test_a_node_with_an_old_chain_does_not_mine_before_it_heard_of_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pow_network(tmp_path, "V0", "V1") as net:
            await net.open("V0")
            await net.mine("V0", 9)
            hour_later = lambda: time.time_ns() // 1_000_000 + 3_600_000  # noqa: E731
            node = await net.open("V1", mines=False, clock_ms=hour_later)
            await node._driver.settled()
            sealer = net.sealers["V1"]
            assert node.engine_view().own_index is None and sealer.job is None
            await connect(net, "V1", "V0")
            await net.until(lambda: sealer.job is not None, what="a job for the miner")
            # It has all that is final at V0; what is undecided there follows.
            assert sealer.job is not None and sealer.job[0].height >= 4

    asyncio.run(scenario())


def test_who_lost_the_role_in_an_undecided_block_does_not_mine_on_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pow_network(tmp_path, "V0", "V1") as net:
            await net.open("V0")
            node = await net.open("V1", peers=["V0"])
            await net.until_connected("V0", "V1")
            sealer = net.sealers["V1"]
            await net.until(lambda: sealer.job is not None, what="a job for the miner")
            prosumer = 1 << ROLES.index("prosumer")
            change = ("members", "set_roles", (account_of("V1"), prosumer))
            await net.accept("V0", net.next("V0", change))
            await net.mine("V0", least=1)
            await net.until_tip("V0", "V1")
            await node._driver.settled()
            assert node.engine_view().own_index is not None and sealer.job is None

    asyncio.run(scenario())


def test_a_node_that_was_away_joins_the_heaviest_chain(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pow_network(tmp_path, "V0", "V1") as net:
            node = await net.open("V0")
            await net.mine("V0", 100)
            joiner = await net.open("V1", peers=["V0"])
            await net.until_tip("V0", "V1")
            await net.until_height(94)
            # What is final is read from disk, not through layers that pile up.
            layers, state = 0, node.undecided()[-1].executed.state
            while state is not node.store:
                layers, state = layers + 1, state.parent
            assert layers == 6 + 1
            assert joiner.chain.header.state_root == node.chain.header.state_root

    asyncio.run(scenario())


@pytest.mark.parametrize("fault", ["no work", "wrong difficulty", "low floor"])
def test_too_little_work_is_refused_before_anything_costly(tmp_path: Path, fault: str) -> None:
    async def scenario() -> None:
        async with pow_network(
            tmp_path, "V0", "V1", initial_difficulty=64, min_difficulty=16
        ) as net:
            node = await net.open("V0")
            await net.mine("V0", 2)
            named = (bytes(32),)
            header = replace(
                node.chain.tip,
                transactions_root=merkle_root(named),
                parent=node.chain.tip.block_id(),
                height=3,
                time_ms=node.chain.tip.time_ms + 1,
            )
            if fault == "no work":
                header = replace(header, seal=b"")
            elif fault == "wrong difficulty":
                header = sealed(header, 32)
            else:
                header = sealed(replace(header, parent=bytes(32)), 8)
            # It names a transaction, so that a node that believed it would ask for it.
            block = CompactBlock(header, b"", (), named)
            checked = node.metrics()["signatures_checked_total"]
            async with liar(net, "V1", "V0") as peer:
                peer.send("V0", BLOCK, encode_compact_block(block))
                if fault == "low floor":
                    peer.send("V0", BLOCK, b"\x00")  # and now it drops us: all before is done
                await peer.until_dropped_by("V0")
                assert [kind for _, kind, _ in peer.heard if kind in (21, 22)] == []
            assert node._pool.find_header(header.block_id()) is None
            assert node.metrics()["signatures_checked_total"] == checked
            assert node_identity("V1").node_key not in {p.node_key for p in node.peers()}

    asyncio.run(scenario())


def test_nothing_of_votes_is_taken_where_nobody_votes(tmp_path: Path) -> None:
    """Evidence is judged by the validators of final heights, and those differ between nodes."""

    async def scenario() -> None:
        async with pow_network(tmp_path, "V0") as net:
            node = await net.open("V0")
            building = node.chain.building(
                time_ms=node.chain.header.time_ms + 1, proposer=account_of("V0"), evidence=[b"said"]
            )
            list(building.steps((), slice_size=10))
            built = building.candidate
            assert built is not None
            assert built.body.evidence == ()
            with pytest.raises(InvalidBlock, match="evidence"):
                node.chain.checking(built.header, replace(built.body, evidence=(b"said",)), ())

    asyncio.run(scenario())


def test_the_difficulty_rises_when_a_second_miner_joins(tmp_path: Path) -> None:
    """Each finds a block in a target interval, as long as it is alone; the API tells the rest."""

    async def scenario() -> None:
        async with pow_network(tmp_path, "V0", "V1", initial_difficulty=400) as net:
            now_ms = net.genesis.time_ms
            clock = lambda: now_ms  # noqa: E731
            first = await net.open("V0", clock_ms=clock)
            api = ApiServer(first, port=0)
            url = f"http://127.0.0.1:{await api.start()}/metrics"

            async def told(session: aiohttp.ClientSession) -> int:
                async with session.get(url) as response:
                    lines = (await response.text()).splitlines()
                name = "bitenergy_difficulty "
                return next(int(line.split()[1]) for line in lines if line.startswith(name))

            async with aiohttp.ClientSession() as session:
                for _ in range(16):
                    now_ms += 1_000
                    await net.mine("V0")
                alone = await told(session)
                assert 350 <= alone <= 450
                second = await net.open("V1", peers=["V0"], clock_ms=clock)
                await net.until_connected("V0", "V1")
                await net.until_tip("V0", "V1")
                for number in range(32):
                    now_ms += 500
                    name, other = ("V0", "V1") if number % 2 else ("V1", "V0")
                    await net.mine(name)
                    await net.until_tip(name, other)
                together = await told(session)
                assert together >= alone * 2, (alone, together)
                makers = {net.nodes["V0"].store.head(at).header.proposer for at in range(20, 40)}
                assert makers == {account_of("V0"), account_of("V1")}
                # One leaves, and blocks come at the old pace again.
                await net.stop("V1")
                assert second.chain.height > 0
                for _ in range(24):
                    now_ms += 1_800
                    await net.mine("V0")
                assert await told(session) < together // 2
            await api.stop()

    asyncio.run(scenario())
