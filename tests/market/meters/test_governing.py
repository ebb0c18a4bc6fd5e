"""Votes on the days of an estimate: in which bounds, and for which intervals."""

from __future__ import annotations

from typing import Any

import pytest

from market.meters.module import MetersModule
from market.meters.records import load_terms
from tests.market.meters.world import SECTION, Metered
from tests.market.support import ROLES
from vm.primitives.errors import CallError

DAYS = {**SECTION, "retention_days": 4, "interval_minutes": 60, "deadline_minutes": 60}


def vote(world: Metered, subject: str = "", **values: Any) -> None:
    """Carry out what a vote decided, or change nothing."""
    ctx = world.context()
    ctx.module = "meters"
    mark = world.overlay.mark()
    try:
        MetersModule(ROLES).change_parameters(ctx, subject, values)
    except CallError:
        world.overlay.undo(mark)
        raise


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"retention_days": 3}, "unknown_parameter"),
        ({"max_power_w": 3}, "unknown_parameter"),
        ({"mean_days": -1}, "invalid_parameters"),
        ({"mean_days": 5}, "invalid_parameters"),
        ({"mean_days": None}, "invalid_parameters"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, Any], code: str) -> None:
    world = Metered(section=DAYS)
    with pytest.raises(CallError) as refused:
        vote(world, **values)
    assert refused.value.code == code
    with pytest.raises(CallError):
        vote(world, "H1", mean_days=1)
    assert load_terms(world.context()) == world.config


def test_it_holds_after_the_interval_that_closes_next() -> None:
    world = Metered(section=DAYS)
    day = world.config.intervals_per_day
    registers = [(0, 0)]
    for energy in (1_000, 2_000, 6_000):
        registers += [(0, registers[-1][1] + energy * (hour + 1)) for hour in range(day)]
    # 1, 2 and 6 Wh in the first hour of the days, less in the others; then silence.
    for place in range(3 * day):
        world.until_end_of(place)
        world.submit("M1", place, registers[place + 1])
    world.until_deadline_of(3 * day - 1)
    vote(world, mean_days=1)
    vote(world, mean_days=3)
    world.until_deadline_of(3 * day + 1)
    energies = [registers[n + 1][1] - registers[n][1] for n in range(3 * day)]
    found = [each.withdrawn_milli_wh for each in world.energies("H1", 3 * day, 2)]
    two = (energies[2 * day] + energies[day]) // 2
    three = (energies[2 * day + 1] + energies[day + 1] + energies[1]) // 3
    assert found == [two, three]
    vote(world, mean_days=0)
    world.until_deadline_of(3 * day + 3)
    assert world.energies("H1", 3 * day + 3)[0].withdrawn_milli_wh == 0
    assert world.energies("H1", 3 * day + 2)[0].withdrawn_milli_wh > 0
