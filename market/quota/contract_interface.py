"""The built-in interface `quota`: what contracts read of charging quotas."""

from __future__ import annotations

from typing import Final

from market.meters.readings import may_read
from market.meters.records import load_config
from market.quota.records import decode_round, decode_station, round_key, station_key
from vm.context import CallContext
from vm.contract.interfaces import Signature
from vm.contract.value_types import ADDRESS, INT, tuple_of
from vm.module import ContractMethod, Interfaces
from vm.primitives.codec import Encodable

NONE: Final = -1

_ROUND: Final = ("round", INT)


def quota_interfaces() -> Interfaces:
    """Return the interface."""
    three = tuple_of(INT, INT, INT)
    round_of = Signature((_ROUND,), three, is_view=True)
    station = Signature((_ROUND, ("station", ADDRESS)), three, is_view=True)
    return {
        "quota": {
            "round_of": ContractMethod(round_of, _round_of),
            "station": ContractMethod(station, _station),
        }
    }


def _round_of(ctx: CallContext, number: int) -> Encodable:
    """Return stage (0 demand, 1 trade, 2 delivery, 3 settled), capacity and demand in watts.

    The stage is -1 where there is no such round.
    """
    data = ctx.get(round_key(number)) if number >= 0 else None
    if data is None:
        return NONE, 0, 0
    found = decode_round(data)
    return found.stage, found.capacity_w, found.demand_w


def _station(ctx: CallContext, number: int, account: bytes) -> Encodable:
    """Return demand and quota in watts, and what the station charged, -1 before its reading.

    The demand is -1 where the station has none in the round. What meters of the network showed is
    -1 to a contract that the station does not let read its energies.
    """
    data = ctx.get(station_key(number, account)) if number >= 0 else None
    if data is None:
        return NONE, 0, NONE
    found = decode_station(data)
    measured = found.measured_milli_wh
    if measured is None or (
        load_config(ctx) is not None and not may_read(ctx, account, ctx.caller)
    ):
        measured = NONE
    return found.demand_w, found.quota_w, measured
