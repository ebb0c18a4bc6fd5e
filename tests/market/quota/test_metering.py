"""Charging quotas where genesis has meters: silence, gaps and other meters never pay."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.meters.proving import grace_ms
from market.quota.contract_interface import quota_interfaces
from market.quota.module import MAX_STATIONS, QuotaModule
from market.quota.records import Station, load_stations, read_round
from market.quota.rules import excess_penalty_micro
from tests.market.meters.world import PEOPLE, QUARTER_MS, SECTION, Metered
from tests.market.support import Person, kwh, tokens

QUOTA = {"billed_minutes": 30, "penalty_price": "10"}
PRICE = tokens("10")
MOST = kwh("10")
"""What a connection of 40 kW can carry in a quarter of an hour."""
FIRST, END = 4, 6
RICH = tuple(
    Person(person.name, roles=person.roles, balance="100000") if person.name[0] == "H" else person
    for person in PEOPLE
)


class Charging(Metered):
    """A round of two quarters, 4 and 5: both homes have a quota of 10 kW, 5 kWh in all."""

    def __init__(self, section: dict[str, Any] | None = None) -> None:
        own = SECTION if section is None else section
        super().__init__(people=RICH, section=own, extra=((QuotaModule(), QUOTA),))
        self.round = self.call("DSO", "announce", 20_000, PRICE, *self.gates(), module="quota")
        for name in ("H1", "H2"):
            self.call(name, "demand", self.round, 10_000, module="quota")

    def gates(self, end: int = END) -> list[int]:
        quarters = (2, 3, FIRST, end, end + 2)
        return [self.config.start_ms(self.first + quarter) for quarter in quarters]

    def station(self, name: str = "H1") -> Station:
        return load_stations(self.context(), self.round)[self.ids[name]]

    def counted(self, name: str = "H1") -> tuple[int | None, int]:
        found = self.station(name)
        return found.measured_milli_wh, found.assumed_milli_wh

    def penalty(self, name: str = "H1") -> int:
        penalties = [values for values in self.of("penalty") if values[1] == self.ids[name]]
        assert not penalties or penalties[0][3] == 0, "it can be paid"
        return sum(values[2] for values in penalties)

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [v for module, event, v in self.events if (module, event) == ("quota", name)]

    def is_settled(self) -> bool:
        found = read_round(self.overlay, self.round)
        return found is not None and found.stage == 3

    def prove(self, meter: str, registers: dict[int, int]) -> None:
        """Show registers of withdrawal, in kWh, at the ends of quarters that are over."""
        for place, energy in registers.items():
            self.submit(meter, place, (0, kwh(str(energy))))


def test_a_round_is_settled_at_its_deadline_if_all_is_proved() -> None:
    world = Charging()
    world.until_end_of(END - 1)
    world.prove("M1", {3: 1, 5: 7})
    world.prove("M2", {3: 1, 4: 2, 5: 3})
    world.until_deadline_of(END - 1)
    assert world.is_settled()
    assert (world.counted("H1"), world.counted("H2")) == ((kwh("6"), 0), (kwh("2"), 0))
    assert (world.penalty("H1"), world.penalty("H2")) == (tokens("10"), 0)
    assert not world.of("wait") and not world.of("unproved")


def test_a_contract_reads_what_a_station_charged_by_consent_alone() -> None:
    """A view could else tell everybody what the meter showed."""
    world = Charging()
    world.until_end_of(END - 1)
    for meter in ("M1", "M2"):
        world.prove(meter, {3: 1, 5: 5})
    world.until_deadline_of(END - 1)
    reader, quota = b"\x07" * 20, world.station().quota_w
    station = quota_interfaces()["quota"]["station"]

    def told(name: str) -> object:
        ctx = world.context()
        ctx.caller = reader
        return station.run(ctx, world.round, world.ids[name])

    assert told("H1") == told("H2") == (10_000, quota, -1)
    world.ask("H1", "allow_reader", reader)
    assert told("H1") == (10_000, quota, kwh("4"))
    assert told("H2") == (10_000, quota, -1)


def test_a_silent_station_is_waited_for_and_then_counts_as_having_charged_all_it_could() -> None:
    world = Charging()
    world.until_end_of(END - 1)
    world.prove("M2", {3: 1, 5: 7})
    world.until_deadline_of(END - 1)
    assert not world.is_settled()
    final_ms = world.config.correction_ms(world.first + END - 1)
    assert world.of("wait") == [(world.round, 1, final_ms)]
    assert world.counted("H2") == (kwh("6"), 0) and world.counted("H1") == (None, 0)
    world.advance(final_ms - world.time_ms - 1)
    assert not world.is_settled()
    assert world.code("H1", "withdraw", world.round, module="quota") == "round_running"
    world.advance(1)
    assert world.is_settled()
    assert world.of("unproved") == [(world.round, world.ids["H1"], 0, 2 * MOST)]
    assert world.counted("H1") == (2 * MOST, 2 * MOST)
    assert (world.penalty("H1"), world.penalty("H2")) == (tokens("150"), tokens("10"))
    for name in ("H1", "H2"):
        world.call(name, "withdraw", world.round, module="quota")
    world.check_conservation()


def test_a_meter_that_comes_back_in_the_time_of_corrections_proves_itself() -> None:
    world = Charging()
    world.until_end_of(3)
    world.prove("M1", {3: 0})
    world.until_end_of(END + 5)
    assert not world.is_settled()
    # It knows nothing of the quarters between: all that it shows can have been charged.
    world.prove("M1", {END + 5: 8})
    world.prove("M2", {3: 0, 5: 0})
    world.until_final(END - 1)
    assert world.counted() == (kwh("8"), kwh("8"))
    assert world.penalty() == tokens("30")


def test_a_silent_station_counts_up_to_the_power_registered_for_its_connection() -> None:
    world = Charging()
    world.ask("DSO", "limit", world.ids["H1"], 15_000)
    world.ask("DSO", "limit", world.ids["H2"], 10_000)
    world.until_final(END - 1)
    assert world.counted("H1") == (kwh("7.5"), kwh("7.5"))
    assert (world.penalty("H1"), world.penalty("H2")) == (tokens("25"), 0)


@pytest.mark.parametrize(
    ("registers", "counted", "assumed"),
    [
        # A gap over the whole period and more: at most what the connection carries in the period.
        ({1: 0, 8: 12}, 12, 12),
        ({1: 0, 8: 35}, 20, 20),
        ({1: 0, 8: 65}, 20, 5),
        # Into the period, and out of it.
        ({1: 0, 4: 7, 5: 8}, 8, 7),
        ({1: 0, 4: 25, 5: 26}, 11, 5),
        ({3: 0, 4: 1, 8: 3}, 3, 2),
        # No register before it, or none after.
        ({4: 3, 5: 4}, 4, 3),
        ({3: 0, 4: 1}, 11, 10),
        ({3: 0}, 20, 20),
    ],
)
def test_of_a_gap_counts_what_can_have_been_charged_in_the_period(
    registers: dict[int, int], counted: int, assumed: int
) -> None:
    world = Charging()
    world.until_end_of(8)
    world.prove("M1", registers)
    world.until_final(END - 1)
    assert world.counted() == (kwh(str(counted)), kwh(str(assumed)))


def test_another_meter_proves_nothing_of_the_time_before_it() -> None:
    world = Charging()
    ids = world.ids
    world.until_end_of(4)
    world.prove("M1", {3: 0})
    world.ask("DSO", "revoke", ids["M1"], ())
    world.ask("DSO", "register", ids["M3"], ids["H1"], world.first + 6, 0, 0, 0)
    world.until_end_of(8)
    world.prove("M3", {8: 0})
    world.until_final(END - 1)
    assert world.counted() == (2 * MOST, 2 * MOST)


def test_a_meter_that_is_replaced_with_its_last_registers_has_proved_its_time() -> None:
    world = Charging()
    ids = world.ids
    world.until_end_of(4)
    world.prove("M1", {3: 0})
    world.ask("DSO", "revoke", ids["M1"], (world.first + 4, 0, kwh("2")))
    world.ask("DSO", "register", ids["M3"], ids["H1"], world.first + 5, 0, kwh("500"), 0)
    world.until_end_of(5)
    world.prove("M3", {5: 503})
    world.until_final(END - 1)
    assert world.counted() == (kwh("5"), 0)


def test_after_a_standstill_of_the_chain_meters_have_time_to_prove_themselves() -> None:
    world = Charging()
    world.until_end_of(3)
    world.prove("M1", {3: 0})
    world.prove("M2", {3: 0})
    world.advance(world.config.correction_ms(world.first + 40) - world.time_ms)
    assert not world.is_settled()
    place = world.config.interval_of(world.time_ms) - world.first - 1
    world.prove("M1", {place: 6})
    world.advance(grace_ms(world.config) - 1)
    assert not world.is_settled()
    world.advance(1)
    assert world.is_settled()
    assert world.counted("H1") == (kwh("6"), kwh("6"))
    assert world.counted("H2") == (2 * MOST, 2 * MOST)


def test_a_period_is_no_longer_than_a_day_of_the_meters() -> None:
    world = Charging({**SECTION, "minute_ms": 600})
    end = FIRST + world.config.intervals_per_day
    for more, code in ((1, "wrong_times"), (0, "")):
        gates = world.gates(end + more)
        assert world.code("DSO", "announce", 20_000, 1, *gates, module="quota") == code


def test_the_largest_round_of_silent_stations_is_read_in_steps() -> None:
    names = [f"H{n}" for n in range(MAX_STATIONS)]
    people = [
        *RICH[:1],
        *(Person(name, balance="10000") for name in names),
        *(Person(f"M{name}", roles=("meter",)) for name in names),
    ]
    world = Charging.__new__(Charging)
    meters = [{"meter": f"M{name}", "member": name} for name in names]
    section = {**SECTION, "meters": meters, "mean_days": 0}
    Metered.__init__(world, people=tuple(people), section=section, extra=((QuotaModule(), QUOTA),))
    world.round = world.call("DSO", "announce", 20_000, PRICE, *world.gates(), module="quota")
    for name in names:
        world.call(name, "demand", world.round, 10_000, module="quota")
    world.due_gas = 400_000
    read = set()
    for place in range(END + 11):
        world.until_end_of(place)
        for _ in range(9):
            world.advance(1_000)
            read.add(len(world.of("unproved")))
    assert len(read) > 2 and world.is_settled()
    assert len(world.of("unproved")) == MAX_STATIONS
    assert [values[1] for values in world.of("wait")] == [MAX_STATIONS]
    world.check_conservation()


COUNT = 22
"""Quarters of the property below: readings of the period are final after the sixteenth."""
OUTCOMES = ("", "too_late")


def charge(moved: list[int], plan: list[tuple[int, int]]) -> int:
    """Return the penalty where each (when, which) shows the register `which` after `when`."""
    world = Charging()
    for when in range(COUNT):
        world.until_end_of(when)
        for which in [each[1] for each in plan if each[0] == when]:
            register = (0, sum(moved[: which + 1]))
            assert world.refused("M1", "submit", world.first + which, (register,)) in OUTCOMES
    assert world.is_settled()
    return world.penalty()


def draw(random: Random) -> list[int]:
    """Return what a home withdraws in each quarter of an hour, up to what it can."""
    share = random.choice((0, 30, 100))
    return [
        MOST if random.randrange(100) < share // 3 else random.randrange(share * MOST // 100 + 1)
        for _ in range(COUNT)
    ]


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_a_true_reading_kept_back_or_late_never_lowers_the_penalty(seed: int) -> None:
    random = Random(seed)
    moved = draw(random)
    truth = excess_penalty_micro(
        sum(moved[FIRST:END]),
        10_000,
        duration_ms=(END - FIRST) * QUARTER_MS,
        penalty_price=tokens("10"),
    )
    assert charge(moved, [(place, place) for place in range(COUNT)]) == truth
    latest = random.choice((0, 3, COUNT))
    shown = [
        (min(which + random.randint(0, latest), COUNT - 1), which)
        for which in range(COUNT)
        if random.randrange(3)
    ]
    fewer = [each for each in shown if random.randrange(3)]
    assert truth <= charge(moved, shown) <= charge(moved, fewer) <= charge(moved, [])
