"""`bitenergy bench readers`: what WebSocket readers cost a validator at work."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import aiohttp

from tools.bench.idle import cpu_s
from tools.bench.load import Load, open_load
from tools.bench.traffic import Traffic, genesis_template, make_traders
from tools.errors import EXIT_OK
from tools.output import note, print_fields, print_json
from tools.testnet import LocalNode, create_network, start_nodes, stop_nodes

PER_S: Final = 50
WARM_S: Final = 3
ALL_TOPICS: Final = "block,transaction,trade"


@dataclass(frozen=True, slots=True)
class ReadersFigures:
    """What one run measured on a single validator under a steady load."""

    readers: int
    """WebSockets that followed all blocks, transactions and trades."""
    transactions_per_s: int
    """Market transactions that were sent."""
    cpu_share_without: float
    """Share of one core that the node used without readers."""
    cpu_share_with: float
    """The same with them."""
    cpu_share_of_readers: float
    """The difference."""
    messages_per_s: float
    """Messages that all readers got."""
    block_ms_without: float
    """Median time between blocks without readers, milliseconds."""
    block_ms_with: float
    """The same with them."""


def run_bench(*, readers: int, seconds: int, as_json: bool) -> int:
    """Measure and print; return the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="bitenergy-bench-"))
    traders = make_traders()
    network = create_network(folder / "network", genesis_template(traders), validators=1)
    try:
        start_nodes(network.nodes, timeout_s=60.0)
        traffic = Traffic(network.genesis, traders, 1)
        figures = asyncio.run(_measure(network.nodes[0], traffic, readers, seconds))
    finally:
        stop_nodes(network.nodes)
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print_json(asdict(figures))
    else:
        print_fields("bench readers", list(asdict(figures).items()))
    return EXIT_OK


async def _measure(node: LocalNode, traffic: Traffic, readers: int, seconds: int) -> ReadersFigures:
    async with open_load([node.api_url]) as load:
        await load.pace(traffic.take(PER_S * WARM_S), PER_S)
        note("without readers")
        without, blocks_without, _ = await _steady(load, node, traffic, seconds, [])
        note(f"with {readers} readers")
        counts = [0] * readers
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            )
            url = f"{node.api_url}/api/v1/events?topics={ALL_TOPICS}"
            tasks: list[asyncio.Task[None]] = []
            for place in range(readers):
                socket = await stack.enter_async_context(session.ws_connect(url))
                tasks.append(asyncio.create_task(_read(socket, counts, place)))
            shares = await _steady(load, node, traffic, seconds, counts)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    with_, blocks_with, messages = shares
    return ReadersFigures(
        readers,
        PER_S,
        round(without, 4),
        round(with_, 4),
        round(with_ - without, 4),
        round(messages / seconds, 1),
        round(_median_ms(blocks_without), 1),
        round(_median_ms(blocks_with), 1),
    )


async def _steady(
    load: Load, node: LocalNode, traffic: Traffic, seconds: int, counts: Sequence[int]
) -> tuple[float, list[float], int]:
    """Send for some seconds; return the node's share of a core, block times, and messages."""
    transactions = traffic.take(PER_S * seconds)
    heard, first = sum(counts), max(load.finals[0].at_s, default=0)
    loop = asyncio.get_running_loop()
    started_s, used_s = loop.time(), cpu_s(node)
    await load.pace(transactions, PER_S)
    share = (cpu_s(node) - used_s) / (loop.time() - started_s)
    at_s = load.finals[0].at_s
    return share, [at_s[each] for each in sorted(at_s) if each > first], sum(counts) - heard


def _median_ms(at_s: Sequence[float]) -> float:
    return 1_000 * statistics.median(b - a for a, b in pairwise(at_s))


async def _read(socket: aiohttp.ClientWebSocketResponse, counts: list[int], place: int) -> None:
    async for _ in socket:
        counts[place] += 1
