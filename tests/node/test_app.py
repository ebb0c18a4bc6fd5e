"""A node's process: configuration, logs, and every way in which it says that it cannot run."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node import app
from node.config import ConfigError, load_config, parse_peer
from node.keyfile import save_plain_key
from node.log import JsonLines, start_log
from node.node import NodeKeys
from node.store import StorageFailure, Store
from tests.node.network import genesis_document, node_identity, seed
from vm.primitives.errors import InvariantViolation

KEY = "ab" * 32
GOOD: dict[str, dict[str, object]] = {
    "node": {"name": "V0", "genesis": "genesis.json", "data": "data"},
    "keys": {"node": "node.key", "vote": "vote.key"},
    "p2p": {"listen": "127.0.0.1:0", "peers": []},
    "api": {"listen": "127.0.0.1:0"},
}


@pytest.fixture(autouse=True)
def locks_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the locks of vote keys out of the home folder: other tests hold theirs there."""
    monkeypatch.setattr("node.vote_guard.LOCK_FOLDER", (str(tmp_path / "locks"),))


@pytest.fixture(autouse=True)
def logs() -> Iterator[io.StringIO]:
    """Collect what the node logs; leave no handler behind."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root = logging.getLogger("bitenergy")
    before = (root.handlers[:], root.level, root.propagate)
    root.handlers[:] = [handler]
    root.setLevel("INFO")
    yield stream
    root.handlers[:], root.propagate = before[0], before[2]
    root.setLevel(before[1])


def write(folder: Path, changes: dict[str, dict[str, object]] | None = None) -> Path:
    """Write a configuration; a setting that is None is left out."""
    lines = []
    for table, settings in GOOD.items():
        merged = settings | (changes or {}).get(table, {})
        lines.append(f"[{table}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in merged.items() if value != ""]
    path = folder / "node.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_good_configuration_has_absolute_paths(tmp_path: Path) -> None:
    peer = f"{KEY}@[::1]:7000"
    config = load_config(write(tmp_path, {"p2p": {"peers": [peer]}, "node": {"workers": 2}}))
    assert config.data == tmp_path / "data"
    assert config.vote_key == tmp_path / "vote.key"
    assert config.workers == 2
    assert config.verify_synced_signatures is False
    assert (config.mode, config.join, config.trust) == ("archive", "blocks", None)
    assert (config.peers[0].host, config.peers[0].port) == ("::1", 7000)
    assert load_config(write(tmp_path, {"keys": {"vote": ""}})).vote_key is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"node": {"nmae": "x"}}, "unknown setting node.nmae"),
        ({"node": {"name": ""}}, "node.name is needed"),
        ({"node": {"name": 5}}, "node.name is needed"),
        ({"node": {"genesis": ""}}, "node.genesis is needed"),
        ({"node": {"log": "loud"}}, "unknown node.log"),
        ({"node": {"mode": "thin"}}, "unknown node.mode"),
        ({"node": {"join": "magic"}}, "unknown node.join"),
        ({"node": {"trust": "7"}}, "not a trusted header"),
        ({"node": {"trust": f"x:{KEY}"}}, "not a trusted header"),
        ({"node": {"keep_blocks": 0}}, "node.keep_blocks is a number"),
        ({"node": {"snapshot_interval": -1}}, "node.snapshot_interval is a number"),
        ({"node": {"workers": 0}}, "node.workers is a number"),
        ({"node": {"workers": True}}, "node.workers is a number"),
        ({"node": {"verify_synced_signatures": 1}}, "is true or false"),
        ({"keys": {"node": ""}}, "keys.node is needed"),
        ({"p2p": {"listen": "7000"}}, "p2p.listen is HOST:PORT"),
        ({"p2p": {"listen": "h:70000"}}, "p2p.listen is HOST:PORT"),
        ({"p2p": {"listen": "h:-1"}}, "p2p.listen is HOST:PORT"),
        ({"p2p": {"peers": "x"}}, "is a list of texts"),
        ({"p2p": {"peers": [1]}}, "is a list of texts"),
        ({"p2p": {"peers": ["nokey"]}}, "not a peer"),
        ({"p2p": {"peers": ["abc@h:1"]}}, "not a peer"),
        ({"p2p": {"peers": [f"{'00' * 32}@HOST:1"]}}, "HOST stands for"),
        ({"p2p": {"peers": [f"{KEY}@h"]}}, "p2p.peers is HOST:PORT"),
        ({"api": {"listen": ":80"}}, "api.listen is HOST:PORT"),
        ({"api": {"hosts": [1]}}, "is a list of texts"),
        ({"api": {"origins": ["x"]}}, "not a web origin"),
        ({"api": {"origins": ["https://example.org/page"]}}, "not a web origin"),
        ({"api": {"origins": ["file://example.org"]}}, "not a web origin"),
    ],
)
def test_each_mistake_in_a_configuration_is_named(
    tmp_path: Path, changes: dict[str, dict[str, object]], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(write(tmp_path, changes))


def test_files_that_are_no_configuration_are_refused(tmp_path: Path) -> None:
    for data in (b"[node", b"\xff\xfe", b"surprise = 1\n", b"[sky]\n"):
        (tmp_path / "node.toml").write_bytes(data)
        with pytest.raises(ConfigError):
            load_config(tmp_path / "node.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError):
        parse_peer("")


def lines_of(logs: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in logs.getvalue().splitlines()]


def test_the_log_is_json_by_the_line(logs: io.StringIO) -> None:
    log = logging.getLogger("bitenergy.test")
    log.info("two\nlines \u2028 \x00", extra={"block": b"\x01\xff", "odd": {1, 2}, "n": 3})
    try:
        raise ValueError("inner")
    except ValueError:
        log.exception("trouble %s", "here")
    first, second = lines_of(logs)
    assert first["text"] == "two\nlines \u2028 \x00"
    assert (first["block"], first["n"], first["level"]) == ("01ff", 3, "info")
    assert first["source"] == "test"
    assert isinstance(first["time_ms"], int)
    assert second["text"] == "trouble here"
    assert "ValueError: inner" in second["trace"]


def test_starting_the_log_twice_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    start_log("warning")
    start_log("warning")
    logging.getLogger("bitenergy.test").warning("once")
    logging.getLogger("bitenergy.test").info("not at all")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_no_secret_is_in_what_prints(logs: io.StringIO) -> None:
    secret = seed("vote V0")
    keys = NodeKeys(node_identity("V0"), secret)
    logging.getLogger("bitenergy.test").info("%s", keys, extra={"keys": keys})
    text = logs.getvalue() + repr(keys)
    for hidden in (secret, seed("node V0")):
        assert hidden.hex() not in text
        assert hidden.decode() not in text


def prepare(folder: Path, **changes: dict[str, object]) -> Path:
    """Lay out a directory from which a validator can run."""
    (folder / "genesis.json").write_bytes(genesis_document(["V0"], members=1))
    save_plain_key(folder / "node.key", seed("node V0"), purpose="node")
    save_plain_key(folder / "vote.key", seed("vote V0"), purpose="vote")
    return write(folder, changes)


def last_reason(logs: io.StringIO, capsys: pytest.CaptureFixture[str]) -> str:
    lines = [*capsys.readouterr().err.splitlines(), *logs.getvalue().splitlines()]
    return "\n".join(str(json.loads(line).get("reason", "")) for line in lines)


def test_it_runs_until_told_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = prepare(tmp_path)
    real = app.Node.start

    async def start_and_stop(self: app.Node) -> None:
        await real(self)
        asyncio.get_running_loop().call_later(
            0.2, __import__("os").kill, __import__("os").getpid(), 15
        )

    monkeypatch.setattr(app.Node, "start", start_and_stop)
    assert app.run(path) == app.EXIT_OK
    for line in capsys.readouterr().err.splitlines():
        json.loads(line)


def test_what_is_missing_or_wrong_is_refused_in_words(
    tmp_path: Path, logs: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(tmp_path / "none.toml") == app.EXIT_REFUSED
    path = prepare(tmp_path)
    (tmp_path / "genesis.json").unlink()
    assert app.run(path) == app.EXIT_REFUSED
    assert "genesis file" in last_reason(logs, capsys)
    (tmp_path / "genesis.json").write_text("{}")
    assert app.run(path) == app.EXIT_REFUSED
    assert f"the genesis file {tmp_path / 'genesis.json'}: " in last_reason(logs, capsys)


def test_a_taken_port_is_no_fault_of_ours(
    tmp_path: Path, logs: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for table in ("api", "p2p"):
            folder = tmp_path / table
            folder.mkdir()
            assert app.run(prepare(folder, **{table: {"listen": address}})) == app.EXIT_REFUSED
            reason = last_reason(logs, capsys)
            assert f"{table}.listen cannot be had" in reason
            assert f"{address} (" in reason and "in use" in reason


@pytest.mark.parametrize("table", ["api", "p2p"])
def test_a_host_that_is_no_name_is_no_fault_of_ours(
    tmp_path: Path, logs: io.StringIO, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    address = {"listen": "house..example:8646"}
    assert app.run(prepare(tmp_path, **{table: address})) == app.EXIT_REFUSED
    assert f"{table}.listen cannot be had" in last_reason(logs, capsys)


def test_a_second_process_and_a_lost_database_are_told_apart(
    tmp_path: Path, logs: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    path = prepare(tmp_path)
    store = Store(tmp_path / "data")
    assert app.run(path) == app.EXIT_REFUSED
    assert "another process" in last_reason(logs, capsys)
    store.close()
    (tmp_path / "data" / "blocks-were-here").touch()
    (tmp_path / "data" / "chain" / "CURRENT").unlink()
    assert app.run(path) == app.EXIT_STORAGE
    assert "database is gone" in last_reason(logs, capsys)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StorageFailure("the disk is broken"), app.EXIT_STORAGE),
        (InvariantViolation("two and two"), app.EXIT_BUG),
        (ValueError("a slip"), app.EXIT_BUG),
    ],
)
def test_what_stops_the_node_while_it_runs_decides_the_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    path = prepare(tmp_path)
    real = app.Node.start

    async def start_and_fail(self: app.Node) -> None:
        await real(self)

        async def fail() -> None:
            raise error

        self.spawn(fail())

    monkeypatch.setattr(app.Node, "start", start_and_fail)
    try:
        found: object = app.run(path)
    except SystemExit as end:
        found = end.code
    assert found == status


def test_an_error_that_only_the_loop_sees_is_logged_and_stops_where_it_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = prepare(tmp_path)
    real = app.Node.start

    def throw(error: Exception) -> None:
        raise error

    async def start_and_throw(self: app.Node) -> None:
        await real(self)
        loop = asyncio.get_running_loop()
        loop.call_soon(throw, ValueError("passes"))
        loop.call_soon(throw, StorageFailure("read error"))

    monkeypatch.setattr(app.Node, "start", start_and_throw)
    assert app.run(path) == app.EXIT_STORAGE
    text = capsys.readouterr().err
    assert "ValueError: passes" in text
    for line in text.splitlines():
        json.loads(line)
