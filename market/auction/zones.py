"""The uniform-price auction by zones: one price on each side of a line of the feeder that binds.

On a radial feeder the energy that a bus and all behind it would export at a price is a rising step
function of that price; a line to the parent clamps it to its capacity. At the slack bus the exports
have to add up to nothing, which gives a price there; where a line is not at its capacity the price
behind it is the same, and where it is, the part behind it is cleared on its own for just that
export. A zone's price is the middle of what clears it, as in the auction without a network.
Prices and flows found so satisfy the optimality conditions of the greatest welfare under the lines'
capacities: nobody waits whom its bus's price would leave better off, and prices differ only across
lines that are full, rising in the direction of flow. The rent of full lines is in the surplus.

Among the clearings of the greatest welfare it is one of the greatest volume. What bids and offers
at the very price of a zone trade with each other brings no welfare, but saves both the supplier. At
that price a part of the feeder serves as many bids as its lines let it from its least export up to
its middle one, and each milliwatt-hour beyond takes one from a bid: volume is concave in exports.
So the parts of a zone share an export up to their middles first, and only then what lies beyond.

In a radial network the flow of a line is all that is injected behind it, whatever the reactances.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from market.auction.clearing import HALF_PRICES_PER_AMOUNT, Award
from market.auction.crossing import share_pro_rata
from market.auction.orders import BUY, Order
from market.network import Network, Place, line_capacity_milli_wh, orient
from vm.primitives.errors import CallError
from vm.primitives.integers import divide_up

NO_PRICE: Final = 2**63
"""Above every price."""

_Reach = tuple[list[int], list[int], list[int]]
"""For each bus the least export of what is behind it, the greatest that takes nothing from bids at
the price (the middle one), and the greatest."""


@dataclass(frozen=True, slots=True)
class ZonalClearing:
    """The result of an auction by zones."""

    awards: tuple[Award, ...]
    """One for each order, in the order of the book."""
    prices_half_micro_per_kwh: tuple[int | None, ...]
    """Price at each bus, in the network's order; None where nothing trades in its zone."""
    flows_milli_wh: tuple[int, ...]
    """Flow of each line, positive from its first bus, in the network's order."""
    volume_milli_wh: int
    """Energy traded."""
    surplus_micro: int
    """What the market's account keeps: the rent of full lines and fractions; at least 0."""
    welfare_pico: int
    """Bids' prices less offers' prices over the traded energy, in 1e-12 tokens, exact."""


def clear_zones(
    orders: Sequence[Order],
    buses: Mapping[int, str],
    network: Network,
    *,
    interval_minutes: int,
    carried_milli_wh: Sequence[int] = (),
) -> ZonalClearing:
    """Clear a book over a radial network that was checked; `buses` has each order's bus.

    `carried_milli_wh` is what the lines carry already, by earlier clearings of the interval; empty
    for nothing. Flows of this clearing come on top, and may undo it. Orders at the price of their
    zone share pro rata. Raises CallError `not_connected`.
    """
    carried = carried_milli_wh or [0] * len(network.lines)
    feeder = _Feeder(network, interval_minutes, orders, buses, carried)
    feeder.clear()
    prices: list[int | None] = [None] * len(network.buses)
    flows = [0] * len(network.lines)
    for rank, (number, place) in enumerate(zip(feeder.numbers, feeder.places, strict=True)):
        prices[number] = feeder.labels[rank]
        if place.direction:
            flows[place.line] = feeder.exports[rank] * place.direction
    return _conclude(orders, feeder, prices, flows)


class _Bus:
    """The orders at one bus, by price."""

    __slots__ = ("_bid_prices", "_bids", "_demand", "_offer_prices", "_offers", "_supply")

    def __init__(self, orders: Sequence[Order]) -> None:
        ranked = sorted(orders, key=lambda order: (order.price_micro_per_kwh, order.priority))
        self._bids = [order for order in ranked if order.side == BUY]
        self._offers = [order for order in ranked if order.side != BUY]
        self._bid_prices = [order.price_micro_per_kwh for order in self._bids]
        self._offer_prices = [order.price_micro_per_kwh for order in self._offers]
        self._demand = [0, *accumulate([order.energy_milli_wh for order in self._bids])]
        self._supply = [0, *accumulate([order.energy_milli_wh for order in self._offers])]

    def amounts(self, price: int) -> tuple[int, int, int, int]:
        """Return supply below a price, supply at it, demand above it, and demand at it."""
        first = self._supply[bisect_left(self._offer_prices, price)]
        last = self._supply[bisect_right(self._offer_prices, price)]
        low = self._demand[bisect_left(self._bid_prices, price)]
        high = self._demand[bisect_right(self._bid_prices, price)]
        return first, last - first, self._demand[-1] - high, high - low

    def numbers(self) -> list[int]:
        """Return the numbers of its orders."""
        return [order.number for order in (*self._bids, *self._offers)]

    def fill(self, price: int, export: int, energies: dict[int, int]) -> int:
        """Set what each order trades when the bus exports so much of its own at a price.

        Returns what they trade together.
        """
        supply, more_supply, demand, more_demand = self.amounts(price)
        needed = export - supply + demand
        bought = min(more_demand, more_supply - needed)
        first, last = (cut(self._offer_prices, price) for cut in (bisect_left, bisect_right))
        low, high = (cut(self._bid_prices, price) for cut in (bisect_left, bisect_right))
        for order in (*self._offers[:first], *self._bids[high:]):
            energies[order.number] = order.energy_milli_wh
        for level, total in (
            (self._offers[first:last], needed + bought),
            (self._bids[low:high], bought),
        ):
            shares = share_pro_rata([order.energy_milli_wh for order in level], total)
            for order, share in zip(level, shares, strict=True):
                energies[order.number] = share
        return supply + demand + needed + 2 * bought

    def highest(self, price: int, export: int) -> int:
        """Return the highest price at which these fills stay as they are; NO_PRICE for no bound."""
        supply, more_supply, demand, _ = self.amounts(price)
        if export < supply + more_supply - demand:
            return price
        offer = bisect_right(self._offer_prices, price)
        bid = bisect_right(self._bid_prices, price)
        return min(
            [*self._offer_prices[offer : offer + 1], *self._bid_prices[bid : bid + 1], NO_PRICE]
        )


class _Feeder:
    """A radial network by rank: every bus stands before what is behind it, which adjoins it."""

    def __init__(
        self,
        network: Network,
        interval_minutes: int,
        orders: Sequence[Order],
        buses: Mapping[int, str],
        carried_milli_wh: Sequence[int],
    ) -> None:
        places = orient(network)
        behind: list[list[int]] = [[] for _ in places]
        for number, place in enumerate(places):
            if place.direction:
                behind[place.parent].append(number)
        self.numbers: list[int] = []
        stack = [number for number, place in enumerate(places) if not place.direction]
        while stack:
            number = stack.pop()
            self.numbers.append(number)
            stack += behind[number]
        ranks = {number: rank for rank, number in enumerate(self.numbers)}
        self.places = [places[number] for number in self.numbers]
        self.children = [[ranks[child] for child in behind[number]] for number in self.numbers]
        self.bounds = [
            _export_bounds(network, place, interval_minutes, carried_milli_wh)
            for place in self.places
        ]
        self.ends = list(range(1, len(places) + 1))
        for rank in range(len(places) - 1, 0, -1):
            parent = ranks[self.places[rank].parent]
            self.ends[parent] = max(self.ends[parent], self.ends[rank])
        names = {network.buses[number].name: rank for rank, number in enumerate(self.numbers)}
        placed: list[list[Order]] = [[] for _ in places]
        for order in orders:
            rank = names.get(buses.get(order.number, ""), -1)
            if rank < 0:
                raise CallError(
                    "not_connected",
                    "an order is not at a bus of the network",
                    expected="a bus of the network",
                    actual=buses.get(order.number, "no bus"),
                )
            placed[rank].append(order)
        self.own = [_Bus(each) for each in placed]
        self.candidates = sorted(dict.fromkeys([order.price_micro_per_kwh for order in orders]))
        self.energies: dict[int, int] = {}
        self.labels: list[int | None] = [None] * len(places)
        self.exports = [0] * len(places)

    def clear(self) -> None:
        """Clear zone by zone, from the slack bus on."""
        zones = [(0, 0, self._price_place(0, 0))] if self.candidates else []
        while zones:
            zones += self._clear_zone(*zones.pop())

    def _clear_zone(self, root: int, target: int, place: int) -> list[tuple[int, int, int]]:
        """Clear what is behind `root` for an export to its parent; return the zones behind it.

        `place` is that of the zone's price among the candidates.
        """
        price = self.candidates[place]
        lows, middles, highs = self._reach(root, price)
        above: list[int] = []
        zones: list[tuple[int, int, int]] = []
        targets = {root: target}
        members: list[int] = []
        traded = 0
        rank = root
        while rank < self.ends[root]:
            if rank not in targets:
                rank = self.ends[rank]
                continue
            members.append(rank)
            self.exports[rank] = targets[rank]
            parts = self._share(rank, price, targets[rank], root, (lows, middles, highs))
            own = self.own[rank]
            traded += own.fill(price, parts[0], self.energies)
            above.append(own.highest(price, parts[0]))
            for child, part in zip(self.children[rank], parts[1:], strict=True):
                if lows[child - root] <= part <= highs[child - root]:
                    targets[child] = part
                else:
                    behind = self._price_place(child, part)
                    zones.append((child, part, behind))
                    # Where more would flow there, the price is not above the one behind the line.
                    wants_more = highs[child - root] < part
                    above.append(max(price, self.candidates[behind]) if wants_more else NO_PRICE)
            rank += 1
        high = min(above)
        if traded:
            for rank in members:
                self.labels[rank] = price + (price if high == NO_PRICE else high)
        return zones

    def _price_place(self, root: int, target: int) -> int:
        """Return the place of the lowest price at which what is behind `root` exports `target`."""
        low, high = 0, len(self.candidates) - 1
        while low < high:
            middle = (low + high) // 2
            if self._most(root, self.candidates[middle]) >= target:
                high = middle
            else:
                low = middle + 1
        return low

    def _most(self, root: int, price: int) -> int:
        """Return the greatest export of what is behind `root` at a price."""
        highs: list[int] = []
        for own in self.own[root : self.ends[root]]:
            supply, more_supply, demand, _ = own.amounts(price)
            highs.append(supply + more_supply - demand)
        for rank in range(self.ends[root] - 1, root - 1, -1):
            for child in self.children[rank]:
                highs[rank - root] += _clamp(highs[child - root], self.bounds[child])
        return highs[0]

    def _reach(self, root: int, price: int) -> _Reach:
        """Return what each bus behind `root` can export at a price, lines not yet clamping it."""
        lows: list[int] = []
        middles: list[int] = []
        highs: list[int] = []
        for own in self.own[root : self.ends[root]]:
            supply, more_supply, demand, more_demand = own.amounts(price)
            lows.append(supply - demand - more_demand)
            middles.append(supply - demand - more_demand + more_supply)
            highs.append(supply - demand + more_supply)
        for rank in range(self.ends[root] - 1, root - 1, -1):
            for child in self.children[rank]:
                bounds = self.bounds[child]
                lows[rank - root] += _clamp(lows[child - root], bounds)
                middles[rank - root] += _clamp(middles[child - root], bounds)
                highs[rank - root] += _clamp(highs[child - root], bounds)
        return lows, middles, highs

    def _share(self, rank: int, price: int, target: int, root: int, reach: _Reach) -> list[int]:
        """Return what a bus itself and each of its children contribute to an export.

        Parts grow pro rata from their least exports to their middle ones, then to their greatest.
        """
        supply, more_supply, demand, more_demand = self.own[rank].amounts(price)
        parts = [supply - demand - more_demand]
        to_middle, beyond = [more_supply], [more_demand]
        for child in self.children[rank]:
            low, middle, high = (_clamp(of[child - root], self.bounds[child]) for of in reach)
            parts.append(low)
            to_middle.append(middle - low)
            beyond.append(high - middle)
        left = target - sum(parts)
        for room in (to_middle, beyond):
            places = [place for place, each in enumerate(room) if each]
            growth = min(left, sum(room))
            shares = share_pro_rata([room[place] for place in places], growth)
            for place, share in zip(places, shares, strict=True):
                parts[place] += share
            left -= growth
        return parts


def _export_bounds(
    network: Network, place: Place, interval_minutes: int, carried_milli_wh: Sequence[int]
) -> tuple[int, int] | None:
    """Return the least and the greatest export over a bus's line to its parent; None for no limit.

    No clearing has to undo what is carried, even where the rating has fallen below it since.
    """
    if not place.direction:
        return None
    rating_w = network.lines[place.line].rating_w
    if rating_w is None:
        return None
    capacity = line_capacity_milli_wh(rating_w, interval_minutes)
    exported = carried_milli_wh[place.line] * place.direction
    return min(0, -capacity - exported), max(0, capacity - exported)


def _clamp(energy: int, bounds: tuple[int, int] | None) -> int:
    return energy if bounds is None else max(bounds[0], min(energy, bounds[1]))


def _conclude(
    orders: Sequence[Order],
    feeder: _Feeder,
    prices: Sequence[int | None],
    flows: Sequence[int],
) -> ZonalClearing:
    price_of: dict[int, int] = {}
    for rank, own in enumerate(feeder.own):
        label = feeder.labels[rank]
        for number in own.numbers():
            price_of[number] = label or 0
    awards: list[Award] = []
    surplus = volume = welfare = 0
    for order in orders:
        energy = feeder.energies.get(order.number, 0)
        value = energy * price_of[order.number]
        sign = 1 if order.side == BUY else -1
        amount = (
            divide_up(value, HALF_PRICES_PER_AMOUNT)
            if order.side == BUY
            else value // HALF_PRICES_PER_AMOUNT
        )
        surplus += sign * amount
        welfare += sign * energy * order.price_micro_per_kwh
        volume += energy if order.side == BUY else 0
        left = order.energy_milli_wh - energy
        awards.append(Award(order.number, energy, left, amount, value))
    return ZonalClearing(tuple(awards), tuple(prices), tuple(flows), volume, surplus, welfare)
