"""What a node answers at its door to a transaction."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of a submitted transaction at the door."""

    transaction_id: bytes
    """Its id, 32 bytes; empty where the bytes are no transaction."""
    code: str
    """Empty if it waits in the mempool now, else why not."""
    message: str
    """The reason in words; empty if it was accepted."""
