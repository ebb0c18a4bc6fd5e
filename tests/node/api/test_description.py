"""The API's description is complete and true, and generated requests never find a bug."""

from __future__ import annotations

import json
import random
import re

from node.api.event_fields import EVENT_FIELDS, moved, name_values
from node.api.table import ROUTES
from tests.ledger.support import id_of
from tests.node.api.conftest import Api
from tests.node.api.shapes import KNOWN
from vm.primitives.address import encode_address

FUZZ_CASES = 300


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [ref for item in value.values() for ref in _references(item)]
    return [ref for item in value for ref in _references(item)] if isinstance(value, list) else []


async def test_every_route_is_described(api: Api) -> None:
    document = api.description
    assert document["openapi"].startswith("3.1")
    described = {
        (path, method) for path, methods in document["paths"].items() for method in methods
    }
    assert described == {
        (route.path, "post" if route.method == "POST" else "get") for route in ROUTES
    }
    names = [item["operationId"] for path in document["paths"].values() for item in path.values()]
    assert len(set(names)) == len(names)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            in_path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert in_path == set(re.findall(r"{(\w+)}", path))
            assert {"400", "403", "500", "503"} <= set(operation["responses"])
            assert all(p["description"] and p["schema"] for p in operation["parameters"])
            assert ("requestBody" in operation) == (method == "post")


async def test_every_schema_is_there_and_used(api: Api) -> None:
    schemas = api.description["components"]["schemas"]
    used = {ref.removeprefix("#/components/schemas/") for ref in _references(api.description)}
    assert used - set(schemas) == set()
    unused = set(schemas) - used
    assert unused == set()

    def check(schema: object) -> None:
        if isinstance(schema, dict):
            assert set(schema) <= KNOWN
            for key, value in schema.items():
                if key == "properties":
                    for each in value.values():
                        check(each)
                elif key in ("items", "additionalProperties") and isinstance(value, dict):
                    check(value)
                elif key in ("anyOf", "oneOf"):
                    for each in value:
                        check(each)

    for schema in schemas.values():
        check(schema)


async def test_it_is_served_in_both_places(api: Api) -> None:
    first, second = await api.get("/openapi.json"), await api.get("/api/v1/openapi.json")
    assert first.body == second.body


def test_events_of_unknown_kinds_are_named_by_place() -> None:
    assert name_values("x", "y", (1, "a")) == [("0", 1), ("1", "a")]
    assert name_values("accounts", "burn", (1,)) == [("0", 1)]
    assert dict(name_values("members", "approval", ("a", 1, 2)))["needed"] == 2
    assert all(len(set(names)) == len(names) for names in EVENT_FIELDS.values())


def test_penalties_are_not_the_sellers_money() -> None:
    buyer, seller, owner = id_of("P2"), id_of("P1"), id_of("V1")
    events = [
        ("market", "penalty", ("m", owner, buyer, 1, 30)),
        ("market", "trade", ("m", buyer, seller, 1, 0, 500, 10, 1, 130)),
        ("market", "trade", ("m", buyer, seller, 2, 0, 500, 10, 0, 100)),
    ]
    assert moved(buyer, events) == (-230, 1_000)
    assert moved(seller, events) == (200, -1_000)
    assert moved(owner, events) == (30, None)
    assert moved(id_of("V2"), events) == (None, None)


def _values(random_: random.Random) -> str:
    known = ["P1", "latest", "local", "feeder", encode_address(id_of("P1")), "ab" * 32, "block"]
    odd = ["", "%", "%00", "%ff%fe", "..", "%2e%2e%2f", "9" * 40, "-1", "NaN", "true", "\\", "a b"]
    match random_.randrange(4):
        case 0:
            return random_.choice(known)
        case 1:
            return str(random_.choice([0, 1, 2, 3, 50, 2**63 - 1, 2**63, 2**70]))
        case 2:
            return random_.choice(odd)
    alphabet = "abcXYZ019._-%&=+ ü\u202e'\"<>{}[]"
    return "".join(random_.choice(alphabet) for _ in range(random_.randrange(24)))


def _request(random_: random.Random) -> tuple[str, str, dict]:
    route = random_.choice(ROUTES)
    path = re.sub(r"{\w+}", lambda _: _values(random_) or "x", route.path)
    names = [p.name for p in route.parameters if f"{{{p.name}}}" not in route.path]
    names += ["foo"] * (random_.random() < 0.1)
    # Few long waits: the run is short.
    chosen = [name for name in names if random_.random() < 0.6 and name != "wait_ms"]
    query = "&".join(f"{name}={_values(random_)}" for name in chosen)
    method = "POST" if route.method == "POST" else "GET"
    if random_.random() < 0.1:
        method = random_.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
    options: dict = {}
    if method == "POST":
        body = random_.choice(
            [
                json.dumps({"transactions": [_values(random_) for _ in range(3)]}).encode(),
                json.dumps(_values(random_)).encode(),
                random_.randbytes(random_.randrange(200)),
                b'{"transactions": ["' + random_.randbytes(50).hex().encode() + b'"]}',
            ]
        )
        kind = random_.choice(["application/json"] * 4 + ["text/plain", ""])
        options = {"data": body, "headers": {"Content-Type": kind}}
    return method, f"{path}?{query}" if query else path, options


async def test_generated_requests_never_find_a_bug(api: Api) -> None:
    random_ = random.Random(1)
    seen: dict[int, int] = {}
    for _ in range(FUZZ_CASES):
        method, path, options = _request(random_)
        reply = await api.ask(method, path, **options)
        assert reply.status < 500, (method, path, reply.body)
        seen[reply.status] = seen.get(reply.status, 0) + 1
    assert {200, 400, 404, 405} <= set(seen)
    assert api.fatal == []
    assert (await api.get("/status")).status == 200
