"""The pages on certificates: lots by owner, plants, coins, and what the module told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from market.certificates.records import COINS_SPACE, CREDIT_SPACE, PLANT_SPACE, TERMS_KEY
from node.light_service import LightService
from node.light_wire import ASK_STATE, Question
from tests.ledger.support import TIME_MS, genesis_document, id_of, key_of
from tests.node.api import support
from tests.node.api.conftest import Api, serve
from tests.node.api.signed import ask
from tests.node.api.support import KWH, FakeNode
from vm.primitives.address import encode_address

LENGTH_MS = 3_000
FIRST = TIME_MS // LENGTH_MS


@pytest_asyncio.fixture
async def green_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """A node of a network with a meter at P1, and a minute of 200 ms."""
    minute = {"minute_ms": 200, "deadline_minutes": 15, "correction_minutes": 15}
    day = {"name": "local", "account": "Op", "upstream": "Op2", "retail": "30", "feed_in": "10"}
    modules = {
        "meters": {**minute, "meters": [{"meter": "MT", "member": "P1"}]},
        "day": {
            "markets": [
                {
                    **day,
                    "minute_ms": 200,
                    "max_energy_kwh": "20",
                    "gates": [{"kind": "intraday", "minutes": 15}],
                }
            ]
        },
        "certificates": {
            "unit_kwh": 1,
            "period_intervals": 1,
            "coins": {"market": "local", "earned": "2"},
            "plants": [
                {"plant": "roof", "member": "P1", "technology": "solar", "capacity_w": 20_000}
            ],
        },
    }
    document = genesis_document(modules=modules)
    document["roles"] = [*document["roles"], "meter"]  # type: ignore[misc]
    meter = {"name": "MT", "roles": ["meter"], "key": key_of("MT").hex()}
    document["members"] = [*document["members"], meter]  # type: ignore[misc]
    monkeypatch.setattr(support, "make_document", lambda: json.dumps(document).encode())
    node = FakeNode(tmp_path)
    async for found in serve(node):
        yield found
    node.store.close()


async def test_lots_plants_and_coins(green_api: Api) -> None:
    node = green_api.node
    (roof,) = (await green_api.get("/certificates/plants")).json["plants"]
    assert (roof["plant"], roof["owner_name"], roof["issued"]) == ("roof", "P1", 0)
    assert roof["end"] is None
    empty = (await green_api.get("/certificates")).json
    assert empty["terms"]["unit_milli_wh"] == KWH and empty["certificates"] == []
    node.grow_until((FIRST + 1) * LENGTH_MS)
    reading = ("meters", "submit", (FIRST, ((int(3.5 * KWH), 0),)))
    node.grow(node.transaction("MT", reading))
    node.grow_until((FIRST + 2) * LENGTH_MS + 1_000)
    (lot,) = (await green_api.get("/certificates?owner=P1")).json["certificates"]
    assert (lot["lot"], lot["plant"], lot["count"], lot["first_serial"]) == (1, "roof", 3, 1)
    assert lot["produced_until_ms"] - lot["produced_from_ms"] == LENGTH_MS
    node.grow(node.transaction("P1", ("certificates", "transfer", (1, 1, id_of("P2")))))
    node.grow(node.transaction("P1", ("certificates", "retire", (1, 1, id_of("P2"), "tea"))))
    everything = (await green_api.get("/certificates")).json["certificates"]
    assert [(each["lot"], each["owner_name"], each["count"]) for each in everything] == [
        (1, "P1", 1),
        (2, "P2", 1),
    ]
    first = (await green_api.get("/certificates?limit=1")).json
    rest = (await green_api.get(f"/certificates?after={first['next']}")).json
    assert (first["certificates"], rest["certificates"]) == (everything[:1], everything[1:])
    after = (await green_api.get("/certificates?owner=P1&after=1")).json
    assert (after["certificates"], after["next"]) == ([], None)
    coins = (await ask(green_api, "/certificates/coins/P2", "P2")).json
    assert (coins["balance_micro"], coins["since"], coins["member_name"]) == (0, None, "P2")
    node.grow(node.transaction("P2", ("certificates", "enrol", ())))
    # They change by what P2 withdraws.
    coins = (await green_api.get("/certificates/coins/P2")).json
    assert coins["since"] >= FIRST and coins["balance_micro"] is None
    told = (await green_api.get("/modules/certificates/events")).json["events"]
    (retired,) = [each["fields"] for each in told if each["event"] == "retire"]
    assert (retired["plant"], retired["beneficiary_name"], retired["purpose"]) == (
        "roof",
        "P2",
        "tea",
    )


async def test_what_is_not_there(green_api: Api, api: Api) -> None:
    assert (await green_api.get("/certificates/coins/P1")).code == "no_coins"
    assert (await green_api.get("/certificates/coins/Nobody")).status == 404
    assert (await green_api.get("/certificates?owner=Nobody")).code == "unknown_account"
    unknown = encode_address(bytes(20))
    assert (await green_api.get(f"/certificates?owner={unknown}")).json["certificates"] == []
    top = 2**63 - 1
    assert (await green_api.get(f"/certificates?after={top}")).json["certificates"] == []
    assert (await green_api.get(f"/certificates/plants?after={top}")).json["plants"] == []
    assert (await green_api.get(f"/certificates?owner=P1&after={top}")).json["next"] is None
    assert (await api.get("/certificates")).json == {
        "terms": None,
        "certificates": [],
        "next": None,
    }
    assert (await api.get("/certificates/plants")).json == {"plants": [], "next": None}


async def test_light_nodes_get_no_energies_either(green_api: Api) -> None:
    node = green_api.node
    node.grow()
    chain: Any = SimpleNamespace(store=node.store, height=node.store.height)
    nothing: Any = None
    service = LightService(chain, nothing, nothing, nothing, spawn=nothing, above=nothing)
    for space in (PLANT_SPACE, CREDIT_SPACE, COINS_SPACE):
        question = Question(1, ASK_STATE, space + (1).to_bytes(4, "big"))
        assert service._reply(question).code == "personal_data"
    assert service._reply(Question(1, ASK_STATE, TERMS_KEY)).code == ""
