"""What the API says of contracts: source, interface, views, events, proofs of what they store."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from node.api.event_fields import CONTRACT_EVENT
from node.ledger.proof_paths import Trust, verify_proof
from tests.ledger.support import id_of
from tests.node.api.conftest import Api, serve
from tests.node.api.support import FakeNode
from tests.node.api.test_dispatch import PRICE, commitment, result
from tools.contract.compiler import compile_source
from vm.primitives.address import encode_address
from vm.system.validators import encode_validators, read_validators, validators_hash

SOURCE = (Path(__file__).resolve().parents[3] / "genesis/contracts/token.py").read_text()
LOOP = """
@view
def spin() -> int:
    n = 0
    while True:
        n += 1
    return n

@view
def fails(n: int) -> int:
    require(n != 7, "not seven")
    return n
"""


SETTLER = """
import dispatch

@view
def price(number: int, bus: int) -> int:
    status, first, intervals = dispatch.round_of(number)
    return dispatch.price(number, bus, intervals - 1)
"""


class ContractNode(FakeNode):
    """The node of the other tests, on a network that takes contracts."""

    def deploy(self, name: str, source: str, *arguments: object) -> bytes:
        """Deploy a source and return its address."""
        made = compile_source(source)
        call = ("contracts", "deploy", (name, made.raw, made.source, arguments))
        block = self.grow(self.transaction("P1", call))
        receipt = block.executed.receipts[block.executed.first_transaction]
        assert receipt.code == "", receipt
        address = receipt.values[0]
        assert isinstance(address, bytes)
        return address


@pytest_asyncio.fixture
async def token_api(tmp_path: Path) -> AsyncIterator[Api]:
    """A node with a token of which P2 has some."""
    node = ContractNode(tmp_path)
    address = node.deploy("sun", SOURCE, "Sun", 1_000)
    call = ("contracts", "call", (address, "transfer", (id_of("P2"), 30), 0, 0))
    node.grow(node.transaction("P1", call))
    try:
        async for api in serve(node):
            yield api
    finally:
        node.store.close()


async def test_a_contract_is_shown_with_its_source_and_interface(token_api: Api) -> None:
    (listed,) = (await token_api.get("/contracts")).json["contracts"]
    shown = (await token_api.get("/contracts/sun")).json
    assert shown["source"] == SOURCE
    assert base64.b64decode(shown["code"]) == compile_source(SOURCE).raw
    assert listed["address"] == shown["address"] and listed["owner_name"] == "P1"
    assert shown["account"]["name"] == "sun"
    assert (shown["frozen"], shown["revision"], shown["deposit_micro"]) == (False, 0, 0)
    names = {function["name"]: function["kind"] for function in shown["abi"]["functions"]}
    assert (names["transfer"], names["balance_of"], names["start"]) == ("export", "view", "init")
    assert (await token_api.get(f"/contracts/{shown['address']}")).json == shown
    assert (await token_api.get("/contracts/P1")).code == "unknown_contract"
    assert (await token_api.get("/contracts?after=1")).json["contracts"] == []


async def test_views_run_on_the_last_final_state(token_api: Api) -> None:
    holder = json.dumps([encode_address(id_of("P2"))])
    answer = await token_api.get(f"/contracts/sun/view/balance_of?arguments={holder}")
    assert answer.json["result"] == 30
    assert answer.json["height"] == token_api.node.store.height
    for query, code in (
        ("balance_of", "invalid_arguments"),
        ("balance_of?arguments=[5]", "invalid_arguments"),
        ("balance_of?arguments=[1.5]", "invalid_parameter"),
        ("balance_of?arguments=5", "invalid_arguments"),
        ("transfer?arguments=[]", "unknown_view"),
        ("nothing", "unknown_view"),
    ):
        assert (await token_api.get(f"/contracts/sun/view/{query}")).code == code, query


async def test_a_view_ends_with_its_gas(token_api: Api) -> None:
    node = token_api.node
    assert isinstance(node, ContractNode)
    node.deploy("loop", LOOP)
    assert (await token_api.get("/contracts/loop/view/spin")).code == "out_of_gas"
    failed = await token_api.get("/contracts/loop/view/fails?arguments=[7]")
    assert (failed.status, failed.code) == (400, "requirement_failed")
    assert (await token_api.get("/contracts/loop/view/fails?arguments=[8]")).json["result"] == 8


async def test_a_contract_settles_on_a_nodal_price(token_api: Api) -> None:
    node = token_api.node
    assert isinstance(node, ContractNode)
    node.deploy("settler", SETTLER)
    node.grow(node.transaction("Op", ("dispatch", "open", ("feeder", 0))))
    price = "/contracts/settler/view/price?arguments="
    assert (await token_api.get(f"{price}[1,2]")).code == "not_closed"
    (opened,) = (await token_api.get("/dispatch/rounds?status=open")).json["rounds"]
    digest = bytes.fromhex(opened["problem_hash"])
    node.grow(node.transaction("P2", commitment(1, result(-3_000))))
    node.grow(node.transaction("P2", ("dispatch", "submit", (1, digest, result(-3_000)))))
    assert (await token_api.get(f"{price}[1,2]")).json["result"] == str(3 * PRICE)
    for arguments, code in (("[2,0]", "unknown_round"), ("[-1,0]", "unknown_round"),
                            ("[1,3]", "out_of_range"), ("[1,-1]", "out_of_range"),
                            (f'["{2**70}",0]', "invalid_arguments")):  # fmt: skip
        assert (await token_api.get(price + arguments)).code == code


async def test_events_bear_the_names_of_the_source(token_api: Api) -> None:
    events = (await token_api.get("/contracts/sun/events")).json["events"]
    assert [event["fields"]["event"] for event in events] == ["Transfer", "Transfer"]
    newest = events[0]["fields"]
    assert (newest["sender_name"], newest["receiver_name"], newest["amount"]) == ("P1", "P2", 30)
    assert (events[0]["module"], events[0]["event"]) == CONTRACT_EVENT
    page = (await token_api.get("/contracts/sun/events?limit=1")).json
    assert len(page["events"]) == 1
    rest = (await token_api.get(f"/contracts/sun/events?before={page['next']}")).json
    assert rest["events"] == events[1:]
    history = (await token_api.get("/accounts/P2/history")).json["history"]
    assert history[0]["what"] == "contracts.call"


async def test_what_is_stored_is_proved_in_4_kb(token_api: Api) -> None:
    node = token_api.node
    key = json.dumps(encode_address(id_of("P2")))
    found = (await token_api.get(f"/proofs/contract/sun/balances?key={key}")).json
    assert (found["exists"], found["value"]) == (True, 30)
    proof = base64.b64decode(found["proof"])
    assert len(proof) <= 4_096
    trust = Trust(node.genesis.digest, validators_of(node), 1)
    assert verify_proof(proof, trust)
    place = proof.index(bytes.fromhex(found["key"]))
    assert not verify_proof(proof[:place] + b"\xff" + proof[place + 1 :], trust)
    missing = json.dumps(encode_address(id_of("Op")))
    absent = (await token_api.get(f"/proofs/contract/sun/balances?key={missing}")).json
    assert (absent["exists"], absent["value"]) == (False, None)
    assert verify_proof(base64.b64decode(absent["proof"]), trust)
    assert (await token_api.get("/proofs/contract/sun/total")).json["value"] == 1_000
    assert (await token_api.get("/proofs/contract/sun/balances")).code == "invalid_parameter"
    assert (await token_api.get("/proofs/contract/sun/nothing")).code == "unknown_variable"


def validators_of(node: FakeNode) -> bytes:
    """Return the hash of the validators in force."""
    return validators_hash(encode_validators(read_validators(node.store)))
