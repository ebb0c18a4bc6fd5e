"""Demand response on the chain: rounds, events, and every refusal."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from market.response.flexibility import MAX_ENROLMENTS
from market.response.module import MAX_INTERVALS, ResponseModule
from market.response.records import (
    EVENT_SPACE,
    ROUND_SPACE,
    Enrolment,
    Member,
    ResponseEvent,
    ResponseTerms,
    Round,
    encode_leaf,
    exists,
)
from market.response.rounds import MAX_MEMBERS
from market.response.section import read_section
from tests.market.support import Person, World, kwh, tokens
from vm.primitives.errors import CallError, InvalidGenesis

MINUTE = 60_000
SECTION = {
    "alpha_percent": 120,
    "upstream_price": "40",
    "past_intervals": 3,
    "tolerance_percent": 10,
    "account": "O",
}
PEOPLE = [
    Person("O", roles=("operator", "dso")),
    Person("M", roles=("meter",)),
    *(Person(name) for name in ("A", "B", "C", "S")),
]
BOTH = (kwh("1"), kwh("2"))


class Responding(World):
    """A world with demand response, in which minutes count from its beginning."""

    def __init__(self, section: dict[str, Any] | None = None) -> None:
        own = SECTION if section is None else section
        super().__init__(PEOPLE, {"markets": []}, extra=[(ResponseModule(), own)])
        self.began_ms = self.time_ms

    def at(self, *minutes: int) -> list[int]:
        return [self.began_ms + m * MINUTE for m in minutes]

    def ask(self, caller: str, name: str, *arguments: Any) -> Any:
        return self.call(caller, name, *arguments, module="response")

    def refused(self, caller: str, name: str, *arguments: Any) -> str:
        return self.code(caller, name, *arguments, module="response")

    def until(self, minute: int) -> None:
        self.advance(self.began_ms + minute * MINUTE - self.time_ms)

    def holdings(self, name: str) -> tuple[int, int]:
        account = self.account(name)
        assert account.money_reserved_micro == account.energy_reserved_milli_wh == 0
        return account.money_micro - tokens("1000"), account.energy_milli_wh - kwh("50")

    def conserve(self) -> None:
        accounts = [self.account(name) for name in self.ids]
        assert sum(a.money_micro + a.money_reserved_micro for a in accounts) == tokens("6000")
        total = sum(a.energy_milli_wh + a.energy_reserved_milli_wh for a in accounts)
        assert total == kwh("300")

    def called(self, direction: str = "down") -> int:
        """Call for 1 and 2 kWh; enrolment to minute 10, event 20 to 50, readings to 60."""
        prices = (tokens("10"), tokens("20"))
        number: int = self.ask("O", "call", direction, BOTH, *prices, *self.at(10, 20, 50, 60))
        return number

    def told(self, name: str) -> list[tuple[Any, ...]]:
        return [
            values for module, event, values in self.events if (module, event) == ("response", name)
        ]


def test_two_payments_each_rounded_up_stay_within_what_was_set_aside() -> None:
    # Half a micro-token each milliwatt-hour: two parts cost a micro-token, alone each costs one.
    world = Responding(SECTION | {"upstream_price": "0.5"})
    number = world.ask("O", "open", *world.at(10, 20))
    for buyer in ("A", "B"):
        world.ask(buyer, "want", number, 2, tokens("0.5"))
    world.ask("S", "supply", number, 2, tokens("0.5"))
    world.until(10)
    world.ask("B", "reduce", number, 1, 0)
    world.until(20)
    assert len(world.told("second_bought")) == 1
    for name in world.ids:
        world.holdings(name)
    world.conserve()


def test_a_round_of_two_settlements() -> None:
    world = Responding()
    number = world.ask("O", "open", *world.at(10, 20))
    world.ask("A", "want", number, kwh("4"), tokens("38"))
    world.ask("B", "want", number, kwh("3"), tokens("30"))
    world.ask("C", "want", number, kwh("2"), tokens("37"))
    world.ask("S", "supply", number, kwh("5"), tokens("10"))
    assert world.account("A").money_reserved_micro == 4 * tokens("40")
    world.until(10)
    # Five kWh for A and C; C lacks one, and sets the price. 1.2 times 37 is above upstream.
    assert world.told("price") == [(number, 2 * tokens("37"), 2 * tokens("40"))]
    world.ask("A", "reduce", number, kwh("2"), tokens("35"))
    world.until(20)
    assert not exists(world.overlay, ROUND_SPACE, number)
    world.conserve()
    # Two kWh at 40 for B, who lacks three, and C, who lacks one.
    assert world.holdings("A") == (-4 * tokens("37") + 2 * tokens("40"), kwh("2"))
    assert world.holdings("B") == (-tokens("60"), kwh("1.5"))
    assert world.holdings("C") == (-tokens("37") - tokens("20"), kwh("1.5"))
    assert world.holdings("S") == (5 * tokens("37"), -kwh("5"))
    assert [values[1:] for values in world.told("residual")] == sorted(
        [(world.ids["B"], kwh("1.5")), (world.ids["C"], kwh("0.5"))]
    )


def test_an_answer_to_the_response_price_is_replaced_by_a_later_one() -> None:
    world = Responding({**SECTION, "alpha_percent": 100})
    number = world.ask("O", "open", *world.at(10, 20))
    world.ask("A", "want", number, kwh("4"), tokens("40"))
    world.ask("B", "want", number, kwh("4"), tokens("39"))
    world.ask("S", "supply", number, kwh("4"), tokens("30"))
    world.until(10)
    # Between B who waits at 39 and A who trades at 40.
    assert world.told("price") == [(number, tokens("79"), tokens("79"))]
    world.ask("A", "reduce", number, kwh("1"), tokens("1"))
    world.ask("A", "reduce", number, kwh("3"), tokens("20"))
    assert world.account("A").energy_reserved_milli_wh == kwh("3")
    world.until(20)
    world.conserve()
    assert world.holdings("A") == (-tokens("39.5"), kwh("1"))
    assert world.holdings("B") == (-3 * tokens("39.5"), kwh("3"))
    assert world.told("second_sold") == [(number, world.ids["A"], kwh("3"), 3 * tokens("39.5"))]


def test_nobody_gives_up_energy_below_its_price() -> None:
    world = Responding({**SECTION, "alpha_percent": 100})
    number = world.ask("O", "open", *world.at(10, 20))
    world.ask("A", "want", number, kwh("4"), tokens("38"))
    world.ask("B", "want", number, kwh("4"), tokens("30"))
    world.ask("S", "supply", number, kwh("4"), tokens("10"))
    world.until(10)
    world.ask("A", "reduce", number, kwh("4"), tokens("34.000001"))
    world.until(20)
    assert world.told("second_sold") == []
    assert world.holdings("A") == (-4 * tokens("34"), kwh("4"))


def test_what_a_round_refuses() -> None:
    world = Responding()
    assert world.refused("A", "open", *world.at(10, 20)) == "wrong_role"
    assert world.refused("O", "open", *world.at(20, 10)) == "wrong_times"
    assert world.refused("O", "open", *world.at(0, 10)) == "wrong_times"
    assert world.refused("O", "open", *world.at(10, 401 * 24 * 60)) == "wrong_times"
    number = world.ask("O", "open", *world.at(10, 20))
    assert world.refused("A", "want", 99, 1, 1) == "unknown_round"
    assert world.refused("A", "want", number, kwh("50"), tokens("30")) == "insufficient_money"
    assert world.refused("A", "want", number, 1, tokens("40") + 1) == "price_above_upstream"
    assert world.refused("A", "supply", number, kwh("51"), 1) == "insufficient_energy"
    assert world.refused("A", "retract", number) == "no_order"
    assert world.refused("A", "reduce", number, 1, 1) == "too_early"
    world.ask("A", "want", number, kwh("4"), tokens("30"))
    assert world.refused("A", "supply", number, 1, 1) == "already_ordered"
    world.ask("A", "retract", number)
    world.ask("A", "supply", number, kwh("4"), tokens("30"))
    world.ask("A", "retract", number)
    assert world.holdings("A") == (0, 0)
    world.ask("A", "want", number, kwh("4"), tokens("30"))
    world.ask("S", "supply", number, kwh("3"), tokens("30"))
    world.until(10)
    assert world.refused("B", "want", number, 1, 1) == "gate_closed"
    assert world.refused("A", "retract", number) == "gate_closed"
    assert world.refused("B", "reduce", number, 1, 1) == "no_order"
    assert world.refused("A", "reduce", number, kwh("3") + 1, 1) == "response_above_demand"
    assert world.refused("S", "reduce", number, 1, 1) == "response_above_demand"
    # Energy that was bought and passed on can no longer be given up.
    world.call("A", "transfer_energy", world.ids["B"], kwh("52"), module="accounts")
    assert world.refused("A", "reduce", number, kwh("3"), 1) == "insufficient_energy"
    world.until(20)
    assert world.refused("A", "reduce", number, 1, 1) == "unknown_round"
    world.conserve()


def test_an_event_is_rewarded_for_what_the_meters_prove() -> None:
    world = Responding()
    event = world.called()
    assert world.account("O").money_reserved_micro == 3 * tokens("10")
    assert world.ask("A", "enrol", event, (kwh("1"), kwh("1"))) == 2 * tokens("20")
    world.ask("B", "enrol", event, (0, kwh("1")))
    past = ((kwh("3"), kwh("4"), kwh("5")), (kwh("4"),) * 3)
    world.ask("M", "record_past", event, world.ids["A"], past)
    world.ask("M", "record_past", event, world.ids["B"], past)
    world.until(50)
    world.ask("M", "record", event, world.ids["A"], (kwh("3"), kwh("2")))
    world.ask("M", "record", event, world.ids["B"], (kwh("9"), kwh("3.5")))
    world.until(60)
    assert not exists(world.overlay, EVENT_SPACE, event)
    assert world.holdings("A")[0] == 2 * tokens("10")
    # Half of the promise is missing, a tenth of it is tolerated.
    assert world.holdings("B")[0] == tokens("5") - tokens("8")
    assert world.holdings("O")[0] == -tokens("17")
    world.conserve()


def test_who_was_not_read_gets_and_pays_nothing() -> None:
    world = Responding()
    event = world.called("up")
    world.ask("A", "enrol", event, BOTH)
    world.until(60)
    assert world.told("unread") == [(event, world.ids["A"])]
    assert world.holdings("A") == world.holdings("O") == (0, 0)


def test_more_consumption_is_rewarded_where_it_is_called_for() -> None:
    world = Responding()
    event = world.called("up")
    world.ask("A", "enrol", event, BOTH)
    world.ask("M", "record_past", event, world.ids["A"], ((kwh("1"),) * 3,) * 2)
    world.until(50)
    world.ask("M", "record", event, world.ids["A"], (kwh("2"), kwh("9")))
    world.until(60)
    assert world.holdings("A")[0] == 3 * tokens("10")


def test_the_same_energy_is_not_rewarded_in_two_events() -> None:
    world = Responding()
    first, second, other = world.called(), world.called(), world.called("up")
    world.ask("A", "enrol", first, BOTH)
    assert world.refused("A", "enrol", second, BOTH) == "events_overlap"
    world.ask("A", "enrol", other, BOTH)
    world.ask("B", "enrol", second, BOTH)
    later = world.ask("O", "call", "down", BOTH, 1, 0, *world.at(11, 50, 60, 70))
    world.ask("A", "enrol", later, BOTH)
    world.until(70)
    assert not list(world.overlay.scan(b"iWp", b"iWq"))
    world.conserve()


def test_what_an_event_refuses() -> None:
    world = Responding()
    prices = (tokens("10"), tokens("20"))
    assert world.refused("A", "call", "down", BOTH, *prices, *world.at(1, 2, 3, 4)) == "wrong_role"
    bad: list[tuple[Any, Any, str]] = [
        ("left", BOTH, "invalid_arguments"),
        ("down", (), "invalid_arguments"),
        ("down", (1,) * (MAX_INTERVALS + 1), "invalid_arguments"),
        ("down", (-1,), "invalid_arguments"),
        ("down", (2**63 - 1,), "invalid_arguments"),
        ("down", (kwh("101"),), "insufficient_money"),
    ]
    for direction, profile, code in bad:
        found = world.refused("O", "call", direction, profile, *prices, *world.at(10, 20, 50, 60))
        assert found == code, (direction, profile)
    assert world.refused("O", "call", "down", BOTH, *prices, *world.at(1, 2, 2, 4)) == "wrong_times"
    for reward, penalty, code in (
        (0, 1, "penalty_too_high"),
        (5, 51, "penalty_too_high"),
        (5, 50, ""),
    ):
        times = world.at(10, 20, 50, 60)
        assert world.refused("O", "call", "down", BOTH, reward, penalty, *times) == code
    event = world.called()
    assert world.refused("A", "enrol", 99, BOTH) == "unknown_event"
    assert world.refused("A", "enrol", event, (1,)) == "wrong_length"
    assert world.refused("A", "enrol", event, (0, 0)) == "profile_full"
    assert world.refused("A", "enrol", event, (kwh("1") + 1, 0)) == "profile_full"
    world.ask("A", "enrol", event, (kwh("1"), 0))
    assert world.refused("A", "enrol", event, (0, 1)) == "already_enrolled"
    assert world.refused("B", "enrol", event, (1, 0)) == "profile_full"
    past = ((1, 1, 1), (1, 1, 1))
    assert world.refused("M", "record_past", event, world.ids["B"], past) == "not_enrolled"
    assert world.refused("M", "record_past", event, world.ids["A"], past[:1]) == "wrong_length"
    assert world.refused("M", "record_past", event, world.ids["A"], ((1,), (1,))) == "wrong_length"
    assert world.refused("M", "record_past", event, world.ids["A"], (1,)) == "invalid_arguments"
    assert world.refused("A", "record_past", event, world.ids["A"], past) == "wrong_role"
    world.ask("M", "record_past", event, world.ids["A"], past)
    assert world.refused("M", "record_past", event, world.ids["A"], past) == "duplicate_reading"
    assert world.refused("M", "record", event, world.ids["A"], (1, 1)) == "wrong_time"
    world.until(10)
    assert world.refused("B", "enrol", event, (0, 1)) == "gate_closed"
    world.until(20)
    assert world.refused("M", "record_past", event, world.ids["A"], past) == "wrong_time"
    world.until(50)
    assert world.refused("M", "record", event, world.ids["A"], (1,)) == "wrong_length"
    world.ask("M", "record", event, world.ids["A"], (1, 1))
    assert world.refused("M", "record", event, world.ids["A"], (1, 1)) == "duplicate_reading"
    world.until(60)
    assert world.refused("M", "record", event, world.ids["A"], (1, 1)) == "unknown_event"
    world.conserve()


def test_full_rounds_and_events_are_settled_within_the_gas_of_one_step() -> None:
    names = [f"S{n}" for n in range(MAX_MEMBERS)]
    world = Responding.__new__(Responding)
    World.__init__(
        world,
        [*PEOPLE[:2], *(Person(name) for name in names), Person("late")],
        {"markets": []},
        extra=[(ResponseModule(), SECTION)],
    )
    world.began_ms = world.time_ms
    number = world.ask("O", "open", *world.at(10, 20))
    for place, name in enumerate(names):
        method = "want" if place % 2 else "supply"
        price = "30" if place % 2 else "20"
        world.ask(name, method, number, kwh("1") + place, tokens(price))
    assert world.refused("late", "want", number, 1, 1) == "round_full"
    event = world.ask(
        "O", "call", "down", (kwh("1"),) * MAX_INTERVALS, 10**6, 10**6, *world.at(10, 20, 50, 60)
    )
    for name in names[:MAX_ENROLMENTS]:
        world.ask(name, "enrol", event, (1,) * MAX_INTERVALS)
    assert world.refused("late", "enrol", event, (1,) * MAX_INTERVALS) == "event_full"
    world.until(10)
    for name in names[1::2]:
        world.ask(name, "reduce", number, kwh("0.5"), tokens("1"))
    world.until(60)
    assert len(world.told("settled")) == len(world.told("ended")) == 1
    world.check_conservation()


def test_without_a_section_there_is_no_demand_response() -> None:
    world = Responding({})
    assert not [key for key in world.overlay.changes if key[:1] == b"W"]
    assert world.refused("O", "open", *world.at(10, 20)) == "no_response"
    assert world.refused("O", "call", "down", (1,), 1, 1, *world.at(1, 2, 3, 4)) == "no_response"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": 1}, "unknown fields"),
        ({"account": "nobody"}, "no member"),
        ({"alpha_percent": 99}, "alpha_percent"),
        ({"upstream_price": 40}, "number as text"),
        ({"upstream_price": "x"}, "upstream_price"),
        ({"past_intervals": 0}, "past_intervals"),
        ({"highest": 4}, "highest"),
        ({"tolerance_percent": 101}, "tolerance_percent"),
    ],
)
def test_a_section_that_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidGenesis, match=words):
        read_section({**SECTION, **change}, {"O": b"o" * 20}.get)


@pytest.mark.parametrize("seed", range(15))
def test_money_and_energy_are_conserved_whatever_is_called(seed: int) -> None:
    rng = random.Random(seed)
    world = Responding()
    number = world.ask("O", "open", *world.at(10, 20))
    event = world.called(rng.choice(("down", "up")))
    for _ in range(120):
        name = rng.choice("ABCS")
        energy, price = rng.randrange(1, kwh("6")), tokens(str(rng.randrange(1, 50)))
        order = (number, energy, price)
        pair = (rng.randrange(kwh("2")), rng.randrange(kwh("2")))
        who, method, *arguments = rng.choice(
            [
                (name, "want", *order),
                (name, "supply", *order),
                (name, "retract", number),
                (name, "reduce", *order),
                (name, "enrol", event, pair),
                ("M", "record_past", event, world.ids[name], ((1, 2, 3), (energy,) * 3)),
                ("M", "record", event, world.ids[name], pair),
                ("", "", rng.randrange(MINUTE)),
            ]
        )
        if not who:
            world.advance(arguments[0])
            continue
        try:
            world.ask(who, method, *arguments)
        except CallError:
            continue
        world.conserve()
    world.until(60)
    for name in world.ids:
        world.holdings(name)
    world.conserve()
    assert world.rebuilt_index() == world.index() == {}


def test_leaves_fit_a_proof() -> None:
    most, long = 2**63 - 1, (2**59,) * MAX_INTERVALS
    for leaf in (
        ResponseTerms(1, most, 1, 1, 1, b"a" * 20),
        Round(*[most] * 5),
        Member(*[most] * 8),
        ResponseEvent(b"a" * 20, *[most] * 7, profile=long, reserve_micro=most, members=most),
        Enrolment(long, most, long, long),
    ):
        assert len(encode_leaf(leaf)) <= 512


def test_the_page_lists_the_methods() -> None:
    docs = Path(__file__).parents[3] / "docs"
    page = (docs / "response-and-quotas.md").read_text(encoding="utf-8")
    part = page[page.index("## Demand response") :]
    for name, found in ResponseModule().methods().items():
        names = ", ".join(argument.name for argument in found.declaration.arguments)
        roles = ", ".join(found.declaration.roles)
        assert f"| `{name}` | {names} | {roles} |".replace("|  |", "| |") in part, name
