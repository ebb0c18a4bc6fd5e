"""Sealed gates of a day market: commitments, forfeits, and what a misstatement costs in `huang`."""

from __future__ import annotations

from market.day.lines import MISSTATEMENT, PENALTY, RETAIL, SHORTFALL, SOLD
from tests.market.day.day_world import HUANG, DayWorld, shown, step
from tests.market.support import kwh, tokens
from vm.system.accounts import SUSPENDED


def test_a_sealed_round_of_huang_and_its_misstatement_penalty() -> None:
    world = DayWorld(HUANG, balance="2000")
    openings = {
        name: world.seal(name, side, step(energy, price))
        for name, side, energy, price in (
            ("A", "buy", "2", "28"),
            ("B", "buy", "1", "26"),
            ("C", "sell", "2", "12"),
            ("D", "sell", "1", "14"),
        )
    }
    world.seal("E", "buy", step("9", "29"))
    assert world.account("A").money_reserved_micro == tokens("402")
    world.before(60)
    assert world.refused("A", "open", *openings["A"][:4], step("3", "28"), *openings["A"][5:]) == (
        "wrong_opening"
    )
    for name, arguments in openings.items():
        world.ask(name, "open", *arguments)
    assert world.refused("A", "open", *openings["A"]) == "already_open"
    # Its energy at the retail tariff, and the penalty: 20 kWh at 20.
    assert world.account("A").money_reserved_micro == tokens("60") + tokens("400")
    world.before(45)
    assert world.told("forfeit")[0][2:] == (5, world.ids["E"], world.ids["O"], tokens("2"))
    assert world.account("E").money_reserved_micro == 0
    assert world.told("clear")[0][3:6] == (kwh("2"), 2 * tokens("26"), 2 * tokens("14"))
    for name, injected, withdrawn in (("A", "0", "2.2"), ("B", "0", "1"), ("C", "1.7", "0")):
        world.measure(name, injected, withdrawn)
    sums = world.settle()
    assert sums.surplus_micro == tokens("24")
    assert MISSTATEMENT not in [line.kind for line in world.lines("A")], "within the tolerance"
    assert [line.kind for line in world.lines("C")] == [SOLD, SHORTFALL, PENALTY, MISSTATEMENT]
    assert shown(world, "C")["misstatement"] == (kwh("0.3"), tokens("400"))
    assert shown(world, "D") == {"misstatement": (kwh("1"), tokens("400"))}, "nothing came"
    assert [line.kind for line in world.lines("B")] == [RETAIL]
    world.correct()
    assert world.money("O") == tokens("1000") + tokens("2") + tokens("24") + tokens("801.2")
    world.conserve()


def test_what_took_part_in_huang_is_measured_though_it_is_cancelled() -> None:
    gates = [*HUANG["gates"], {"kind": "real_time", "minutes": 5}]
    world = DayWorld({**HUANG, "gates": gates}, balance="2000")
    arguments = world.seal("A", "buy", step("9", "28"))
    world.before(60)
    world.ask("A", "open", *arguments)
    world.before(44)
    world.ask("A", "cancel", "local", world.interval, arguments[2])
    position = world.position("A")
    assert position is not None and position.stated_buy_milli_wh == kwh("9")
    again = world.place("A", "buy", step("3", "28"))
    world.ask("A", "cancel", "local", world.interval, again)
    position = world.position("A")
    assert position is not None and position.stated_buy_milli_wh == kwh("9"), "moved no price"
    world.settle()
    assert [line.kind for line in world.lines("A")] == [MISSTATEMENT]


def test_a_member_is_on_one_side_where_a_gate_is_huang() -> None:
    world = DayWorld(HUANG, balance="2000")
    bid = world.seal("A", "buy", step("1", "20"))
    offer = world.seal("A", "sell", step("1", "20"))
    world.before(60)
    world.ask("A", "open", *bid)
    assert world.refused("A", "open", *offer) == "both_sides"


def test_openings_have_their_time_and_their_cover() -> None:
    world = DayWorld(HUANG, balance="2000")
    early = world.seal("A", "buy", step("1", "20"))
    poor = world.seal("B", "buy", step("1", "20"), cover="29.999999")
    assert world.refused("A", "open", *early) == "wrong_time"
    assert world.refused("A", "place", "local", world.interval, "buy", step("1", "20"), 255) == (
        "sealed"
    )
    world.before(60)
    assert world.refused("B", "open", *poor) == "not_covered"
    world.before(45)
    assert world.refused("A", "open", *early) in ("wrong_time", "unknown_order")


def test_who_is_suspended_and_cannot_open_keeps_its_deposit() -> None:
    world = DayWorld(HUANG)
    world.seal("A", "buy", step("1", "20"))
    world.seal("B", "buy", step("1", "20"))
    world.set_status("A", SUSPENDED)
    world.settle()
    assert [values[3] for values in world.told("forfeit")] == [world.ids["B"]]
    assert world.told("release") == [("local", world.interval, 1, world.ids["A"])]
    assert world.account("A").money_reserved_micro == 0
    assert world.money("A") == tokens("1000")
    world.conserve()
