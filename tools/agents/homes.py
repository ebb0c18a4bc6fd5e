"""Homes: who lives behind a meter, what a kilowatt-hour is worth to them, and what the meter reads.

A home draws a profile of load and may have a plant. What it needs beyond its plant it buys, what is
left over it sells. Part of its load can wait for another day, and is worth its owner less than the
retail price now; part of its surplus could be stored for its own use later, and is worth its owner
more than the feed-in price. So every home has true prices of its own between the two tariffs, and
trade among homes has something to find.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from market.auction.orders import BUY, SELL, Step
from tools.agents.profiles import ProfileSet

SLOT_MINUTES: Final = 15
MILLI_WH_PER_W_SLOT: Final = 250
"""One watt for a quarter of an hour, in milliwatt-hours."""
PLANT_PERCENT: Final = 30
"""Homes of a hundred that have a plant."""
PLANT_KWP: Final = (2, 5)
SCALE_PERCENT: Final = (70, 130)
"""How a home's load compares with the profile of its kind."""
FLEXIBLE_PERCENT: Final = (10, 40)
STORABLE_PERCENT: Final = (20, 50)
PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class Tariffs:
    """The upstream supplier's prices, which bound the local ones."""

    retail_micro_per_kwh: int
    """What a kilowatt-hour from upstream costs."""
    feed_in_micro_per_kwh: int
    """What upstream pays for one."""

    def bound(self, price_micro_per_kwh: int) -> int:
        """Return the price, or the tariff beyond which it is: nobody needs to trade there."""
        least = max(price_micro_per_kwh, self.feed_in_micro_per_kwh)
        return min(least, self.retail_micro_per_kwh)


@dataclass(frozen=True, slots=True)
class Need:
    """What a home wants to trade in one interval, at its true prices."""

    side: int
    """BUY or SELL."""
    parts: tuple[Step, ...]
    """Energy and true price per kWh, the most urgent first; empty if there is nothing to trade."""

    @property
    def energy_milli_wh(self) -> int:
        """All of it."""
        return sum(part.energy_milli_wh for part in self.parts)

    def as_one(self) -> Need:
        """Return the same need at one price: what it is worth on average, rounded down."""
        if len(self.parts) < 2:
            return self
        worth = sum(energy * price for energy, price in self.parts)
        return Need(self.side, (Step(self.energy_milli_wh, worth // self.energy_milli_wh),))


@dataclass(frozen=True, slots=True)
class Flow:
    """What passes a home's meter in one interval, milliwatt-hours."""

    withdrawn_milli_wh: int
    """From the grid into the home."""
    injected_milli_wh: int
    """From the home into the grid."""
    error_milli_wh: int
    """How far that is from the forecast: what was withdrawn more, or injected less."""


@dataclass(frozen=True, slots=True)
class Home:
    """A home's forecast for a day, and its owner's true prices."""

    name: str
    """Name of the member."""
    load_w: tuple[int, ...]
    """Forecast load by quarter of an hour."""
    plant_w: tuple[int, ...]
    """Forecast power of its plant; zeros without one."""
    flexible_percent: int
    """Share of what it buys that can wait."""
    flexible_price_micro_per_kwh: int
    """What that part is worth to it now."""
    storable_percent: int
    """Share of what it sells that it could store."""
    storable_price_micro_per_kwh: int
    """What that part is worth to it later."""

    def need(
        self, first_slot: int, slots: int, tariffs: Tariffs, *, margin_percent: int = 0
    ) -> Need:
        """Return what it wants to trade in an interval of `slots` quarters of an hour.

        It keeps away from what its forecast says by a margin, in percent of load and plant: so far
        as the forecast may err, it sells nothing that it will not have, and buys nothing that it
        will not use.
        """
        load, plant = self._forecast(first_slot, slots)
        margin = self.error_milli_wh(first_slot, slots, margin_percent)
        if load >= plant:
            energy = max(0, load - plant - margin)
            some = _share(energy, self.flexible_percent)
            prices = tariffs.retail_micro_per_kwh, tariffs.bound(self.flexible_price_micro_per_kwh)
            return Need(BUY, _parts(energy - some, some, prices))
        energy = max(0, plant - load - margin)
        some = _share(energy, self.storable_percent)
        prices = tariffs.feed_in_micro_per_kwh, tariffs.bound(self.storable_price_micro_per_kwh)
        return Need(SELL, _parts(energy - some, some, prices))

    def flow(
        self,
        first_slot: int,
        slots: int,
        *,
        traded_milli_wh: int,
        need: Need,
        error_percent: int,
        random: Random,
    ) -> Flow:
        """Return what its meter reads: the forecast with an error, as the trade went.

        What can wait and was not bought is not drawn; what can be stored and was not sold is not
        injected.
        """
        load, plant = self._forecast(first_slot, slots)
        optional = need.parts[1].energy_milli_wh if len(need.parts) > 1 else 0
        kept_back = min(optional, max(0, need.energy_milli_wh - traded_milli_wh))
        most = self.error_milli_wh(first_slot, slots, error_percent)
        error = random.randint(-most, most)
        net = load - plant + error + (-kept_back if need.side == BUY else kept_back)
        return Flow(max(0, net), max(0, -net), error)

    def error_milli_wh(self, first_slot: int, slots: int, percent: int) -> int:
        """Return how far a reading is from the forecast at most: `percent` of load and plant."""
        return _share(sum(self._forecast(first_slot, slots)), percent)

    def _forecast(self, first_slot: int, slots: int) -> tuple[int, int]:
        chosen = [(first_slot + offset) % len(self.load_w) for offset in range(slots)]
        load, plant = (
            sum(powers[slot] for slot in chosen) * MILLI_WH_PER_W_SLOT
            for powers in (self.load_w, self.plant_w)
        )
        return load, plant


def draw_homes(profiles: ProfileSet, tariffs: Tariffs, *, count: int, seed: int) -> list[Home]:
    """Return `count` homes of mixed kinds, drawn from `seed`; true prices between the tariffs."""
    random = Random(f"homes {seed}")
    loads, plants = sorted(profiles.loads_w), sorted(profiles.plants_w_per_kwp)
    low, high = tariffs.feed_in_micro_per_kwh, tariffs.retail_micro_per_kwh
    homes: list[Home] = []
    for number in range(count):
        load = profiles.loads_w[random.choice(loads)]
        scale, shift = random.randint(*SCALE_PERCENT), random.randint(-3, 3)
        # Every so many homes: a small neighbourhood has its share of plants too.
        has_plant = (number + 1) * PLANT_PERCENT % PERCENT < PLANT_PERCENT
        kwp = random.randint(*PLANT_KWP) if has_plant else 0
        plant = profiles.plants_w_per_kwp[random.choice(plants)]
        homes.append(
            Home(
                f"H{number + 1}",
                tuple([power * scale // PERCENT for power in load[shift:] + load[:shift]]),
                tuple([power * kwp for power in plant]),
                random.randint(*FLEXIBLE_PERCENT),
                random.randint(low, high),
                random.randint(*STORABLE_PERCENT),
                random.randint(low, high),
            )
        )
    return homes


def gain_micro(need: Need, energy_milli_wh: int, amount_micro: int) -> int:
    """Return what trading `energy_milli_wh` for `amount_micro` brings at the true prices.

    The most urgent parts are traded first.
    """
    worth = worth_micro(need, energy_milli_wh)
    return worth - amount_micro if need.side == BUY else amount_micro - worth


def worth_micro(need: Need, energy_milli_wh: int) -> int:
    """Return what the first `energy_milli_wh` of a need are worth to its owner."""
    left, worth = energy_milli_wh, 0
    for energy, price in need.parts:
        taken = min(left, energy)
        worth += taken * price
        left -= taken
    return worth // 1_000_000


def _share(energy_milli_wh: int, percent: int) -> int:
    return energy_milli_wh * percent // PERCENT


def _parts(first: int, second: int, prices: tuple[int, int]) -> tuple[Step, ...]:
    """Return the parts that hold energy; two at one price are one."""
    if first and second and prices[0] == prices[1]:
        return (Step(first + second, prices[0]),)
    steps = zip((first, second), prices, strict=True)
    return tuple([Step(energy, price) for energy, price in steps if energy])
