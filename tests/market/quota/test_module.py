"""Charging quotas on the chain: a round from announcement to deposit, and every refusal."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from market.auction.orders import SELL
from market.quota.module import MAX_STATIONS, QuotaModule
from market.quota.records import (
    QuotaTerms,
    Round,
    Station,
    load_stations,
    load_terms_of,
    read_round,
)
from market.quota.section import read_section
from tests.market.support import Person, World, tokens
from vm.primitives.errors import CallError, InvalidGenesis
from vm.system.accounts import SUSPENDED

SECTION = {"pricing": "uniform_midpoint", "billed_minutes": 60, "penalty_price": "224"}
PRICE = 112_000_000
STATIONS = ("A", "B", "C")
PEOPLE = [
    Person("DSO", roles=("dso",)),
    Person("M", roles=("meter",)),
    *(Person(name, balance="10000") for name in STATIONS),
]
MINUTE = 60_000


class Charging(World):
    """One announced round: 60 kW; demand to minute 10, trade to 20, charge 30 to 60, read to 90."""

    def __init__(self, *, section: dict[str, Any] | None = None, capacity_w: int = 60_000) -> None:
        quota = QuotaModule()
        super().__init__(
            PEOPLE, {"markets": []}, extra=[(quota, SECTION if section is None else section)]
        )
        self.began_ms = self.time_ms
        self.round = self.ask("DSO", "announce", capacity_w, PRICE, *self.times())

    def times(self, *minutes: int) -> list[int]:
        return [self.began_ms + m * MINUTE for m in minutes or (10, 20, 30, 60, 90)]

    def ask(self, caller: str, name: str, *arguments: Any) -> Any:
        return self.call(caller, name, *arguments, module="quota")

    def refused(self, caller: str, name: str, *arguments: Any) -> str:
        return self.code(caller, name, *arguments, module="quota")

    def until(self, minute: int) -> None:
        self.advance(self.began_ms + minute * MINUTE - self.time_ms)

    def station(self, name: str) -> Station:
        return load_stations(self.context(), self.round)[self.ids[name]]

    def demands(self) -> None:
        for name, power in zip(STATIONS, (30_000, 40_000, 50_000), strict=True):
            self.ask(name, "demand", self.round, power)

    def money(self, name: str) -> int:
        account = self.account(name)
        return account.money_micro + account.money_reserved_micro


def test_a_round_from_the_announcement_to_the_deposit() -> None:
    world = Charging()
    world.demands()
    assert world.account("A").money_reserved_micro == tokens("3360")
    world.until(10)
    assert [world.station(name).quota_w for name in STATIONS] == [15_000, 20_000, 25_000]
    assert world.money("A") == tokens("10000") - tokens("1680")
    assert world.money("DSO") == tokens("1000") + 60 * PRICE
    world.ask("A", "bid", world.round, 5_000, tokens("30"))
    world.ask("C", "offer", world.round, 8_000, tokens("20"))
    assert world.account("A").money_reserved_micro == tokens("1680") + tokens("150")
    world.until(20)
    assert [world.station(name).quota_w for name in STATIONS] == [20_000, 20_000, 20_000]
    assert world.money("A") == tokens("10000") - tokens("1680") - tokens("125")
    assert world.money("C") == tokens("10000") - tokens("2800") + tokens("125")
    world.until(60)
    assert world.refused("A", "withdraw", world.round) == "round_running"
    # 20 kW over half an hour are 10 kWh; A charges one more.
    world.ask("M", "record", world.round, world.ids["A"], 11_000_000)
    world.ask("M", "record", world.round, world.ids["B"], 10_000_000)
    world.until(90)
    assert world.station("A").deposit_micro == tokens("1680") - tokens("224")
    for name in STATIONS:
        world.ask(name, "withdraw", world.round)
        assert world.account(name).money_reserved_micro == 0
    assert read_round(world.overlay, world.round) is None, "an ended round leaves nothing behind"
    world.check_conservation()
    names = [(module, name) for module, name, _ in world.events]
    assert names.count(("quota", "unread")) == 1
    assert names.count(("quota", "stage")) == 3


def test_a_penalty_beyond_the_deposit_takes_free_money_and_tells_what_is_unpaid() -> None:
    world = Charging()
    world.demands()
    world.until(60)
    world.ask("M", "record", world.round, world.ids["A"], 10**12)
    world.until(90)
    assert world.money("A") == 0
    unpaid = [values for _, name, values in world.events if name == "penalty"]
    assert unpaid[0][2] - unpaid[0][3] == tokens("10000") - tokens("1680")
    world.check_conservation()


def test_what_a_penalty_left_unpaid_is_owed_and_paid_by_the_next_demand() -> None:
    world = Charging()
    world.demands()
    world.until(60)
    world.ask("M", "record", world.round, world.ids["A"], 17_500_000)  # 10 kWh above its quota
    money = world.account("A").money_micro
    world.call("A", "transfer", world.ids["B"], money, "", module="accounts")
    world.until(90)
    owed = 10 * tokens("224") - tokens("1680")
    assert [values[3] for _, name, values in world.events if name == "penalty"] == [owed]
    later = world.ask("DSO", "announce", 60_000, PRICE, *world.times(100, 110, 120, 150, 180))
    world.call("B", "transfer", world.ids["A"], owed + tokens("111"), "", module="accounts")
    world.call("A", "transfer", world.ids["B"], tokens("111") + 1, "", module="accounts")
    assert world.refused("A", "demand", later, 1_000) == "in_debt"
    world.call("B", "transfer", world.ids["A"], 1 + tokens("112"), "", module="accounts")
    before = world.money("DSO")
    world.ask("A", "demand", later, 1_000)
    assert world.money("DSO") == before + owed and world.money("A") == tokens("112")
    world.ask("A", "withdraw", later)
    world.ask("A", "demand", later, 1_000)
    world.check_conservation()


def test_a_debt_is_forgiven_by_whom_it_is_owed_to() -> None:
    world = Charging()
    world.demands()
    world.until(60)
    for station in ("A", "B"):
        world.ask("M", "record", world.round, world.ids[station], 10**12)
    world.until(90)
    later = world.ask("DSO", "announce", 60_000, PRICE, *world.times(100, 110, 120, 150, 180))
    assert world.refused("A", "demand", later, 1) == "in_debt"
    assert world.refused("A", "forgive", world.ids["A"]) == "wrong_role"
    world.ask("DSO", "forgive", world.ids["A"])
    assert world.refused("DSO", "forgive", world.ids["A"]) == "no_debt"
    assert world.refused("A", "demand", later, 1) == "insufficient_money"
    assert world.refused("B", "demand", later, 1) == "in_debt"


def test_demands_that_fit_are_met_in_full() -> None:
    world = Charging(capacity_w=200_000)
    world.demands()
    world.until(10)
    assert [world.station(name).quota_w for name in STATIONS] == [30_000, 40_000, 50_000]
    assert world.account("A").money_reserved_micro == 0


def test_a_round_without_demand_ends_by_itself() -> None:
    world = Charging()
    world.until(90)
    assert read_round(world.overlay, world.round) is None


def test_all_stages_that_a_long_pause_left_due_run_in_order() -> None:
    world = Charging()
    world.demands()
    world.until(500)
    for name in STATIONS:
        world.ask(name, "withdraw", world.round)
    world.check_conservation()


def test_a_demand_can_be_taken_back_and_made_again() -> None:
    world = Charging()
    world.demands()
    world.ask("A", "withdraw", world.round)
    assert world.account("A").money_reserved_micro == 0
    world.ask("A", "demand", world.round, 30_000)
    world.until(10)
    assert world.station("A").quota_w == 15_000


def test_an_order_is_replaced_and_cancelled() -> None:
    world = Charging()
    world.demands()
    world.until(10)
    reserved = world.account("A").money_reserved_micro
    world.ask("A", "bid", world.round, 5_000, tokens("30"))
    world.ask("A", "offer", world.round, 1_000, tokens("30"))
    assert world.station("A").side == SELL
    assert world.account("A").money_reserved_micro == reserved
    world.ask("A", "bid", world.round, 1_000, tokens("30"))
    world.ask("A", "cancel", world.round)
    assert world.account("A").money_reserved_micro == reserved
    assert world.refused("A", "cancel", world.round) == "no_order"


def test_what_is_refused_before_demands_end() -> None:
    world = Charging()
    assert world.refused("A", "announce", 1, PRICE, *world.times()) == "wrong_role"
    for minutes in (
        (0, 20, 30, 60, 90), (20, 20, 30, 60, 90), (10, 40, 30, 60, 90), (10, 20, 60, 60, 90),
        (10, 20, 30, 60, 59), (10, 20, 30, 30 + 24 * 60 + 1, 9_000),
        (10, 20, 30, 60, 401 * 24 * 60),
    ):  # fmt: skip
        code = world.refused("DSO", "announce", 1, PRICE, *world.times(*minutes))
        assert code == "wrong_times", minutes
    assert world.refused("DSO", "announce", 0, PRICE, *world.times()) == "invalid_arguments"
    assert world.refused("A", "demand", 99, 1) == "unknown_round"
    assert world.refused("M", "demand", world.round, 1) == "wrong_role"
    assert world.refused("A", "demand", world.round, 10**9) == "insufficient_money"
    assert world.refused("A", "bid", world.round, 1, 1) == "too_early"
    assert world.refused("A", "cancel", world.round) == "too_early"
    assert world.refused("A", "withdraw", world.round) == "no_demand"
    world.ask("A", "demand", world.round, 1)
    assert world.refused("A", "demand", world.round, 1) == "already_demanded"


def test_what_is_refused_later() -> None:
    world = Charging()
    world.demands()
    world.until(10)
    assert world.refused("A", "demand", world.round, 1) == "gate_closed"
    assert world.refused("A", "withdraw", world.round) == "round_running"
    assert world.refused("A", "offer", world.round, 15_001, 1) == "insufficient_quota"
    assert world.refused("A", "bid", world.round, 10**9, tokens("9")) == "insufficient_money"
    assert world.refused("M", "record", world.round, world.ids["A"], 1) == "wrong_time"
    world.until(20)
    assert world.refused("A", "bid", world.round, 1, 1) == "gate_closed"
    world.until(60)
    assert world.refused("A", "record", world.round, world.ids["A"], 1) == "wrong_role"
    assert world.refused("M", "record", world.round, world.ids["M"], 1) == "no_demand"
    world.ask("M", "record", world.round, world.ids["A"], 1)
    assert world.refused("M", "record", world.round, world.ids["A"], 1) == "duplicate_reading"
    world.until(90)
    assert world.refused("M", "record", world.round, world.ids["B"], 1) == "wrong_time"


def test_a_round_takes_no_more_stations_than_one_step_settles() -> None:
    world = Charging()
    leaf = read_round(world.overlay, world.round)
    assert leaf is not None
    leaf.stations = MAX_STATIONS
    world.overlay.put(b"Qr" + world.round.to_bytes(8, "big"), leaf.encode())
    assert world.refused("A", "demand", world.round, 1) == "too_many_stations"


def test_the_largest_round_is_settled_within_the_gas_of_one_step() -> None:
    names = [f"S{n}" for n in range(MAX_STATIONS)]
    people = [*PEOPLE[:2], *(Person(name, balance="10000") for name in names)]
    world = Charging.__new__(Charging)
    World.__init__(world, people, {"markets": []}, extra=[(QuotaModule(), SECTION)])
    world.began_ms = world.time_ms
    world.round = world.ask("DSO", "announce", 10**6, PRICE, *world.times())
    for place, name in enumerate(names):
        world.ask(name, "demand", world.round, 10_000 + place)
    world.until(10)
    for place, name in enumerate(names):
        order = "bid" if place % 2 else "offer"
        world.ask(name, order, world.round, 100, tokens("30") if place % 2 else tokens("20"))
    world.until(60)
    for name in names:
        world.ask("M", "record", world.round, world.ids[name], 10**8)
    world.until(90)
    assert [values[1] for _, name, values in world.events if name == "stage"] == [
        "trade", "delivery", "settled",
    ]  # fmt: skip
    world.check_conservation()


def test_a_suspended_station_is_settled_like_any_other() -> None:
    world = Charging()
    world.demands()
    world.set_status("A", SUSPENDED)
    world.until(90)
    assert world.station("A").quota_w == 15_000


def test_without_a_section_there_are_no_quotas() -> None:
    world = World(PEOPLE, {"markets": []}, extra=[(QuotaModule(), {})])
    assert not [key for key in world.overlay.changes if key[:1] == b"Q"]
    times = [world.time_ms + n for n in range(1, 6)]
    assert world.code("DSO", "announce", 1, 1, *times, module="quota") == "no_quotas"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"colour": 1}, "unknown fields"),
        ({"pricing": "dice"}, "pricing"),
        ({"billed_minutes": 20}, "billed_minutes"),
        ({"deposit_percent": 99}, "deposit_percent"),
        ({"penalty_price": 224}, "number as text"),
        ({"penalty_price": "-1"}, "number as text"),
        ({"penalty_price": "x"}, "penalty_price"),
    ],
)
def test_a_section_that_is_refused(section: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidGenesis, match=words):
        read_section(section)


@pytest.mark.parametrize("seed", range(15))
def test_money_is_conserved_whatever_is_called(seed: int) -> None:
    rng = random.Random(seed)
    world = Charging(
        section={
            **SECTION,
            "pricing": rng.choice(("uniform_midpoint", "pairwise_midpoint", "uniform_crossing")),
        }
    )
    for _ in range(150):
        name = rng.choice(STATIONS)
        call = rng.choice(("demand", "bid", "offer", "cancel", "withdraw", "record", "advance"))
        if call == "advance":
            world.advance(rng.randrange(2 * MINUTE))
            continue
        price = tokens(str(rng.randrange(1, 50)))
        arguments: list[Any] = {
            "demand": [rng.randrange(1, 60_000)],
            "bid": [rng.randrange(1, 9_000), price],
            "offer": [rng.randrange(1, 9_000), price],
            "record": [world.ids[name], rng.randrange(10**8)],
        }.get(call, [])
        try:
            world.ask("M" if call == "record" else name, call, world.round, *arguments)
        except CallError as error:
            assert error.code in {
                "gate_closed", "too_early", "already_demanded", "no_demand", "no_order",
                "insufficient_quota", "round_running", "wrong_time", "duplicate_reading",
                "insufficient_money", "unknown_round",
            }  # fmt: skip
        world.check_conservation()
    assert world.rebuilt_index() == world.index()


def test_leaves_are_small() -> None:
    most = 2**63 - 1
    assert len(QuotaTerms(2, 60, 10_000, most).encode()) < 512
    assert len(Round(b"a" * 20, *[most] * 10).encode()) < 512
    assert len(Station(*[most] * 10).encode()) < 512


def test_the_page_lists_the_methods() -> None:
    page = (Path(__file__).parents[3] / "docs" / "response-and-quotas.md").read_text(
        encoding="utf-8"
    )
    part = page[page.index("## Charging quotas") :]
    for name, found in QuotaModule().methods().items():
        names = ", ".join(argument.name for argument in found.declaration.arguments)
        roles = ", ".join(found.declaration.roles)
        assert f"| `{name}` | {names} | {roles} |".replace("|  |", "| |") in part


def test_a_reading_at_the_bound_costs_what_can_be_told() -> None:
    world = Charging(section={**SECTION, "penalty_price": "1000000000"})
    world.demands()
    world.until(60)
    world.ask("M", "record", world.round, world.ids["A"], 2**63 - 1)
    world.until(90)
    penalty = next(values for _, name, values in world.events if name == "penalty")
    assert penalty[2] == 2**63 - 1
    assert world.money("A") == 0


def vote(world: Charging, **values: Any) -> None:
    """Carry out what a vote decided."""
    ctx = world.context()
    ctx.module = "quota"
    QuotaModule().change_parameters(ctx, "", values)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"pricing": "uniform_midpoint"}, "unknown_parameter"),
        ({"deposit_percent": 99}, "invalid_parameters"),
        ({"deposit_percent": None}, "invalid_parameters"),
        ({"penalty_price_micro_per_kwh": -1}, "invalid_parameters"),
    ],
)
def test_a_vote_that_does_not_fit_is_refused(values: dict[str, Any], code: str) -> None:
    with pytest.raises(CallError) as refused:
        vote(Charging(), **values)
    assert refused.value.code == code


def test_a_voted_deposit_and_penalty_are_those_of_rounds_announced_later() -> None:
    world = Charging()
    vote(world, deposit_percent=200, penalty_price_micro_per_kwh=tokens("500"))
    later = world.ask("DSO", "announce", 60_000, PRICE, *world.times())
    assert world.ask("A", "demand", world.round, 30_000) == tokens("3360")
    assert world.ask("B", "demand", later, 30_000) == tokens("6720")
    ctx = world.context()
    penalties = [
        load_terms_of(ctx, number).penalty_price_micro_per_kwh for number in (world.round, later)
    ]
    assert penalties == [tokens("224"), tokens("500")]
    vote(world, deposit_percent=300)
    assert load_terms_of(world.context(), later).deposit_percent == 200
    assert load_terms_of(world.context(), world.round).deposit_percent == 100
