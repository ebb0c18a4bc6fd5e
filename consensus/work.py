"""The arithmetic of proof of work: what a seal proves, and how much work the next block needs.

Everything here follows from headers alone, so that anyone can recompute it.
"""

from dataclasses import dataclass
from typing import Final

SEAL_BYTES: Final = 16
NONCE_BYTES: Final = 8
MAX_DIFFICULTY: Final = 2**64 - 1
DAMPING: Final = 16
"""How many blocks of one kind it takes, about, to bring the difficulty to their pace."""
LONGEST_INTERVALS: Final = 6
"""A longer interval counts as this many target intervals."""
_HASHES: Final = 2**256


@dataclass(frozen=True, slots=True)
class WorkRules:
    """The numbers of a network under proof of work; genesis states them."""

    target_interval_ms: int = 2_000
    """The mean time between blocks that the difficulty steers to."""
    finality_depth: int = 12
    """A block is final once this many blocks stand on it."""
    initial_difficulty: int = 65_536
    """The difficulty of the first two blocks."""
    min_difficulty: int = 1_024
    """No block needs less."""


def encode_seal(difficulty: int, nonce: int) -> bytes:
    """Return the seal that claims `difficulty`: 8 bytes of it and 8 bytes of nonce."""
    return difficulty.to_bytes(8, "big") + nonce.to_bytes(NONCE_BYTES, "big")


def seal_target(difficulty: int) -> int:
    """Return what a block's id, as a big-endian integer, must not pass."""
    return (_HASHES - 1) // difficulty


def proved_work(block_id: bytes, seal: bytes) -> int:
    """Return the difficulty that a seal claims if the block's id meets it, else 0.

    It is the mean number of hashes that it takes to find such a seal.
    """
    if len(seal) != SEAL_BYTES:
        return 0
    difficulty = int.from_bytes(seal[:-NONCE_BYTES], "big")
    if not difficulty or int.from_bytes(block_id, "big") > seal_target(difficulty):
        return 0
    return difficulty


def next_difficulty(rules: WorkRules, difficulty: int, interval_ms: int) -> int:
    """Return what a block needs whose parent needed `difficulty` and came after `interval_ms`.

    The change is a 16th of the difficulty for each target interval by which the parent came
    early or late: at most 1/16 up and 5/16 down. A parent that needed 0 is the genesis block.
    """
    if not difficulty:
        return max(rules.initial_difficulty, rules.min_difficulty)
    target_ms = rules.target_interval_ms
    counted_ms = min(max(interval_ms, 0), LONGEST_INTERVALS * target_ms)
    change, parts = difficulty * (target_ms - counted_ms), DAMPING * target_ms
    # Rounded away from zero, so that small difficulties move too.
    step = -(-change // parts) if change > 0 else change // parts
    return min(max(difficulty + step, rules.min_difficulty), MAX_DIFFICULTY)


def counted_interval_ms(rules: WorkRules, height: int, time_ms: int, parent_time_ms: int) -> int:
    """Return the interval before a block; that of block 1 says nothing, as genesis may be old."""
    return rules.target_interval_ms if height <= 1 else time_ms - parent_time_ms
