"""A synchronous client of a node's HTTP API: small, quick to start, one error class per cause.

A client that was given the network's genesis hash refuses to talk to a node of any other
network, so nothing is ever signed for, or believed of, the wrong chain.
"""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode, urlsplit

from tools.errors import (
    AnswerInvalid,
    ClientError,
    FinalTransaction,
    Json,
    NodeRefused,
    NodeTimeout,
    NodeUnreachable,
    TransactionFailed,
    TransactionRejected,
    WrongNetwork,
)

if TYPE_CHECKING:
    from tools.wallet import Signer
    from vm.runtime import Call

DEFAULT_URL: Final = "http://127.0.0.1:8645"
DEFAULT_TIMEOUT_S: Final = 15.0
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
MAX_BATCH: Final = 500
_WAIT_SLICE_MS: Final = 5_000
_POLL_PAUSE_S: Final = 0.02
_CONNECTION_LOST: Final = (
    http.client.RemoteDisconnected,
    http.client.CannotSendRequest,
    BrokenPipeError,
    ConnectionResetError,
)


class NodeClient:
    """One connection to one node, kept open between requests. Not for several threads."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        genesis: bytes | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        fingerprint: bytes = b"",
    ) -> None:
        """Talk to the node at `url`; `genesis` (32 bytes) pins the network.

        Over HTTPS, `fingerprint` (SHA-256) says which certificate the node has; without it the
        system must trust it. Nothing is sent yet. Raises AnswerInvalid for what is no address.
        """
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s
        self._pinned = genesis
        self._checked = False
        self._connection = _connection(self.url, timeout_s, fingerprint)
        self._nonces: dict[str, int] = {}
        self._resent = False
        self._node = ""
        self._signer: Signer | None = None

    def sign_as(self, signer: Signer) -> None:
        """Sign all that is asked from now on, so that the node shows what concerns the signer."""
        self._check_network()
        self._signer = signer

    def close(self) -> None:
        """Close the connection; the next request would open another."""
        self._connection.close()

    def get(self, path: str, **query: str | int | None) -> Json:
        """Return the object at `path` (below /api/v1), its query without the Nones."""
        self._check_network()
        return self._get(path, **query)

    def status(self) -> Json:
        """Return the node's status, its network checked against the pin."""
        answer = self._get("/status")
        self._validate_network(answer)
        return answer

    def genesis_hash(self) -> bytes:
        """Return the network's identity, 32 bytes."""
        return self._pinned or hex_field(self.status(), "genesis", 32)

    def account(self, who: str) -> Json:
        """Return the account with this address or member name."""
        return self.get(f"/accounts/{quote(who, safe='')}")

    def next_nonce(self, address: str) -> int:
        """Return the nonce of the account's next transaction, behind those that wait.

        Transactions that this client submitted count also before the node has seen them final.
        """
        answer = self.account(address)
        known = max(
            integer_field(answer, "nonce"),
            integer_field(answer, "next_nonce") if "next_nonce" in answer else 0,
        )
        return max(known, self._nonces.get(address, 0))

    def preview(self, sender: str, calls: Sequence[Call]) -> Json:
        """Return the receipt that calls of `sender` would have now; nothing is signed or kept."""
        from vm.primitives.codec import encode

        self._check_network()
        text = base64.b64encode(encode(tuple(calls))).decode("ascii")
        return self._request("POST", "/preview", {"sender": sender, "calls": text})

    def submit(self, transactions: Sequence[bytes]) -> list[Json]:
        """Send signed transactions in batches; return the node's answer to each, in order."""
        self._check_network()
        results: list[Json] = []
        for start in range(0, len(transactions), MAX_BATCH):
            batch = transactions[start : start + MAX_BATCH]
            answer = self._request(
                "POST",
                "/transactions",
                {"transactions": [base64.b64encode(each).decode("ascii") for each in batch]},
            )
            found = answer.get("results")
            if not isinstance(found, list) or len(found) != len(batch):
                raise AnswerInvalid(
                    "the node did not answer for each transaction",
                    expected=len(batch),
                    hint=_not_a_node(self.url),
                )
            results.extend(result if isinstance(result, dict) else {} for result in found)
        return results

    def submit_one(self, transaction: bytes, *, sender: str = "", nonce: int = -1) -> str:
        """Send one transaction and return its id; raises TransactionRejected.

        With `sender` (an address) and `nonce`, the next nonce is remembered.
        """
        self._resent = False
        result = self.submit([transaction])[0]
        if result.get("accepted") is not True and not self._arrived_before(result):
            self._nonces.pop(sender, None)
            raise TransactionRejected(
                str(result.get("message", "the node refused the transaction")),
                code=str(result.get("code", "rejected")),
                hint=_hint_for(str(result.get("code", ""))),
            )
        if sender:
            self._nonces[sender] = nonce + 1
        return text_field(result, "id")

    def wait(self, transaction_id: str, *, timeout_s: float) -> FinalTransaction:
        """Wait until a final block holds the transaction.

        Raises NodeTimeout after `timeout_s` seconds, TransactionFailed if its calls failed.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left_ms = max(0, int((deadline - time.monotonic()) * 1000))
            answer = self._find_transaction(transaction_id, min(left_ms, _WAIT_SLICE_MS))
            if answer.get("status") == "final":
                return _final(transaction_id, answer)
            if time.monotonic() >= deadline:
                raise NodeTimeout(
                    f"transaction {transaction_id} is not final after {timeout_s:g} s",
                    hint="It may still become final: bitenergy tx show "
                    f"{transaction_id}; why the network is slow: bitenergy node doctor.",
                )
            time.sleep(_POLL_PAUSE_S)

    def _find_transaction(self, transaction_id: str, wait_ms: int) -> Json:
        """Return what the node knows of a transaction, an empty object if that is nothing now.

        Between the mempool and the final block a transaction may be nowhere for a moment.
        """
        path = f"/transactions/{transaction_id}"
        try:
            return self.get(path, wait_ms=wait_ms)
        except NodeRefused as refused:
            if refused.code not in ("unknown_transaction", "too_many_waiters"):
                raise
            return {}

    def submit_and_wait(
        self, transaction: bytes, *, timeout_s: float, sender: str = "", nonce: int = -1
    ) -> FinalTransaction:
        """Send one transaction and wait until it is final.

        Raises TransactionRejected, TransactionFailed or NodeTimeout.
        """
        transaction_id = self.submit_one(transaction, sender=sender, nonce=nonce)
        return self.wait(transaction_id, timeout_s=timeout_s)

    def _arrived_before(self, result: Json) -> bool:
        """Tell whether a refused transaction is with the node already.

        It is when the connection broke after the node had taken it and we sent it again.
        """
        if result.get("code") == "already_waiting":
            return True
        if not self._resent:
            return False
        answer = self._find_transaction(text_field(result, "id"), 0)
        return answer.get("status") in ("pending", "included", "final")

    def _check_network(self) -> None:
        if not self._checked:
            self.status()

    def _validate_network(self, status: Json) -> None:
        found = hex_field(status, "genesis", 32)
        if self._pinned is not None and found != self._pinned:
            raise WrongNetwork(
                f"{self.url} is a node of another network",
                expected=self._pinned,
                actual=found,
                hint="Name a node of your network with --node; to change networks on purpose, "
                "use another --home, or delete network.json in it.",
            )
        self._pinned, self._checked = found, True
        self._node = str(status.get("node", ""))

    def _get(self, path: str, **query: str | int | None) -> Json:
        chosen = {name: value for name, value in query.items() if value is not None}
        return self._request("GET", f"{path}?{urlencode(chosen)}" if chosen else path, None)

    def _request(self, method: str, path: str, body: Json | None) -> Json:
        """Return the answer's object; one lost kept-open connection is opened again."""
        data = None if body is None else json.dumps(body).encode("ascii")
        headers = {"Accept": "application/json"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        elif self._signer is not None:
            headers["Authorization"] = self._authorization(self._signer, method, f"/api/v1{path}")
        reused = self._connection.sock is not None
        try:
            try:
                self._connection.request(method, f"/api/v1{path}", data, headers)
                response = self._connection.getresponse()
            except _CONNECTION_LOST:
                self._connection.close()
                if not reused:
                    raise
                self._resent = True
                self._connection.request(method, f"/api/v1{path}", data, headers)
                response = self._connection.getresponse()
            content = response.read(MAX_ANSWER_BYTES + 1)
        except TimeoutError as error:
            self._connection.close()
            raise NodeTimeout(
                f"{self.url} did not answer within {self.timeout_s:g} s",
                hint="See why: bitenergy node doctor; or name another node with --node.",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise _unreachable(self.url, error) from error
        if len(content) > MAX_ANSWER_BYTES:
            self._connection.close()
            raise AnswerInvalid(
                "the answer is too long", expected=f"at most {MAX_ANSWER_BYTES} bytes"
            )
        return self._answer(response.status, content)

    def _authorization(self, signer: Signer, method: str, target: str) -> str:
        from node.api.request_signing import sign_request

        return sign_request(
            signer.seed,
            genesis=self.genesis_hash(),
            node=self._node,
            method=method,
            target=target,
            account=signer.account,
            time_ms=time.time_ns() // 1_000_000,
        )

    def _answer(self, status: int, content: bytes) -> Json:
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if status >= 400:
            raise _refusal(status, answer, self.url)
        if status != 200 or not isinstance(answer, dict):
            raise AnswerInvalid(
                f"{self.url} does not answer like a node",
                actual=f"HTTP status {status}",
                hint=_not_a_node(self.url),
            )
        return answer


def integer_field(answer: Json, name: str) -> int:
    """Return the integer `name` of an answer; raises AnswerInvalid."""
    value = answer.get(name)
    if type(value) is not int:
        raise _field_missing(name, "an integer", value)
    return value


def text_field(answer: Json, name: str) -> str:
    """Return the text `name` of an answer; raises AnswerInvalid."""
    value = answer.get(name)
    if not isinstance(value, str):
        raise _field_missing(name, "text", value)
    return value


def hex_field(answer: Json, name: str, size: int) -> bytes:
    """Return the `size` bytes that stand as hexadecimal in `name`; raises AnswerInvalid."""
    try:
        value = bytes.fromhex(text_field(answer, name))
    except ValueError:
        value = b""
    if len(value) != size:
        raise _field_missing(name, f"{size} bytes in hexadecimal", answer.get(name))
    return value


def base64_field(answer: Json, name: str) -> bytes:
    """Return the bytes that stand as base64 in `name`; raises AnswerInvalid."""
    try:
        return base64.b64decode(text_field(answer, name), validate=True)
    except ValueError as error:
        raise _field_missing(name, "base64", answer.get(name)) from error


def list_field(answer: Json, name: str) -> list[Json]:
    """Return the list of objects `name` of an answer; raises AnswerInvalid."""
    value = answer.get(name)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise _field_missing(name, "a list of objects", value)
    return value


def object_field(answer: Json, name: str) -> Json:
    """Return the object `name` of an answer; raises AnswerInvalid."""
    value = answer.get(name)
    if not isinstance(value, dict):
        raise _field_missing(name, "an object", value)
    return value


def _connection(url: str, timeout_s: float, fingerprint: bytes) -> http.client.HTTPConnection:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or parts.path or parts.query:
        raise AnswerInvalid(
            "not the address of a node",
            expected=f"for example {DEFAULT_URL}",
            actual=url[:200],
            hint="Give it with --node or in BITENERGY_NODE.",
        )
    if fingerprint and parts.scheme != "https":
        raise AnswerInvalid(
            "a fingerprint is for a node that serves HTTPS",
            expected="an address that begins with https://",
            actual=url[:200],
        )
    if fingerprint:
        from tools.https import PinnedConnection

        return PinnedConnection(host, port, fingerprint=fingerprint, timeout=timeout_s)
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout_s)
    return http.client.HTTPConnection(host, port, timeout=timeout_s)


def _final(transaction_id: str, answer: Json) -> FinalTransaction:
    final = FinalTransaction(
        transaction_id, integer_field(answer, "height"), object_field(answer, "receipt")
    )
    code = text_field(final.receipt, "code")
    if code:
        message = str(final.receipt.get("message") or _failure_words(code))
        raise TransactionFailed(code, message, final)
    return final


def _failure_words(code: str) -> str:
    return f"the transaction failed: {code.replace('_', ' ')}"


def _refusal(status: int, answer: object, url: str) -> ClientError:
    found = answer.get("error", answer) if isinstance(answer, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get("code"), str):
        return AnswerInvalid(
            f"{url} does not answer like a node",
            actual=f"HTTP status {status}",
            hint=_not_a_node(url),
        )
    return NodeRefused(
        status,
        str(found["code"]),
        str(found.get("message", found["code"])),
        expected=_text_or_none(found.get("expected")),
        actual=_text_or_none(found.get("actual")),
        hint=_text_or_none(found.get("hint")),
    )


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _unreachable(url: str, error: Exception) -> NodeUnreachable:
    if url.startswith("https:"):
        from tools.https import refusal

        refused = refusal(url, error)
        if refused is not None:
            return refused
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return NodeUnreachable(
        f"no node answers at {url} ({reason})",
        hint="Start one (bitenergy node run, or bitenergy testnet up), or name another with "
        "--node URL or BITENERGY_NODE.",
    )


def _hint_for(code: str) -> str | None:
    """Return what a person can do about the usual reasons for a refused transaction."""
    if "nonce" in code:
        return "Another transaction of this account came first: run the command again."
    if code in ("unknown_account", "unknown_sender"):
        return "An operator must admit this key first: bitenergy member add."
    if code in ("wrong_key", "not_active"):
        return "See the account: bitenergy wallet balance."
    if code in ("mempool_full", "sender_full", "block_full"):
        return "The network is busy: wait for your earlier transactions and try again."
    return None


def _not_a_node(url: str) -> str:
    return f"Check that {url} is a bitenergy node of this version (bitenergy node status)."


def _field_missing(name: str, expected: str, value: object) -> AnswerInvalid:
    return AnswerInvalid(
        f"the node's answer has no usable {name!r}",
        expected=expected,
        actual=repr(value)[:80],
        hint="Node and tools may be of different versions: compare bitenergy node status.",
    )
