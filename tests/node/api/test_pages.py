"""What the API says of the node, its chain and its members, each answer against its schema."""

from __future__ import annotations

import asyncio
import base64

import pytest

from node.api.limits import ApiLimits
from node.block_index import BODY, HEAD, RECEIPTS, TRANSACTION, height_bytes
from node.ledger.block import decode_header
from node.ledger.proofs import (
    decode_account_proof,
    decode_transaction_proof,
    validate_account_proof,
    validate_transaction_proof,
)
from node.ledger.transaction import decode_transaction
from node.store import StoredHead
from tests.ledger.support import id_of, key_of
from tests.node.api.conftest import Api, serve
from tests.node.api.support import KWH, TOKEN, FakeNode
from vm.primitives.address import encode_address
from vm.system.accounts import account_key
from vm.system.members import NAME_SPACE


def head_of(api: Api, height: int) -> StoredHead:
    found = api.node.store.head(height)
    assert found is not None
    return found


def trusted_validators(api: Api) -> bytes:
    """Return the hash of the validators, as a reader would know it."""
    return head_of(api, 1).header.validators


async def test_status(api: Api) -> None:
    status = (await api.get("/status")).json
    assert status["genesis"] == api.node.genesis.digest.hex()
    assert status["height"] == status["final_height"] == api.node.store.height
    assert status["state_root"] == head_of(api, status["height"]).header.state_root.hex()
    assert (status["validators"], status["peers"], status["syncing"]) == (4, 1, False)
    assert status["consensus"]["missing_precommits"][1] == "validator 9"
    assert status["consensus"]["step"] == "propose"


async def test_genesis_and_its_document(api: Api) -> None:
    found = await api.get("/genesis")
    assert found.json["roles"] == list(api.node.genesis.roles)
    assert found.json["document"]["chain"] == "unit-test"
    assert found.json["document_bytes"] == len(api.node.genesis_document)
    assert "immutable" in found.headers["Cache-Control"]
    document = await api.get("/genesis/document")
    assert document.body == api.node.genesis_document


async def test_parameters_validators_peers_mempool_doctor(api: Api) -> None:
    assert (await api.get("/params")).json["parameters"]["gas_price_micro"] == 0
    validators = (await api.get("/validators")).json
    assert validators["total_power"] == 4
    assert {entry["name"] for entry in validators["validators"]} == {"V1", "V2", "V3", "V4"}
    assert (await api.get("/peers")).json["peers"][0]["name"] == "V2"
    assert (await api.get("/mempool")).json["max_bytes"] == 1_000_000
    doctor = (await api.get("/doctor")).json
    assert doctor["healthy"]
    assert doctor["findings"][0]["topic"] == "validators"


async def test_modules_describe_every_method(api: Api) -> None:
    modules = {module["name"]: module for module in (await api.get("/modules")).json["modules"]}
    methods = {method["name"]: method for method in modules["accounts"]["methods"]}
    assert [argument["name"] for argument in methods["transfer"]["arguments"]] == [
        "to",
        "amount_micro",
        "memo",
    ]
    assert methods["mint"]["roles"] == ["operator"]
    assert methods["transfer"]["about"] == "Move money from the caller to an active member."
    assert "buy" in {method["name"] for method in modules["market"]["methods"]}


async def test_metrics_are_prometheus_text(api: Api) -> None:
    reply = await api.get("/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = reply.body.decode().splitlines()
    assert f"bitenergy_height {api.node.store.height}" in lines
    assert "# TYPE bitenergy_blocks_total counter" in lines
    assert "# TYPE bitenergy_api_connections gauge" in lines
    assert (await api.get("/api/v1/metrics")).status == 200


async def test_blocks_are_listed_from_the_newest(api: Api) -> None:
    head = api.node.store.height
    first = (await api.get("/blocks?limit=2")).json
    assert [block["height"] for block in first["blocks"]] == [head, head - 1]
    rest = (await api.get(f"/blocks?limit=100&before={first['next']}")).json
    assert [block["height"] for block in rest["blocks"]] == list(range(head - 2, -1, -1))
    assert rest["next"] is None
    assert rest["blocks"][-2]["transactions"] == 1
    assert (await api.get("/blocks?before=0")).json == {
        "blocks": [],
        "next": None,
        "base_height": 0,
    }


async def test_a_block_by_height_by_id_and_the_latest(api: Api) -> None:
    by_height = await api.get("/blocks/2?limit=1")
    block = by_height.json
    assert (block["transactions_count"], block["next"]) == (2, 1)
    assert block["transactions"][0]["calls"] == ["market.post"]
    assert block["transactions"][0]["sender_name"] == "P1"
    assert len(block["certificate"]["signatures"]) == 4
    assert (await api.get(f"/blocks/{block['id']}?limit=1")).json == block
    second = (await api.get("/blocks/2?from=1")).json
    assert [entry["index"] for entry in second["transactions"]] == [1]
    latest = await api.get("/blocks/latest")
    assert latest.json["height"] == api.node.store.height
    assert latest.headers["Cache-Control"] == "no-store"
    genesis = (await api.get("/blocks/0")).json
    assert genesis["certificate"] is None


async def test_unknown_blocks(api: Api) -> None:
    beyond = await api.get("/blocks/1000000")
    assert (beyond.status, beyond.code) == (404, "unknown_block")
    assert beyond.json["error"]["expected"] == f"0 to {api.node.store.height}"
    assert (await api.get(f"/blocks/{'ab' * 32}")).status == 404
    for bad in ("-1", "01", "1.5", "9" * 19, "9" * 30, "LATEST", "0x1", "%00", "ab" * 31):
        assert (await api.get(f"/blocks/{bad}")).code == "invalid_parameter", bad


async def test_what_is_final_carries_an_etag(api: Api) -> None:
    for path in ("/blocks/1", "/headers/1", "/genesis"):
        first = await api.get(path)
        assert "immutable" in first.headers["Cache-Control"]
        again = await api.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")
        other = await api.get(path, headers={"If-None-Match": '"other"'})
        assert other.status == 200
    assert (await api.get("/status")).headers["Cache-Control"] == "no-store"


async def test_a_header_comes_with_all_that_proves_it(api: Api) -> None:
    found = (await api.get("/headers/2")).json
    header = decode_header(base64.b64decode(found["header"]))
    assert header.block_id().hex() == found["id"]
    assert base64.b64decode(found["certificate"]) == (api.node.store.head_bytes(2) or (b"", b""))[1]
    assert found["header_fields"]["proposer_name"] == "V1"
    assert (await api.get("/headers/0")).json["certificate"] == ""
    assert (await api.get("/headers/999")).status == 404


async def test_members_by_name_and_role(api: Api) -> None:
    everybody = (await api.get("/members")).json["members"]
    names = [member["name"] for member in everybody]
    assert names == sorted(names)
    assert len(names) == 8
    page = (await api.get("/members?limit=3")).json
    assert [member["name"] for member in page["members"]] == names[:3]
    rest = (await api.get(f"/members?after={page['next']}")).json
    assert [member["name"] for member in rest["members"]] == names[3:]
    assert rest["next"] is None
    validators = (await api.get("/members?role=validator&limit=4")).json
    assert [member["name"] for member in validators["members"]] == ["V1", "V2", "V3", "V4"]
    assert (await api.get("/members?role=king")).status == 404


async def test_an_account_by_name_and_by_address(api: Api) -> None:
    account = (await api.get("/accounts/P1")).json
    address = encode_address(id_of("P1"))
    assert account["address"] == address
    assert account["key"] == key_of("P1").hex()
    assert account["energy_reserved_milli_wh"] == KWH // 2
    assert account["bus"] == "N1"
    assert account["nonce"] == account["next_nonce"]
    assert (await api.get(f"/accounts/{address}")).json == account


async def test_unknown_accounts(api: Api) -> None:
    assert (await api.get("/accounts/Nobody")).code == "unknown_account"
    mistyped = encode_address(id_of("P1"))[:-1] + "7"
    assert (await api.get(f"/accounts/{mistyped}")).code in ("invalid_address", "unknown_account")
    nobody = await api.get(f"/accounts/{encode_address(bytes(20))}")
    assert nobody.code == "unknown_account"
    assert nobody.json["error"]["actual"] == encode_address(bytes(20))
    assert (await api.get(f"/accounts/{encode_address(bytes(20))}/history")).status == 404
    for bad in ("", "a b", "x" * 33, "..%2F..%2Fetc", "%ff", "%C3%BC", "p1;drop"):
        assert (await api.get(f"/accounts/{bad}")).status in (400, 404), bad


async def test_history_tells_money_and_energy(api: Api) -> None:
    history = (await api.get("/accounts/P2/history")).json["history"]
    received = next(entry for entry in history if entry["money_micro"] == 5 * TOKEN)
    assert (received["height"], received["what"]) == (1, "accounts.transfer")
    assert received["events"][0]["fields"]["memo"] == "for <b>tea</b>"
    bought = next(entry for entry in history if entry["what"] == "market.buy")
    assert bought["energy_milli_wh"] == KWH
    assert bought["money_micro"] == -9_500_000
    failed = next(entry for entry in history if entry["code"])
    assert (failed["code"], failed["money_micro"]) == ("insufficient_money", None)
    sold = (await api.get("/accounts/P1/history?limit=1")).json["history"][0]
    assert (sold["money_micro"], sold["energy_milli_wh"]) == (9_500_000, -KWH)


async def test_history_is_paged_within_a_block(api: Api) -> None:
    whole = (await api.get("/accounts/P1/history?limit=1000")).json
    assert whole["next"] is None
    places = [(entry["height"], entry["index"]) for entry in whole["history"]]
    assert places == sorted(places, reverse=True)
    found: list[tuple[int, int]] = []
    cursor: str | None = ""
    while cursor is not None:
        query = f"?limit=1&before={cursor}" if cursor else "?limit=1"
        page = (await api.get(f"/accounts/P1/history{query}")).json
        found += [(entry["height"], entry["index"]) for entry in page["history"]]
        cursor = page["next"]
    assert found == places
    below = (await api.get("/accounts/P1/history?before=2")).json["history"]
    assert {entry["height"] for entry in below} == {1}


async def test_account_proofs_hold(api: Api) -> None:
    trusted = {"genesis": api.node.genesis.digest, "validators": trusted_validators(api)}
    found = (await api.get("/proofs/account/P1")).json
    proof = decode_account_proof(base64.b64decode(found["proof"]))
    assert validate_account_proof(proof, **trusted).height == found["height"]
    assert proof.key == account_key(id_of("P1"))
    named = decode_account_proof(base64.b64decode(found["name_proof"]))
    validate_account_proof(named, **trusted)
    assert (named.key, named.value) == (NAME_SPACE + b"P1", id_of("P1"))
    absent = (await api.get(f"/proofs/account/{encode_address(bytes(20))}")).json
    assert (absent["exists"], absent["account"], absent["name_proof"]) == (False, None, None)
    nothing = decode_account_proof(base64.b64decode(absent["proof"]))
    validate_account_proof(nothing, **trusted)
    assert nothing.value is None
    assert (await api.get("/proofs/account/Nobody")).status == 404


async def test_transaction_proofs_hold(api: Api) -> None:
    block = (await api.get("/blocks/2")).json
    for entry in block["transactions"]:
        found = (await api.get(f"/proofs/transaction/{entry['id']}")).json
        proof = decode_transaction_proof(base64.b64decode(found["proof"]))
        header = validate_transaction_proof(
            proof,
            genesis=api.node.genesis.digest,
            validators=trusted_validators(api),
        )
        assert header.height == 2
    assert (await api.get(f"/proofs/transaction/{'00' * 32}")).code == "unknown_transaction"


async def test_the_first_block_proves_nothing(fresh_api: Api) -> None:
    reply = await fresh_api.get("/proofs/account/P1")
    assert (reply.status, reply.code) == (409, "not_provable")


async def test_markets_and_offers(api: Api) -> None:
    markets = (await api.get("/markets")).json["markets"]
    assert [market["name"] for market in markets] == ["local", "feeder"]
    assert markets[0]["open_interval"] == 0
    assert markets[1]["open_interval"] * 3_600_000 > 1_700_000_000_000
    offers = (await api.get("/markets/local/offers")).json
    assert [(offer["seller_name"], offer["energy_milli_wh"]) for offer in offers["offers"]] == [
        ("P1", KWH // 2)
    ]
    assert offers["next"] is None
    assert (await api.get("/markets/local/offers?seller=P2")).json["offers"] == []
    assert (await api.get("/markets/local/offers?after=1-2-3")).status == 200
    assert (await api.get(f"/markets/local/offers?after={'9' * 19}-2-3")).status == 404
    assert (await api.get("/markets/nowhere/offers")).code == "unknown_market"


async def test_offers_are_paged(fresh_api: Api) -> None:
    node = fresh_api.node
    prices = [7, 3, 9, 5, 3]
    node.grow(
        *[
            node.transaction("P1", ("market", "post", ("local", 0, 1_000, price * TOKEN)))
            for price in prices
        ]
    )
    found: list[int] = []
    after: str | None = ""
    while after is not None:
        query = f"?limit=2&after={after}" if after else "?limit=2"
        page = (await fresh_api.get(f"/markets/local/offers{query}")).json
        found += [offer["price_micro_per_kwh"] // TOKEN for offer in page["offers"]]
        after = page["next"]
    assert found == sorted(prices)


async def test_trades_are_paged_from_the_newest(api: Api) -> None:
    whole = (await api.get("/markets/local/trades")).json
    assert whole["next"] is None
    assert [trade["penalty_micro"] for trade in whole["trades"]] == [0, 0]
    assert whole["trades"][0]["price_micro_per_kwh"] == 10 * TOKEN
    assert whole["trades"][0]["buyer_name"] == "P2"
    first = (await api.get("/markets/local/trades?limit=1")).json
    second = (await api.get(f"/markets/local/trades?limit=1&before={first['next']}")).json
    assert first["trades"] + second["trades"] == whole["trades"]
    height = whole["trades"][0]["height"]
    assert (await api.get(f"/markets/local/trades?before={height}")).json["trades"] == []
    assert (await api.get("/markets/feeder/trades")).json["trades"] == []
    assert (await api.get("/markets/nowhere/trades")).status == 404


async def test_lines_and_pairs(api: Api) -> None:
    local = (await api.get("/markets/local/lines")).json
    assert local["pairs"][0]["used_milli_wh"] == KWH
    feeder = (await api.get("/markets/feeder/lines?interval=500000")).json
    assert [line["limit_milli_wh"] for line in feeder["lines"]] == [5 * KWH, 3 * KWH]
    assert feeder["lines"][1]["owner_name"] == "V1"
    assert feeder["lines"][0]["owner"] is None
    assert (await api.get("/markets/feeder/lines")).json["interval"] > 0
    assert (await api.get("/markets/nowhere/lines")).status == 404


async def test_searches_that_run_out_of_time_go_on_where_they_stopped(node: FakeNode) -> None:
    async for api in serve(node, limits=ApiLimits(search_ms=0)):
        for path, field in (
            ("/blocks?limit=50", "blocks"),
            ("/members?limit=50", "members"),
            ("/accounts/P1/history?limit=50", "history"),
            ("/markets/local/trades?limit=50", "trades"),
        ):
            cursor = "after" if field == "members" else "before"
            found: list[object] = []
            page = (await api.get(path)).json
            pages = 1
            while page["next"] is not None:
                found += page[field]
                page = (await api.get(f"{path}&{cursor}={page['next']}")).json
                pages += 1
                assert pages < 50
            found += page[field]
            assert pages > 1
            async for patient in serve(node):
                assert (await patient.get(path)).json[field] == found


async def test_quiet_blocks_cost_a_search_next_to_nothing(
    fresh_node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A slice that a busy machine does not cut short: what counts is that one is enough.
    monkeypatch.setattr("node.api.chain_reader.SLICE_MS", 60_000)
    fresh_node.trade()
    for _ in range(300):
        fresh_node.grow()
    hurried = ApiLimits(search_ms=0)
    async for api in serve(fresh_node, limits=hurried):
        newest = (await api.get("/transactions?limit=1")).json
        assert [each["height"] for each in newest["transactions"]] == [2]
        trades = (await api.get("/markets/local/trades")).json
        assert {each["height"] for each in trades["trades"]} == {2}
        # The other market has no trade in any block, which one look at the receipts tells.
        other = (await api.get("/markets/feeder/trades")).json
        assert (other["trades"], other["next"]) == ([], None)
        # Nothing came to the buyer by itself, which needs no look at its transactions.
        unasked = (await api.get("/accounts/P2/unasked")).json
        assert (unasked["unasked"], unasked["next"]) == ([], None)


async def test_few_search_at_a_time(node: FakeNode) -> None:
    limits = ApiLimits(max_searches=1, max_searches_waiting=2)
    async for api in serve(node, limits=limits):
        turns = api.server._turns
        await turns.acquire()
        waiting = [asyncio.create_task(api.get("/blocks")) for _ in range(3)]
        done, _ = await asyncio.wait(waiting, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        refused = done.pop().result()
        assert (refused.status, refused.code) == (503, "busy")
        assert refused.headers["Retry-After"] == "1"
        assert (await api.get("/status")).status == 200
        turns.release()
        assert sorted([(await task).status for task in waiting]) == [200, 200, 503]


async def test_proposals_with_who_votes_and_how(api: Api) -> None:
    empty = (await api.get("/proposals")).json
    assert empty["proposals"] == [] and empty["next"] is None
    assert empty["engine"] == {"name": "poa", "parameters": {}}
    assert empty["module_versions"]["market"] == 1
    assert empty["settings"]["voters"] == {"operator": 1}
    assert empty["settings"]["eligible"] == 2
    values = (("penalty_price_micro_per_kwh", 7),)
    node, arguments = api.node, ("market", "local", values, 500, "less for the lines")
    proposing = node.transaction("Op", ("governance", "propose_parameters", arguments))
    node.grow(proposing, node.transaction("Op2", ("governance", "vote", (1, "no"))))
    node.grow(*(node.transaction("Op", ("governance", "vote", (1, "yes"))) for _ in range(2)))
    shown = (await api.get("/proposals/1")).json
    assert (shown["status"], shown["kind"], shown["name"]) == ("voting", "parameters", "market")
    assert shown["values"] == {"penalty_price_micro_per_kwh": 7}
    assert (shown["proposer_name"], shown["height"], shown["votes"]) == ("Op", 500, 2)
    assert shown["tally"] == {"yes": 1, "no": 1, "abstain": 0}
    assert [(b["account_name"], b["choice"]) for b in shown["ballots"]] == [
        ("Op2", "no"),
        ("Op", "yes"),
    ]
    assert [p["number"] for p in (await api.get("/proposals")).json["proposals"]] == [1]
    assert (await api.get("/proposals?before=1")).json["proposals"] == []
    assert (await api.get("/proposals/2")).status == 404
    call = (await api.get(f"/transactions/{proposing.id.hex()}")).json["transaction"]["calls"][0]
    assert call["arguments"]["values"] == [["penalty_price_micro_per_kwh", 7]]


async def test_a_block_as_bytes(api: Api) -> None:
    api.node.trade()
    found = (await api.get("/blocks/2/bytes")).json
    header = decode_header(base64.b64decode(found["header"]))
    assert header == head_of(api, 2).header
    assert base64.b64decode(found["body"]) == api.node.store.body_bytes(2)
    assert (await api.get("/blocks/99/bytes")).status == 404


async def test_what_was_pruned_is_said_to_be_pruned(fresh_node: FakeNode) -> None:
    store = fresh_node.store
    for _ in range(4):
        fresh_node.grow(
            fresh_node.transaction("P1", ("accounts", "transfer", (id_of("P2"), 1, "")))
        )
    body, head = store.body(1), store.head(1)
    assert body is not None and head is not None
    gone = decode_transaction(body.transactions[0]).id
    keys = [BODY, RECEIPTS, HEAD]
    store.drop([key + height_bytes(1) for key in keys] + [TRANSACTION + gone], 2)
    store.show_base(2)
    async for api in serve(fresh_node):
        assert (await api.get("/status")).json["base_height"] == 2
        for path in ("/blocks/1", "/headers/1", "/blocks/0", "/blocks/1/bytes"):
            answer = await api.get(path)
            assert answer.status == 410
            assert answer.json["error"]["code"] == "pruned"
            assert "pruned below height 2" in answer.json["error"]["message"]
        missing = await api.get(f"/transactions/{gone.hex()}")
        assert missing.status == 404
        assert "Pruned below height 2" in missing.json["error"]["hint"]
        shown = (await api.get("/blocks")).json
        assert [block["height"] for block in shown["blocks"]] == [4, 3, 2]
        assert (shown["next"], shown["base_height"]) == (None, 2)
        assert (await api.get("/blocks/2")).json["height"] == 2
