"""The API client: pinning, nonces, waiting, and one clear error per cause."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tests.tools.fake_node import GENESIS, FakeNode, fake_node
from tools import client as client_module
from tools.calls import transfer
from tools.client import NodeClient
from tools.errors import (
    AnswerInvalid,
    NodeRefused,
    NodeTimeout,
    NodeUnreachable,
    TransactionFailed,
    TransactionRejected,
    WrongNetwork,
)
from tools.wallet import Signer, TransactionTerms
from vm.primitives.address import account_id
from vm.primitives.signatures import public_key

SEED = bytes(range(1, 33))
SIGNER = Signer("me", account_id(public_key(SEED)), SEED)


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with fake_node() as fake:
        yield fake


@pytest.fixture
def client(node: FakeNode) -> Iterator[NodeClient]:
    made = NodeClient(node.url, genesis=GENESIS, timeout_s=2.0)
    yield made
    made.close()


def payment(nonce: int) -> bytes:
    terms = TransactionTerms(genesis=GENESIS, nonce=nonce, expiry_height=100)
    return SIGNER.sign([transfer(b"r" * 20, 5)], terms).raw


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_one_connection_serves_many_requests(client: NodeClient) -> None:
    client.status()
    first = client._connection.sock
    client.get("/markets")
    assert client._connection.sock is first


def test_a_lost_connection_is_opened_again(client: NodeClient) -> None:
    client.status()
    assert client._connection.sock is not None
    client._connection.sock.shutdown(socket.SHUT_RDWR)
    assert client.status()["height"] == 7


def test_the_network_is_checked_before_anything_else(node: FakeNode) -> None:
    node.genesis = b"\x99" * 32
    client = NodeClient(node.url, genesis=GENESIS)
    for ask in (lambda: client.get("/markets"), lambda: client.submit([payment(0)])):
        with pytest.raises(WrongNetwork) as caught:
            ask()
        assert caught.value.expected == GENESIS
    assert {path for path, _ in node.requests} == {"/status"}
    assert not node.received


def test_an_unpinned_client_keeps_to_the_first_network_it_met(node: FakeNode) -> None:
    client = NodeClient(node.url)
    assert client.genesis_hash() == GENESIS
    node.genesis = b"\x99" * 32
    with pytest.raises(WrongNetwork):
        client.status()


def test_nobody_at_the_address_is_said_with_what_to_do() -> None:
    with pytest.raises(NodeUnreachable) as caught:
        NodeClient(f"http://127.0.0.1:{unused_port()}").status()
    assert "bitenergy node run" in str(caught.value)
    assert caught.value.exit_status == 3


def test_a_node_that_does_not_answer_is_a_timeout() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(NodeTimeout) as caught:
            NodeClient(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.1).status()
    assert caught.value.exit_status == 4


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8645", "ftp://host", "http://", "http://h:99999", "http://h/path", "http://[x"],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(AnswerInvalid):
        NodeClient(url)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b"null", b"[" * 100_000, b'{"genesis": 5}', b"{}"]
)
def test_answers_of_something_else_are_refused(node: FakeNode, content: bytes) -> None:
    node.routes["/status"] = lambda _: (200, content)
    with pytest.raises(AnswerInvalid):
        NodeClient(node.url).status()


def test_an_endless_answer_is_cut_off(
    node: FakeNode, client: NodeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.status()
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 1000)
    node.routes["/markets"] = lambda _: (200, b" " * 5000 + b"{}")
    with pytest.raises(AnswerInvalid, match="too long"):
        client.get("/markets")


def test_the_nodes_refusal_keeps_its_code_and_hint(node: FakeNode, client: NodeClient) -> None:
    node.routes["/markets"] = lambda _: (
        400,
        {"error": {"code": "bad_limit", "message": "no", "hint": "Ask less."}},
    )
    with pytest.raises(NodeRefused) as caught:
        client.get("/markets")
    assert (caught.value.status, caught.value.code, caught.value.hint) == (
        400,
        "bad_limit",
        "Ask less.",
    )


def test_a_refusal_by_some_other_server_is_no_refusal(node: FakeNode, client: NodeClient) -> None:
    node.routes["/markets"] = lambda _: (502, b"<html>bad gateway</html>")
    with pytest.raises(AnswerInvalid, match="502"):
        client.get("/markets")


def test_queries_are_escaped_and_nones_left_out(node: FakeNode, client: NodeClient) -> None:
    client.get("/markets", name="a&b=c", limit=5, before=None)
    assert node.requests[-1] == ("/markets", {"name": "a&b=c", "limit": "5"})


def test_names_cannot_leave_their_path(node: FakeNode, client: NodeClient) -> None:
    with pytest.raises(NodeRefused):
        client.account("../status?x")
    assert node.requests[-1][0] == "/accounts/..%2Fstatus%3Fx"


def test_transactions_are_submitted_in_order_and_in_batches(
    node: FakeNode, client: NodeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MAX_BATCH", 4)
    sent = [payment(nonce) for nonce in range(10)]
    results = client.submit(sent)
    assert [transaction.raw for transaction in node.received] == sent
    assert [result["id"] for result in results] == [each.id.hex() for each in node.received]
    assert len([path for path, _ in node.requests if path == "/transactions"]) == 3


def test_nonces_run_ahead_of_what_the_node_has_seen(node: FakeNode, client: NodeClient) -> None:
    address = node.admit("me", SIGNER.account)
    assert client.next_nonce(address) == 3
    client.submit_one(payment(3), sender=address, nonce=3)
    assert client.next_nonce(address) == 4
    node.nonces[address] = 9
    assert client.next_nonce(address) == 9


def test_a_rejected_transaction_forgets_the_nonce(node: FakeNode, client: NodeClient) -> None:
    address = node.admit("me", SIGNER.account)
    client.submit_one(payment(3), sender=address, nonce=3)
    node.rejection = {"code": "wrong_nonce", "message": "the nonce is 3"}
    with pytest.raises(TransactionRejected, match="run the command again") as caught:
        client.submit_one(payment(4), sender=address, nonce=4)
    assert caught.value.code == "wrong_nonce"
    assert client.next_nonce(address) == 3


def test_submit_and_wait_returns_the_receipt(client: NodeClient) -> None:
    final = client.submit_and_wait(payment(0), timeout_s=2)
    assert (final.height, final.receipt["gas_used"]) == (8, 500)


def test_a_failed_call_is_an_error_with_its_code(node: FakeNode, client: NodeClient) -> None:
    node.failure = "insufficient_money"
    with pytest.raises(TransactionFailed, match="insufficient money") as caught:
        client.submit_and_wait(payment(0), timeout_s=2)
    assert caught.value.code == "insufficient_money"
    assert caught.value.final.height == 8


def test_waiting_ends_at_its_deadline(node: FakeNode, client: NodeClient) -> None:
    node.final = False
    started = time.monotonic()
    with pytest.raises(NodeTimeout, match="may still become final"):
        client.submit_and_wait(payment(0), timeout_s=0.2)
    assert time.monotonic() - started < 2
    waits = [int(query["wait_ms"]) for path, query in node.requests if "wait_ms" in query]
    assert waits
    assert max(waits) <= 5000


def test_a_transaction_that_is_nowhere_for_a_moment_is_waited_for(
    node: FakeNode, client: NodeClient
) -> None:
    transaction_id = client.submit_one(payment(0))
    refusals = ["unknown_transaction", "too_many_waiters"]
    path = f"/transactions/{transaction_id}"

    def answer(_: dict[str, str]) -> tuple[int, object]:
        if refusals:
            return 404, {"error": {"code": refusals.pop(), "message": "no"}}
        return 200, node._transaction(transaction_id)

    node.routes[path] = answer
    assert client.wait(transaction_id, timeout_s=2).height == 8


def test_a_node_that_answers_for_fewer_transactions_is_refused(
    node: FakeNode, client: NodeClient
) -> None:
    node.routes["/transactions"] = lambda _: (200, {"results": []})
    with pytest.raises(AnswerInvalid, match="each transaction"):
        client.submit([payment(0)])


def test_a_transaction_sent_twice_counts_as_taken(node: FakeNode, client: NodeClient) -> None:
    node.rejection = {"code": "already_waiting", "message": "the transaction waits already"}
    assert client.submit_one(payment(0))


def test_a_resent_transaction_that_is_final_counts_as_taken(
    node: FakeNode, client: NodeClient
) -> None:
    client.status()
    node.rejection = {"code": "wrong_nonce", "message": "the nonce is 1"}
    with pytest.raises(TransactionRejected):
        client.submit_one(payment(0))
    assert client._connection.sock is not None
    client._connection.sock.shutdown(socket.SHUT_RDWR)
    assert client.submit_one(payment(0))
