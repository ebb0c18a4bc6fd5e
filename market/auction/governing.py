"""The parameters of an auction that members may change by a vote, and the check of them together.

They hold for what is placed from then on; an order that stands, and a commitment that is opened
later, keep the rules under which they were placed. Calendar, mechanism and feeder are not among
them: what is scheduled, and what the orders of a book are compared by, rest on these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from market.auction.records import AuctionConfig
from market.auction.section import validate_auction
from market.governed import Bounds, governed_numbers
from vm.primitives.codec import Value
from vm.primitives.errors import CallError, InvalidGenesis
from vm.primitives.integers import MAX_AMOUNT

GOVERNED: Final[Bounds] = {
    "deposit_micro": (0, MAX_AMOUNT),
    "max_energy_milli_wh": (1, MAX_AMOUNT),
    "max_price_micro_per_kwh": (0, MAX_AMOUNT),
    "min_price_micro_per_kwh": (0, MAX_AMOUNT),
}
"""Every name that a proposal may give, with its bounds."""


def changed_config(config: AuctionConfig, values: Mapping[str, Value], buses: int) -> AuctionConfig:
    """Return the auction's next version; raises CallError where parameters do not fit."""
    numbers = governed_numbers(values, GOVERNED, "an auction has")
    changed = replace(config, version=config.version + 1, **numbers)  # type: ignore[arg-type]
    try:
        validate_auction(changed, buses)
    except InvalidGenesis as error:
        raise CallError("invalid_parameters", str(error)) from error
    return changed
