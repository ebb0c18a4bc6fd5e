"""Demand response where genesis has meters: what registers leave open never makes a response."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.meters.records import Pair
from market.response.flexibility import MAX_ENROLMENTS
from market.response.module import ResponseModule
from market.response.records import EVENT_SPACE, exists
from tests.market.meters.world import PEOPLE, SECTION, Metered
from tests.market.support import Person, kwh, tokens

METERS = {
    **SECTION,
    "interval_minutes": 60,
    "deadline_minutes": 60,
    "correction_minutes": 240,
    "retention_days": 5,
    "mean_days": 1,
}
RESPONSE = {"upstream_price": "40", "past_intervals": 2, "tolerance_percent": 0, "account": "DSO"}
MOST = 40
"""kWh that a connection carries in an hour."""
FIRST, END = 52, 54
"""The event's two hours; those of the days before begin a day and two days earlier."""
PROFILE = (kwh("3"), kwh("3"))
PROMISE = (kwh("2"), kwh("2"))
REWARD, PENALTY = "10", "20"


class Responding(Metered):
    """An event of two hours for which H1 promises 2 kWh each."""

    def __init__(self, direction: str = "down", **terms: object) -> None:
        extra = ((ResponseModule(), {**RESPONSE, **terms}),)
        super().__init__(people=PEOPLE, section=METERS, extra=extra)
        prices = (tokens(REWARD), tokens(PENALTY))
        hours = (FIRST - 1, FIRST, END, END + 1)
        times = [self.config.start_ms(self.first + hour) for hour in hours]
        call = ("call", direction, PROFILE, *prices, *times)
        self.event = self.call("DSO", *call, module="response")
        self.call("H1", "enrol", self.event, PROMISE, module="response")
        self.before = self.account("H1").money_micro + self.account("H1").money_reserved_micro

    def play(self, moved: list[Pair], shown: Iterable[tuple[int, int]]) -> None:
        """Let hours pass up to the last in which a register can be settled.

        Each (when, which) of `shown` tells the register after the hour `which` when `when` ends.
        """
        plan = sorted(shown)
        for when in range(END + 6):
            self.until_end_of(when)
            for which in [each[1] for each in plan if each[0] == when]:
                registers = (total(moved, which),)
                assert self.refused("M1", "submit", self.first + which, registers) in (
                    "",
                    "too_late",
                )

    def gain(self) -> int:
        """Return reward less penalty of the event, which is settled."""
        assert not exists(self.overlay, EVENT_SPACE, self.event)
        account = self.account("H1")
        assert not account.money_reserved_micro
        self.check_conservation()
        return account.money_micro - self.before

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [v for module, event, v in self.events if (module, event) == ("response", name)]


def total(moved: list[Pair], hour: int) -> Pair:
    """Return the registers after an hour."""
    return sum(each[0] for each in moved[: hour + 1]), sum(each[1] for each in moved[: hour + 1])


def gain(moved: list[Pair], shown: Iterable[tuple[int, int]], direction: str = "down") -> int:
    world = Responding(direction)
    world.play(moved, shown)
    return world.gain()


def hours(**kwh_in: int) -> list[Pair]:
    """Return a withdrawal of 3 kWh each hour, but for those named `h52` and so on."""
    return [(0, kwh(str(kwh_in.get(f"h{hour}", 3)))) for hour in range(END + 6)]


def all_but(*missing: int) -> list[tuple[int, int]]:
    return [(hour, hour) for hour in range(END + 6) if hour not in missing]


ANSWER = {"h52": 1, "h53": 1}
"""Two kWh less in each hour."""
FULL, NOTHING = 4 * int(REWARD), -4 * int(PENALTY)


@pytest.mark.parametrize(
    ("moved", "missing", "expected"),
    [
        (ANSWER, (), FULL),
        # One register for the event's two hours: all of the 2 kWh may be of either, so in each
        # only one kWh less than 3 is proved.
        (ANSWER, (52,), 2 * int(REWARD) - 2 * int(PENALTY)),
        # The hour before is in the gap: its 3 kWh may have been the event's.
        (ANSWER, (51,), 2 * int(REWARD) - 2 * int(PENALTY)),
        # Energy moved out of the event in the hour before it, and into the one after it.
        ({**ANSWER, "h51": 7}, (51,), 2 * int(REWARD) - 2 * int(PENALTY)),
        ({**ANSWER, "h54": 7}, (53,), 2 * int(REWARD) - 2 * int(PENALTY)),
        # A gap over the same two hours of the day before: either may have had nothing, so that the
        # baseline is 1.5 kWh. The same on both days.
        (ANSWER, (28,), 1 * int(REWARD) - 3 * int(PENALTY)),
        (ANSWER, (4, 28), NOTHING),
        # Silence from the first hour of the event on.
        (ANSWER, tuple(range(52, END + 6)), NOTHING),
    ],
)
def test_what_a_missing_register_leaves_open_counts_against_the_member(
    moved: dict[str, int], missing: tuple[int, ...], expected: int
) -> None:
    found = gain(hours(**moved), all_but(*missing))
    assert found == tokens(str(expected))


COURSES = st.integers(0, 2**32)


@pytest.mark.parametrize("direction", ["down", "up"])
@settings(max_examples=15)
@given(COURSES)
def test_a_true_reading_kept_back_or_late_never_raises_what_a_member_gets(
    direction: str, seed: int
) -> None:
    random = Random(seed)
    injects = random.choice(((0,), (0, 1, 3, MOST)))
    moved = [
        (kwh(str(random.choice(injects))), kwh(str(random.choice((0, 1, 2, 3, 5, MOST)))))
        for _ in range(END + 6)
    ]
    latest = random.choice((0, 3, 8))
    late = [(min(hour + random.randint(0, latest), END + 5), hour) for hour in range(END + 6)]
    share = random.choice((3, 10, 40))
    shown = [each for each in late if random.randrange(share)]
    fewer = [each for each in shown if random.randrange(share)]
    gains = [gain(moved, plan, direction) for plan in (all_but(), shown, fewer, [])]
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] == tokens(str(NOTHING))


def test_a_member_without_comparable_hours_delivers_nothing() -> None:
    world = Responding()
    ids = world.ids
    world.until_end_of(40)
    world.ask("DSO", "revoke", ids["M1"], ())
    world.ask("DSO", "register", ids["M3"], ids["H1"], world.first + 50, 0, 0, 0)
    for hour in range(50, END + 6):
        world.until_end_of(hour)
        world.submit("M3", hour, (0, 0))
    assert world.of("baseline") == [(world.event, ids["H1"])]
    assert world.gain() == tokens(str(NOTHING))


def test_who_has_no_meter_is_not_enrolled() -> None:
    world = Responding()
    world.ask("DSO", "revoke", world.ids["M2"], ())
    promise = (kwh("1"), 0)
    assert world.code("H2", "enrol", world.event, promise, module="response") == "no_meter"


def test_an_event_waits_for_who_is_not_proved_and_reads_the_others() -> None:
    world = Responding()
    world.call("H2", "enrol", world.event, (kwh("1"), 0), module="response")
    moved = hours(**ANSWER)
    for hour in range(END + 2):
        world.until_end_of(hour)
        world.submit("M1", hour, total(moved, hour))
        if hour not in (52, 53):
            world.submit("M2", hour, total(moved, hour))
    final_ms = world.config.correction_ms(world.first + END - 1)
    assert world.of("wait") == [(world.event, 1, final_ms)]
    assert world.of("record") == [(world.event, world.ids["H1"], kwh("1"), kwh("1"))]
    assert not world.of("settle")
    # What comes in the time of corrections still counts.
    world.until_end_of(END + 2)
    for hour in (52, 53):
        world.submit("M2", hour, total(moved, hour))
    world.until_final(END - 1)
    settled = {account: figures for _, account, *figures in world.of("settle")}
    assert settled == {
        world.ids["H1"]: [kwh("4"), tokens("40"), 0],
        world.ids["H2"]: [kwh("1"), tokens("10"), 0],
    }
    world.check_conservation()


def test_the_largest_event_is_read_in_steps() -> None:
    names = [f"H{n}" for n in range(1, MAX_ENROLMENTS + 1)]
    meters = [{"meter": f"M{name}", "member": name} for name in names]
    people = [PEOPLE[0], *(Person(name) for name in names)]
    people += [Person(f"M{name}", roles=("meter",)) for name in names]
    world = Responding.__new__(Responding)
    section = {**METERS, "meters": meters}
    Metered.__init__(
        world, people=tuple(people), section=section, extra=((ResponseModule(), RESPONSE),)
    )
    times = [world.config.start_ms(world.first + hour) for hour in (51, FIRST, END, END + 1)]
    profile = (kwh("1"),) * 2
    world.event = world.call("DSO", "call", "down", profile, 1, 1, *times, module="response")
    for name in names:
        world.call(name, "enrol", world.event, (1, 1), module="response")
    world.due_gas = 450_000
    read = set()
    for hour in range(END + 6):
        world.until_end_of(hour)
        if hour == 0:
            for name in names:
                world.submit(f"M{name}", hour, (0, 0))
        for _ in range(9):
            world.advance(1_000)
            read.add(len(world.of("record")))
    assert len(read) > 2
    for _ in range(9):
        world.advance(1_000)
    assert len(world.of("settle")) == MAX_ENROLMENTS and len(world.of("ended")) == 1
    world.check_conservation()
