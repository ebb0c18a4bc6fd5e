"""Whatever order registers come in, late and twice: the energies add up to their difference."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.meters.readings import Measured, is_final
from market.meters.records import NONE
from tests.market.meters.world import SECTION, Metered
from vm.primitives.errors import CallError

COUNT = 40
ALL_OPEN = {**SECTION, "correction_minutes": 1_300}
"""Nothing of 30 intervals becomes final."""
HOURLY = {
    **SECTION,
    "interval_minutes": 60,
    "deadline_minutes": 60,
    "correction_minutes": 180,
    "retention_days": 3,
}
"""What is missing of the last intervals is estimated from a day before."""
ROLLOVER = 1_000_000


def registers_of(moved: list[tuple[int, int]], begin: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the registers at the ends of intervals."""
    found, register = [], begin
    for injected, withdrawn in moved:
        register = ((register[0] + injected) % ROLLOVER, (register[1] + withdrawn) % ROLLOVER)
        found.append(register)
    return found


def draw(random: Random) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return energies, and (when, which): when interval `when` ends, that of `which` comes."""
    highest = random.choice((2, 9_000))
    moved = [(random.randrange(9_000), random.randrange(highest)) for _ in range(COUNT)]
    which = [random.randrange(COUNT) for _ in range(random.randint(1, 40))]
    latest = random.choice((2, 12, COUNT))
    plan = [(min(each + random.randint(0, latest), COUNT + 4), each) for each in which]
    return moved, sorted(plan, key=lambda each: each[0])


def begin(section: dict[str, Any]) -> Metered:
    world = Metered(section={**section, "meters": []})
    ids = world.ids
    world.ask("DSO", "register", ids["M1"], ids["H1"], world.first, 999_000, 0, ROLLOVER)
    return world


def play(
    world: Metered, registers: list[tuple[int, int]], plan: list[tuple[int, int]]
) -> dict[int, bool]:
    """Submit as planned; return which intervals' registers were taken, and check every step."""
    taken: dict[int, bool] = {}
    for when, which in plan:  # some with those before them, which overlap what came already
        if world.config.end_ms(world.first + when) > world.time_ms:
            world.until_end_of(when)
        told = frozen(world)
        begin = min(which, max(which - which % 7, len(told)))
        try:
            world.submit("M1", begin, *registers[begin : which + 1])
            taken |= dict.fromkeys(range(begin, which + 1), True)
        except CallError as error:
            assert error.code == "too_late" or (
                error.code == "duplicate_reading" and which in taken
            )
        after = frozen(world)
        assert {each: after[each] for each in told} == told, "what is final does not change"
    return taken


def frozen(world: Metered) -> dict[int, Measured]:
    final = [each for each in range(COUNT) if is_final(world.context(), world.first + each)]
    return {each: world.energies("H1", each)[0] for each in final}


@pytest.mark.parametrize("section", [SECTION, ALL_OPEN, HOURLY], ids=["soon final", "open", "mean"])
@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_energies_and_true_ups_add_up_to_the_difference_of_registers(
    section: dict[str, Any], seed: int
) -> None:
    moved, plan = draw(Random(seed))
    world = begin(section)
    registers = registers_of(moved, (999_000, 0))
    taken = play(world, registers, plan)
    world.until_deadline_of(COUNT + 4)
    last = max(taken, default=-1) + 1
    found = world.energies("H1", 0, last)
    assert all(each.quality != NONE for each in found)
    assert (
        min((min(each.injected_milli_wh, each.withdrawn_milli_wh) for each in found), default=0)
        >= 0
    )
    true_up = world.true_up("H1")
    assert sum(each.injected_milli_wh for each in found) + true_up[0] == sum(
        each[0] for each in moved[:last]
    )
    assert sum(each.withdrawn_milli_wh for each in found) + true_up[1] == sum(
        each[1] for each in moved[:last]
    )
    check_told(world)


def check_told(world: Metered) -> None:
    """Check that what events told, estimates and corrections, is what stands."""
    known = dict(world.at_closing)
    for _, interval, injected, withdrawn in world.told("corrected"):
        before = known[interval]
        known[interval] = (before[0] + injected, before[1] + withdrawn)
    for interval, energy in known.items():
        found = world.energies("H1", interval - world.first)[0]
        assert energy == (found.injected_milli_wh, found.withdrawn_milli_wh)


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_while_nothing_is_final_the_order_of_registers_does_not_matter(seed: int) -> None:
    random = Random(seed)
    moved, plan = draw(random)
    registers = registers_of(moved, (999_000, 0))
    found = []
    for _ in range(2):
        world = begin(ALL_OPEN)
        play(world, registers, plan)
        world.until_deadline_of(COUNT + 4)
        last = max(which for _, which in plan) + 1
        assert world.true_up("H1") == (0, 0)
        found.append(world.energies("H1", 0, last))
        shuffled = random.sample(plan, len(plan))
        plan = sorted(
            [(max(COUNT, when), which) for when, which in shuffled], key=lambda each: each[0]
        )
    assert found[0] == found[1]
