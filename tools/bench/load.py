"""The load: sends transactions to several nodes and notes when another node has them final."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from tools.bench.traffic import Signed, request_body
from tools.errors import NodeTimeout, ToolError

BATCH: Final = 250
WINDOW: Final = 8_000
STALL_S: Final = 60.0
PAGE: Final = 200


# mutable: filled while the load runs
@dataclass(slots=True)
class FinalHeights:
    """When one node made each height final, and how many transactions are final in all."""

    at_s: dict[int, float] = field(default_factory=dict)
    """Monotonic time by height."""
    transactions: int = 0
    """Transactions in these blocks."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at each new block."""


@dataclass(frozen=True, slots=True)
class SentBatch:
    """Transactions that went to one node in one request."""

    at_s: float
    """Monotonic time at which the request began."""
    node: int
    """Place of the node."""
    ids: tuple[str, ...]
    """Their ids."""


class Load:
    """Requests to the APIs of some nodes over connections that stay open."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str]) -> None:
        self._session = session
        self.urls = list(urls)
        self.finals = [FinalHeights() for _ in urls]
        self.refused: dict[str, int] = {}

    async def follow(self, node: int) -> None:
        """Note each final block of a node until cancelled."""
        url = f"{self.urls[node]}/api/v1/events?topics=block"
        final = self.finals[node]
        async with self._session.ws_connect(url) as socket:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                event = message.json()
                if event.get("type") == "block" and event["final"]:
                    final.at_s[event["height"]] = time.monotonic()
                    final.transactions += event["transactions"]
                    final.changed.set()

    async def send(self, transactions: Sequence[Signed], node: int) -> SentBatch:
        """Submit transactions to a node and count what it refuses."""
        start_s = time.monotonic()
        async with self._session.post(
            f"{self.urls[node]}/api/v1/transactions",
            data=request_body(transactions),
            headers={"Content-Type": "application/json"},
        ) as response:
            answer = await response.json()
        if response.status != 200:
            raise ToolError("a node refused a batch", actual=answer)
        for result in answer["results"]:
            if not result["accepted"]:
                self.refused[result["code"]] = self.refused.get(result["code"], 0) + 1
        return SentBatch(start_s, node, tuple(signed.id for signed in transactions))

    async def flood(self, transactions: Sequence[Signed]) -> list[SentBatch]:
        """Send as fast as the nodes take them, `WINDOW` under way at most; wait until all final."""
        observer = self.finals[-1]
        # What is refused never becomes final: it counts as if it were, in window and wait alike.
        base = observer.transactions + sum(self.refused.values())
        sent: list[SentBatch] = []
        pending: set[asyncio.Task[SentBatch]] = set()
        for number, start in enumerate(range(0, len(transactions), BATCH)):
            while start - (self._settled(observer) - base) > WINDOW or len(pending) >= 4:
                if pending:
                    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    sent.extend(task.result() for task in done)
                if start - (self._settled(observer) - base) > WINDOW:
                    await self._next_block(observer)
            batch = transactions[start : start + BATCH]
            pending.add(asyncio.ensure_future(self.send(batch, number % len(self.urls))))
        sent.extend([await task for task in pending])
        await self.wait_final(base + len(transactions) - sum(self.refused.values()))
        return sent

    def _settled(self, final: FinalHeights) -> int:
        return final.transactions + sum(self.refused.values())

    async def pace(self, transactions: Sequence[Signed], per_s: float) -> list[SentBatch]:
        """Send at a steady rate in small batches, then wait until all are final."""
        size = max(1, int(per_s / 50))
        base = self.finals[-1].transactions
        refused = sum(self.refused.values())
        start_s = time.monotonic()
        tasks: list[asyncio.Task[SentBatch]] = []
        for number, start in enumerate(range(0, len(transactions), size)):
            due_s = start_s + start / per_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            batch = transactions[start : start + size]
            tasks.append(asyncio.ensure_future(self.send(batch, number % len(self.urls))))
        sent = [await task for task in tasks]
        refused = sum(self.refused.values()) - refused
        await self.wait_final(base + len(transactions) - refused)
        return sent

    async def wait_final(self, transactions: int) -> None:
        """Wait until all nodes have this many transactions final; raises NodeTimeout."""
        for final in self.finals:
            while final.transactions < transactions:
                await self._next_block(final)

    async def _next_block(self, final: FinalHeights) -> None:
        final.changed.clear()
        try:
            await asyncio.wait_for(final.changed.wait(), STALL_S)
        except TimeoutError as error:
            raise NodeTimeout(
                f"nothing became final for {STALL_S:g} s", actual=f"{final.transactions} final"
            ) from error

    async def block_ids(self, height: int) -> list[str]:
        """Return the ids of a final block's transactions."""
        ids: list[str] = []
        first: int | None = 0
        while first is not None:
            url = f"{self.urls[0]}/api/v1/blocks/{height}?from={first}&limit={PAGE}"
            async with self._session.get(url) as response:
                answer = await response.json()
            ids.extend(found["id"] for found in answer["transactions"])
            first = answer["next"]
        return ids

    async def metric(self, node: int, name: str) -> int:
        """Return one of a node's metrics."""
        async with self._session.get(f"{self.urls[node]}/metrics") as response:
            text = await response.text()
        for line in text.splitlines():
            if line.startswith(f"bitenergy_{name} "):
                return int(float(line.rpartition(" ")[2]))
        raise ToolError(f"the node has no metric {name!r}")


@asynccontextmanager
async def open_load(urls: Sequence[str]) -> AsyncIterator[Load]:
    """Open connections to nodes and follow their blocks while the context lasts."""
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        load = Load(session, urls)
        followers = [asyncio.ensure_future(load.follow(node)) for node in range(len(urls))]
        await asyncio.sleep(0.2)
        try:
            yield load
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.gather(*followers, return_exceptions=True)
