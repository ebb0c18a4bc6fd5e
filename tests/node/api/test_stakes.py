"""The pages on stakes: the terms, who validates with what, and when a change is in force."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.ledger.support import genesis_document, id_of, key_of
from tests.node.api import support
from tests.node.api.conftest import Api, serve
from tests.node.api.support import TOKEN, FakeNode
from vm.primitives.address import encode_address

STAKING = {
    "token": "incentives",
    "stakes": {"V1": "10", "V2": "10", "V3": "10", "V4": "1"},
    "block_reward": "3",
    "unbonding_minutes": 5,
    "min_stake": "2",
}


@pytest_asyncio.fixture
async def staked_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """A node of a network with stakes."""
    modules = {"staking": STAKING, "market": {"markets": support.MARKETS[:1]}}
    document = genesis_document(
        engine={"name": "pos", "parameters": {}},
        modules=modules,
        parameters={"evidence_max_age_blocks": 1_000},
    )
    monkeypatch.setattr(support, "make_document", lambda: json.dumps(document).encode())
    node = FakeNode(tmp_path)
    async for found in serve(node):
        yield found
    node.store.close()


async def test_terms_and_validators_are_shown(staked_api: Api) -> None:
    answer = (await staked_api.get("/staking")).json
    assert answer["terms"]["token"] == "incentives"
    assert answer["terms"]["unbonding_ms"] == 300_000
    assert answer["points_total_micro"] == 31 * TOKEN
    assert [one["stake_micro"] for one in answer["validators"]] == [10 * TOKEN] * 3 + [TOKEN]
    assert {one["validator_name"]: one["power"] for one in answer["validators"]} == {
        "V1": 10,
        "V2": 10,
        "V3": 10,
        "V4": 0,
    }
    voting = (await staked_api.get("/validators")).json
    assert (voting["total_power"], len(voting["validators"])) == (30, 3)


async def test_stakes_of_an_account_are_shown_with_what_they_earned(staked_api: Api) -> None:
    node = staked_api.node
    node.grow(node.transaction("Op", ("incentives", "grant", (id_of("P1"), 9 * TOKEN))))
    block = node.grow(
        node.transaction("P1", ("staking", "delegate", (id_of("V4"), 6 * TOKEN))),
        node.transaction("P1", ("staking", "delegate", (id_of("V1"), 2 * TOKEN))),
    )
    node.grow()
    node.grow(node.transaction("P1", ("staking", "unbond", (id_of("V4"), TOKEN))))
    answer = (await staked_api.get("/stakes/P1")).json
    assert answer["points_micro"] == TOKEN
    assert {one["validator_name"]: one["stake_micro"] for one in answer["stakes"]} == {
        "V1": 2 * TOKEN,
        "V4": 5 * TOKEN,
    }
    assert all(one["reward_micro"] > 0 for one in answer["stakes"])
    (leaving,) = answer["unbondings"]
    assert (leaving["validator_name"], leaving["amount_micro"]) == ("V4", TOKEN)
    assert leaving["slashed_micro"] == 0 and leaving["height"] == node.store.height
    events = [event for one in block.executed.receipts for event in one.events]
    told = {event[2][0]: event[2][1:] for event in events if event[1] == "validator"}
    first_height = block.header.height + 1
    assert told == {
        id_of("V1"): (12, key_of("V1", "vote"), first_height),
        id_of("V4"): (7, key_of("V4", "vote"), first_height),
    }


async def test_a_change_of_the_set_names_its_first_height_in_the_receipt(api: Api) -> None:
    change = ("members", "set_vote_key", (key_of("V2", "new vote"),))
    sent = api.node.transaction("V2", change)
    block = api.node.grow(sent)
    answer = (await api.get(f"/transactions/{sent.id.hex()}")).json
    (event,) = [one for one in answer["receipt"]["events"] if one["event"] == "validator"]
    assert event["fields"] == {
        "account": encode_address(id_of("V2")),
        "account_name": "V2",
        "power": 1,
        "vote_key": key_of("V2", "new vote").hex(),
        "first_height": block.header.height + 1,
    }


async def test_where_nothing_is_staked_the_pages_say_so(api: Api) -> None:
    answer = (await api.get("/staking")).json
    assert (answer["terms"]["token"], answer["validators"]) == ("none", [])
    assert (await api.get("/stakes/P1")).json["stakes"] == []
    assert (await api.get("/stakes/nobody")).status == 404
