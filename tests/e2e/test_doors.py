"""Bad input at the doors of a running network: refused, the node stays up, the state unchanged."""

from __future__ import annotations

import base64
import contextlib
import json
import struct
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPConnection
from random import Random

import pytest

from consensus.messages import Vote, VoteKind
from node.keyfile import load_key
from node.ledger.certificate import encode_vote
from node.ledger.transaction import Transaction
from node.p2p.certificates import NodeCertificate, make_certificate
from node.p2p.framing import TRANSPORT_KINDS
from node.wire import BLOCKS, GET_BLOCK, KINDS
from tests.e2e.nodes import Nodes, local_network
from tests.e2e.speaking import converse, frame, hello_of, is_hung_up
from tests.e2e.support import (
    KWH,
    MARKET,
    TOKEN,
    Member,
    genesis_template,
    is_alive,
    make_member,
    send_raw,
    until,
)
from tools.calls import buy, post_offer, transfer
from vm.primitives.codec import encode
from vm.primitives.signatures import public_key
from vm.runtime import Call

SMALL_ORDER_KEY = bytes.fromhex("01" + 31 * "00")
NON_CANONICAL_KEY = bytes.fromhex("ee" + 30 * "ff" + "7f")
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
NAMES = ("seller", "buyer", "poor", "stranger", "gone")


@pytest.fixture(scope="module")
def members() -> dict[str, Member]:
    return {name: make_member(name) for name in NAMES}


@pytest.fixture(scope="module")
def speakers() -> list[NodeCertificate]:
    """The nodes of members who run none: we speak for them, until each is banned for a while."""
    return [make_certificate(b"a speaker's node" + bytes([number]) * 16) for number in range(60)]


@pytest.fixture(scope="module")
def nodes(
    tmp_path_factory: pytest.TempPathFactory,
    members: dict[str, Member],
    speakers: list[NodeCertificate],
    free_port: Callable[[], int],
) -> Iterator[Nodes]:
    """Four validators, a standing offer of `seller`, and a member with a node key."""
    template = genesis_template([members[name] for name in ("seller", "buyer", "gone")])
    entries = template["members"]
    assert isinstance(entries, list)
    entries.append(
        {"name": "poor", "roles": ["prosumer", "consumer"], "key": members["poor"].key.hex()}
    )
    entries += [
        {
            "name": f"speaker.{number}",
            "roles": ["consumer"],
            "key": make_member(f"speaker.{number}").key.hex(),
            "node_key": speaker.node_key.hex(),
            "node_proof": speaker.proof.hex(),
        }
        for number, speaker in enumerate(speakers)
    ]
    folder = tmp_path_factory.mktemp("doors") / "net"
    with local_network(folder, template, free_port) as found:
        found.start_connected()
        seller = members["seller"]
        for price in (9, 10):
            call = post_offer(MARKET, 0, 5 * KWH, price * TOKEN)
            found.accept("V1", seller.sign(found.network.genesis, call))
        found.until_equal()
        yield found
        found.assert_no_fault()


@pytest.fixture(autouse=True)
def unchanged(nodes: Nodes, members: dict[str, Member]) -> Iterator[None]:
    """Hold every test here to it: all nodes stay up, agree and still trade; no wealth moved."""
    watched = [members[name] for name in ("seller", "buyer", "poor", "gone")]
    processes = {name: process.pid for name, process in nodes.processes.items()}
    before = _wealth(nodes, watched)
    yield
    assert all(is_alive(pid) for pid in processes.values())
    assert len(processes) == 4
    nodes.until_equal()
    assert _wealth(nodes, watched) == before
    seller = members["seller"]
    seller.nonce = int(str(nodes.client("V1").account("seller")["nonce"]))
    offer = post_offer(MARKET, 0, KWH, 99 * TOKEN)
    posted = seller.sign(nodes.network.genesis, offer)
    nodes.accept("V2", posted)
    nodes.until_final("V2", posted.id.hex())
    nodes.until_equal()
    receipt = nodes.client("V2").get(f"/transactions/{posted.id.hex()}")["receipt"]
    assert isinstance(receipt, dict)
    number = receipt["values"][0]
    withdrawn = seller.sign(nodes.network.genesis, ("market", "withdraw", (MARKET, number)))
    nodes.accept("V3", withdrawn)
    nodes.until_final("V3", withdrawn.id.hex())
    nodes.until_equal()


def _wealth(nodes: Nodes, members: list[Member]) -> list[object]:
    fields = ("money_micro", "money_reserved_micro", "energy_milli_wh", "energy_reserved_milli_wh")
    accounts = nodes.accounts("V4", members)
    book = nodes.client("V4").get(f"/markets/{MARKET}/offers")["offers"]
    return [[account[field] for field in fields] for account in accounts.values()] + [book]


# --- bytes ---------------------------------------------------------------------------------------


def hostile_bytes(random: Random) -> list[bytes]:
    """Return what no protocol begins with, and what several begin with."""
    hello = bytes.fromhex("16030100f8010000f40303")
    post_head = (
        b"POST /api/v1/transactions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Type: application/json\r\n"
    )
    return [
        b"",
        b"\0",
        b"\xff" * 65_536,
        random.randbytes(10),
        random.randbytes(20_000),
        hello,
        hello + random.randbytes(300),
        bytes.fromhex("160301ffff") + random.randbytes(70_000),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /api/v1/transactions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        post_head + b"Content-Length: 99999999999\r\n\r\n{",
        post_head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"GET /api/v1/status HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" + random.randbytes(5_000),
        struct.pack(">I", 2**32 - 1) + b"\x10" + b"\x91" * 5_000,
        struct.pack(">I", 0) * 1_000,
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff" * 100,
    ]


@pytest.mark.parametrize("door", ["p2p", "api"])
def test_bytes_of_every_kind_at_an_open_port(nodes: Nodes, door: str) -> None:
    node = nodes.node("V1")
    port = node.p2p_port if door == "p2p" else node.api_port
    for data in hostile_bytes(Random(2)):
        with contextlib.suppress(ConnectionError):
            answer = send_raw(port, data, wait_s=0.5)
            if door == "p2p":
                assert nodes.network.genesis not in answer
    assert nodes.status("V1") is not None


def post(
    nodes: Nodes, body: bytes, kind: str = "application/json"
) -> tuple[int, dict[str, object]]:
    """Send a body to V1's transactions; return HTTP status and answer."""
    connection = HTTPConnection("127.0.0.1", nodes.node("V1").api_port, timeout=20)
    try:
        connection.request("POST", "/api/v1/transactions", body, {"Content-Type": kind})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_bodies_that_are_no_batch(nodes: Nodes) -> None:
    bodies = [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"transactions": 1}',
        b'{"transactions": ["AA=="], "transactions": []}',
        b'{"transactions": [[["AA=="]]]}',
        b'{"transactions": ' + b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"transactions": [' + b"1e999," * 100 + b"1]}",
        json.dumps({"transactions": ["AA=="] * 1_001}).encode(),
        b'{"transactions": ["' + b"A" * 4_194_304 + b'"]}',
    ]
    for body in bodies:
        try:
            status, answer = post(nodes, body)
        except ConnectionError:
            assert len(body) > 4_000_000, "only what is too long may be cut off"
            continue
        refused = 400 <= status < 500
        results = answer.get("results", [])
        assert isinstance(results, list)
        assert refused or not any(each["accepted"] for each in results), body[:60]
        if refused:
            error = answer["error"]
            assert isinstance(error, dict)
            assert error["code"] and error["message"], body[:60]
    assert post(nodes, b'{"transactions": []}', "text/plain")[0] == 415


def test_transactions_that_are_no_transactions(nodes: Nodes, members: dict[str, Member]) -> None:
    random = Random(3)
    good = members["buyer"].sign(
        nodes.network.genesis, transfer(members["seller"].account, 1), nonce=0
    )
    raws = [b"", b"\xc0", b"\x9b" * 11, good.raw + b"\0", b"\x91" * 5_000, encode([1, 1])]
    raws += [good.raw[:length] for length in range(0, len(good.raw), 7)]
    for place in range(0, len(good.raw), 3):  # one bit of it, everywhere
        flipped = bytes([good.raw[place] ^ (1 << random.randrange(8))])
        raws.append(good.raw[:place] + flipped + good.raw[place + 1 :])
    # The same numbers in a longer encoding: another transaction id for the same transaction.
    raws.append(good.raw.replace(b"\x9b\x01\x01", b"\xdc\x00\x0b\x01\x01", 1))
    raws.append(good.raw.replace(b"\x9b\x01\x01", b"\x9b\xcc\x01\x01", 1))
    raws.append(good.raw + b"\xc1" * 20_000)
    for start in range(0, len(raws), 500):
        batch = [base64.b64encode(raw).decode() for raw in raws[start : start + 500]]
        status, answer = post(nodes, json.dumps({"transactions": batch}).encode())
        assert status == 200
        results = answer["results"]
        assert isinstance(results, list)
        assert len(results) == len(batch)
        for result in results:
            assert not result["accepted"], result
            assert result["code"] and result["message"]


def may_speak(nodes: Nodes, speaker: NodeCertificate) -> None:
    """Wait until a member gets in, and stays in as long as it says nothing wrong."""
    until(
        lambda: converse(nodes, speaker, b"") is False,
        "the member gets in",
        deadline_s=20,
        pause_s=0.2,
    )


def until_heard(nodes: Nodes, speaker: NodeCertificate, data: bytes) -> bool:
    """Say hello and then something, once the node lets us; tell whether it hung up then."""
    heard: list[bool] = []

    def said() -> bool:
        found = converse(nodes, speaker, data)
        if found is not None:
            heard.append(found)
        return found is not None

    until(said, "a place for the speaker", deadline_s=20, pause_s=0.1)
    return heard[0]


def test_a_member_that_sends_nonsense_is_dropped(
    nodes: Nodes, speakers: list[NodeCertificate]
) -> None:
    random = Random(4)
    may_speak(nodes, speakers[0])
    cases = [struct.pack(">I", 2**32 - 1) + b"\x17", random.randbytes(2_000)]
    for number in [kind.number for kind in (*TRANSPORT_KINDS, *KINDS)] + [5, 200, 255]:
        for payload in (b"\x91" * 60, random.randbytes(33), b"\xdd\xff\xff\xff\xff"):
            cases.append(frame(number, payload))
    stayed = []
    for place, data in enumerate(cases):
        speaker = speakers[place % len(speakers)]
        if not until_heard(nodes, speaker, data):
            stayed.append(data[4])
    # A block that is not here, and blocks that nobody asked for, are passed over unread.
    assert set(stayed) <= {GET_BLOCK, BLOCKS}, stayed


def test_hellos_of_others(nodes: Nodes, speakers: list[NodeCertificate]) -> None:
    for speaker, hello in (
        (speakers[-1], hello_of(b"\0" * 32)),
        (speakers[-2], hello_of(nodes.network.genesis, 999)),
        (speakers[-3], frame(16, b"")),
        (speakers[-4], frame(0, b"\x91" * 100)),
    ):
        until(partial(is_hung_up, nodes, speaker, hello), "it hangs up", pause_s=0.2)


def test_a_node_that_is_no_member_gets_nothing(
    nodes: Nodes, speakers: list[NodeCertificate]
) -> None:
    stranger = make_certificate(b"a stranger's node".ljust(32, b"."))
    for _ in range(3):
        assert converse(nodes, stranger, b"") is None, "not even a hello comes back"
    may_speak(nodes, speakers[-5])
    until(lambda: nodes.peers("V1") == 3, "only validators are peers", deadline_s=15)


# --- transactions --------------------------------------------------------------------------------


def refused(nodes: Nodes, transaction: Transaction | bytes) -> str:
    """Send a transaction that the node must not take; return the code."""
    raw = transaction if isinstance(transaction, bytes) else transaction.raw
    [result] = nodes.client("V1").submit([raw])
    assert result["accepted"] is False, result
    assert result["message"], result
    return str(result["code"])


def test_transactions_that_never_enter(nodes: Nodes, members: dict[str, Member]) -> None:
    genesis = nodes.network.genesis
    buyer, call = members["buyer"], transfer(members["seller"].account, 1)
    buyer.nonce = int(str(nodes.client("V1").account("buyer")["nonce"]))
    root = nodes.until_equal()
    now: dict[str, object] = {"nonce": buyer.nonce}
    signed = buyer.sign(genesis, call, **now)
    raw = signed.raw
    scalar = int.from_bytes(raw[-32:], "little") + GROUP_ORDER
    codes = {
        "wrong network": refused(nodes, buyer.sign(b"\7" * 32, call, **now)),
        "far nonce": refused(nodes, buyer.sign(genesis, call, nonce=buyer.nonce + 100_000)),
        "bad signature": refused(nodes, raw[:-64] + bytes(64)),
        "S + L": refused(nodes, raw[:-32] + scalar.to_bytes(32, "little")),
        "other key": refused(nodes, members["seller"].sign(
            genesis, call, nonce=buyer.nonce, sender=buyer.account)),
        "small key": refused(nodes, buyer.sign(genesis, call, key=SMALL_ORDER_KEY, **now)),
        "odd key": refused(nodes, buyer.sign(genesis, call, key=NON_CANONICAL_KEY, **now)),
        "stranger": refused(nodes, members["stranger"].sign(genesis, call, nonce=0)),
        "expired": refused(nodes, buyer.sign(genesis, call, expiry_height=0, **now)),
        "far expiry": refused(nodes, buyer.sign(genesis, call, expiry_height=2**62, **now)),
        "gas": refused(nodes, buyer.sign(genesis, call, gas_limit=2**62, **now)),
        "no gas": refused(nodes, buyer.sign(genesis, call, gas_limit=0, **now)),
    }  # fmt: skip
    assert all(codes.values()), codes
    assert "signature" in codes["bad signature"]
    assert nodes.until_equal() == root, "none of them is in a block"
    for name, to in (("gone", "seller"), ("seller", "gone")):  # there and back
        sender = members[name]
        sender.nonce = int(str(nodes.client("V1").account(name)["nonce"]))
        moved = sender.sign(genesis, transfer(members[to].account, 1))
        nodes.accept("V1", moved)
        nodes.until_final("V1", moved.id.hex())
        used = sender.sign(genesis, call, nonce=sender.nonce - 1)
        assert "nonce" in refused(nodes, used)
        assert refused(nodes, moved), "the same once more"


CALLS: dict[str, tuple[str, Call, str]] = {
    "more money": ("poor", ("accounts", "transfer", (b"S", 1, "")), "money"),
    "zero": ("buyer", ("accounts", "transfer", (b"S", 0, "")), ""),
    "negative": ("buyer", ("accounts", "transfer", (b"S", -1, "")), ""),
    "overflow": ("buyer", ("accounts", "transfer", (b"S", 2**63 - 1, "")), "money"),
    "beyond": ("buyer", ("accounts", "transfer", (b"S", 2**64 - 1, "")), ""),
    "to nobody": ("buyer", ("accounts", "transfer", (bytes(20), 1, "")), ""),
    "energy": ("poor", ("accounts", "transfer_energy", (b"S", 1)), "energy"),
    "text": ("buyer", ("accounts", "transfer", ("S", "1", "")), ""),
    "too few": ("buyer", ("accounts", "transfer", ()), ""),
    "no module": ("buyer", ("nothing", "transfer", ()), ""),
    "no method": ("buyer", ("accounts", "mint", (b"S", 1)), ""),
    "hook": ("buyer", ("accounts", "begin_block", ()), ""),
    "private": ("buyer", ("accounts", "__init__", ()), ""),
    "post more": ("poor", post_offer(MARKET, 0, KWH, TOKEN), "energy"),
    "post zero": ("seller", ("market", "post", (MARKET, 0, 0, TOKEN)), ""),
    "post negative": ("seller", ("market", "post", (MARKET, 0, -KWH, TOKEN)), ""),
    "price negative": ("seller", ("market", "post", (MARKET, 0, KWH, -1)), ""),
    "price overflow": ("seller", ("market", "post", (MARKET, 0, KWH, 2**63 - 1)), ""),
    "other interval": ("seller", ("market", "post", (MARKET, 7, KWH, TOKEN)), ""),
    "other market": ("seller", ("market", "post", ("moon", 0, KWH, TOKEN)), ""),
    "own offers": ("seller", buy(MARKET, 0, KWH, 20 * TOKEN), "own"),
    "buy more": ("buyer", buy(MARKET, 0, 900 * KWH, 20 * TOKEN), ""),
    "buy poor": ("poor", buy(MARKET, 0, KWH, 20 * TOKEN), "money"),
    "buy zero": ("buyer", ("market", "buy", (MARKET, 0, 0, 20 * TOKEN, False)), ""),
    "buy negative": ("buyer", ("market", "buy", (MARKET, 0, -1, 20 * TOKEN, False)), ""),
    "buy overflow": ("buyer", ("market", "buy", (MARKET, 0, 2**63 - 1, 2**63 - 1, True)), ""),
    "not the seller's": ("buyer", ("market", "withdraw", (MARKET, 1)), ""),
    "wrong role": ("buyer", ("members", "suspend", (b"S",)), ""),
    "parameters": ("buyer", ("market", "set_policy", (MARKET, 0, 0, "seller")), ""),
}


def test_calls_that_fail_change_nothing(nodes: Nodes, members: dict[str, Member]) -> None:
    genesis = nodes.network.genesis
    sent: dict[str, str] = {}
    for name in ("buyer", "seller", "poor"):
        members[name].nonce = int(str(nodes.client("V1").account(name)["nonce"]))
    for title, (name, (module, method, arguments), _) in CALLS.items():
        filled = tuple(members["seller"].account if value == b"S" else value for value in arguments)
        if title == "buy overflow":  # as much as there is would be bought: cheapest 0 allowed
            filled = (MARKET, 0, 2**63 - 1, 0, True)
        member = members[name]
        if any(isinstance(value, int) and value >= 2**63 for value in filled):
            continue  # has no canonical form as a transaction of this version, or is refused
        transaction = member.sign(genesis, (module, method, filled))
        [result] = nodes.submit("V1", [transaction])
        if result["accepted"]:
            sent[title] = transaction.id.hex()
        else:
            member.nonce -= 1
            assert result["code"], title
    # All or nothing: what came before the call that fails is undone with it.
    both = members["buyer"].sign(
        genesis, transfer(members["seller"].account, TOKEN), ("accounts", "nothing", ())
    )
    [result] = nodes.submit("V1", [both])
    if result["accepted"]:
        sent["both"] = both.id.hex()
    for title, transaction_id in sent.items():
        nodes.until_final("V3", transaction_id)
        receipt = nodes.client("V3").get(f"/transactions/{transaction_id}")["receipt"]
        assert isinstance(receipt, dict)
        assert receipt["code"], f"{title} was done"
        assert receipt["message"], title
        words = CALLS[title][2] if title in CALLS else ""
        assert words in receipt["code"] + receipt["message"], (title, receipt)
    assert len(sent) > 15, sorted(sent)


def test_a_suspended_member_and_a_vote_as_transaction(
    nodes: Nodes, members: dict[str, Member]
) -> None:
    vote = Vote(VoteKind.PREVOTE, 1, 0, bytes(32), 0, bytes(64))
    assert refused(nodes, encode_vote(vote))
    home = nodes.network.home / "keys" / "operator.json"
    operator = Member("operator", load_key(home, purpose="account"))
    operator.nonce = int(str(nodes.client("V1").account("operator")["nonce"]))
    gone = members["gone"]
    for method in ("suspend", "reinstate"):
        change = operator.sign(nodes.network.genesis, ("members", method, (gone.account,)))
        nodes.accept("V1", change)
        nodes.until_final("V1", change.id.hex())
        if method == "suspend":
            gone.nonce = int(str(nodes.client("V1").account("gone")["nonce"]))
            call = transfer(members["seller"].account, 1)
            assert refused(nodes, gone.sign(nodes.network.genesis, call, nonce=gone.nonce))
    assert public_key(operator.seed) == operator.key
