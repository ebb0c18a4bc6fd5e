"""The arithmetic of proof of work: seals, and a difficulty that steers to the target interval."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from consensus.work import (
    MAX_DIFFICULTY,
    WorkRules,
    counted_interval_ms,
    encode_seal,
    next_difficulty,
    proved_work,
    seal_target,
)

RULES = WorkRules(target_interval_ms=1_000, initial_difficulty=4_000, min_difficulty=16)


def test_a_seal_proves_what_it_claims_or_nothing() -> None:
    target = seal_target(1_000)
    seal = encode_seal(1_000, 7)
    assert proved_work(target.to_bytes(32, "big"), seal) == 1_000
    assert proved_work((target + 1).to_bytes(32, "big"), seal) == 0
    assert proved_work(bytes(32), encode_seal(0, 7)) == 0
    assert proved_work(bytes(32), seal[:-1]) == proved_work(bytes(32), seal + b"\0") == 0
    assert proved_work(bytes(32), b"") == 0
    assert proved_work(b"\xff" * 32, encode_seal(1, 0)) == 1
    assert proved_work(bytes(32), encode_seal(MAX_DIFFICULTY, 0)) == MAX_DIFFICULTY


def test_the_difficulty_by_hand() -> None:
    assert next_difficulty(RULES, 0, 5) == 4_000
    assert next_difficulty(RULES, 16_000, 1_000) == 16_000
    assert next_difficulty(RULES, 16_000, 0) == 17_000
    assert next_difficulty(RULES, 16_000, 500) == 16_500
    assert next_difficulty(RULES, 16_000, 2_000) == 15_000
    assert next_difficulty(RULES, 16_000, 6_000) == 11_000
    assert next_difficulty(RULES, 16_000, 86_400_000) == 11_000
    assert next_difficulty(RULES, 16_000, -5) == 17_000
    assert next_difficulty(RULES, 17, 999) == 18  # small ones move too
    assert next_difficulty(RULES, 17, 1_001) == 16
    assert next_difficulty(RULES, 16, 9_000) == 16
    assert next_difficulty(RULES, MAX_DIFFICULTY, 0) == MAX_DIFFICULTY
    assert counted_interval_ms(RULES, 1, 10**12, 0) == 1_000
    assert counted_interval_ms(RULES, 2, 1_700, 200) == 1_500


@given(st.integers(16, MAX_DIFFICULTY), st.integers(0, 10**9))
def test_one_step_is_bounded(difficulty: int, interval_ms: int) -> None:
    found = next_difficulty(RULES, difficulty, interval_ms)
    assert difficulty - -(-difficulty * 5 // 16) <= found or found == RULES.min_difficulty
    assert found <= difficulty - (-difficulty // 16)
    assert (found >= difficulty) if interval_ms <= 1_000 else (found <= difficulty)


def mined(random: Random, rates_per_s: list[int]) -> list[int]:
    """Return the difficulty of each block of a chain mined at these rates, one for each block."""
    difficulty = next_difficulty(RULES, 0, 0)
    found = []
    for rate in rates_per_s:
        found.append(difficulty)
        interval_ms = int(random.expovariate(rate / difficulty) * 1_000)
        difficulty = next_difficulty(RULES, difficulty, interval_ms)
    return found


def test_the_difficulty_rises_when_a_second_miner_joins_and_falls_when_it_leaves() -> None:
    rate = 50_000
    found = mined(Random(1), [rate] * 400 + [2 * rate] * 400 + [rate] * 400)
    alone, both, again = (sum(found[at + 200 : at + 400]) // 200 for at in (0, 400, 800))
    # A target interval of a second: the difficulty is about the number of hashes in a second.
    assert rate * 0.85 < alone < rate * 1.15
    assert 2 * rate * 0.85 < both < 2 * rate * 1.15
    assert rate * 0.85 < again < rate * 1.15
