"""A purchase costs what it takes, not what stands in the book; gas is its measure here.

`python -m tests.market.measure` gives the same in microseconds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from market import capacity, closing, matching
from tests.market.measure import (
    KINDS,
    MARKET,
    build,
    buy_ns,
    calls_per_gas,
    one_post,
    partial_buy,
)
from tests.market.support import World


def gas_and_writes(world: World, call: tuple[object, ...]) -> tuple[int, int, int]:
    """Return gas, authenticated leaves written and index entries written by one call."""
    ctx = world.context(str(call[0]))
    world.commit()
    ctx.state = world.overlay
    world.runtime.run_call(ctx, ("market", str(call[1]), tuple(call[2:])))  # type: ignore[arg-type]
    index = sum(key[:1] == b"i" for key in world.overlay.changes)
    return ctx.gas_used, len(world.overlay.changes) - index, index


@pytest.mark.parametrize("kind", KINDS)
def test_a_purchase_among_ten_thousand_costs_no_more_than_half_again_one_among_ten(
    kind: str,
) -> None:
    call = partial_buy(build(kind, 10), 0)
    few = gas_and_writes(build(kind, 10), call)
    many = gas_and_writes(build(kind, 10_000), call)
    print(kind, few, many)
    assert many[0] <= few[0] * 3 // 2
    assert many[1:] == few[1:]
    if kind == "own":
        assert buy_ns(kind, 10_000, repeats=1) < 3 * buy_ns(kind, 10, repeats=1), (
            "far above the 1.5 that a quiet machine shows"
        )


@pytest.mark.parametrize("kind", ["plain", "network"])
def test_posting_and_selling_out_write_few_entries(kind: str) -> None:
    world = build(kind, 1_000)
    price = 10**6
    _, leaves, index = gas_and_writes(world, ("rich", "post", MARKET, 0, 5, price))
    assert (leaves, index) == (3, 3)
    # A seller's new best offer takes the place of the one before.
    _, leaves, index = gas_and_writes(world, one_post(world, 17))
    assert (leaves, index) == (3, 5)
    # The cheapest offer goes with its seller's next one taking its place.
    _, leaves, index = gas_and_writes(world, ("buyer", "buy", MARKET, 0, 1_000, 10**9, False))
    assert leaves <= 5
    assert index <= 7


def test_a_thousand_sellers_at_their_pair_limits_cost_each_a_read() -> None:
    world = build("plain", 1_000)
    base = gas_and_writes(world, partial_buy(world, 0))[0]
    for number in range(100):
        ids = world.ids["buyer"], world.ids[f"S{number}"]
        world.call("rich", "post", MARKET, 0, 1_000, 10**6 + number)
        world.set_roles("rich", ("operator", "prosumer"))
        world.call("rich", "set_pair_limit", MARKET, *ids, 0)
        world.set_roles("rich", ("prosumer",))
    world.call("rich", "post", MARKET, 0, 10_000, 10**7)
    policy = world.market._config(world.context(), MARKET).policy
    assert policy == 1
    limited = gas_and_writes(world, partial_buy(world, 0))[0]
    print(f"{(limited - base) // 100} gas for each seller whose pair limit is reached")
    assert 350 < (limited - base) // 100 < 550


def test_gas_measures_the_work_of_every_kind_of_call() -> None:
    for name, (gas, time_ns) in calls_per_gas().items():
        print(f"{name}: {gas} gas, {gas * 1_000 / time_ns:.1f} a microsecond")
        # 25 on a quiet machine; far less would be a path that is nearly free.
        assert gas * 1_000 > 4 * time_ns, name


def test_the_protocol_page_lists_the_gas_and_limits_of_the_market() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")
    text = page.split("### Gas and limits of the market\n")[1].split("\n### ")[0]
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| ")][1:]
    assert [int(gas) for _, gas in rows] == [
        matching.GAS_OF_CANDIDATE,
        matching.GAS_OF_PATH_LINE,
        capacity.GAS_OF_BUS,
        capacity.GAS_OF_LINE,
        capacity.GAS_OF_USAGE,
        matching.GAS_OF_FILL,
        matching.GAS_OF_PAYMENT,
        closing.GAS_OF_EXPIRY,
        closing.GAS_OF_CLEARING,
    ]
    for number in (
        matching.SETTLING_THE_BUYER,
        matching.SETTLING_A_FILL,
        matching.SETTLING_A_LIMIT,
        matching.SETTLING_A_PAYMENT,
        matching.MAX_FILLS,
        matching.MAX_PAYMENTS,
    ):
        assert f"{number:,}" in text
