"""Load on real nodes: members who trade through each of them, and what the nodes told as final.

A thread for each node trades through its API and reads every block that it calls final. Nodes may
end, hang and come back meanwhile: its members then ask for their next nonce, as a wallet does.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from tests.e2e.nodes import Nodes
from tests.e2e.support import KWH, TOKEN, Json, Member, Traffic, until
from tools.client import NodeClient
from tools.errors import ClientError

PAGE = 200
TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class ToldBlock:
    """A block that some node called final."""

    id: str
    transactions: tuple[str, ...]


class Load:
    """Trades while its context lasts; knows all that was acknowledged."""

    def __init__(self, nodes: Nodes, members: Sequence[Member], *, pause_s: float = 0.05) -> None:
        self.told: dict[int, ToldBlock] = {}
        self.heights: dict[str, int] = dict.fromkeys(nodes.names, 0)
        self.accepted = 0
        self._nodes = nodes
        self._members = list(members)
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._trading = threading.Event()
        self._ended = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(place, name), name=f"load {name}")
            for place, name in enumerate(nodes.names)
        ]

    def __enter__(self) -> Load:
        self._trading.set()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)

    def stop_trading(self) -> None:
        """Send nothing more; what becomes final is still noted."""
        self._trading.clear()

    def check(self) -> None:
        """Raise what went wrong in a thread, such as a promise that a node broke."""
        if self._errors:
            raise self._errors[0]

    @property
    def final(self) -> int:
        """How many transactions were told as final."""
        with self._lock:
            return sum(len(block.transactions) for block in self.told.values())

    @property
    def height(self) -> int:
        """The greatest height that any node told as final."""
        return max(self.heights.values())

    def until_final(self, count: int, *, deadline_s: float = 60.0) -> None:
        """Wait until this many transactions were told as final."""

        def reached() -> bool:
            self.check()
            return self.final >= count

        until(reached, f"{count} final transactions", deadline_s=deadline_s)

    # What must hold at the end

    def lost(self, name: str) -> list[str]:
        """Return what was told as final and is not in a node's chain: ids of transactions."""
        client = self._nodes.client(name)
        missing: list[str] = []
        for height, told in sorted(self.told.items()):
            found = read_block(client, height)
            missing += sorted(set(told.transactions) - set(found.transactions))
            assert found.id == told.id, f"{name} has another block {height} than was told"
        return missing

    def assert_nothing_lost(self, *names: str) -> None:
        """Fail unless nodes (all by default) have all that any node told as final."""
        self.check()
        assert self.told, "nothing was told as final"
        for name in names or self._nodes.names:
            assert not self.lost(name), name

    def assert_conserved(self) -> None:
        """Fail unless every node has the same accounts, and all money and energy is there."""

        def equal() -> list[Json] | None:
            views = [self._nodes.accounts(name, self._members) for name in self._nodes.names]
            return list(views[0].values()) if all(view == views[0] for view in views) else None

        accounts = until(equal, "the same accounts at every node")
        wanted = len(self._members)
        assert _sum(accounts, "money_micro", "money_reserved_micro") == 1000 * TOKEN * wanted
        energy = _sum(accounts, "energy_milli_wh", "energy_reserved_milli_wh")
        assert energy == 1000 * KWH * wanted

    # The threads

    def _run(self, place: int, name: str) -> None:
        members = self._members[place :: len(self._nodes.names)]
        client = NodeClient(self._nodes.node(name).api_url, timeout_s=TIMEOUT_S)
        traffic = Traffic(self._nodes.network.genesis, self._members, seed=place)
        is_sure = False
        try:
            while not self._ended.is_set():
                try:
                    if self._trading.is_set():
                        if not is_sure:
                            _ask_nonces(client, members)
                        is_sure = self._send(client, [traffic.next(each).raw for each in members])
                    self._read(name, client)
                except ClientError:
                    is_sure = False
                self._ended.wait(self._pause_s)
        except BaseException as error:
            self._errors.append(error)
        finally:
            client.close()

    def _send(self, client: NodeClient, transactions: Sequence[bytes]) -> bool:
        results = client.submit(transactions)
        accepted = sum(bool(result["accepted"]) for result in results)
        with self._lock:
            self.accepted += accepted
        return accepted == len(results)

    def _read(self, name: str, client: NodeClient) -> None:
        """Note the blocks that a node calls final since it was asked last."""
        top = int(str(client.status()["final_height"]))
        before = self.heights[name]
        assert top >= before, f"{name} told {before} as final, and now {top}"
        for height in range(before + 1, top + 1):
            known = self.told.get(height)
            found = read_block(client, height, limit=1 if known else None)
            with self._lock:
                first = self.told.setdefault(height, found)
            assert first.id == found.id, f"{name} told another block {height} as final"
            self.heights[name] = height


def read_block(client: NodeClient, height: int, limit: int | None = None) -> ToldBlock:
    """Return a final block as a node tells it, with up to `limit` of its transactions."""
    found: list[str] = []
    start: object = 0
    while True:
        page = client.get(f"/blocks/{height}?from={start}&limit={limit or PAGE}")
        transactions = page["transactions"]
        assert isinstance(transactions, list)
        found += [str(each["id"]) for each in transactions]
        start = page.get("next")
        if start is None or limit is not None:
            return ToldBlock(str(page["id"]), tuple(found))


def _ask_nonces(client: NodeClient, members: Sequence[Member]) -> None:
    for member in members:
        account = client.account(member.name)
        member.nonce = int(str(account.get("next_nonce", account["nonce"])))


def _sum(accounts: Sequence[Json], *fields: str) -> int:
    return sum(int(str(account[field])) for account in accounts for field in fields)


def until_equal(nodes: Nodes, *, deadline_s: float = 60.0) -> tuple[object, object]:
    """Wait until all nodes have one height and root; nodes that hang for a moment are waited for.

    Under proof of work heights go on growing: one final height of all, and its root, will do.
    """

    def equal() -> tuple[object, object] | None:
        with contextlib.suppress(ClientError):
            roots = nodes.roots(*nodes.names)
            return roots.pop() if len(roots) == 1 else None
        return None

    return until(equal, "one height and root everywhere", deadline_s=deadline_s)
