"""The processes of a local network's nodes, as tests start, ask, kill and restart them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

from node.ledger.transaction import Transaction
from tests.e2e.support import (
    DEADLINE_S,
    ROOT,
    Json,
    Member,
    children,
    is_alive,
    make_member,
    until,
)
from tools.calls import transfer
from tools.client import NodeClient
from tools.errors import ClientError
from tools.testnet import LocalNetwork, LocalNode, create_network


class Nodes:
    """The processes of a local network's nodes, children of ours whose exit statuses we see."""

    def __init__(self, network: LocalNetwork) -> None:
        self.network = network
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._clients: dict[str, NodeClient] = {}

    @property
    def names(self) -> list[str]:
        """The nodes' names, in order."""
        return [node.name for node in self.network.nodes]

    def node(self, name: str) -> LocalNode:
        """Return a node's folder and ports."""
        return self.network.node(name)

    def spawn(
        self,
        name: str,
        *,
        flags: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
        config: Path | None = None,
        program: str | Path = sys.executable,
        before_exec: Callable[[], None] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a node's process with an interpreter, flags of it, and environment variables."""
        folder = self.node(name).folder
        chosen = config or folder / "node.toml"
        with (folder / "node.log").open("ab") as log:
            process = subprocess.Popen(
                [str(program), *flags, "-m", "tools.cli", "node", "run", "--config", str(chosen)],
                env={**os.environ, "PYTHONPATH": str(ROOT), **(settings or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=before_exec,  # noqa: PLW1509 -- no thread of ours holds a lock here
            )
        self.processes[name] = process
        return process

    def start(self, *names: str) -> None:
        """Start nodes (all by default) and wait until each answers."""
        chosen = names or tuple(self.names)
        for name in chosen:
            self.spawn(name)
        for name in chosen:
            self.await_answer(name)

    def await_answer(self, name: str) -> Json:
        """Wait until a node answers; fail with its log if it ends instead."""

        def answered() -> Json | None:
            process = self.processes[name]
            assert process.poll() is None, f"{name} ended: {process.returncode}\n{self.log(name)}"
            return self.status(name)

        return until(answered, f"an answer of {name}")

    def start_connected(self) -> None:
        """Start all nodes and wait until each sees all others."""
        self.start()
        for name in self.names:
            self.until_peers(name, len(self.names) - 1)

    def kill(self, *names: str) -> None:
        """End nodes as a power cut would."""
        for name in names:
            self.processes[name].kill()
        for name in names:
            self.processes.pop(name).wait(10)
            self._forget(name)

    def stop(self, *names: str) -> list[int]:
        """Stop nodes as a service manager would; return their exit statuses."""
        chosen = names or tuple(self.processes)
        for name in chosen:
            self.processes[name].terminate()
        statuses = []
        for name in chosen:
            statuses.append(self.processes.pop(name).wait(20))
            self._forget(name)
        return statuses

    def wait_ended(self, name: str, timeout_s: float = DEADLINE_S) -> int:
        """Wait until a node ends by itself; return its exit status."""
        status = self.processes[name].wait(timeout_s)
        del self.processes[name]
        self._forget(name)
        return status

    def kill_all(self) -> None:
        """End whatever runs, with the processes that it started."""
        for name in list(self.processes):
            process = self.processes.pop(name)
            orphans = children(process.pid)
            process.kill()
            process.wait(10)
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError):
                    if is_alive(pid):
                        os.kill(pid, signal.SIGKILL)
            self._forget(name)

    def _forget(self, name: str) -> None:
        client = self._clients.pop(name, None)
        if client is not None:
            client.close()

    # What they say

    def client(self, name: str) -> NodeClient:
        """Return a connection to a node's API."""
        if name not in self._clients:
            self._clients[name] = NodeClient(
                self.node(name).api_url, genesis=self.network.genesis, timeout_s=10
            )
        return self._clients[name]

    def status(self, name: str) -> Json | None:
        """Return what a node says of itself, None if it does not answer."""
        try:
            return dict(self.client(name).status())
        except ClientError:
            return None

    def running(self) -> list[str]:
        """Return the names of the nodes whose processes run."""
        return [name for name in self.names if name in self.processes]

    def height(self, name: str) -> int:
        """Return a node's last final height."""
        found = self.client(name).status()["final_height"]
        assert isinstance(found, int)
        return found

    def peers(self, name: str) -> int:
        """Return how many peers a node has."""
        found = self.client(name).status()["peers"]
        return len(found) if isinstance(found, list) else int(str(found))

    def until_peers(self, name: str, count: int, *, deadline_s: float = DEADLINE_S) -> None:
        """Wait until a node has this many peers."""
        until(lambda: self.peers(name) == count, f"{count} peers of {name}", deadline_s=deadline_s)

    def until_height(self, height: int, *names: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait until nodes (all that run by default) have reached a height."""
        chosen = names or tuple(self.running())
        until(
            lambda: all(self.height(name) >= height for name in chosen),
            f"height {height} of {', '.join(chosen)}",
            deadline_s=deadline_s,
        )

    def metric(self, name: str, wanted: str) -> int:
        """Return one of a node's metrics."""
        with urllib.request.urlopen(f"{self.node(name).api_url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        for line in text.splitlines():
            if line.startswith(f"bitenergy_{wanted} "):
                return int(float(line.rpartition(" ")[2]))
        raise AssertionError(f"no metric {wanted}")

    def roots(self, *names: str) -> set[tuple[object, object]]:
        """Return the heights and state roots of nodes (all that run by default)."""
        found = [self.client(name).status() for name in names or self.running()]
        return {(status["final_height"], status["state_root"]) for status in found}

    def until_equal(self, *names: str, deadline_s: float = DEADLINE_S) -> tuple[object, object]:
        """Wait until nodes have one height and root and nothing waits; return them."""
        chosen = names or tuple(self.running())

        def equal() -> tuple[object, object] | None:
            statuses = [self.client(name).status() for name in chosen]
            waiting = sum(int(str(_mempool(status))) for status in statuses)
            roots = {(status["final_height"], status["state_root"]) for status in statuses}
            return roots.pop() if len(roots) == 1 and not waiting else None

        return until(equal, f"one root of {', '.join(chosen)}", deadline_s=deadline_s)

    def submit(self, name: str, transactions: Sequence[Transaction]) -> list[Json]:
        """Send transactions to a node in one request."""
        return [dict(each) for each in self.client(name).submit([tx.raw for tx in transactions])]

    def accept(self, name: str, *transactions: Transaction) -> None:
        """Send transactions that the node takes."""
        for result in self.submit(name, transactions):
            assert result["accepted"], result

    def is_final(self, name: str, transaction_id: str) -> bool:
        """Tell whether a transaction stands in a final block of a node."""
        try:
            return self.client(name).get(f"/transactions/{transaction_id}")["status"] == "final"
        except ClientError:
            return False

    def until_final(self, name: str, *transaction_ids: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait until a node has all these transactions final."""
        waiting = list(transaction_ids)

        def all_final() -> bool:
            while waiting and self.is_final(name, waiting[-1]):
                waiting.pop()
            return not waiting

        what = f"{len(waiting)} transactions are final at {name}"
        until(all_final, what, deadline_s=deadline_s)

    def trade_once(self, name: str, member: Member) -> str:
        """Have a member move a little money through a node until it is final; return the id."""
        call = transfer(self.receiver(member), 1)
        transaction = member.sign(self.network.genesis, call)
        self.accept(name, transaction)
        self.until_final(name, transaction.id.hex())
        return transaction.id.hex()

    def receiver(self, member: Member) -> bytes:
        """Return an account that is not the member's."""
        other = make_member("M1" if member.name == "M0" else "M0")
        return other.account

    def accounts(self, name: str, members: Sequence[Member]) -> dict[str, Json]:
        """Return what a node says of members."""
        return {each.name: dict(self.client(name).account(each.name)) for each in members}

    def log(self, name: str) -> str:
        """Return all that a node logged."""
        path = self.node(name).folder / "node.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def reason(self, name: str) -> str:
        """Return the last reason that a node gave for ending."""
        reasons = [line["reason"] for line in self.log_lines(name) if "reason" in line]
        return str(reasons[-1]) if reasons else ""

    def log_lines(self, name: str) -> list[Json]:
        """Return the log's lines that are JSON objects."""
        found = []
        for line in self.log(name).splitlines():
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict):
                    found.append(value)
        return found

    def assert_no_fault(self) -> None:
        """Fail if a node met a bug of its own."""
        for name in self.names:
            log = self.log(name)
            for mark in ("Traceback", '"trace"', "fault of its own", "Exception ignored"):
                assert mark not in log, f"{name}: {log[max(0, log.find(mark) - 500) :][:4000]}"


def _mempool(status: Mapping[str, object]) -> object:
    found = status.get("mempool", 0)
    return found.get("transactions", 0) if isinstance(found, dict) else found


@contextlib.contextmanager
def local_network(
    folder: Path,
    template: Mapping[str, object],
    free_port: Callable[[], int],
    *,
    validators: int = 4,
) -> Iterator[Nodes]:
    """Make a network that does not run yet; at the end nothing of it runs any more."""
    with patch("tools.testnet.choose_ports", lambda count: [free_port() for _ in range(count)]):
        network = create_network(folder, template, validators=validators)
    nodes = Nodes(network)
    try:
        yield nodes
    finally:
        nodes.kill_all()
