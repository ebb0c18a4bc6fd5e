"""What a demonstration reads of its network: all that happened by itself, however much it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.fake_node import Answer, fake_node
from tools import demo_network
from tools.client import NodeClient
from tools.demo_network import read_events, start_network
from tools.errors import AnswerInvalid, ToolError
from tools.testnet import LocalNetwork

PAGE = 100
"""Receipts of what happened by itself that a node shows at once."""


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
def test_events_of_all_receipts_of_a_block_are_read(count: int) -> None:
    receipts = [{"events": [{"module": "day", "event": "settle", "n": n}]} for n in range(count)]

    def block(query: dict[str, str]) -> Answer:
        first = int(query.get("from_system", "0"))
        shown = receipts[first : first + PAGE]
        return 200, {"system_receipts": shown, "system_receipts_count": count}

    with fake_node() as node:
        node.routes["/blocks/1"] = node.routes["/blocks/2"] = block
        client = NodeClient(node.url, genesis=node.genesis)
        found = read_events(client, 1, 2)
        client.close()
    assert [each["n"] for each in found] == [*range(count), *range(count)]


def test_a_node_that_leaves_receipts_out_is_not_believed() -> None:
    with fake_node() as node:
        node.routes["/blocks/1"] = lambda _: (
            200,
            {"system_receipts": [], "system_receipts_count": 2},
        )
        client = NodeClient(node.url, genesis=node.genesis)
        with pytest.raises(AnswerInvalid):
            read_events(client, 1, 1)
        client.close()


@pytest.mark.parametrize(("times", "made"), [(1, 2), (9, 3)])
def test_a_network_whose_ports_are_taken_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, made: int
) -> None:
    found: list[LocalNetwork] = []

    def make() -> LocalNetwork:
        (tmp_path / "net").mkdir()
        found.append(LocalNetwork(tmp_path / "net", bytes(32), ()))
        return found[-1]

    def start(_: object) -> None:
        if len(found) <= times:
            raise ToolError("another program listens", code="port_taken")

    monkeypatch.setattr(demo_network, "start_nodes", start)
    if times < made:
        assert start_network(make) is found[-1]
    else:
        with pytest.raises(ToolError, match="another program"):
            start_network(make)
    assert len(found) == made
