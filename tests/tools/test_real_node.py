"""The commands against a real node of one validator: what they sign and read is what it means."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.cli import run
from tools.commands.testnet import load_template
from tools.testnet import LocalNetwork, create_network, start_nodes, stop_nodes

ROOT = Path(__file__).resolve().parent.parent.parent
Ask = Callable[..., dict[str, object]]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNetwork]:
    template = load_template(ROOT / "genesis" / "bit-energy-case-2.json")
    made = create_network(tmp_path_factory.mktemp("real") / "net", template, validators=1)
    try:
        start_nodes(made.nodes)
        yield made
    finally:
        stop_nodes(made.nodes)


@pytest.fixture
def ask(network: LocalNetwork, capsys: pytest.CaptureFixture[str]) -> Ask:
    def call(*arguments: str, status: int = 0) -> dict[str, object]:
        found = run(["--home", str(network.home), *arguments, "--json"])
        shown = capsys.readouterr()
        assert found == status, shown
        answer = json.loads(shown.out)
        assert isinstance(answer, dict)
        return answer

    return call


def test_a_published_case_is_traded_by_hand(network: LocalNetwork, ask: Ask) -> None:
    for seller, energy, price in (("P1", "6", "9.82"), ("P2", "7", "9.90"), ("P3", "8", "9.97")):
        posted = ask(
            *("offer", "post", "--from", seller, "--energy", f"{energy}kWh", "--price", price)
        )
        assert isinstance(posted["offer_id"], int)
    refused = ("buy", "--from", "C1", "--energy", "90kWh", "--max-price", "10")
    ask(*refused, status=1)
    ask("buy", "--from", "C1", "--energy", "8kWh", "--max-price", "10")
    for name, money_micro, energy_milli_wh in (
        ("C1", 921_200_000, 58_000_000),
        ("P1", 1_049_100_000, 44_000_000),
        ("P2", 1_029_700_000, 43_000_000),
    ):
        account = ask("proof", "account", name, "--verify")
        assert account["money_micro"] == money_micro
        assert account["energy_milli_wh"] == energy_milli_wh
    book = ask("market", "book")["offers"]
    assert isinstance(book, list)
    assert [offer["energy_milli_wh"] for offer in book] == [1_000_000, 4_000_000, 8_000_000]
    ask("offer", "update", str(book[0]["id"]), "--energy", "2kWh", "--price", "9", "--from", "P1")
    ask("offer", "withdraw", str(book[0]["id"]), "--from", "P1")
    ask("offer", "withdraw", str(book[1]["id"]), "--from", "P1", status=1)
    trades = ask("market", "trades")["trades"]
    assert isinstance(trades, list)
    assert len(trades) == 2
    assert ask("market", "lines")["pairs"]
    history = ask("wallet", "history", "P1")["history"]
    assert isinstance(history, list)
    assert len(history) == 5


def test_members_come_rotate_and_go(
    network: LocalNetwork, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITENERGY_PASSWORD", "secret")
    made = ask("wallet", "create", "N1")
    operator = ("--from", "operator")
    ask("member", "add", "N1", "--wallet-key", "N1", "--role", "prosumer", *operator)
    ask("wallet", "transfer", "N1", "5", "--from", "C1")
    assert ask("member", "rotate", "N1")["public_key"] != made["public_key"]
    ask("wallet", "transfer", "C1", "1", "--from", "N1", "--memo", "after the rotation")
    ask("member", "suspend", "N1", *operator)
    ask("wallet", "transfer", "C1", "1", "--from", "N1", status=1)
    ask("member", "reinstate", "N1", *operator)
    (network.home / "keys" / "N1.json").rename(network.home / "kept.json")
    found = ask("proof", "account", "N1", "--verify")
    assert found["address"] == made["address"]
    assert found["money_micro"] == 4_000_000
    members = ask("member", "list", "--role", "prosumer")["members"]
    assert isinstance(members, list)
    assert [member["name"] for member in members] == ["N1", "P1", "P2", "P3"]


def test_people_get_tables_for_everything(
    network: LocalNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(network.home)]
    for command in (
        *("wallet list", "wallet balance C1", "wallet history C1", "offer list", "market book"),
        *("market trades", "market lines", "member list", "block show latest", "node status"),
        *("node doctor", "proof account C1 --verify"),
    ):
        status = run([*home, *command.split()])
        shown = capsys.readouterr()
        assert (status, shown.err) == (0, ""), command
        assert shown.out
