"""Leaving a day market: when a member may, what is settled of it still, and joining again."""

from __future__ import annotations

import pytest

import vm.context
from market.day import settlement
from market.day.records import STANDING_INDEX, STANDING_SPACE, load_standing, save_standing
from market.day.settlement_records import CORRECTED, DONE, FIRST
from tests.market.day.day_world import METERS, QUARTER, TERMS, DayWorld, step
from tests.market.support import kwh, tokens
from vm.system.accounts import REMOVED

MINUTE = 60_000


def final_ms(interval: int) -> int:
    """Return when an interval is corrected, and what comes after it settled once more."""
    minutes = METERS["deadline_minutes"] + METERS["correction_minutes"]
    return (interval + 2) * QUARTER + minutes * MINUTE


def is_there(world: DayWorld, name: str) -> bool:
    world.commit()
    found = [key for key in world.state.values if key[:2] == STANDING_SPACE]
    listed = [key for key in world.state.values if key[: len(STANDING_INDEX)] == STANDING_INDEX]
    assert len(found) == len(listed)
    return STANDING_SPACE + world.ids[name] in found


def test_a_member_without_orders_leaves_and_joins_again() -> None:
    world = DayWorld()
    now = world.time_ms // QUARTER
    assert world.ask("A", "leave", "local") == now + 1
    assert world.refused("A", "leave", "local") == "leaving"
    assert world.refused("A", "join", "local") == "leaving"
    order = ("local", world.interval, "buy", step("1", "20"), 255)
    assert world.refused("A", "place", *order) == "leaving"
    world.go(final_ms(now + 1))
    assert is_there(world, "B") and not is_there(world, "A")
    assert ("day", "left", ("local", world.ids["A"])) in world.events
    assert world.refused("A", "leave", "local") == "not_joined"
    world.ask("A", "join", "local")
    assert is_there(world, "A")
    assert world.index() == world.rebuilt_index()


def test_nobody_leaves_with_orders_or_contracts_to_come() -> None:
    world = DayWorld()
    number = world.ask("A", "place", "local", world.interval, "buy", step("1", "20"), 255)
    assert world.refused("A", "leave", "local") == "orders_open"
    world.ask("A", "cancel", "local", world.interval, number)
    world.ask("A", "leave", "local")
    world.place("B", "sell", step("1", "12"))
    world.place("C", "buy", step("1", "20"))
    world.before(4)
    assert world.refused("B", "leave", "local") == "orders_open"


def test_what_was_before_is_settled_and_corrected_and_nothing_after() -> None:
    world = DayWorld()
    world.place("B", "sell", step("1", "12"))
    world.place("C", "buy", step("1", "20"))
    world.go(world.interval * QUARTER + MINUTE)
    assert world.ask("C", "leave", "local") == world.interval + 1
    world.go((world.interval + 2) * QUARTER)
    world.measure("B", "1", "0")
    first = world.read_until["C"]
    before = ((0, 0),) * (world.interval - first)
    # C withdraws a kWh under its contract, and two more once it is out, which others bill.
    registers = (*before, (0, kwh("1")), (0, kwh("3")))
    world.call("MC", "submit", first, registers, module="meters")
    world.go(final_ms(world.interval + 1))
    assert not is_there(world, "C")
    assert world.account("C").money_micro == tokens("1000") - tokens("16")
    assert world.account("C").money_reserved_micro == 0
    world.check_conservation()


def test_who_owes_stays_until_it_has_paid() -> None:
    world = DayWorld(balance="1")
    interval = world.time_ms // QUARTER + 1
    world.go(interval * QUARTER + MINUTE)
    world.ask("A", "leave", "local")
    world.go((interval + 1) * QUARTER)
    world.call("MA", "submit", interval - 1, ((0, 0), (0, kwh("2"))), module="meters")
    world.go(final_ms(interval))
    assert is_there(world, "A"), "it withdrew for 60 tokens and had one"
    world.call("U", "transfer", world.ids["A"], tokens("100"), "", module="accounts")
    world.ask("A", "pay_arrears", "local", world.ids["A"])
    world.go(world.time_ms + 2 * QUARTER)
    assert not is_there(world, "A")


def test_who_owes_ecoins_is_out_once_it_has_given_them_back() -> None:
    world = DayWorld()
    interval = world.time_ms // QUARTER + 1
    world.go((interval + 1) * QUARTER)
    world.call("MA", "submit", interval - 1, ((0, 0), (kwh("2"), 0)), module="meters")
    world.ask("A", "leave", "local")
    world.go((interval + 2) * QUARTER + 61 * MINUTE)
    assert world.account("A").energy_milli_wh == kwh("2")
    world.call("A", "transfer_energy", world.ids["B"], kwh("2"), module="accounts")
    key = STANDING_SPACE + world.ids["A"]
    # A correction took 1.5 of them back, and they were gone.
    standing = load_standing(world.context(), world.ids["A"])
    assert standing is not None
    standing.owed_ecoin_milli_wh = kwh("1.5")
    save_standing(world.context(), world.ids["A"], standing)
    world.go(final_ms(interval + 3))
    assert is_there(world, "A")
    world.ask("A", "pay_arrears", "local", world.ids["A"])
    assert world.overlay.get(key) is not None, "it has none"
    world.call("B", "transfer_energy", world.ids["A"], kwh("2"), module="accounts")
    world.ask("E", "pay_arrears", "local", world.ids["A"])
    assert world.told("return_ecoins") == [("local", world.ids["A"], kwh("1.5"))]
    assert world.account("A").energy_milli_wh == kwh("0.5")
    assert world.refused("E", "pay_arrears", "local", world.ids["A"]) == "no_arrears"
    world.go(world.time_ms + 2 * QUARTER)
    assert not is_there(world, "A")
    world.conserve()


def test_who_is_removed_from_the_network_is_out_once_its_contracts_are_settled() -> None:
    world = DayWorld(metered=("B",))
    world.place("A", "buy", step("1", "20"))
    world.place("B", "sell", step("1", "20"))
    for name in "AB":
        world.set_status(name, REMOVED)
    world.settle()
    assert world.settlement(FIRST).contracted_milli_wh == kwh("1")
    world.go(final_ms(world.time_ms // QUARTER + 2 * 24 * 4))
    assert not is_there(world, "A")
    assert is_there(world, "B"), "its connection is metered still"
    assert is_there(world, "C")
    assert world.account("A").money_reserved_micro == 0
    world.check_conservation()


@pytest.mark.parametrize("name", ["C", "U"])
def test_who_is_not_in_the_market_cannot_leave_it(name: str) -> None:
    world = DayWorld({**TERMS, "members": ["A", "B", "D", "E"]})
    assert world.refused(name, "leave", "local") == "not_joined"


def test_a_market_can_be_left_for_another() -> None:
    world = DayWorld()
    world.ask("A", "leave", "local")
    assert world.refused("A", "leave", "other") == "unknown_market"


def test_more_members_leave_at_once_than_a_receipt_can_tell_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (vm.context, settlement):
        monkeypatch.setattr(module, "MAX_EVENTS", 100)
    names = tuple(f"H{number:04}" for number in range(200))
    world = DayWorld(names=names, metered=("H0000",))
    for name in names[1:]:
        world.ask(name, "leave", "local")
    world.go(final_ms(world.time_ms // QUARTER + 1))
    assert len(world.told("left")) == len(names) - 1
    assert is_there(world, names[0])


def test_nobody_is_let_go_before_the_first_interval_is_corrected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = DayWorld({**TERMS, "members": []}, metered=())
    world.before(10)
    world.place("A", "buy", step("1", "20"))
    for name in "BCD":
        world.place(name, "sell", step("1", "20"))
    world.go(world.interval * QUARTER + MINUTE)
    for name in "ABCD":
        assert world.ask(name, "leave", "local") == world.interval + 1
    monkeypatch.setattr(settlement, "PAGE_MEMBERS", 1)
    world.settle()
    world.go(world.time_ms + 2 * QUARTER)
    # A page a step and a step a quarter: the first correction takes longer than the next one, of
    # an interval in which nothing was.
    monkeypatch.setattr(settlement._Step, "_has_room", has_room_once)
    world.time_ms = final_ms(world.interval + 1)
    for _ in range(20):
        world.advance(QUARTER)
    assert world.settlement(CORRECTED).stage == DONE
    assert len(world.told("left")) == 4
    world.check_conservation()


def has_room_once(step: settlement._Step) -> bool:
    """Let a step of a correction do one thing, any other all."""
    if step._part == FIRST:
        return True
    is_first, step._resumed = not hasattr(step, "_resumed"), True
    return is_first
