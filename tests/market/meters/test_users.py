"""Quotas and demand response where genesis has meters: they settle by what these show."""

from __future__ import annotations

from typing import Any

import pytest

from market.quota.module import QuotaModule
from market.quota.records import load_stations
from market.response.module import ResponseModule
from tests.market.meters.world import QUARTER_MS, SECTION, Metered
from tests.market.support import kwh, tokens
from vm.primitives.errors import InvalidGenesis

QUOTA = {"billed_minutes": 30, "penalty_price": "224"}
RESPONSE = {"upstream_price": "40", "past_intervals": 2, "tolerance_percent": 10, "account": "DSO"}
METERS = {**SECTION, "retention_days": 5, "mean_days": 1}


def charging(section: dict[str, Any]) -> Metered:
    return Metered(section=section, extra=((QuotaModule(), QUOTA),))


def at(world: Metered, *quarters: int) -> list[int]:
    return [world.config.start_ms(world.first + quarter) for quarter in quarters]


@pytest.mark.parametrize("minute_ms", [60_000, 600])
def test_a_station_pays_for_what_its_meter_shows_above_its_quota(minute_ms: int) -> None:
    world = charging({**SECTION, "minute_ms": minute_ms})
    number = world.call(
        "DSO", "announce", 20_000, tokens("10"), *at(world, 2, 3, 4, 6, 8), module="quota"
    )
    for name in ("H1", "H2"):
        world.call(name, "demand", number, 10_000, module="quota")
    world.until_end_of(5)
    # 10 kW for half an hour are 5 kWh. H1 charges 6 of them; of H2 one register is missing.
    world.submit("M1", 3, (0, 100), (0, 100 + kwh("4")), (0, 100 + kwh("6")))
    world.submit("M2", 3, (0, 0))
    world.submit("M2", 5, (0, kwh("9")))
    code = world.code("M1", "record", number, world.ids["H1"], 5, module="quota")
    assert code == "read_by_meters"
    world.until_deadline_of(5)
    stations = load_stations(world.context(), number)
    assert [stations[world.ids[name]].measured_milli_wh for name in ("H1", "H2")] == [
        kwh("6"),
        kwh("9"),
    ]
    penalties = [values[1:] for _, name, values in world.events if name == "penalty"]
    assert sorted(penalties) == sorted(
        [(world.ids["H1"], tokens("224"), 0), (world.ids["H2"], 4 * tokens("224"), 0)]
    )
    for name in ("H1", "H2"):
        world.call(name, "withdraw", number, module="quota")
    world.check_conservation()


def test_a_station_needs_a_meter() -> None:
    world = charging({**SECTION, "meters": []})
    number = world.call(
        "DSO", "announce", 20_000, tokens("10"), *at(world, 2, 3, 4, 6, 8), module="quota"
    )
    assert world.code("H1", "demand", number, 10_000, module="quota") == "no_meter"


@pytest.mark.parametrize(
    ("shifts", "code"),
    [
        ((0, 0, 1, 0, 0), "not_on_grid"),
        ((0, 0, 0, 1, 0), "not_on_grid"),
        ((0, 0, 0, 0, -1), "wrong_times"),
        ((0, 0, 0, 0, 8 * QUARTER_MS + 1), "wrong_times"),
        ((0, 0, 0, 0, 8 * QUARTER_MS), ""),
    ],
)
def test_a_period_that_meters_do_not_measure_is_refused(shifts: tuple[int, ...], code: str) -> None:
    world = charging(SECTION)
    times = [ms + shift for ms, shift in zip(at(world, 2, 3, 4, 6, 8), shifts, strict=True)]
    assert world.code("DSO", "announce", 20_000, 1, *times, module="quota") == code


def test_an_event_is_settled_against_the_same_times_of_the_days_before() -> None:
    world = Metered(section=METERS, extra=((ResponseModule(), RESPONSE),))
    registers = {"M1": (0, 0), "M2": (0, 0)}

    def measure(quarter: int, **energies: tuple[int, int]) -> None:
        """Show nothing up to a quarter of an hour, these energies in it, nothing in the next."""
        world.until_end_of(quarter + 1)
        for meter, (injected, withdrawn) in energies.items():
            before = registers[meter]
            registers[meter] = (before[0] + injected, before[1] + withdrawn)
            world.submit(meter, quarter - 1, before, registers[meter], registers[meter])

    for day, consumed in enumerate((2_000, 4_000)):
        for quarter in (10, 12):
            place = day * 96 + quarter
            measure(place, M1=(0, kwh("0.001") * consumed), M2=(kwh("1"), kwh("0")))
    world.until_end_of(180)
    prices = (tokens("10"), tokens("20"))
    times = at(world, 190, 202, 206, 208)
    call = ("call", "down", (kwh("3"), kwh("3")), *prices)
    assert world.code("DSO", *call, *at(world, 190, 202, 205, 208), module="response") == (
        "not_on_grid"
    )
    number = world.call("DSO", *call, *times, module="response")
    world.call("H1", "enrol", number, (kwh("1"), kwh("1")), module="response")
    world.call("H2", "enrol", number, (kwh("1"), kwh("1")), module="response")
    for name, energies in (("record", (1, 1)), ("record_past", ((1, 1), (1, 1)))):
        code = world.code("M1", name, number, world.ids["H1"], energies, module="response")
        assert code == "read_by_meters"
    # Each half of the hour has a baseline of 3 kWh for H1, and of -1 kWh for H2, who injects.
    measure(202, M1=(0, kwh("2.5")), M2=(kwh("1.5"), 0))
    measure(204, M1=(0, kwh("1")), M2=(kwh("2"), 0))
    world.until_deadline_of(205)
    world.advance(1)
    settled = [values[1:] for module, name, values in world.events if name == "settle"]
    assert {account: rest for account, *rest in settled} == {
        # Half a kWh is delivered, then all; missing beyond the tolerance are 0.4 kWh.
        world.ids["H1"]: [kwh("1.5"), tokens("15"), tokens("8")],
        world.ids["H2"]: [kwh("1.5"), tokens("15"), tokens("8")],
    }
    world.check_conservation()


def test_a_silent_meter_proves_no_response() -> None:
    world = Metered(section=METERS, extra=((ResponseModule(), RESPONSE),))
    world.until_end_of(13)
    # 1 kWh in each quarter of an hour of the first day, and no word from then on: so the day of
    # the event has no measured day before it to be estimated from, and is estimated as nothing.
    # That is no response: the event waits until all is final, and an estimate never counts.
    world.submit("M1", 9, *[(0, kwh(str(count))) for count in range(5)])
    world.until_end_of(180)
    times = at(world, 190, 202, 206, 208)
    profile = (kwh("2"), kwh("2"))
    prices = (tokens("10"), tokens("20"))
    number = world.call("DSO", "call", "down", profile, *prices, *times, module="response")
    world.call("H1", "enrol", number, profile, module="response")
    world.until_deadline_of(205)
    world.advance(1)
    assert [each.withdrawn_milli_wh for each in world.energies("H1", 202, 4)] == [0] * 4
    assert not [name for _, name, _ in world.events if name == "settle"]
    world.until_final(205)
    settled = [values[1:] for module, name, values in world.events if name == "settle"]
    # Nothing is delivered; missing beyond the tolerance are 3.6 kWh.
    assert settled == [(world.ids["H1"], 0, 0, tokens("72"))]
    world.check_conservation()


def test_baselines_need_no_more_days_than_meters_keep() -> None:
    with pytest.raises(InvalidGenesis):
        Metered(section=SECTION, extra=((ResponseModule(), RESPONSE),))
