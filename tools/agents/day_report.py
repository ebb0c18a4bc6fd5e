"""The figures of a market day: of each interval, of each member, and of all.

What the chain told is set beside what the homes' true prices would have made possible: the optimum
is the greatest welfare of the needs that they had, over the same lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from market.auction.orders import BUY, Order
from market.auction.uniform import clear_uniform
from market.auction.zones import clear_zones
from market.network import Network
from tools.agents.channel import Told
from tools.agents.day_template import PENALTY_MICRO_PER_KWH
from tools.agents.homes import worth_micro
from tools.agents.trader import Played, Trader
from tools.client import integer_field
from vm.primitives.integers import divide_up

PERCENT: Final = 100.0
PICO_PER_MICRO: Final = 1_000_000
MILLI_WH_PER_KWH: Final = 1_000_000


@dataclass(slots=True)  # mutable: filled as the chain tells
class IntervalFigures:
    """What happened in one interval."""

    interval: int
    """Its number on the chain's clock."""
    local_time: str
    """When it begins."""
    bids_milli_wh: int = 0
    """Energy of the bids at the first gate."""
    offers_milli_wh: int = 0
    """Energy of the offers at the first gate."""
    volume_milli_wh: int = 0
    """What traded at all gates."""
    bought_micro: int = 0
    """What was paid for that."""
    welfare_micro: int = 0
    """What the trades brought at true prices."""
    optimum_micro: int = 0
    """The most that they could have brought."""
    withdrawn_milli_wh: int = 0
    """What meters read."""
    injected_milli_wh: int = 0
    """What meters read."""
    from_upstream_milli_wh: int = 0
    """What the supplier sold."""
    to_upstream_milli_wh: int = 0
    """What the supplier bought."""
    imbalance_milli_wh: int = 0
    """How far withdrawals less injections are from what was forecast; signed."""
    penalties_micro: int = 0
    """What sellers paid that did not deliver, and who misstated."""
    prices_half_micro: dict[str, int] = field(default_factory=dict)
    """Price of the first gate by bus; of the whole market under the empty name."""
    certificates: int = 0
    """Certificates issued for what plants produced in it, with what they carried."""
    coin_members: int = 0
    """Members whose coins were settled."""
    is_settled: bool = False
    """Whether the first settlement is made."""
    is_final: bool = False
    """Whether the correction is made too."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to come: corrected, and its coins settled."""
        return self.is_final and self.coin_members > 0

    @property
    def price_micro_per_kwh(self) -> int | None:
        """Mean price of what was bought; None if nothing was."""
        if not self.volume_milli_wh:
            return None
        return self.bought_micro * MILLI_WH_PER_KWH // self.volume_milli_wh

    @property
    def efficiency_percent(self) -> float | None:
        """Welfare over the optimum; None where there was nothing to win."""
        if not self.optimum_micro:
            return None
        return round(PERCENT * self.welfare_micro / self.optimum_micro, 2)

    @property
    def local_percent(self) -> float | None:
        """Share of the withdrawals that came from neighbours; None without any."""
        if not self.withdrawn_milli_wh:
            return None
        local = self.withdrawn_milli_wh - self.from_upstream_milli_wh
        return round(PERCENT * local / self.withdrawn_milli_wh, 2)


@dataclass(frozen=True, slots=True)
class MemberFigures:
    """What the day cost one member, beside what it would have cost without the market."""

    name: str
    """The member."""
    strategy: str
    """How its agent bids."""
    withdrawn_milli_wh: int
    """What its meter read."""
    injected_milli_wh: int
    """What its meter read."""
    bill_micro: int
    """What it paid in all; below 0 what it got."""
    tariff_bill_micro: int
    """The same flows at retail and feed-in tariff, each interval rounded up."""
    gain_micro: int
    """What its trades brought at its true prices."""
    coins_micro: int
    """Green-choice coins that it has in the end."""
    departure_micro: int
    """The most that not keeping to its contracts can have cost it, penalties included."""

    @property
    def saved_micro(self) -> int:
        """What the market saved it."""
        return self.tariff_bill_micro - self.bill_micro


class DayRecord:
    """Collects the figures of intervals from what the chain tells."""

    def __init__(self, market: str, intervals: Mapping[int, str], length_ms: int) -> None:
        """Collect for these intervals, each with its local time and `length_ms` long."""
        self._market = market
        self._length_ms = length_ms
        self.intervals = {
            number: IntervalFigures(number, text) for number, text in intervals.items()
        }

    def hear(self, told: Told) -> None:
        """Take in an event."""
        fields = told.fields
        if told.module == "certificates":
            self._hear_certificates(told)
            return
        if told.module != "day" or fields.get("market") != self._market:
            return
        if "interval" not in fields:
            return
        figures = self.intervals.get(integer_field(fields, "interval"))
        if figures is None:
            return
        match told.name:
            case "clear":
                self._clear(figures, fields)
            case "price" if fields.get("gate") == 0:
                price = integer_field(fields, "price_half_micro_per_kwh")
                figures.prices_half_micro[str(fields.get("bus"))] = price
            case "bought":
                figures.bought_micro += integer_field(fields, "amount_micro")
            case "settle":
                self._settle(figures, fields)

    def _hear_certificates(self, told: Told) -> None:
        if told.name == "issue":
            last = integer_field(told.fields, "produced_until_ms") // self._length_ms - 1
            if last in self.intervals:
                self.intervals[last].certificates += integer_field(told.fields, "count")
        elif told.name == "coins":
            figures = self.intervals.get(integer_field(told.fields, "interval"))
            if figures is not None:
                figures.coin_members = integer_field(told.fields, "members")

    def _clear(self, figures: IntervalFigures, fields: Mapping[str, object]) -> None:
        figures.volume_milli_wh += integer_field(fields, "energy_milli_wh")
        if fields.get("gate") == 0:
            figures.bids_milli_wh = integer_field(fields, "bids_milli_wh")
            figures.offers_milli_wh = integer_field(fields, "offers_milli_wh")
            price = fields.get("buyer_price_half_micro_per_kwh")
            if isinstance(price, int):
                figures.prices_half_micro[""] = price

    def _settle(self, figures: IntervalFigures, fields: Mapping[str, object]) -> None:
        figures.withdrawn_milli_wh += integer_field(fields, "withdrawn_milli_wh")
        figures.injected_milli_wh += integer_field(fields, "injected_milli_wh")
        figures.from_upstream_milli_wh += integer_field(fields, "from_upstream_milli_wh")
        figures.to_upstream_milli_wh += integer_field(fields, "to_upstream_milli_wh")
        figures.penalties_micro += integer_field(fields, "penalties_micro")
        figures.is_final = figures.is_settled
        figures.is_settled = True


def add_truth(
    figures: IntervalFigures,
    traders: Sequence[Trader],
    network: Network | None,
    buses: Mapping[str, str],
    minutes: int,
) -> None:
    """Add what only the agents know: welfare, its optimum, and the errors of their forecasts."""
    orders: list[Order] = []
    at: dict[int, str] = {}
    welfare = 0
    for trader in traders:
        played = trader.played.get(figures.interval)
        if played is None:
            continue
        need = played.view.need
        worth = worth_micro(need, played.traded_milli_wh)
        welfare += worth if need.side == BUY else -worth
        if played.flow is not None:
            figures.imbalance_milli_wh += played.flow.error_milli_wh
        for energy, price in need.parts:
            number = len(orders)
            at[number] = buses[trader.home.name]
            orders.append(Order(number, trader.signer.account, need.side, energy, price, number))
    figures.welfare_micro = welfare
    figures.optimum_micro = _optimum_micro(orders, network, at, minutes)


def bill_of(trader: Trader, strategy: str, paid_micro: int, coins_micro: int) -> MemberFigures:
    """Return a member's figures of the day; `paid_micro` is by how much its money fell."""
    flows = [
        (played.flow, played.view.tariffs)
        for played in trader.played.values()
        if played.flow is not None
    ]
    tariff_bill = 0
    for flow, tariffs in flows:
        cost = flow.withdrawn_milli_wh * tariffs.retail_micro_per_kwh
        cost -= flow.injected_milli_wh * tariffs.feed_in_micro_per_kwh
        tariff_bill -= -cost // MILLI_WH_PER_KWH
    return MemberFigures(
        trader.home.name,
        strategy,
        sum(flow.withdrawn_milli_wh for flow, _ in flows),
        sum(flow.injected_milli_wh for flow, _ in flows),
        paid_micro,
        tariff_bill,
        sum(played.gain_micro for played in trader.played.values()),
        coins_micro,
        sum(map(_departure_micro, trader.played.values())),
    )


def _departure_micro(played: Played) -> int:
    """Return the most that a member may pay beyond the tariffs for what it did not keep to.

    What it sold and did not inject it buys at retail and pays the penalty for; what it bought and
    did not draw it sells at the feed-in tariff. Its own prices lay between the tariffs.
    """
    if played.flow is None:
        return 0
    tariffs, bought = played.view.tariffs, played.bought_milli_wh - played.sold_milli_wh
    span = tariffs.retail_micro_per_kwh - tariffs.feed_in_micro_per_kwh
    short = max(0, -bought - played.flow.injected_milli_wh)
    unused = max(0, bought - played.flow.withdrawn_milli_wh)
    return divide_up((short + unused) * span + short * PENALTY_MICRO_PER_KWH, MILLI_WH_PER_KWH)


def _optimum_micro(
    orders: Sequence[Order], network: Network | None, at: Mapping[int, str], minutes: int
) -> int:
    if not orders:
        return 0
    if network is None:
        return clear_uniform(orders).welfare_pico // PICO_PER_MICRO
    found = clear_zones(orders, at, network, interval_minutes=minutes)
    return found.welfare_pico // PICO_PER_MICRO


def full_lines(figures: IntervalFigures, network: Network | None) -> list[str]:
    """Return the lines that bound at the first gate: those whose ends have different prices."""
    prices = figures.prices_half_micro
    return [
        line.name
        for line in (network.lines if network is not None else ())
        if prices.get(line.from_bus) != prices.get(line.to_bus)
    ]
