"""A node with a certificate of its own: HTTPS and nothing else, for wallets, browsers and pages."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.support import Commands, Json, until


@dataclass
class Secured:
    """A validator that answers over HTTPS."""

    commands: Commands
    url: str
    fingerprint: str
    certificate: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def flags(self) -> tuple[str, str, str, str]:
        return ("--node", self.url, "--fingerprint", self.fingerprint)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("https")
    commands = Commands(folder)
    commands.run("testnet", "init", "--dir", "net", "--validators", "1")
    network = json.loads((folder / "net" / "home" / "network.json").read_text())
    config = next((folder / "net").glob("*/node.toml"))
    made = commands.ask("node", "certificate", "--config", str(config), "--host", "127.0.0.1")
    # The two lines that stand there for it.
    config.write_text(config.read_text().replace("# tls_", "tls_"))
    url = network["node"].replace("http://", "https://")
    # As on another machine: keys, and no idea of the network yet.
    (folder / "net" / "home" / "network.json").unlink()
    commands.settings["BITENERGY_HOME"] = str(folder / "net" / "home")
    found = Secured(commands, url, str(made["sha256"]), Path(str(made["certificate"])))
    with commands.background("node", "run", "--config", str(config)):
        until(lambda: _listens(found.port), "the node listens")
        yield found


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _read(url: str, certificate: Path) -> bytes:
    context = ssl.create_default_context(cafile=str(certificate))
    with urllib.request.urlopen(url, context=context, timeout=10) as answer:
        assert answer.status == 200
        return bytes(answer.read())


def test_api_and_pages_come_over_https_under_the_name_of_the_certificate(secured: Secured) -> None:
    status: Json = json.loads(_read(f"{secured.url}/api/v1/status", secured.certificate))
    assert status["chain"] == "testnet"
    assert b"<!doctype html>" in _read(f"{secured.url}/", secured.certificate).lower()


def test_plain_http_gets_no_answer(secured: Secured) -> None:
    with socket.create_connection(("127.0.0.1", secured.port), timeout=10) as plain:
        plain.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        try:
            while data := plain.recv(4_096):
                received += data
        except ConnectionError:
            pass
    assert b"HTTP/" not in received


def test_a_wallet_trusts_the_fingerprint_and_remembers_it(secured: Secured) -> None:
    run, ask = secured.commands.run, secured.commands.ask
    wrong = run("--node", secured.url, "--fingerprint", "ab" * 32, "node", "status", status=None)
    assert wrong.status != 0
    assert "another certificate" in wrong.err
    unnamed = run("--node", secured.url, "node", "status", status=None)
    assert unnamed.status != 0
    assert "--fingerprint" in unnamed.err
    plain = run("--node", secured.url, "--fingerprint", "xyz", "node", "status", status=None)
    assert "64 hexadecimal digits" in plain.err

    sent = ask(*secured.flags(), "wallet", "transfer", "P1", "2", "--from", "C1")
    assert sent["id"]
    # From then on the home folder knows node and certificate.
    assert ask("node", "status")["chain"] == "testnet"
    spaced = ":".join(secured.fingerprint[at : at + 2] for at in range(0, 64, 2)).upper()
    assert ask("--node", secured.url, "--fingerprint", spaced, "node", "status")


def test_pages_of_another_machine_ask_the_node_over_https(
    secured: Secured, free_port: Callable[[], int]
) -> None:
    port = free_port()
    words = (*secured.flags(), "explorer", "run", "--port", str(port))
    with secured.commands.background(*words):
        until(lambda: _listens(port), "the page server listens")
        address = f"http://127.0.0.1:{port}/api/v1/status"
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert json.loads(answer.read())["chain"] == "testnet"
