"""The arena: market days in memory, in which strategies meet and learn without a chain.

Each interval is the round of demand response that the chain holds (`market/response/stages.py`):
orders, the price π, what is given up at π_DR, and the gains at true prices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from market.auction.orders import BUY, SELL, Order, Step
from market.response.stages import response_price_half_micro, settle_first, settle_second
from tools.agents.homes import SLOT_MINUTES, Home, Need, Tariffs, gain_micro, worth_micro
from tools.agents.strategies import Offered, Outcome, Strategy, View

ALPHA_PERCENT: Final = 120
MINUTES_PER_HOUR: Final = 60


@dataclass(frozen=True, slots=True)
class Player:
    """A home and the way its agent bids."""

    home: Home
    """The home."""
    strategy: Strategy
    """Its agent's."""


@dataclass(frozen=True, slots=True)
class DayResult:
    """What one day brought."""

    gains_micro: Mapping[str, int]
    """By home: against buying and selling upstream, at true prices."""
    prices_micro_per_kwh: tuple[int | None, ...]
    """The price π of each interval, None where nothing traded."""


class Arena:
    """Players who meet in one market, day after day."""

    def __init__(
        self, players: Sequence[Player], tariffs: Tariffs, *, interval_minutes: int = 60
    ) -> None:
        self._players = list(players)
        self._tariffs = tariffs
        self._slots = interval_minutes // SLOT_MINUTES
        self._last_price: int | None = None

    def play_day(self) -> DayResult:
        """Play all intervals of a day, the strategies learning as they go."""
        gains = {player.home.name: 0 for player in self._players}
        prices: list[int | None] = []
        for first_slot in range(0, len(self._players[0].home.load_w), self._slots):
            price = self._play_interval(first_slot, gains)
            prices.append(price)
        return DayResult(gains, tuple(prices))

    def _play_interval(self, first_slot: int, gains: dict[str, int]) -> int | None:
        views: dict[str, View] = {}
        orders: list[Order] = []
        for player in self._players:
            need = player.home.need(first_slot, self._slots, self._tariffs)
            hour = first_slot * SLOT_MINUTES // MINUTES_PER_HOUR
            view = View(hour, need, self._tariffs, self._last_price)
            if need.parts:
                views[player.home.name] = view
                orders += _orders(player, need.side, player.strategy.bid(view), len(orders))
        clearing = settle_first(orders)
        traded = {name: [0, 0] for name in views}
        for order, award in zip(orders, clearing.awards, strict=True):
            mine = traded[order.owner.decode()]
            mine[0] += award.energy_milli_wh
            mine[1] += award.amount_micro
        half = clearing.buyer_price_half_micro_per_kwh
        second = self._respond(views, traded, half)
        for player in self._players:
            name = player.home.name
            if name in views:
                first = gain_micro(views[name].need, *traded[name])
                gains[name] += first + second[name]
                player.strategy.learn(Outcome(first, second[name]))
        if half is not None:
            self._last_price = half // 2
        return None if half is None else half // 2

    def _respond(
        self, views: Mapping[str, View], traded: Mapping[str, list[int]], half: int | None
    ) -> dict[str, int]:
        """Play the second stage; return each home's gain in it."""
        gains = dict.fromkeys(views, 0)
        if half is None:
            return gains
        response = response_price_half_micro(
            half,
            alpha_percent=ALPHA_PERCENT,
            upstream_price_micro=self._tariffs.retail_micro_per_kwh,
        )
        wanted: list[Order] = []
        given_up: list[Order] = []
        for player in self._players:
            name = player.home.name
            if name not in views or views[name].need.side != BUY:
                continue
            bought = traded[name][0]
            urgent = views[name].need.parts[0].energy_milli_wh
            if bought < urgent:
                rest = Step(urgent - bought, self._tariffs.retail_micro_per_kwh)
                wanted += _orders(player, BUY, [rest], len(wanted))
            step = player.strategy.respond(views[name], Offered(bought, half // 2, response // 2))
            if step is not None:
                given_up += _orders(player, SELL, [step], len(self._players) + len(given_up))
        settled = settle_second(wanted, given_up, response)
        for order, award in zip((*wanted, *given_up), settled.awards, strict=True):
            name, energy = order.owner.decode(), award.energy_milli_wh
            if order.side == SELL:
                gains[name] += award.amount_micro - _worth_of_last(
                    views[name].need, traded[name][0], energy
                )
            else:
                worth = energy * self._tariffs.retail_micro_per_kwh // 1_000_000
                gains[name] += worth - award.amount_micro
        return gains


def _orders(player: Player, side: int, steps: Sequence[Step], first: int) -> list[Order]:
    owner = player.home.name.encode()
    return [
        Order(
            first + place,
            owner,
            side,
            step.energy_milli_wh,
            step.price_micro_per_kwh,
            first + place,
        )
        for place, step in enumerate(steps)
    ]


def _worth_of_last(need: Need, bought_milli_wh: int, energy_milli_wh: int) -> int:
    """Return what the last `energy_milli_wh` of what was bought are worth to their owner."""
    kept = bought_milli_wh - energy_milli_wh
    return worth_micro(need, bought_milli_wh) - worth_micro(need, kept)
