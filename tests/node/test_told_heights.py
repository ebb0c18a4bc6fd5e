"""Whose word on its final height counts, while a validator waits to hear that nobody is ahead."""

import asyncio
from types import SimpleNamespace
from typing import Any

from node.sync import BlockSync

PEER = b"p" * 32


class Gone:
    """Peers of whom none can be sent anything."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def send(self, key: bytes, kind: int, payload: bytes) -> bool:
        self.asked.set()
        return False


def test_who_gave_no_blocks_counts_again_once_it_is_not_ahead() -> None:
    # Else a validator that had one slow answer never votes again where all are needed: nobody
    # tells a new height until it votes.
    async def scenario() -> None:
        chain: Any = SimpleNamespace(height=3)
        peers: Any = Gone()
        driver: Any = SimpleNamespace(feed=lambda item: None)
        verifier: Any = None
        sync = BlockSync(
            chain, driver, verifier, peers, verify_signatures=True, is_decided_by_certificate=True
        )
        running = asyncio.ensure_future(sync.run())
        sync.peer_height(PEER, 5)
        await asyncio.wait_for(peers.asked.wait(), 5)
        await asyncio.sleep(0)
        assert sync.told_heights() == {}
        chain.height = 5  # the blocks came from somebody else
        assert sync.told_heights() == {PEER: 5}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())
