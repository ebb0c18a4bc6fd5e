"""Profiles and strategies: what homes need, what agents bid, and that the learner learns."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.auction.orders import BUY, SELL, Step, validate_steps
from tools.agents.arena import Arena, Player
from tools.agents.homes import Home, Need, Tariffs, draw_homes, gain_micro, worth_micro
from tools.agents.profile_formula import SEASONS, make_document
from tools.agents.profiles import load_profiles, read_simbench
from tools.agents.q_learning import QLearning, Settings
from tools.agents.strategies import (
    STRATEGY_NAMES,
    Offered,
    Truthful,
    View,
    ZeroIntelligence,
    make_strategy,
    optional_bought,
)
from tools.errors import ToolError

TARIFFS = Tariffs(30_000_000, 8_000_000)
PRICES = st.integers(8_000_001, 29_999_999)
ENERGIES = st.integers(1, 5_000_000)


@st.composite
def needs(draw: st.DrawFn) -> Need:
    if draw(st.booleans()):
        return Need(BUY, (Step(draw(ENERGIES), 30_000_000), Step(draw(ENERGIES), draw(PRICES))))
    return Need(SELL, (Step(draw(ENERGIES), 8_000_000), Step(draw(ENERGIES), draw(PRICES))))


def test_the_stored_profiles_are_those_of_the_formula() -> None:
    made = make_document()
    for season in SEASONS:
        profiles = load_profiles(season)
        loads, plants = made["loads_w"], made["plants_w_per_kwp"]
        assert isinstance(loads, dict)
        assert isinstance(plants, dict)
        assert {name: list(powers) for name, powers in profiles.loads_w.items()} == loads[season]
        found = {name: list(powers) for name, powers in profiles.plants_w_per_kwp.items()}
        assert found == plants[season]
        assert all(powers[0] == powers[-1] == 0 for powers in profiles.plants_w_per_kwp.values())


def test_simbench_is_read_by_day_with_the_odd_days_of_the_year(tmp_path: Path) -> None:
    loads = [f"H0-{letter}_pload" for letter in "ABCGL"]
    plants = [f"PV{number}" for number in range(1, 9)]
    times = [f"30.10.2016 02:{minute:02}" for minute in (0, 15, 0, 15)] + ["31.10.2016 00:00"]
    for name, columns in (("LoadProfile.csv", loads), ("RESProfile.csv", plants)):
        rows = [
            ";".join([time, *(f"{0.1 * (place + 1):g}" for _ in columns)])
            for place, time in enumerate(times)
        ]
        (tmp_path / name).write_text("\n".join([";".join(["time", *columns]), *rows]) + "\n")
    profiles = read_simbench(date(2016, 10, 30), tmp_path)
    assert profiles.loads_w["H0-A"] == (300, 600, 900, 1_200)
    assert profiles.plants_w_per_kwp["PV8"] == (100, 200, 300, 400)
    with pytest.raises(ToolError, match="no such day"):
        read_simbench(date(2016, 6, 1), tmp_path)
    with pytest.raises(ToolError, match="no such profile"):
        load_profiles("autumn")


def test_homes_are_the_same_for_a_seed_and_worth_what_the_tariffs_bound() -> None:
    profiles = load_profiles("summer")
    homes = draw_homes(profiles, TARIFFS, count=30, seed=3)
    assert homes == draw_homes(profiles, TARIFFS, count=30, seed=3)
    assert homes != draw_homes(profiles, TARIFFS, count=30, seed=4)
    noon = [home.need(48, 4, TARIFFS).side for home in homes]
    assert {BUY, SELL} == set(noon)
    assert all(home.need(0, 4, TARIFFS).side == BUY for home in homes)
    for home in homes:
        for part in home.need(48, 4, TARIFFS).parts:
            assert 8_000_000 <= part.price_micro_per_kwh <= 30_000_000


def test_a_need_is_split_at_its_prices_and_the_urgent_part_counts_first() -> None:
    home = Home("H", (1_000,) * 96, (0,) * 96, 25, 20_000_000, 50, 12_000_000)
    need = home.need(0, 4, TARIFFS)
    assert need == Need(BUY, (Step(750_000, 30_000_000), Step(250_000, 20_000_000)))
    assert worth_micro(need, 800_000) == 23_500_000
    assert gain_micro(need, 800_000, 16_000_000) == 7_500_000
    assert optional_bought(need, 900_000) == Step(150_000, 20_000_000)
    assert optional_bought(need, 700_000) is None


@settings(max_examples=60, derandomize=True, deadline=None)
@given(needs(), st.sampled_from(STRATEGY_NAMES), st.integers(0, 9), st.integers(0, 23))
def test_no_strategy_states_a_price_at_a_loss_or_another_energy(
    need: Need, name: str, seed: int, hour: int
) -> None:
    strategy = make_strategy(name, seed)
    view = View(hour, need, TARIFFS, 15_000_000)
    steps = strategy.bid(view)
    validate_steps(need.side, steps)
    assert sum(step.energy_milli_wh for step in steps) == need.energy_milli_wh
    # At its own prices every step that trades is worth at least what it costs.
    sold_before = 0
    for energy, price in steps:
        paid = energy * price / 1_000_000
        worth = worth_micro(need, sold_before + energy) - worth_micro(need, sold_before)
        assert paid <= worth + 1 if need.side == BUY else paid >= worth - 1
        sold_before += energy
    response = strategy.respond(view, Offered(need.energy_milli_wh, 15_000_000, 18_000_000))
    if response is not None:
        optional = need.parts[1]
        assert need.side == BUY
        assert response.energy_milli_wh <= optional.energy_milli_wh
        assert response.price_micro_per_kwh >= optional.price_micro_per_kwh


def test_zero_intelligence_draws_all_the_way_between_the_tariff_and_the_value() -> None:
    view = View(12, Need(BUY, (Step(1_000, 20_000_000),)), TARIFFS, None)
    agent = ZeroIntelligence(1)
    prices = [agent.bid(view)[0].price_micro_per_kwh for _ in range(400)]
    assert min(prices) < 8_200_000
    assert max(prices) > 19_800_000
    assert abs(mean(prices) - 14_000_000) < 500_000
    assert Truthful().bid(view) == view.need.parts


def test_the_learner_earns_more_than_in_its_first_days_and_keeps_to_its_seed() -> None:
    """Neighbourhoods in which all learn, over 30 days; without learning nothing rises."""

    def play(seed: int, learning: Settings, days: int) -> list[float]:
        homes = draw_homes(load_profiles("summer"), TARIFFS, count=10, seed=seed)
        players = [Player(home, QLearning(place, learning)) for place, home in enumerate(homes)]
        arena = Arena(players, TARIFFS)
        return [mean(arena.play_day().gains_micro.values()) for _ in range(days)]

    def rise(gains: list[float]) -> float:
        return mean(gains[20:]) / mean(gains[:5])

    for seed in range(2):
        gains = play(seed, Settings(), 30)
        assert rise(gains) > 1.3
        assert rise(play(seed, Settings(rate=0.0), 30)) < 1.2
        assert play(seed, Settings(), 3) == gains[:3]
