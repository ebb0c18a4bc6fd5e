"""A chain that stood still while commitments were to be opened."""

from __future__ import annotations

import pytest

from tests.market.auction.test_module import MINUTE, Bidding, step
from tests.market.support import tokens


@pytest.mark.parametrize(("minutes", "lost"), [(30, "2"), (31, "0"), (600, "0")])
def test_who_could_not_open_for_a_standstill_keeps_its_deposit(minutes: int, lost: str) -> None:
    world = Bidding()
    world.seal("A", "buy", step("2", "10"))
    world.before(61)
    world.advance(minutes * MINUTE)
    assert len(world.told("release")) == (lost == "0")
    assert world.holdings("A") == (-tokens(lost), 0)
    world.conserve()
