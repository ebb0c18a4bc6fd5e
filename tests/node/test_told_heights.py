"""Whose word on its final height counts, while a validator waits to hear that nobody is ahead."""

import asyncio

from node.sync_peers import SyncPeers

PEER = b"p" * 32


def test_who_gave_no_blocks_counts_again_once_it_is_not_ahead() -> None:
    # Else a validator that had one slow answer never votes again where all are needed: nobody
    # tells a new height until it votes.
    async def scenario() -> None:
        sources = SyncPeers()
        sources.note_height(PEER, 5)
        assert sources.told_heights(3) == {PEER: 5}
        sources.pass_over(PEER)
        assert sources.told_heights(3) == {}
        assert sources.told_heights(5) == {PEER: 5}  # the blocks came from somebody else

    asyncio.run(scenario())
