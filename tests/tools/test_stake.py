"""The commands of staking against a real node: what they put in, show, and get back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.cli import run
from tools.commands.testnet import load_template
from tools.testnet import FIRST_STAKE, LocalNetwork, create_network, start_nodes, stop_nodes

ROOT = Path(__file__).resolve().parent.parent.parent
Ask = Callable[..., dict]
TOKEN = 1_000_000


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNetwork]:
    template = dict(load_template(ROOT / "genesis" / "bit-energy-case-2.json"))
    staking = {"block_reward": "1", "unbonding_minutes": 0}
    template["modules"] = {**template["modules"], "staking": staking}  # type: ignore[dict-item]
    parameters = {**template["parameters"], "evidence_max_age_blocks": 0}  # type: ignore[dict-item]
    template["parameters"] = parameters
    folder = tmp_path_factory.mktemp("stake") / "net"
    made = create_network(folder, template, validators=1, engine="pos")
    try:
        start_nodes(made.nodes)
        yield made
    finally:
        stop_nodes(made.nodes)


@pytest.fixture
def ask(network: LocalNetwork, capsys: pytest.CaptureFixture[str]) -> Ask:
    def call(*arguments: str, status: int = 0) -> dict:
        found = run(["--home", str(network.home), *arguments, "--json"])
        shown = capsys.readouterr()
        assert found == status, shown
        return json.loads(shown.out)

    return call


def test_stake_goes_in_earns_and_comes_back(network: LocalNetwork, ask: Ask) -> None:
    listed = ask("stake", "validators")
    assert listed["terms"]["token"] == "money"
    (first,) = listed["validators"]
    assert (first["validator_name"], first["power"]) == ("V1", int(FIRST_STAKE))
    before = ask("wallet", "balance", "C1")["money_micro"]
    ask("stake", "delegate", "V1", "25.5", "--from", "C1")
    assert ask("wallet", "balance", "C1")["money_micro"] == before - 25_500_000
    history = ask("wallet", "history", "C1")["history"]
    assert history[0]["what"] == "staking.delegate" and history[0]["money_micro"] == -25_500_000
    (first,) = ask("stake", "validators")["validators"]
    assert (first["power"], first["stake_micro"]) == (125, 125_500_000)
    ask("wallet", "transfer", "V1", "5", "--from", "C1")
    ask("stake", "bond", "4.5", "--from", "V1")
    ask("stake", "commission", "10", "--from", "V1")
    shown = ask("stake", "show", "C1")
    (stake,) = shown["stakes"]
    assert stake["stake_micro"] == 25_500_000 and stake["reward_micro"] > 0
    paid = ask("stake", "withdraw", "V1", "--from", "C1")["receipt"]["values"][0]
    assert paid >= stake["reward_micro"]
    ask("stake", "unbond", "V1", "25.5", "--from", "C1")
    ask("wallet", "transfer", "P1", "0.000001", "--from", "V1")  # one more block
    after = ask("stake", "show", "C1")
    assert (after["stakes"], after["unbondings"]) == ([], [])
    assert ask("wallet", "balance", "C1")["money_micro"] > before - 5 * TOKEN + paid - 1
    assert ask("stake", "show", "V1")["commission_micro"] > 0


def test_what_cannot_be_staked_is_refused(ask: Ask) -> None:
    refused = ask("stake", "delegate", "P1", "1", "--from", "C1", status=1)
    assert refused["error"]["code"] == "unknown_validator"
    assert ask("stake", "bond", "1", "--from", "P1", status=1)["error"]["code"] == "wrong_role"
    ask("stake", "delegate", "V1", "nothing", "--from", "C1", status=2)


def test_operators_grant_points(ask: Ask) -> None:
    ask("stake", "grant", "P1", "12.5", "--from", "operator")
    assert ask("stake", "show", "P1")["points_micro"] == 12_500_000


def test_people_get_tables(network: LocalNetwork, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("stake validators", "stake show C1", "stake show V1"):
        assert run(["--home", str(network.home), *command.split()]) == 0
        shown = capsys.readouterr()
        assert shown.out and not shown.err


def test_a_template_with_stakes_of_its_own_keeps_them(tmp_path: Path) -> None:
    template = dict(load_template(ROOT / "genesis" / "bit-energy-case-1.json"))
    staking = {"token": "incentives", "stakes": {"V1": "7", "V2": "3"}}
    template["modules"] = {**template["modules"], "staking": staking}  # type: ignore[dict-item]
    made = create_network(tmp_path / "net", template, validators=2, engine="pos")
    document = json.loads((made.folder / "genesis.json").read_text())
    assert document["modules"]["staking"] == staking


def test_a_new_network_says_when_stake_is_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def init(name: str, *options: str) -> tuple[int, str]:
        start = ["testnet", "init", "--validators", "1", "--dir", str(tmp_path / name)]
        status = run([*start, *options])
        return status, capsys.readouterr().err

    staked = ("--engine", "pos")
    status, said = init("a", *staked, "--unbonding", "90", "--evidence", "1000")
    assert status == 0 and "free after 90 minutes" in said
    assert "1,000 blocks ago has expired: 4.2 minutes at full pace, 16.7 hours at rest" in said
    made = json.loads((tmp_path / "a" / "genesis.json").read_text())
    assert made["parameters"]["evidence_max_age_blocks"] == 1_000
    assert made["modules"]["staking"]["unbonding_minutes"] == 90
    status, said = init("b", *staked)
    assert status == 0 and "free after 7 days" in said and "69.4 days at rest" in said
    status, said = init("c", *staked, "--unbonding", "5")
    assert status == 1 and "at least 417" in said
    status, said = init("d", "--unbonding", "500")
    assert status == 1 and "--engine pos" in said
    status, said = init("e", "--evidence", "50")
    assert status == 0 and "Stake" not in said
