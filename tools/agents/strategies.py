"""Strategies: how an agent turns what its home needs into prices, and what it gives up afterwards.

A delivery interval is played in two stages (`docs/response-and-quotas.md`). First the
agent bids: energy and a price for each step. Then, when the market price π and the response price
π_DR are known, who bought may give some of that energy up. A strategy draws from its seed only, so
the same seed plays the same day again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from market.auction.orders import BUY, Step
from tools.agents.homes import Need, Tariffs


@dataclass(frozen=True, slots=True)
class View:
    """What an agent knows when it bids."""

    hour: int
    """Hour of the day at which delivery begins."""
    need: Need
    """What its home wants, at true prices."""
    tariffs: Tariffs
    """The upstream prices."""
    last_price_micro_per_kwh: int | None
    """The price of the last interval that cleared; None before the first."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What an agent knows when it may respond: what it bought, and what giving it up brings."""

    bought_milli_wh: int
    """What it bought in the first stage."""
    price_micro_per_kwh: int
    """The market price π."""
    response_price_micro_per_kwh: int
    """The response price π_DR."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the two stages brought, at the home's true prices."""

    first_gain_micro: int
    """Of the first stage."""
    second_gain_micro: int
    """Of the second: what was paid for the energy given up, less what it was worth."""


class Strategy(Protocol):
    """One agent's way to bid."""

    def bid(self, view: View) -> tuple[Step, ...]:
        """Return the steps of its order; the energy is that of the need."""
        ...

    def respond(self, view: View, offered: Offered) -> Step | None:
        """Return energy that it gives up and its lowest price for it, None for none."""
        ...

    def learn(self, outcome: Outcome) -> None:
        """Take in what the last interval brought."""
        ...


class Truthful:
    """States the true price of each part, and gives up what is worth less than it brings."""

    def bid(self, view: View) -> tuple[Step, ...]:
        """Return the need as it is."""
        return view.need.parts

    def respond(self, view: View, offered: Offered) -> Step | None:
        """Return the optional energy that it bought, at its true price."""
        return optional_bought(view.need, offered.bought_milli_wh)

    def learn(self, outcome: Outcome) -> None:
        """Learn nothing."""


class ZeroIntelligence:
    """Bids at random, held only to make no loss.

    "ZI-C" of Gode and Sunder, "Allocative Efficiency of Markets with Zero-Intelligence Traders",
    Journal of Political Economy 101(1), 1993: a buyer's price is uniform between the lowest price
    and its value, a seller's between its cost and the highest price. The bounds are the tariffs.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(f"zero intelligence {seed}")

    def bid(self, view: View) -> tuple[Step, ...]:
        """Return the need at random prices that bring no loss."""
        low, high = view.tariffs.feed_in_micro_per_kwh, view.tariffs.retail_micro_per_kwh
        if view.need.side == BUY:
            return priced(view.need, lambda true: self._random.randint(min(low, true), true))
        return priced(view.need, lambda true: self._random.randint(true, max(high, true)))

    def respond(self, view: View, offered: Offered) -> Step | None:
        """Return a random share of the optional energy, at a random price without loss."""
        most = optional_bought(view.need, offered.bought_milli_wh)
        if most is None:
            return None
        energy = self._random.randint(0, most.energy_milli_wh)
        high = max(view.tariffs.retail_micro_per_kwh, most.price_micro_per_kwh)
        price = self._random.randint(most.price_micro_per_kwh, high)
        return Step(energy, price) if energy else None

    def learn(self, outcome: Outcome) -> None:
        """Learn nothing."""


def optional_bought(need: Need, bought_milli_wh: int) -> Step | None:
    """Return the part of what a home bought that can wait, at its true price."""
    if need.side != BUY or len(need.parts) < 2:
        return None
    urgent, optional = need.parts
    energy = min(optional.energy_milli_wh, bought_milli_wh - urgent.energy_milli_wh)
    return Step(energy, optional.price_micro_per_kwh) if energy > 0 else None


def priced(need: Need, price_of: Callable[[int], int]) -> tuple[Step, ...]:
    """Return a need at other prices, in the order that an auction asks; equal prices are one step.

    `price_of` gives a part's price from its true one.
    """
    energies: dict[int, int] = {}
    for energy, true in need.parts:
        price = price_of(true)
        energies[price] = energies.get(price, 0) + energy
    ordered = sorted(energies, reverse=need.side == BUY)
    return tuple([Step(energies[price], price) for price in ordered])


def make_strategy(name: str, seed: int) -> Strategy:
    """Return a new strategy of a kind in STRATEGY_NAMES."""
    from tools.agents.q_learning import QLearning

    makers: dict[str, Callable[[int], Strategy]] = {
        "truthful": lambda _: Truthful(),
        "zero_intelligence": ZeroIntelligence,
        "q_learning": QLearning,
    }
    return makers[name](seed)


STRATEGY_NAMES: Final[Sequence[str]] = ("truthful", "zero_intelligence", "q_learning")
