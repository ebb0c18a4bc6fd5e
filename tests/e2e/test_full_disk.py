"""A disk that is full: the node stops and says why, and loses nothing that it acknowledged."""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.needs import require
from tests.e2e.nodes import Nodes, local_network
from tests.e2e.support import Member, Traffic, genesis_template, make_member, until
from tools.client import NodeClient
from tools.errors import ClientError

EXIT_STORAGE = 74
TRADERS = 40
SMALL = "size=6m"
LARGE = "size=128m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes, where this machine lets us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", SMALL, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not done or done.returncode:
        require("mounting a small file system takes rights that we do not have here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.fixture
def members() -> list[Member]:
    return [make_member(f"M{number}") for number in range(TRADERS)]


class Load:
    """Traffic through one node until it no longer answers; knows what was acknowledged final."""

    def __init__(self, nodes: Nodes, name: str, members: list[Member]) -> None:
        self.final: set[str] = set()
        self._nodes = nodes
        self._name = name
        self._members = members
        self._traffic = Traffic(nodes.network.genesis, members)

    def run(self, is_over: Callable[[], bool]) -> None:
        """Trade until the node ends or `is_over`."""
        client = NodeClient(self._nodes.node(self._name).api_url, timeout_s=5)
        seen = 0
        try:
            while not is_over():
                batch = [self._traffic.next(member) for member in self._members]
                for member, result in zip(
                    self._members, client.submit([each.raw for each in batch]), strict=True
                ):
                    if not result["accepted"]:
                        member.nonce -= 1
                top = int(str(client.status()["final_height"]))
                for height in range(seen + 1, top + 1):
                    block = client.get(f"/blocks/{height}")
                    transactions = block["transactions"]
                    assert isinstance(transactions, list)
                    self.final.update(each["id"] for each in transactions)
                seen = max(seen, top)
        except ClientError:
            pass  # it ended, which is what we wait for
        finally:
            client.close()


def fill_until_it_ends(nodes: Nodes, name: str, members: list[Member]) -> tuple[Load, int]:
    """Trade until the node ends by itself; return what was final, and its exit status."""
    load = Load(nodes, name, members)
    process = nodes.processes[name]
    thread = threading.Thread(target=lambda: load.run(lambda: process.poll() is not None))
    thread.start()
    try:
        status = nodes.wait_ended(name, 60)
    finally:
        thread.join(20)
    assert load.final, "something was final before"
    return load, status


def assert_stopped_with_words(nodes: Nodes, name: str, status: int, *words: str) -> None:
    assert status == EXIT_STORAGE, nodes.log(name)[-2000:]
    reason = nodes.reason(name)
    assert any(word in reason for word in words), reason
    assert "acknowledged" in reason or "start" in reason, reason
    assert "Traceback" not in nodes.log(name) and '"trace"' not in nodes.log(name)


def put_data_on(nodes: Nodes, name: str, folder: Path) -> None:
    """Have a node keep its chain in another folder."""
    config = nodes.node(name).folder / "node.toml"
    config.write_text(config.read_text().replace('data = "data"', f'data = "{folder}/data"'))


def assert_nothing_lost(nodes: Nodes, name: str, load: Load) -> None:
    nodes.until_final(name, *sorted(load.final)[::7], deadline_s=10)
    height = nodes.height(name)
    found: set[str] = set()
    for number in range(1, height + 1):
        transactions = nodes.client(name).get(f"/blocks/{number}")["transactions"]
        assert isinstance(transactions, list)
        found.update(each["id"] for each in transactions)
    assert load.final <= found


def trade_again(nodes: Nodes, name: str, member: Member) -> None:
    member.nonce = int(str(nodes.client(name).account(member.name)["nonce"]))
    nodes.trade_once(name, member)


def test_a_full_disk_under_the_only_validator(
    tmp_path: Path, small_disk: Path, members: list[Member], free_port: Callable[[], int]
) -> None:
    template = genesis_template(members)
    with local_network(tmp_path / "net", template, free_port, validators=1) as nodes:
        put_data_on(nodes, "V1", small_disk)
        nodes.start()
        load, status = fill_until_it_ends(nodes, "V1", members)
        assert_stopped_with_words(nodes, "V1", status, "No space left")
        # As long as the disk is full it does not come up, or it stops again; it never lies.
        nodes.spawn("V1")
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert nodes.processes["V1"].wait(3) == EXIT_STORAGE
        nodes.kill_all()
        subprocess.run(["mount", "-o", f"remount,{LARGE}", str(small_disk)], check=True)
        nodes.start()
        assert_nothing_lost(nodes, "V1", load)
        trade_again(nodes, "V1", members[0])
        assert nodes.stop() == [0]
        nodes.start()
        assert_nothing_lost(nodes, "V1", load)


def test_a_full_disk_under_one_validator_of_four(
    tmp_path: Path, small_disk: Path, members: list[Member], free_port: Callable[[], int]
) -> None:
    with local_network(tmp_path / "net", genesis_template(members), free_port) as nodes:
        put_data_on(nodes, "V3", small_disk)
        nodes.start_connected()
        load = Load(nodes, "V1", members)
        process = nodes.processes["V3"]
        load.run(lambda: process.poll() is not None)
        status = nodes.wait_ended("V3")
        assert_stopped_with_words(nodes, "V3", status, "No space left")
        others = ("V1", "V2", "V4")
        nodes.until_equal(*others)
        height = nodes.height("V1")
        trade_again(nodes, "V1", members[0])
        assert nodes.height("V1") > height, "the others go on"
        subprocess.run(["mount", "-o", f"remount,{LARGE}", str(small_disk)], check=True)
        nodes.start("V3")
        nodes.until_equal()
        assert_nothing_lost(nodes, "V3", load)
        nodes.stop()


def test_files_that_may_not_grow(
    tmp_path: Path, members: list[Member], free_port: Callable[[], int]
) -> None:
    """A quota, as far as everybody can set one: a limit to the size of any file."""
    limit = 1_500_000

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    template = genesis_template(members)
    with local_network(tmp_path / "net", template, free_port, validators=1) as nodes:
        nodes.spawn("V1", before_exec=limit_files)
        nodes.await_answer("V1")
        load, status = fill_until_it_ends(nodes, "V1", members)
        assert_stopped_with_words(nodes, "V1", status, "File too large")
        nodes.start()
        assert_nothing_lost(nodes, "V1", load)
        trade_again(nodes, "V1", members[0])
        nodes.stop()


def test_a_disk_that_is_full_from_the_start(
    tmp_path: Path, small_disk: Path, members: list[Member], free_port: Callable[[], int]
) -> None:
    (small_disk / "filler").write_bytes(b"")
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb") as handle:
        while True:
            handle.write(bytes(65_536))
            handle.flush()
    template = genesis_template(members)
    with local_network(tmp_path / "net", template, free_port, validators=1) as nodes:
        put_data_on(nodes, "V1", small_disk)
        nodes.spawn("V1")
        status = nodes.wait_ended("V1", 20)
        assert_stopped_with_words(nodes, "V1", status, "No space left", "space")
        (small_disk / "filler").unlink()
        nodes.start()
        trade_again(nodes, "V1", members[0])
        nodes.stop()
        lines = [line for line in nodes.log_lines("V1") if line.get("text") == "started"]
        assert json.dumps(lines).count("started") == 1
        until(lambda: not nodes.running(), "all ended")
