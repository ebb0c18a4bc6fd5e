"""Prices where no proof came in time: the last proved ones, or uniform clearing by merit order.

Uniform clearing ignores the network: it is the least price at which the units' offers cover their
demand, found by halving the range of prices. It needs no solver and cannot fail, but it binds
nobody to a dispatch: a fallback has prices and no powers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from market.dispatch_problem import MAX_PRICE, Bid, DispatchProblem

GAS_STEP_OF_UNIT: Final = 4
"""One unit's injection at one price."""
STEPS: Final = MAX_PRICE.bit_length() + 2
"""Halvings from the whole range of prices to one price."""


def clearing_gas(problem: DispatchProblem) -> int:
    """Return what clearing one interval of a problem costs."""
    return GAS_STEP_OF_UNIT * STEPS * (len(problem.units) + 1)


def uniform_price(problem: DispatchProblem, interval: int) -> int:
    """Return the least price at which one interval's units together inject at least nothing.

    1e-24 $/Wh; storages stand still. MAX_PRICE where must-serve loads pass what there is.
    """
    bids = [unit.bids[interval] for unit in problem.units]
    low, high = -MAX_PRICE, MAX_PRICE
    while low < high:
        middle = (low + high) // 2
        if _injection_w(bids, middle) >= 0:
            high = middle
        else:
            low = middle + 1
    return low


def _injection_w(bids: Sequence[Bid], price: int) -> int:
    """Return what all units inject at a price, whole watts, each rounded down."""
    total = 0
    for bid in bids:
        margin = price - bid.b
        if margin < bid.a * bid.lo_w:
            total += bid.lo_w
        elif margin >= bid.a * bid.hi_w:
            total += bid.hi_w
        else:
            total += margin // bid.a
    return total
