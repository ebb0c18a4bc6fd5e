"""Contracts in a market: they trade as members do, with the roles that they have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.contract.world import Contract, Member, World

KWH = 1_000_000
TOKEN = 1_000_000
NETWORK = {
    "market": {
        "markets": [
            {"name": "local", "line_policy": "skip", "default_pair_limit_kwh": "3"},
            {
                "name": "feeder",
                "line_policy": "skip",
                "network": {
                    "slack": "S",
                    "buses": ["S", "N1"],
                    "lines": [{"name": "L1", "from": "S", "to": "N1", "rating_w": 5000}],
                },
            },
        ]
    }
}
POOL = """
import bank
import market

@export
def sell(energy: int, price: int) -> int:
    bank.collect_energy(energy)
    return market.post("local", 0, energy, price)

@export
def change(number: int, energy: int, price: int):
    market.update("local", number, energy, price)

@export
def back(number: int):
    market.withdraw("local", number)

@export
def get(energy: int, max_price: int) -> int:
    bank.collect(bank.attached())
    bought = 0
    fills = market.buy("local", 0, energy, max_price, True)
    for number, seller, amount, price, penalty, paid in fills:
        bought += amount
    bank.transfer_energy(caller(), bought)
    return bought

@view
def best(limit: int) -> list[tuple[int, address, int, int]]:
    return market.offers("local", 0, limit)

@view
def line(name: str) -> tuple[int, int]:
    return market.line("feeder", name, 0)

@view
def pair(first: address, second: address) -> tuple[int, int]:
    return market.pair("local", first, second, 0)

@view
def elsewhere(interval: int) -> int:
    return len(market.offers("nowhere", interval, 1))
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "pool.py").write_text(POOL)
    return World(tmp_path, NETWORK)


@pytest.fixture
def pool(world: World, ann: Member) -> Contract:
    return world.deploy("pool.py", by=ann)


@pytest.fixture
def ann(world: World) -> Member:
    return world.member("ann", money="100", energy="10kWh")


def test_without_a_role_a_contract_does_not_trade(
    world: World, pool: Contract, ann: Member
) -> None:
    with world.fails("wrong_role"):
        pool.sell(KWH, TOKEN, by=ann, energy=KWH)
    assert world.energy(ann) == 10 * KWH


def test_a_contract_posts_changes_withdraws_and_buys(
    world: World, pool: Contract, ann: Member
) -> None:
    bob = world.member("bob", energy="5kWh")
    world.give_roles(pool, "prosumer", "consumer")
    number = pool.sell(2 * KWH, 9 * TOKEN, by=ann, energy=2 * KWH)
    assert pool.best(5) == [(number, pool.address, 2 * KWH, 9 * TOKEN)]
    pool.change(number, KWH, 8 * TOKEN, by=ann)
    assert pool.best(5) == [(number, pool.address, KWH, 8 * TOKEN)]
    assert world.energy(pool) == KWH
    world.run(bob, "market", "post", ("local", 0, 5 * KWH, 10 * TOKEN))
    assert pool.get(4 * KWH, 10 * TOKEN, by=ann, money="50") == 3 * KWH  # not its own; the limit
    assert (world.money(bob), world.money(pool)) == (30 * TOKEN, 20 * TOKEN)
    assert pool.pair(bob, pool) == (3 * KWH, 3 * KWH)
    pool.back(number, by=ann)
    assert world.energy(pool) == 2 * KWH
    with world.fails("unknown_offer"):
        pool.back(number, by=ann)


def test_what_is_read_is_bounded_and_refused_in_words(world: World, pool: Contract) -> None:
    assert pool.line("L1") == (5 * KWH, 0)
    for call, code in (
        (lambda: pool.line("L2"), "unknown_line"),
        (lambda: pool.line("x" * 4_000), "unknown_line"),
        (lambda: pool.elsewhere(0), "unknown_market"),
        (lambda: pool.best(33), "invalid_arguments"),
        (lambda: pool.best(2**70), "invalid_arguments"),
        (lambda: pool.best(0), "invalid_arguments"),
    ):
        with world.fails(code):
            call()
