"""The built-in interface `dispatch`: what contracts read of dispatch rounds and their prices."""

from __future__ import annotations

from typing import Final

from market.dispatch_results import load_price, load_round
from vm.context import CallContext
from vm.contract.interfaces import Signature
from vm.contract.value_types import INT, tuple_of
from vm.module import ContractMethod, Interfaces
from vm.primitives.codec import Encodable, encode_integer
from vm.primitives.errors import CallError

_NUMBER: Final = ("number", INT)
_SMALL: Final = 2**63


def dispatch_interfaces() -> Interfaces:
    """Return the interface."""
    price = Signature((_NUMBER, ("bus", INT), ("interval", INT)), INT, is_view=True)
    round_of = Signature((_NUMBER,), tuple_of(INT, INT, INT), is_view=True)
    return {
        "dispatch": {
            "price": ContractMethod(price, _price),
            "round_of": ContractMethod(round_of, _round_of),
        }
    }


def _price(ctx: CallContext, number: int, bus: int, interval: int) -> Encodable:
    """Return the price at a bus (its place in the problem) in an interval, 1e-24 $/Wh."""
    found = load_price(ctx, _validated(number), bus, interval)
    return found if -_SMALL <= found < _SMALL else encode_integer(found)


def _round_of(ctx: CallContext, number: int) -> Encodable:
    """Return status (0 open, 1 proved, 2 and 3 fallback), first interval and intervals."""
    found = load_round(ctx, _validated(number))
    return found.status, found.first_interval, found.intervals


def _validated(number: int) -> int:
    if number < 0:
        raise CallError("unknown_round", "there is no such dispatch round", actual=number)
    return number
