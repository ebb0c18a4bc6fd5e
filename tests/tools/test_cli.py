"""The command line against a pretended node: exit statuses, JSON, and what gets signed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest

from node.keyfile import save_plain_key
from node.keyfile_format import DerivationCost
from tests.tools.fake_node import GENESIS, FakeNode, fake_node
from tools import wallet as wallet_module
from tools.cli import run
from tools.errors import EXIT_FAILED, EXIT_USAGE
from vm.primitives.address import encode_address
from vm.primitives.signatures import public_key

Run = Callable[..., tuple[int, str, str]]
CHEAP = DerivationCost(opslimit=1, memlimit_bytes=8192)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("BITENERGY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BITENERGY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(wallet_module.Wallet.__init__, "__kwdefaults__", {"cost": CHEAP})


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    with fake_node() as fake:
        monkeypatch.setenv("BITENERGY_NODE", fake.url)
        yield fake


@pytest.fixture
def bitenergy(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        status = run(arguments)
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


@pytest.fixture
def me(node: FakeNode, tmp_path: Path) -> bytes:
    """A member with a plain key in the wallet, so that no password is asked."""
    folder = tmp_path / "home" / "keys"
    folder.mkdir(parents=True)
    found = save_plain_key(folder / "me.json", bytes(range(32)), purpose="account")
    node.admit("me", found.account, found.public_key)
    node.admit("P1", b"p" * 20)
    return found.account


def only_call(node: FakeNode) -> tuple[str, str, tuple[object, ...]]:
    [transaction] = node.received
    [call] = transaction.calls
    return call


@pytest.mark.parametrize(
    "command",
    [
        *("wallet create", "wallet import", "wallet list", "wallet balance", "wallet history"),
        *("wallet transfer", "offer post", "offer update", "offer withdraw", "offer list", "buy"),
        *("market book", "market trades", "market lines", "member add", "member list"),
        *("member suspend", "member reinstate", "member remove", "member rotate", "tx show"),
        *("block show", "proof account", "init", "node run", "node status", "node doctor"),
        *("node keys", "testnet init", "testnet up", "testnet down", "testnet status"),
        *("testnet logs", "demo", "bench chain"),
    ],
)
def test_every_command_of_the_issue_has_its_help(bitenergy: Run, command: str) -> None:
    status, out, _ = bitenergy(*command.split(), "--help")
    assert status == 0
    assert f"bitenergy {command}" in out


def test_help_imports_no_heavy_package() -> None:
    code = (
        "import sys; from tools.cli import run; run(['--help']);"
        "print([n for n in ('rich', 'aiohttp', 'numpy', 'nacl', 'cryptography', 'http.client')"
        " if n in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"


def test_wrong_usage_has_status_2(bitenergy: Run) -> None:
    assert bitenergy("wallet", "transfer")[0] == 2
    assert bitenergy("fly")[0] == 2
    assert bitenergy()[0] == 2
    status, _, err = bitenergy("offer", "post", "--energy", "6", "--price", "9.82")
    assert status == 2
    assert "6kWh" in err


def test_an_unreachable_node_has_status_3_and_json_if_asked(bitenergy: Run) -> None:
    there = ("--node", "http://127.0.0.1:1")
    status, _, err = bitenergy(*there, "node", "status")
    assert status == 3
    assert "bitenergy node run" in err
    status, out, err = bitenergy(*there, "node", "status", "--json")
    assert status == 3
    assert json.loads(out)["error"]["code"] == "node_unreachable"
    assert err == ""


def test_a_transaction_that_is_not_final_in_time_has_status_4(
    bitenergy: Run, node: FakeNode, me: bytes
) -> None:
    node.final = False
    status, _, err = bitenergy("--timeout", "0.1", "wallet", "transfer", "P1", "1")
    assert status == 4
    assert "tx show" in err


def test_wallet_create_list_and_import(
    bitenergy: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BITENERGY_PASSWORD", "secret")
    status, out, _ = bitenergy("wallet", "create", "P1", "--json")
    made = json.loads(out)
    assert status == 0
    assert made["name"] == "P1"
    assert bitenergy("wallet", "create", "P1")[0] == 1
    seed = tmp_path / "seed"
    seed.write_text("11" * 32 + "\n")
    assert bitenergy("wallet", "import", "P2", str(seed))[0] == 1
    seed.chmod(0o600)
    status, out, _ = bitenergy("wallet", "import", "P2", str(seed), "--json")
    assert json.loads(out)["public_key"] == public_key(b"\x11" * 32).hex()
    copy = str(tmp_path / "home" / "keys" / "P1.json")
    status, out, _ = bitenergy("wallet", "import", "P1copy", copy, "--json")
    assert json.loads(out)["address"] == made["address"]
    keys = json.loads(bitenergy("wallet", "list", "--json")[1])["keys"]
    assert [key["name"] for key in keys] == ["P1", "P1copy", "P2"]
    assert all(key["encrypted"] for key in keys)
    assert made["address"] in bitenergy("wallet", "list")[1]


def test_password_files_must_be_private(bitenergy: Run, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    status, _, err = bitenergy("--password-file", str(file), "wallet", "create", "P1")
    assert status == 1
    assert "chmod 600" in err
    file.chmod(0o600)
    assert bitenergy("--password-file", str(file), "wallet", "create", "P1")[0] == 0


def test_without_anybody_to_ask_the_password_is_a_clear_error(bitenergy: Run) -> None:
    status, _, err = bitenergy("wallet", "create", "P1")
    assert status == 1
    assert "--password-file" in err


def test_a_wrong_password_is_a_clear_error(
    bitenergy: Run, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.admit("P2", b"q" * 20)
    monkeypatch.setenv("BITENERGY_PASSWORD", "secret")
    bitenergy("wallet", "create", "P1")
    monkeypatch.setenv("BITENERGY_PASSWORD", "guess")
    status, _, err = bitenergy("wallet", "transfer", "P2", "1")
    assert status == 1
    assert "password does not open" in err
    assert not node.received


def test_balance_is_shown_in_tokens_and_kwh(bitenergy: Run, me: bytes) -> None:
    out = bitenergy("wallet", "balance")[1]
    assert "921.28 tokens" in out
    assert "58.0 kWh" in out
    found = json.loads(bitenergy("wallet", "balance", "me", "--json")[1])
    assert found["address"] == encode_address(me)


def test_the_energy_of_a_metered_member_is_asked_for_with_its_own_key(
    bitenergy: Run, node: FakeNode, me: bytes
) -> None:
    node.has_meters = True
    node.admit("P2", b"q" * 20)
    assert "58.0 kWh" in bitenergy("wallet", "balance", "me")[1]
    assert "personal (--as)" in bitenergy("wallet", "balance", "P2")[1]
    assert "58.0 kWh" in bitenergy("wallet", "balance", "P2", "--as", "me")[1]


def test_transfer_signs_what_was_asked_and_pins_the_network(
    bitenergy: Run, node: FakeNode, me: bytes, tmp_path: Path
) -> None:
    status, out, err = bitenergy("wallet", "transfer", "P1", "9.82", "--memo", "rent", "--json")
    assert status == 0
    assert only_call(node) == ("accounts", "transfer", (b"p" * 20, 9_820_000, "rent"))
    [sent] = node.received
    assert (sent.sender, sent.nonce, sent.genesis) == (me, 3, GENESIS)
    assert sent.expiry_height == 7 + 1000
    assert sent.max_fee_micro == 2 * sent.gas_limit
    assert json.loads(out)["id"] == sent.id.hex()
    assert GENESIS.hex() in err
    pinned = json.loads((tmp_path / "home" / "network.json").read_text())
    assert pinned == {"genesis": GENESIS.hex(), "node": node.url}


def test_a_node_of_another_network_gets_nothing_signed(
    bitenergy: Run, node: FakeNode, me: bytes
) -> None:
    bitenergy("wallet", "transfer", "P1", "1")
    node.genesis = b"\x99" * 32
    status, _, err = bitenergy("wallet", "transfer", "P1", "1")
    assert status == 1
    assert "another network" in err
    assert len(node.received) == 1


def test_a_mistyped_address_is_refused(bitenergy: Run, node: FakeNode, me: bytes) -> None:
    address = encode_address(b"p" * 20)
    wrong = address[:-1] + ("a" if address[-1] != "a" else "b")
    status, _, err = bitenergy("wallet", "transfer", wrong, "1")
    assert status == 1
    assert "checksum" in err
    assert not node.received


def test_a_failed_transaction_has_status_1_and_says_why(
    bitenergy: Run, node: FakeNode, me: bytes
) -> None:
    node.failure = "insufficient_money"
    status, out, _ = bitenergy("wallet", "transfer", "P1", "1", "--json")
    assert status == 1
    assert json.loads(out)["error"]["code"] == "insufficient_money"


def test_offers_and_purchases(bitenergy: Run, node: FakeNode, me: bytes) -> None:
    node.values = [17]
    status, out, _ = bitenergy("offer", "post", "--energy", "6kWh", "--price", "9.82", "--json")
    assert status == 0
    assert json.loads(out)["offer_id"] == 17
    assert only_call(node) == ("market", "post", ("local", 0, 6_000_000, 9_820_000))
    node.received.clear()
    bitenergy("offer", "update", "17", "--energy", "5kWh", "--price", "9.90")
    assert only_call(node) == ("market", "update", ("local", 17, 5_000_000, 9_900_000))
    node.received.clear()
    bitenergy("offer", "withdraw", "17")
    assert only_call(node) == ("market", "withdraw", ("local", 17))
    node.received.clear()
    bitenergy("buy", "--energy", "8kWh", "--max-price", "10", "--partial", "--interval", "5")
    assert only_call(node) == ("market", "buy", ("local", 5, 8_000_000, 10_000_000, True))


def test_a_purchase_shows_what_was_bought_from_whom(
    bitenergy: Run, node: FakeNode, me: bytes
) -> None:
    node.events = [
        {
            "module": "market",
            "event": "trade",
            "fields": {
                "seller": "be…",
                "seller_name": name,
                "energy_milli_wh": energy,
                "price_micro_per_kwh": price,
                "amount_micro": amount,
            },
            "values": [],
        }
        for name, energy, price, amount in (
            ("P1", 6_000_000, 9_820_000, 58_920_000),
            ("P2", 2_000_000, 9_900_000, 19_800_000),
        )
    ]
    status, out, _ = bitenergy("buy", "--energy", "8kWh", "--max-price", "10")
    assert status == 0
    assert "58.92" in out
    assert "8.0 kWh for 78.72 tokens" in out


def test_delivery_intervals_are_named_by_their_start(
    bitenergy: Run, node: FakeNode, me: bytes
) -> None:
    node.market = {"interval_minutes": 15, "gate_closure_minutes": 30}
    order = ("buy", "--energy", "1kWh", "--max-price", "1")
    assert bitenergy(*order, "--interval", "2026-05-01T14:15+02:00")[0] == 0
    start_ms = 1_777_637_700_000
    assert only_call(node)[2][1] == start_ms // 900_000
    node.received.clear()
    assert bitenergy(*order)[0] == 0
    number = only_call(node)[2][1]
    assert isinstance(number, int)
    ahead_ms = number * 900_000 - time.time_ns() // 1_000_000
    assert 30 * 60_000 - 5_000 <= ahead_ms <= 45 * 60_000
    for wrong in ("2026-05-01T14:16Z", "tomorrow", "-5"):
        assert bitenergy(*order, "--interval", wrong)[0] == 1
    node.market = {"interval_minutes": 0}
    assert bitenergy(*order, "--interval", "2026-05-01T14:15Z")[0] == 1


def test_an_unknown_market_names_those_there_are(bitenergy: Run, me: bytes) -> None:
    status, _, err = bitenergy("buy", "--energy", "1kWh", "--max-price", "1", "--market", "x")
    assert status == 1
    assert "one of: local" in err


def test_tables_come_without_control_characters(bitenergy: Run, node: FakeNode, me: bytes) -> None:
    node.routes["/markets/local/offers"] = lambda _: (
        200,
        {"offers": [{"id": 1, "seller": "\x1b[2J[red]x", "energy_milli_wh": 1_500_000}]},
    )
    status, out, _ = bitenergy("offer", "list")
    assert status == 0
    assert "\x1b" not in out
    assert "[red]x" in out
    assert "1.5" in out
    assert "–" in out


def test_members_are_admitted_with_the_networks_roles(
    bitenergy: Run, node: FakeNode, me: bytes
) -> None:
    key = public_key(b"\x22" * 32)
    add = ("member", "add", "N1", "--key", key.hex())
    assert bitenergy(*add, "--role", "prosumer", "--role", "validator", "--bus", "B1")[0] == 0
    assert only_call(node) == ("members", "admit", (key, "N1", 0b110, "B1", b"", b"", b""))
    status, _, err = bitenergy(*add, "--role", "king")
    assert status == 1
    assert "operator, validator" in err
    assert bitenergy("member", "add", "N1", "--key", "xyz", "--role", "prosumer")[0] == 2


def test_an_approval_that_is_not_enough_is_not_shown_as_done(
    bitenergy: Run, node: FakeNode, me: bytes
) -> None:
    node.events = [{"module": "members", "event": "approval", "values": ["members.suspend", 1, 2]}]
    out = bitenergy("member", "suspend", "P1")[1]
    assert "1 of 2 operators" in out
    assert "is suspended" not in out


def test_an_approval_that_comes_late_is_not_shown_as_done(
    bitenergy: Run, node: FakeNode, me: bytes
) -> None:
    node.events = [{"module": "members", "event": "approval", "values": ["members.suspend", 2, 2]}]
    node.values = [False]
    out = bitenergy("member", "suspend", "P1")[1]
    assert "changed nothing" in out
    assert "is suspended" not in out
    node.values = [True]
    assert "is suspended" in bitenergy("member", "suspend", "P1")[1]


def test_a_book_that_was_cut_says_how_to_go_on(bitenergy: Run, node: FakeNode) -> None:
    asked: list[dict[str, str]] = []

    def offers(query: dict[str, str]) -> tuple[int, object]:
        asked.append(query)
        return 200, {"offers": [], "next": None if "after" in query else "0-9-1"}

    node.routes["/markets/local/offers"] = offers
    _, out, err = bitenergy("market", "book", "--limit", "5")
    assert "--after 0-9-1" in out + err
    _, out, err = bitenergy("market", "book", "--limit", "5", "--after", "0-9-1")
    assert "--after" not in out + err
    assert [query.get("after") for query in asked] == [None, "0-9-1"]


def test_rotation_replaces_the_key_once_it_is_final(
    bitenergy: Run, node: FakeNode, me: bytes, tmp_path: Path
) -> None:
    status, out, _ = bitenergy("member", "rotate", "me", "--json")
    assert status == 0
    module, method, (new_key,) = only_call(node)
    assert (module, method) == ("members", "rotate_key")
    assert isinstance(new_key, bytes)
    assert json.loads(out)["public_key"] == new_key.hex()
    [listed] = json.loads(bitenergy("wallet", "list", "--json")[1])["keys"]
    assert (listed["public_key"], listed["address"]) == (new_key.hex(), encode_address(me))
    assert (tmp_path / "home" / "keys" / "me.old-8.json").exists()


def test_a_rotation_whose_answer_was_lost_is_finished_without_a_second_one(
    bitenergy: Run, node: FakeNode, me: bytes
) -> None:
    node.final = False
    assert bitenergy("--timeout", "0.1", "member", "rotate", "me")[0] == 4
    [first] = node.received
    new_key = first.calls[0][2][0]
    assert isinstance(new_key, bytes)
    node.keys[encode_address(me)] = new_key
    assert bitenergy("member", "rotate", "me")[0] == 0
    assert len(node.received) == 1
    [listed] = json.loads(bitenergy("wallet", "list", "--json")[1])["keys"]
    assert listed["public_key"] == new_key.hex()


def test_removal_asks_first(
    bitenergy: Run, node: FakeNode, me: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert bitenergy("member", "remove", "P1")[0] == 130
    assert not node.received
    assert bitenergy("member", "remove", "P1", "--yes")[0] == 0


def test_tx_show_tells_by_its_status_whether_it_worked(bitenergy: Run, node: FakeNode) -> None:
    assert bitenergy("tx", "show", "ab" * 32)[0] == 0
    node.failure = "insufficient_money"
    status, out, _ = bitenergy("tx", "show", "ab" * 32)
    assert status == 1
    assert "insufficient_money" in out
    assert bitenergy("tx", "show", "abc")[0] == 1


def test_doctor_has_status_1_where_it_finds_a_problem(bitenergy: Run, node: FakeNode) -> None:
    found = {"severity": "problem", "topic": "clock", "message": "V2's clock is off by 90 s"}
    node.routes["/doctor"] = lambda _: (200, {"findings": [found]})
    status, out, _ = bitenergy("node", "doctor")
    assert status == 1
    assert "90 s" in out
    found["severity"] = "warning"
    assert bitenergy("node", "doctor", "--json")[0] == 0


def test_a_broken_pin_is_not_overwritten(bitenergy: Run, node: FakeNode, me: bytes) -> None:
    home = Path(os.environ["BITENERGY_HOME"])
    (home / "network.json").write_text('{"genesis": "00", "node": 1}')
    status, _, err = bitenergy("wallet", "balance", "me")
    assert status == 1
    assert "network.json" in err


def test_a_template_is_no_genesis_file_and_init_says_what_makes_it_one(
    bitenergy: Run, tmp_path: Path
) -> None:
    template = tmp_path / "template.json"
    template.write_bytes(resources.files("genesis").joinpath("testnet.json").read_bytes())
    status, _, err = bitenergy("init", "--dir", str(tmp_path / "n"), "--genesis", str(template))
    assert status == EXIT_FAILED and "\n" not in err.strip()
    assert f"the genesis file {template}: " in err and "bitenergy testnet init --genesis" in err
    assert not (tmp_path / "n").exists()
    options = ("--dir", str(tmp_path / "n"), "--genesis", str(template))
    status, _, err = bitenergy("init", *options, "--name", "")
    assert status == EXIT_USAGE and "A node needs a name" in err


def test_a_template_with_a_fault_says_where_templates_are_explained(
    bitenergy: Run, tmp_path: Path
) -> None:
    template = tmp_path / "template.json"
    template.write_text("{}")
    folder = tmp_path / "net"
    status, _, err = bitenergy("testnet", "init", "--dir", str(folder), "--genesis", str(template))
    assert status == EXIT_FAILED and "genesis/README.md" in err
    assert not folder.exists()


def test_a_node_that_does_not_run_is_not_waited_for_to_take_a_snapshot(
    bitenergy: Run, tmp_path: Path
) -> None:
    bitenergy("testnet", "init", "--validators", "1", "--dir", str(tmp_path / "net"))
    config = tmp_path / "net" / "V1" / "node.toml"
    status, _, err = bitenergy("node", "snapshot", "--config", str(config), "--timeout", "5")
    assert status == EXIT_FAILED
    assert "the node does not run" in err and f"bitenergy node run --config {config}" in err


def test_a_file_that_cannot_be_read_says_what_to_check(
    bitenergy: Run, me: bytes, tmp_path: Path
) -> None:
    missing = tmp_path / "none.proof"
    genesis = tmp_path / "net" / "genesis.json"
    bitenergy("testnet", "init", "--validators", "1", "--dir", str(genesis.parent))
    shown = bitenergy(
        *("proof", "account", "me", "--verify", "--offline"),
        *("--file", str(missing), "--genesis", str(genesis)),
    )
    assert shown[0] == EXIT_FAILED
    assert f"{missing}: No such file or directory. Check the name" in shown[2]
