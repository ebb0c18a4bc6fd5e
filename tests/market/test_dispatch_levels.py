"""A storage's level goes on from one proved round to the next, and from no other."""

from __future__ import annotations

import pytest

from dispatch.solve import solve
from market.dispatch_certificate import Certificate
from market.dispatch_codec import encode_certificate
from market.dispatch_levels import Level, read_level
from market.dispatch_problem import STORE_PER_MILLI_WH, Storage
from market.dispatch_records import FALLEN_BACK, Round
from tests.market.dispatch_world import DispatchWorld
from tests.tools.board.test_coupled_rounds import day_with_storages, storage_numbers
from vm.primitives.codec import encode_integer

START = 100_000
AREA = b"\0\0"


@pytest.fixture
def world() -> DispatchWorld:
    return day_with_storages(("house", "cellar", "B"))


def storage_in(world: DispatchWorld, found: Round) -> Storage:
    (storage,) = world.problem(found.number).storages
    return storage


def level_of(world: DispatchWorld) -> Level | None:
    """The level of `cellar`, the area's fourth unit."""
    return read_level(world.overlay, AREA, 4)


def step_of(storage: Storage, certificate: Certificate) -> int:
    """By how much a round moves the level of its only storage, 1e-6 W·min."""
    moved = [one.storages[0] for one in certificate.intervals]
    charged, given = sum(one.charge_w for one in moved), sum(one.discharge_w for one in moved)
    return 60 * (storage.stored_ppm * charged - storage.drawn_ppm * given)


def prove(world: DispatchWorld, found: Round) -> Certificate:
    certificate = solve(world.problem(found.number)).certificate
    assert world.submit("board", found, *certificate.intervals) == (True, "")
    return certificate


def register(world: DispatchWorld, numbers: tuple[bytes, ...]) -> None:
    owner = world.ids["house"]
    world.act("operator", "register", "grid", "cellar", owner, "B", "storage", (), numbers)


def test_a_proved_round_leaves_the_level_where_the_next_begins(world: DispatchWorld) -> None:
    first = world.open()
    assert storage_in(world, first).energy_start_milli_wh == START
    assert level_of(world) is None, "before the first proof the registered level holds"
    certificate = prove(world, first)
    exact = START * STORE_PER_MILLI_WH + step_of(storage_in(world, first), certificate)
    assert level_of(world) == Level(first.number, exact)
    second = world.open()
    begins = storage_in(world, second).energy_start_milli_wh
    assert begins == exact // STORE_PER_MILLI_WH
    assert begins != START, "the case moves the level"
    exact += step_of(storage_in(world, second), prove(world, second))
    assert level_of(world) == Level(second.number, exact), "what rounding down left is not lost"
    assert world.told("move_levels") == [("grid", first.number, 1), ("grid", second.number, 1)]
    assert not world.told("levels_pending")
    world.assert_conserved()


def test_a_round_without_proof_leaves_levels_and_says_so(world: DispatchWorld) -> None:
    first = world.open()
    prove(world, first)
    level = level_of(world)
    second = world.open()
    wrong = encode_certificate(Certificate(()))
    assert world.send("board", second.number, second.problem_hash, wrong)[0] is False
    world.advance(20_000)
    assert world.round(second.number).status == FALLEN_BACK
    assert level_of(world) == level
    assert world.told("keep_levels") == [("grid", second.number, 1)]
    third = world.open()
    assert storage_in(world, third) == storage_in(world, second)


def test_rounds_without_storages_say_nothing_of_levels() -> None:
    world = day_with_storages()
    prove(world, world.open())
    world.open()
    world.advance(20_000)
    for name in ("move_levels", "keep_levels", "levels_pending"):
        assert not world.told(name)


def test_registering_the_same_numbers_changes_nothing_and_others_state_it_anew(
    world: DispatchWorld,
) -> None:
    prove(world, world.open())
    level = level_of(world)
    register(world, storage_numbers(START))
    assert level_of(world) == level, "a board that starts again registers what it did before"
    register(world, storage_numbers(250_000))
    assert level_of(world) is None
    assert storage_in(world, world.open()).energy_start_milli_wh == 250_000


def test_a_unit_that_comes_back_begins_as_registered(world: DispatchWorld) -> None:
    prove(world, world.open())
    world.act("operator", "retire", "grid", "cellar")
    assert level_of(world) is None
    register(world, storage_numbers(START))
    assert storage_in(world, world.open()).energy_start_milli_wh == START


@pytest.mark.parametrize("change", ["other numbers", "level only", "retired"])
def test_a_level_stated_while_a_round_is_open_stands(world: DispatchWorld, change: str) -> None:
    found = world.open()
    if change == "retired":
        world.act("operator", "retire", "grid", "cellar")
    else:
        numbers = list(storage_numbers(250_000))
        if change == "other numbers":
            numbers[0] = encode_integer(200)
        register(world, tuple(numbers))
    prove(world, found)
    assert level_of(world) is None
    assert read_level(world.overlay, AREA, 5) is None


def test_two_rounds_open_at_once_both_move_the_level_within_its_bounds(
    world: DispatchWorld,
) -> None:
    first, second = world.open(), world.open()
    assert world.told("levels_pending") == [("grid", second.number, first.number)]
    assert storage_in(world, first) == storage_in(world, second)
    later = prove(world, second)
    exact = START * STORE_PER_MILLI_WH + step_of(storage_in(world, second), later)
    assert level_of(world) == Level(second.number, exact)
    exact += step_of(storage_in(world, first), prove(world, first))
    storage = storage_in(world, first)
    bounded = min(
        max(exact, storage.energy_end_min_milli_wh * STORE_PER_MILLI_WH),
        storage.energy_max_milli_wh * STORE_PER_MILLI_WH,
    )
    assert level_of(world) == Level(first.number, bounded)


def test_the_next_round_can_always_be_served(world: DispatchWorld) -> None:
    """The level never ends below what the round must leave, so that resting is always feasible."""
    numbers = list(storage_numbers(START))
    numbers[9] = encode_integer(START)
    register(world, tuple(numbers))
    for _ in range(3):
        found = world.open()
        storage = storage_in(world, found)
        assert storage.energy_start_milli_wh >= storage.energy_end_min_milli_wh == START
        prove(world, found)
