"""Votes on the terms of demand response: in which bounds, and for which rounds and events."""

from __future__ import annotations

from typing import Any

import pytest

from market.response.module import ResponseModule
from market.response.records import load_terms
from tests.market.meters.world import Metered
from tests.market.response.test_metering import METERS, RESPONSE
from tests.market.response.test_module import Responding
from tests.market.support import World, kwh, tokens
from vm.primitives.errors import CallError


def vote(world: World, subject: str = "", **values: Any) -> None:
    """Carry out what a vote decided, or change nothing."""
    ctx = world.context()
    ctx.module = "response"
    mark = world.overlay.mark()
    try:
        ResponseModule().change_parameters(ctx, subject, values)
    except CallError:
        world.overlay.undo(mark)
        raise


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"account": 1}, "unknown_parameter"),
        ({"alpha_percent": 99}, "invalid_parameters"),
        ({"tolerance_percent": 101}, "invalid_parameters"),
        ({"past_intervals": 25}, "invalid_parameters"),
        ({"highest": 4}, "invalid_parameters"),
        ({"past_intervals": None}, "invalid_parameters"),
        ({"upstream_price_micro_per_kwh": -1}, "invalid_parameters"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, Any], code: str) -> None:
    world = Responding()
    with pytest.raises(CallError) as refused:
        vote(world, **values)
    assert refused.value.code == code
    with pytest.raises(CallError):
        vote(world, "round", alpha_percent=100)
    assert load_terms(world.context()).version == 0


def test_baselines_need_no_more_days_than_meters_keep() -> None:
    world = Metered(section=METERS, extra=((ResponseModule(), RESPONSE),))
    vote(world, past_intervals=3)
    with pytest.raises(CallError, match="keep readings"):
        vote(world, past_intervals=4)


def test_rounds_keep_the_price_at_which_their_bids_were_set_aside() -> None:
    world = Responding()
    first = world.ask("O", "open", *world.at(10, 20))
    world.ask("A", "want", first, kwh("2"), tokens("40"))
    vote(world, upstream_price_micro_per_kwh=tokens("30"))
    later = world.ask("O", "open", *world.at(10, 20))
    world.ask("B", "want", first, kwh("1"), tokens("40"))
    assert world.refused("C", "want", later, 1, tokens("31")) == "price_above_upstream"
    world.ask("C", "want", later, kwh("1"), tokens("30"))
    reserved = [world.account(name).money_reserved_micro for name in "ABC"]
    assert reserved == [2 * tokens("40"), tokens("40"), tokens("30")]
    world.until(10)
    prices = {number: values for number, *values in world.told("price")}
    assert (prices[first][-1], prices[later][-1]) == (2 * tokens("40"), 2 * tokens("30"))
    world.until(20)
    world.conserve()


def test_events_keep_their_tolerance_and_baseline() -> None:
    world = Responding()
    first = world.called()
    vote(world, tolerance_percent=50, past_intervals=1)
    vote(world, highest=1)
    second = world.called()
    world.ask("A", "enrol", first, (kwh("1"), kwh("1")))
    world.ask("B", "enrol", second, (kwh("1"), kwh("1")))
    past = ((kwh("3"),) * 3, (kwh("3"),) * 3)
    assert world.refused("M", "record_past", second, world.ids["B"], past) == "wrong_length"
    world.ask("M", "record_past", first, world.ids["A"], past)
    world.ask("M", "record_past", second, world.ids["B"], ((kwh("3"),),) * 2)
    world.until(50)
    for event, name in ((first, "A"), (second, "B")):
        world.ask("M", "record", event, world.ids[name], (kwh("2.5"), kwh("2.5")))
    world.until(60)
    # Half of what was promised is missing: a tenth of the promise is tolerated, or a half.
    assert world.holdings("A")[0] == tokens("10") - tokens("16")
    assert world.holdings("B")[0] == tokens("10")
    world.conserve()
