"""Members look at a change on a shadow of their own traffic, vote for it, and live with it."""

from __future__ import annotations

import contextlib
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from node.keyfile import load_key
from tests.e2e.nodes import Nodes
from tests.e2e.support import (
    KWH,
    MARKET,
    TOKEN,
    Commands,
    Json,
    Member,
    genesis_template,
    make_member,
    until,
)
from tools.calls import buy, post_offer
from tools.client import NodeClient
from tools.errors import TransactionFailed
from tools.testnet import create_network
from tools.wallet import KEY_FOLDER, SUFFIX

# One network for all: the later tests live under the rules that the earlier ones voted for.
pytestmark = pytest.mark.xdist_group("council")

PENALTY = 100_000
TIMES = 4


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Commands, Nodes]]:
    """A running network whose market has a penalty, with real trades over its limits."""
    folder = tmp_path_factory.mktemp("council")
    members = [make_member(f"m{number}") for number in range(6)]
    template = genesis_template(members)
    template["modules"] = {
        "market": {
            "markets": [
                {
                    "name": MARKET,
                    "line_policy": "penalty",
                    "penalty_price": "0.1",
                    "default_pair_limit_kwh": "0.3",
                    "interval_minutes": 0,
                }
            ]
        },
        "governance": {
            "voters": {"operator": 3, "validator": 1},
            "quorum": [1, 2],
            "voting_period_ms": 1_000,
            "notice_blocks": 2,
        },
    }
    network = create_network(folder / "net", template, validators=2)
    nodes = Nodes(network)
    commands = Commands(folder, {"BITENERGY_HOME": str(network.home)})
    try:
        nodes.start_connected()
        trade(NodeClient(network.nodes[0].api_url), network.genesis, members)
        yield commands, nodes
    finally:
        nodes.kill(*nodes.processes)


def trade(client: NodeClient, genesis: bytes, members: list[Member]) -> None:
    """Have members sell and buy until it is final, in more than one block."""
    random = Random(7)
    for _ in range(4):
        batch = []
        for _ in range(30):
            price = random.randrange(8 * TOKEN, 12 * TOKEN, TOKEN // 100)
            seller, buyer = random.sample(members, 2)
            offer = post_offer(MARKET, 0, 12 * KWH // 100, price)
            batch.append(seller.sign(genesis, offer))
            purchase = buy(MARKET, 0, KWH // 10, 20 * TOKEN, allow_partial=True)
            batch.append(buyer.sign(genesis, purchase))
        results = client.submit([item.raw for item in batch])
        assert all(result["accepted"] for result in results), results
        for item in batch:
            with contextlib.suppress(TransactionFailed):
                client.wait(item.id.hex(), timeout_s=30)


def bills(report: Json) -> dict[str, tuple[int, int]]:
    """Return each member's bill on the live chain and in the shadow."""
    members = report["members"]
    assert isinstance(members, list)
    return {
        entry["name"]: (entry["live"]["bill_micro"], entry["shadow"]["bill_micro"])
        for entry in members
    }


def test_a_shadow_shows_the_changed_bills_and_leaves_the_live_chain_alone(
    town: tuple[Commands, Nodes], tmp_path: Path
) -> None:
    commands, _ = town
    before = commands.ask("node", "status")
    drawing = tmp_path / "bills.svg"
    dearer = f"market.{MARKET}.penalty_price=0.{TIMES}"
    report = commands.ask("shadow", "run", "--set", dearer, "--draw", str(drawing))
    after = commands.ask("node", "status")
    assert before["state_root"] == after["state_root"] == report["live_state_root"]
    assert report["live_roots_equal"] is True
    assert report["broken_invariants"] == report["broken_invariants_live"] == []
    assert report["live"]["transactions"] == report["shadow"]["transactions"] == 240  # type: ignore[index]
    market = report["markets"][0]  # type: ignore[index]
    extra = {side: market[side]["amount_micro"] for side in ("live", "shadow")}
    assert extra["shadow"] > extra["live"], "the penalty is part of what buyers pay"
    assert market["live"]["energy_milli_wh"] > 0
    found = bills(report)
    assert sum(live for live, _ in found.values()) == 0, "what one pays another earns"
    assert sum(shadow for _, shadow in found.values()) == 0
    assert [name for name, (live, shadow) in found.items() if live != shadow]
    # The balances say the same as the bills: both sides began with 1000 tokens.
    for entry in report["members"]:  # type: ignore[attr-defined]
        for side in ("live", "shadow"):
            assert entry[side]["balance_micro"] + entry[side]["bill_micro"] == 1000 * TOKEN
    names = {text.text for text in ElementTree.parse(drawing).iter() if text.text}
    assert set(list(found)[:1]) <= names
    table = commands.run("shadow", "run", "--set", dearer, "--from", "3").out
    assert "Bills of members" in table and "conserved in the shadow" in table


def test_the_same_rules_cast_the_same_shadow(town: tuple[Commands, Nodes]) -> None:
    commands, _ = town
    report = commands.ask("shadow", "run", "--set", f"market.{MARKET}.penalty_price=0.1")
    assert all(live == shadow for live, shadow in bills(report).values())
    assert report["live"] == report["shadow"]


def test_a_shadow_follows_blocks_as_they_arrive(town: tuple[Commands, Nodes]) -> None:
    commands, nodes = town
    client = NodeClient(nodes.network.nodes[0].api_url)
    last = _height(client) + 2
    with ThreadPoolExecutor(1) as pool:
        change = f"market.{MARKET}.penalty_price=0.{TIMES}"
        options = ("--follow", "--until", str(last), "--set", change)
        running = pool.submit(commands.ask, "shadow", "run", *options)
        member = make_member("m1")
        member.nonce = client.next_nonce(_address(client, "m1"))
        while _height(client) < last:
            item = member.sign(nodes.network.genesis, post_offer(MARKET, 0, KWH, 12 * TOKEN))
            client.submit_and_wait(item.raw, timeout_s=30)
        report = running.result(60)
    assert report["to"] == last
    assert report["live_roots_equal"] is True
    assert report["shadow"]["blocks"] == last  # type: ignore[index]


def test_other_rules_fail_other_transactions(town: tuple[Commands, Nodes], tmp_path: Path) -> None:
    commands, _ = town
    rules = tmp_path / "rules.txt"
    rules.write_text(
        f"# nothing over a limit, and a price for gas\nmarket.{MARKET}.line_policy=skip\n"
        "chain.gas_price_micro=3\n"
    )
    report = commands.ask("shadow", "run", "--file", str(rules))
    failures = report["shadow"]["failures"]  # type: ignore[index]
    assert failures.get("refused: max_fee", 0) >= 240, "nobody had promised a fee"
    refused = commands.run("shadow", "run", "--set", f"market.{MARKET}.line_policy=x", status=1)
    assert "ignore or skip or penalty" in refused.err
    assert commands.run("shadow", "run", "--set", "weather=fine", status=1).err
    assert commands.run("shadow", "run", status=2).err
    assert commands.run("shadow", "run", "--proposal", "9", status=1).err


def test_members_live_with_what_they_voted_for(town: tuple[Commands, Nodes]) -> None:
    commands, nodes = town
    client = NodeClient(nodes.network.nodes[1].api_url)
    height = _height(client) + 12
    operator = Member("operator", load_key(_key_file(nodes, "operator"), purpose="account"))
    operator.nonce = client.next_nonce(_address(client, "operator"))
    # Proposals and votes in one transaction: however slow this machine is, no vote comes late.
    spot = (("max_price_micro_per_kwh", 500 * TOKEN), ("penalty_price_micro_per_kwh", 400_000))
    period = (("voting_period_ms", 3_600_000),)
    decision = operator.sign(
        nodes.network.genesis,
        ("governance", "propose_parameters", ("market", MARKET, spot, height, "lines")),
        ("governance", "vote", (1, "yes")),
        ("governance", "propose_parameters", ("governance", "", period, height, "time")),
        ("governance", "vote", (2, "yes")),
    )
    client.submit_and_wait(decision.raw, timeout_s=30)
    until(
        lambda: {_status(client, number) for number in (1, 2)} == {"passed"},
        "the count",
        pause_s=0.1,
    )
    poker = make_member("m0")
    poker.nonce = client.next_nonce(_address(client, "m0"))
    while _height(client) < height:
        item = poker.sign(nodes.network.genesis, post_offer(MARKET, 0, KWH // 100, 12 * TOKEN))
        client.submit_and_wait(item.raw, timeout_s=30)
    market = client.get("/markets")["markets"][0]  # type: ignore[index]
    assert market["penalty_price_micro_per_kwh"] == TIMES * PENALTY
    assert market["max_price_micro_per_kwh"] == 500 * TOKEN
    assert {_status(client, number) for number in (1, 2)} == {"applied"}
    listed = commands.ask("governance", "list")
    assert listed["engine"]["name"] == "poa"  # type: ignore[index]
    assert listed["settings"]["voting_period_ms"] == 3_600_000  # type: ignore[index]
    # The shadow of a chain whose rules changed on the way follows the change as well.
    again = commands.ask("shadow", "run", "--set", "governance.notice_blocks=3")
    assert all(live == shadow for live, shadow in bills(again).values())


def test_members_propose_look_and_vote(town: tuple[Commands, Nodes]) -> None:
    commands, _ = town
    change = (f"market.{MARKET}.penalty_price=0.2", f"market.{MARKET}.max_price=600")
    options = ("--in", "1000", "--from", "operator", "--about", "lines")
    number = str(commands.ask("governance", "propose", *change, *options)["proposal"])
    report = commands.ask("shadow", "run", "--proposal", number)
    assert any(live != shadow for live, shadow in bills(report).values())
    assert "voted yes" in commands.run("governance", "vote", number, "yes", "--from", "V1").out
    for name, choice in (("V1", "no"), ("operator", "yes"), ("V2", "abstain")):
        commands.ask("governance", "vote", number, choice, "--from", name)
    shown = commands.ask("governance", "show", number)
    assert shown["tally"] == {"yes": 3, "no": 1, "abstain": 1}
    assert (shown["status"], shown["eligible"]) == ("voting", 5)
    assert f"{MARKET}.penalty_price=0.20" in commands.run("governance", "show", number).out
    assert "voting" in commands.run("governance", "list").out


def test_what_no_software_here_has_is_refused_with_words(town: tuple[Commands, Nodes]) -> None:
    commands, _ = town
    options = ("--in", "50", "--from", "operator")
    for change, words in (
        ("engine=weather", "does not have"),
        ("module.market=2", "does not have version 2"),
        ("engine=pow", "finality by depth"),
        ("chain.max_transaction_gas=1", "out of range"),
    ):
        refused = commands.run("governance", "propose", change, *options, status=1)
        assert words in refused.err, refused.err
    both = ("chain.gas_price_micro=1", f"market.{MARKET}.max_price=3")
    assert commands.run("governance", "propose", *both, *options, status=2).err
    assert commands.run("governance", "propose", both[0], status=2).err
    assert commands.run("governance", "vote", "77", "yes", "--from", "operator", status=1).err


def _address(client: NodeClient, name: str) -> str:
    return str(client.account(name)["address"])


def _status(client: NodeClient, number: int) -> str:
    return str(client.get(f"/proposals/{number}")["status"])


def _key_file(nodes: Nodes, name: str) -> Path:
    return nodes.network.home / KEY_FOLDER / (name + SUFFIX)


def _height(client: NodeClient) -> int:
    return int(json.dumps(client.status()["height"]))
