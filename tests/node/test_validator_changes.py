"""The validator set changes on the running chain: who comes signs, who goes is silent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.ledger.transaction import Transaction
from tests.node.network import (
    Network,
    account_of,
    advance,
    network,
    node_identity,
    seed,
    vote_key,
)
from vm.primitives.signatures import public_key
from vm.runtime import Call

pytestmark = pytest.mark.network

FOUR = ("V0", "V1", "V2", "V3")
TOKEN = 1_000_000
POS = {"staking": {"token": "money", "stakes": dict.fromkeys(FOUR, "20"), "unbonding_minutes": 40}}


async def run(net: Network, name: str, call: Call, *, at: str = "V0") -> Transaction:
    """Have a member's call made final."""
    sent = net.next(name, call)
    await net.accept(at, sent)
    await net.until_final(sent)
    return sent


def told_changes(net: Network, name: str = "V0") -> dict[int, list[tuple[bytes, int]]]:
    """Return what events say: by first height, whose power becomes what."""
    store = net.nodes[name].store
    found: dict[int, list[tuple[bytes, int]]] = {}
    for height in range(1, store.height + 1):
        for receipt in store.receipts(height):
            for _, event, values in receipt.events:
                if event == "validator":
                    account, power, _, first_height = values
                    found.setdefault(first_height, []).append((account, power))
    return found


def signers(net: Network, height: int, name: str = "V0") -> list[bytes]:
    """Return the accounts that signed the certificate of a height."""
    store = net.nodes[name].store
    head, validators = store.head(height), store.validators_at(height)
    assert head is not None and head.certificate is not None and validators is not None
    return [validators[place].account for place, _ in head.certificate.signatures]


def members_at(net: Network, height: int, name: str = "V0") -> list[bytes]:
    validators = net.nodes[name].store.validators_at(height)
    assert validators is not None
    return [validator.account for validator in validators]


def admission(name: str) -> Call:
    """Return the call that admits a validator with its node."""
    identity = node_identity(name)
    keys = (identity.node_key, identity.proof, vote_key(name))
    return ("members", "admit", (public_key(seed(f"account {name}")), name, 1 << 1, "", *keys))


async def check_first_height(net: Network, account: bytes, power: int) -> int:
    """Return the height from which events say an account has a power; hold them to it."""
    (height,) = [at for at, said in told_changes(net).items() if (account, power) in said]
    await advance(net)
    assert (account in members_at(net, height)) == bool(power)
    assert (account in members_at(net, height - 1)) != bool(power)
    for at in range(1, height):
        if power:
            assert account not in signers(net, at)
    return height


def test_a_fifth_validator_signs_from_its_height_on_also_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            await advance(net)
            await net.start("J", peers=FOUR)
            await run(net, "V0", admission("J"))
            await net.until(lambda: net.nodes["J"].engine_view().own_index is not None)
            for name in FOUR:
                await net.stop(name)
            await net.stop("J")
            # All were away at the change; four of five decide, so J's vote is needed without V3.
            for name in ("V0", "V1", "V2", "J"):
                await net.start(name)
            await net.until_connected("V0", "V1", "V2", "J")
            await advance(net)
            first = await check_first_height(net, account_of("J"), 1)
            assert account_of("J") in signers(net, net.nodes["V0"].chain.height)
            assert net.nodes["V0"].chain.height >= first
            await net.start("V3")
            await net.until_equal()
            await run(net, "V0", ("members", "set_roles", (account_of("J"), 1 << 2)))
            gone = await check_first_height(net, account_of("J"), 0)
            assert gone > first
            await net.stop("J")
            await advance(net)
            assert account_of("J") not in signers(net, net.nodes["V0"].chain.height)

    asyncio.run(scenario())


def test_a_rotated_key_takes_over_at_its_height_through_a_restart_of_all(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            new = seed("second vote V3")
            await run(net, "V3", ("members", "set_vote_key", (public_key(new),)))
            (first,) = told_changes(net)
            keys = [
                {one.vote_key for one in net.nodes["V0"].store.validators_at(at) or ()}
                for at in (first - 1, first)
            ]
            assert (vote_key("V3") in keys[0], public_key(new) in keys[0]) == (True, False)
            assert (vote_key("V3") in keys[1], public_key(new) in keys[1]) == (False, True)
            for name in FOUR:
                await net.stop(name)
            for name in ("V0", "V1"):
                await net.start(name)
            await net.start("V3", vote_seed=new)
            await net.until_connected("V0", "V1", "V3")
            await advance(net)  # V2 is away: it takes the new key
            assert account_of("V3") in signers(net, net.nodes["V0"].chain.height)

    asyncio.run(scenario())


def test_three_more_of_four_in_one_block_are_one_too_many(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            node = net.nodes["V0"]
            sent = [net.next("V0", admission(name)) for name in ("J", "K", "L")]
            await net.accept("V0", *sent)
            await net.until_final(*sent)
            places = [node.store.find_transaction(one.id) for one in sent]
            heights = {place[0] for place in places if place is not None}
            codes = [
                receipt.code
                for height in heights
                for receipt in node.store.receipts(height)
                if receipt.transaction_id
            ]
            if len(heights) == 1:
                assert codes == ["", "", "too_many_changes"]
            assert len(node.chain.validators) == 4 + codes.count("")

    asyncio.run(scenario())


def test_under_pos_stake_brings_a_validator_in_and_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with network(
            tmp_path, *FOUR, followers=("N",), modules=POS, engine_name="pos"
        ) as net:
            validator = 1 << 1
            await run(net, "V0", ("members", "set_roles", (account_of("N"), validator)))
            await net.start("N", peers=FOUR)
            await run(net, "N", ("members", "set_vote_key", (vote_key("N"),)))
            assert not told_changes(net)
            await run(net, "N", ("staking", "bond", (30 * TOKEN,)))
            first = await check_first_height(net, account_of("N"), 30)
            await net.until(lambda: net.nodes["N"].engine_view().own_index is not None)
            known = net.nodes["V0"]._directory.validator_nodes
            assert known[node_identity("N").node_key] == account_of("N")
            await net.stop("V3")
            await advance(net)
            # V0, V1 and V2 have 60 of 110, no quorum: so N signs.
            height = net.nodes["V0"].chain.height
            assert account_of("N") in signers(net, height) and height >= first
            await run(net, "N", ("staking", "unbond", (account_of("N"), 30 * TOKEN)))
            await check_first_height(net, account_of("N"), 0)
            await net.stop("N")
            await advance(net)
            assert account_of("N") not in signers(net, net.nodes["V0"].chain.height)
            assert len(net.roots()) == 1

    asyncio.run(scenario())
