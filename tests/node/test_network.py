"""Networks of real nodes: what is final is final everywhere, whoever stops, lags or joins."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from consensus.messages import Step
from node.inbox import Inbox
from node.ledger.transaction import Transaction
from node.wire import BLOCK
from tests.node.network import (
    Network,
    account_of,
    blocks_of,
    make_transaction,
    network,
    node_identity,
    seed,
    vote_key,
)
from vm.primitives.signatures import public_key

pytestmark = pytest.mark.network

FOUR = ("V0", "V1", "V2", "V3")


def test_one_validator_finalises_within_milliseconds(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, "V0", parameters={"block_interval_ms": 0}) as net:
            transaction = net.next("m1")
            await net.accept("V0", transaction)
            await net.until_final(transaction)
            assert blocks_of(net.nodes["V0"]) == [(1, 1)]

    asyncio.run(scenario())


def test_four_validators_agree_on_every_root(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            sent = [net.next(f"m{number % 20}") for number in range(200)]
            for place in range(0, 200, 20):
                await net.accept(FOUR[place // 20 % 4], *sent[place : place + 20])
            await net.until_final(*sent)
            await net.until_equal()
            assert len(net.roots()) == 1
            for node in net.nodes.values():
                assert sum(count for _, count in blocks_of(node)) == 200
                # Each signature is checked once at each node.
                assert node.metrics()["signatures_checked_total"] == 200

    asyncio.run(scenario())


class Traffic:
    """Transfers of all members, one after the other, until stopped; keeps what was accepted."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.accepted: list[Transaction] = []
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        number = 0
        while True:
            batch = [self.net.next(f"m{number * 5 % 20 + place}") for place in range(5)]
            names = [name for name in self.net.nodes if name != "F"]
            target = names[number % len(names)]
            results = await self.net.submit(target, *batch)
            for item, result in zip(batch, results, strict=True):
                if result.code == "stopping":  # said so: it is ours to hand to another node
                    other = next(name for name in self.net.nodes if name != target)
                    await self.net.accept(other, item)
                elif result.code:
                    raise AssertionError(result)
                self.accepted.append(item)
            number += 1
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def call(net: Network, method: str, *arguments: object) -> tuple[str, str, tuple[object, ...]]:
    return ("members", method, arguments)


@pytest.mark.parametrize("verify_signatures", [True, False])
def test_a_node_that_was_away_syncs_while_traffic_goes_on(
    tmp_path: Path, verify_signatures: bool
) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            await net.stop("V3")
            traffic = Traffic(net)
            await net.until_height(8)
            node = await net.start("V3", verify_signatures=verify_signatures)
            away = node.chain.height
            await net.until(lambda: node.chain.height >= away + 10 and not node.is_syncing())
            await traffic.stop()
            await net.until_final(*traffic.accepted)
            await net.until_equal()
            assert len(net.roots()) == 1

    asyncio.run(scenario())


def test_a_validator_restarts_in_the_middle_of_traffic(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            traffic = Traffic(net)
            for _ in range(2):
                await net.until_height(net.nodes["V0"].chain.height + 3)
                await net.stop("V1")
                await net.until_height(net.nodes["V0"].chain.height + 2)
                await net.start("V1")
            await net.until_connected(*FOUR)
            await traffic.stop()
            await net.until_final(*traffic.accepted)
            await net.until_equal()
            assert len(net.roots()) == 1

    asyncio.run(scenario())


def test_without_a_quorum_nothing_is_final_and_nothing_is_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            first = net.next("m1")
            await net.accept("V0", first)
            await net.until_final(first)
            await net.until_equal()
            await net.stop("V2")
            await net.stop("V3")
            sent = [net.next(f"m{number}") for number in range(2, 8)]
            await net.accept("V0", *sent)
            await net.until(lambda: net.nodes["V0"].engine_view().step is Step.PREVOTE)
            await asyncio.sleep(1.0)  # well beyond the timeouts of a round
            assert not any(net.nodes["V0"].store.find_transaction(item.id) for item in sent)
            assert any(item.severity == "problem" for item in net.nodes["V0"].doctor())
            await net.start("V2")
            await net.until_final(*sent)
            await net.start("V3")
            await net.until_equal()
            assert len(net.roots()) == 1

    asyncio.run(scenario())


def test_all_stop_and_start_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            traffic = Traffic(net)
            await net.until_height(4)
            await traffic.stop()
            for name in FOUR:
                await net.stop(name)
            for name in FOUR:
                await net.start(name)
            final = net.nodes["V0"].store.find_transaction(traffic.accepted[0].id)
            assert final
            item = make_transaction(net.genesis, "V0", 0)
            await net.accept("V2", item)
            await net.until_final(item)
            await net.until_equal()
            assert len(net.roots()) == 1

    asyncio.run(scenario())


def test_a_follower_of_one_validator_follows_and_submits(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR, followers=("F",)) as net:
            await net.start("F", peers=["V2"], votes=False)
            await net.until(net.nodes["F"].peers)
            sent = [net.next(f"m{number}") for number in range(1, 11)]
            await net.accept("F", *sent[:5])
            await net.accept("V0", *sent[5:])
            await net.until_final(*sent)
            await net.until_equal()
            assert len(net.roots()) == 1
            assert len(net.nodes["F"].peers()) == 1
            # It got the blocks as they were decided, not by syncing afterwards.
            assert net.nodes["F"].metrics()["signatures_checked_total"] == 10

    asyncio.run(scenario())


def test_what_a_node_took_in_alone_reaches_the_validators(tmp_path: Path) -> None:
    """A follower accepts transactions while it has no peer, and hands them on when it has."""

    async def scenario() -> None:
        async with network(tmp_path, *FOUR, followers=("F",)) as net:
            node = await net.start("F", peers=[], votes=False)
            sent = [net.next(f"m{number}") for number in range(1, 6)]
            await net.accept("F", *sent)
            node._peers.configure_peers([net.address_of("V1")])
            await net.until_final(*sent)

    asyncio.run(scenario())


def test_who_submits_what_is_being_checked_already_hears_what_comes_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, "V0") as net:
            good, other = net.next("m1"), net.next("m2")
            bad = other.raw[:-1] + bytes([other.raw[-1] ^ 1])
            node = net.nodes["V0"]
            answers = await asyncio.gather(
                node.submit([bad, good.raw]), node.submit([good.raw, bad, bad])
            )
            codes = [[item.code for item in answer] for answer in answers]
            assert codes == [["bad_signature", ""], ["", "bad_signature", "bad_signature"]]
            assert not node._gossip._in_check

    asyncio.run(scenario())


def test_missing_transactions_and_bodies_are_asked_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            # What V0 takes in goes to nobody, so its blocks name what nobody else has.
            net.nodes["V0"]._gossip._push = lambda *_, **__: None  # type: ignore[method-assign]
            sent = [net.next(f"m{number}") for number in range(1, 10)]
            await net.accept("V0", *sent)
            await net.until_final(*sent)
            # Nor do V1's blocks travel beside their proposals: they are fetched.
            net.nodes["V1"]._driver._network = _without_blocks(net.nodes["V1"]._inbox)
            more = [net.next(f"m{number}") for number in range(1, 10)]
            for item in more:
                await net.accept("V2", item)
                await net.until_final(item)
            assert len(net.roots()) == 1

    asyncio.run(scenario())


def _without_blocks(inbox: Inbox) -> Any:
    class Withholding:
        def broadcast(self, kind: int, payload: bytes) -> None:
            if kind != BLOCK:
                inbox.broadcast(kind, payload)

        def __getattr__(self, name: str) -> Any:
            return getattr(inbox, name)

    return Withholding()


def test_a_member_admitted_on_chain_connects_and_a_suspended_one_is_dropped(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            identity = node_identity("N")
            admit = call(
                net,
                "admit",
                public_key(seed("account N")),
                "N",
                1 << 2,
                "",
                identity.node_key,
                identity.proof,
                b"",
            )
            admitted = net.next("V0", admit)
            await net.accept("V0", admitted)
            await net.until_final(admitted)
            node = await net.start("N", peers=["V1"], votes=False)
            await net.until(node.peers)
            await net.until_equal()
            await net.accept("N", make_transaction(net.genesis, "m5", 0))
            await net.until_equal()
            assert len(net.roots()) == 1
            suspended = net.next("V0", call(net, "suspend", account_of("N")))
            await net.accept("V0", suspended)
            await net.until(
                lambda: (
                    net.nodes["V1"].store.find_transaction(suspended.id)
                    and not any(
                        peer.node_key == identity.node_key for peer in net.nodes["V1"].peers()
                    )
                ),
                what="the suspended member's end",
            )

    asyncio.run(scenario())


def test_a_validator_joins_votes_and_leaves_without_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, "V0", "V1", "V2", followers=("N",)) as net:
            # The node runs with its vote key before the chain knows of it.
            node = await net.start("N")
            await net.until_connected("V0", "V1", "V2", "N")
            assert node.engine_view().own_index is None
            await net.accept("N", net.next("N", call(net, "set_vote_key", vote_key("N"))))
            await net.until_equal()  # refused: it is no validator yet, and stays none
            key = vote_key("J")
            identity = node_identity("J")
            admit = call(
                net,
                "admit",
                public_key(seed("account J")),
                "J",
                1 << 1,
                "",
                identity.node_key,
                identity.proof,
                key,
            )
            joiner = await net.start("J", peers=["V0", "V1", "V2", "N"])
            assert not joiner.peers()
            joined = net.next("V0", admit)
            await net.accept("V0", joined)
            # Four validators now: three votes decide. The joiner must catch up, then vote.
            await net.until(lambda: joiner.engine_view().own_index is not None)
            await net.stop("V2")
            more = net.next("m1")
            await net.accept("V0", more)
            await net.until_final(more)  # V0, V1 and J
            removed = net.next("V0", call(net, "remove", account_of("J")))
            await net.accept("V0", removed)
            await net.until(lambda: net.nodes["V0"].store.find_transaction(removed.id))
            await net.start("V2")
            await net.stop("J")
            last = net.next("m1")
            await net.accept("V1", last)
            await net.until_final(last)

    asyncio.run(scenario())


def test_a_vote_key_rotates(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            new = seed("second vote V3")
            rotate = net.next("V3", call(net, "set_vote_key", public_key(new)))
            await net.accept("V0", rotate)
            await net.until_final(rotate)
            # The old key is silent at once, and the three others go on.
            await net.until(lambda: net.nodes["V3"].engine_view().own_index is None)
            item = net.next("m1")
            await net.accept("V3", item)
            await net.until_final(item)
            assert all(node.metrics()["messages_refused_total"] == 0 for node in net.nodes.values())
            await net.stop("V3")
            node = await net.start("V3", vote_seed=new)
            await net.until(lambda: node.engine_view().own_index is not None and node.peers())
            await net.stop("V2")
            item = net.next("m1")
            await net.accept("V0", item)
            await net.until_final(item)  # needs the new key's vote

    asyncio.run(scenario())


def test_no_blocks_while_nothing_happens(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR, followers=("F",)) as net:
            await net.start("F", peers=["V0"], votes=False)
            sent = net.next("m1")
            await net.accept("V0", sent)
            await net.until_final(sent)
            height = await net.until_equal()
            syncs = [node.metrics()["syncs_total"] for node in net.nodes.values()]
            await asyncio.sleep(1.0)
            assert {node.chain.height for node in net.nodes.values()} == {height}
            assert [node.metrics()["syncs_total"] for node in net.nodes.values()] == syncs

    asyncio.run(scenario())


def test_the_heartbeat_makes_an_empty_block(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR, parameters={"heartbeat_ms": 700}) as net:
            began = asyncio.get_running_loop().time()
            await net.until_height(3)
            took = asyncio.get_running_loop().time() - began
            assert took >= 0.7
            assert blocks_of(net.nodes["V0"])[:3] == [(1, 0), (2, 0), (3, 0)]

    asyncio.run(scenario())


def test_a_height_costs_each_validator_at_most_four_syncs(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR, parameters={"block_interval_ms": 100}) as net:
            await net.until_equal()
            before = {name: node.metrics()["syncs_total"] for name, node in net.nodes.items()}
            start = net.nodes["V0"].chain.height
            traffic = Traffic(net)
            await net.until_height(start + 6)
            await traffic.stop()
            await net.until_final(*traffic.accepted)
            end = await net.until_equal()
            rounds = [
                net.nodes["V0"].store.head(height).certificate.round  # type: ignore[union-attr]
                for height in range(start + 1, end + 1)
            ]
            for name, node in net.nodes.items():
                used = node.metrics()["syncs_total"] - before[name]
                assert used <= 4 * (end - start) + 2 * sum(rounds)

    asyncio.run(scenario())


def test_expired_transactions_vanish_without_a_block_for_each(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            late = make_transaction(net.genesis, "m9", 1, expiry_height=2)
            await net.accept("V0", late)  # behind a gap
            for number in range(6):
                item = net.next(f"m{number + 1}")
                await net.accept("V0", item)
                await net.until_final(item)
            await net.until(
                lambda: all(node.find_waiting(late.id) is None for node in net.nodes.values())
            )
            assert net.nodes["V0"].chain.height < 12

    asyncio.run(scenario())


def test_a_node_stops_in_the_middle_of_its_work(tmp_path: Path) -> None:
    """Stopping at any moment leaves a directory that opens again, and nothing running."""

    async def scenario() -> None:
        async with network(tmp_path, "V0") as net:
            for wait_s in (0.0, 0.001, 0.004, 0.01, 0.02, 0.03):
                items = [net.next(f"m{number}") for number in range(1, 19)]
                await net.accept("V0", *items)
                await asyncio.sleep(wait_s)
                await net.stop("V0")
                node = await net.start("V0")
                for item in items:  # what was only waiting is the submitter's to repeat
                    if node.store.find_transaction(item.id) is None:
                        code = (await net.submit("V0", item))[0].code
                        assert code in ("", "wrong_nonce")  # final meanwhile: it was locked
                await net.until_final(*items)

    asyncio.run(scenario())
