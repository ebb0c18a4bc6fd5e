"""The built-in interface `response`: what contracts read of events of demand response."""

from __future__ import annotations

from typing import Final

from market.response.records import EVENT_SPACE, EventResult, load_result, number_key
from vm.context import CallContext
from vm.contract.interfaces import Signature
from vm.contract.value_types import BOOL, INT, tuple_of
from vm.module import ContractMethod, Interfaces
from vm.primitives.codec import Encodable

_EVENT: Final = ("event", INT)
_NOTHING: Final = EventResult(0, -1, -1, -1)


def response_interfaces() -> Interfaces:
    """Return the interface."""
    is_open = Signature((_EVENT,), BOOL, is_view=True)
    result = Signature((_EVENT,), tuple_of(INT, INT, INT), is_view=True)
    return {
        "response": {
            "is_open": ContractMethod(is_open, _is_open),
            "result": ContractMethod(result, _result),
        }
    }


def _is_open(ctx: CallContext, event: int) -> Encodable:
    """Tell whether an event was called and is not settled."""
    return event >= 0 and ctx.get(number_key(EVENT_SPACE, event)) is not None


def _result(ctx: CallContext, event: int) -> Encodable:
    """Return energy delivered, rewards and penalties of all members.

    Each is -1 before the settlement, or once the event is forgotten.
    """
    found = load_result(ctx, event) or _NOTHING
    return found.delivered_milli_wh, found.rewards_micro, found.penalties_micro
