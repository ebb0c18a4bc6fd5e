"""A pretended node on loopback: answers like the HTTP API, finalises what it gets at once."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from node.ledger.transaction import Transaction, decode_transaction
from vm.primitives.address import encode_address

GENESIS = bytes(range(32))
ROLES = ["operator", "validator", "prosumer", "consumer"]
Answer = tuple[int, object]


class FakeNode:
    """What the pretended node knows, and what was asked of it."""

    def __init__(self) -> None:
        self.genesis = GENESIS
        self.height = 7
        self.members: dict[str, bytes] = {}
        self.keys: dict[str, bytes] = {}
        self.nonces: dict[str, int] = {}
        self.received: list[Transaction] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.failure = ""
        self.rejection: dict[str, str] | None = None
        self.values: list[object] = []
        self.events: list[object] = []
        self.final = True
        self.routes: dict[str, Callable[[dict[str, str]], Answer]] = {}
        self.market: dict[str, object] = {"interval_minutes": 0}
        self.has_meters = False
        self.is_signed = False
        self.url = ""

    def admit(self, name: str, account: bytes, key: bytes = bytes(32)) -> str:
        """Let the fake know a member; return its address."""
        address = encode_address(account)
        self.members[name] = account
        self.keys[address] = key
        self.nonces[address] = 3
        return address

    def answer(self, method: str, path: str, query: dict[str, str], body: object) -> Answer:
        """Return status and object for one request."""
        if path in self.routes:
            return self.routes[path](query)
        if path == "/status":
            return 200, {
                "genesis": self.genesis.hex(), "height": self.height, "chain": "fake",
                "state_root": "ab" * 32, "time_ms": 1_700_000_000_000, "peers": 3,
            }  # fmt: skip
        if path == "/params":
            limits = {"max_transaction_gas": 20_000_000, "max_expiry_blocks": 1000}
            return 200, {"height": 7, "parameters": limits | {"gas_price_micro": 2}}
        if path == "/genesis":
            return 200, {"roles": ROLES}
        if path == "/markets":
            return 200, {"markets": [{"name": "local", **self.market}]}
        if path.startswith("/accounts/"):
            return self._account(unquote(path.removeprefix("/accounts/")))
        if path == "/transactions" and method == "POST":
            return self._submit(body)
        if path == "/preview" and method == "POST":
            return 200, {"code": self.failure, "message": "", "values": self.values}
        if path.startswith("/transactions/"):
            return 200, self._transaction(path.removeprefix("/transactions/"))
        return 404, {"error": {"code": "not_found", "message": f"nothing at {path}"}}

    def _account(self, who: str) -> Answer:
        known = {encode_address(account): name for name, account in self.members.items()}
        address = encode_address(self.members[who]) if who in self.members else who
        if address not in known:
            return 404, {"error": {"code": "unknown_account", "message": "no such account"}}
        return 200, {
            "address": address, "name": known[address], "roles": ["prosumer"],
            "status": "active", "nonce": self.nonces[address],
            "key": self.keys[address].hex(), "money_micro": 921_280_000,
            "money_reserved_micro": 0,
            "energy_milli_wh": None if self.has_meters and not self.is_signed else 58_000_000,
            "energy_reserved_milli_wh": 0,
        }  # fmt: skip

    def _submit(self, body: object) -> Answer:
        results: list[object] = []
        for text in body["transactions"]:  # type: ignore[index]
            transaction = decode_transaction(base64.b64decode(text))
            if self.rejection is not None:
                results.append({"id": transaction.id.hex(), "accepted": False, **self.rejection})
                continue
            self.received.append(transaction)
            results.append({"id": transaction.id.hex(), "accepted": True})
        return 200, {"results": results}

    def _transaction(self, wanted: str) -> object:
        if not self.final:
            return {"id": wanted, "status": "pending"}
        return {
            "id": wanted, "status": "final", "height": self.height + 1, "index": 0,
            "transaction": {"sender": "x", "nonce": 3, "calls": []},
            "receipt": {
                "code": self.failure, "gas_used": 500, "fee_micro": 1000,
                "events": self.events, "values": self.values,
            },
        }  # fmt: skip


@contextmanager
def fake_node() -> Iterator[FakeNode]:
    """Serve a fake node on a free port of loopback."""
    fake = FakeNode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._reply(None)

        def do_POST(self) -> None:
            self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _reply(self, body: object) -> None:
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query))
            path = parts.path.removeprefix("/api/v1")
            fake.requests.append((path, query))
            fake.is_signed = "Authorization" in self.headers
            status, answer = fake.answer(self.command, path, query, body)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=lambda: server.serve_forever(0.01))
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
