"""Votes on the parameters of an auction: what may change, in which bounds, and for which orders."""

from __future__ import annotations

from typing import Any

import pytest

from market.auction.module import AuctionModule
from market.auction.orders import BUY
from market.auction.records import load_config
from market.auction.rounds import commitment_of
from tests.market.auction.test_module import MINUTE, Bidding, step
from tests.market.support import kwh, tokens
from vm.primitives.errors import CallError

SALT = b"s" * 32


def vote(world: Bidding, auction: str, **values: Any) -> None:
    """Carry out what a vote decided, or change nothing."""
    ctx = world.context()
    ctx.module = "auction"
    mark = world.overlay.mark()
    try:
        AuctionModule().change_parameters(ctx, auction, values)
    except CallError:
        world.overlay.undo(mark)
        raise


@pytest.mark.parametrize(
    ("auction", "values", "code"),
    [
        ("other", {"deposit_micro": 1}, "unknown_auction"),
        ("", {"deposit_micro": 1}, "unknown_auction"),
        ("open", {"mechanism": 1}, "unknown_parameter"),
        ("open", {"gate_minutes": 1}, "unknown_parameter"),
        ("open", {"deposit_micro": -1}, "invalid_parameters"),
        ("open", {"max_energy_milli_wh": 0}, "invalid_parameters"),
        ("open", {"max_price_micro_per_kwh": "1"}, "invalid_parameters"),
        ("uniform", {"max_price_micro_per_kwh": 999_999}, "invalid_parameters"),
    ],
)
def test_what_does_not_fit_is_refused(auction: str, values: dict[str, Any], code: str) -> None:
    world = Bidding()
    with pytest.raises(CallError) as refused:
        vote(world, auction, **values)
    assert refused.value.code == code
    assert load_config(world.context(), "open").version == 0


def test_a_change_holds_for_what_is_placed_later() -> None:
    world = Bidding()
    bid = ("place", "open", world.interval, "buy")
    world.ask("A", *bid, step("2", "90"))
    vote(world, "open", max_price_micro_per_kwh=tokens("50"), max_energy_milli_wh=kwh("3"))
    assert world.code("B", *bid, step("1", "50.000001"), module="auction") == "price_out_of_range"
    assert world.code("B", *bid, step("3.001", "50"), module="auction") == "too_much_energy"
    world.ask("B", "place", "open", world.interval, "sell", step("2", "50"))
    world.advance(world.start_ms - world.time_ms)
    # The order that stood is cleared at its price.
    assert [values[5] for _, name, values in world.events if name == "bought"]


def test_a_commitment_is_opened_under_the_rules_under_which_it_was_made() -> None:
    world = Bidding()
    numbers = {}
    for place, (name, price) in enumerate((("A", "90"), ("B", "40"), ("C", "90"))):
        if place:
            vote(world, "uniform", max_price_micro_per_kwh=tokens("50"), deposit_micro=place)
        steps = step("1", price)
        sealed = commitment_of("uniform", world.interval, world.ids[name], BUY, steps, SALT)
        cover = (sealed, tokens("100"), 0)
        numbers[name] = world.ask(name, "commit", "uniform", world.interval, *cover)
    deposits = [world.account(name).money_reserved_micro - tokens("100") for name in "ABC"]
    assert deposits == [tokens("2"), 1, 2]
    world.advance(world.start_ms - 60 * MINUTE - world.time_ms)
    opening = ("open", "uniform", world.interval)
    world.ask("A", *opening, numbers["A"], "buy", step("1", "90"), SALT)
    world.ask("B", *opening, numbers["B"], "buy", step("1", "40"), SALT)
    code = world.code("C", *opening, numbers["C"], "buy", step("1", "90"), SALT, module="auction")
    assert code == "price_out_of_range"
