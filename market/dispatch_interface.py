"""The built-in interface `dispatch`: what contracts read of dispatch rounds and their prices."""

from __future__ import annotations

from typing import Final

from market.dispatch_results import load_price, load_round
from market.dispatch_rounds import load_area
from market.records import BUS_NAME_SPACE, decode_market, market_key
from vm.context import CallContext
from vm.contract.interfaces import Signature
from vm.contract.value_types import INT, STR, tuple_of
from vm.module import ContractMethod, Interfaces
from vm.primitives.codec import Encodable, encode_integer
from vm.primitives.errors import CallError
from vm.primitives.integers import divide_half_even

_NUMBER: Final = ("number", INT)
_SMALL: Final = 2**63
WH_PER_KWH: Final = 1_000
PRICE_SCALE: Final = 10**24
"""Nodal prices are in 1e-24 $/Wh."""


def dispatch_interfaces() -> Interfaces:
    """Return the interface."""
    price = Signature((_NUMBER, ("bus", INT), ("interval", INT)), INT, is_view=True)
    in_tokens = Signature((_NUMBER, ("bus", STR), ("interval", INT)), INT, is_view=True)
    round_of = Signature((_NUMBER,), tuple_of(INT, INT, INT), is_view=True)
    return {
        "dispatch": {
            "price": ContractMethod(price, _price),
            "price_micro_per_kwh": ContractMethod(in_tokens, _price_micro_per_kwh),
            "round_of": ContractMethod(round_of, _round_of),
        }
    }


def _price(ctx: CallContext, number: int, bus: int, interval: int) -> Encodable:
    """Return the price at a bus (its place in the problem) in an interval, 1e-24 $/Wh."""
    found = load_price(ctx, _validated(number), bus, interval)
    return found if -_SMALL <= found < _SMALL else encode_integer(found)


def _price_micro_per_kwh(ctx: CallContext, number: int, bus: str, interval: int) -> Encodable:
    """Return the price at a bus, by its name, in micro-tokens per kWh; halves to even."""
    area = load_area(ctx, load_round(ctx, _validated(number)).area)
    market = ctx.get(market_key(area.market))
    prefix = b"" if market is None else decode_market(market).prefix
    place = ctx.get(BUS_NAME_SPACE + prefix + bus.encode())
    if market is None or place is None:
        raise CallError("unknown_bus", "the round's network has no such bus", actual=bus)
    # The market numbers its buses from 1, in the order in which the problem has them.
    price = load_price(ctx, number, int.from_bytes(place, "big") - 1, interval)
    return divide_half_even(price * WH_PER_KWH * area.micro_per_dollar, PRICE_SCALE)


def _round_of(ctx: CallContext, number: int) -> Encodable:
    """Return status (0 open, 1 proved, 2 and 3 fallback), first interval and intervals."""
    found = load_round(ctx, _validated(number))
    return found.status, found.first_interval, found.intervals


def _validated(number: int) -> int:
    if number < 0:
        raise CallError("unknown_round", "there is no such dispatch round", actual=number)
    return number
