"""The three published cases, to the last printed digit, and the text's variant of the third."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.market.support import Person, World, kwh, tokens

ROOT = Path(__file__).parents[2] / "genesis"
CASES = json.loads((ROOT / "cases" / "bit_energy.json").read_text())


def build(number: int, **changes: object) -> World:
    """Return the world of a case's genesis file, with some of its market's parameters changed."""
    genesis = json.loads((ROOT / f"bit-energy-case-{number}.json").read_text())
    people = [
        Person(
            member["name"],
            member["roles"],
            member.get("bus", ""),
            member.get("balance", "0"),
            member.get("energy", "0"),
        )
        for member in genesis["members"]
    ]
    section = genesis["modules"]["market"]
    section["markets"][0].update(changes)
    return World(people, section)


def trade(world: World, case: dict[str, Any]) -> Any:
    for offer in CASES["offers"]:
        world.call(
            offer["seller"], "post", "bit-energy", 0, kwh(offer["energy"]), tokens(offer["price"])
        )
    buy = case["buy"]
    price = tokens(buy["max_price"])
    return world.call(buy["buyer"], "buy", "bit-energy", 0, kwh(buy["energy"]), price, False)


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: f"case {case['case']}")
def test_a_published_case_comes_out_to_the_last_digit(case: dict[str, Any]) -> None:
    world = build(case["case"])
    for name, before in CASES["accounts"].items():
        account = world.account(name)
        assert account.money_micro == tokens(before["balance"])
        assert account.energy_milli_wh == kwh(before["energy"])
    fills = trade(world, case)
    offers = {seller: energy for seller, energy, _ in world.standing().values()}
    for name, after in case["after"].items():
        account = world.account(name)
        energy = account.energy_milli_wh + account.energy_reserved_milli_wh
        assert account.money_micro == tokens(after["balance"]), name
        assert energy == kwh(after["energy"]), name
        offer = after.get("offer")
        assert offers.get(name) == (None if offer is None else kwh(offer)), name
    if "fills" in case:
        names = {account: name for name, account in world.ids.items()}
        assert [(names[seller], energy, price) for _, seller, energy, price, _, _ in fills] == [
            (seller, kwh(energy), tokens(price)) for seller, energy, price in case["fills"]
        ]
    world.check_conservation()
    assert world.index() == world.rebuilt_index()


def test_the_penalty_of_case_3_goes_to_the_distribution_company_where_the_text_says_so() -> None:
    world = build(3, penalty_payee="edc")
    trade(world, CASES["cases"][2])
    assert world.account("P1").money_micro == tokens("1058.92")
    assert world.account("C1").money_micro == tokens("851.74")
    assert world.account("EDC").money_micro == tokens("0.10")
    world.check_conservation()
    penalties = [values for _, name, values in world.events if name == "penalty"]
    assert [values[-1] for values in penalties] == [tokens("0.1")]


def test_the_maximum_price_holds_for_the_price_with_penalty() -> None:
    world = build(3)
    for offer in CASES["offers"][:1]:
        world.call("P1", "post", "bit-energy", 0, kwh(offer["energy"]), tokens(offer["price"]))
    arguments = ("bit-energy", 0, kwh("6"), tokens("9.919999"))
    assert world.code("C1", "buy", *arguments, False) == "not_enough_offers"
    fills = world.call("C1", "buy", *arguments, True)
    assert [fill[2] for fill in fills] == [kwh("5")]
