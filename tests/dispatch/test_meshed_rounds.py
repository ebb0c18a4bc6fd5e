"""Rounds over meshed networks: opened, solved, submitted, proved and paid for on chain."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from dispatch.solve import solve
from market.dispatch_check import validate_certificate, verify_certificate
from market.dispatch_layout import lay_out
from market.dispatch_problem import GENERATOR, Bid, DispatchProblem, Unit
from market.dispatch_records import PROVED
from tests.dispatch.test_mesh_storage import day_of
from tests.dispatch.test_meshed import case_of
from tests.market.dispatch_world import DispatchWorld, wire
from tests.market.support import Person
from vm.primitives.codec import encode_integer

HOURS = 3


def world_of(problem: DispatchProblem) -> DispatchWorld:
    """An area over a case's network; all its units belong to one utility, the operator's word."""
    network = problem.network
    people = (
        Person("operator", ("operator",), balance="1000"),
        Person("EDC", ("edc", "dso"), balance="0"),
        Person("utility", ("prosumer",), network.buses[0].name, balance="9000000"),
        Person("board", ("board",), balance="30"),
    )
    world = DispatchWorld(
        people,
        network={
            "slack": network.slack,
            "buses": [bus.name for bus in network.buses],
            "lines": [
                {
                    "name": line.name,
                    "from": line.from_bus,
                    "to": line.to_bus,
                    "rating_w": line.rating_w,
                    "reactance_nano_ohm": line.reactance_nano_ohm,
                }
                for line in network.lines
            ],
        },
        intervals=HOURS,
    )
    for storage in problem.storages:
        numbers = tuple(getattr(storage, each.name) for each in fields(storage)[2:])
        world.act(
            "operator",
            "register",
            "grid",
            storage.name,
            world.ids["utility"],
            storage.bus,
            "storage",
            (),
            tuple(encode_integer(number) for number in numbers),
        )
    for unit in problem.units:
        bid = unit.bids[0]
        bids = [
            # What must be served differs from hour to hour, so that no hour is like another.
            (bid.a, bid.b, bid.lo_w * (100 - hour) // 100, bid.hi_w * (100 - hour) // 100)
            if unit.kind == "load"
            else (bid.a, bid.b, bid.lo_w, bid.hi_w)
            for hour in range(HOURS)
        ]
        world.act(
            "operator",
            "register",
            "grid",
            unit.name,
            world.ids["utility"],
            unit.bus,
            unit.kind,
            wire(bids),
            (),
        )
    return world


@pytest.mark.parametrize("method", ["direct", "admm"])
@pytest.mark.parametrize("name", ["case5", "case9"])
def test_a_round_over_a_mesh_goes_from_open_to_paid(name: str, method: str) -> None:
    world = world_of(case_of(name))
    found = world.open()
    problem = world.problem(found.number)
    assert not problem.is_radial and problem.intervals == HOURS
    certificate = solve(problem, method).certificate
    first, second, third = certificate.intervals
    swapped = world.submit("board", found, second, first, third)
    assert swapped[0] is False, "another hour's certificate"
    assert world.submit("board", found, first, second, third) == (True, "")
    closed = world.round(found.number)
    assert closed.status == PROVED
    assert world.prices(found.number) == [list(one.prices) for one in certificate.intervals]
    world.advance(1)
    assert [values[1] for values in world.told("settle_round")] == [found.number]
    world.assert_conserved()


def test_a_round_over_a_mesh_with_storages_goes_from_open_to_paid() -> None:
    drawn = day_of("case9", 3, HOURS)
    storages = tuple(replace(each, energy_end_min_milli_wh=0) for each in drawn.storages)
    drawn = replace(drawn, storages=storages)
    world = world_of(drawn)
    found = world.open()
    problem = world.problem(found.number)
    assert [each.name for each in problem.storages] == [each.name for each in drawn.storages]
    intervals = solve(problem).certificate.intervals
    idle = tuple(
        replace(one, storages=other.storages)
        for one, other in zip(intervals, intervals[::-1], strict=True)
    )
    assert world.submit("board", found, *idle)[0] is False, "another hour's storages"
    assert world.submit("board", found, *intervals) == (True, "")
    assert world.round(found.number).status == PROVED
    world.advance(1)
    settled = {values[2] for values in world.told("settle")}
    assert settled >= {each.name for each in problem.storages}
    world.assert_conserved()


def test_nobody_trades_over_a_mesh() -> None:
    world = world_of(case_of("case5"))
    world.set_roles("utility", ["consumer"])
    assert world.code("utility", "buy", "grid", 0, 1_000, 10**6, True) == "meshed_network"


def test_one_giant_unit_leaves_honest_results_accepted() -> None:
    """Were an open line bounded by all that could be injected, rounding would be refused."""
    problem = case_of("case5")
    giant = Unit("giant", problem.network.slack, GENERATOR, (Bid(0, 10**20, 0, 2**43),))
    lines = tuple(
        replace(line, rating_w=None if place % 2 == 0 else line.rating_w)
        for place, line in enumerate(problem.network.lines)
    )
    problem = replace(
        problem,
        units=(*problem.units, giant),
        network=replace(problem.network, lines=lines),
    )
    certificate = solve(problem).certificate
    layout = lay_out(problem)
    assert verify_certificate(layout, certificate)
    (bound,) = validate_certificate(layout, certificate)
    assert bound.gap_twice * 10**9 <= bound.turnover_twice
