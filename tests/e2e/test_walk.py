"""A new user's walk through the commands, on a network made, started and stopped by commands."""

from __future__ import annotations

import base64
import json
import re
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.support import Commands, until
from tests.e2e.terminal import run_on_terminal
from tools.client import list_field
from tools.testnet import kill_node, load_network_folder

WIDTH = 80
FULL_ID = re.compile(r"[0-9a-f]{64}")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """A running network of four validators; `run` and `ask` are those of its people."""
    folder = tmp_path_factory.mktemp("town")
    settings = {"BITENERGY_PASSWORD": "correct horse", "BITENERGY_MARKET": "spot"}
    commands = Commands(folder, settings)
    made = commands.ask("testnet", "init", "--dir", "net", "--validators", "4")
    assert [node["name"] for node in made["nodes"]] == ["V1", "V2", "V3", "V4"]  # type: ignore[attr-defined]
    try:
        started = commands.ask("testnet", "up", "--dir", "net")
        assert all(node["running"] for node in started["nodes"])  # type: ignore[attr-defined]
        commands.settings["BITENERGY_HOME"] = str(folder / "net" / "home")
        until(
            lambda: commands.ask("node", "status")["peers"] == 3,
            "all validators are connected",
            pause_s=0.2,
        )
        yield commands
        down = commands.ask("testnet", "down", "--dir", "net")
        assert down == {"stopped": ["V1", "V2", "V3", "V4"], "killed": []}
        commands.run("testnet", "status", "--dir", "net", status=1)
    finally:
        for node in load_network_folder(folder / "net").nodes:
            kill_node(node)
    for name in ("V1", "V2", "V3", "V4"):
        log = (folder / "net" / name / "node.log").read_text()
        assert "Traceback" not in log and '"trace"' not in log, log


@contextmanager
def person(town: Commands, name: str) -> Iterator[Commands]:
    """Let a person with an empty home, who only knows the address of a node, use the commands."""
    api = town.ask("testnet", "status", "--dir", "net")["nodes"][0]["api"]  # type: ignore[index]
    settings = {**town.settings, "BITENERGY_HOME": str(town.folder / name)}
    yield Commands(town.folder, {**settings, "BITENERGY_NODE": str(api)})


def test_the_network_is_seen(town: Commands) -> None:
    again = town.run("testnet", "init", "--dir", "net", status=1)
    assert "not empty" in again.err
    town.run("testnet", "up", "--dir", "net")  # those that run stay as they are
    seen = town.ask("testnet", "status", "--dir", "net")
    nodes = seen["nodes"]
    assert isinstance(nodes, list)
    assert len({node["pid"] for node in nodes}) == 4
    assert {node["status"]["genesis"] for node in nodes} == {seen["genesis"]}
    assert "V3" in town.run("testnet", "logs", "--dir", "net", "V3", "--lines", "3").out
    assert town.run("testnet", "logs", "--dir", "net", "V9", status=1).err
    assert town.ask("node", "doctor")["healthy"] is True
    assert town.run("node", "doctor").out


def test_a_new_member_comes_and_trades(town: Commands) -> None:
    with person(town, "ann") as ann, person(town, "bob") as bob:
        keys = {}
        for who, name in ((ann, "Ann"), (bob, "Bob")):
            made = who.ask("wallet", "create", name)
            keys[name] = made["public_key"]
            path = Path(who.settings["BITENERGY_HOME"]) / "keys" / f"{name}.json"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert "argon2id" in path.read_text()
            assert who.ask("wallet", "list")["keys"] == [  # no node is asked
                {"name": name, "address": made["address"], "public_key": made["public_key"]}
                | {"encrypted": True}
            ]
        not_yet = ann.run("wallet", "balance", "Ann", status=1)
        assert "no such account" in not_yet.err
        assert ann.ask("wallet", "balance", "Ann", status=1)["error"]
        for name, role in (("Ann", "prosumer"), ("Bob", "consumer")):
            town.ask(
                *("member", "add", name, "--key", str(keys[name]), "--role", role),
                *("--bus", "N1", "--from", "operator"),
            )
        town.run("member", "add", "Ann", "--key", "00" * 32, "--role", "prosumer",
                 "--from", "operator", status=1)  # fmt: skip
        names = [each["name"] for each in town.ask("member", "list")["members"]]  # type: ignore[attr-defined]
        assert {"Ann", "Bob", "C1", "operator"} <= set(names)

        town.ask("wallet", "transfer", "Bob", "100", "--from", "C1", "--memo", "welcome")
        town.ask("wallet", "transfer", "Ann", "--energy", "10kWh", "--from", "P1")
        posted = ann.ask("offer", "post", "--energy", "6kWh", "--price", "9.82")
        offer = str(posted["offer_id"])
        assert FULL_ID.fullmatch(str(posted["id"]))
        ann.ask("offer", "update", offer, "--energy", "5kWh", "--price", "9.5")
        listed = list_field(ann.ask("offer", "list", "--seller", "Ann"), "offers")[0]
        assert (listed["energy_milli_wh"], listed["price_micro_per_kwh"]) == (5_000_000, 9_500_000)
        assert any(each["id"] == int(offer) for each in bob.ask("market", "book")["offers"])  # type: ignore[attr-defined]

        buy_and_look(ann, bob, offer)


def buy_and_look(ann: Commands, bob: Commands, offer: str) -> None:
    """Have Bob buy of Ann's offer, and both look at what the chain says of it."""
    bought = bob.ask("buy", "--energy", "2kWh", "--max-price", "10")
    seen = bob.ask("tx", "show", str(bought["id"]))
    assert (seen["status"], seen["receipt"]["code"]) == ("final", "")  # type: ignore[index]
    block = bob.ask("block", "show", str(bought["height"]))
    assert str(bought["id"]) in json.dumps(block)
    [trade] = [
        each
        for each in bob.ask("market", "trades")["trades"]  # type: ignore[attr-defined]
        if each["buyer_name"] == "Bob"
    ]
    assert (trade["seller_name"], trade["amount_micro"]) == ("Ann", 19_000_000)
    assert bob.ask("market", "lines", "--market", "feeder")["lines"]
    ann.ask("offer", "withdraw", offer)
    assert ann.ask("offer", "list", "--seller", "Ann")["offers"] == []

    found = bob.ask("proof", "account", "Bob", "--verify")
    assert (found["money_micro"], found["energy_milli_wh"]) == (81_000_000, 2_000_000)
    assert found["verified"] is True
    assert int(str(found["signers"])) >= 3
    assert int(str(found["bytes"])) <= 4096
    history = bob.ask("wallet", "history", "Bob")["history"]
    assert isinstance(history, list)
    assert {"market.buy", "accounts.transfer"} <= {each["what"] for each in history}
    balance = ann.ask("wallet", "balance")  # the only key: no name is needed
    assert (balance["money_micro"], balance["energy_milli_wh"]) == (19_000_000, 8_000_000)


def test_what_cannot_be_is_refused_with_words_and_a_status(town: Commands) -> None:
    before = {name: town.ask("wallet", "balance", name) for name in ("C1", "P1", "P2")}
    posted = town.ask("offer", "post", "--energy", "1kWh", "--price", "50", "--from", "P1")
    own = str(posted["offer_id"])
    cases: list[tuple[str, int, str]] = [
        ("wallet transfer nobody 5 --from C1", 1, "no member has this name"),
        ("wallet transfer C2 0 --from C1", 1, "more than zero"),
        ("wallet transfer C2 -5 --from C1", 2, "-5"),
        ("wallet transfer C2 99999999999999999999 --from C1", 2, "more than the chain can hold"),
        ("wallet transfer C2 0.0000001 --from C1", 2, "0.0000001"),
        ("wallet transfer C2 99999 --from C1", 1, "not enough money"),
        ("wallet transfer C2 --energy 9MWh --from C1", 1, "not enough energy"),
        ("wallet transfer C2 --from C1", 2, "--energy"),
        ("wallet transfer bexyz 5 --from C1", 1, "no member"),
        ("wallet transfer C2 5", 1, "--from"),
        ("wallet transfer C2 5 --from nokey", 1, "no key called nokey"),
        ("offer post --energy 99kWh --price 9 --from P1", 1, "not enough energy"),
        ("offer post --energy 0kWh --price 9 --from P1", 1, "more than zero"),
        ("offer post --energy 6 --price 9 --from P1", 2, "no unit"),
        ("offer post --energy 1kWh --price 9 --from C1", 1, "not for this member"),
        ("offer post --energy 1kWh --price 9 --market moon --from P1", 1, "no market"),
        (f"offer update {own} --energy 1kWh --price 1 --from P2", 1, "another member"),
        (f"offer withdraw {own} --from P2", 1, "another member"),
        ("offer withdraw 999999 --from P1", 1, "no such offer"),
        ("buy --energy 1kWh --max-price 60 --from P1", 1, "own offers"),
        ("buy --energy 1GWh --max-price 60 --from C1", 1, "do not cover"),
        ("member suspend C1 --from P1", 1, "not for this member"),
        ("member add X1 --key 00 --role prosumer --from operator", 2, "64 hexadecimal digits"),
        ("member add X1 --wallet-key C1 --role wizard --from operator", 1, "wizard"),
        ("tx show abc", 1, "64 hexadecimal digits"),
        (f"tx show {'00' * 32}", 1, "no such transaction"),
        ("block show 999999", 1, "no final block"),
        ("block show -1", 2, ""),
        ("proof account nobody --verify", 1, "no member"),
        ("--node http://127.0.0.1:9 node status", 3, "no node answers"),
        ("--node ftp://x node status", 1, "not the address"),
        ("node run --config missing.toml", 2, "missing.toml"),
        ("nonsense", 2, "nonsense"),
    ]
    for line, status, words in cases:
        told = town.run(*line.split(), status=status)
        assert words in told.err, (line, told)
        assert told.err.strip(), line
        assert not told.out, (line, told)
    for line, status, _ in cases[:6]:
        error = town.ask(*line.split(), status=status)["error"]
        assert isinstance(error, dict)
        assert error["code"] and error["message"], line
    town.ask("offer", "withdraw", own, "--from", "P1")
    for name, known in before.items():
        now = town.ask("wallet", "balance", name)
        for field in ("money_micro", "energy_milli_wh", "energy_reserved_milli_wh"):
            assert now[field] == known[field], (name, field)


def test_passwords(town: Commands) -> None:
    with person(town, "pia") as pia:
        key = str(pia.ask("wallet", "create", "Pia")["public_key"])
        admit = ("member", "add", "Pia", "--key", key, "--role", "prosumer")
        town.ask(*admit, "--from", "operator")
        send = ("wallet", "transfer", "C1", "1")
        pia.settings["BITENERGY_PASSWORD"] = "wrong"
        assert "password" in pia.run(*send, status=1).err
        del pia.settings["BITENERGY_PASSWORD"]
        assert "nobody to ask" in pia.run(*send, status=1).err
        secret = pia.folder / "secret"
        secret.write_text("correct horse\n")
        secret.chmod(0o644)
        assert "600" in pia.run("--password-file", str(secret), *send, status=1).err
        secret.chmod(0o600)
        told = pia.run("--password-file", str(secret), *send, status=1)
        assert "not enough money" in told.err
        taken = pia.run("wallet", "create", "Pia", status=1)
        assert "already" in taken.err
        (Path(pia.settings["BITENERGY_HOME"]) / "keys" / "Pia.json").chmod(0o644)
        assert "600" in pia.run("--password-file", str(secret), *send, status=1).err


def test_a_proof_that_was_touched_proves_nothing(town: Commands) -> None:
    path = town.folder / "proof"
    town.ask("proof", "account", "C1", "--file", str(path))
    genesis = str(town.folder / "net" / "genesis.json")
    offline = ("proof", "account", "C1", "--verify", "--offline", "--file", str(path))
    found = town.ask(*offline, "--genesis", genesis)
    assert found["verified"] is True
    whole = path.read_bytes()
    touched = [whole[:-1], whole + b"\0", b"", whole[: len(whole) // 2]]
    for place in range(0, len(whole), max(1, len(whole) // 8)):
        touched.append(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    for number, data in enumerate(touched):
        path.write_bytes(data)
        told = town.run(*offline, "--genesis", genesis, status=1)
        assert told.err.startswith("bitenergy: "), (number, told)
    path.write_bytes(whole)
    wrong = town.run(*offline[:2], "P1", *offline[3:], "--genesis", genesis, status=None)
    # Offline a name is not proved; the address that was proved is shown, and it is not believed.
    assert wrong.status == 1 or "node's word" in wrong.err, wrong
    other = json.loads(Path(genesis).read_text())
    other["chain"] = "another"
    (town.folder / "other.json").write_text(json.dumps(other))
    told = town.run(*offline, "--genesis", str(town.folder / "other.json"), status=1)
    assert "genesis" in told.err or "network" in told.err


@contextmanager
def lying_node(api: str, lie: Callable[[str, dict[str, object]], None]) -> Iterator[str]:
    """Stand between a client and a node; `lie` may change the answer to each path in place."""
    host, _, port = api.removeprefix("http://").rpartition(":")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            connection = HTTPConnection(host, int(port), timeout=10)
            connection.request("GET", self.path)
            response = connection.getresponse()
            data = response.read()
            connection.close()
            answer = json.loads(data)
            lie(self.path, answer)
            data = json.dumps(answer).encode()
            self.send_response(response.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=lambda: server.serve_forever(0.01))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_lying_node_is_not_believed(town: Commands) -> None:
    api = str(town.ask("testnet", "status", "--dir", "net")["nodes"][0]["api"])  # type: ignore[index]
    (town.folder / "asker").mkdir()
    # Whoever asks has the network pinned, and no keys: a name is then the node's word.
    shutil.copy(town.folder / "net" / "home" / "network.json", town.folder / "asker")
    asker = Commands(town.folder, {**town.settings, "BITENERGY_HOME": str(town.folder / "asker")})
    richer = town.ask("proof", "account", "EDC")
    other = json.loads(json.dumps(richer))

    def swaps_accounts(path: str, answer: dict[str, object]) -> None:
        if path.endswith("/proofs/account/C2"):
            answer["proof"] = base64.b64encode(bytes.fromhex(str(other["proof"]))).decode()

    def hides_names(path: str, answer: dict[str, object]) -> None:
        swaps_accounts(path, answer)
        answer.pop("name_proof", None)

    def another_network(path: str, answer: dict[str, object]) -> None:
        if path.endswith("/status"):
            answer["genesis"] = "ab" * 32

    def other_genesis(path: str, answer: dict[str, object]) -> None:
        if path.endswith("/genesis"):
            text = json.dumps(answer).replace("1000.0", "9000.0")
            answer.clear()
            answer.update(json.loads(text))

    check = ("proof", "account", "C2", "--verify")
    for lie in (swaps_accounts, another_network):
        with lying_node(api, lie) as url:
            told = asker.run("--node", url, *check, status=1)
            assert told.err.startswith("bitenergy: "), (lie.__name__, told)
    with lying_node(api, hides_names) as url:
        # Without a proof of the name it is said that the account is the node's choice.
        told = asker.run("--node", url, *check, status=None)
        assert told.status == 1 or "node's word" in told.err, told
    with lying_node(api, other_genesis) as url:
        told = asker.run("--node", url, *check, status=None)
        assert told.status == 1 or "1000.00" in told.out, told
    with lying_node(api, lambda path, answer: None) as url:
        assert asker.ask("--node", url, *check)["verified"] is True


def test_on_a_terminal_of_eighty_columns(town: Commands) -> None:
    for line in (
        *("--help", "wallet --help", "buy --help", "testnet status --dir net", "wallet list"),
        *("wallet balance C1", "wallet history C1", "member list", "market book", "offer list"),
        *("market trades", "market lines", "node status", "node doctor", "block show latest"),
        *("proof account C1 --verify",),
    ):
        status, lines = run_on_terminal(town, line.split(), columns=WIDTH)
        assert status == 0, (line, lines)
        assert lines, line
        widest = max(lines, key=len)
        assert len(widest) <= WIDTH, (line, widest)
        assert not any("…" in each and "Network" not in each for each in lines[1:]) or (
            line.startswith("testnet status")
        ), (line, lines)


def test_a_network_without_quorum_is_explained(town: Commands) -> None:
    town.run("testnet", "down", "--dir", "net", "V3", "V4")
    try:
        late = town.run("--timeout", "1", "wallet", "transfer", "C2", "1", "--from", "C1", status=4)
        assert "not final" in late.err and "doctor" in late.err
        until(
            lambda: town.ask("node", "doctor", status=None)["healthy"] is False,
            "the doctor misses two validators",
            pause_s=0.3,
        )
        told = town.run("node", "doctor", status=1)
        assert "V3" in told.out and "V4" in told.out
    finally:
        town.run("testnet", "up", "--dir", "net")
    transaction = re.findall(FULL_ID, late.err)[0]
    until(
        lambda: town.run("tx", "show", transaction, status=None).status == 0,
        "what waited becomes final",
        pause_s=0.2,
    )
    until(lambda: town.run("node", "doctor", status=None).status == 0, "healthy", pause_s=0.3)


def test_a_node_of_ones_own_gets_in_once_it_is_admitted(
    town: Commands, free_port: Callable[[], int]
) -> None:
    folder = town.folder / "mine"
    config = folder / "node.toml"
    p2p, api = free_port(), free_port()
    neighbour = str(town.folder / "net" / "V2" / "node.toml")
    peer = town.ask("node", "keys", "--config", neighbour)["peer"]
    made = town.ask(
        *("init", "--dir", str(folder), "--name", "mine", "--p2p", f"127.0.0.1:{p2p}"),
        *("--genesis", str(town.folder / "net" / "genesis.json")),
        *("--api", f"127.0.0.1:{api}", "--peer", str(peer)),
    )
    again = ("init", "--dir", str(folder), "--genesis", str(folder / "genesis.json"))
    assert "not empty" in town.run(*again, status=1).err
    assert town.ask("node", "keys", "--config", str(config))["node_key"] == (made["node_key"])
    mine = f"http://127.0.0.1:{api}"
    with town.background("node", "run", "--config", str(config)) as process:
        until(
            lambda: town.run("--node", mine, "node", "status", status=None).status == 0, "it runs"
        )
        assert town.ask("--node", mine, "node", "status")["peers"] == 0
        told = town.run("--node", mine, "node", "doctor", status=1)
        assert "0 of 4" in told.out or "Missing" in told.out
        before = town.ask("node", "status")["final_height"]
        key = town.ask("wallet", "create", "Mine")["public_key"]
        town.ask(
            *("member", "add", "Mine", "--key", str(key), "--role", "board", "--from", "operator"),
            *("--node-key", str(made["node_key"]), "--node-proof", str(made["node_proof"])),
        )
        until(
            lambda: (
                int(str(town.ask("--node", mine, "node", "status")["final_height"]))
                > int(str(before))
            ),
            "the admitted node catches up",
            pause_s=0.2,
        )
        town.ask("wallet", "transfer", "C2", "1", "--from", "C1")
        until(
            lambda: (
                town.ask("--node", mine, "node", "status")["state_root"]
                == town.ask("node", "status")["state_root"]
            ),
            "the same root",
            pause_s=0.2,
        )
        town.ask("--node", mine, "wallet", "transfer", "C1", "1", "--from", "C2")
        remove = ("member", "remove", "Mine", "--from", "operator")
        assert "--yes" in town.run(*remove, status=2).err
        town.ask(*remove, "--yes")
        until(
            lambda: town.ask("--node", mine, "node", "status")["peers"] == 0,
            "the removed node is dropped",
            pause_s=0.2,
        )
        process.terminate()
        assert process.wait(15) == 0
