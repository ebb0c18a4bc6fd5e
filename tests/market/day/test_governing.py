"""Votes on the parameters of a day market: what may change, in which bounds, from when on."""

from __future__ import annotations

from typing import Any

import pytest

from market.auction.records import UNIFORM
from market.day import forgetting, settlement
from market.day.bills import read_bill
from market.day.contract_interface import day_interfaces
from market.day.dates import EU_RULE, NO_RULE, Zone, format_minute, parse_date, parse_minute
from market.day.gates import DAY_AHEAD, INTRADAY, Calendar, Gate
from market.day.governing import first_unopened
from market.day.module import DayModule
from market.day.records import read_version
from tests.market.day.day_world import HUANG, MINUTE, QUARTER, TERMS, DayWorld, step
from tests.market.support import kwh, tokens
from vm.primitives.errors import CallError


def vote(world: DayWorld, market: str = "local", **values: Any) -> None:
    """Carry out what a vote decided, or change nothing."""
    ctx = world.context()
    ctx.module = "day"
    mark = world.overlay.mark()
    try:
        DayModule().change_parameters(ctx, market, values)
    except CallError:
        world.overlay.undo(mark)
        raise


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"gates": 1}, "unknown_parameter"),
        ({"interval_minutes": 30}, "unknown_parameter"),
        ({"retail_micro_per_kwh": "30"}, "invalid_parameters"),
        ({"retail_micro_per_kwh": None}, "invalid_parameters"),
        ({"retail_micro_per_kwh": 10**12 + 1}, "invalid_parameters"),
        ({"retail_micro_per_kwh": 9_999_999}, "invalid_parameters"),  # below the feed-in tariff
        ({"feed_in_micro_per_kwh": 30_000_001}, "invalid_parameters"),
        ({"max_energy_milli_wh": 0}, "invalid_parameters"),
        ({"max_energy_milli_wh": 10**12, "retail_micro_per_kwh": 10**9}, "invalid_parameters"),
        ({"max_energy_milli_wh": 1, "retail_micro_per_kwh": 10**11}, "invalid_parameters"),
        ({"tolerance_percent": 1_001}, "invalid_parameters"),
        ({"keep_days": 0}, "invalid_parameters"),
        ({"penalty_micro_per_kwh": -1}, "invalid_parameters"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, Any], code: str) -> None:
    world = DayWorld()
    before = world.local
    with pytest.raises(CallError) as refused:
        vote(world, **values)
    assert refused.value.code == code
    assert world.local == before


def test_an_unknown_market_is_refused() -> None:
    with pytest.raises(CallError) as refused:
        vote(DayWorld(), "other", keep_days=3)
    assert refused.value.code == "unknown_market"


def test_a_change_holds_from_the_first_interval_that_has_not_opened() -> None:
    world = DayWorld()
    old = world.local
    vote(world, penalty_micro_per_kwh=tokens("6"), retail_micro_per_kwh=tokens("40"))
    new = world.local
    opens = [old.calendar.windows(each)[0].opens_ms for each in (new.since - 1, new.since)]
    assert opens[0] <= world.time_ms < opens[1]
    assert (new.penalty_micro_per_kwh, new.retail_micro_per_kwh) == (tokens("6"), tokens("40"))
    assert read_version(world.overlay, new, new.since) == new
    assert read_version(world.overlay, new, new.since - 1) == old
    told_to_contracts = day_interfaces()["day"]["tariffs"].run
    for interval, version in ((new.since, new), (new.since - 1, old)):
        assert told_to_contracts(world.context(), "local", interval) == (
            version.retail_micro_per_kwh,
            version.feed_in_micro_per_kwh,
            version.penalty_micro_per_kwh,
        )


def test_changes_follow_one_another() -> None:
    world = DayWorld()
    first = world.local
    vote(world, keep_days=3)
    vote(world, tolerance_percent=20)  # from the same interval on: one version of both
    second = world.local
    world.go(world.time_ms + 24 * 4 * QUARTER)
    vote(world, keep_days=9)
    third = world.local
    assert first.since < second.since < third.since
    assert (second.keep_days, second.tolerance_percent) == (3, 20)
    assert (third.keep_days, third.tolerance_percent) == (9, 20)
    for version, interval in ((first, 0), (second, second.since), (second, third.since - 1)):
        assert read_version(world.overlay, third, interval) == version


def test_what_stands_keeps_its_rules_and_what_comes_has_the_new_ones() -> None:
    world = DayWorld()
    world.ask("A", "place", "local", world.interval, "buy", step("2", "20"), 255)
    world.ask("B", "place", "local", world.interval, "sell", step("2", "12"), 255)
    vote(world, retail_micro_per_kwh=tokens("50"), penalty_micro_per_kwh=tokens("9"))
    # The interval is open: its bounds are the old ones, and what B owes for delivering nothing.
    assert (
        world.refused("C", "place", "local", world.interval, "buy", step("1", "31"), 255)
        == "price_out_of_range"
    )
    since = world.local.since
    world.go((world.interval + 1) * QUARTER)
    for name, flow in (("A", (0, kwh("2"))), ("B", (0, 0))):
        first = world.read_until[name]
        registers = ((0, 0),) * (world.interval - first) + (flow,)
        world.call("M" + name, "submit", first, registers, module="meters")
    world.go((world.interval + 1) * QUARTER + 60 * 60_000 + 60_000)
    lines = {
        each.line.kind: each.line.amount_micro
        for each in read_bill(
            world.overlay, world.local, world.ids["B"], range(world.interval, world.interval + 1)
        )
    }
    assert tokens("60") in lines.values()  # 2 kWh at the old retail tariff
    assert tokens("8") in lines.values()  # and at the old penalty
    sold = tokens("32")  # at the middle of both prices
    assert world.account("B").money_micro == tokens("1000") + sold - tokens("68")
    # In what opens later the new tariff bounds the price.
    window = world.local.calendar.windows(since)[0]
    world.go(window.opens_ms)
    assert world.ask("C", "place", "local", since, "buy", step("1", "45"), 255) == 1


def test_a_deposit_is_that_of_all_sealed_gates() -> None:
    world = DayWorld(HUANG)
    vote(world, deposit_micro=tokens("5"))
    assert [gate.deposit_micro for gate in world.local.calendar.gates] == [tokens("5")]
    assert first_unopened(world.local.calendar, world.time_ms) == world.local.since
    open_world = DayWorld()
    vote(open_world, deposit_micro=tokens("5"))
    assert [gate.deposit_micro for gate in open_world.local.calendar.gates] == [0, 0, 0]


def kept(world: DayWorld) -> list[int]:
    """Return the intervals of which sums or pages are there still."""
    world.commit()
    found = {key[:2]: set[int]() for key in (b"Di--", b"Dh--", b"Dr--")}
    for key in world.state.values:
        if key[:2] in found:
            found[key[:2]].add(int.from_bytes(key[4:12], "big"))
    return sorted(set().union(*found.values()))


@pytest.mark.parametrize("gas_of_page", [400, 1_950_000])
def test_what_is_kept_for_less_time_is_forgotten_whole(
    gas_of_page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settlement, "PAGE_MEMBERS", 1)
    world = DayWorld({**TERMS, "keep_days": 2})
    per_day = 24 * 60 * MINUTE
    world.go(world.time_ms + per_day)
    vote(world, keep_days=1)
    world.go(world.time_ms + 2 * per_day)
    before = kept(world)
    monkeypatch.setattr(forgetting, "GAS_OF_PAGE", gas_of_page)
    world.go(world.time_ms + 2 * per_day)
    after = kept(world)
    assert after[0] == after[-1] - len(after) + 1, "nothing is left behind"
    assert after[0] > before[0]
    if gas_of_page == 400:
        assert len(after) == 96 + 9, "a day from its correction on, and what is to be corrected"


@pytest.mark.parametrize("minutes", [15, 60])
@pytest.mark.parametrize("hour", range(0, 24, 5))
@pytest.mark.parametrize("zone", [Zone(60, EU_RULE, ()), Zone(-720, NO_RULE, ())])
def test_the_first_interval_that_has_not_opened_is_found(
    minutes: int, hour: int, zone: Zone
) -> None:
    gate = Gate(DAY_AHEAD, 0, 720, UNIFORM, 0, sealed=False, opening_minutes=0, deposit_micro=0)
    intraday = gate._replace(kind=INTRADAY, opens_minute=1_440, closes_minute=60)
    for first in (gate, intraday):
        calendar = Calendar(minutes, MINUTE, 0, zone, (first,))
        for day in ("2026-03-28", "2026-03-29", "2026-10-25", "2026-06-21"):
            now = ((parse_date(day) or 0) * 24 + hour) * 60 * MINUTE
            found = first_unopened(calendar, now)
            expected = calendar.interval_at(now) + 1
            while calendar.windows(expected)[0].opens_ms <= now:
                expected += 1
            assert found == expected


def test_leaving_takes_work_in_proportion_to_its_gas() -> None:
    """Also in a zone of 200 changes: a call of some 3,000 gas takes a millisecond at most."""
    changes = [(parse_minute(f"{2000 + year}-01-01T00:00"), 60 * (year % 2)) for year in range(200)]
    zone = {
        "changes": [
            {"utc": format_minute(at or 0, 0)[:16], "offset_minutes": of} for at, of in changes
        ]
    }
    world = DayWorld({**TERMS, "zone": zone})
    world.place("A", "buy", step("1", "20"))
    counted = 0

    def count(self: Calendar, interval: int) -> list[Any]:
        nonlocal counted
        counted += 1
        return windows(self, interval)

    windows = Calendar.windows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Calendar, "windows", count)
        assert world.refused("A", "leave", "local") == "orders_open"
    assert counted <= 12
    assert len(world.local.calendar.zone.offsets()) == 2
