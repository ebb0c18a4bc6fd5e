"""How often a validator has the disk sync, as the system sees it and as its metric tells."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.e2e.needs import require_strace
from tests.e2e.nodes import Nodes, local_network
from tests.e2e.support import Traffic, genesis_template, make_member
from tests.e2e.tracing import SYNCS, attached, data_paths, read_trace

HEIGHTS = 12
PER_HEIGHT = 4
PER_FURTHER_ROUND = 2


def rounds_of(nodes: Nodes, first: int, last: int) -> int:
    """Return how many rounds beyond the first one each the heights took, together."""
    found = 0
    for height in range(first, last + 1):
        certificate = nodes.client("V1").get(f"/blocks/{height}")["certificate"]
        assert isinstance(certificate, dict)
        found += int(str(certificate["round"]))
    return found


def test_at_most_four_syncs_a_height_and_the_metric_counts_them(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    require_strace()
    members = [make_member(f"M{number}") for number in range(4)]
    with local_network(tmp_path / "net", genesis_template(members), free_port) as nodes:
        nodes.start_connected()
        nodes.trade_once("V1", members[0])
        nodes.until_equal()
        traffic = Traffic(nodes.network.genesis, members)
        first = nodes.height("V1")
        told = {name: nodes.metric(name, "syncs_total") for name in nodes.names}
        with contextlib.ExitStack() as stack:
            for name in nodes.names:
                data = nodes.node(name).folder / "data"
                pid = nodes.processes[name].pid
                stack.enter_context(attached(pid, tmp_path / f"{name}.trace", data_paths(data)))
            for _ in range(HEIGHTS):
                nodes.accept("V1", traffic.next(members[1]))
                nodes.until_equal()
        last = nodes.height("V1")
        allowed = PER_HEIGHT * (last - first)
        allowed += PER_FURTHER_ROUND * rounds_of(nodes, first + 1, last)
        for name in nodes.names:
            data = nodes.node(name).folder / "data"
            calls = read_trace(tmp_path / f"{name}.trace", data)
            seen = sum(call.name in SYNCS for call in calls)
            counted = nodes.metric(name, "syncs_total") - told[name]
            print(name, last - first, "heights", seen, "syncs", Counter(map(str, calls)))
            assert 0 < seen <= allowed, (name, seen, allowed)
            assert counted == seen, f"{name} tells {counted} of {seen} syncs"
        nodes.stop()
