"""The built-in interface `day`: what contracts read of day markets.

Prices, volumes, tariffs and how far settlement is: what a market tells everybody. What a member
ordered, traded or drew is not among it; a member lets contracts read its meter by `readings`.
"""

from __future__ import annotations

from typing import Final

from market.auction.feeder import find_bus_number
from market.day.due import next_to_correct, next_to_settle
from market.day.records import DayMarket, load_market, load_market_at
from market.day.results import load_bus_price, load_result
from vm.context import CallContext
from vm.contract.interfaces import Signature
from vm.contract.value_types import BOOL, INT, STR, ValueType, tuple_of
from vm.module import ContractMethod, Interfaces
from vm.primitives.codec import Encodable
from vm.primitives.errors import CallError
from vm.primitives.integers import MAX_AMOUNT

NONE: Final = -1

_MARKET: Final = ("market", STR)
_INTERVAL: Final = (_MARKET, ("interval", INT))
_GATE: Final = (*_INTERVAL, ("gate", INT))


def day_interfaces() -> Interfaces:
    """Return the interface."""

    def look(result: ValueType, *parameters: tuple[str, ValueType]) -> Signature:
        return Signature(parameters, result, is_view=True)

    figures, tariffs = tuple_of(INT, INT, INT, INT), tuple_of(INT, INT, INT)
    return {
        "day": {
            "interval_of": ContractMethod(look(INT, _MARKET, ("time_ms", INT)), _interval_of),
            "start_ms": ContractMethod(look(INT, *_INTERVAL), _start_ms),
            "gates": ContractMethod(look(INT, _MARKET), _gates),
            "result": ContractMethod(look(figures, *_GATE), _result),
            "price": ContractMethod(look(INT, *_GATE, ("bus", STR)), _price),
            "tariffs": ContractMethod(look(tariffs, *_INTERVAL), _tariffs),
            "is_settled": ContractMethod(look(BOOL, *_INTERVAL), _is_settled),
            "is_final": ContractMethod(look(BOOL, *_INTERVAL), _is_final),
        }
    }


def _interval_of(ctx: CallContext, market: str, time_ms: int) -> Encodable:
    """Return the delivery interval at a time."""
    return load_market(ctx, market).calendar.interval_at(_validated(time_ms))


def _start_ms(ctx: CallContext, market: str, interval: int) -> Encodable:
    """Return when an interval begins."""
    return load_market(ctx, market).calendar.start_ms(_validated(interval))


def _gates(ctx: CallContext, market: str) -> Encodable:
    """Return how many gates an interval passes."""
    return len(load_market(ctx, market).calendar.gates)


def _result(ctx: CallContext, market: str, interval: int, gate: int) -> Encodable:
    """Return volume, what it came to, and what buyers paid and sellers got per kWh, all or none.

    -1 stands for a volume before the clearing, of a gate at which nothing stood, or forgotten
    since, and for a price that there is not: nothing traded, each pair has its own, or each bus.
    """
    found = load_result(ctx, _with_gate(ctx, market, gate), _validated(interval), gate)
    if found is None:
        return NONE, NONE, NONE, NONE
    prices = found.buyer_price_half_micro_per_kwh, found.seller_price_half_micro_per_kwh
    told = [NONE if price is None else price for price in prices]
    return (found.volume_milli_wh, found.paid_micro, *told)


def _price(ctx: CallContext, market: str, interval: int, gate: int, bus: str) -> Encodable:
    """Return the price at a bus, in half micro-tokens per kWh; -1 if there is none."""
    found = _with_gate(ctx, market, gate)
    number = find_bus_number(ctx, found.feeder, bus) if found.feeder else 0
    if not number:
        raise CallError("unknown_bus", "the market's feeder has no such bus", actual=bus)
    price = load_bus_price(ctx, found, _validated(interval), gate, number)
    return NONE if price is None else price


def _tariffs(ctx: CallContext, market: str, interval: int) -> Encodable:
    """Return retail, feed-in and penalty of an interval, micro-tokens per kWh."""
    found = load_market_at(ctx, market, _validated(interval))
    return (
        found.retail_micro_per_kwh,
        found.feed_in_micro_per_kwh,
        found.penalty_micro_per_kwh,
    )


def _is_settled(ctx: CallContext, market: str, interval: int) -> Encodable:
    """Tell whether an interval is settled; corrections may follow."""
    following = next_to_settle(ctx, load_market(ctx, market))
    return following is not None and _validated(interval) < following


def _is_final(ctx: CallContext, market: str, interval: int) -> Encodable:
    """Tell whether an interval is corrected too, so that nothing of it changes any more."""
    return _validated(interval) < next_to_correct(ctx, load_market(ctx, market))


def _with_gate(ctx: CallContext, market: str, gate: int) -> DayMarket:
    found = load_market(ctx, market)
    if not 0 <= gate < len(found.calendar.gates):
        raise CallError(
            "unknown_gate",
            "the market has no such gate",
            expected=f"0 to {len(found.calendar.gates) - 1}",
            actual=gate,
        )
    return found


def _validated(number: int) -> int:
    if not 0 <= number <= MAX_AMOUNT:
        raise CallError(
            "invalid_arguments",
            "this is no time and no interval",
            expected=f"0 to {MAX_AMOUNT}",
            actual=number,
        )
    return number
