"""Changes of the validator set: bounded, never to nothing, and done in the end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.support import ROLES, Chain, id_of, key_of
from vm.system.validator_changes import changes_between, is_bounded_change, step_towards
from vm.system.validators import Validator, read_validators

ONE = st.tuples(st.integers(1, 10**6), st.integers(0, 1))
SETS = st.dictionaries(st.integers(0, 7), ONE, min_size=1, max_size=8)


def as_set(found: dict[int, tuple[int, int]]) -> tuple[Validator, ...]:
    return tuple(
        Validator(bytes([number, key]) * 16, power, bytes([number]) * 20)
        for number, (power, key) in sorted(found.items())
    )


@settings(max_examples=150, deadline=None)
@given(SETS, SETS)
def test_every_set_is_reached_by_bounded_steps(start: dict, goal: dict) -> None:
    current, wanted = as_set(start), as_set(goal)
    for _ in range(17):
        following = step_towards(current, wanted)
        assert following and is_bounded_change(current, following)
        assert (following == current) == (current == wanted)
        current = following
    assert current == wanted


@pytest.mark.parametrize(
    ("before", "after", "bounded"),
    [
        ((1, 1, 1, 1), (1, 1, 1, 1), True),
        ((1, 1, 1, 1), (1, 1, 1), True),
        ((1, 1, 1, 1), (1, 1), False),
        ((1, 1, 1, 1, 1, 1), (1, 1, 1, 1), True),
        ((1, 1, 1, 1), (1, 1, 1, 1, 1, 1), True),
        ((1, 1, 1, 1), (1, 1, 1, 1, 1, 1, 1), False),
        ((9, 1), (9,), True),
        ((1,), (1, 99), True),
        ((1,), (), False),
        ((3, 3, 3), (4, 4, 4), True),
        ((3, 3, 3), (5, 5, 5), False),
        ((6, 6, 6), (4, 4, 4), True),
        ((6, 6, 6), (3, 3, 6), True),
        ((6, 6, 6), (2, 3, 6), False),
    ],
)
def test_at_most_a_third_comes_or_goes(before: tuple, after: tuple, bounded: bool) -> None:
    old, new = (
        as_set({number: (power, 0) for number, power in enumerate(powers)})
        for powers in (before, after)
    )
    assert is_bounded_change(old, new) == bounded


def test_another_key_is_another_signer() -> None:
    old = as_set(dict.fromkeys(range(4), (1, 0)))
    new = as_set({0: (1, 1), 1: (1, 1), 2: (1, 0), 3: (1, 0)})
    assert not is_bounded_change(old, new)
    assert len(changes_between(old, new)) == 2


def test_calls_that_change_too_much_in_a_block_wait_for_the_next() -> None:
    chain = Chain()
    change = [("members", "set_roles", (id_of(name), 0)) for name in ("V1", "V2")]
    built = chain.grow(chain.transaction("Op", change[0]), chain.transaction("Op2", change[1]))
    assert built.codes == ["", "too_many_changes"]
    assert chain.run("Op2", change[1]).code == ""
    assert len(read_validators(chain.state)) == 2
    both = chain.transaction(
        "Op", *[("members", "set_roles", (id_of(name), 2)) for name in ("V1", "V2")]
    )
    assert chain.grow(both).codes == ["too_many_changes"]  # two of four new is half
    assert len(read_validators(chain.state)) == 2


def test_what_is_undone_in_the_same_block_is_no_change() -> None:
    chain = Chain()
    validator = 1 << ROLES.index("validator")
    calls = [("members", "set_roles", (id_of("V1"), roles)) for roles in (0, validator)]
    receipt = chain.run("Op", *calls)
    told = [event[2] for event in receipt.events if event[1] == "validator"]
    assert told == [
        (id_of("V1"), 0, key_of("V1", "vote"), 2),
        (id_of("V1"), 1, key_of("V1", "vote"), 2),
    ]
    assert chain.parent.header.next_validators == chain.parent.header.validators
