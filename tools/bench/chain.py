"""`bitenergy bench chain`: finalised market transactions a second, and how long finality takes."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tools.bench.contract_traffic import TRAFFICS
from tools.bench.load import Load, SentBatch, open_load
from tools.bench.machine import Yardstick, measure_yardstick, memory_bytes
from tools.bench.traffic import Traffic, make_traders
from tools.errors import EXIT_OK
from tools.output import note, print_fields, print_json, waiting
from tools.testnet import LocalNetwork, create_network, start_nodes, stop_nodes

SINGLES: Final = 40
PACED_S: Final = 10.0
TRAFFIC_SEED: Final = 1
EXECUTED: Final = "transactions_executed_total"


@dataclass(frozen=True, slots=True)
class ChainFigures:
    """What one run of the benchmark measured."""

    validators: int
    """Validators, each a process with a database of its own."""
    traffic: str
    """`market`: 40 % posts, 40 % buys, 20 % transfers; `contract`: transfers of a token."""
    transactions: int
    """Transactions of the sustained run."""
    members: int
    """Members that signed them."""
    finalised_per_s: float
    """Transactions a second from the first submission until the last was final everywhere."""
    v_per_s: int
    """Signature verifications a second of one core, same run."""
    w_per_s: int
    """The same of all cores."""
    share_of_limit: float
    """`finalised_per_s` over `w_per_s / validators`."""
    finality_ms_p50: float
    """At half of the reached rate, from submission at one node to final at another: median."""
    finality_ms_p95: float
    """The same: 95th percentile."""
    single_ms_p50: float
    """Without other load: median."""
    single_ms_p95: float
    """The same: 95th percentile."""
    rss_mb_max: float
    """Largest anonymous resident memory of a validator with its workers after the run, MB."""
    syncs_per_height: float
    """Disk syncs per height, largest of the validators."""
    signatures_checked: tuple[int, ...]
    """Signatures that each validator checked."""
    executed_per_final: float
    """Executions for each final transaction in the sustained run, mean of the validators."""
    failed: int
    """Transactions that are final with a failure code."""
    refused: dict[str, int]
    """Transactions that a node refused at its door, by code."""
    heights: int
    """Blocks of the sustained run."""


def run_bench(*, validators: int, transactions: int, kind: str, as_json: bool) -> int:
    """Run the benchmark on a fresh network on this machine; return the exit status."""
    with waiting("measuring the machine", quiet=as_json):
        yardstick = measure_yardstick()
    folder = Path(tempfile.mkdtemp(prefix="bitenergy-bench-"))
    traders = make_traders()
    template, make_traffic = TRAFFICS[kind]
    network = create_network(folder / "network", template(traders), validators=validators)
    traffic = make_traffic(network.genesis, traders, TRAFFIC_SEED)
    try:
        start_nodes(network.nodes)
        figures = asyncio.run(_measure(network, traffic, yardstick, transactions, kind))
    finally:
        stop_nodes(network.nodes)
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print_json(asdict(figures))
    else:
        print_fields("bench chain", list(asdict(figures).items()))
    return EXIT_OK


async def _measure(
    network: LocalNetwork, traffic: Traffic, yardstick: Yardstick, transactions: int, kind: str
) -> ChainFigures:
    urls = [node.api_url for node in network.nodes]
    async with open_load(urls) as load:
        for signed in traffic.preparation():
            before = load.finals[-1].transactions
            await load.send([signed], 0)
            await load.wait_final(before + 1)
        singles = [await _single(load, traffic) for _ in range(SINGLES)]
        note(f"signing {transactions} transactions")
        prepared = traffic.take(transactions)
        syncs = [await load.metric(node, "syncs_total") for node in range(len(urls))]
        executed = -sum([await load.metric(n, EXECUTED) for n in range(len(urls))])
        first_height = max(load.finals[0].at_s, default=0)
        note("sustained run")
        before = load.finals[-1].transactions
        start_s = time.monotonic()
        await load.flood(prepared)
        seconds = time.monotonic() - start_s
        heights = max(load.finals[0].at_s) - first_height
        syncs = [
            await load.metric(node, "syncs_total") - before for node, before in enumerate(syncs)
        ]
        rate = (load.finals[-1].transactions - before) / seconds
        executed += sum([await load.metric(n, EXECUTED) for n in range(len(urls))])
        memory = max(memory_bytes(node.mark) for node in network.nodes)
        note(f"{rate:.0f} a second; now at half of it")
        paced = traffic.take(int(rate / 2 * PACED_S))
        latencies = await _latencies(load, await load.pace(paced, rate / 2))
        return ChainFigures(
            validators=len(urls),
            traffic=kind,
            transactions=transactions,
            members=len(traffic.traders),
            finalised_per_s=round(rate, 1),
            v_per_s=yardstick.v_per_s,
            w_per_s=yardstick.w_per_s,
            share_of_limit=round(rate / (yardstick.w_per_s / len(urls)), 3),
            finality_ms_p50=_percentile(latencies, 50),
            finality_ms_p95=_percentile(latencies, 95),
            single_ms_p50=_percentile(singles, 50),
            single_ms_p95=_percentile(singles, 95),
            rss_mb_max=round(memory / 1e6, 1),
            syncs_per_height=round(max(syncs) / heights, 2),
            signatures_checked=tuple(
                [await load.metric(node, "signatures_checked_total") for node in range(len(urls))]
            ),
            executed_per_final=round(executed / len(urls) / transactions, 2),
            failed=await load.metric(0, "transactions_failed_total"),
            refused=load.refused,
            heights=heights,
        )


async def _single(load: Load, traffic: Traffic) -> float:
    """Return how long one transaction alone takes to be final at another node, milliseconds."""
    observer = load.finals[-1]
    before = observer.transactions
    sent = await load.send(traffic.take(1), 0)
    await load.wait_final(before + 1)
    final_s = observer.at_s[max(observer.at_s)]
    await asyncio.sleep(0.3)
    return (final_s - sent.at_s) * 1000


async def _latencies(load: Load, batches: Sequence[SentBatch]) -> list[float]:
    """Return for each transaction the milliseconds until a node other than its own had it final."""
    height_of: dict[str, int] = {}
    first_s = min(batch.at_s for batch in batches)
    for height in [found for found, at_s in load.finals[0].at_s.items() if at_s >= first_s]:
        for transaction_id in await load.block_ids(height):
            height_of[transaction_id] = height
    latencies: list[float] = []
    for batch in batches:
        other = load.finals[(batch.node + 1) % len(load.finals)]
        for transaction_id in batch.ids:
            at_s = other.at_s.get(height_of.get(transaction_id, -1))
            if at_s is not None:
                latencies.append((at_s - batch.at_s) * 1000)
    return latencies


def _percentile(values: Sequence[float], percent: int) -> float:
    if len(values) < 2:
        return round(values[0], 1) if values else -1.0
    return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 1)
