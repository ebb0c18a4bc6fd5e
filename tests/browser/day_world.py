"""A node in memory whose day market, meters and plants have had a day, and pages over its API.

Its clock is the chain's own, so hours of trading, readings and corrections take no time.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from node.api.request_signing import sign_request
from node.api.server import ApiServer
from tests.ledger.support import TIME_MS, genesis_document, id_of, key_of, seed
from tests.node.api import support
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


@dataclass(frozen=True)
class DayWorld:
    """Where its pages are."""

    url: str

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
    wait_until(node, (INTERVAL + 2) * INTERVAL_MS)
    readings = []
    for place, name in enumerate(HOMES):
        used, made = (place + 1) * KWH // 4, 2 * KWH if name in ("A", "B") else 0
        registers = ((0, 0), (made, used), (2 * made, 2 * used))
        readings.append(
            node.transaction("M" + name, ("meters", "submit", (INTERVAL - 1, registers)))
        )
    node.grow(*readings)
    # Until corrections of the first are over, while the last one still takes orders.
    wait_until(node, (INTERVAL + 8) * INTERVAL_MS)
    late = INTERVAL + 12
    for name, side, price in (("C", "buy", 25), ("D", "sell", 11)):
        steps = ((KWH, price * TOKEN),)
        node.grow(node.transaction(name, ("day", "place", ("local", late, side, steps, EVERYBODY))))


def wait_until(node: FakeNode, time_ms: int) -> None:
    """Make blocks until one is not before a time."""
    while node.store.head(node.store.height).header.time_ms < time_ms:  # type: ignore[union-attr]
        node.grow()


@contextmanager
def day_world(folder: Path) -> Iterator[DayWorld]:
    """Run the node and the pages in a thread of their own."""
    found: list[str] = []
    failed: list[BaseException] = []
    ready, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        real = support.make_document
        support.make_document = make_document
        try:
            node = FakeNode(folder)
        finally:
            support.make_document = real
        play(node)
        server = ApiServer(node, port=0, on_fatal=failed.append)
        url = f"http://127.0.0.1:{await server.start()}"
        pages = ExplorerServer(load_site(), url, host="127.0.0.1", port=0)
        found.append(f"http://127.0.0.1:{await pages.start()}/")
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
        yield DayWorld(found[0])
    finally:
        ended.set()
        thread.join(20)
    assert failed == []
