"""What the driver needs of the network, and validators as it names them to an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from consensus.messages import Validator


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
