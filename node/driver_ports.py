"""What stands between the driver and others: the network, validators, and what block sync feeds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from consensus.messages import CommitCertificate, Validator
from node.block_pool import CompleteBlock


@dataclass(frozen=True, slots=True)
class KeyedValidator(Validator):
    """A validator with its vote key: sets that differ in a key alone are different sets.

    So an engine never counts a message that was checked against a key of the height before.
    """

    vote_key: bytes
    """Public key of its votes, 32 bytes."""


class Network(Protocol):
    """What the driver needs of the network."""

    def broadcast(self, kind: int, payload: bytes) -> None:
        """Send to all peers."""

    def send(self, peer: bytes, kind: int, payload: bytes) -> None:
        """Send to one peer."""

    def fetch_block(self, block_id: bytes, sources: tuple[int, ...]) -> None:
        """Ask for a block: validators by index, or anybody."""

    def blocks_missing(self, peer: bytes | None, height: int) -> None:
        """Have block sync look whether others are ahead."""


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


class ReleaseVote:
    """Lets a validator vote that held back since the process started."""
