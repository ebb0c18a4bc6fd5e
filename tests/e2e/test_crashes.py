"""Power cuts in the middle of trading: one validator of four, two, all; nothing final is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.nodes import Nodes, local_network
from tests.e2e.support import (
    KWH,
    TOKEN,
    Member,
    Traffic,
    children,
    genesis_template,
    is_alive,
    make_member,
    until,
)
from tools.client import NodeClient
from tools.errors import ClientError

TRADERS = 24
QUIET_S = 2.0


class Trading:
    """Members who trade without pause through the APIs of the nodes, in a thread of their own.

    Each member keeps to one node, so that its nonces arrive in order; where its node is down it
    signs nothing.
    """

    def __init__(self, nodes: Nodes, members: list[Member]) -> None:
        self.nodes = nodes
        self.members = members
        self.accepted: dict[str, list[str]] = {name: [] for name in nodes.names}
        self.unsure: set[str] = set()
        self.refused: list[object] = []
        self.error: BaseException | None = None
        self._traffic = Traffic(nodes.network.genesis, members)
        self._ended = threading.Event()
        self._down: set[str] = set()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Trading:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Stop trading; raise what went wrong in the thread."""
        self._ended.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error

    def leave(self, name: str) -> None:
        """Trade no more through a node: its members wait, as they do not know what became."""
        self._down.add(name)

    def count(self, *names: str) -> int:
        """Return how many transactions nodes took (all by default)."""
        return sum(len(self.accepted[name]) for name in names or self.accepted)

    def until_count(self, wanted: int) -> None:
        """Wait until the nodes took this many transactions."""
        until(lambda: self.count() >= wanted, f"{wanted} transactions are taken")

    def begin_anew(self) -> None:
        """Let the members ask what their next nonce is, as a wallet does, and trade again."""
        self.nodes.until_equal()
        for member in self.members:
            account = self.nodes.client("V1").account(member.name)
            member.nonce = int(str(account["nonce"]))
        self._down.clear()

    def _run(self) -> None:
        clients = {
            name: NodeClient(self.nodes.node(name).api_url, timeout_s=10)
            for name in self.nodes.names
        }
        try:
            while not self._ended.is_set():
                for place, name in enumerate(self.nodes.names):
                    if name not in self._down:
                        self._send(name, clients[name], self.members[place :: len(clients)])
                self._ended.wait(0.02)
        except BaseException as error:
            self.error = error
        finally:
            for client in clients.values():
                client.close()

    def _send(self, name: str, client: NodeClient, members: list[Member]) -> None:
        batch = [self._traffic.next(member) for member in members]
        try:
            results = client.submit([transaction.raw for transaction in batch])
        except ClientError:
            # Killed in the middle: whether it took them is not known, and nothing was promised.
            self.unsure.update(transaction.id.hex() for transaction in batch)
            self._down.add(name)
            return
        for member, result in zip(members, results, strict=True):
            if result["accepted"]:
                self.accepted[name].append(str(result["id"]))
            else:
                # A full queue of this member's, while nothing becomes final: it tries again.
                member.nonce -= 1
                self.refused.append(result)


@pytest.fixture
def members() -> list[Member]:
    """Members with money and energy."""
    return [make_member(f"M{number}") for number in range(TRADERS)]


@pytest.fixture
def nodes(tmp_path: Path, members: list[Member], free_port: Callable[[], int]) -> Iterator[Nodes]:
    """Four validators that run and are connected; at the end none met a fault of its own."""
    with local_network(tmp_path / "net", genesis_template(members), free_port) as found:
        found.start_connected()
        yield found
        found.assert_no_fault()


def until_gone(pids: list[int]) -> None:
    """Wait until processes that lost their parent have ended by themselves."""
    until(lambda: not any(map(is_alive, pids)), "the workers of a killed node end", deadline_s=10)


def assert_conserved(nodes: Nodes, members: list[Member]) -> None:
    """Fail unless every node has the same accounts, and all money and energy is still there."""
    views = [nodes.accounts(name, members) for name in nodes.names]
    assert all(view == views[0] for view in views)
    for field, total in (("money", 1000 * TOKEN), ("energy", 1000 * KWH)):
        names = ("money_micro", "money_reserved_micro")
        if field == "energy":
            names = ("energy_milli_wh", "energy_reserved_milli_wh")
        assert sum(int(str(account[name])) for account in views[0].values() for name in names) == (
            total * len(members)
        ), field


def test_one_of_four_is_killed_and_catches_up(nodes: Nodes, members: list[Member]) -> None:
    with Trading(nodes, members) as trading:
        trading.until_count(200)
        for victim in ("V2", "V4"):
            survivors = [name for name in nodes.names if name != victim]
            final_before = nodes.height(victim)
            workers = children(nodes.processes[victim].pid)
            trading.leave(victim)
            nodes.kill(victim)
            killed_s = time.monotonic()
            height = max(nodes.height(name) for name in survivors)
            nodes.until_height(height + 1, *survivors, deadline_s=20)
            print(f"went on {time.monotonic() - killed_s:.2f} s after {victim} was killed")
            nodes.until_height(height + 6, *survivors, deadline_s=30)
            until_gone(workers)
            nodes.start(victim)
            assert nodes.height(victim) >= final_before, "what was final stays final"
            # It catches up while trading goes on.
            nodes.until_height(max(map(nodes.height, survivors)) - 3, victim, deadline_s=30)
        trading.end()
        nodes.until_equal()
        kept = [each for name in ("V1", "V3") for each in trading.accepted[name]]
        assert len(kept) > 100
        # All have one root; the node that was away last is asked for every one.
        nodes.until_final("V4", *kept)
        nodes.until_final("V1", *kept[::20])
        assert_conserved(nodes, members)


@pytest.mark.long
def test_two_are_killed_and_nothing_happens_until_one_returns(
    nodes: Nodes, members: list[Member]
) -> None:
    with Trading(nodes, members) as trading:
        trading.until_count(200)
        for name in ("V3", "V4"):
            trading.leave(name)
        nodes.kill("V3", "V4")
        until(lambda: _is_still(nodes, "V1", "V2"), "what was under way has ended")
        heights = {name: nodes.height(name) for name in ("V1", "V2")}
        taken = trading.count("V1", "V2")
        end_s = time.monotonic() + QUIET_S
        while time.monotonic() < end_s:
            assert {name: nodes.height(name) for name in ("V1", "V2")} == heights
        assert trading.count("V1", "V2") > taken, "transactions are still taken in"
        findings = nodes.client("V1").get("/doctor")["findings"]
        assert isinstance(findings, list)
        gravest = findings[0]
        assert (gravest["severity"], gravest["topic"]) == ("problem", "quorum")
        assert "V3" in gravest["message"] and "V4" in gravest["message"]

        nodes.start("V3")
        returned_s = time.monotonic()
        until(
            lambda: nodes.height("V1") > heights["V1"] and nodes.height("V3") > heights["V1"],
            "it goes on with three",
            deadline_s=20,
        )
        print(f"went on {time.monotonic() - returned_s:.2f} s after the third one answered")
        trading.end()
    nodes.until_final("V3", *trading.accepted["V1"], *trading.accepted["V2"])
    nodes.start("V4")
    nodes.until_equal()
    assert_conserved(nodes, members)


def _is_still(nodes: Nodes, *names: str) -> bool:
    before = [nodes.height(name) for name in names]
    time.sleep(0.5)
    return before == [nodes.height(name) for name in names]


@pytest.mark.long
def test_all_are_killed_at_once_and_go_on(nodes: Nodes, members: list[Member]) -> None:
    with Trading(nodes, members) as trading:
        for _ in range(3):
            trading.until_count(trading.count() + 100)
            final = [each for each in trading.accepted["V1"] if nodes.is_final("V1", each)]
            heights = {name: nodes.height(name) for name in nodes.names}
            for name in nodes.names:
                trading.leave(name)
            nodes.kill(*nodes.names)
            nodes.start()
            for name in nodes.names:
                assert nodes.height(name) >= heights[name], name
            nodes.until_final("V1", *final[-20:], deadline_s=10)
            trading.begin_anew()
    nodes.until_equal()
    assert_conserved(nodes, members)
