"""A light node as a process: small, answers this machine with proofs, goes on where it stopped."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.p2p.peers import PeerAddress
from tests.e2e.support import DEADLINE_S, ROOT, Json, until
from tools.cli import run
from tools.client import NodeClient
from tools.commands.testnet import load_template
from tools.errors import ClientError, NodeRefused
from tools.node_folder import NodeSettings, create_keys, load_identity, write_config
from tools.testnet import LocalNetwork, create_network, start_nodes, stop_nodes

pytestmark = pytest.mark.network

MOST_BYTES = 48 * 1024 * 1024
NOT_FOR_BOARDS = ("plyvel", "aiohttp", "numpy", "numba", "cryptography")


class LightProcess:
    """The process of a light node in a folder of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, as a person does, and wait until it answers."""
        command = ("node", "run", "--config", str(self.folder / "node.toml"))
        with (self.folder / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tools.cli", *command],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(self.status, f"an answer; the log: {self.log()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it with a signal; return its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)

    def log(self) -> str:
        """Return its log."""
        return (self.folder / "node.log").read_text("utf-8")

    def status(self) -> Json | None:
        """Return what it says of itself; None if it does not answer."""
        client = NodeClient(self.url, timeout_s=2.0)
        try:
            return client.status()
        except ClientError:
            return None

    def get(self, path: str) -> Json:
        """Return an answer of its API."""
        return NodeClient(self.url).get(path)

    def resident_bytes(self) -> dict[str, int]:
        """Return its memory by the kernel's names, bytes."""
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text("ascii").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return {name: int(fields[name].split()[0]) * 1024 for name in ("VmHWM", "VmRSS", "RssAnon")}

    def libraries(self) -> str:
        """Return which files it has mapped."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/maps").read_text("ascii")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNetwork]:
    folder = tmp_path_factory.mktemp("light")
    (folder / "meter").mkdir()
    identity = create_keys(folder / "meter", votes=False)
    template = dict(load_template(ROOT / "genesis" / "bit-energy-case-2.json"))
    members = [dict(member) for member in template["members"]]  # type: ignore[attr-defined]
    meter = next(member for member in members if member["name"] == "C1")
    meter |= {"node_key": identity.node_key.hex(), "node_proof": identity.node_proof.hex()}
    template["members"] = members
    made = create_network(folder / "net", template, validators=4)
    try:
        start_nodes(made.nodes)
        yield made
    finally:
        stop_nodes(made.nodes)


@pytest.fixture(scope="module")
def light(network: LocalNetwork, free_port: Callable[[], int]) -> Iterator[LightProcess]:
    folder = network.folder.parent / "meter"
    (folder / "genesis.json").write_bytes((network.folder / "genesis.json").read_bytes())
    peers = [
        PeerAddress(load_identity(node.folder).node_key, "127.0.0.1", node.p2p_port)
        for node in network.nodes[:3]
    ]
    port = free_port()
    write_config(
        folder,
        NodeSettings(
            name="meter",
            genesis="genesis.json",
            p2p_listen=f"127.0.0.1:{free_port()}",
            api_listen=f"127.0.0.1:{port}",
            votes=False,
            peers=tuple(peers),
            mode="light",
        ),
    )
    found = LightProcess(folder, port)
    found.start()
    try:
        yield found
    finally:
        if found.process is not None and found.process.poll() is None:
            found.stop(signal.SIGKILL)


@pytest.fixture
def ask(
    network: LocalNetwork, light: LightProcess, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Json]:
    def call(*arguments: str, status: int = 0) -> Json:
        start = ["--home", str(network.home), "--node", light.url]
        found = run([*start, *arguments, "--json"])
        shown = capsys.readouterr()
        assert found == status, (shown, light.log())
        answer = json.loads(shown.out)
        assert isinstance(answer, dict)
        return answer

    return call


def test_the_wallet_works_with_it_as_with_a_full_node(
    network: LocalNetwork, light: LightProcess, ask: Callable[..., Json]
) -> None:
    before = ask("wallet", "balance", "P1")
    sent = ask("wallet", "transfer", "P1", "2.50", "--from", "C1", "--memo", "lunch")
    assert sent["receipt"]["code"] == ""
    after = ask("wallet", "balance", "P1")
    assert after["money_micro"] == before["money_micro"] + 2_500_000
    assert after["proved"]["height"] >= sent["height"]
    posted = ask("offer", "post", "--from", "P1", "--energy", "6kWh", "--price", "9.82")
    offer = light.get(f"/offers/{posted['offer_id']}")
    assert (offer["stands"], offer["energy_milli_wh"]) == (True, 6_000_000)
    assert light.get("/offers/99999")["stands"] is False
    full = NodeClient(network.nodes[0].api_url)
    account = full.account("C1")
    proved = light.get("/accounts/C1")
    shared = [name for name in proved if name not in ("proved", "next_nonce")]
    assert {name: proved[name] for name in shared} == {name: account[name] for name in shared}
    assert light.get("/params")["parameters"] == full.get("/params")["parameters"]
    ask("wallet", "transfer", "P1", "99999", "--from", "C1", status=1)


def test_it_says_what_it_cannot_do(light: LightProcess) -> None:
    for path, code in (
        ("/blocks", "unknown_path"),
        ("/accounts/Nobody", "unknown_account"),
        ("/accounts/no%20name", "invalid_parameter"),
        ("/state/xyz", "invalid_parameter"),
        ("/state/69ff", "no_answer"),
        ("/transactions/" + "0" * 64, "unknown_transaction"),
    ):
        with pytest.raises(NodeRefused) as found:
            light.get(path)
        assert found.value.code == code, path


def test_only_programs_of_this_machine_are_heard(light: LightProcess) -> None:
    def ask(method: str, body: bytes | None = None, **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", light.port, timeout=5)
        connection.putrequest(method, "/api/v1/transactions", skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(body)
        status = connection.getresponse().status
        connection.close()
        return status

    kind = {"Content_Type": "application/json"}
    assert ask("POST", b"{}", Content_Length="2", **kind) == 400
    assert ask("POST", b"{}", Content_Length="2", Content_Type="text/plain") == 415
    assert ask("POST", b"{}", Content_Length="2", Host="evil.example", **kind) == 403
    assert ask("POST", b"{}", Content_Length="2", Origin="http://evil.example", **kind) == 403
    assert ask("POST", b"", Content_Length=str(2**40), **kind) == 413
    assert ask("POST", b"", Transfer_Encoding="chunked", **kind) == 411
    assert ask("DELETE") == 404
    assert light.status() is not None


def test_it_is_small(light: LightProcess, ask: Callable[..., Json]) -> None:
    for _ in range(6):
        ask("wallet", "transfer", "P1", "0.01", "--from", "C1")
        light.get("/accounts/P2")
    found = light.resident_bytes()
    print(f"light node: {found}")
    assert found["VmHWM"] <= MOST_BYTES, found
    assert found["RssAnon"] <= found["VmRSS"] <= MOST_BYTES, found
    assert not [name for name in NOT_FOR_BOARDS if f"/{name}" in light.libraries()]


def test_it_goes_on_where_it_stopped(network: LocalNetwork, light: LightProcess) -> None:
    full = NodeClient(network.nodes[0].api_url)
    height = int(full.status()["height"])
    until(lambda: (light.status() or {}).get("height") == height, "the last header")
    assert light.stop() == 0
    stop_nodes(network.nodes)
    light.start()
    found = light.status()
    assert found is not None
    assert (found["height"], found["peers"]) == (height, 0)
    assert found["block_id"]
    with pytest.raises(NodeRefused) as refused:
        light.get("/accounts/C1")
    assert refused.value.code == "no_answer"
    start_nodes(network.nodes)
    until(lambda: (light.status() or {}).get("peers"), "a connection")
    assert light.get("/accounts/C1")["name"] == "C1"
    assert "trace" not in light.log()
