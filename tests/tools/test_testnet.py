"""Local networks: what init makes, and processes that are found, watched and ended safely."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.config import load_config
from node.keyfile import load_key, read_key_file
from node.ledger.genesis import decode_genesis
from node.p2p.certificates import verify_node_proof
from tools import testnet
from tools.cli import run
from tools.errors import NodeTimeout, ToolError
from tools.processes import ProcessMark, is_running, load_mark, mark_of, send_signal
from tools.session import load_network
from tools.testnet import (
    LocalNetwork,
    create_network,
    kill_node,
    load_network_folder,
    log_tail,
    node_status,
    start_nodes,
    stop_nodes,
)
from vm.primitives.errors import InvalidGenesis
from vm.primitives.signatures import public_key

TEMPLATE: dict[str, object] = {
    "chain": "test",
    "engine": {"name": "poa", "parameters": {}},
    "parameters": {},
    "roles": ["operator", "validator", "prosumer"],
    "members": [
        {"name": "P1", "roles": ["prosumer"], "balance": "1000.0", "energy": "50.0"},
        {"name": "V1", "roles": ["validator"]},
    ],
    "modules": {},
}


@pytest.fixture
def network(tmp_path: Path) -> LocalNetwork:
    return create_network(tmp_path / "net", TEMPLATE, validators=2)


@pytest.fixture
def running(network: LocalNetwork, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalNetwork]:
    program = Path(__file__).with_name("stand_in_node.py")
    monkeypatch.setattr(testnet, "NODE_COMMAND", (sys.executable, str(program)))
    yield network
    stop_nodes(network.nodes, timeout_s=0.1)


def renamed(network: LocalNetwork, name: str) -> None:
    """Have the first node behave like the stand-in called `name`."""
    path = network.nodes[0].folder / "node.toml"
    path.write_text(path.read_text().replace('name = "V1"', f'name = "{name}"'))


def test_the_completed_genesis_is_valid_and_has_the_keys_that_were_made(
    network: LocalNetwork,
) -> None:
    genesis = decode_genesis((network.folder / "genesis.json").read_bytes())
    assert genesis.digest == network.genesis
    members = {entry.member.name: entry for entry in genesis.members}
    assert sorted(members) == ["P1", "V1", "V2", "operator"]
    assert [node.name for node in network.nodes] == ["V1", "V2"]
    for name, entry in members.items():
        seed = load_key(network.home / "keys" / f"{name}.json", purpose="account")
        assert public_key(seed) == entry.account.key
    for node in network.nodes:
        member = members[node.name].member
        assert read_key_file(node.folder / "keys/vote.json").public_key == member.vote_key
        assert read_key_file(node.folder / "keys/node.json").public_key == member.node_key
        assert verify_node_proof(member.node_key, member.node_proof)
    keys = [read_key_file(path).public_key for path in network.folder.rglob("keys/*.json")]
    assert len(set(keys)) == len(keys) == 8


def test_the_configurations_load_and_name_the_other_nodes(network: LocalNetwork) -> None:
    first, second = (load_config(node.folder / "node.toml") for node in network.nodes)
    assert first.genesis.resolve() == (network.folder / "genesis.json").resolve()
    assert first.data == (network.nodes[0].folder / "data").resolve()
    assert first.api.port == network.nodes[0].api_port
    [peer] = first.peers
    assert (peer.host, peer.port) == ("127.0.0.1", second.p2p.port)
    assert peer.node_key == read_key_file(second.node_key).public_key
    assert first.vote_key is not None


def test_each_node_may_be_for_a_machine_of_its_own(tmp_path: Path) -> None:
    start = ["testnet", "init", "--validators", "3", "--dir", str(tmp_path / "net")]
    hosts = ["V1=192.168.1.11", "V2=pc-two.example:9000", "V3=[fd00::3]"]
    options = [word for host in hosts for word in ("--host", host)]
    assert run([*start, *options[:4]]) == 1  # V3 has none
    assert run([*start, *options, "--host", "V4=192.168.1.14"]) == 1
    assert run([*start, "--host", "V1"]) == 1
    assert not (tmp_path / "net").exists()
    assert run([*start, *options]) == 0
    configs = {name: load_config(tmp_path / "net" / name / "node.toml") for name in ("V1", "V2")}
    assert (configs["V1"].p2p.host, configs["V1"].p2p.port) == ("0.0.0.0", 8646)
    assert (configs["V2"].p2p.host, configs["V2"].p2p.port) == ("0.0.0.0", 9000)
    assert (configs["V2"].api.host, configs["V2"].api.port) == ("127.0.0.1", 8645)
    assert [(peer.host, peer.port) for peer in configs["V1"].peers] == [
        ("pc-two.example", 9000),
        ("fd00::3", 8646),
    ]
    assert run(["testnet", "up", "--dir", str(tmp_path / "net")]) == 1  # not of this machine


def test_the_home_is_pinned_and_the_record_loads(network: LocalNetwork) -> None:
    pinned = load_network(network.home)
    assert pinned is not None
    assert (pinned.genesis, pinned.node) == (network.genesis, network.nodes[0].api_url)
    assert load_network_folder(network.folder) == network


def test_a_template_with_more_validators_is_cut_down(tmp_path: Path) -> None:
    members = [{"name": f"V{n}", "roles": ["validator", "operator"]} for n in range(1, 5)]
    made = create_network(tmp_path / "net", TEMPLATE | {"members": members}, validators=1)
    assert [node.name for node in made.nodes] == ["V1"]


def test_the_engine_can_be_chosen(tmp_path: Path) -> None:
    template = {**TEMPLATE, "engine": {"name": "weather", "parameters": {}}}
    create_network(tmp_path / "net", template, validators=1, engine="poa")
    genesis = decode_genesis((tmp_path / "net/genesis.json").read_bytes())
    assert genesis.engine == "poa"


def test_an_engine_that_no_node_could_start_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidGenesis, match="does not have"):
        create_network(tmp_path / "net", TEMPLATE, validators=1, engine="weather")
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(
    "members",
    [
        5,
        [5],
        [{"name": "../evil", "roles": ["validator"]}],
        [{"name": "..", "roles": ["validator"]}],
        [{"name": "home", "roles": ["validator"]}],
        [{"name": "genesis.json", "roles": ["validator"]}],
        [{"roles": ["validator"]}],
        [{"name": "V1", "roles": ["king"]}],
        [{"name": "P1", "roles": []}, {"name": "P1", "roles": []}],
    ],
)
def test_bad_templates_leave_nothing_behind(tmp_path: Path, members: object) -> None:
    with pytest.raises((ToolError, InvalidGenesis, OSError)) as caught:
        create_network(tmp_path / "net", TEMPLATE | {"members": members}, validators=1)
    assert not isinstance(caught.value, OSError)
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_left_alone(network: LocalNetwork) -> None:
    before = (network.folder / "genesis.json").read_bytes()
    with pytest.raises(ToolError, match="not empty"):
        create_network(network.folder, TEMPLATE)
    assert (network.folder / "genesis.json").read_bytes() == before


def test_nodes_start_answer_and_stop(running: LocalNetwork) -> None:
    told: list[str] = []
    start_nodes(running.nodes, progress=told.append)
    assert len(told) == 2
    assert all(node.running for node in running.nodes)
    says = node_status(running.nodes[0])
    assert says is not None
    assert says["final_height"] == 3
    marks = [node.mark for node in running.nodes]
    start_nodes(running.nodes)
    assert [node.mark for node in running.nodes] == marks
    assert "V1 starts" in log_tail(running.nodes[0], 100)
    stopped, killed = stop_nodes(running.nodes)
    assert (len(stopped), killed) == (2, [])
    assert not any(is_running(mark) for mark in marks)
    assert node_status(running.nodes[0]) is None


def test_a_node_can_be_killed_and_started_again(running: LocalNetwork) -> None:
    start_nodes(running.nodes)
    assert kill_node(running.nodes[0])
    assert not running.nodes[0].running
    assert not kill_node(running.nodes[0])
    assert running.nodes[1].running
    start_nodes(running.nodes)
    assert running.nodes[0].running


def test_a_node_that_dies_shows_the_end_of_its_log(running: LocalNetwork) -> None:
    renamed(running, "dies")
    with pytest.raises(ToolError, match="the disk is full"):
        start_nodes(running.nodes[:1])


def test_a_node_that_does_not_answer_is_a_timeout(running: LocalNetwork) -> None:
    renamed(running, "deaf")
    with pytest.raises(NodeTimeout, match="did not answer"):
        start_nodes(running.nodes[:1], timeout_s=0.3)
    assert running.nodes[0].running


def test_a_stubborn_node_is_killed(running: LocalNetwork) -> None:
    renamed(running, "stubborn")
    start_nodes(running.nodes[:1])
    stopped, killed = stop_nodes(running.nodes, timeout_s=0.2)
    assert (stopped, killed) == ([], [running.nodes[0]])
    assert not running.nodes[0].running


def test_a_taken_port_is_named_before_anything_starts(running: LocalNetwork) -> None:
    start_nodes(running.nodes[:1])
    (running.nodes[0].folder / "node.pid").rename(running.folder / "kept.pid")
    try:
        with pytest.raises(ToolError, match=str(running.nodes[0].api_port)):
            start_nodes(running.nodes)
        assert not running.nodes[1].running
    finally:
        (running.folder / "kept.pid").rename(running.nodes[0].folder / "node.pid")


def test_a_stale_pid_file_never_leads_to_another_process(tmp_path: Path) -> None:
    own = mark_of(os.getpid())
    assert own is not None
    assert is_running(own)
    for stale in (
        ProcessMark(own.pid, own.start_ticks - 1, own.boot_id),
        ProcessMark(own.pid, own.start_ticks, "another boot"),
        ProcessMark(2**22 + 1, 0, own.boot_id),
    ):
        assert not is_running(stale)
        assert not send_signal(stale, signal.SIGKILL)
    for text in ("", "{", "[]", '{"pid": "x"}', '{"pid": 1}'):
        (tmp_path / "pid").write_text(text)
        assert load_mark(tmp_path / "pid") is None


def test_the_commands_work_together(
    running: LocalNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ("--dir", str(running.folder))
    assert run(["testnet", "status", *there]) == 1
    assert run(["testnet", "up", *there]) == 0
    capsys.readouterr()
    assert run(["testnet", "status", *there, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [node["status"]["final_height"] for node in found["nodes"]] == [3, 3]
    assert run(["testnet", "down", *there, "V1"]) == 0
    assert [node.running for node in running.nodes] == [False, True]
    assert run(["testnet", "logs", *there, "--lines", "2"]) == 0
    assert "V2 | " in capsys.readouterr().out
    assert run(["testnet", "down", *there, "V9"]) == 1
    assert run(["testnet", "up", "--dir", str(running.folder / "none")]) == 1
    assert "testnet init" in capsys.readouterr().err


def test_init_makes_the_folder_of_one_node(
    network: LocalNetwork, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    genesis = str(network.folder / "genesis.json")
    arguments = ["init", "--dir", str(folder), "--genesis", genesis, "--validator", "--json"]
    assert run(arguments) == 0
    made = json.loads(capsys.readouterr().out)
    config = load_config(folder / "node.toml")
    assert read_key_file(config.node_key).public_key.hex() == made["node_key"]
    assert config.peers == ()
    assert made["genesis"] == network.genesis.hex()
    assert run(["node", "keys", "--config", str(folder / "node.toml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["vote_key"] == made["vote_key"]
    assert run(arguments) == 1


def test_another_networks_node_is_not_taken_for_ours(
    running: LocalNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = create_network(tmp_path / "other", TEMPLATE, validators=1)
    start_nodes(other.nodes)
    path = running.nodes[1].folder / "node.toml"
    mine, theirs = running.nodes[1].api_port, other.nodes[0].api_port
    path.write_text(path.read_text().replace(str(mine), str(theirs)))
    moved = replace(running.nodes[1], api_port=theirs)
    monkeypatch.setattr(testnet, "port_is_free", lambda _: True)  # when it was looked at
    try:
        with pytest.raises(ToolError, match=f"another program listens on port {theirs}") as raised:
            start_nodes([running.nodes[0], moved])
        assert raised.value.code == "port_taken"
    finally:
        stop_nodes(other.nodes, timeout_s=0.1)
