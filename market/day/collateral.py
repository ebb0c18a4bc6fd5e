"""What is set aside for a position, so that its settlement is paid whatever meters tell.

A bid sets its energy aside at the retail price, the most that this energy can cost, from a
neighbour or upstream. An offer sets aside what not delivering would cost: the retail price and the
penalty, less its own price, which the buyer pays at least. Where a gate is `huang`, the penalty of
a misstatement comes on top, once for a member and interval. A commitment sets its cover and its
deposit aside instead of what its order needs.
"""

from __future__ import annotations

from collections.abc import Sequence

from market.auction.clearing import HALF_PRICES_PER_AMOUNT
from market.auction.misstatement import penalty_micro
from market.auction.orders import BUY
from market.auction.records import HUANG
from market.day.records import DayMarket, Position
from vm.primitives.integers import MILLI_WH_PER_KWH, divide_up


def has_huang(market: DayMarket) -> bool:
    """Tell whether a gate is `huang`: then a member is on one side of an interval."""
    return any(gate.mechanism == HUANG for gate in market.calendar.gates)


def misstatement_micro(market: DayMarket) -> int:
    """Return the penalty of an account whose meter does not bear out what it stated."""
    if not has_huang(market):
        return 0
    return penalty_micro(
        market.max_energy_milli_wh, market.retail_micro_per_kwh, market.feed_in_micro_per_kwh
    )


def order_needs_micro(market: DayMarket, side: int, steps: Sequence[tuple[int, int]]) -> int:
    """Return what an order needs for itself, as if it were a position's only one."""
    if side == BUY:
        energy = sum([step[0] for step in steps])
        return divide_up(energy * market.retail_micro_per_kwh, MILLI_WH_PER_KWH)
    return max(0, divide_up(_sale_value(market, 0, steps), MILLI_WH_PER_KWH))


def needs_micro(market: DayMarket, position: Position) -> int:
    """Return the money that a position needs to have set aside."""
    wanted = position.bought_milli_wh
    sale = 2 * _sale_value(market, position.sold_milli_wh, ()) - position.sold_value
    apart = 0
    for order in position.orders:
        if order.commitment:
            apart += order.cover_micro + order.deposit_micro
        elif order.side == BUY:
            wanted += sum([step[0] for step in order.steps])
        else:
            sale += 2 * _sale_value(market, 0, order.steps)
    needed = divide_up(wanted * market.retail_micro_per_kwh, MILLI_WH_PER_KWH)
    needed += max(0, divide_up(sale, HALF_PRICES_PER_AMOUNT)) + apart
    if position.stated_buy_milli_wh or position.stated_sell_milli_wh:
        needed += misstatement_micro(market)
    return needed


def _sale_value(market: DayMarket, sold_milli_wh: int, steps: Sequence[tuple[int, int]]) -> int:
    """Return what not delivering costs, less the prices of the steps, in mWh times price."""
    cost = market.retail_micro_per_kwh + market.penalty_micro_per_kwh
    return sold_milli_wh * cost + sum([energy * (cost - price) for energy, price in steps])
