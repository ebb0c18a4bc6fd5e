"""The channel of agents to the chain: what it does with nodes that answer badly."""

from __future__ import annotations

import pytest

from tests.tools.fake_node import GENESIS, fake_node
from tools.agents.channel import Channel
from tools.errors import AnswerInvalid


@pytest.mark.parametrize("count", ["transactions_count", "system_receipts_count"])
def test_a_node_that_leaves_out_what_a_block_holds_is_not_waited_for(count: str) -> None:
    block = {"transactions": [], "system_receipts": []}
    counts = {"transactions_count": 0, "system_receipts_count": 0, count: 1}
    with fake_node() as node:
        status = {"genesis": GENESIS.hex(), "height": 8, "final_height": 8}
        node.routes["/status"] = lambda _: (200, status)
        node.routes["/blocks/8"] = lambda _: (200, {**block, **counts})
        channel = Channel([node.url], GENESIS, read_to=7)
        with pytest.raises(AnswerInvalid, match="leaves out what block 8 holds"):
            channel.read()
        channel.close()
