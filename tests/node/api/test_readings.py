"""Readings of meters: whom the API gives them to, and that no door tells anybody else."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from market.meters.records import (
    CHUNK_INTERVALS,
    CONNECTION_SPACE,
    chunk_key,
    decode_chunk,
    read_config,
)
from node.api.privacy import MIN_CONNECTIONS, PERSONAL_CALLS, PERSONAL_EVENTS
from node.api.request_signing import WINDOW_MS, sign_request
from node.api.table import ROUTES
from node.ledger.proofs import decode_account_proof
from node.light_service import LightService
from node.light_wire import ASK_STATE, ASK_TRANSACTION, Question, decode_reply, encode_question
from node.light_wire import Reply as LightReply
from tests.ledger.support import TIME_MS, genesis_document, id_of, key_of, seed
from tests.node.api import support
from tests.node.api.conftest import Api, Reply, serve
from tests.node.api.support import FakeNode
from tools import verify_proof as alone
from tools.proofs import first_validators
from vm.primitives.codec import encode
from vm.system.accounts import account_key

INTERVAL_MS = 3_000
FIRST = TIME_MS // INTERVAL_MS
HOMES = [f"H{number}" for number in range(MIN_CONNECTIONS)]
SECRET = 777_123
"""Energy of H0's second interval; no other number looks like it."""
OTHER = 1_000
"""Energy of H1 in the same interval."""
REGISTER = 900_000_055_555


def registers_of(*energies: int) -> tuple[tuple[int, int], ...]:
    found, register = [], REGISTER
    for energy in energies:
        register += energy
        found.append((register, 0))
    return tuple(found)


@dataclass
class Metered:
    """A node whose chain has readings of H0, and an estimate."""

    api: Api
    submitted: str
    """Id of the transaction that submitted."""
    corrected: str
    """Id of the one that corrected an estimate."""

    async def get(self, path: str, signer: str = "", *, at_ms: int = 0, **changes: Any) -> Reply:
        """Ask, signed by a member if one is named."""
        headers = {}
        if signer:
            node = self.api.node
            terms: dict[str, Any] = {
                "genesis": node.genesis.digest,
                "node": node.name,
                "method": "GET",
                "target": f"/api/v1{path}",
                "account": id_of(signer),
                "time_ms": at_ms or time.time_ns() // 1_000_000,
            }
            key = changes.pop("key", signer)
            headers["Authorization"] = sign_request(seed(key), **(terms | changes))
        return await self.api.get(path, headers=headers)


def make_document(connections: int) -> bytes:
    meters = [{"meter": f"M{number}", "member": f"H{number}"} for number in range(1, connections)]
    modules = {
        "market": {"markets": support.MARKETS},
        "meters": {
            "minute_ms": 200,
            "deadline_minutes": 15,
            "correction_minutes": 1_440,
            "retention_days": 3,
            "meters": meters,
        },
    }
    known = genesis_document()["roles"]
    assert isinstance(known, list)
    roles = [*known, "meter", "dso", "auditor"]
    document: dict[str, Any] = genesis_document(modules=modules, roles=list(dict.fromkeys(roles)))
    new = {"Dso": "dso", "Aud": "auditor", "Friend": "prosumer"}
    new |= dict.fromkeys(HOMES, "prosumer")
    new |= {f"M{number}": "meter" for number in range(len(HOMES))}
    document["members"] += [
        {"name": name, "roles": [role], "key": key_of(name).hex()} for name, role in new.items()
    ]
    return json.dumps(document).encode()


async def play(node: FakeNode, homes: int) -> tuple[str, str]:
    """Have M0 submit in time, then miss a deadline, then correct; return both transactions."""
    first = (id_of("M0"), id_of("H0"), FIRST, REGISTER, 0, 0)
    node.grow(node.transaction("Dso", ("meters", "register", first)))
    node.grow(node.transaction("H0", ("meters", "allow_reader", (id_of("Friend"),))))
    header = node.grow().header
    while header.time_ms < (FIRST + 2) * INTERVAL_MS:
        header = node.grow().header
    submit = node.transaction("M0", ("meters", "submit", (FIRST, registers_of(5, SECRET))))
    others = [
        node.transaction(f"M{number}", ("meters", "submit", (FIRST, ((0, 0), (energy, 0)))))
        for number, energy in enumerate([OTHER, *[1] * (homes - 2)], 1)
    ]
    node.grow(submit, *others)
    for _ in range(9):
        node.grow()
    late = registers_of(5, SECRET, SECRET)[-1:]
    correct = node.transaction("M0", ("meters", "submit", (FIRST + 2, late)))
    node.grow(correct)
    return submit.id.hex(), correct.id.hex()


@pytest_asyncio.fixture(params=[MIN_CONNECTIONS])
async def metered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Metered]:
    monkeypatch.setattr(support, "make_document", lambda: make_document(request.param))
    node = FakeNode(tmp_path)
    submitted, corrected = await play(node, request.param)
    async for api in serve(node):
        yield Metered(api, submitted, corrected)
    node.store.close()


async def test_a_members_readings_are_for_those_whom_they_concern(metered: Metered) -> None:
    for signer in ("H0", "M0", "Friend", "Dso", "Aud"):
        reply = await metered.get(f"/readings/H0?first={FIRST}&limit=3", signer)
        assert reply.status == 200, signer
        found = [each["injected_milli_wh"] for each in reply.json["readings"]]
        assert found == [5, SECRET, SECRET]
        assert reply.headers["Cache-Control"] == "no-store"
    assert reply.json["readings"][2]["quality"] == "measured"
    assert reply.json["connection"]["meter_name"] == "M0"
    assert reply.json["next"] == FIRST + 3
    for signer in ("", "H1", "M1", "P1", "Op"):
        reply = await metered.get(f"/readings/H0?first={FIRST}&limit=3", signer)
        assert (reply.status, reply.code) == (403, "personal_data"), signer
    latest = await metered.get("/readings/H0?limit=2", "H0")
    assert len(latest.json["readings"]) == 2 and latest.json["next"] is None
    assert (await metered.get("/readings/nobody", "H0")).status == 404


async def test_a_revoked_meter_sees_its_members_readings_no_more(metered: Metered) -> None:
    node = metered.api.node
    node.grow(node.transaction("Dso", ("meters", "revoke", (id_of("M0"), ()))))
    for path in (f"/readings/H0?first={FIRST}&limit=3", f"/proofs/reading/H0/{FIRST + 1}"):
        reply = await metered.get(path, "M0")
        assert (reply.status, reply.code) == (403, "personal_data"), path
        assert (await metered.get(path, "H0")).status == 200
    # What the meter sent itself stays the member's to see, and its own.
    for signer in ("H0", "M0"):
        shown = (await metered.get(f"/transactions/{metered.submitted}", signer)).json
        assert shown["transaction"]["raw"] is not None, signer


async def test_a_request_is_signed_for_one_node_one_question_and_a_minute(
    metered: Metered,
) -> None:
    path = "/readings/H0"
    wrong: list[dict[str, Any]] = [
        {"node": "V2"},
        {"genesis": bytes(32)},
        {"method": "POST"},
        {"target": "/api/v1/readings/H1"},
        {"key": "H1"},
        {"account": id_of("Aud")},
    ]
    for changes in wrong:
        reply = await metered.get(path, "H0", **changes)
        assert (reply.status, reply.code) == (401, "invalid_signature"), changes
    assert reply.headers["WWW-Authenticate"] == "Bitenergy"
    now_ms = time.time_ns() // 1_000_000
    for at_ms in (now_ms - WINDOW_MS - 1_000, now_ms + WINDOW_MS + 5_000):
        reply = await metered.get(path, "H0", at_ms=at_ms)
        assert (reply.status, reply.code) == (401, "stale_request")
    for header in ("Basic abc", "Bitenergy", "Bitenergy a b c", "Bitenergy " + "x " * 3):
        reply = await metered.api.get(path, headers={"Authorization": header})
        assert (reply.status, reply.code) == (401, "invalid_signature")


def secrets_in(body: bytes, node: FakeNode) -> list[str]:
    """Return which of the secret figures stand in an answer, as text, or in bytes in it."""
    figures = [SECRET, *[register for register, _ in registers_of(5, SECRET, SECRET)]]
    found = [str(figure) for figure in figures if str(figure).encode() in body]
    coded = [figure.to_bytes(8, "big").lstrip(b"\0") for figure in figures]
    for text in strings_of(json.loads(body)):
        for decode in (bytes.fromhex, lambda text: base64.b64decode(text, validate=True)):
            try:
                data = decode(text)
            except ValueError:
                continue
            found += [each.hex() for each in coded if each in data]
    return found


def strings_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in items for text in strings_of(item)]


async def test_no_door_tells_anybody_else(metered: Metered) -> None:
    """Ask every route for everything that the readings touched, unsigned and by a stranger."""
    node = metered.api.node
    values = {
        "who": ["H0", "M0", "Dso"],
        "height": [str(height) for height in range(node.store.height + 1)],
        "id": [metered.submitted, metered.corrected],
        "interval": [str(FIRST + 1), str(FIRST + 2)],
        "module": ["meters"],
    }
    asked = 0
    for route in ROUTES:
        if route.method != "GET" or route.content_type != "application/json":
            continue
        names = route.path_names()
        if not all(name in values for name in names):
            continue
        paths = [route.path]
        for name in names:
            paths = [path.replace(f"{{{name}}}", value) for path in paths for value in values[name]]
        for path in paths:
            for signer in ("", "P1"):
                reply = await metered.get(path.removeprefix("/api/v1"), signer)
                asked += 1
                assert secrets_in(reply.body, node) == [], path
    assert asked > 100


async def test_what_is_withheld_is_there_for_those_whom_it_concerns(metered: Metered) -> None:
    """The same doors tell the member: so what the test before looks for is what they would tell."""
    node = metered.api.node
    for path in (
        f"/transactions/{metered.submitted}",
        f"/transactions/{metered.corrected}",
        f"/proofs/transaction/{metered.submitted}",
        "/accounts/H0/history",
        "/modules/meters/events",
        f"/proofs/reading/H0/{FIRST + 1}",
    ):
        for signer in ("H0", "Aud"):
            assert secrets_in((await metered.get(path, signer)).body, node), path
    withheld = (await metered.get(f"/transactions/{metered.submitted}")).json["transaction"]
    assert withheld["raw"] is None
    assert withheld["calls"][0]["arguments"] == {"first_interval": FIRST, "registers": None}
    refused = await metered.get(f"/proofs/transaction/{metered.submitted}")
    assert (refused.status, refused.code) == (403, "personal_data")


async def test_a_waiting_submission_is_withheld_too(metered: Metered) -> None:
    node = metered.api.node
    submit = node.transaction("M0", ("meters", "submit", (FIRST + 3, ((REGISTER * 2, 0),))))
    node.waiting[submit.id] = submit
    shown = (await metered.get(f"/transactions/{submit.id.hex()}")).json["transaction"]
    assert shown["raw"] is None and str(REGISTER * 2) not in json.dumps(shown)
    shown = (await metered.get(f"/transactions/{submit.id.hex()}", "M0")).json["transaction"]
    assert base64.b64decode(shown["raw"]) == submit.raw


async def test_registers_cannot_be_tried_out(metered: Metered) -> None:
    """A preview would tell below which register a submission falls, so none is made."""
    call = ("meters", "submit", (FIRST + 3, ((REGISTER, 0),)))
    body = {"sender": "M0", "calls": base64.b64encode(encode([call])).decode()}
    headers = {"Content-Type": "application/json"}
    reply = await metered.api.ask("POST", "/preview", data=json.dumps(body), headers=headers)
    assert (reply.status, reply.code) == (403, "personal_data")


async def test_sums_of_enough_connections_are_for_everybody(metered: Metered) -> None:
    reply = await metered.get("/readings?limit=100")
    sums = {each["interval"]: each for each in reply.json["intervals"]}
    assert sums[FIRST + 1]["injected_milli_wh"] == SECRET + OTHER + MIN_CONNECTIONS - 2
    # Nobody else withdrew anything: what one did would be the sum.
    assert sums[FIRST + 1]["withdrawn_milli_wh"] is None
    assert (sums[FIRST + 1]["connections"], sums[FIRST + 1]["estimated"]) == (MIN_CONNECTIONS, 0)


@pytest.mark.parametrize("metered", [MIN_CONNECTIONS - 1], indirect=True)
async def test_sums_of_few_connections_are_not(metered: Metered) -> None:
    total = SECRET + OTHER + MIN_CONNECTIONS - 3
    for path in ("/readings?limit=100", "/modules/meters/events"):
        assert str(total).encode() not in (await metered.get(path)).body
    sums = {each["interval"]: each for each in (await metered.get("/readings")).json["intervals"]}
    assert sums[FIRST + 1]["injected_milli_wh"] is None
    sums = {
        each["interval"]: each for each in (await metered.get("/readings", "Aud")).json["intervals"]
    }
    assert sums[FIRST + 1]["injected_milli_wh"] == total


async def test_a_reading_is_proved_against_the_last_header(metered: Metered) -> None:
    reply = await metered.get(f"/proofs/reading/H0/{FIRST + 1}", "H0")
    proof = decode_account_proof(base64.b64decode(reply.json["proof"]))
    assert proof.value is not None
    assert decode_chunk(proof.value).injected[(FIRST + 1) % CHUNK_INTERVALS] == SECRET
    assert proof.key[2:22] == id_of("H0")
    assert reply.json["reading"]["injected_milli_wh"] == SECRET
    genesis = metered.api.node.genesis
    trust = alone.Trust(genesis.digest, first_validators(genesis), 1)
    said = alone.verify(base64.b64decode(reply.json["proof"]), trust)
    assert said["member"] == id_of("H0")
    assert said["readings"][FIRST + 1 - said["first_interval"]] == ("measured", SECRET, 0)
    missing = await metered.get(f"/proofs/reading/H0/{FIRST + 90}", "H0")
    assert (missing.status, missing.code) == (404, "unknown_reading")
    refused = await metered.get(f"/proofs/reading/H0/{FIRST + 1}")
    assert (refused.status, refused.code) == (403, "personal_data")


def test_all_that_is_personal_exists(metered: Metered) -> None:
    runtime = metered.api.node.runtime
    for module, name in PERSONAL_CALLS:
        assert name in runtime.declarations[module]
    assert {module for module, _ in PERSONAL_EVENTS} <= set(runtime.modules)


class Doors:
    """What the service of light nodes needs of its surroundings."""

    def __init__(self, node: FakeNode) -> None:
        self.store, self.height = node.store, node.store.height
        self.sent: list[bytes] = []

    def may_ask(self, peer: bytes) -> bool:
        return True

    def served(self, peer: bytes, size: int) -> None:
        pass

    def send(self, peer: bytes, kind: int, payload: bytes) -> None:
        self.sent.append(payload)

    def ask(self, kind: int, argument: bytes) -> LightReply:
        service = LightService(self, None, self, self, spawn=None, above=list)  # type: ignore[arg-type]
        service.on_ask(b"peer", encode_question(Question(1, kind, argument)))
        return decode_reply(self.sent.pop())


async def test_light_nodes_get_no_proof_of_a_reading(metered: Metered) -> None:
    doors = Doors(metered.api.node)
    config = read_config(metered.api.node.store)
    assert config is not None
    chunk = chunk_key(config, id_of("H0"), FIRST // CHUNK_INTERVALS)
    connection = CONNECTION_SPACE + id_of("H0")
    for kind, argument in (
        (ASK_STATE, chunk),
        (ASK_STATE, connection),
        (ASK_TRANSACTION, bytes.fromhex(metered.submitted)),
    ):
        assert doors.ask(kind, argument).code == "personal_data"
    assert doors.ask(ASK_STATE, account_key(id_of("H0"))).code == ""
