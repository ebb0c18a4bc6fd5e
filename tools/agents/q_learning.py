"""The learning bidder: two stages of Q-learning, with experience replay.

First stage: the state is the time of day (six parts of four hours), the side, and where the last
price lay between the tariffs (five parts, or none yet). The action is a price level: how far the
bid goes from the price that is best for the home (level 0) to its true price (the last level). It
never states a price at a loss. Second stage, for who bought: the state is the time of day, and
where the response price lies between the true price of the energy that can wait and the retail
price. The action is the share of it that is given up, at its true price.

The reward of a stage is what it brought at the home's true prices, over the energy needed times the
distance of the tariffs: 1 is trading everything at the best price there can be. The first stage's
value looks one step ahead, at the best value of the second; the second ends the interval:

    Q1(s, a) += alpha (r1 + gamma max_b Q2(s', b) - Q1(s, a))
    Q2(s', b) += alpha (r2 - Q2(s', b))

Q-learning: Watkins and Dayan, Machine Learning 8, 1992. After each interval a number of remembered
ones is learned from again: Lin, "Self-improving reactive agents based on reinforcement learning,
planning and teaching", Machine Learning 8, 1992. Exploration falls with the intervals played.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

from market.auction.orders import BUY, Step
from tools.agents.strategies import Offered, Outcome, View, optional_bought, priced

LEVELS: Final = 8
SHARES: Final = 5
HOURS_PER_PART: Final = 4
PRICE_PARTS: Final = 5
NO_PRICE: Final = PRICE_PARTS
MICRO_WH_PER_KWH: Final = 1_000_000

State = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Settings:
    """How it learns."""

    rate: float = 0.15
    """Learning rate alpha."""
    discount: float = 1.0
    """Discount gamma of the second stage: both belong to one interval."""
    first_exploration: float = 0.6
    """Share of random actions at first."""
    exploration_kept: float = 0.995
    """What is left of that share after each interval."""
    least_exploration: float = 0.02
    """Share of random actions that remains."""
    memory: int = 2_000
    """Intervals remembered, the oldest forgotten first."""
    replayed: int = 16
    """Remembered intervals learned from after each."""


@dataclass(frozen=True, slots=True)
class Experience:
    """One interval as it was played."""

    first: State
    """State of the first stage."""
    level: int
    """Action of the first stage."""
    first_reward: float
    """Its reward."""
    second: State | None
    """State of the second stage, None if there was none."""
    share: int
    """Action of the second stage."""
    second_reward: float
    """Its reward."""


@dataclass(slots=True)  # mutable: what is being played
class _Play:
    first: State
    level: int
    scale_micro: float
    second: State | None = None
    share: int = 0


@dataclass(slots=True)  # mutable: filled as it learns
class _Tables:
    levels: dict[State, list[float]] = field(default_factory=dict)
    shares: dict[State, list[float]] = field(default_factory=dict)


class QLearning:
    """An agent that learns which price level pays at which time, and when to give energy up."""

    def __init__(self, seed: int, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._random = Random(f"q learning {seed}")
        self._tables = _Tables()
        self._memory: list[Experience] = []
        self._played = 0
        self._play: _Play | None = None

    @property
    def exploration(self) -> float:
        """Share of random actions now."""
        settings = self._settings
        share = settings.first_exploration * settings.exploration_kept**self._played
        return max(settings.least_exploration, share)

    def bid(self, view: View) -> tuple[Step, ...]:
        """Return the need at the price level chosen."""
        state = _first_state(view)
        level = self._choose(self._values(self._tables.levels, state, LEVELS))
        span = view.tariffs.retail_micro_per_kwh - view.tariffs.feed_in_micro_per_kwh
        scale = max(1.0, view.need.energy_milli_wh * span / MICRO_WH_PER_KWH)
        self._play = _Play(state, level, scale)
        best = view.tariffs.feed_in_micro_per_kwh
        if view.need.side != BUY:
            best = view.tariffs.retail_micro_per_kwh
        return priced(view.need, lambda true: best + (true - best) * level // (LEVELS - 1))

    def respond(self, view: View, offered: Offered) -> Step | None:
        """Return the share of what can wait that is given up."""
        most = optional_bought(view.need, offered.bought_milli_wh)
        if most is None or self._play is None:
            return None
        place = _part(
            offered.response_price_micro_per_kwh,
            most.price_micro_per_kwh,
            view.tariffs.retail_micro_per_kwh,
        )
        self._play.second = (view.hour // HOURS_PER_PART, place, 0)
        values = self._values(self._tables.shares, self._play.second, SHARES)
        self._play.share = self._choose(values)
        energy = most.energy_milli_wh * self._play.share // (SHARES - 1)
        return Step(energy, most.price_micro_per_kwh) if energy else None

    def learn(self, outcome: Outcome) -> None:
        """Learn from the interval just played, and from some of those before."""
        play, self._play = self._play, None
        if play is None:
            return
        experience = Experience(
            play.first,
            play.level,
            outcome.first_gain_micro / play.scale_micro,
            play.second,
            play.share,
            outcome.second_gain_micro / play.scale_micro,
        )
        self._played += 1
        self._memory.append(experience)
        if len(self._memory) > self._settings.memory:
            del self._memory[0]
        self._update(experience)
        for _ in range(min(self._settings.replayed, len(self._memory))):
            self._update(self._random.choice(self._memory))

    def _update(self, experience: Experience) -> None:
        target = experience.first_reward
        if experience.second is not None:
            values = self._values(self._tables.shares, experience.second, SHARES)
            _approach(values, experience.share, experience.second_reward, self._settings.rate)
            target += self._settings.discount * max(values)
        values = self._values(self._tables.levels, experience.first, LEVELS)
        _approach(values, experience.level, target, self._settings.rate)

    def _choose(self, values: list[float]) -> int:
        """Return an action: any of them, or the best; among equals, at first all, by chance."""
        if self._random.random() < self.exploration:
            return self._random.randrange(len(values))
        best = max(values)
        return self._random.choice([place for place, value in enumerate(values) if value == best])

    def _values(self, table: dict[State, list[float]], state: State, actions: int) -> list[float]:
        return table.setdefault(state, [0.0] * actions)


def _first_state(view: View) -> State:
    tariffs, last = view.tariffs, view.last_price_micro_per_kwh
    place = NO_PRICE
    if last is not None:
        place = _part(last, tariffs.feed_in_micro_per_kwh, tariffs.retail_micro_per_kwh)
    return view.hour // HOURS_PER_PART, view.need.side, place


def _part(price: int, low: int, high: int) -> int:
    """Return in which of the equal parts between `low` and `high` a price lies."""
    if high <= low:
        return PRICE_PARTS - 1
    return min(PRICE_PARTS - 1, max(0, (price - low) * PRICE_PARTS // (high - low)))


def _approach(values: list[float], action: int, target: float, rate: float) -> None:
    values[action] += rate * (target - values[action])
