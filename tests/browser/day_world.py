"""Nodes in memory with a day market, one with a day behind it and one that trades, and their pages.

Their clock is the chain's own, so hours of trading, readings and corrections take no time.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.request import Request, urlopen

from node.api.request_signing import sign_request
from node.api.server import ApiServer
from node.submission import Submission
from tests.ledger.support import TIME_MS, genesis_document, id_of, key_of, seed
from tests.node.api.support import KWH, MARKETS, TOKEN, FakeNode
from tests.node.api.test_day import INTERVAL_MS, TERMS
from tools.explorer.files import load_site
from tools.explorer.server import ExplorerServer

INTERVAL = TIME_MS // INTERVAL_MS + 3
DAY = "2026-06-21"
HOMES = ("A", "B", "C", "D", "E", "F")
BUSES = ("N1", "N1", "N2", "N2", "N1", "N2")
EVERYBODY = 255
DELIVERED = 3
"""Intervals in which is traded, from INTERVAL on; the first two are corrected or settled."""


SEALED_GATES = [
    {"kind": "intraday", "minutes": 60, "mechanism": "huang", "sealed": True, "deposit": "2"},
    {"kind": "real_time", "minutes": 5},
]


class EagerNode(FakeNode):
    """A node that makes a block of what it is handed at once."""

    async def submit(self, transactions: Sequence[bytes]) -> Sequence[Submission]:
        """Take transactions, and make them final."""
        found = await super().submit(transactions)
        if self.waiting:
            self.grow(*self.waiting.values())
        return found


@dataclass(frozen=True)
class DayWorld:
    """Where its pages are, and its node."""

    url: str
    node: FakeNode
    loop: asyncio.AbstractEventLoop

    def ask(self, path: str, signer: str = "") -> Any:
        """Return what the documented API answers, to a member if one is named."""
        headers = {}
        if signer:
            status = self.ask("/status")
            headers["Authorization"] = sign_request(
                seed(signer),
                genesis=bytes.fromhex(status["genesis"]),
                node=status["node"],
                method="GET",
                target=f"/api/v1{path}",
                account=id_of(signer),
                time_ms=time.time_ns() // 1_000_000,
            )
        request = Request(f"{self.url}api/v1{path}", headers=headers)
        with urlopen(request, timeout=20) as got:
            return json.load(got)

    @property
    def now_ms(self) -> int:
        """The time of the last block."""
        return int(self.ask("/status")["time_ms"])

    def act(self, action: Callable[[FakeNode], object]) -> None:
        """Do something to the node, between two of its answers."""

        async def do() -> None:
            action(self.node)

        asyncio.run_coroutine_threadsafe(do(), self.loop).result(20)


def make_document() -> bytes:
    """Return the genesis: six homes at two buses, each with a meter, one with a plant."""
    meters = [{"meter": "M" + name, "member": name} for name in HOMES]
    terms = TERMS | {"feeder": "feeder", "penalty": "4", "members": list(HOMES)}
    plant = {"plant": "roof", "member": "B", "technology": "solar", "capacity_w": 20_000}
    modules = {
        "market": {"markets": MARKETS},
        "meters": {
            "minute_ms": 400,
            "deadline_minutes": 15,
            "correction_minutes": 60,
            "meters": meters,
        },
        "day": {"markets": [terms]},
        "certificates": {"unit_kwh": 1, "period_intervals": 1, "plants": [plant]},
    }
    known = genesis_document()["roles"]
    assert isinstance(known, list)
    roles = list(dict.fromkeys([*known, "meter", "supplier", "auditor", "consumer"]))
    document: dict[str, Any] = genesis_document(modules=modules, roles=roles)
    people = {"Sup": "supplier", "Aud": "auditor", **dict.fromkeys(HOMES, "prosumer")}
    people |= {"M" + name: "meter" for name in HOMES}
    document["members"] += [
        {"name": name, "roles": [role], "balance": "1000", "key": key_of(name).hex()}
        | ({"bus": BUSES[HOMES.index(name)]} if name in HOMES else {})
        for name, role in people.items()
    ]
    return json.dumps(document).encode()


def make_sealed_document() -> bytes:
    """Return the genesis of four homes whose market has a sealed gate, and one after it."""
    homes = HOMES[:4]
    meters = [{"meter": "M" + name, "member": name} for name in homes]
    terms = TERMS | {"gates": SEALED_GATES, "penalty": "4", "max_energy_kwh": "20"}
    modules = {
        "meters": {"minute_ms": 400, "meters": meters},
        "day": {"markets": [terms | {"members": list(homes)}]},
    }
    known = genesis_document()["roles"]
    assert isinstance(known, list)
    roles = list(dict.fromkeys([*known, "meter", "supplier", "consumer"]))
    document: dict[str, Any] = genesis_document(modules=modules, roles=roles)
    people = {"Sup": "supplier", **dict.fromkeys(homes, "prosumer")}
    people |= {"M" + name: "meter" for name in homes}
    document["members"] += [
        {"name": name, "roles": [role], "balance": "1000", "key": key_of(name).hex()}
        for name, role in people.items()
    ]
    return json.dumps(document).encode()


def play(node: FakeNode) -> None:
    """Trade three intervals, one of them up to what a line bears; read the meters of two."""
    for place in range(DELIVERED + 1):
        interval = INTERVAL + place
        # Line L2 bears 750 Wh in a quarter of an hour.
        bid, offer = (KWH * (place + 1) // 2, 25 * TOKEN), (KWH * (place + 1) // 2, 12 * TOKEN)
        node.grow(
            node.transaction("C", ("day", "place", ("local", interval, "buy", (bid,), EVERYBODY))),
            node.transaction(
                "A", ("day", "place", ("local", interval, "sell", (offer,), EVERYBODY))
            ),
            node.transaction(
                "B", ("day", "place", ("local", interval, "buy", ((KWH, 20 * TOKEN),), EVERYBODY))
            ),
        )
    node.grow_until((INTERVAL + 2) * INTERVAL_MS)
    readings = []
    for place, name in enumerate(HOMES):
        used, made = (place + 1) * KWH // 4, 2 * KWH if name in ("A", "B") else 0
        registers = ((0, 0), (made, used), (2 * made, 2 * used))
        readings.append(
            node.transaction("M" + name, ("meters", "submit", (INTERVAL - 1, registers)))
        )
    node.grow(*readings)
    # Until corrections of the first are over, while the last one still takes orders.
    node.grow_until((INTERVAL + 8) * INTERVAL_MS)
    late = INTERVAL + 12
    for name, side, price in (("C", "buy", 25), ("D", "sell", 11)):
        steps = ((KWH, price * TOKEN),)
        node.grow(node.transaction(name, ("day", "place", ("local", late, side, steps, EVERYBODY))))


@contextmanager
def day_world(folder: Path) -> Iterator[DayWorld]:
    """Run the node with a day behind it, and its pages."""
    with _serve(lambda: FakeNode(folder, make_document()), play) as found:
        yield found


@contextmanager
def sealed_world(folder: Path) -> Iterator[DayWorld]:
    """Run the node whose gates are open, and its pages."""
    # Windows show the chain's time, by which they sign requests too.
    with (
        patch("node.api.viewers.WINDOW_MS", TIME_MS),
        _serve(lambda: EagerNode(folder, make_sealed_document()), FakeNode.grow) as found,
    ):
        yield found


@contextmanager
def _serve(make: Callable[[], FakeNode], begin: Callable[[FakeNode], object]) -> Iterator[DayWorld]:
    """Run a node and its pages in a thread of their own."""
    found: list[DayWorld] = []
    failed: list[BaseException] = []
    ready, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        node = make()
        begin(node)
        server = ApiServer(node, port=0, on_fatal=failed.append)
        url = f"http://127.0.0.1:{await server.start()}"
        pages = ExplorerServer(load_site(), url, host="127.0.0.1", port=0)
        own = f"http://127.0.0.1:{await pages.start()}/"
        found.append(DayWorld(own, node, asyncio.get_running_loop()))
        ready.set()
        await asyncio.to_thread(ended.wait)
        await pages.stop()
        await server.stop()
        node.store.close()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # told to the test, which waits
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        ready.wait(60)
        if failed:
            raise failed[0]
        yield found[0]
    finally:
        ended.set()
        thread.join(20)
    assert failed == []
