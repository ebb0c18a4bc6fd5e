"""What registers prove of a time: never less than they show, never more, and more with each one."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.meters.brackets import Bracket, Brackets, gas_of_reach
from market.meters.records import GAPS_SPACE
from tests.market.meters.test_properties import (
    ALL_OPEN,
    COUNT,
    HOURLY,
    begin,
    draw,
    play,
    registers_of,
)
from tests.market.meters.world import SECTION, Metered

MOST = 10_000_000
"""Milliwatt-hours that a connection of 40 kW carries in a quarter of an hour."""
NOTHING_PROVED = Bracket((0, 0), (MOST, MOST), is_enclosed=False)


def brackets(
    world: Metered, member: str, place: int, size: int = 1, parts: int = 1
) -> list[Bracket]:
    first = world.first + place
    end = first + size * parts
    found = Brackets(world.context(), world.config, world.ids[member], first, end)
    return [found.of(begin, begin + size) for begin in range(first, end, size)]


def enclosed(least: tuple[int, int], greatest: tuple[int, int]) -> Bracket:
    return Bracket(least, greatest, is_enclosed=True)


def exact(injected: int, withdrawn: int) -> Bracket:
    return enclosed((injected, withdrawn), (injected, withdrawn))


def test_two_neighbouring_registers_prove_the_energy_and_others_that_of_their_gap() -> None:
    world = Metered()
    assert brackets(world, "H1", 0) == [NOTHING_PROVED]
    world.until_end_of(0)
    world.submit("M1", 0, (10, 20))
    world.until_end_of(3)
    world.submit("M1", 3, (10, 20 + 3_000))
    assert brackets(world, "H1", 0, parts=3) == [
        exact(10, 20),
        enclosed((0, 0), (0, 3_000)),
        enclosed((0, 0), (0, 3_000)),
    ]
    assert brackets(world, "H1", 1, size=3) == [exact(0, 3_000)]
    assert brackets(world, "H1", 2, size=3) == [Bracket((0, 0), (MOST, MOST + 3_000), False)]


def test_what_the_rest_of_a_gap_cannot_have_carried_is_proved() -> None:
    world = Metered()
    world.until_end_of(2)
    world.submit("M1", 2, (0, 2 * MOST + 7))
    assert brackets(world, "H1", 0, parts=3) == [enclosed((0, 7), (0, MOST))] * 3
    assert brackets(world, "H1", 0, size=2) == [enclosed((0, MOST + 7), (0, 2 * MOST))]


def test_nothing_is_proved_between_two_meters() -> None:
    world = Metered()
    ids = world.ids
    world.until_end_of(1)
    world.submit("M1", 0, (0, 1), (0, 2))
    world.ask("DSO", "revoke", ids["M1"], ())
    world.ask("DSO", "register", ids["M3"], ids["H1"], world.first + 4, 500, 500, 0)
    world.until_end_of(5)
    world.submit("M3", 5, (500, 560))
    assert brackets(world, "H1", 1, parts=5) == [
        exact(0, 1),
        NOTHING_PROVED,
        NOTHING_PROVED,
        enclosed((0, 0), (0, 60)),
        enclosed((0, 0), (0, 60)),
    ]
    assert brackets(world, "H1", 4, size=2) == [exact(0, 60)]


def test_a_meter_that_takes_over_at_the_last_register_leaves_no_gap() -> None:
    world = Metered()
    ids = world.ids
    world.until_end_of(1)
    world.submit("M1", 0, (0, 1))
    world.ask("DSO", "revoke", ids["M1"], (world.first + 1, 0, 6))
    world.ask("DSO", "register", ids["M3"], ids["H1"], world.first + 2, 500, 500, 0)
    world.until_end_of(2)
    world.submit("M3", 2, (500, 507))
    assert brackets(world, "H1", 0, parts=3) == [exact(0, 1), exact(0, 5), exact(0, 7)]


@pytest.mark.parametrize("section", [SECTION, ALL_OPEN, HOURLY], ids=["soon final", "open", "mean"])
@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_registers_prove_their_difference_whatever_was_final_when_they_came(
    section: dict[str, Any], seed: int
) -> None:
    random = Random(seed)
    moved, plan = draw(random)
    world = begin({**section, "max_power_w": 36 * 15 // section.get("interval_minutes", 15)})
    taken = play(world, registers_of(moved, (999_000, 0)), plan)
    known = [0, *(each + 1 for each in sorted(taken))]
    for _ in range(20):
        low, high = sorted((random.choice(known), random.choice(known)))
        if low < high:
            total = [sum(each[way] for each in moved[low:high]) for way in (0, 1)]
            assert brackets(world, "H1", low, high - low) == [exact(total[0], total[1])]
    for low in range(COUNT):
        (found,) = brackets(world, "H1", low, 2)
        for way in (0, 1):
            truth = sum(each[way] for each in moved[low : low + 2])
            assert found.least[way] <= truth <= found.greatest[way]


def test_a_gap_part_of_which_was_final_is_remembered_with_what_it_has_beyond_its_energies() -> None:
    world = Metered()
    world.until_end_of(20)
    world.submit("M1", 20, (0, 2_100))
    assert [key for key in world.overlay.changes if key[:2] == GAPS_SPACE]
    assert brackets(world, "H1", 0, size=21) == [exact(0, 2_100)]
    # A register within it takes over what the gap had.
    world.submit("M1", 15, (0, 2_099))
    assert brackets(world, "H1", 0, size=16) == [exact(0, 2_099)]
    assert brackets(world, "H1", 16, size=5) == [exact(0, 1)]
    world.submit("M1", 13, (0, 5))
    assert brackets(world, "H1", 0, size=14) == [exact(0, 5)]
    assert brackets(world, "H1", 14, size=2) == [exact(0, 2_094)]


def test_a_first_meter_proves_from_its_beginning_on() -> None:
    world = Metered(section={**SECTION, "meters": []})
    ids = world.ids
    world.ask("DSO", "register", ids["M1"], ids["H1"], world.first + 2, 0, 300, 0)
    world.until_end_of(3)
    world.submit("M1", 3, (0, 307))
    assert brackets(world, "H1", 2, size=2) == [exact(0, 7)]
    assert brackets(world, "H1", 0, size=4) == [Bracket((0, 7), (2 * MOST, 2 * MOST + 7), False)]


def test_a_gap_longer_than_energies_are_kept_proves_nothing() -> None:
    world = Metered()
    world.until_end_of(0)
    world.submit("M1", 0, (0, 1))
    world.until_end_of(400)
    world.submit("M1", 400, (0, 4_000))
    world.submit("M1", 399, (0, 4_000))
    assert brackets(world, "H1", 398, parts=3) == [NOTHING_PROVED, NOTHING_PROVED, exact(0, 0)]


def test_registers_that_may_have_gone_all_round_prove_nothing() -> None:
    world = Metered(section={**SECTION, "meters": []})
    ids = world.ids
    world.ask("DSO", "register", ids["M1"], ids["H1"], world.first, 0, 0, 2 * MOST + 1)
    world.until_end_of(5)
    world.submit("M1", 1, (0, 5))
    world.submit("M1", 2, (0, 7))
    world.submit("M1", 5, (0, 8))
    assert brackets(world, "H1", 0, size=2) == [exact(0, 5)]
    assert brackets(world, "H1", 2) == [exact(0, 2)]
    assert brackets(world, "H1", 3, size=3) == [Bracket((0, 0), (3 * MOST, 3 * MOST), False)]


def test_looking_at_all_that_is_kept_stays_within_its_gas() -> None:
    world = Metered()
    world.until_end_of(400)
    ctx = world.context()
    before = ctx.gas_used
    Brackets(ctx, world.config, world.ids["H1"], world.first + 300, world.first + 301)
    assert 0 < ctx.gas_used - before <= gas_of_reach(world.config)
