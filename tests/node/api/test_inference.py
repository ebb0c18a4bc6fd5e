"""What strangers could work out of members' readings from what the API tells of other things."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from market.day.records import STANDING_SPACE
from market.day.settlement_records import HEAD_SPACE
from market.quota.records import STATION_SPACE
from market.response.records import ENROLMENT_SPACE, RESULT_SPACE
from node.api.privacy import MIN_CONNECTIONS
from node.light_wire import ASK_STATE
from tests.ledger.support import id_of
from tests.node.api import support
from tests.node.api.conftest import Api, Reply, serve
from tests.node.api.signed import ask
from tests.node.api.test_contracts import ContractNode
from tests.node.api.test_readings import (
    FIRST,
    INTERVAL_MS,
    OTHER,
    REGISTER,
    SECRET,
    Doors,
    make_document,
    play,
    registers_of,
    secrets_in,
)
from vm.primitives.address import decode_address, encode_address
from vm.primitives.codec import encode

DIARY = """
import readings

owner: address

@init
def start(who: address):
    self.owner = who

@view
def mine(first: int) -> int:
    require(caller() == self.owner, "for the owner alone")
    return readings.injected_milli_wh(self.owner, first, 1)

@view
def count(first: int) -> int:
    return readings.injected_milli_wh(self.owner, first, 1) // 100_000

@export
def tell(first: int) -> int:
    require(caller() == self.owner, "for the owner alone")
    return readings.injected_milli_wh(self.owner, first, 1)
"""


@pytest_asyncio.fixture
async def metered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """A node with five measured homes and contracts; H0 has a contract read its energies."""
    document = json.loads(make_document(MIN_CONNECTIONS))
    document["modules"]["contracts"] = {"deploy_roles": ["prosumer"]}
    monkeypatch.setattr(support, "make_document", lambda: json.dumps(document).encode())
    node = ContractNode(tmp_path)
    await play(node, MIN_CONNECTIONS)
    diary = node.deploy("diary", DIARY, id_of("H0"))
    node.grow(node.transaction("H0", ("meters", "allow_reader", (diary,))))
    async for api in serve(node):
        yield api
    node.store.close()


async def preview(api: Api, sender: str, *calls: Any) -> Reply:
    body = {"sender": sender, "calls": base64.b64encode(encode(calls)).decode()}
    headers = {"Content-Type": "application/json"}
    return await api.ask("POST", "/preview", data=json.dumps(body), headers=headers)


async def submissions(api: Api, meter: str) -> list[str]:
    """Return the ids of a meter's transactions, the oldest first."""
    entries = (await api.get(f"/accounts/{meter}/history")).json["history"]
    return [each["transaction_id"] for each in reversed(entries) if each["sender_name"] == meter]


async def test_a_sum_over_estimates_hides_nobody(metered: Api) -> None:
    """All of an interval but four are estimates, which others know: so it is not told."""
    listed = (await metered.get("/readings?limit=100")).json["intervals"]
    sums = {each["interval"]: each for each in listed}
    for interval in (FIRST + 2, FIRST + 3):
        assert sums[interval]["connections"] == MIN_CONNECTIONS
        assert sums[interval]["estimated"] > 0
        assert sums[interval]["injected_milli_wh"] is sums[interval]["withdrawn_milli_wh"] is None
    told = (await metered.get("/modules/meters/events?event=closed")).json["events"]
    assert len(told) > 2
    for each in [event["fields"] for event in told]:
        few = each["connections"] - each["estimated"] < MIN_CONNECTIONS
        assert each["injected_milli_wh"] is None or not few, each
    everything = (await ask(metered, "/readings?limit=100", "Aud")).json["intervals"]
    assert all(each["injected_milli_wh"] is not None for each in everything)


async def test_a_sum_that_one_made_up_is_not_told(metered: Api) -> None:
    """All five were measured, but H0 alone injected: its roof is seen from the street."""
    node = metered.node
    interval = node.store.head(node.store.height).header.time_ms // INTERVAL_MS + 1  # type: ignore[union-attr]
    node.grow_until((interval + 1) * INTERVAL_MS)
    known = [registers_of(5, SECRET, SECRET)[-1], (OTHER, 0), *[(1, 0)] * (MIN_CONNECTIONS - 2)]
    sent = []
    for number, (injected, withdrawn) in enumerate(known):
        more = 0 if number else 5
        registers = ((injected, withdrawn), (injected + more, withdrawn))
        call = ("meters", "submit", (interval - 1, registers))
        sent.append(node.transaction(f"M{number}", call))
    node.grow(*sent)
    node.grow_until((interval + 2) * INTERVAL_MS)
    listed = (await metered.get("/readings?limit=100")).json["intervals"]
    (last,) = [each for each in listed if each["interval"] == interval]
    assert (last["connections"], last["estimated"]) == (MIN_CONNECTIONS, 0)
    assert last["injected_milli_wh"] is last["withdrawn_milli_wh"] is None
    path = "/modules/meters/events?event=closed"
    for signer, values in (("", [None] * 4), ("Aud", [5, 0, 1, 0])):
        events = (await ask(metered, path, signer)).json["events"]
        (closed,) = [each for each in events if each["fields"]["interval"] == interval]
        assert closed["values"][3:] == values


async def test_figures_cannot_be_tried_out_on_a_signature(metered: Api) -> None:
    """A signature is right for one text alone: with it, registers are guessed and checked."""
    (submitted, *_) = await submissions(metered, "M0")
    shown = (await metered.get(f"/transactions/{submitted}")).json["transaction"]
    assert (shown["raw"], shown["signature"]) == (None, None)
    own = (await ask(metered, f"/transactions/{submitted}", "H0")).json["transaction"]
    assert len(own["signature"]) == 128


async def test_a_meter_that_is_handed_on_tells_nothing_of_before(metered: Api) -> None:
    node = metered.node
    old = await submissions(metered, "M0")
    revoke = [("meters", "revoke", (id_of(meter), ())) for meter in ("M0", "M1")]
    node.grow(*[node.transaction("Dso", call) for call in revoke])
    interval = node.store.head(node.store.height).header.time_ms // INTERVAL_MS + 1  # type: ignore[union-attr]
    again = ("meters", "register", (id_of("M0"), id_of("H1"), interval, 2 * REGISTER, 0, 0))
    node.grow(node.transaction("Dso", again))
    while node.store.head(node.store.height).header.time_ms < (interval + 1) * INTERVAL_MS:  # type: ignore[union-attr]
        node.grow()
    new = node.transaction("M0", ("meters", "submit", (interval, ((2 * REGISTER + 5, 0),))))
    node.grow(new)
    for identity in old:
        shown = await ask(metered, f"/transactions/{identity}", "H1")
        assert shown.json["transaction"]["raw"] is None
        assert secrets_in(shown.body, node) == []
    shown = await ask(metered, f"/transactions/{new.id.hex()}", "H1")
    assert shown.json["transaction"]["raw"] is not None
    assert (await metered.get(f"/transactions/{new.id.hex()}")).json["transaction"]["raw"] is None


async def test_nobody_reads_through_a_contract_in_anothers_name(metered: Api) -> None:
    """`caller` and `sender` are what a request says; only a signature proves them."""
    owner = encode_address(id_of("H0"))
    view = f"/contracts/diary/view/mine?arguments=%5B{FIRST + 1}%5D&caller={owner}"
    for reply in (await metered.get(view), await ask(metered, view, "P1")):
        assert (reply.status, reply.code) == (403, "personal_data")
    for signer in ("H0", "Aud"):
        assert (await ask(metered, view, signer)).json["result"] == SECRET
    diary = (await metered.get("/contracts/diary")).json["address"]
    tell = ("contracts", "call", (decode_address(diary), "tell", (FIRST + 1,), 0, 0))
    reply = await preview(metered, "H0", tell)
    assert (reply.status, reply.code) == (403, "personal_data")
    # What its code tells everybody is as public as H0 allowed.
    reply = await metered.get(f"/contracts/diary/view/count?arguments=%5B{FIRST + 1}%5D")
    assert reply.json["result"] == SECRET // 100_000


async def test_light_nodes_get_no_leaf_that_energies_are_in(metered: Api) -> None:
    doors = Doors(metered.node)
    for space in (STANDING_SPACE, HEAD_SPACE, STATION_SPACE, ENROLMENT_SPACE, RESULT_SPACE):
        assert doors.ask(ASK_STATE, space + bytes(22)).code == "personal_data", space


async def test_no_cache_takes_one_readers_answer_for_anothers(metered: Api) -> None:
    """A cache that kept what everybody gets must not answer a member's signed request with it."""
    (submitted, *_) = await submissions(metered, "M0")
    public = await metered.get(f"/transactions/{submitted}")
    assert "immutable" in public.headers["Cache-Control"]
    assert "Authorization" in public.headers["Vary"].split(", ")
    own = await ask(metered, f"/transactions/{submitted}", "H0")
    assert own.headers["Cache-Control"] == "no-store" and "ETag" not in own.headers
