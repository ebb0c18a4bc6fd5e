"""What single connections can carry: registered bounds hold from the next interval on."""

from __future__ import annotations

import pytest

from market.meters.brackets import Brackets
from market.meters.limits import MAX_LIMITS, load_capacity
from market.meters.records import LIMITS_SPACE, MetersConfig
from tests.market.meters.world import Metered
from tests.market.support import kwh

MOST = kwh("10")
"""What 40 kW are in a quarter of an hour."""


def capacity(world: Metered, place: int, end: int) -> int:
    found = load_capacity(world.context(), world.config, world.ids["H1"])
    return found.energy_milli_wh(world.first + place, world.first + end)


def limit(world: Metered, power_w: int) -> int:
    since: int = world.ask("DSO", "limit", world.ids["H1"], power_w)
    return since - world.first


def test_a_bound_holds_from_the_next_interval_on() -> None:
    world = Metered()
    assert capacity(world, 0, 8) == 8 * MOST
    world.until_end_of(1)
    assert limit(world, 4_000) == 3
    assert (capacity(world, 0, 3), capacity(world, 3, 5)) == (3 * MOST, kwh("2"))
    world.until_end_of(3)
    assert limit(world, 20_000) == 5
    assert limit(world, 8_000) == 5, "it takes the place of one that does not hold yet"
    assert capacity(world, 2, 7) == MOST + kwh("2") + kwh("4")
    assert capacity(world, 4, 4) == 0
    assert world.told("limit")[0] == (world.ids["H1"], 4_000, world.first + 3)


def test_registers_above_it_are_refused_and_unproved_time_counts_up_to_it() -> None:
    world = Metered()
    limit(world, 4_000)
    world.until_end_of(2)
    # Ten kWh in the first quarter, which was before the bound, and one in each of the others.
    assert world.refused("M1", "submit", world.first + 2, ((0, kwh("12.001")),)) == (
        "too_much_energy"
    )
    world.submit("M1", 2, (0, kwh("12")))
    found = Brackets(world.context(), world.config, world.ids["H1"], world.first, world.first + 5)
    first, second, last = [
        found.of(world.first + begin, world.first + end) for begin, end in ((0, 1), (1, 3), (3, 5))
    ]
    assert (first.least[1], first.greatest[1]) == (kwh("10"), kwh("10"))
    assert (second.least[1], second.greatest[1]) == (kwh("2"), kwh("2"))
    assert (last.least[1], last.greatest[1]) == (0, kwh("2"))


def test_what_is_refused() -> None:
    world = Metered()
    h1 = world.ids["H1"]
    assert world.refused("H1", "limit", h1, 1) == "wrong_role"
    assert world.refused("DSO", "limit", b"n" * 20, 1) == "unknown_member"
    assert world.refused("DSO", "limit", h1, 0) == "invalid_arguments"
    assert world.refused("DSO", "limit", h1, 40_001) == "wrong_limit"


def test_bounds_are_kept_as_long_as_energies() -> None:
    world = Metered()
    for count in range(MAX_LIMITS):
        world.until_end_of(count)
        limit(world, 1_000 + count)
    world.until_end_of(MAX_LIMITS)
    assert world.refused("DSO", "limit", world.ids["H1"], 9) == "too_many_limits"
    for day in range(1, 5):
        world.until_end_of(96 * day)
    limit(world, 2_000)
    limit(world, 3_000)
    assert capacity(world, 96 * 4 + 1, 96 * 4 + 3) == kwh("0.251750") + kwh("0.75")
    assert len(world.overlay.get(LIMITS_SPACE + world.ids["H1"]) or b"") < 32


@pytest.mark.parametrize("power_w", [1, 7, 999])
def test_energy_is_rounded_up(power_w: int) -> None:
    config = MetersConfig(15, 60_000, 30, 120, 2, 2, power_w)
    world = Metered()
    limit(world, power_w)
    assert capacity(world, 1, 3) == 2 * config.max_energy_milli_wh
