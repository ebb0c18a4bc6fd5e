"""What the driver takes beside an engine's own inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from consensus.messages import CommitCertificate
from node.block_pool import CompleteBlock


class SyncedInput:
    """A block from block sync, its certificate and signatures checked, for the driver to apply."""

    __slots__ = ("block", "certificate", "done")

    def __init__(
        self,
        block: CompleteBlock,
        certificate: CommitCertificate | None,
        done: asyncio.Future[None],
    ) -> None:
        self.block = block
        self.certificate = certificate
        self.done = done


class RestartEngine:
    """Asks for a `Started` after block sync moved the head."""


class MoveHead:
    """Asks to go on from another head: `move` puts it in the place of a chain at genesis.

    It tells whether it did; where not, the height under way goes on.
    """

    __slots__ = ("done", "move")

    def __init__(self, move: Callable[[], bool], done: asyncio.Future[None]) -> None:
        self.move = move
        self.done = done


class ReleaseVote:
    """Lets a validator vote that held back since the process started."""
