"""The browser's bytes: codec, addresses, signatures and proofs by the vectors that Python keeps."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

from market.auction import rounds
from market.auction.orders import SIDE_NAMES
from market.day import orders
from node.ledger.transaction import sign_transaction
from tests.browser.conftest import Visit
from vm.primitives.address import account_id, encode_address
from vm.primitives.signatures import public_key

VECTORS = Path(__file__).resolve().parents[1] / "vectors"


def load(name: str) -> dict[str, list[dict[str, dict[str, str]]]]:
    found = json.loads((VECTORS / f"{name}.json").read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def run(page: Page, code: str, value: object) -> object:
    """Run an async function body with `value` and the modules of the wallet."""
    return page.evaluate(
        "async (value) => { const codec = await import('/core/codec.js');"
        " const crypto = await import('/core/crypto.js');"
        " const proof = await import('/core/proof.js');"
        " const sealed = await import('/core/sealed.js');"
        " const { signTransaction } = await import('/core/transaction.js');" + code + "}",
        value,
    )


def test_codec(visit: Visit) -> None:
    page, vectors = visit.go("/verify"), load("codec")
    decode_all = (
        "return value.map((bytes) => { try {"
        " return codec.toHex(codec.encode(codec.decode(codec.fromHex(bytes)))); }"
        " catch { return null; } });"
    )
    accepted = [vector["input"]["bytes"] for vector in vectors["accepted"]]
    assert run(page, decode_all, accepted) == accepted
    refused = [v["input"]["bytes"] for v in vectors["refused"] if list(v["input"]) == ["bytes"]]
    assert run(page, decode_all, refused) == [None] * len(refused)


def test_addresses(visit: Visit) -> None:
    page, vectors = visit.go("/verify"), load("addresses")
    keyed = [vector for vector in vectors["accepted"] if "key" in vector["input"]]
    found = run(
        page,
        "return Promise.all(value.map(async (key) =>"
        " crypto.addressOf(await crypto.accountOf(codec.fromHex(key)))));",
        [vector["input"]["key"] for vector in keyed],
    )
    assert found == [vector["output"]["address"] for vector in keyed]
    wrong = [v["input"]["address"] for v in vectors["refused"] if "address" in v["input"]]
    verdicts = run(
        page,
        "return Promise.all(value.map((address) =>"
        " crypto.accountOfAddress(address).then(() => true, () => false)));",
        wrong,
    )
    assert verdicts == [False] * len(wrong)


def test_proofs(visit: Visit) -> None:
    page, vectors = visit.go("/verify"), load("proofs")
    code = (
        "return Promise.all(value.map(async ({bytes, genesis, validators}) =>"
        " (await proof.verifyProof(codec.fromHex(bytes), { genesis: codec.fromHex(genesis),"
        " validators: codec.fromHex(validators), height: 1, blockId: null }, () => {})).holds));"
    )
    for kind, verdict in (("accepted", True), ("refused", False)):
        inputs = [v["input"] for v in vectors[kind] if v["input"].get("form") != "header"]
        assert inputs
        found = run(page, code, inputs)
        assert found == [verdict] * len(inputs), kind


def test_signatures_equal_pythons(visit: Visit) -> None:
    page = visit.go("/verify")

    @settings(max_examples=25)
    @given(
        st.binary(min_size=32, max_size=32),
        st.integers(0, 2**63 - 1),
        st.text(max_size=30).filter(lambda text: text.isprintable()),
    )
    def signs_alike(seed: bytes, amount: int, memo: str) -> None:
        key = public_key(seed)
        to = account_id(key)
        wanted = sign_transaction(
            seed,
            genesis=bytes(32),
            sender=to,
            key=key,
            nonce=amount,
            gas_limit=2_000_000,
            max_fee_micro=amount,
            expiry_height=1_000,
            calls=(("accounts", "transfer", (to, amount, memo)),),
        )
        found = run(
            page,
            "const key = await crypto.keyOf(codec.fromHex(value.seed));"
            "const account = await crypto.accountOf(key.publicKey);"
            "const amount = BigInt(value.amount);"
            "const made = await signTransaction(key.signing, { genesis: new Uint8Array(32),"
            " sender: account, key: key.publicKey, nonce: amount, gasLimit: 2000000,"
            " maxFeeMicro: amount, expiryHeight: 1000,"
            " calls: [['accounts', 'transfer', [account, amount, value.memo]]] });"
            "const address = await crypto.addressOf(account);"
            "return [codec.toHex(made.raw), codec.toHex(made.id), address];",
            {"seed": seed.hex(), "amount": str(amount), "memo": memo},
        )
        assert found == [wanted.raw.hex(), wanted.id.hex(), encode_address(to)]

    signs_alike()


AMOUNTS = st.integers(0, 2**63 - 1)


def test_commitments_equal_pythons(visit: Visit) -> None:
    page = visit.go("/verify")

    @settings(max_examples=25)
    @given(
        st.from_regex(r"[A-Za-z0-9._-]{1,32}", fullmatch=True),
        AMOUNTS,
        st.binary(min_size=20, max_size=20),
        st.sampled_from(SIDE_NAMES),
        st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=20),
        st.integers(0, 255),
        st.binary(min_size=32, max_size=32),
    )
    def commits_alike(
        name: str,
        interval: int,
        account: bytes,
        side: str,
        steps: list[tuple[int, int]],
        last_gate: int,
        salt: bytes,
    ) -> None:
        place = SIDE_NAMES.index(side)
        wanted = [
            orders.commitment_of(name, interval, account, place, steps, last_gate, salt),
            rounds.commitment_of(name, interval, account, place, steps, salt),
        ]
        found = run(
            page,
            "const order = { name: value.name, interval: BigInt(value.interval), side: value.side,"
            " pairs: value.steps.map((pair) => pair.map(BigInt)),"
            " lastGate: BigInt(value.gate), salt: codec.fromHex(value.salt) };"
            "const account = codec.fromHex(value.account);"
            "return Promise.all(['day', 'auction'].map(async (module) =>"
            " codec.toHex(await sealed.commitmentOf({ ...order, module }, account))));",
            {
                "name": name,
                "interval": str(interval),
                "account": account.hex(),
                "side": side,
                "steps": [[str(energy), str(price)] for energy, price in steps],
                "gate": last_gate,
                "salt": salt.hex(),
            },
        )
        assert found == [commitment.hex() for commitment in wanted]

    commits_alike()
