"""`bitenergy bench idle`: memory, start and rest of a validator with many accounts."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tools.bench.machine import memory_bytes
from tools.bench.traffic import genesis_template, make_traders
from tools.client import NodeClient, integer_field
from tools.errors import EXIT_OK, NodeTimeout
from tools.output import note, print_fields, print_json
from tools.testnet import LocalNode, create_network, node_status, start_nodes, stop_nodes

START_TIMEOUT_S: Final = 300.0
STARTS: Final = 3
REST_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class IdleFigures:
    """What one run measured on a single validator."""

    accounts: int
    """Accounts in its state."""
    first_start_s: float
    """From starting the process on an empty directory until its API answered."""
    start_s: float
    """The same on an existing chain, the best of three."""
    rss_mb: float
    """Anonymous resident memory of the node and its signature worker at rest, MB."""
    cpu_share: float
    """Share of one core that it used at rest."""
    heights_at_rest: int
    """Blocks it made at rest."""


def run_bench(*, accounts: int, as_json: bool) -> int:
    """Measure and print; return the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="bitenergy-bench-"))
    note(f"making {accounts} accounts")
    template = genesis_template(make_traders(), accounts)
    network = create_network(folder / "network", template, validators=1)
    node = network.nodes[0]
    try:
        figures = asdict(_measure(node, accounts))
    finally:
        stop_nodes(network.nodes)
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print_json(figures)
    else:
        print_fields("bench idle", list(figures.items()))
    return EXIT_OK


def _measure(node: LocalNode, accounts: int) -> IdleFigures:
    first_s = _start(node)
    starts: list[float] = []
    for _ in range(STARTS):
        stop_nodes([node])
        starts.append(_start(node))
    client = NodeClient(node.api_url)
    time.sleep(2.0)
    before, cpu = integer_field(client.status(), "final_height"), cpu_s(node)
    time.sleep(REST_S)
    cpu = cpu_s(node) - cpu
    heights = integer_field(client.status(), "final_height") - before
    client.close()
    return IdleFigures(
        accounts,
        round(first_s, 2),
        round(min(starts), 2),
        round(memory_bytes(node.mark) / 1e6, 1),
        round(cpu / REST_S, 4),
        heights,
    )


def _start(node: LocalNode) -> float:
    start_s = time.monotonic()
    start_nodes([node], timeout_s=START_TIMEOUT_S)
    if node_status(node) is None:
        raise NodeTimeout(f"{node.name} does not answer")
    return time.monotonic() - start_s


def cpu_s(node: LocalNode) -> float:
    """Return the processor time that the node's process used so far, seconds."""
    mark = node.mark
    if mark is None:
        return 0.0
    fields = Path(f"/proc/{mark.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
