"""Rounds that couple hours: opened, solved among boards, submitted, proved, paid for."""

from __future__ import annotations

import pytest

from market.dispatch_certificate import Certificate
from market.dispatch_codec import encode_certificate
from market.dispatch_records import PROVED
from market.dispatch_results import read_results
from tests.market.dispatch_world import MILLI, DispatchWorld
from tests.tools.board.links import Links
from vm.primitives.codec import encode_integer

HOURS = 4
NIGHT, DAY = 1_000 * MILLI, 3_000 * MILLI


def storage_numbers(start_milli_wh: int) -> tuple[bytes, ...]:
    """A battery of 300 W and 500 Wh with losses both ways."""
    numbers = (300, 300, 0, 0, 950_000, 1_050_000, 0, 500_000, start_milli_wh, 0)
    return tuple(encode_integer(number) for number in numbers)


def day_with_storages(*batteries: tuple[str, str, str]) -> DispatchWorld:
    """Wind at A; at B gas that is dear by day, a house, and what is named (owner, unit, bus)."""
    world = DispatchWorld(intervals=HOURS)
    world.register("wind", "A", "generator", (2 * MILLI, 100 * MILLI, 0, 1_000))
    gas = [(MILLI, price, 0, 1_000) for price in (NIGHT, NIGHT, DAY, DAY)]
    world.register("gas", "B", "generator", *gas)
    world.register("house", "B", "load", (0, 9_000 * MILLI, -900, -300))
    for owner, unit, bus in batteries:
        world.act(
            "operator",
            "register",
            "grid",
            unit,
            world.ids[owner],
            bus,
            "storage",
            (),
            storage_numbers(100_000),
        )
    return world


@pytest.mark.parametrize(
    "batteries",
    [
        (("house", "cellar", "B"),),
        (("house", "cellar", "B"), ("gas", "shed", "B")),
        (("house", "cellar", "B"), ("wind", "mast", "A")),
    ],
    ids=["one", "two at one bus", "two buses"],
)
def test_a_round_with_storages_goes_from_open_to_paid(
    batteries: tuple[tuple[str, str, str], ...],
) -> None:
    world = day_with_storages(*batteries)
    before = sum(world.money(name) for name in world.ids) + sum(world.pot())
    found = world.open()
    problem = world.problem(found.number)
    assert [each.name for each in problem.storages] == [unit for _, unit, _ in batteries]
    links = Links(problem, loss=0.1)
    certificate = links.run(11_000)
    assert certificate is not None
    assert links.submitters() == ["B" if len({bus for _, _, bus in batteries}) == 1 else "A"]
    assert world.submit("board", found, *certificate.intervals) == (True, "")
    closed = world.round(found.number)
    assert closed.status == PROVED
    powers = [result.powers_w for result in read_results(world.overlay, closed)]
    moved = [row[3] for row in powers]
    assert min(moved[:2]) < 0 < max(moved[2:]), "taken by night, given by day"
    assert not any(powers_of_all for powers_of_all in map(sum, powers)), "every hour balances"
    world.advance(1)
    assert {values[2] for values in world.told("settle")} >= {unit for _, unit, _ in batteries}
    assert before == sum(world.money(name) for name in world.ids) + sum(world.pot())
    world.assert_conserved()


def test_hours_taken_for_themselves_are_refused() -> None:
    """Leaving the battery idle is feasible, and no optimum: one hour's prices do not excuse it."""
    world = day_with_storages(("house", "cellar", "B"))
    found = world.open()
    certificate = Links(world.problem(found.number)).run(11_000)
    assert certificate is not None
    first, *rest = certificate.intervals
    for wrong in (Certificate((*rest, first)), Certificate((first, first, *rest[1:]))):
        data = encode_certificate(wrong)
        accepted, code = world.send("board", found.number, found.problem_hash, data)
        assert (accepted, code) in {(False, "store_level"), (False, "gap"), (False, "unit_limit")}
