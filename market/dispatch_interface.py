"""The built-in interface `dispatch`: what contracts read of dispatch rounds."""

from __future__ import annotations

from typing import Final

from market.dispatch_results import load_price, load_round
from market.dispatch_rounds import load_area
from market.records import BUS_NAME_SPACE, decode_market, market_key
from vm.context import CallContext
from vm.contract.interfaces import Signature
from vm.contract.value_types import BYTES, INT, STR
from vm.module import ContractMethod, Interfaces
from vm.primitives.codec import Encodable, encode_integer
from vm.primitives.errors import CallError
from vm.primitives.integers import divide_half_even

WH_PER_KWH: Final = 1_000
PRICE_SCALE: Final = 10**24
_PLACE: Final = (("round", INT), ("bus", STR), ("interval", INT))


def dispatch_interfaces() -> Interfaces:
    """Return the interface `dispatch`: views of rounds that are closed."""
    return {
        "dispatch": {
            "price_micro_per_kwh": ContractMethod(Signature(_PLACE, INT, is_view=True), _price),
            "exact_price": ContractMethod(Signature(_PLACE, BYTES, is_view=True), _exact_price),
            "status": ContractMethod(Signature((("round", INT),), INT, is_view=True), _status),
        }
    }


def _price(ctx: CallContext, number: int, bus: str, interval: int) -> Encodable:
    """The nodal price of a bus in micro-tokens per kWh, rounded once, halves to even."""
    area = load_area(ctx, load_round(ctx, number).area)
    price = _load(ctx, number, bus, interval)
    return divide_half_even(price * WH_PER_KWH * area.micro_per_dollar, PRICE_SCALE)


def _exact_price(ctx: CallContext, number: int, bus: str, interval: int) -> Encodable:
    """The nodal price of a bus in 1e-24 $/Wh, as two's complement."""
    return encode_integer(_load(ctx, number, bus, interval))


def _status(ctx: CallContext, number: int) -> Encodable:
    """How a round stands: 0 open, 1 proved, 2 clearing, 3 fallen back."""
    return load_round(ctx, number).status


def _load(ctx: CallContext, number: int, bus: str, interval: int) -> int:
    """Return a price by the name of its bus; raises CallError."""
    area = load_area(ctx, load_round(ctx, number).area)
    market = ctx.get(market_key(area.market))
    place = (
        None
        if market is None
        else ctx.get(BUS_NAME_SPACE + decode_market(market).prefix + bus.encode())
    )
    if place is None:
        raise CallError("unknown_bus", "the round's network has no such bus", actual=bus)
    # The market numbers its buses from 1, in the order in which the problem has them.
    return load_price(ctx, number, int.from_bytes(place, "big") - 1, interval)
