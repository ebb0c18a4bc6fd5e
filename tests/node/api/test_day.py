"""Day markets through the API: gates and sums for everybody, bills with proofs for their owners."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from market.day.bills import format_month
from market.day.records import read_market
from market.day.settlement_records import (
    SUM_FIELDS,
    decode_head,
    decode_totals,
    head_key,
    totals_key,
)
from node.api import day_pages
from node.ledger.proofs import decode_account_proof
from tests.ledger.support import TIME_MS, genesis_document, id_of, key_of, seed
from tests.node.api import support
from tests.node.api.conftest import Api, serve
from tests.node.api.signed import ask
from tests.node.api.support import KWH, TOKEN, FakeNode
from tools.cli import run
from tools.session import Network, save_network
from tools.wallet import Wallet
from vm.primitives.codec import encode
from vm.primitives.merkle import MerkleProof, verify_merkle_proof

INTERVAL_MS = 6_000
INTERVAL = TIME_MS // INTERVAL_MS + 3
HOMES = ("A", "B", "C", "D", "E", "F")
TERMS = {
    "name": "local",
    "account": "Op",
    "upstream": "Sup",
    "minute_ms": 400,
    "epoch": {"interval": INTERVAL, "utc": "2026-06-21T10:00"},
    "zone": {"offset_minutes": 60, "rule": "eu"},
    "retail": "30",
    "feed_in": "10",
    "gates": [
        {"kind": "day_ahead", "opens": "08:00", "closes": "12:00"},
        {"kind": "real_time", "minutes": 5},
    ],
    "members": list(HOMES),
}


def make_document() -> bytes:
    """Return the genesis of a network with a day market of six homes."""
    meters = {
        "minute_ms": 400,
        "deadline_minutes": 15,
        "correction_minutes": 60,
        "meters": [{"meter": "M" + name, "member": name} for name in HOMES],
    }
    known = genesis_document()["roles"]
    assert isinstance(known, list)
    roles = list(dict.fromkeys([*known, "meter", "supplier", "auditor", "consumer"]))
    votes = {"voters": {"operator": 1}, "voting_period_ms": 2_000, "notice_blocks": 1}
    modules = {"meters": meters, "day": {"markets": [TERMS]}, "governance": votes}
    document: dict[str, Any] = genesis_document(modules=modules, roles=roles)
    people = {"Sup": "supplier", "Aud": "auditor", **dict.fromkeys(HOMES, "prosumer")}
    people |= {"M" + name: "meter" for name in HOMES}
    document["members"] += [
        {"name": name, "roles": [role], "balance": "1000", "key": key_of(name).hex()}
        for name, role in people.items()
    ]
    return json.dumps(document).encode()


@pytest_asyncio.fixture
async def day_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """A node of a network with a day market."""
    monkeypatch.setattr(support, "make_document", make_document)
    node = FakeNode(tmp_path)
    async for found in serve(node):
        yield found
    node.store.close()


def play(node: FakeNode) -> None:
    """Trade an interval, read its meters and let it be settled and corrected."""
    steps = ((2 * KWH, 20 * TOKEN),)
    for name, side in (("A", "buy"), ("B", "sell")):
        node.grow(node.transaction(name, ("day", "place", ("local", INTERVAL, side, steps, 255))))
    node.grow_until((INTERVAL + 1) * INTERVAL_MS)
    readings = []
    for place, name in enumerate(HOMES):
        registers = ((0, 0), (3 * KWH, 0) if place % 2 else (0, 2 * KWH))
        call = ("meters", "submit", (INTERVAL - 1, registers))
        readings.append(node.transaction("M" + name, call))
    node.grow(*readings)
    node.grow_until((INTERVAL + 7) * INTERVAL_MS)


async def test_gates_positions_and_sums_are_for_everybody(day_api: Api) -> None:
    node = day_api.node
    (market,) = (await day_api.get("/day-markets")).json["markets"]
    assert (market["name"], market["upstream_name"], market["rule"]) == ("local", "Sup", "eu")
    assert [gate["kind"] for gate in market["gates"]] == ["day_ahead", "real_time"]
    assert market["day"] == "2026-06-21"
    path = f"/day-markets/local/intervals/{INTERVAL}"
    steps = ((2 * KWH, 20 * TOKEN),)
    node.grow(node.transaction("A", ("day", "place", ("local", INTERVAL, "buy", steps, 255))))
    shown = (await day_api.get(path)).json
    assert shown["local_start"] == "2026-06-21T12:00+02:00"
    assert (shown["orders"], shown["steps"], shown["settlements"]) == (1, 1, [])
    assert shown["gates"][1]["closes_ms"] == INTERVAL * INTERVAL_MS - 5 * 400
    position = (await day_api.get(f"{path}/positions/A")).json
    assert position["reserved_micro"] == 60 * TOKEN
    assert position["orders"][0]["steps"] == [
        {"energy_milli_wh": 2 * KWH, "price_micro_per_kwh": 20 * TOKEN}
    ]
    assert (await day_api.get(f"{path}/positions/B")).code == "unknown_position"
    assert (await day_api.get("/day-markets/other/intervals/7")).code == "unknown_market"
    assert (await day_api.get(f"/day-markets/local/intervals/{10**12}")).status == 200
    assert (await day_api.get(f"/day-markets/local/intervals/{10**12 + 1}")).status == 400


async def test_an_interval_has_the_tariffs_that_hold_for_it(day_api: Api) -> None:
    node = day_api.node
    height = node.store.height + 8
    change = ("day", "local", (("retail_micro_per_kwh", 25 * TOKEN),), height, "")
    node.grow(node.transaction("Op", ("governance", "propose_parameters", change)))
    votes = [node.transaction(name, ("governance", "vote", (1, "yes"))) for name in ("Op", "Op2")]
    node.grow(*votes)
    while node.store.height < height:
        node.grow()
    (market,) = (await day_api.get("/day-markets")).json["markets"]
    assert market["retail_micro_per_kwh"] == 25 * TOKEN
    since = market["since_interval"]
    for interval, retail in ((since - 1, 30), (since, 25)):
        shown = (await day_api.get(f"/day-markets/local/intervals/{interval}")).json
        tariffs = [shown[f"{name}_micro_per_kwh"] for name in ("retail", "feed_in", "penalty")]
        assert tariffs == [retail * TOKEN, 10 * TOKEN, 0]


async def test_a_day_is_listed_with_what_its_gates_cleared(day_api: Api) -> None:
    node = day_api.node
    path = "/day-markets/local"
    calendar_day = "2026-06-21"
    market = read_market(node.store, "local")
    assert market is not None
    whole = market.calendar.intervals_of(market.calendar.day_of(INTERVAL))
    play(node)
    listed = (await day_api.get(f"{path}/intervals?member=A")).json
    assert (listed["day"], listed["next"], len(listed["intervals"])) == (calendar_day, None, 96)
    assert [each["interval"] for each in listed["intervals"]] == list(whole)
    for each in listed["intervals"]:
        alone = (await day_api.get(f"{path}/intervals/{each['interval']}")).json
        assert each == {**alone, "position": None}
    part = (await day_api.get(f"{path}/intervals?first={whole.start + 90}&limit=4")).json
    assert [each["interval"] for each in part["intervals"]] == list(whole[90:94])
    assert part["next"] == whole[94]

    found = (await day_api.get(f"{path}/clearings?day={calendar_day}")).json
    (cleared,) = found["clearings"]
    assert found["next"] is None
    assert (cleared["interval"], cleared["gate"], cleared["energy_milli_wh"]) == (
        INTERVAL,
        1,
        2 * KWH,
    )
    assert cleared["bids_milli_wh"] == cleared["offers_milli_wh"] == 2 * KWH
    assert cleared["buyer_price_half_micro_per_kwh"] == 2 * 20 * TOKEN
    assert (cleared["prices"], cleared["flows"]) == ([], [])
    block = (await day_api.get(f"/blocks/{cleared['height']}")).json
    told = [each for receipt in block["system_receipts"] for each in receipt["events"]]
    assert any(each["event"] == "clear" for each in told)
    before = (await day_api.get(f"{path}/clearings?before={cleared['height']}")).json
    assert before["clearings"] == []
    for day in ("2026-06-20", "2026-06-22"):
        assert (await day_api.get(f"{path}/clearings?day={day}")).json["clearings"] == []
        assert (await day_api.get(f"{path}/intervals?day={day}")).json["day"] == day
    for day in ("2026-02-30", "2026-6-1", "1969-12-31"):
        assert (await day_api.get(f"{path}/intervals?day={day}")).code == "invalid_parameter"


async def test_a_day_shows_a_member_what_it_has_standing(day_api: Api) -> None:
    node = day_api.node
    steps = ((2 * KWH, 20 * TOKEN),)
    node.grow(node.transaction("A", ("day", "place", ("local", INTERVAL, "buy", steps, 255))))
    path = "/day-markets/local/intervals"
    listed = (await day_api.get(f"{path}?member=A&first={INTERVAL}&limit=2")).json["intervals"]
    alone = (await day_api.get(f"{path}/{INTERVAL}/positions/A")).json
    assert [each["position"] for each in listed] == [alone, None]


async def test_bills_are_for_whom_they_concern_with_proofs(day_api: Api) -> None:
    node = day_api.node
    play(node)
    store = node.store
    market = read_market(store, "local")
    assert market is not None
    month = format_month(market.calendar.month_of(INTERVAL))
    assert month == "2026-06"
    first = INTERVAL - 20
    path = f"/day-markets/local/bills/A/{month}?first={first}&limit=40"
    for signer in ("B", "MB", "Sup"):
        assert (await ask(day_api, path, signer)).code == "personal_data"
    assert (await day_api.get(path)).code == "personal_data"
    bill = (await ask(day_api, path, "A")).json
    assert bill == (await ask(day_api, path, "Aud")).json
    assert [(line["kind"], line["amount_micro"]) for line in bill["lines"]] == [
        ("bought", 40 * TOKEN)
    ]
    assert bill["lines"][0]["local_start"] == "2026-06-21T12:00+02:00"
    assert bill["totals"]["amount_micro"] == 40 * TOKEN
    other = (await ask(day_api, path.replace("/A/", "/B/"), "B")).json
    assert [line["kind"] for line in other["lines"]] == ["sold", "feed_in"]

    proved = (await ask(day_api, f"/proofs/bill-lines/local/B/{INTERVAL}", "B")).json
    (page,) = proved["pages"]
    proof = decode_account_proof(base64.b64decode(page["proof"]))
    assert proof.key == head_key(market, INTERVAL, 0, page["page"])
    assert proof.value is not None and len(page["lines"]) == 2
    for line in page["lines"]:
        siblings = tuple(map(bytes.fromhex, line["siblings"]))
        way = MerkleProof(line["index"], line["count"], siblings)
        assert verify_merkle_proof(decode_head(proof.value).root, bytes.fromhex(line["item"]), way)
    assert (await day_api.get(f"/proofs/bill-lines/local/B/{INTERVAL}")).code == "personal_data"
    assert (await ask(day_api, f"/proofs/bill-lines/local/B/{INTERVAL + 90}", "B")).status == 404
    answer = (await ask(day_api, f"/proofs/bill-totals/local/B/{month}", "B")).json
    leaf = decode_account_proof(base64.b64decode(answer["proof"]))
    assert leaf.key == totals_key(market, id_of("B"), 202606)
    assert sum(decode_totals(leaf.value).amounts_micro) == answer["totals"]["amount_micro"]
    assert (await ask(day_api, "/day-markets/local/bills/A/2026-13", "A")).status == 400
    whole = (await ask(day_api, f"/day-markets/local/bills/A/{month}?limit=1", "A")).json
    assert whole["lines"] == bill["lines"], "the days before, without lines, are passed over"
    rest = f"/day-markets/local/bills/A/{month}?first={whole['next']}"
    assert (await ask(day_api, rest, "A")).json["lines"] == []
    path = f"/day-markets/local/intervals/{INTERVAL}"
    sums = (await ask(day_api, path, "Aud")).json["settlements"]
    assert [each["part"] for each in sums] == ["settled", "corrected"]
    assert [each["withdrawn_milli_wh"] for each in sums] == [6 * KWH, 0]
    assert [each["members"] for each in sums] == [6, 0]


async def test_no_sum_of_a_market_can_be_taken_from_the_networks(day_api: Api) -> None:
    """Where one connection is in no market, or one member alone falls short, the sums of a market
    are that one's reading beside the sum of the network.
    """
    play(day_api.node)
    told = (await day_api.get("/modules/day/events?event=settle")).json["events"]
    assert len(told) > 1
    paths = (f"/day-markets/local/intervals/{INTERVAL}", "/day-markets/local/intervals")
    (one, listed) = [(await day_api.get(path)).json for path in paths]
    parts = [part for each in (one, *listed["intervals"]) for part in each["settlements"]]
    assert len(parts) > 1
    for values in (*[each["fields"] for each in told], *parts):
        assert values["members"] is not None and values["contracted_milli_wh"] is not None
        assert {values[name] for name in SUM_FIELDS[2:]} == {None}
    everything = (await ask(day_api, "/modules/day/events?event=settle", "Aud")).json["events"]
    assert all(each["fields"]["penalties_micro"] is not None for each in everything)


async def test_ecoins_are_for_those_whom_readings_concern(day_api: Api) -> None:
    """They come to an account for what its meter saw injected, and for nothing else."""
    node = day_api.node
    play(node)
    own = 3 * KWH
    for signer, energy in (("", None), ("A", None), ("Sup", None), ("B", own), ("Aud", own)):
        shown = (await ask(day_api, "/accounts/B", signer)).json
        assert shown["energy_milli_wh"] == energy, signer
        assert shown["money_micro"] == 1_050 * TOKEN and shown["energy_reserved_milli_wh"] == 0
        listed = (await ask(day_api, "/members?limit=200", signer)).json["members"]
        held = {each["name"]: each["energy_milli_wh"] for each in listed}
        assert held["B"] == energy and held["Op"] is not None
        for who in ("B", shown["address"]):
            proved = await ask(day_api, f"/proofs/account/{who}", signer)
            assert (proved.status, proved.code if energy is None else "") == (
                (403, "personal_data") if energy is None else (200, "")
            )
    assert (await day_api.get("/proofs/account/Op")).status == 200


async def test_ecoins_cannot_be_tried_out(day_api: Api) -> None:
    """A preview says nothing of how much is there: in B's name 3 kWh and a day's work both go."""
    play(day_api.node)
    headers = {"Content-Type": "application/json"}
    told = []
    for energy in (KWH, 2_000 * KWH):
        call = ("accounts", "transfer_energy", (id_of("A"), energy))
        body = {"sender": "B", "calls": base64.b64encode(encode([call])).decode()}
        reply = await day_api.ask("POST", "/preview", data=json.dumps(body), headers=headers)
        told.append(reply.json["code"])
    assert told == ["", ""]


async def test_the_command_shows_a_bill_and_checks_every_line(
    day_api: Api,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play(day_api.node)
    home = tmp_path / "home"
    for name in ("B", "C"):
        Wallet(home).add(name, seed(name), "secret")
    save_network(home, Network(day_api.node.genesis.digest, day_api.url))
    monkeypatch.setenv("BITENERGY_PASSWORD", "secret")
    command = ["--home", str(home), "bill", "show", "B", "--month", "2026-06"]

    async def show(*options: str) -> tuple[int, str]:
        status = await asyncio.to_thread(run, [*command, *options])
        return status, capsys.readouterr().out

    status, out = await show("--proof", "--json")
    bill = json.loads(out)
    assert status == 0, out
    assert bill["proved"]["complete"] and bill["proved"]["lines"] == len(bill["lines"]) == 2
    assert bill["totals"]["amount_micro"] == -50 * TOKEN
    status, out = await show("--proof")
    assert "to get: 50.00 tokens" in out and "all 2 lines are proved" in out
    assert (await show("--from", "C"))[0] == 1
    assert (await show("--market", "other"))[0] == 1
    assert (await show("--month", "June"))[0] == 2

    real = day_pages.line_json
    forged = {"amount_micro": -51 * TOKEN}
    monkeypatch.setattr(day_pages, "line_json", lambda line: real(line) | forged)
    status, out = await show("--proof", "--json")
    assert (status, json.loads(out)["error"]["code"]) == (1, "invalid_proof")
