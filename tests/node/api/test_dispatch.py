"""What the API says of dispatch rounds, each answer against its schema; the proof of a price."""

from __future__ import annotations

import base64

from market.dispatch_certificate import Certificate, IntervalResult
from market.dispatch_codec import decode_problem, encode_certificate, hash_problem
from market.dispatch_commitments import commitment_of
from market.dispatch_records import decode_round
from node.ledger.proofs import decode_account_proof, validate_account_proof
from tests.ledger.support import id_of
from tests.node.api.conftest import Api
from tests.node.api.support import TOKEN
from tests.node.api.test_pages import trusted_validators
from vm.primitives.merkle import MerkleProof, verify_merkle_proof
from vm.runtime import Call

PRICE = 10**20


def result(load_w: int) -> bytes:
    """The line's 3 kW are sold; the generator sets the price before it, the load behind it."""
    done = IntervalResult((PRICE, PRICE, 3 * PRICE), (-load_w, load_w))
    return encode_certificate(Certificate((done,)))


def commitment(number: int, data: bytes) -> Call:
    """P2 commits to a certificate's bytes."""
    return ("dispatch", "commit", (number, commitment_of(id_of("P2"), number, data)))


async def test_a_round_from_opening_to_proof(api: Api) -> None:
    node = api.node
    (area,) = (await api.get("/dispatch/areas")).json["areas"]
    assert (area["pot_micro"], area["last_proved"]) == (10 * TOKEN, None)
    assert [(unit["name"], unit["owner_name"]) for unit in area["units"]] == [
        ("G1", "P1"),
        ("H1", "P2"),
    ]
    node.grow(node.transaction("Op", ("dispatch", "open", ("feeder", 0))))
    (opened,) = (await api.get("/dispatch/rounds?status=open&area=feeder")).json["rounds"]
    assert (opened["number"], opened["status"], opened["root"]) == (1, "open", None)
    shown = (await api.get("/dispatch/rounds/1")).json
    assert shown["results"] == []
    assert shown["problem"]["lines"][1]["rating_w"] == 3000
    problem = decode_problem(base64.b64decode(shown["problem_bytes"]))
    digest = hash_problem(problem)
    assert digest.hex() == opened["problem_hash"]
    for load_w in (-2_999, -3_000):
        node.grow(node.transaction("P2", commitment(1, result(load_w))))
        call = ("dispatch", "submit", (1, digest, result(load_w)))
        sent = node.transaction("P2", call)
        node.grow(sent)
        receipt = (await api.get(f"/transactions/{sent.id.hex()}")).json["receipt"]
        assert receipt["code"] == ""
    shown = (await api.get("/dispatch/rounds/1")).json
    assert (shown["round"]["status"], shown["round"]["refused"]) == ("proved", 1)
    assert (shown["round"]["submitter_name"], shown["round"]["gap_twice"]) == ("P2", "0")
    assert shown["results"] == [
        {
            "lambda": {"S": str(PRICE), "N1": str(PRICE), "N2": str(3 * PRICE)},
            "p_w": {"G1": "3000", "H1": "-3000"},
            "flow_w": {"S-N1": "0", "N1-N2": "3000"},
        }
    ]
    assert (await api.get("/dispatch/rounds?status=open")).json["rounds"] == []
    assert (await api.get("/dispatch/rounds?before=1")).json["rounds"] == []


async def test_a_price_is_proved_against_a_header(api: Api) -> None:
    node = api.node
    node.grow(node.transaction("Op", ("dispatch", "open", ("feeder", 0))))
    (opened,) = (await api.get("/dispatch/rounds?status=open")).json["rounds"]
    number, digest = opened["number"], bytes.fromhex(opened["problem_hash"])
    node.grow(node.transaction("P2", commitment(number, result(-3_000))))
    node.grow(node.transaction("P2", ("dispatch", "submit", (number, digest, result(-3_000)))))
    node.grow()
    for query, figure in (
        ("kind=price&name=N2", str(3 * PRICE)),
        ("kind=power&name=H1", "-3000"),
        ("kind=flow&name=L2", "3000"),
    ):
        found = (await api.get(f"/dispatch/rounds/{number}/proof?{query}")).json
        assert found["figure"] == figure
        proof = decode_account_proof(base64.b64decode(found["proof"]))
        validate_account_proof(
            proof, genesis=node.genesis.digest, validators=trusted_validators(api)
        )
        assert proof.value is not None
        assert decode_round(proof.value).root.hex() == found["root"]
        path = MerkleProof(
            found["index"], found["count"], tuple(map(bytes.fromhex, found["siblings"]))
        )
        root = bytes.fromhex(found["root"])
        assert verify_merkle_proof(root, bytes.fromhex(found["item"]), path)
        assert len(proof.encode()) <= 4_096
    for query in ("name=nowhere", "name=N2&interval=1", "kind=flow&name=N2"):
        assert (await api.get(f"/dispatch/rounds/{number}/proof?{query}")).status == 404
    assert (await api.get(f"/dispatch/rounds/{number + 1}")).status == 404
    assert (await api.get("/dispatch/rounds/1/proof?kind=colour&name=N2")).status == 400
