"""Starts that must not succeed, and say why: contradictions, second processes, damaged disks."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from tests.e2e.nodes import Nodes, local_network
from tests.e2e.support import ROOT, Commands, Member, genesis_template, make_member, until
from tools.testnet import load_network_folder

EXIT_REFUSED = 1
EXIT_STORAGE = 74
BLOCKS = 12


@pytest.fixture(scope="module")
def member() -> Member:
    return make_member("M0")


@pytest.fixture(scope="module")
def network(
    tmp_path_factory: pytest.TempPathFactory, member: Member, free_port: Callable[[], int]
) -> Iterator[Nodes]:
    """One validator with some blocks; it is stopped, and each test works on a copy."""
    folder = tmp_path_factory.mktemp("starts") / "net"
    template = genesis_template([member, make_member("M1")])
    with local_network(folder, template, free_port, validators=1) as nodes:
        nodes.start()
        for _ in range(BLOCKS):
            nodes.trade_once("V1", member)
        assert nodes.stop() == [0]
        nodes.assert_no_fault()
        yield nodes


@pytest.fixture
def copy(network: Nodes, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Nodes]:
    """A copy of the stopped network, with ports of its own."""
    folder = tmp_path / "net"
    shutil.copytree(network.network.folder, folder)
    (folder / "V1" / "node.log").unlink()
    api, p2p = free_port(), free_port()
    old = network.network.nodes[0]
    config = folder / "V1" / "node.toml"
    text = config.read_text()
    text = text.replace(f":{old.p2p_port}", f":{p2p}").replace(f":{old.api_port}", f":{api}")
    config.write_text(text)
    record = json.loads((folder / "testnet.json").read_text())
    record["nodes"][0] |= {"api_port": api, "p2p_port": p2p}
    (folder / "testnet.json").write_text(json.dumps(record))
    nodes = Nodes(load_network_folder(folder))
    yield nodes
    nodes.kill_all()


def run_to_its_end(nodes: Nodes, config: Path | None = None) -> tuple[int, str]:
    """Start V1, which must end by itself; return its exit status and the reason it logged."""
    before = len(nodes.log("V1"))
    nodes.spawn("V1", config=config)
    try:
        status = nodes.wait_ended("V1", 20)
    except subprocess.TimeoutExpired:
        pytest.fail(f"it runs: {nodes.log('V1')[before:]}")
    told = nodes.log("V1")[before:]
    assert "Traceback" not in told and '"trace"' not in told, told
    reason = nodes.reason("V1")
    assert len(reason) > 20, told
    return status, reason


# --- second processes ----------------------------------------------------------------------------


def other_config(nodes: Nodes, free_port: Callable[[], int], **changes: str) -> Path:
    """Write a second configuration of V1 with ports of its own."""
    node = nodes.node("V1")
    config = node.folder / "node.toml"
    text = config.read_text()
    for port in (node.p2p_port, node.api_port):
        text = text.replace(f":{port}", f":{free_port()}")
    for old, new in changes.items():
        assert f'"{old}"' in text
        text = text.replace(f'"{old}"', f'"{new}"')
    other = node.folder / "second.toml"
    other.write_text(text)
    return other


def run_second(nodes: Nodes, config: Path) -> tuple[int, str]:
    """Run a second process beside V1 to its end; V1 goes on."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", "node", "run", "--config", str(config)],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert nodes.status("V1") is not None
    return done.returncode, done.stderr


def test_a_second_process_on_the_same_data(
    copy: Nodes, member: Member, free_port: Callable[[], int]
) -> None:
    copy.start()
    config = other_config(copy, free_port)
    config.write_text(config.read_text().replace("\nvote = ", "\n# vote = "))
    status, told = run_second(copy, config)
    assert status == EXIT_REFUSED
    assert "another process uses this data directory" in told
    trade(copy, member)


def test_a_second_process_on_the_same_vote_key(
    copy: Nodes, member: Member, free_port: Callable[[], int]
) -> None:
    copy.start()
    status, told = run_second(copy, other_config(copy, free_port, data="elsewhere"))
    assert status == EXIT_REFUSED
    assert "another process" in told and "key" in told
    trade(copy, member)


def test_a_second_process_on_a_copy_of_the_vote_key(
    copy: Nodes, member: Member, free_port: Callable[[], int]
) -> None:
    copy.start()
    key = copy.node("V1").folder / "keys" / "vote.json"
    shutil.copy(key, key.with_name("copy.json"))
    changes = {"data": "elsewhere", "keys/vote.json": "keys/copy.json"}
    status, told = run_second(copy, other_config(copy, free_port, **changes))
    assert status == EXIT_REFUSED
    assert "another process" in told and "key" in told
    trade(copy, member)


def test_the_same_command_twice(copy: Nodes, member: Member) -> None:
    copy.start()
    status, told = run_second(copy, copy.node("V1").folder / "node.toml")
    assert status == EXIT_REFUSED
    assert "another" in told
    trade(copy, member)


def trade(nodes: Nodes, member: Member) -> None:
    """Have the member trade with V1, from where the chain stands."""
    member.nonce = int(str(nodes.client("V1").account(member.name)["nonce"]))
    nodes.trade_once("V1", member)


@pytest.mark.parametrize("door", ["p2p_port", "api_port"])
def test_a_port_that_another_program_has(copy: Nodes, door: str) -> None:
    port = getattr(copy.node("V1"), door)
    with socket.create_server(("127.0.0.1", port)):
        status, reason = run_to_its_end(copy)
    assert status == EXIT_REFUSED
    assert str(port) in reason
    assert "in use" in reason


# --- genesis and configuration -------------------------------------------------------------------

Change = Callable[[dict[str, object]], object]


def member_of(document: dict[str, object], place: int) -> dict[str, object]:
    """Return a member of a genesis document."""
    members = document["members"]
    assert isinstance(members, list)
    found = members[place]
    assert isinstance(found, dict)
    return found


def market_of(document: dict[str, object]) -> dict[str, object]:
    """Return the market of a genesis document."""
    return document["modules"]["market"]["markets"][0]  # type: ignore[index]


CONTRADICTIONS: dict[str, tuple[Change, str]] = {
    "two names": (lambda d: member_of(d, 1).update(name="M1"), "same names"),
    "two keys": (lambda d: member_of(d, 1).update(key=member_of(d, 2)["key"]), "same keys"),
    "small key": (lambda d: member_of(d, 1).update(key="01" + "00" * 31), "public key"),
    "short key": (lambda d: member_of(d, 1).update(key="abcd"), "public key"),
    "unknown role": (lambda d: member_of(d, 1).update(roles=["wizard"]), "unknown roles"),
    "no operator": (lambda d: member_of(d, 0).update(roles=["consumer"]), "operator"),
    "too few operators": (
        lambda d: d.update(parameters={"operator_threshold": 2}),
        "operator_threshold",
    ),
    "no validator": (lambda d: d.update(members=d["members"][:3]), "validator"),  # type: ignore[index]
    "no vote key": (lambda d: member_of(d, 3).pop("vote_key"), "vote key"),
    "vote key without role": (
        lambda d: member_of(d, 1).update(vote_key=member_of(d, 3).pop("vote_key")),
        "vote key",
    ),
    "one key for all": (
        lambda d: member_of(d, 3).update(vote_key=member_of(d, 3)["key"]),
        "votes with the key",
    ),
    "false proof": (lambda d: member_of(d, 3).update(node_proof="00" * 64), "proof"),
    "negative": (lambda d: member_of(d, 1).update(balance="-1"), "balance"),
    "overflow": (
        lambda d: [member_of(d, n).update(balance="9000000000000") for n in (1, 2)],
        "overflow",
    ),
    "float": (lambda d: member_of(d, 1).update(balance=1.5), "whole"),
    "too fine": (lambda d: member_of(d, 1).update(energy="0.0000001"), "energy"),
    "unknown field": (lambda d: d.update(colour="blue"), "colour"),
    "unknown parameter": (lambda d: d.update(parameters={"speed": 1}), "speed"),
    "no gas": (lambda d: d.update(parameters={"max_block_gas": 0}), "max_block_gas"),
    "limits crossed": (
        lambda d: d.update(parameters={"max_transaction_gas": 9, "max_block_gas": 8}),
        "max_transaction_gas",
    ),
    "unknown engine": (lambda d: d.update(engine={"name": "dice", "parameters": {}}), "engine"),
    "engine setting": (
        lambda d: d.update(engine={"name": "poa", "parameters": {"luck": 7}}),
        "luck",
    ),
    "unknown module": (lambda d: d.update(modules={"casino": {}}), "casino"),
    "unknown policy": (lambda d: market_of(d).update(line_policy="maybe"), "maybe"),
    "two markets": (
        lambda d: d["modules"]["market"]["markets"].append(dict(market_of(d))),  # type: ignore[index]
        "market",
    ),
    "edc nobody is": (lambda d: market_of(d).update(edc="Nobody"), "Nobody"),
    "pair nobody is": (lambda d: market_of(d).update(pair_limits_kwh={"M0-X": "5"}), "X"),
    "loose bus": (
        lambda d: market_of(d).update(network={"slack": "A", "buses": ["A", "B"], "lines": []}),
        "B",
    ),
}


@pytest.mark.parametrize("title", CONTRADICTIONS)
def test_a_genesis_that_contradicts_itself(copy: Nodes, title: str) -> None:
    change, words = CONTRADICTIONS[title]
    path = copy.network.folder / "genesis.json"
    intact = path.read_text()
    document = json.loads(intact)
    change(document)
    shutil.rmtree(copy.node("V1").folder / "data")
    path.write_text(json.dumps(document))
    status, reason = run_to_its_end(copy)
    assert status == EXIT_REFUSED
    assert words in reason, reason
    # What was refused left nothing behind that stands in the way of the right file.
    path.write_text(intact)
    copy.start()
    assert copy.height("V1") == 0


def test_files_that_are_no_genesis(tmp_path: Path) -> None:
    commands = Commands(tmp_path)
    for content in (b"", b"\xff\xfe", b"[]", b"[" * 100_000, b'{"chain": "a", "chain": "b"}'):
        (tmp_path / "genesis.json").write_bytes(content)
        told = commands.run("init", "--dir", "n", "--genesis", "genesis.json", status=1)
        assert told.err.startswith("bitenergy: "), told
        assert not (tmp_path / "n").exists()


def test_the_genesis_of_another_network(copy: Nodes) -> None:
    path = copy.network.folder / "genesis.json"
    document = json.loads(path.read_text())
    document["chain"] = "other"
    path.write_text(json.dumps(document))
    status, reason = run_to_its_end(copy)
    assert status in (EXIT_REFUSED, EXIT_STORAGE)
    assert "network" in reason or "genesis" in reason


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda folder: (folder / "keys/vote.json").chmod(0o644), "600"),
        (lambda folder: (folder / "keys/node.json").unlink(), "node.json"),
        (lambda folder: shutil.copy(folder / "keys/node.json", folder / "keys/vote.json"), "vote"),
        (lambda folder: (folder / "keys/vote.json").write_text("{}"), "vote.json"),
        (lambda folder: (folder / "node.toml").write_text("["), "node.toml"),
        (lambda folder: (folder / "node.toml").write_text("[magic]\n"), "magic"),
        (lambda folder: (folder.parent / "genesis.json").unlink(), "genesis"),
    ],
    ids=["readable", "missing", "swapped", "empty", "not toml", "unknown table", "no genesis"],
)
def test_keys_and_configurations(
    copy: Nodes, break_it: Callable[[Path], object], words: str
) -> None:
    break_it(copy.node("V1").folder)
    status, reason = run_to_its_end(copy)
    assert status == EXIT_REFUSED
    assert words in reason, reason


# --- damaged databases ---------------------------------------------------------------------------


def test_a_database_that_is_gone_is_not_begun_anew(copy: Nodes) -> None:
    data = copy.node("V1").folder / "data"
    for whole in (False, True):
        if whole:
            shutil.rmtree(data / "chain")
        else:
            (data / "chain" / "CURRENT").unlink()
        status, reason = run_to_its_end(copy)
        assert status == EXIT_STORAGE
        assert "database is gone" in reason
        assert "bitenergy node resync" in reason, "it says what to do"


def test_a_signing_file_that_is_damaged(copy: Nodes) -> None:
    [path] = (copy.node("V1").folder / "data").glob("signing-*")
    data = bytearray(path.read_bytes())
    for place in (40, len(data) // 2 + 40):
        data[place] ^= 1
    path.write_bytes(data)
    status, reason = run_to_its_end(copy)
    assert status == EXIT_STORAGE
    assert "damaged" in reason
    path.write_bytes(b"")
    status, reason = run_to_its_end(copy)
    assert status == EXIT_STORAGE


def test_a_signing_file_that_is_gone(copy: Nodes) -> None:
    [path] = (copy.node("V1").folder / "data").glob("signing-*")
    path.unlink()
    status, reason = run_to_its_end(copy)
    assert status == EXIT_STORAGE
    assert "sign" in reason


@pytest.mark.long
def test_bytes_that_flip_anywhere_in_the_database(copy: Nodes, network: Nodes) -> None:
    """The node comes up with the very state that it had, or not at all, and says so."""
    random = Random(5)
    chain = copy.node("V1").folder / "data" / "chain"
    intact = network.node("V1").folder / "data" / "chain"
    copy.start()
    known = copy.roots()
    copy.stop()
    statuses = []
    for path in sorted(intact.iterdir()):
        size = path.stat().st_size
        if path.name in ("LOCK", "LOG", "LOG.old") or not size:
            continue
        for damage in ("flip", "flip", "cut", "zero"):
            shutil.rmtree(chain)
            shutil.copytree(intact, chain)
            data = bytearray((chain / path.name).read_bytes())
            place = random.randrange(size)
            if damage == "flip":
                data[place] ^= 1 << random.randrange(8)
            elif damage == "cut":
                del data[place:]
            else:
                data[place:] = bytes(size - place)
            (chain / path.name).write_bytes(data)
            statuses.append(_status_after_damage(copy, known, f"{path.name} {damage} {place}"))
    assert EXIT_STORAGE in statuses
    print(f"{len(statuses)} damages: {statuses.count(EXIT_STORAGE)} stopped the node")


def _status_after_damage(nodes: Nodes, known: set[tuple[object, object]], what: str) -> int:
    before = len(nodes.log("V1"))
    process = nodes.spawn("V1")
    until(lambda: process.poll() is not None or nodes.status("V1"), f"a start after {what}")
    told = nodes.log("V1")[before:]
    assert '"trace"' not in told and "Traceback" not in told, (what, told)
    if process.poll() is not None:
        del nodes.processes["V1"]
        assert process.returncode == EXIT_STORAGE, (what, told)
        assert nodes.reason("V1")
        return EXIT_STORAGE
    try:
        found = nodes.roots()
        if found != known:
            # The end of the journal is gone, as if the last blocks had never been written: that
            # is said, and nothing is signed again at the heights that this validator signed.
            assert "cut" in what or "zero" in what, what
            assert "the chain was set back" in told, (what, told)
            assert found == nodes.roots(), what
    finally:
        nodes.stop("V1")
    return 0
