"""Whose turn it is under proof of stake: by power, evenly, and the same for all who ask."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.messages import Validator
from consensus.pos import weighted_proposer
from consensus.validator_set import ValidatorSet

POWERS = st.lists(st.integers(1, 2**53 - 1), min_size=1, max_size=12)


def validators(*powers: int) -> ValidatorSet:
    return ValidatorSet(Validator(b"v%d" % place, power) for place, power in enumerate(powers))


@given(POWERS, st.integers(1, 2**62), st.integers(0, 2**31 - 1))
def test_a_turn_is_somebodys_and_a_pure_function(
    powers: list[int], height: int, round_: int
) -> None:
    first = weighted_proposer(validators(*powers), height, round_)
    assert 0 <= first < len(powers)
    assert weighted_proposer(validators(*powers), height, round_) == first


@pytest.mark.parametrize(
    "powers", [(1, 1, 1, 1), (1, 2, 3, 4), (97, 1, 1, 1), (10**15, 3 * 10**15), (5, 5, 5, 1, 1)]
)
@pytest.mark.parametrize("start", [1, 10**9])
def test_every_run_of_turns_is_shared_by_power(powers: tuple[int, ...], start: int) -> None:
    voters = validators(*powers)
    turns = [weighted_proposer(voters, start + turn, 0) for turn in range(4_000)]
    for index, power in enumerate(powers):
        for length in (50, 500, 4_000):
            fair = length * power / voters.total_power
            assert abs(turns[:length].count(index) - fair) <= 4, (index, length)
        waits = [turn for turn, who in enumerate(turns) if who == index]
        gaps = [later - earlier for earlier, later in pairwise(waits)]
        assert max(gaps, default=0) <= 2.7 * voters.total_power / power + 1


def test_a_proposer_that_is_away_is_passed_over_in_later_rounds() -> None:
    voters = validators(4, 3, 3, 3)
    for height in range(1, 500):
        rounds = [weighted_proposer(voters, height, round_) for round_ in range(5)]
        assert set(rounds) - {0}, height


def test_the_first_turns_are_frozen() -> None:
    """A second client that chooses otherwise would wait for somebody else."""
    voters = validators(1, 2, 3, 4)
    found = [weighted_proposer(voters, height, 0) for height in range(1, 17)]
    assert found == [3, 1, 3, 2, 0, 3, 2, 3, 2, 1, 3, 2, 0, 3, 1, 3]
