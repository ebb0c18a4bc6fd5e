"""Rounds: opened from units and bids, proved or fallen back, refused with bond, then deleted."""

from __future__ import annotations

import pytest

from market.dispatch_certificate import Certificate, IntervalResult
from market.dispatch_codec import encode_certificate
from market.dispatch_records import CLEARING, FALLEN_BACK, OPEN, PROVED, STATUS_NAMES
from market.dispatch_results import (
    FLOW_ITEM,
    POWER_ITEM,
    PRICE_ITEM,
    load_price,
    prove_item,
    read_results,
)
from market.dispatch_rounds import BUILDING, load_area, open_round, pass_deadline
from tests.market.dispatch_world import MILLI, OPTIMUM, DispatchWorld, changed, wire
from vm.primitives.codec import encode_integer, encode_trusted
from vm.primitives.errors import CallError
from vm.primitives.integers import MAX_AMOUNT
from vm.primitives.merkle import verify_merkle_proof

TOKEN = 1_000_000


@pytest.fixture
def world() -> DispatchWorld:
    found = DispatchWorld()
    found.register_all()
    return found


def test_first_proof_wins_the_reward_and_stands(world: DispatchWorld) -> None:
    found = world.open()
    assert (found.status, found.intervals, found.number) == (OPEN, 1, 1)
    assert [unit.name for unit in world.problem(1).units] == ["wind", "gas", "house"]
    assert world.problem(1).network.lines[0].owner == "EDC"
    assert world.submit("board", found) == (True, "")
    closed = world.round(1)
    assert (closed.status, closed.submitter) == (PROVED, world.ids["board"])
    assert (closed.gap_twice, closed.reward_micro) == (b"", 2 * TOKEN)
    assert world.money("board") == 32 * TOKEN
    assert world.prices(1) == [list(OPTIMUM.prices)]
    assert world.refusal("gas", "submit", 1, found.problem_hash, b"") == "already_proved"
    world.assert_conserved()


def test_every_figure_is_proved_by_a_short_path(world: DispatchWorld) -> None:
    world.submit("board", world.open())
    closed, problem = world.round(1), world.problem(1)
    results = read_results(world.overlay, closed)
    for kind, name in ((PRICE_ITEM, "B"), (POWER_ITEM, "house"), (FLOW_ITEM, "A-B")):
        found = prove_item(problem, results, kind, 0, name)
        assert found is not None
        assert verify_merkle_proof(closed.root, *found)
        assert not verify_merkle_proof(closed.root, found[0] + b"\0", found[1])
    assert results[0].flows_w == (600,)
    assert prove_item(problem, results, PRICE_ITEM, 1, "B") is None
    assert load_price(world.context(), 1, 1, 0) == 3_000 * MILLI
    assert world.act("house", "price", 1, 0, 0) == (1_300 * MILLI).to_bytes(9, "big")
    for where in ((2, 0), (0, 1)):
        assert world.refusal("house", "price", 1, *where) == "out_of_range"
    assert world.refusal("house", "price", 2, 0, 0) == "unknown_round"


def test_contracts_read_prices_by_the_name_of_a_bus(world: DispatchWorld) -> None:
    views = world.dispatch.contract_interfaces()["dispatch"]
    found = world.open()
    with pytest.raises(CallError, match="no prices"):
        views["price_micro_per_kwh"].run(world.context(), 1, "B", 0)
    world.submit("board", found)
    assert views["round_of"].run(world.context(), 1) == (PROVED, 0, 1)
    # 0.3 $/kWh are 30 tokens.
    assert views["price_micro_per_kwh"].run(world.context(), 1, "B", 0) == 30 * TOKEN
    for place in ((1, "C", 0), (1, "B", 1), (1, "B", -1), (-1, "B", 0), (2**63, "B", 0)):
        with pytest.raises(CallError):
            views["price_micro_per_kwh"].run(world.context(), *place)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (changed(powers_w=(600, 300, -899)), "unbalanced"),
        (changed(powers_w=(601, 299, -900)), "line_limit"),
        (changed(powers_w=(600, 301, -901)), "unit_limit"),
        (changed(powers_w=(599, 301, -900)), "gap"),
        (changed(prices=(3_000 * MILLI, 3_000 * MILLI)), "gap"),
        (changed(prices=(3_000 * MILLI,)), "wrong_length"),
        (changed(prices=(1_300 * MILLI, 2**111)), "malformed"),
        (changed(powers_w=(2**62, 300, -900)), "malformed"),
    ],
)
def test_what_does_not_verify_costs_its_bond_and_nothing_else(
    world: DispatchWorld, result: IntervalResult, code: str
) -> None:
    found = world.open()
    assert world.submit("board", found, result) == (False, code)
    assert world.round(1) == found._replace(refused=1)
    assert (world.money("board"), world.pot()) == (25 * TOKEN, (8 * TOKEN, 0))
    assert world.told("refuse") == [("grid", 1, world.ids["board"], code, 5 * TOKEN)]
    world.assert_conserved()
    assert world.submit("board", found) == (True, "")


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x93\x5b\x01\xc0", bytes(65_536)])
def test_bytes_that_are_no_certificate_are_refused(world: DispatchWorld, data: bytes) -> None:
    found = world.open()
    assert world.send("board", 1, found.problem_hash, data) == (False, "malformed")


def test_who_comes_late_or_for_another_problem_keeps_the_bond(world: DispatchWorld) -> None:
    found = world.open()
    data = encode_certificate(Certificate((OPTIMUM,)))
    assert world.refusal("board", "submit", 2, found.problem_hash, data) == "unknown_round"
    assert world.refusal("board", "submit", 1, b"x" * 32, data) == "other_problem"
    assert world.refusal("EDC", "submit", 1, found.problem_hash, data) == "insufficient_money"
    world.advance(10_000)
    assert world.refusal("board", "submit", 1, found.problem_hash, data) == "round_closed"
    assert world.money("board") == 30 * TOKEN


def test_gas_is_taken_before_the_work(world: DispatchWorld) -> None:
    found = world.open()
    ctx = world.context("board", gas=4_000)
    with pytest.raises(CallError) as caught:
        world.runtime.run_call(ctx, ("dispatch", "submit", (1, found.problem_hash, bytes(60_000))))
    assert caught.value.code == "out_of_gas"


def test_without_proof_the_last_prices_hold_or_merit_order_clears(world: DispatchWorld) -> None:
    world.open()
    world.advance(9_999)
    assert world.round(1).status == OPEN
    world.advance(1)
    fallen = world.round(1)
    assert (fallen.status, fallen.price_source) == (FALLEN_BACK, 0)
    # Without the line's limit wind serves the house at 100 + 2·900.
    assert world.prices(1) == [[1_900 * MILLI] * 2]
    world.submit("board", world.open())
    world.open()
    world.advance(10_000)
    assert world.round(3).price_source == 2
    assert world.prices(3) == [list(OPTIMUM.prices)]
    assert [values[:3] for values in world.told("fall_back")] == [("grid", 1, 0), ("grid", 3, 2)]
    assert world.told("settle_round")[0][1] == 2
    assert world.refusal("house", "price", 3, 1, 0) == ""


def test_a_large_round_falls_back_in_batches() -> None:
    world = DispatchWorld(intervals=96, fallback="uniform")
    for owner, bus, kind, bid in (
        ("wind", "A", "generator", (2 * MILLI, 100 * MILLI, 0, 1_000)),
        ("house", "B", "load", (0, 9_000 * MILLI, -900, -300)),
    ):
        world.register(owner, bus, kind, *[bid] * 96)
    for number in range(80):
        name = f"copy{number}"
        world.act(
            "operator",
            "register",
            "grid",
            name,
            world.ids["gas"],
            "B",
            "generator",
            wire([(0, 3_000 * MILLI, 0, 10)]),
            (),
        )
    world.open()
    world.advance(10_000)
    assert world.round(1).status == CLEARING
    data = encode_certificate(Certificate(()))
    late = ("submit", 1, world.round(1).problem_hash, data)
    assert world.refusal("board", *late) == "round_closed"
    for _ in range(4):
        world.advance(1)
    assert world.round(1).status == FALLEN_BACK
    big = [(0, 3_000 * MILLI, 0, 10)] * 96
    for number in range(40):
        arguments = ("grid", f"more{number}", world.ids["gas"], "B", "generator", wire(big), ())
        world.act("operator", "register", *arguments)
    assert world.refusal("operator", "open", "grid", 0) == "too_large"
    assert world.prices(1) == [[1_900 * MILLI] * 2] * 96


def test_bids_for_an_interval_replace_what_was_registered(world: DispatchWorld) -> None:
    interval = world.time_ms // 3_600_000 + 2
    world.act("gas", "bid", "grid", "gas", interval, wire([(0, 2_000 * MILLI, 0, 1_000)]))
    world.open(interval)
    assert world.problem(1).units[1].bids[0].b == 2_000 * MILLI
    world.open(interval + 1)
    assert world.problem(2).units[1].bids[0].b == 3_000 * MILLI
    world.open(interval)
    assert world.problem(3).units[1].bids[0].b == 3_000 * MILLI, "a bid stands until its round"


@pytest.mark.parametrize(
    ("who", "arguments", "code"),
    [
        ("gas", ("wind", -1, [(0, 1, 0, 1)]), "not_owner"),
        ("gas", ("coal", 2, [(0, 1, 0, 1)]), "unknown_unit"),
        ("gas", ("gas", 0, [(0, 1, 0, 1)]), "wrong_interval"),
        ("gas", ("gas", 10**6, [(0, 1, 0, 1)]), "wrong_interval"),
        ("gas", ("gas", 2, [(-1, 1, 0, 1)]), "invalid_unit"),
        ("gas", ("gas", 2, [(0, 1, 5, 1)]), "invalid_unit"),
        ("house", ("house", 2, [(0, 1, 0, 5)]), "invalid_unit"),
        ("gas", ("gas", 2, [(0, 10**23, 0, 1)]), ""),
        ("gas", ("gas", 2, [(0, 10**23 + 1, 0, 1)]), "price_too_high"),
        ("gas", ("gas", 2, [(0, -(10**23) - 1, 0, 1)]), "price_too_high"),
        ("gas", ("gas", 2, [(10**20, 0, 0, 1_001)]), "price_too_high"),
        ("gas", ("gas", 2, [(0, 1, 0, 2**60)]), "power_too_high"),
        ("gas", ("gas", 2, [(0, 1, 0, 1_001)]), "beyond_unit"),
        ("house", ("house", 2, [(0, 1, -901, -300)]), "beyond_unit"),
    ],
)
def test_bids_that_do_not_fit_are_refused(
    world: DispatchWorld, who: str, arguments: tuple, code: str
) -> None:
    unit, ahead, bids = arguments
    first = world.time_ms // 3_600_000 + ahead
    assert world.refusal(who, "bid", "grid", unit, first, wire(bids)) == code


def test_units_are_their_owners_at_their_own_bus(world: DispatchWorld) -> None:
    bids = wire([(0, 1, 0, 1)])
    own, other = world.ids["gas"], world.ids["wind"]
    for arguments, code in (
        (("grid", "new", other, "B", "generator", bids, ()), "not_owner"),
        (("grid", "new", own, "A", "generator", bids, ()), "not_connected"),
        (("grid", "wind", own, "B", "generator", bids, ()), "not_owner"),
        (("none", "new", own, "B", "generator", bids, ()), "unknown_area"),
        (("grid", "new", own, "B", "generator", bids * 2, ()), "wrong_intervals"),
        (("grid", "new", own, "B", "generator", (), ()), "invalid_arguments"),
        (("grid", "new", own, "B", "storage", bids, ()), "invalid_arguments"),
        (("grid", "new", own, "B", "windmill", bids, ()), "invalid_arguments"),
        (("grid", "new", own, "B", "storage", (), (b"\x01",) * 10), "invalid_unit"),
    ):
        assert world.refusal("gas", "register", *arguments) == code
    operator = ("grid", "new", own, "C", "generator", bids, ())
    assert world.refusal("operator", "register", *operator) == "unknown_bus"
    assert world.refusal("wind", "retire", "grid", "gas") == "not_owner"
    world.act("gas", "retire", "grid", "gas")
    world.open()
    assert [unit.name for unit in world.problem(1).units] == ["wind", "house"]


def test_a_problem_that_is_not_sound_is_not_opened(world: DispatchWorld) -> None:
    world.register("house", "B", "load", (0, 9_000 * MILLI, -2_000, -1_700))
    assert world.refusal("operator", "open", "grid", 0) == "invalid_problem"
    with pytest.raises(CallError, match="infeasible"):
        world.act("operator", "open", "grid", 0)
    assert world.refusal("gas", "open", "grid", 0) == "wrong_role"
    assert world.refusal("operator", "open", "grid", 5) == "wrong_interval"
    assert world.refusal("operator", "open", "grid", MAX_AMOUNT) == "wrong_interval"


def test_rounds_open_by_themselves_before_their_first_interval() -> None:
    world = DispatchWorld(opens_minutes=30, intervals=2)
    world.register_all()
    for _ in range(8):
        world.advance(900_000)
    (opened,) = world.told("open_round")
    _, number, first, intervals, *_ = opened
    assert intervals == 2 and first % 2 == 0
    assert 0 < first * 3_600_000 - world.round(number).opened_ms <= 30 * 60_000
    world.act("house", "retire", "grid", "house")
    # Nobody takes what it has to inject: that nothing can be proved is told, and a fallback holds.
    world.register("gas", "B", "generator", (0, 3_000 * MILLI, 500, 1_000))
    for _ in range(8):
        world.advance(900_000)
    assert world.told("skip_round") == []
    assert [values[:2] for values in world.told("infeasible")] == [("grid", number + 1)] * 2
    assert world.told("fall_back")[-1][1] == number + 1
    world.register("gas", "B", "generator", (0, 3_000 * MILLI, 0, 1_000))
    for _ in range(8):
        world.advance(900_000)
    assert [values[2] for values in world.told("open_round")] == [first, first + 2, first + 4]
    world.advance(9 * 3_600_000)
    assert world.told("skip_round") == [("grid", first + 6, "begun")]


def test_old_rounds_leave_the_state() -> None:
    world = DispatchWorld(keep_rounds=2)
    world.register_all()
    sizes = []
    for _ in range(6):
        world.submit("board", world.open())
        world.advance(10_001)
        world.commit()
        sizes.append(len(world.state.values))
    assert sizes[2:] == [sizes[2]] * 4
    assert world.refusal("house", "price", 4, 0, 0) == "unknown_round"
    assert world.refusal("house", "price", 5, 0, 0) == ""


def test_index_follows_from_the_leaves(world: DispatchWorld) -> None:
    first = world.time_ms // 3_600_000 + 1
    world.act("wind", "bid", "grid", "wind", first, wire([(0, 1, 0, 900)] * 3))
    world.act("gas", "retire", "grid", "gas")
    world.commit()
    state = world.state.values
    indexed = {key for key in state if key.startswith((b"id", b"iB"))}
    rebuilt = DispatchWorld()
    ctx = rebuilt.context()
    for key, value in sorted(state.items()):
        rebuilt.dispatch.rebuild_index(ctx, key, value)
    assert {key for key in rebuilt.overlay.changes if key.startswith((b"id", b"iB"))} == indexed


def test_a_unit_keeps_its_kind_so_that_its_bids_fit_the_rounds_to_come() -> None:
    world = DispatchWorld(opens_minutes=30)
    world.register_all()
    first = world.time_ms // 3_600_000 + 1
    world.act("gas", "bid", "grid", "gas", first, wire([(0, 3_000 * MILLI, 0, 1_000)] * 20))
    load = ("grid", "gas", world.ids["gas"], "B", "load", wire([(0, 1, -1, 0)]), ())
    assert world.refusal("gas", "register", *load) == "other_kind"
    assert world.refusal("operator", "register", *load) == "other_kind"
    world.act("gas", "retire", "grid", "gas")
    world.act("gas", "register", *load)
    for _ in range(8):
        world.advance(900_000)
    assert world.told("open_round") and not world.told("skip_round")


def test_a_proved_round_stays_until_it_is_paid_for() -> None:
    world = DispatchWorld(keep_rounds=1)
    world.register_all()
    world.submit("board", world.open())
    assert world.refusal("operator", "open", "grid", 0) == "too_many_rounds"
    world.advance(1)
    assert len(world.told("settle_round")) == 1
    assert world.open().number == 2


def test_an_area_may_leave_all_registering_to_its_operators() -> None:
    world = DispatchWorld(members_register=False)
    gas = ("grid", "gas", world.ids["gas"], "B", "generator", wire([(0, 1, 0, 1_000)]), ())
    assert world.refusal("gas", "register", *gas) == "operator_registers"
    world.act("operator", "register", *gas)
    assert world.refusal("gas", "register", *gas) == "operator_registers"
    first = world.time_ms // 3_600_000 + 1
    world.act("gas", "bid", "grid", "gas", first, wire([(0, 2, 0, 900)]))


def test_a_storage_that_has_to_charge_is_refused() -> None:
    world = DispatchWorld()
    for least, code in ((0, ""), (1, "invalid_unit")):
        numbers = (0, 0, 0, 0, 10**6, 10**6, 0, 1_000, 0, least)
        storage = tuple(encode_integer(number) for number in numbers)
        unit = ("grid", "battery", world.ids["gas"], "B", "storage", (), storage)
        assert world.refusal("gas", "register", *unit) == code


def test_a_round_that_could_not_be_closed_is_not_opened() -> None:
    statuses = []
    for buses in (3_000, 4_200):
        names = [f"{number:032d}" for number in range(buses)]
        ends = [{"from": names[0], "to": name, "rating_w": 600} for name in names[1:]]
        lines = [
            {"name": f"L{number:031d}", "reactance_nano_ohm": 1_000, **end}
            for number, end in enumerate(ends)
        ]
        network = {"slack": names[0], "buses": names, "lines": lines}
        world = DispatchWorld(network=network, fallback="uniform")
        owner, bids = world.ids["gas"], wire([(0, 3_000 * MILLI, 0, 1_000)])
        world.act("operator", "register", "grid", "gas", owner, names[0], "generator", bids, ())
        ctx = world.context("operator", gas=2_000_000)
        ctx.module = "dispatch"
        try:
            number = open_round(ctx, load_area(ctx, "grid"), 0, by_itself=False)
        except CallError as error:
            statuses.append(error.code)
            continue
        ctx = world.context(gas=2_000_000)
        ctx.module = "dispatch"
        pass_deadline(ctx, number)
        statuses.append(STATUS_NAMES[world.round(number).status])
    assert statuses == ["fallen_back", "too_large"]


def test_a_round_that_costs_too_much_to_open_is_told_of() -> None:
    world = DispatchWorld(intervals=96, opens_minutes=30)
    first = world.time_ms // 3_600_000 + 1
    owner, bids = world.ids["gas"], wire([(0, 3_000 * MILLI, 0, 10**9)] * 96)
    for number in range(82):
        unit = ("grid", f"unit{number}", owner, "B", "generator", bids, ())
        world.act("operator", "register", *unit)
        world.act("gas", "bid", "grid", f"unit{number}", first, bids)
    ctx = world.context(gas=2_000_000)
    ctx.module = "dispatch"
    world.dispatch.on_due(ctx, encode_trusted((BUILDING, "grid", first)))
    assert [event[1:] for event in ctx.events] == [("skip_round", ("grid", first, "out_of_gas"))]
    assert world.overlay.get(b"do") is None
