"""A quorum that was apart for an hour decides within ten seconds of its return.

Engines with their own timeouts, in virtual time: every round of that hour happens. Proof of work
is left out: two halves that each mined for an hour have both told blocks as final.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from consensus import interface as api
from consensus.messages import Proposal
from consensus.poa import PoaEngine
from consensus.pos import PosEngine
from tests.consensus.conformance import network
from tests.consensus.conformance.node import Factory, Packet

HOUR_MS = 3_600_000
DECIDES_MS = 10_000
POWERS = {"poa": (1, 1, 1, 1), "pos": (1, 2, 1, 3)}
ENGINES: dict[str, Factory] = {"poa": PoaEngine, "pos": PosEngine}
CASES = [("poa", "no blocks"), ("pos", "halves"), ("pos", "two away, one returns")]


class Apart(network.Network):
    """A network in which some packets do not pass, until it heals."""

    def __init__(self, name: str, way: str) -> None:
        super().__init__(network.Scenario(1, powers=POWERS[name]), ENGINES[name])
        self.way = way

    def send(self, source: int, target: int, packet: Packet) -> None:
        """Let pass what the way of being apart lets pass."""
        if self.way == "halves" and source // 2 != target // 2:
            return
        if self.way == "no blocks":
            if isinstance(packet.message, Proposal):
                return
            packet = replace(packet, block=None, chain=())
        super().send(source, target, packet)


@pytest.mark.parametrize(("name", "way"), CASES)
def test_a_quorum_decides_soon_after_an_hour_apart(
    name: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "CONFIG", api.EngineConfig(min_block_interval_ms=1_000))
    net = Apart(name, "")
    for node in net.nodes.values():
        node.start()
    net.run_until(30_000)
    before = {place: len(node.disk.chain) for place, node in net.nodes.items()}
    assert min(before.values()) > 10
    net.way = way
    away = [2, 3] if "away" in way else []
    for place in away:
        net.nodes[place].crash()
    net.run_until(30_000 + HOUR_MS)
    apart = {place: len(node.disk.chain) for place, node in net.nodes.items()}
    assert max(apart.values()) <= max(before.values()) + 2, "it was no quorum"
    rounds = max(node.engine.view().round for node in net.nodes.values() if node.alive)
    net.way = ""
    returning = away[1:] if "one returns" in way else away
    for place in returning:
        net.nodes[place].start()
    back = [place for place in net.nodes if place not in away or place in returning]
    healed_ms, goal = net.now_ms, max(apart.values()) + 1
    while min(len(net.nodes[place].disk.chain) for place in back) < goal:
        net.run_until(net.now_ms + 10)
        assert net.now_ms - healed_ms <= DECIDES_MS, f"round {rounds}, still apart"
    print(f"{name}, {way}: after round {rounds} decided in {net.now_ms - healed_ms} ms")
