"""The history of the validators: one leaf that commits to every set that ever decided.

Evidence is judged by the validators of its height, so two nodes may only be of one mind about it
if they know the same changes. Who joins by a snapshot is told of the changes by peers; this leaf,
which the state root proves, shows that none was left out, not even two that cancel out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vm.overlay import StateReader
from vm.primitives.codec import encode_trusted, unpack_trusted
from vm.primitives.errors import InvariantViolation
from vm.primitives.hashing import EMPTY_HASH, TAG_HISTORY, tagged_hash

HISTORY_KEY: Final = b"h"
HISTORY_TYPE: Final = 13
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class ValidatorHistory:
    """All changes of the validators since genesis, in one hash; no leaf while there were none."""

    height: int = 0
    """Height of the last block after which other validators decide; 0 if there was none."""
    digest: bytes = EMPTY_HASH
    """Hash of the digest before, of that height and of the set that it named, 32 bytes."""

    def after(self, height: int, next_validators: bytes) -> ValidatorHistory:
        """Return the history with one change more: the hash of the set that follows `height`."""
        data = self.digest + height.to_bytes(8, "big") + next_validators
        return ValidatorHistory(height, tagged_hash(TAG_HISTORY, data))

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted((HISTORY_TYPE, VERSION, self.height, self.digest))


def read_history(state: StateReader) -> ValidatorHistory:
    """Return the history that a state commits to."""
    data = state.get(HISTORY_KEY)
    if data is None:
        return ValidatorHistory()
    match unpack_trusted(data):
        case (13, 1, int(height), bytes(digest)):
            return ValidatorHistory(height, digest)
    raise InvariantViolation(f"not a history of this version: {data.hex()[:80]}")
