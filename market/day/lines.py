"""The lines of a bill: what a member's contracts and readings of one interval come to.

Contracts count net: energy that a member bought and sold again never flowed. What it bought beyond
that is served from its withdrawal first, what it sold from its injection; so local contracts come
first. The rest is between the member and the upstream supplier: consumption beyond contracts and
energy sold but not delivered at the retail tariff, production beyond contracts and energy bought
but not consumed at the feed-in tariff. Who sold and did not deliver pays the penalty too; its buyer
notices nothing.

All values are exact. Contracts are rounded one by one, a purchase up and a sale down, so that what
buyers pay covers what sellers get. The lines of the supplier bring the sum of a member's lines to
the exact sum, rounded up once: so no member pays more than at the tariffs by any fraction.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from market.auction.clearing import HALF_PRICES_PER_AMOUNT
from market.auction.misstatement import is_misstated
from market.day.collateral import has_huang, misstatement_micro
from market.day.records import DayMarket
from vm.primitives.codec import encode_integer, encode_trusted
from vm.primitives.integers import divide_up

BOUGHT: Final = 0
SOLD: Final = 1
RETAIL: Final = 2
SHORTFALL: Final = 3
FEED_IN: Final = 4
UNUSED: Final = 5
TRUED_RETAIL: Final = 6
TRUED_FEED_IN: Final = 7
PENALTY: Final = 8
MISSTATEMENT: Final = 9
KIND_NAMES: Final = (
    "bought",
    "sold",
    "retail",
    "shortfall",
    "feed_in",
    "unused",
    "trued_retail",
    "trued_feed_in",
    "penalty",
    "misstatement",
)
_OF_UPSTREAM: Final = (RETAIL, SHORTFALL, FEED_IN, UNUSED, TRUED_RETAIL, TRUED_FEED_IN)
_OF_PENALTIES: Final = (PENALTY, MISSTATEMENT)

LINE_TYPE: Final = 133
VERSION: Final = 1


class Contracts(NamedTuple):
    """What a member bought, sold and stated of an interval."""

    bought_milli_wh: int
    """Energy that it bought."""
    bought_value: int
    """That energy times its prices, half micro-tokens per kWh times mWh."""
    sold_milli_wh: int
    """Energy that it sold."""
    sold_value: int
    """That energy times its prices."""
    stated_buy_milli_wh: int
    """Energy of its bids."""
    stated_sell_milli_wh: int
    """Energy of its offers."""


class Flow(NamedTuple):
    """What a member's meter tells of an interval."""

    injected_milli_wh: int
    """Energy into the network."""
    withdrawn_milli_wh: int
    """Energy out of the network."""
    quality: int
    """How it is known, as in `market.meters`."""
    trued_injected_milli_wh: int = 0
    """Energy of older intervals, whose readings were final, that the registers showed; signed."""
    trued_withdrawn_milli_wh: int = 0
    """The same for what it withdrew."""


class Line(NamedTuple):
    """One line of a bill."""

    kind: int
    """BOUGHT to MISSTATEMENT."""
    energy_milli_wh: int
    """Its energy; signed in corrections and true-ups."""
    value: int
    """Energy times price before rounding, above 0 where the member pays."""
    amount_micro: int
    """What the member pays, below 0 what it gets."""

    def item(self, market: str, interval: int, part: int, account: bytes) -> bytes:
        """Return what stands for the line in the Merkle tree of its page."""
        return encode_trusted(
            (
                LINE_TYPE,
                VERSION,
                market,
                interval,
                part,
                account,
                self.kind,
                self.energy_milli_wh,
                encode_integer(self.value),
                self.amount_micro,
            )
        )


def settle_member(market: DayMarket, contracts: Contracts, flow: Flow) -> list[Line]:
    """Return the lines of one member and interval, those without energy left out."""
    lines = [
        Line(
            BOUGHT,
            contracts.bought_milli_wh,
            contracts.bought_value,
            divide_up(contracts.bought_value, HALF_PRICES_PER_AMOUNT),
        ),
        Line(
            SOLD,
            contracts.sold_milli_wh,
            -contracts.sold_value,
            -(contracts.sold_value // HALF_PRICES_PER_AMOUNT),
        ),
    ]
    through = min(contracts.bought_milli_wh, contracts.sold_milli_wh)
    used = min(contracts.bought_milli_wh - through, flow.withdrawn_milli_wh)
    delivered = min(contracts.sold_milli_wh - through, flow.injected_milli_wh)
    short = contracts.sold_milli_wh - through - delivered
    retail = 2 * market.retail_micro_per_kwh
    feed_in = -2 * market.feed_in_micro_per_kwh
    exact = contracts.bought_value - contracts.sold_value
    paid = lines[0].amount_micro + lines[1].amount_micro
    for kind, energy, price in (
        (RETAIL, flow.withdrawn_milli_wh - used, retail),
        (SHORTFALL, short, retail),
        (FEED_IN, flow.injected_milli_wh - delivered, feed_in),
        (UNUSED, contracts.bought_milli_wh - through - used, feed_in),
        (TRUED_RETAIL, flow.trued_withdrawn_milli_wh, retail),
        (TRUED_FEED_IN, flow.trued_injected_milli_wh, feed_in),
    ):
        if energy:
            exact += energy * price
            total = divide_up(exact, HALF_PRICES_PER_AMOUNT)
            lines.append(Line(kind, energy, energy * price, total - paid))
            paid = total
    if short:
        value = 2 * short * market.penalty_micro_per_kwh
        lines.append(Line(PENALTY, short, value, divide_up(value, HALF_PRICES_PER_AMOUNT)))
    lines += _misstatement(market, contracts, flow)
    return [line for line in lines if line.energy_milli_wh]


def difference(new: list[Line], old: list[Line]) -> list[Line]:
    """Return the lines that bring what was settled to what should have been, kind by kind."""
    sums: dict[int, tuple[int, int, int]] = {}
    for sign, lines in ((1, new), (-1, old)):
        for kind, energy, value, amount in lines:
            had = sums.get(kind, (0, 0, 0))
            sums[kind] = (had[0] + sign * energy, had[1] + sign * value, had[2] + sign * amount)
    return [Line(kind, *sums[kind]) for kind in sorted(sums) if any(sums[kind])]


def upstream_micro(lines: list[Line]) -> int:
    """Return what the upstream supplier gets of the lines; below 0 what it pays."""
    return sum([line.amount_micro for line in lines if line.kind in _OF_UPSTREAM])


def penalties_micro(lines: list[Line]) -> int:
    """Return the penalties among the lines."""
    return sum([line.amount_micro for line in lines if line.kind in _OF_PENALTIES])


def energies_of_upstream(lines: list[Line]) -> tuple[int, int]:
    """Return what the upstream supplier sells and buys of the lines' energy, milliwatt-hours."""
    sold = bought = 0
    for kind, energy, _, _ in lines:
        if kind in (RETAIL, SHORTFALL, TRUED_RETAIL):
            sold += energy
        elif kind in (FEED_IN, UNUSED, TRUED_FEED_IN):
            bought += energy
    return sold, bought


def _misstatement(market: DayMarket, contracts: Contracts, flow: Flow) -> list[Line]:
    if not has_huang(market):
        return []
    for stated, measured in (
        (contracts.stated_buy_milli_wh, flow.withdrawn_milli_wh),
        (contracts.stated_sell_milli_wh, flow.injected_milli_wh),
    ):
        if stated and is_misstated(stated, measured, market.tolerance_percent):
            amount = misstatement_micro(market)
            value = amount * HALF_PRICES_PER_AMOUNT
            return [Line(MISSTATEMENT, abs(stated - measured), value, amount)]
    return []
