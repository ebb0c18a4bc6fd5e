"""Contradictions of validators: who sees one tells all, and it costs what genesis says, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from consensus.messages import NO_ROUND, Evidence, EvidenceKind, Proposal, Vote, VoteKind
from node.ledger.certificate import encode_evidence, encode_proposal, encode_vote, message_digest
from node.wire import (
    BLOCKS,
    EVIDENCE,
    GET_BLOCKS,
    HEIGHT,
    PROPOSAL,
    VOTE,
    encode_height,
    encode_range,
)
from tests.node.network import Liar, Network, account_of, advance, liar, network, seed
from vm.primitives.signatures import sign
from vm.system.accounts import read_account
from vm.system.stake_pool import read_pool

pytestmark = pytest.mark.network

FOUR = ("V0", "V1", "V2", "V3")
THREE = ("V0", "V1", "V2")
POA = {"staking": {"expel": True, "fine": "100"}}
POS = {"staking": {"token": "money", "stakes": {"V0": "30", "V1": "20", "V2": "20", "V3": "20"}}}


def signed(net: Network, name: str, message: Vote | Proposal) -> Vote | Proposal:
    """Return a message as the validator `name` would sign it."""
    node = next(iter(net.nodes.values()))
    accounts = [validator.account for validator in node.chain.validators]
    bare = replace(message, validator_index=accounts.index(account_of(name)))
    digest = message_digest(net.genesis.digest, bare)
    return replace(bare, signature=sign(seed(f"vote {name}"), digest))


def two_votes(net: Network, name: str, height: int) -> tuple[Vote | Proposal, Vote | Proposal]:
    first, second = (
        signed(net, name, Vote(VoteKind.PRECOMMIT, height, 0, block * 32, 0))
        for block in (b"a", b"b")
    )
    return first, second


def evidence_of(net: Network) -> list[tuple[int, bytes]]:
    """Return the evidence on the chain with the heights of its blocks."""
    node = net.nodes["V0"]
    bodies = [(height, node.store.body(height)) for height in range(1, node.chain.height + 1)]
    return [(height, data) for height, body in bodies if body for data in body.evidence]


def money_of(net: Network, name: str) -> int:
    account = read_account(net.nodes["V0"].store, account_of(name))
    assert account is not None
    return account.money_micro


def is_in_set(net: Network, name: str) -> bool:
    return account_of(name) in [one.account for one in net.nodes["V0"].chain.validators]


async def contradict(net: Network, peer: Liar, what: str) -> None:
    """Have V3 say two things to the follower alone, about the height in progress."""
    height = net.nodes["F"].chain.height + 1
    if what == "votes":
        for vote in two_votes(net, "V3", height):
            assert isinstance(vote, Vote)
            peer.send("F", VOTE, encode_vote(vote))
        return
    view = net.nodes["F"].engine_view()
    accounts = [validator.account for validator in net.nodes["F"].chain.validators]
    turn = (accounts.index(account_of("V3")) - view.proposer_index) % 4
    for block in (b"a", b"b"):
        proposal = signed(net, "V3", Proposal(height, turn, block * 32, NO_ROUND, 0))
        assert isinstance(proposal, Proposal)
        peer.send("F", PROPOSAL, encode_proposal(proposal))


@pytest.mark.parametrize("what", ["votes", "proposals"])
def test_what_one_follower_saw_is_on_the_chain_once_and_costs_validator_its_seat(
    tmp_path: Path, what: str
) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR, followers=("F",), modules=POA) as net:
            await net.start("F", peers=THREE, votes=False)
            await advance(net)
            await net.stop("V3")
            await net.until_equal()
            async with liar(net, "V3", "F") as peer:
                await contradict(net, peer, what)
                await advance(net)
                await net.until(lambda: not is_in_set(net, "V3"), what="the expulsion")
            await net.until_equal()
            ((height, _),) = evidence_of(net)
            assert money_of(net, "V3") == 900_000_000
            head = net.nodes["V0"].store.head(height)
            assert head is not None and head.header.next_validators != head.header.validators
            await advance(net)
            assert len(evidence_of(net)) == 1

    asyncio.run(scenario())


def test_expired_evidence_is_harmless(tmp_path: Path) -> None:
    async def scenario() -> None:
        old = {"evidence_max_age_blocks": 2}
        async with network(tmp_path, *FOUR, followers=("L",), modules=POA, parameters=old) as net:
            for _ in range(4):
                await advance(net)
            await net.until_equal()
            async with liar(net, "L", *FOUR) as peer:
                first, second = two_votes(net, "V3", 1)
                pair = Evidence(EvidenceKind.DOUBLE_PRECOMMIT, first, second)
                for name in FOUR:
                    peer.send(name, EVIDENCE, encode_evidence(pair))
                await advance(net)
                assert all(peer.is_known_to(name) for name in FOUR)  # it may have been late
            await net.until_equal()
            assert evidence_of(net) == [] and is_in_set(net, "V3")
            assert money_of(net, "V3") == 1_000_000_000

    asyncio.run(scenario())


def test_under_pos_stake_is_slashed_and_the_others_go_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(
            tmp_path, *FOUR, followers=("L",), modules=POS, engine_name="pos"
        ) as net:
            await advance(net)
            async with liar(net, "L", *FOUR) as peer:
                first, second = two_votes(net, "V1", 1)
                pair = Evidence(EvidenceKind.DOUBLE_PRECOMMIT, first, second)
                peer.send("V0", EVIDENCE, encode_evidence(pair))
                await net.until(lambda: not is_in_set(net, "V1"), what="the slash")
                peer.send("V2", EVIDENCE, encode_evidence(pair))  # too late to count again
                await advance(net)
            await net.until_equal()
            assert len(net.roots()) == 1
            pool = read_pool(net.nodes["V2"].store, account_of("V1"))
            assert pool is not None and pool.stake_micro == 19_000_000
            assert len(evidence_of(net)) == 1
            assert net.nodes["V1"].engine_view().own_index is None
            powers = {one.account: one.power for one in net.nodes["V0"].chain.validators}
            assert powers[account_of("V0")] == 30 and len(powers) == 3

    asyncio.run(scenario())


def test_whoever_has_the_height_is_told_of_what_waits_and_nobody_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, "V0", "V1", followers=("F",), modules=POA) as net:
            await advance(net)
            await net.stop("V1")  # no quorum: what is found waits
            first, second = two_votes(net, "V1", 1)
            pair = Evidence(EvidenceKind.DOUBLE_PRECOMMIT, first, second)
            net.nodes["V0"]._driver.add_evidence(pair)
            async with liar(net, "F", "V0") as peer:
                heard = peer.heard
                peer.send("V0", HEIGHT, encode_height(0))
                peer.send("V0", GET_BLOCKS, encode_range(1, 1))
                await net.until(lambda: any(kind == BLOCKS for _, kind, _ in heard))
                assert not [kind for _, kind, _ in heard if kind == EVIDENCE]
                peer.send("V0", HEIGHT, encode_height(1))
                await net.until(lambda: any(kind == EVIDENCE for _, kind, _ in heard))

    asyncio.run(scenario())
