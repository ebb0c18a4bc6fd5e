"""Plants and guarantees of origin: issue, corrections, transfer, retirement, expiry."""

from __future__ import annotations

from typing import Any

import pytest

from market.certificates import crediting
from market.certificates.module import CertificatesModule
from market.certificates.records import CREDIT_SPACE, PLANT_INDEX, read_plant
from market.meters.module import MetersModule
from market.meters.readings import read_intervals
from tests.market.certificates.certificate_world import (
    DAY,
    HOUR,
    SECTION,
    CertificateWorld,
)
from tests.market.day.day_world import METERS, QUARTER
from tests.market.support import ROLES, Person, World, kwh
from vm.primitives.errors import CallError, InvalidGenesis

NOBODY = b"\x01" * 20


def test_a_certificate_for_each_unit_and_fractions_are_carried() -> None:
    world = CertificateWorld()
    world.flow("A", 0, ("0.8", "0"), ("0.9", "0"))
    world.flow("B", 0, ("3.5", "0"))
    world.hours(1)
    (roof,), (mill,) = world.lots("A"), world.lots("E")
    assert (roof.plant, roof.first_serial, roof.count, roof.technology) == (1, 1, 1, "solar")
    assert (mill.plant, mill.first_serial, mill.count, mill.unit_milli_wh) == (2, 1, 3, kwh("1"))
    assert roof.produced_from_ms == world.first * QUARTER
    assert roof.expires_ms == roof.produced_until_ms + 3 * DAY
    assert world.plant(1).carry_milli_wh == kwh("0.7")
    world.flow("A", 4, ("0.1", "0"))
    world.hours(2)
    assert len(world.lots("A")) == 1, "0.8 kWh are no certificate"
    world.flow("A", 8, ("1.3", "0"))
    world.hours(3)
    second = world.lots("A")[1]
    # Its production began with what was carried.
    assert (second.first_serial, second.count) == (2, 2)
    assert second.produced_from_ms == roof.produced_from_ms
    assert world.plant(1).carry_milli_wh == kwh("0.1")
    assert [told[1:5] for told in world.said("issue")] == [
        ("roof", world.ids["A"], 1, 1),
        ("mill", world.ids["E"], 1, 3),
        ("roof", world.ids["A"], 2, 2),
    ]


def test_no_more_counts_than_a_plant_can_produce() -> None:
    world = CertificateWorld()
    world.flow("A", 0, ("9", "0"), ("1.5", "0"))
    world.hours(1)
    # 8 kW make 2 kWh in a quarter of an hour.
    assert world.lots("A")[0].count == 3
    assert world.plant(1).carry_milli_wh == kwh("0.5")


def test_estimates_count_only_once_they_are_read() -> None:
    world = CertificateWorld(meters={**METERS, "mean_days": 1})
    world.hours(1)
    assert world.lots("A") == []
    world.flow("A", 0, ("1.9", "0"), ("1.2", "0"))
    world.hours(2)
    assert world.lots("A") == []
    world.final(1)
    assert [lot.count for lot in world.lots("A")] == [3]
    assert world.plant(1).carry_milli_wh == kwh("0.1")
    world.final(3)
    assert world.plant(1).carry_milli_wh == kwh("0.1"), "counted once"
    assert [key for key in world.state.values if key[:2] == CREDIT_SPACE] == []


def test_an_estimate_of_production_is_no_proof_of_it() -> None:
    world = CertificateWorld(meters={**METERS, "mean_days": 1})
    world.flow("A", 0, *[("0.5", "0")] * 4)
    world.final(2)
    assert sum(lot.count for lot in world.lots("A")) == 2
    world.go((world.first + 96) * QUARTER)
    world.hours(26)
    config = crediting_terms(world)[1]
    ids = world.ids["A"]
    guessed = read_intervals(world.context(), config, ids, world.first + 96, 4)
    assert [each.injected_milli_wh for each in guessed] == [kwh("0.5")] * 4
    world.final(26)
    assert world.plant(1).issued == 2 and world.plant(1).carry_milli_wh == 0


def test_a_correction_downwards_is_made_up_for_before_the_next_certificate() -> None:
    world = CertificateWorld()
    world.flow("A", 0, ("0", "0"))
    # One register at the end of the second hour: a kWh for each interval, two in the first hour.
    world.go((world.first + 7) * QUARTER)
    world.call("MA", "submit", world.first + 6, ((kwh("6"), 0),), module="meters")
    world.hours(1)
    assert [lot.count for lot in world.lots("A")] == [2]
    # What the meter showed at the end of the first hour comes late: all but nothing by then.
    world.call("MA", "submit", world.first + 2, ((kwh("0.5"), 0),), module="meters")
    world.hours(2)
    # The second hour had 5.5 kWh, and the first not what its two certificates were issued for.
    assert (world.plant(1).issued, world.plant(1).carry_milli_wh) == (7, kwh("0.5"))
    world.final(2)
    assert (world.plant(1).issued, world.plant(1).carry_milli_wh) == (7, -kwh("1"))
    world.read_until["A"], world.registers["A"] = world.first + 7, [kwh("6"), 0]
    world.flow("A", 16, ("0.8", "0"))
    world.hours(6)
    assert (world.plant(1).issued, world.plant(1).carry_milli_wh) == (7, -kwh("0.2"))
    world.read_until["A"] = world.first + 25
    world.flow("A", 29, ("1.3", "0"))
    world.hours(8)
    assert (world.plant(1).issued, world.plant(1).carry_milli_wh) == (8, kwh("0.1"))
    assert sum(lot.count for lot in world.lots("A")) == 8


@pytest.mark.parametrize("again_at", [3, 5, 20])
def test_a_plant_registered_anew_makes_up_for_what_the_closed_one_was_issued_too_much(
    again_at: int,
) -> None:
    world = CertificateWorld()
    world.flow("A", 0, ("0", "0"))
    world.go((world.first + 7) * QUARTER)
    world.call("MA", "submit", world.first + 6, ((kwh("6"), 0),), module="meters")
    world.hours(1)
    assert [lot.count for lot in world.lots("A")] == [2]
    world.call("MA", "submit", world.first + 2, ((kwh("0.5"), 0),), module="meters")
    world.do("O", "close", "roof")
    a = world.ids["A"]
    if again_at < 20:
        world.go(world.time_ms + again_at * QUARTER)
    else:
        world.final(3)
        assert not world.plant(1).is_watched and world.plant(1).carry_milli_wh < 0
    number = world.do("O", "register", "roof2", a, a, "solar", 8_000)
    since = world.plant(number).since
    world.read_until["A"], world.registers["A"] = since, [kwh("6"), 0]
    world.flow("A", since - world.first + 1, ("2", "0"))
    world.final((since + 2 - world.first) // 4 + 1)
    old, new = world.plant(1), world.plant(number)
    assert (old.issued, old.carry_milli_wh) == (7, 0)
    # Six kWh were for the old one's seven; the debt came before the new one's two, or after.
    assert new.issued * kwh("1") + new.carry_milli_wh == kwh("1")
    assert new.issued == (1 if again_at == 20 else 2)


def test_the_carry_goes_below_nothing_and_issued_certificates_stay() -> None:
    world = CertificateWorld()
    ctx = world.context()
    ctx.module = "certificates"
    terms, meters = crediting_terms(world)
    plant = world.plant(1)
    crediting.add_energy(ctx, terms, meters, plant, kwh("2.5"), (10, 14))
    crediting.add_energy(ctx, terms, meters, plant, -kwh("1.6"), (10, 14))
    assert (plant.issued, plant.carry_milli_wh) == (2, -kwh("1.1"))
    crediting.add_energy(ctx, terms, meters, plant, kwh("2"), (20, 24))
    assert (plant.issued, plant.carry_milli_wh, plant.carry_from) == (2, kwh("0.9"), 20)
    crediting.add_energy(ctx, terms, meters, plant, kwh("0.2"), (16, 20))
    assert (plant.issued, plant.carry_milli_wh) == (3, kwh("0.1"))
    last = ctx.events[-1][2]
    assert last[3:7] == (3, 1, 16 * QUARTER, 24 * QUARTER), "all that it was made of"


def crediting_terms(world: CertificateWorld) -> tuple[Any, Any]:
    from market.certificates.records import load_terms
    from market.meters.records import load_terms as load_meter_terms

    return load_terms(world.context()), load_meter_terms(world.context())


def issued(count: str = "5") -> CertificateWorld:
    """Return a world in which E has the mill's certificates, in lot 1."""
    world = CertificateWorld()
    world.flow("B", 0, (count, "0"))
    world.hours(1)
    assert world.lots("E")[0].number == 1
    return world


def test_a_lot_is_given_away_whole_or_in_part() -> None:
    world = issued()
    assert world.do("E", "transfer", 1, 2, world.ids["C"]) == 2
    assert world.do("E", "transfer", 1, 3, world.ids["D"]) == 1
    (c,), (d,) = world.lots("C"), world.lots("D")
    assert (c.number, c.first_serial, c.count) == (2, 1, 2)
    assert (d.number, d.first_serial, d.count) == (1, 3, 3)
    assert world.lots("E") == []
    assert world.do("D", "transfer", 1, 3, world.ids["D"]) == 1
    assert world.lots("D") == [d]
    ids = world.ids
    assert world.said("transfer")[:2] == [
        (1, 2, 1, 2, ids["E"], ids["C"]),
        (1, 1, 3, 3, ids["E"], ids["D"]),
    ]


def test_a_certificate_is_retired_once() -> None:
    world = issued()
    world.do("E", "retire", 1, 2, world.ids["C"], "my own consumption")
    world.do("E", "retire", 1, 3, "Bakery Ltd", "bread of 2023")
    assert world.all_lots() == []
    assert world.coins("C").retired_milli_wh == kwh("2")
    produced = (world.first * QUARTER, world.said("issue")[0][6])
    ids = world.ids
    assert world.said("retire") == [
        (1, "mill", 1, 2, ids["E"], "wind", *produced, ids["C"], "my own consumption"),
        (1, "mill", 3, 3, ids["E"], "wind", *produced, "Bakery Ltd", "bread of 2023"),
    ]
    assert world.denied("E", "retire", 1, 1, "", "") == "unknown_lot"
    assert world.denied("E", "transfer", 1, 1, world.ids["C"]) == "unknown_lot"


def test_certificates_expire_by_themselves() -> None:
    world = issued()
    world.do("E", "transfer", 1, 2, world.ids["C"])
    world.do("C", "retire", 2, 1, "", "")
    lot = world.lots("E")[0]
    world.go(lot.expires_ms - 1)
    assert len(world.all_lots()) == 2
    world.go(lot.expires_ms)
    assert world.all_lots() == []
    assert [(told[0], told[2], told[3]) for told in world.said("expire")] == [(1, 3, 3), (2, 2, 1)]
    assert world.index() == world.rebuilt_index()


def test_what_is_due_in_the_block_of_a_call_comes_first() -> None:
    world = issued()
    lot = world.lots("E")[0]
    world.go(lot.expires_ms - 1)
    world.time_ms += 1  # before what is due was done: no node does so, and yet
    assert world.denied("E", "transfer", 1, 1, world.ids["C"]) == "expired"
    assert world.denied("E", "retire", 1, 1, "", "") == "expired"


def test_refusals_of_lots() -> None:
    world = issued()
    for name, more in (("transfer", (world.ids["C"],)), ("retire", ("", ""))):
        assert world.denied("C", name, 1, 1, *more) == "not_your_lot"
        assert world.denied("E", name, 2, 1, *more) == "unknown_lot"
        assert world.denied("E", name, 1, 6, *more) == "not_enough_certificates"
        assert world.denied("E", name, 1, 0, *more) == "invalid_arguments"
        assert world.denied("E", name, 0, 1, *more) == "invalid_arguments"
    assert world.denied("E", "transfer", 1, 1, NOBODY) == "unknown_account"
    assert world.denied("E", "retire", 1, 1, NOBODY, "") == "unknown_account"
    assert world.denied("E", "retire", 1, 1, "x" * 129, "") == "invalid_arguments"
    assert world.denied("E", "retire", 1, 1, "", "x" * 129) == "invalid_arguments"
    assert world.denied("E", "retire", 1, 1, 5, "") == "invalid_arguments"


def test_a_plant_is_registered_closed_and_followed_by_another() -> None:
    world = CertificateWorld()
    register = ("register", "tower", world.ids["D"], world.ids["C"], "wind", 10_000)
    assert world.do("O", *register) == 3
    since = world.plant(3).since
    assert since == world.first + 1
    world.flow("C", 0, ("2", "0"), ("1", "0"))
    world.do("O", "close", "tower")
    end = world.plant(3).end
    assert end == world.first + 3
    again = ("register", "tower2", world.ids["C"], world.ids["C"], "wind", 10_000)
    assert world.do("O", *again) == 4
    assert world.plant(4).since == end
    world.flow("C", 2, ("1.5", "0"), ("2.5", "0"))
    world.hours(1)
    # The first interval was before it was registered, the third the last that counts.
    assert [lot.count for lot in world.lots("D")] == [2]
    world.final(2)
    assert [(lot.plant, lot.count) for lot in world.lots("C")] == [(4, 2)]
    assert not world.plant(3).is_watched
    world.commit()
    assert PLANT_INDEX + (3).to_bytes(4, "big") not in world.state.values
    assert world.index() == world.rebuilt_index()


def test_refusals_of_plants() -> None:
    world = CertificateWorld()
    c = world.ids["C"]
    assert world.denied("A", "register", "x", c, c, "solar", 1) == "wrong_role"
    for arguments, code in (
        (("roof", c, c, "solar", 1), "plant_taken"),
        (("x", c, c, "coal", 1), "unknown_technology"),
        (("x", NOBODY, c, "solar", 1), "unknown_account"),
        (("x", c, NOBODY, "solar", 1), "no_meter"),
        (("x", c, world.ids["O"], "solar", 1), "no_meter"),
        (("x", c, world.ids["A"], "solar", 1), "connection_taken"),
        (("x", c, c, "solar", 0), "invalid_arguments"),
        (("x", c, c, "solar", 10**9 + 1), "invalid_arguments"),
    ):
        assert world.denied("O", "register", *arguments) == code
    assert world.denied("O", "close", "x") == "unknown_plant"
    world.do("O", "close", "roof")
    assert world.denied("O", "close", "roof") == "plant_closed"
    assert world.denied("A", "set_owner", "roof", c) == "plant_closed"
    assert world.denied("A", "set_owner", "x", c) == "unknown_plant"
    assert world.denied("B", "set_owner", "mill", c) == "not_your_plant"
    assert world.denied("E", "set_owner", "mill", NOBODY) == "unknown_account"


def test_genesis_may_register_more_plants_than_a_receipt_could_tell() -> None:
    names = [f"H{number}" for number in range(1_030)]
    plants = [{**SECTION["plants"][0], "plant": name, "member": name} for name in names]
    people = [Person(name) for name in names]
    meters = [Person("M" + name, ("meter",)) for name in names]
    world = World(
        [Person("O", roles=("operator",)), *people, *meters],
        {"markets": []},
        extra=[
            (MetersModule(ROLES), {"meters": [{"meter": "M" + n, "member": n} for n in names]}),
            (CertificatesModule(), {"plants": plants}),
        ],
    )
    assert read_plant(world.overlay, 1_030) is not None


def test_a_plant_handed_over_issues_to_its_new_owner() -> None:
    world = CertificateWorld()
    world.do("E", "set_owner", "mill", world.ids["C"])
    world.flow("B", 0, ("2", "0"))
    world.hours(1)
    assert world.lots("E") == [] and world.lots("C")[0].count == 2
    assert world.said("set_owner") == [("mill", world.ids["E"], world.ids["C"])]


@pytest.mark.parametrize("limit", ["plants", "gas"])
def test_many_plants_are_credited_step_by_step(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = CertificateWorld()
    world.do("O", "register", "c", world.ids["C"], world.ids["C"], "solar", 40_000)
    for name in ("A", "B", "C"):
        world.flow(name, 0, ("1", "0"), ("1", "0"))
    if limit == "plants":
        monkeypatch.setattr(crediting, "PLANTS_PER_STEP", 1)
    else:
        monkeypatch.setattr(crediting, "GAS_OF_LOOK", 0)
        monkeypatch.setattr(crediting, "GAS_OF_PLANT", world.due_gas - 1_000)
    world.hours(1)
    assert [told[1] for told in world.said("issue")] == ["roof", "mill", "c"]
    world.final(1)
    assert [plant.carry_milli_wh for plant in map(world.plant, (1, 2, 3))] == [0, 0, 0]
    assert [plant.issued for plant in map(world.plant, (1, 2, 3))] == [2, 2, 1]


def test_after_a_standstill_periods_follow_one_another() -> None:
    world = CertificateWorld()
    world.flow("A", 0, ("2", "0"))
    world.advance(5 * DAY)
    for _ in range(200):
        world.advance(1)
    world.read_until["A"] = world.time_ms // QUARTER
    quiet = ("0", "0")
    world.flow("A", world.read_until["A"] - world.first, quiet, ("1.5", "0"), ("1", "0"))
    world.go(world.time_ms + 3 * HOUR)
    # What was read before is beyond what meters keep; what came after counts.
    assert sum(lot.count for lot in world.lots("A")) == 2
    assert world.plant(1).carry_milli_wh == kwh("0.5")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"unit": 1}, "unknown fields"),
        ({"unit_kwh": 0}, "unit_kwh"),
        ({"period_intervals": 97}, "period_intervals"),
        ({"validity_days": 0}, "validity_days"),
        ({"technologies": []}, "technologies"),
        ({"technologies": ["coal"]}, "technologies"),
        ({"technologies": ["solar", "solar"]}, "technologies"),
        ({"coins": {"market": "other"}}, "no such day market"),
        ({"coins": {"earned": "-1"}}, "earned"),
        ({"plants": [{"plant": "x", "member": "A", "technology": "solar"}]}, "capacity_w"),
        ({"plants": [{**SECTION["plants"][0], "technology": "coal"}]}, "technology"),
        ({"plants": [{**SECTION["plants"][0], "member": "O"}]}, "no meter"),
        ({"plants": [SECTION["plants"][0]] * 2}, "a plant has this name"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidGenesis, match=words):
        CertificateWorld({**SECTION, **change})


def test_without_a_section_there_are_no_certificates() -> None:
    world = CertificateWorld({})
    c = world.ids["C"]
    for caller, name, arguments in (
        ("O", "register", ("x", c, c, "solar", 1)),
        ("O", "close", ("x",)),
        ("C", "set_owner", ("x", c)),
        ("C", "enrol", ()),
        ("C", "leave", ()),
    ):
        assert world.denied(caller, name, *arguments) == "no_certificates"
    with pytest.raises(CallError, match="no such lot"):
        world.do("C", "retire", 1, 1, "", "")
