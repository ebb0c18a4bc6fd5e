"""Partitions between real machines, as far as one machine has them: links down, up, and one-way.

After healing the network decides within ten seconds, however long it was apart, and nothing has
forked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.load import Load, until_equal
from tests.e2e.namespaces import Wires, wired_network
from tests.e2e.needs import require_namespaces
from tests.e2e.support import genesis_template, make_member, until

pytestmark = pytest.mark.slow
DECIDES_S = 10.0
APART_S = 13.0
"""Longer than peers wait for a sign of life: connections are given up and dialed again."""
MEMBERS = [make_member(f"M{number}") for number in range(12)]


@pytest.fixture
def wires(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Wires]:
    """Four validators that run, each in a namespace of its own."""
    require_namespaces()
    template = genesis_template(MEMBERS, parameters={"block_interval_ms": 100})
    with wired_network(tmp_path / "net", template, free_port) as found:
        found.start()
        yield found
        found.nodes.assert_no_fault()


def decided_after_s(load: Load) -> float:
    """Wait for the next final block and return how long it took."""
    began_s, before = time.monotonic(), load.height

    def decided() -> bool:
        load.check()
        return load.height > before

    until(decided, f"a block after {before}", deadline_s=DECIDES_S)
    return time.monotonic() - began_s


def test_halves_links_and_one_way_links(wires: Wires) -> None:
    nodes = wires.nodes
    with Load(nodes, MEMBERS, pause_s=0.25) as load:
        load.until_final(20)
        # Two against two: nobody decides.
        wires.part(["V3", "V4"])
        time.sleep(1.5)  # what was under way has arrived
        heights = dict(load.heights)
        time.sleep(APART_S)
        assert load.heights == heights, "half of the validators decided"
        assert {nodes.peers(name) for name in nodes.names} == {1}, "cut links were noticed"
        wires.heal()
        print(f"decided {decided_after_s(load):.1f} s after halves met again")

        # One link after the other goes down while the one before is still coming back.
        for name in nodes.names:
            wires.set_link(name, "down")
            time.sleep(0.8)
            wires.set_link(name, "up")
        print(f"decided {decided_after_s(load):.1f} s after the last link was up")

        # One hears nobody, then two are not heard by the others.
        wires.deafen("V1", ["V2", "V3", "V4"])
        time.sleep(1.5)
        wires.deafen("V2", ["V3", "V4"])
        time.sleep(1.5)
        wires.heal()
        print(f"decided {decided_after_s(load):.1f} s after all heard again")
        load.stop_trading()
        until_equal(nodes)
    load.assert_nothing_lost()
    load.assert_conserved()
