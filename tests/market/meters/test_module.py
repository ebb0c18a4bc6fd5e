"""Meters on the chain: readings in time, late, twice, falling; estimates; and every refusal."""

from __future__ import annotations

from typing import Any

import pytest

from market.meters.closing import CONNECTIONS_PER_STEP
from market.meters.module import MAX_READERS
from market.meters.readings import Measured, has_meter, is_final, may_read, measured
from market.meters.records import (
    CHUNK_INTERVALS,
    CHUNK_SPACE,
    INTERPOLATED,
    MEAN,
    MEASURED,
    NONE,
    WATCH_INDEX,
    ZERO,
    Chunk,
    Sums,
    read_sums,
)
from market.meters.section import MAX_OPEN_INTERVALS, read_section
from tests.market.meters.world import QUARTER_MS, SECTION, Metered
from tests.market.support import Person
from vm.context import MAX_EVENTS
from vm.primitives.errors import CallError, InvalidGenesis


def test_readings_in_time_are_the_differences_of_registers() -> None:
    world = Metered()
    world.until_end_of(0)
    assert world.submit("M1", 0, (700, 300)) == 1
    assert world.energies("H1", 0) == [Measured(700, 300, MEASURED)]
    assert world.energies("H2", 0) == [Measured(0, 0, NONE)]
    world.until_end_of(2)
    assert world.submit("M1", 1, (700, 900), (1_000, 1_000)) == 2
    assert world.energies("H1", 1, 2) == [
        Measured(0, 600, MEASURED),
        Measured(300, 100, MEASURED),
    ]
    whole = measured(
        world.context(),
        world.ids["H1"],
        world.config.start_ms(world.first),
        world.config.end_ms(world.first + 2),
    )
    assert whole == Measured(1_000, 1_000, MEASURED)
    world.until_deadline_of(0)
    assert world.is_closed(0) and not world.is_closed(1)
    assert world.told("estimated") == [(world.ids["H2"], world.first, 0, 0, ZERO)]
    world.until_final(0)
    assert is_final(world.context(), world.first) and not is_final(world.context(), world.first + 1)


def test_a_gap_is_interpolated_to_the_milliwatt_hour_and_corrected_by_the_register_within() -> None:
    world = Metered()
    world.until_deadline_of(3)
    assert [quality for *_, quality in world.told("estimated")] == [ZERO] * 8
    assert world.submit("M1", 3, (1_003, 7)) == 1
    assert world.injected("H1", 0, 4) == [250, 251, 251, 251]
    assert {each.quality for each in world.energies("H1", 0, 4)} == {INTERPOLATED}
    assert world.told("corrected") == [
        (world.ids["H1"], world.first + place, injected, withdrawn)
        for place, (injected, withdrawn) in enumerate([(250, 1), (251, 2), (251, 2), (251, 2)])
    ]
    # The register at the end of interval 1 splits the gap; what is the same is not told again.
    assert world.submit("M1", 1, (501, 7)) == 1
    assert world.energies("H1", 0, 4) == [
        Measured(250, 3, INTERPOLATED),
        Measured(251, 4, INTERPOLATED),
        Measured(251, 0, INTERPOLATED),
        Measured(251, 0, INTERPOLATED),
    ]
    assert world.submit("M1", 0, (501, 0)) == 1
    assert world.energies("H1", 0, 2) == [Measured(501, 0, MEASURED), Measured(0, 7, MEASURED)]
    changes = world.told("corrected")
    assert sum(values[2] for values in changes) == 1_003
    assert sum(values[3] for values in changes) == 7


def test_a_missing_reading_is_the_mean_of_the_same_time_of_the_days_before() -> None:
    world = Metered()
    for day, energy in enumerate((100, 301)):
        place = day * 96
        world.until_end_of(place)
        before = world.injected("H1", 0)[0] if day else 0
        world.submit("M1", place, (before + energy, 0))
    # The first reading of the second day ends a gap of 96 intervals.
    assert world.injected("H1", 96) == [4]
    world.until_end_of(97)
    world.submit("M1", 97, (1_000, 0))
    world.until_deadline_of(192)
    assert world.energies("H1", 192) == [Measured(52, 0, MEAN)], "of 4 and 100"
    assert world.energies("H2", 192) == [Measured(0, 0, ZERO)]


def test_a_register_after_final_intervals_tells_the_rest_as_a_true_up() -> None:
    world = Metered()
    world.until_end_of(0)
    world.submit("M1", 0, (100, 0))
    world.until_end_of(20)
    world.submit("M1", 20, (2_100, 40))
    # Ten intervals are open: those from 11 on, by the deadline of two and eight for corrections.
    assert world.injected("H1", 1, 10) == [0] * 10
    assert world.injected("H1", 11, 10) == [100] * 10
    assert world.true_up("H1") == (1_000, 20)
    assert world.told("true_up") == [(world.ids["H1"], world.ids["M1"], 1_000, 20)]
    # A register from within corrects what is open, and never what is final.
    world.submit("M1", 11, (1_100, 40))
    assert world.injected("H1", 11, 10) == [0, *[111] * 8, 112]
    assert world.told("true_up")[1:] == []
    # One below the energy that was told by then shows up as a negative true-up.
    world.until_end_of(21)
    with pytest.raises(CallError) as refusal:
        world.submit("M1", 13, (1_000, 40))
    assert refusal.value.code == "falling_register"


def test_a_register_below_what_is_final_takes_the_difference_back() -> None:
    world = Metered()
    world.until_end_of(0)
    world.submit("M1", 0, (100, 0))
    world.until_end_of(14)
    world.submit("M1", 14, (1_500, 0))
    assert world.injected("H1", 1, 14) == [0] * 4 + [100] * 10
    assert world.true_up("H1") == (400, 0)
    world.until_end_of(17)
    # Intervals to 7 are final, at 800 in all; the register says 500 at the end of 9.
    world.submit("M1", 9, (500, 0))
    assert world.injected("H1", 5, 10) == [100, 100, 100, 0, 0, 200, 200, 200, 200, 200]
    assert world.true_up("H1") == (100, 0)
    assert sum(world.injected("H1", 0, 15)) + world.true_up("H1")[0] == 1_500


def test_a_register_rolls_over_but_does_not_fall() -> None:
    world = Metered(section={**SECTION, "meters": []})
    ids = world.ids
    world.ask("DSO", "register", ids["M1"], ids["H1"], world.first, 99_999_000, 5, 100_000_000)
    world.until_end_of(1)
    assert world.submit("M1", 1, (1_000, 10)) == 1
    assert world.injected("H1", 0, 2) == [1_000, 1_000]
    assert world.submit("M1", 0, (99_999_500, 7)) == 1
    assert world.injected("H1", 0, 2) == [500, 1_500]
    assert world.refused("M1", "submit", world.first, ((99_999_500, 7),)) == "duplicate_reading"
    world.until_end_of(2)
    wrong = world.first + 2
    assert world.refused("M1", "submit", wrong, ((100_000_000, 10),)) == "wrong_register"
    assert world.refused("M1", "submit", wrong, ((900, 10),)) == "falling_register"
    assert world.refused("M1", "submit", wrong, ((1_000, 20_000_000),)) == "too_much_energy"


def test_a_fall_over_more_than_half_of_the_register_is_no_roll_over() -> None:
    world = Metered(section={**SECTION, "meters": []})
    ids = world.ids
    world.ask("DSO", "register", ids["M1"], ids["H1"], world.first, 40_000_000, 0, 100_000_000)
    world.until_end_of(8)
    # Nine intervals can carry 90 kWh: by that alone both falls could be a roll-over.
    last = world.first + 8
    assert world.refused("M1", "submit", last, ((5_000_000, 0),)) == "falling_register"
    world.ask("DSO", "revoke", ids["M1"], ())
    world.ask("DSO", "register", ids["M3"], ids["H1"], last + 2, 60_000_000, 0, 100_000_000)
    world.until_end_of(17)
    world.submit("M3", 17, (5_000_000, 0))
    assert sum(world.injected("H1", 10, 8)) == 45_000_000


def measured_day() -> Metered:
    """Return a world of hours after a day in which M1 showed ten in each; four correct."""
    hourly = {**SECTION, "interval_minutes": 60, "deadline_minutes": 60, "correction_minutes": 240}
    world = Metered(section=hourly)
    for hour in range(24):
        world.until_end_of(hour)
        world.submit("M1", hour, (10 * hour + 10, 0))
    return world


def test_true_ups_count_estimates_of_their_own_stretch_alone() -> None:
    world = measured_day()
    # Of 17 hours without a register twelve are final when it comes, at ten each by the day before.
    world.until_end_of(40)
    world.submit("M1", 40, (240 + 17 * 20, 0))
    assert world.injected("H1", 24, 17) == [10] * 12 + [20] * 5
    assert world.true_up("H1") == (12 * 20 - 12 * 10, 0)
    # Then of twenty hours fifteen; what was estimated before is settled.
    world.until_end_of(60)
    world.submit("M1", 60, (580 + 20 * 30, 0))
    assert world.injected("H1", 41, 20) == [10] * 15 + [30] * 5
    assert world.true_up("H1") == (120 + 15 * 30 - 15 * 10, 0)
    assert sum(world.injected("H1", 24, 37)) + 420 == 1_180 - 240


def test_a_meter_is_not_charged_with_estimates_from_before_it_came() -> None:
    world = measured_day()
    ids, first = world.ids, world.first
    world.until_end_of(24)
    world.ask("DSO", "revoke", ids["M1"], (first + 23, 240, 0))
    world.ask("DSO", "register", ids["M3"], ids["H1"], first + 25, 0, 0, 0)
    world.until_end_of(34)
    world.submit("M3", 34, (200, 0))
    assert world.energies("H1", 24) == [Measured(10, 0, MEAN)]
    assert sum(world.injected("H1", 25, 10)) + world.true_up("H1")[0] == 200


def test_a_replaced_meter_begins_from_its_own_register() -> None:
    world = Metered()
    ids, first = world.ids, world.first
    world.until_end_of(0)
    world.submit("M1", 0, (100, 50))
    world.until_end_of(3, later_ms=60_000)
    assert world.refused("DSO", "register", ids["M3"], ids["H1"], first + 3, 0, 0, 0) == (
        "member_has_meter"
    )
    world.ask("DSO", "revoke", ids["M1"], (first + 2, 300, 50))
    assert world.injected("H1", 0, 3) == [100, 100, 100]
    assert world.refused("M1", "submit", first + 3, ((400, 50),)) == "revoked_meter"
    assert not has_meter(world.context(), ids["H1"])
    world.ask("DSO", "register", ids["M3"], ids["H1"], first + 4, 7_000, 8_000, 0)
    assert world.refused("M3", "submit", first + 3, ((7_000, 8_000),)) == "before_start"
    world.until_end_of(4)
    world.submit("M3", 4, (7_010, 8_000))
    world.until_deadline_of(4)
    qualities = [each.quality for each in world.energies("H1", 0, 5)]
    assert qualities == [MEASURED, INTERPOLATED, INTERPOLATED, ZERO, MEASURED]
    assert world.injected("H1", 0, 5) == [100, 100, 100, 0, 10]
    # The old meter is free for another connection, once that needs none.
    world.ask("DSO", "revoke", ids["M2"], ())
    running = world.config.interval_of(world.time_ms)
    assert world.refused("DSO", "register", ids["M1"], ids["H2"], running, 0, 0, 0) == (
        "wrong_interval"
    )
    world.ask(
        "DSO",
        "register",
        ids["M1"],
        ids["H2"],
        world.config.interval_of(world.time_ms) + 1,
        0,
        0,
        0,
    )


def test_a_connection_without_meter_is_not_looked_after_any_more() -> None:
    world = Metered()
    for meter in ("M1", "M2"):
        world.ask("DSO", "revoke", world.ids[meter], ())
    world.until_deadline_of(0)
    assert len(world.told("estimated")) == 2
    world.until_deadline_of(1)
    assert world.told("closed")[-2:] == [
        (world.first, 2, 2, 0, 0, 0, 0),
        (world.first + 1, 0, 0, 0, 0, 0, 0),
    ]
    assert not [key for key in world.index() if key.startswith(WATCH_INDEX)]
    assert world.advance(10 * QUARTER_MS) == 0, "with nobody to look after, nothing is due"
    assert world.is_closed(9) and not world.is_closed(12)
    place = world.config.interval_of(world.time_ms)
    world.ask("DSO", "register", world.ids["M1"], world.ids["H1"], place, 0, 0, 0)
    world.until_deadline_of(place - world.first)
    assert world.told("estimated")[-1] == (world.ids["H1"], place, 0, 0, ZERO)


REFUSALS: list[tuple[str, str, tuple[Any, ...], str]] = [
    ("H1", "submit", (0, ((1, 1),)), "wrong_role"),
    ("M3", "submit", (4, ((1, 1),)), "unknown_meter"),
    ("M1", "submit", (-1, ((1, 1),)), "before_start"),
    ("M1", "submit", (5, ((9, 9),)), "future_reading"),
    ("M1", "submit", (4, ((9, 9), (9, 9))), "future_reading"),
    ("M1", "submit", (3, ((5, 5),)), "duplicate_reading"),
    ("M1", "submit", (3, ((5, 6),)), "conflicting_reading"),
    ("M1", "submit", (3, ((5, 6), (9, 9))), "conflicting_reading"),
    ("M1", "submit", (4, ((4, 5),)), "falling_register"),
    ("M1", "submit", (4, ((5, 10_000_006),)), "too_much_energy"),
    ("M1", "submit", (4, ()), "invalid_arguments"),
    ("M1", "submit", (4, ((5,),)), "invalid_arguments"),
    ("M1", "submit", (4, ((-1, 5),)), "invalid_arguments"),
    ("M1", "submit", (4, ((2**63, 5),)), "invalid_arguments"),
    ("M1", "submit", (4, ((True, 5),)), "invalid_arguments"),
    ("M1", "submit", (4, tuple([(9, 9)] * 97)), "invalid_arguments"),
    ("M1", "register", ("M3", "H1", 5, 0, 0, 0), "wrong_role"),
    ("DSO", "register", ("M3", "H1", 5, 0, 0, 0), "member_has_meter"),
    ("DSO", "register", ("M1", "DSO", 5, 0, 0, 0), "meter_taken"),
    ("DSO", "register", ("H2", "DSO", 5, 0, 0, 0), "not_a_meter"),
    ("DSO", "register", ("M3", "DSO", 2, 0, 0, 0), "wrong_interval"),
    ("DSO", "register", ("M3", "DSO", 102, 0, 0, 0), "wrong_interval"),
    ("DSO", "register", ("M3", "DSO", 5, 9, 10, 10), "wrong_register"),
    ("M1", "revoke", ("M1", ()), "wrong_role"),
    ("DSO", "revoke", ("M3", ()), "unknown_meter"),
    ("DSO", "revoke", ("M1", (2, 5, 5)), "wrong_interval"),
    ("DSO", "revoke", ("M1", (4, 4, 5)), "falling_register"),
    ("DSO", "revoke", ("M1", (4, 5)), "invalid_arguments"),
]


@pytest.mark.parametrize(("caller", "name", "arguments", "code"), REFUSALS)
def test_every_refusal_has_its_code_and_leaves_no_trace(
    caller: str, name: str, arguments: tuple[Any, ...], code: str
) -> None:
    world = Metered()
    world.until_end_of(4)
    world.submit("M1", 0, *[(place, place) for place in (1, 2, 4, 5)])
    given: list[Any] = [
        world.ids.get(each, each) if isinstance(each, str) else each for each in arguments
    ]
    place = {"submit": 0, "register": 2}.get(name)
    if place is not None:
        given[place] += world.first
    elif len(given[1]) == 3:
        given[1] = (given[1][0] + world.first, *given[1][1:])
    assert world.refused(caller, name, *given) == code


def test_an_unknown_member_has_no_connection() -> None:
    world = Metered()
    arguments = (world.ids["M3"], b"\x07" * 20, world.first, 0, 0, 0)
    assert world.refused("DSO", "register", *arguments) == "unknown_member"


def test_late_readings_correct_until_the_interval_is_final() -> None:
    world = Metered()
    world.until_final(0)
    world.time_ms -= 1
    assert world.refused("M1", "submit", world.first, ((5, 5),)) == ""
    world.time_ms += 1
    assert world.refused("M2", "submit", world.first, ((5, 5),)) == "too_late"
    assert world.refused("M2", "submit", world.first, ((5, 5), (5, 5))) == "too_late"
    assert world.refused("M2", "submit", world.first + 1, ((5, 5),)) == ""


def test_a_batch_that_overlaps_takes_what_is_new() -> None:
    world = Metered()
    world.until_end_of(3)
    world.submit("M1", 1, (10, 0), (20, 0))
    assert world.submit("M1", 0, (4, 0), (10, 0), (20, 0), (35, 0)) == 2
    assert world.injected("H1", 0, 4) == [4, 6, 10, 15]
    assert world.told("submit")[-1] == (world.ids["M1"], world.ids["H1"], world.first, 4, 2)


def test_sums_are_those_of_the_closing_and_stay() -> None:
    world = Metered()
    world.until_end_of(0)
    world.submit("M1", 0, (700, 300))
    world.until_deadline_of(0)
    sums = Sums(world.first, 2, 1, 700, 300, 1, 1)
    assert read_sums(world.overlay, world.config, world.first) == sums
    world.submit("M2", 0, (5, 6))
    assert world.told("corrected") == [(world.ids["H2"], world.first, 5, 6)]
    assert read_sums(world.overlay, world.config, world.first) == sums
    assert read_sums(world.overlay, world.config, world.first + 1) is None


def test_a_member_allows_readers_and_ends_that() -> None:
    world = Metered()
    member, reader = world.ids["H1"], world.ids["H2"]
    assert world.refused("H1", "forbid_reader", reader) == "not_allowed"
    world.ask("H1", "allow_reader", reader)
    assert may_read(world.context(), member, reader) and may_read(world.context(), member, member)
    assert not may_read(world.context(), reader, member)
    assert world.refused("H1", "allow_reader", reader) == "already_allowed"
    world.ask("H1", "forbid_reader", reader)
    assert not may_read(world.context(), member, reader)
    for number in range(MAX_READERS):
        world.ask("H1", "allow_reader", bytes([number]) * 20)
    assert world.refused("H1", "allow_reader", reader) == "too_many_readers"
    world.ask("H1", "forbid_reader", bytes(20))
    world.ask("H1", "allow_reader", reader)


def test_without_a_section_there_are_no_meters() -> None:
    world = Metered.__new__(Metered)
    from market.meters.module import MetersModule
    from tests.market.support import ROLES, World

    World.__init__(
        world, [Person("M1", roles=("meter",))], {"markets": []}, extra=[(MetersModule(ROLES), {})]
    )
    assert world.refused("M1", "submit", 5, ((1, 1),)) == "no_meters"


def test_a_ring_holds_as_many_chunks_as_genesis_says() -> None:
    world = Metered()
    for place in range(0, 400, 8):
        world.until_end_of(place)
        world.submit("M1", place, (place, 0))
    world.commit()
    own = CHUNK_SPACE + world.ids["H1"]
    chunks = [key for key in world.state.values if key.startswith(own)]
    assert len(chunks) == world.config.slots == 9
    kept = 392 - world.config.retention_days * 96
    assert NONE not in {each.quality for each in world.energies("H1", kept, 192)}
    assert {each.quality for each in world.energies("H1", 0, 24)} == {NONE}
    assert world.index() == world.rebuilt_index()


def test_a_chunk_of_the_greatest_energies_fits_a_proof() -> None:
    chunk = Chunk(2**40)
    for place in range(CHUNK_INTERVALS):
        chunk.set_energy(place, ZERO, (2**63 - 1, 2**63 - 1))
        chunk.know_end(place)
    assert len(chunk.encode()) <= 512


def test_after_a_standstill_closing_catches_up_and_passes_over_what_is_not_kept() -> None:
    world = Metered()
    world.until_end_of(0)
    world.submit("M1", 0, (100, 0))
    assert world.advance(10 * 96 * QUARTER_MS) > 2
    now = world.config.interval_of(world.time_ms) - world.first
    assert world.is_closed(now - 3) and not world.is_closed(now - 2)
    kept = world.config.oldest_retained(world.time_ms) - world.first
    told = [values[1] - world.first for values in world.told("estimated")]
    assert told == [place for place in range(kept, now - 2) for _ in range(2)]
    world.submit("M1", now - 1, (100 + (now - 1) * 10, 0))
    total = sum(world.injected("H1", kept, now - kept)) + world.true_up("H1")[0]
    assert total == (now - 1) * 10


def test_many_connections_close_in_steps_whatever_the_gas() -> None:
    count = MAX_EVENTS + 7  # more than genesis could tell, and than a step looks at
    people = (
        Person("DSO", roles=("dso",)),
        *[Person(f"H{number}", energy="0") for number in range(count)],
        *[Person(f"M{number}", roles=("meter",), energy="0") for number in range(count)],
    )
    meters = [{"meter": f"M{number}", "member": f"H{number}"} for number in range(count)]
    world = Metered(people=people, section={**SECTION, "meters": meters})
    world.until_deadline_of(-1)
    assert world.advance(QUARTER_MS) == 1 + count // CONNECTIONS_PER_STEP
    assert world.is_closed(0)
    assert len({values[0] for values in world.told("estimated")}) == count
    small = Metered(people=people, section={**SECTION, "meters": meters})
    small.due_gas = 100_000
    small.until_deadline_of(-1)
    assert 9 < small.advance(QUARTER_MS) < 60
    assert small.told("estimated") == world.told("estimated")
    assert small.told("closed") == world.told("closed")
    assert world.told("closed")[-1] == (world.first, count, count, 0, 0, 0, 0)


def test_a_section_that_does_not_fit_is_refused() -> None:
    def read(**fields: Any) -> Any:
        return read_section(fields, lambda name: None)

    config, meters = read(interval_minutes=60)
    assert (config.interval_ms, config.slots, meters) == (3_600_000, 15, [])
    assert read(interval_minutes=15, minute_ms=100)[0].interval_ms == 1_500
    for fields in (
        {"interval": 15},
        {"interval_minutes": 20},
        {"interval_minutes": True},
        {"minute_ms": 0},
        {"deadline_minutes": -1},
        {"correction_minutes": MAX_OPEN_INTERVALS * 15},
        {"retention_days": 1, "correction_minutes": 60},
        {"mean_days": 15},
        {"max_power_w": 0},
        {"meters": {}},
        {"meters": [{"meter": "M1"}]},
        {"meters": [{"meter": "M1", "member": "H1"}]},
    ):
        with pytest.raises(InvalidGenesis):
            read(**fields)
    with pytest.raises(InvalidGenesis):
        Metered(section={**SECTION, "meters": [{"meter": "H1", "member": "H2"}]})
