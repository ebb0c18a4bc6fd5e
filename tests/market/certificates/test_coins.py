"""Green-choice coins: earned by renewable withdrawals, lost by others, by final readings."""

from __future__ import annotations

import pytest

from market.certificates import coins as coins_module
from market.certificates.coins import change_coins
from market.certificates.records import CertificateTerms, Coins
from tests.market.certificates.certificate_world import SECTION, CertificateWorld
from tests.market.day.day_world import step
from tests.market.support import kwh, tokens
from vm.primitives.integers import MAX_AMOUNT

COIN = 1_000_000
UNLIMITED = {**SECTION, "plants": SECTION["plants"]}


def traded(*enrolled: str) -> CertificateWorld:
    """Return a world in which A sells solar and D other energy to C and E, 1 kWh each way."""
    world = CertificateWorld()
    for name in enrolled:
        world.do(name, "enrol")
    for name in ("A", "D"):
        world.place(name, "sell", step("1", "15"))
    for name in ("C", "E"):
        world.place(name, "buy", step("1", "25"))
    world.before(60)
    return world


def test_a_buyer_earns_for_its_part_of_what_plants_delivered() -> None:
    world = traded("C")
    world.measure("A", "1", "0")
    world.measure("D", "1", "0")
    world.measure("C", "0", "1.5")
    world.measure("E", "0", "1")
    world.correct()
    c = world.coins("C")
    # Half of what was sold was solar; a kWh was not, at half a coin each.
    assert (c.covered_milli_wh, c.other_milli_wh) == (kwh("0.5"), kwh("1"))
    assert c.balance_micro == COIN // 2 - COIN // 2
    # The roof delivered 1 kWh, of which half is C's by contract; E, not enrolled, claims nothing.
    world.final(5)
    roof = world.plant(1)
    assert roof.issued * kwh("1") + roof.carry_milli_wh == kwh("0.5")
    assert [told[1] for told in world.said("coins")] == [1] * len(world.said("coins"))


def test_what_a_plant_did_not_deliver_is_not_renewable() -> None:
    world = traded("C", "E")
    world.measure("A", "0.4", "0")
    world.measure("D", "1", "0")
    world.measure("C", "0", "1")
    world.measure("E", "0", "0.5")
    world.correct()
    c, e = world.coins("C"), world.coins("E")
    assert (c.covered_milli_wh, c.other_milli_wh) == (kwh("0.2"), kwh("0.8"))
    assert (e.covered_milli_wh, e.other_milli_wh) == (kwh("0.1"), kwh("0.4"))
    assert c.balance_micro == 0, "0.2 earned, 0.4 lost, and never below nothing"
    assert world.plant(1).carry_milli_wh == kwh("0.4") - kwh("0.3")


def test_retired_certificates_cover_what_was_not_bought() -> None:
    world = CertificateWorld()
    world.do("C", "enrol")
    world.flow("B", 0, ("2", "0"))
    world.hours(1)
    world.do("E", "retire", 1, 1, world.ids["C"], "")
    world.flow("C", 8, ("0", "0.7"), ("0", "0.6"))
    world.final(4)
    c = world.coins("C")
    assert (c.retired_milli_wh, c.covered_milli_wh, c.other_milli_wh) == (0, kwh("1"), kwh("0.3"))
    assert c.balance_micro == COIN - COIN * 15 // 100


def test_energy_that_is_claimed_twice_is_certified_once() -> None:
    world = traded("C", "E")
    for name, injected, withdrawn in (("A", "1", "0"), ("D", "1", "0")):
        world.measure(name, injected, withdrawn)
    for name in ("C", "E"):
        world.measure(name, "0", "1")
    world.final(6)
    roof = world.plant(1)
    # The certificate was issued when the readings were due; the claims came when they were final.
    assert (roof.issued, roof.carry_milli_wh) == (1, -kwh("1"))
    assert world.coins("C").covered_milli_wh == world.coins("E").covered_milli_wh == kwh("0.5")


def test_members_enrol_and_leave_for_intervals_to_come() -> None:
    world = CertificateWorld()
    assert world.denied("C", "leave") == "not_enrolled"
    world.do("C", "enrol")
    since = world.first + 1
    assert world.said("enrol") == [(world.ids["C"], since)]
    assert world.denied("C", "enrol") == "already_enrolled"
    world.flow("C", 0, ("0", "1"), ("0", "2"))
    world.do("C", "leave")
    assert world.said("leave") == [(world.ids["C"], since + 2)]
    assert world.denied("C", "leave") == "not_enrolled"
    assert world.denied("C", "enrol") == "too_early", "what it withdrew is still to count"
    world.flow("C", 2, ("0", "4"), ("0", "8"))
    world.final(2)
    # The first interval was before it enrolled, the fourth after it left.
    assert world.coins("C").other_milli_wh == kwh("6")
    world.do("C", "enrol")
    assert world.coins("C").end is None


def test_without_a_market_there_are_no_coins() -> None:
    world = CertificateWorld({**SECTION, "coins": {}})
    assert world.denied("C", "enrol") == "no_coins"


@pytest.mark.parametrize("stage", ["each page", "all at once"])
def test_coins_are_settled_step_by_step(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = traded("C", "E")
    if stage == "each page":
        monkeypatch.setattr(coins_module, "GAS_OF_PAGE", world.due_gas - 1_000)
    for name, injected, withdrawn in (("A", "1", "0"), ("D", "1", "0"), ("C", "0", "1")):
        world.measure(name, injected, withdrawn)
    world.correct()
    world.go(world.time_ms + 60_000)
    assert world.coins("C").covered_milli_wh == kwh("0.5")
    assert world.plant(1).carry_milli_wh + world.plant(1).issued * kwh("1") == kwh("0.5")


TERMS = CertificateTerms(kwh("1"), 4, 60, ("solar",), "local", tokens("2"), tokens("3"))


def test_a_change_is_rounded_down_once() -> None:
    coins = Coins(10 * COIN, 0, None, 0, 0, 0)
    change_coins(TERMS, coins, 3, 1)
    # 2 - 2 * 3 millionths of a millionth coin a mWh: -4 is rounded to -4 exactly.
    assert coins.balance_micro == 10 * COIN - 4
    odd = CertificateTerms(kwh("1"), 4, 60, ("solar",), "local", 1, 1)
    coins = Coins(10, 0, None, 0, 0, 0)
    change_coins(odd, coins, 3, 1)
    assert coins.balance_micro == 9, "a fraction of a micro-coin is lost as a whole one"
    coins = Coins(MAX_AMOUNT - 1, 0, None, 5, MAX_AMOUNT, MAX_AMOUNT)
    change_coins(TERMS, coins, 7, 2)
    assert coins == Coins(MAX_AMOUNT, 0, None, 0, MAX_AMOUNT, MAX_AMOUNT)
