"""The pages on auctions, charging quotas and demand response, from opening to what came of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from market.auction.rounds import commitment_of
from tests.ledger.support import TIME_MS, genesis_document, id_of
from tests.node.api import support
from tests.node.api.conftest import Api, serve
from tests.node.api.signed import ask
from tests.node.api.support import KWH, TOKEN, FakeNode

AUCTIONS = [
    {
        "name": "feeder-day",
        "mechanism": "uniform",
        "sealed": False,
        "market": "feeder",
        "account": "Op",
        "minute_ms": 1_000,
        "gate_minutes": 5,
    },
    {
        "name": "sealed",
        "mechanism": "huang",
        "account": "Op",
        "deposit": "5",
        "minute_ms": 1_000,
        "gate_minutes": 5,
        "opening_minutes": 3,
    },
]
LENGTH_MS = 15_000
SALT = bytes(range(32))


@pytest_asyncio.fixture
async def day_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """A node of a network with two auctions, quotas and demand response."""
    modules = {
        "market": {"markets": support.MARKETS},
        "auction": {"auctions": AUCTIONS},
        "quota": {"penalty_price": "224"},
        "response": {"account": "Op", "upstream_price": "35", "past_intervals": 2},
    }
    document = genesis_document(modules=modules, roles=[*genesis_document()["roles"], "meter"])  # type: ignore[misc]
    members = {member["name"]: member for member in document["members"]}  # type: ignore[attr-defined]
    members["Op"] |= {"roles": ["operator", "dso", "meter"], "balance": "1000"}
    members["P1"] |= {"bus": "N1"}
    members["P2"] |= {"bus": "N2"}
    monkeypatch.setattr(support, "make_document", lambda: json.dumps(document).encode())
    node = FakeNode(tmp_path)
    async for found in serve(node):
        yield found
    node.store.close()


def next_interval() -> int:
    return (TIME_MS + 20_000) // LENGTH_MS + 1


async def test_an_open_auction_over_a_feeder(day_api: Api) -> None:
    node, interval = day_api.node, next_interval()
    auction, sealed = (await day_api.get("/auctions")).json["auctions"]
    assert (auction["name"], auction["market"], auction["sealed"]) == (
        "feeder-day",
        "feeder",
        False,
    )
    assert (sealed["mechanism"], sealed["deposit_micro"]) == ("huang", 5 * TOKEN)
    path = "/auctions/feeder-day"
    assert (await day_api.get(f"{path}/intervals")).json == {"intervals": [], "next": None}
    for name, side, energy, price in (("P1", "sell", 2, 9), ("P2", "buy", 1, 20)):
        steps = ((energy * KWH, price * TOKEN),)
        node.grow(
            node.transaction(name, ("auction", "place", ("feeder-day", interval, side, steps)))
        )
    later = ("auction", "place", ("feeder-day", interval + 3, "sell", ((KWH, 9 * TOKEN),)))
    node.grow(node.transaction("P1", later))
    first = (await day_api.get(f"{path}/intervals?limit=1")).json
    assert [each["interval"] for each in first["intervals"]] == [interval] == [first["next"]]
    (rest,) = (await day_api.get(f"{path}/intervals?after={interval}")).json["intervals"]
    assert (rest["interval"], rest["orders"]) == (interval + 3, 1)
    shown = (await day_api.get(f"{path}/intervals/{interval}")).json
    assert shown["gate_ms"] == shown["clearing_ms"] == shown["start_ms"] - 5_000
    assert [(each["member_name"], each["side"]) for each in shown["book"]] == [
        ("P1", "sell"),
        ("P2", "buy"),
    ]
    page = (await day_api.get(f"{path}/intervals/{interval}?limit=1")).json
    (other,) = (await day_api.get(f"{path}/intervals/{interval}?after={page['next']}")).json["book"]
    own = (await day_api.get(f"{path}/intervals/{interval}?member=P2")).json["book"]
    assert [other] == own and own[0]["cover_micro"] == 20 * TOKEN
    assert own[0]["steps"] == [{"energy_milli_wh": KWH, "price_micro_per_kwh": 20 * TOKEN}]

    node.grow_until(shown["clearing_ms"])
    (cleared,) = (await day_api.get(f"{path}/clearings?member=P2")).json["clearings"]
    assert (cleared["interval"], cleared["energy_milli_wh"]) == (interval, KWH * 3 // 4)
    assert cleared["flows"] == [{"line": "L2", "energy_milli_wh": KWH * 3 // 4}]
    assert {each["bus"]: each["price_half_micro_per_kwh"] for each in cleared["prices"]} == {
        "S": 18 * TOKEN,
        "N1": 18 * TOKEN,
        "N2": 40 * TOKEN,
    }
    assert [(each["side"], each["amount_micro"]) for each in cleared["awards"]] == [
        ("buy", 15 * TOKEN)
    ]
    (entry,) = (await day_api.get("/accounts/P2/unasked")).json["unasked"]
    assert (entry["height"], entry["what"]) == (cleared["height"], "auction.bought")
    assert (entry["money_micro"], entry["energy_milli_wh"]) == (-15 * TOKEN, KWH * 3 // 4)
    assert (await day_api.get("/accounts/V3/unasked")).json["unasked"] == []
    assert (await day_api.get(f"{path}/intervals/{interval}")).json["book"] == []
    assert (await day_api.get("/auctions/nothing/clearings")).status == 404


async def test_a_sealed_auction_shows_no_order_before_it_is_opened(day_api: Api) -> None:
    node, interval = day_api.node, next_interval()
    steps = ((2 * KWH, 10 * TOKEN),)
    digest = commitment_of("sealed", interval, id_of("P1"), 1, steps, SALT)
    for name in ("P1", "P2"):
        call = ("auction", "commit", ("sealed", interval, digest, 0, 2 * KWH))
        node.grow(node.transaction(name, call))
    path = f"/auctions/sealed/intervals/{interval}"
    shown = (await day_api.get(path)).json
    assert [(each["side"], each["steps"]) for each in shown["book"]] == [(None, [])] * 2
    node.grow_until(shown["gate_ms"])
    first = shown["book"][0]["order"]
    node.grow(
        node.transaction(
            "P1", ("auction", "open", ("sealed", interval, first, "sell", steps, SALT))
        )
    )
    assert (await day_api.get(path)).json["book"][0]["side"] == "sell"
    node.grow_until(shown["clearing_ms"])
    (cleared,) = (await day_api.get("/auctions/sealed/clearings")).json["clearings"]
    assert (cleared["energy_milli_wh"], cleared["orders"], cleared["forfeits"]) == (0, 1, 1)
    told = (await day_api.get("/modules/auction/events?event=forfeit")).json["events"]
    assert [(each["fields"]["member_name"], each["index"]) for each in told] == [("P2", None)]


async def test_quotas(day_api: Api) -> None:
    node = day_api.node
    times = [TIME_MS + 1_000 * after for after in (10, 20, 30, 40, 50)]
    node.grow(node.transaction("Op", ("quota", "announce", (10_000, 10 * TOKEN, *times))))
    for name, power in (("P1", 8_000), ("P2", 12_000)):
        node.grow(node.transaction(name, ("quota", "demand", (1, power))))
    answer = (await day_api.get("/quotas")).json
    assert answer["terms"]["penalty_price_micro_per_kwh"] == 224 * TOKEN
    assert [(each["stage"], each["demand_w"]) for each in answer["rounds"]] == [("demand", 20_000)]
    node.grow_until(times[0])
    node.grow(node.transaction("P1", ("quota", "offer", (1, 1_000, 90 * TOKEN))))
    shown = (await day_api.get("/quotas/1")).json
    assert (shown["stage"], shown["dso_name"]) == ("trade", "Op")
    stations = {each["station_name"]: each for each in shown["charging"]}
    assert {name: each["quota_w"] for name, each in stations.items()} == {"P1": 4_000, "P2": 6_000}
    assert (stations["P1"]["side"], stations["P1"]["order_w"]) == ("sell", 1_000)
    assert stations["P2"]["side"] is None
    assert (await day_api.get("/quotas?before=1")).json["rounds"] == []
    assert (await day_api.get("/quotas/2")).status == 404


async def test_demand_response(day_api: Api) -> None:
    node = day_api.node
    times = [TIME_MS + 1_000 * after for after in (12, 24, 36, 48)]
    node.grow(node.transaction("Op", ("response", "open", (times[0], times[1]))))
    node.grow(node.transaction("P1", ("response", "supply", (1, KWH, 8 * TOKEN))))
    node.grow(node.transaction("P2", ("response", "want", (1, 2 * KWH, 30 * TOKEN))))
    called = ("down", (KWH, KWH), 5 * TOKEN, 2 * TOKEN, *times)
    node.grow(node.transaction("Op", ("response", "call", called)))
    node.grow(node.transaction("P2", ("response", "enrol", (1, (KWH // 2, 0)))))
    past = ((KWH, KWH), (KWH, KWH))
    node.grow(node.transaction("Op", ("response", "record_past", (1, id_of("P2"), past))))
    answer = (await day_api.get("/response/rounds")).json
    assert answer["terms"]["upstream_price_micro_per_kwh"] == 35 * TOKEN
    assert [(each["stage"], each["members"]) for each in answer["rounds"]] == [("orders", 2)]
    orders = (await day_api.get("/response/rounds/1")).json["orders"]
    assert {each["member_name"]: each["side"] for each in orders} == {"P1": "sell", "P2": "buy"}
    (event,) = (await day_api.get("/response/events")).json["events"]
    assert (event["direction"], event["profile_left_milli_wh"]) == ("down", [KWH // 2, KWH])
    (enrolled,) = (await day_api.get("/response/events/1")).json["enrolled"]
    assert (enrolled["promised_milli_wh"], enrolled["deposit_micro"]) == ([KWH // 2, 0], TOKEN)
    node.grow_until(times[0])
    shown = (await day_api.get("/response/rounds/1")).json
    assert shown["stage"] == "responses"
    bought = [each["bought_milli_wh"] for each in shown["orders"] if each["side"] == "buy"]
    assert bought == [KWH]
    node.grow_until(times[2])
    measured = (KWH - KWH // 3, KWH)
    node.grow(node.transaction("Op", ("response", "record", (1, id_of("P2"), measured))))
    node.grow_until(times[3])
    assert (await day_api.get("/response/rounds/1")).status == 404
    assert (await day_api.get("/response/events/1")).status == 404
    for event_name in ("settled", "ended"):
        told = (await day_api.get(f"/modules/response/events?event={event_name}")).json["events"]
        assert len(told) == 1
    # What P2 delivered is its baseline less its reading.
    path = "/modules/response/events?event=settle"
    for signer, energy in (("", None), ("P1", None), ("P2", KWH // 3)):
        (settled,) = (await ask(day_api, path, signer)).json["events"]
        assert settled["fields"]["energy_milli_wh"] == energy, signer
        assert settled["fields"]["reward_micro"] > 0


async def test_what_modules_told_comes_in_pages(day_api: Api) -> None:
    node = day_api.node
    for amount in range(1, 6):
        node.grow(node.transaction("P1", ("accounts", "transfer", (id_of("P2"), amount, ""))))
    seen: list[int] = []
    path = "/modules/accounts/events?event=transfer&limit=2"
    page = (await day_api.get(path)).json
    while True:
        seen += [each["fields"]["amount_micro"] for each in page["events"]]
        if page["next"] is None:
            break
        page = (await day_api.get(f"{path}&before={page['next']}")).json
    assert seen == [5, 4, 3, 2, 1]
    assert (await day_api.get("/modules/nothing/events")).code == "unknown_module"
    assert (await day_api.get("/modules/accounts/events?event=nothing")).code == "unknown_event"


async def test_a_network_without_them_says_so(api: Api) -> None:
    assert (await api.get("/auctions")).json == {"auctions": []}
    assert (await api.get("/quotas")).json == {"terms": None, "rounds": [], "next": None}
    assert (await api.get("/response/rounds")).json["terms"] is None
    assert (await api.get("/response/events")).json["events"] == []
