"""`bitenergy agent learn`: what strategies earn as their homes meet day after day."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Final

from tools.agents.arena import Arena, Player
from tools.agents.day_template import TARIFFS
from tools.agents.homes import Home, draw_homes
from tools.agents.profiles import load_profiles
from tools.agents.strategies import STRATEGY_NAMES, make_strategy
from tools.errors import EXIT_OK
from tools.output import print_json, print_table

MICRO_PER_TOKEN: Final = 1_000_000
ROWS: Final = 10


def show_learning(*, members: int, days: int, profile: str, seed: int, as_json: bool) -> int:
    """Play the days with each strategy and print the mean gain of a home and day, in tokens."""
    homes = draw_homes(load_profiles(profile), TARIFFS, count=members, seed=seed)
    gains = {name: play_days(homes, name, days) for name in STRATEGY_NAMES}
    if as_json:
        print_json({"members": members, "days": days, "mean_gain_micro": gains})
        return EXIT_OK
    step = max(1, days // ROWS)
    print_table(
        "Mean gain of a home in a day, tokens",
        ["days", *(f">{name}" for name in STRATEGY_NAMES)],
        [
            [
                f"{first + 1} to {min(days, first + step)}",
                *(
                    f"{mean(gains[name][first : first + step]) / MICRO_PER_TOKEN:.2f}"
                    for name in STRATEGY_NAMES
                ),
            ]
            for first in range(0, days, step)
        ],
    )
    return EXIT_OK


def play_days(homes: Sequence[Home], strategy: str, days: int) -> list[int]:
    """Return the mean gain of each day, micro-tokens, where all homes bid by one strategy."""
    players = [Player(home, make_strategy(strategy, place)) for place, home in enumerate(homes)]
    arena = Arena(players, TARIFFS)
    return [round(mean(arena.play_day().gains_micro.values())) for _ in range(days)]
