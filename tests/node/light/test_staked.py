"""Light nodes and the one-file verifier on a network whose first validators follow from stakes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.ledger.proof_paths import FollowedProof
from node.light.facts import load_facts
from node.proving import prove_key, read_finality
from tests.node.light.support import FOUR, light_node, until_followed
from tests.node.network import account_of, advance, network
from tools import verify_proof as alone
from vm.system.accounts import account_key, decode_account

pytestmark = pytest.mark.network

TOKEN = 1_000_000
STAKES = {"V0": "40", "V1": "30.5", "V2": "20", "V3": "10"}
POS = {"staking": {"token": "money", "stakes": STAKES, "unbonding_minutes": 40}}


def test_a_light_node_follows_votes_by_stake_from_genesis(tmp_path: Path) -> None:
    async def scenario() -> None:
        options = {"followers": ("L",), "modules": POS, "engine_name": "pos"}
        async with network(tmp_path, *FOUR, **options) as net:
            path = tmp_path / "genesis.json"
            path.write_bytes(net.document)
            facts = await asyncio.to_thread(load_facts, path, tmp_path)
            addresses = [net.address_of(name) for name in FOUR]
            for validator, amount in (("V1", 7), ("V3", 25)):
                await advance(net)
                call = ("staking", "delegate", (account_of(validator), amount * TOKEN))
                sent = net.next("m3", call)
                await net.accept("V0", sent)
                await net.until_final(sent)
            async with light_node(net, addresses, facts=facts) as node:
                await until_followed(net, node)
                assert len(node.headers.epochs) == 3
                key = account_key(account_of("m3"))
                proved = await node.prove(key)
                assert proved.value is not None
                assert decode_account(proved.value).money_micro == (1_000 - 32) * TOKEN
                await advance(net)
                await until_followed(net, node)
            store = net.nodes["V0"].store
            height = store.height
            finality = read_finality(store, height)
            steps = [read_finality(store, at) for at in store.changes_after(0)]
            assert finality is not None and len(steps) == 2
            followed = FollowedProof(
                tuple(step for step in steps if step is not None),
                prove_key(store, finality, key),
            )
            found = alone.verify(followed.encode(), alone.read_trust(str(path)))
            assert (found["height"], found["money_micro"]) == (height, (1_000 - 32) * TOKEN)
            with pytest.raises(alone.Refused, match="trusted validators"):
                alone.verify(
                    FollowedProof((), followed.proof).encode(), alone.read_trust(str(path))
                )

    asyncio.run(scenario())
