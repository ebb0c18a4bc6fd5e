"""Submitting transactions and following them until they are final."""

from __future__ import annotations

import asyncio
import base64
import time

from node.api.submission import read_batch
from tests.ledger.support import id_of
from tests.node.api.conftest import Api
from vm.primitives.errors import InvariantViolation

TRANSFER = ("accounts", "transfer", (id_of("Op"), 1, ""))


def text_of(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


async def test_a_batch_is_answered_item_by_item(api: Api) -> None:
    transaction = api.node.transaction("P1", TRANSFER)
    body = [text_of(transaction.raw), "***", text_of(b"junk"), "", "YQ", text_of(b"a")]
    results = (await api.submit({"transactions": body})).json["results"]
    assert results[0] == {"id": transaction.id.hex(), "accepted": True}
    codes = [result.get("code") for result in results[1:]]
    assert codes == [
        "invalid_base64",
        "invalid_encoding",
        "invalid_encoding",
        "invalid_base64",
        "invalid_encoding",
    ]
    assert all(result["id"] is None for result in results[1:])
    assert api.node.submitted[0] == transaction.raw
    api.node.waiting.clear()


async def test_refusals_of_the_node_are_passed_on(api: Api) -> None:
    api.node.accepting = False
    transaction = api.node.transaction("P1", TRANSFER)
    result = (await api.submit({"transactions": [text_of(transaction.raw)]})).json["results"][0]
    api.node.accepting = True
    assert result["id"] == transaction.id.hex()
    assert (result["accepted"], result["code"], result["message"]) == (
        False,
        "mempool_full",
        "no room",
    )


async def test_an_empty_batch(api: Api) -> None:
    assert (await api.submit({"transactions": []})).json == {"results": []}


async def test_bodies_that_are_no_batch(api: Api) -> None:
    for body in (
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"transactions": 5}',
        b'{"transactions": "[]"}',
        b'{"transactions": [}',
        b'{"transaction": []}',
        b'{"transactions": [], "more": 1}',
        b'{"transactions": [["a"]]}',
        b'{"transactions": [{"a": "b"}]}',
        b'{"transactions": ["a",]}',
        b'{"transactions": [NaN]}x',
        b'\xff\xfe{"transactions": []}',
        b'{"transactions": [' + b"9" * 5_000 + b"]}",
        b'{"transactions": [NaN, 1e999]}',
        b'{"transactions": ["YQ==", null]}',
        b'{"transactions": [7]}',
    ):
        reply = await api.submit(body)
        assert reply.status == 400, body
        assert reply.code in ("invalid_body", "invalid_json"), body


async def test_nesting_and_many_objects_are_refused_before_they_are_built(api: Api) -> None:
    for body in (b"[" * 1_000_000, b'{"transactions": [' + b"{}," * 300_000 + b"{}]}"):
        started = time.perf_counter()
        assert (await api.submit(body)).code == "invalid_body"
        assert time.perf_counter() - started < 1


async def test_too_many_and_too_long(small_api: Api) -> None:
    reply = await small_api.submit({"transactions": ["YQ=="] * 11})
    assert (reply.status, reply.code) == (413, "batch_too_large")
    reply = await small_api.submit({"transactions": ["Y" * 30_000]})
    assert (reply.status, reply.code) == (413, "body_too_large")


async def test_a_transaction_pending_then_final(fresh_api: Api) -> None:
    transaction = fresh_api.node.transaction("P1", TRANSFER, TRANSFER)
    path = f"/transactions/{transaction.id.hex()}"
    unknown = await fresh_api.get(path)
    assert (unknown.status, unknown.code) == (404, "unknown_transaction")
    await fresh_api.submit({"transactions": [text_of(transaction.raw)]})
    pending = (await fresh_api.get(path)).json
    assert (pending["status"], pending["receipt"], pending["height"]) == ("pending", None, None)
    assert pending["transaction"]["calls"][0]["arguments"]["to_name"] == "Op"
    account = (await fresh_api.get("/accounts/P1")).json
    assert (account["nonce"], account["next_nonce"]) == (0, 1)
    fresh_api.node.grow(transaction)
    final = await fresh_api.get(path)
    assert (final.json["status"], final.json["height"]) == ("final", 1)
    assert final.json["receipt"]["code"] == ""
    assert len(final.json["receipt"]["events"]) == 2
    assert base64.b64decode(final.json["transaction"]["raw"]) == transaction.raw
    assert "immutable" in final.headers["Cache-Control"]


async def test_a_failed_transaction_says_why(fresh_api: Api) -> None:
    transaction = fresh_api.node.transaction("P1", ("accounts", "transfer", (id_of("Op"), 0, "")))
    other = fresh_api.node.transaction("P1", ("nowhere", "nothing", (id_of("P1"), None, "x")))
    fresh_api.node.grow(transaction, other)
    receipt = (await fresh_api.get(f"/transactions/{transaction.id.hex()}")).json["receipt"]
    assert receipt["code"] == "invalid_arguments"
    assert receipt["message"] == "argument 'amount_micro' does not fit"
    found = (await fresh_api.get(f"/transactions/{other.id.hex()}")).json["transaction"]
    assert found["calls"][0]["arguments"] == {
        "0": found["calls"][0]["values"][0],
        "0_name": "P1",
        "1": None,
        "2": "x",
    }


async def test_waiting_ends_with_the_block(fresh_api: Api) -> None:
    transaction = fresh_api.node.transaction("P1", TRANSFER)
    path = f"/transactions/{transaction.id.hex()}?wait_ms=20000"
    started = time.perf_counter()
    waiting = [asyncio.create_task(fresh_api.get(path)) for _ in range(20)]
    await asyncio.sleep(0.1)
    fresh_api.node.grow(transaction)
    replies = await asyncio.gather(*waiting)
    assert {reply.json["status"] for reply in replies} == {"final"}
    assert time.perf_counter() - started < 5


async def test_waiting_ends_in_time(fresh_api: Api) -> None:
    transaction = fresh_api.node.transaction("P1", TRANSFER)
    path = f"/transactions/{transaction.id.hex()}?wait_ms=100"
    assert (await fresh_api.get(path)).status == 404
    fresh_api.node.waiting[transaction.id] = transaction
    assert (await fresh_api.get(path)).json["status"] == "pending"
    assert (await fresh_api.get(path.replace("100", "30001"))).code == "invalid_parameter"


async def test_few_may_wait(small_api: Api) -> None:
    path = f"/transactions/{'cd' * 32}?wait_ms=300"
    first = asyncio.create_task(small_api.get(path))
    await asyncio.sleep(0.1)
    second = await small_api.get(path)
    assert (second.status, second.code) == (503, "too_many_waiters")
    assert (await first).status == 404
    assert (await small_api.get(path)).status == 404


async def test_our_own_bug_is_an_answer_and_an_invariant_stops_the_node(fresh_api: Api) -> None:
    path = f"/transactions/{'cd' * 32}"
    fresh_api.node.failure = KeyError("secret")
    reply = await fresh_api.get(path)
    assert (reply.status, reply.code) == (500, "internal")
    assert b"secret" not in reply.body
    assert fresh_api.fatal == []
    fresh_api.node.failure = InvariantViolation("a broken promise")
    assert (await fresh_api.get(path)).status == 500
    assert [str(error) for error in fresh_api.fatal] == ["a broken promise"]
    fresh_api.node.failure = None
    assert (await fresh_api.get(path)).status == 404
    metrics = (await fresh_api.get("/metrics")).body.decode()
    assert "bitenergy_api_errors_total 2" in metrics


def test_reading_a_batch_is_cheap() -> None:
    """1,000 transactions of 300 bytes: reading them costs microseconds each, not more."""
    item = '"' + text_of(bytes(range(256)) + bytes(44)) + '"'
    body = ('{"transactions": [' + ",".join([item] * 1_000) + "]}").encode()
    best = min(_timed(body) for _ in range(5))
    assert best < 0.010


def _timed(body: bytes) -> float:
    started = time.perf_counter()
    assert len(read_batch(body, 1_000)) == 1_000
    return time.perf_counter() - started
