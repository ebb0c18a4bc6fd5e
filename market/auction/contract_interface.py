"""The built-in interface `auction`: what contracts read of call auctions and their clearings."""

from __future__ import annotations

from typing import Final

from market.auction.records import load_config, load_result
from vm.context import CallContext
from vm.contract.interfaces import Signature
from vm.contract.value_types import INT, STR, tuple_of
from vm.module import ContractMethod, Interfaces
from vm.primitives.codec import Encodable

NONE: Final = -1

_AUCTION: Final = ("auction", STR)


def auction_interfaces() -> Interfaces:
    """Return the interface."""
    at = Signature((_AUCTION, ("time_ms", INT)), INT, is_view=True)
    result = Signature((_AUCTION, ("interval", INT)), tuple_of(INT, INT, INT), is_view=True)
    return {
        "auction": {
            "interval_of": ContractMethod(at, _interval_of),
            "result": ContractMethod(result, _result),
        }
    }


def _interval_of(ctx: CallContext, auction: str, time_ms: int) -> Encodable:
    """Return the delivery interval at a time."""
    return time_ms // load_config(ctx, auction).interval_ms


def _result(ctx: CallContext, auction: str, interval: int) -> Encodable:
    """Return volume, and what buyers paid and sellers got in half micro-tokens per kWh.

    -1 stands for a volume before the clearing or forgotten since, and for a price that there is
    not: nothing traded, each pair has its own, or each bus.
    """
    found = load_result(ctx, load_config(ctx, auction), interval)
    if found is None:
        return NONE, NONE, NONE
    prices = found.buyer_price_half_micro_per_kwh, found.seller_price_half_micro_per_kwh
    return (found.volume_milli_wh, *[NONE if price is None else price for price in prices])
