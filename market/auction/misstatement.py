"""The penalty that makes a misstated quantity, a split identity or a shill not pay in `huang`.

The mechanism is truthful in price for a trader who states its quantity. Let every price lie
between the feed-in and the retail tariff, and no order be above a greatest energy. Whatever a
member does, it has at most its energy times the difference of the tariffs (docs/auctions.md has
the proof). So a penalty of the greatest energy times that difference, for every account whose meter
does not bear out what it stated, takes all that any misstatement brings.
"""

from __future__ import annotations

from vm.primitives.integers import MILLI_WH_PER_KWH, divide_up

PERCENT = 100


def is_misstated(stated_milli_wh: int, measured_milli_wh: int, tolerance_percent: int) -> bool:
    """Tell whether a meter's reading is further from what was stated than is tolerated.

    What was stated is all energy of the account's orders in the interval, traded or not: what did
    not trade is bought from, or sold to, the upstream supplier. The tolerance is a part of it, so
    that nothing is tolerated of an account that consumes or produces nothing.
    """
    apart = abs(stated_milli_wh - measured_milli_wh)
    return apart * PERCENT > stated_milli_wh * tolerance_percent


def greatest_gain_micro(energy_milli_wh: int, retail_micro: int, feed_in_micro: int) -> int:
    """Return a bound of what an account of this energy can have from one auction.

    Tariffs are in micro-tokens per kWh, the feed-in tariff not above the retail tariff.
    """
    return divide_up(energy_milli_wh * (retail_micro - feed_in_micro), MILLI_WH_PER_KWH)


def penalty_micro(max_energy_milli_wh: int, retail_micro: int, feed_in_micro: int) -> int:
    """Return the penalty of one misstated account: the greatest gain that anybody can have."""
    return greatest_gain_micro(max_energy_milli_wh, retail_micro, feed_in_micro)
