"""The feeder of an auction that clears by zones: that of a posted market, and where members are."""

from __future__ import annotations

from typing import Final

from market.network import Bus, Line, Network
from market.records import (
    BUS_NAME_SPACE,
    MARKET_SPACE,
    bus_key,
    decode_bus,
    decode_line,
    decode_market,
    line_key,
)
from vm.context import CallContext
from vm.primitives.errors import CallError, InvariantViolation
from vm.system.members import load_member

MAX_BUSES: Final = 100
"""Buses of a feeder that an auction clears by zones: a zone may cost a pass over all of them."""
GAS_OF_BUS: Final = 2_000
"""For clearing over each bus, beside what is read of it."""


def load_feeder(ctx: CallContext, market: str) -> Network:
    """Return the network of a market, its lines with the ratings they have now."""
    prefix, buses, lines = _sizes(ctx, market)
    ctx.charge(GAS_OF_BUS * buses)
    found = [decode_bus(_get(ctx, bus_key(prefix, number))) for number in range(1, buses + 1)]
    names = [bus.name for bus in found]
    slack = next(bus.name for bus in found if not bus.parent)
    rated: list[Line] = []
    for number in range(1, lines + 1):
        line = decode_line(_get(ctx, line_key(prefix, number)))
        ends = (names[line.from_bus - 1], names[line.to_bus - 1])
        rated.append(Line(line.name, *ends, line.rating_w, line.reactance_nano_ohm, ""))
    return Network(slack, tuple([Bus(name) for name in names]), tuple(rated))


def find_bus(ctx: CallContext, market: str, account: bytes) -> str:
    """Return the bus of the feeder at which a member is; empty if it is at none."""
    bus = load_member(ctx, account).bus
    return bus if bus and find_bus_number(ctx, market, bus) else ""


def find_bus_number(ctx: CallContext, market: str, bus: str) -> int:
    """Return the number of a bus in a market's network, from 1 in its order; 0 if it has none."""
    prefix, _, _ = _sizes(ctx, market)
    return int.from_bytes(ctx.get(BUS_NAME_SPACE + prefix + bus.encode()) or b"", "big")


def validate_connected(ctx: CallContext, market: str) -> None:
    """Raise CallError `not_connected` unless the caller is at a bus of the feeder, if any."""
    if market and not find_bus(ctx, market, ctx.caller):
        raise CallError(
            "not_connected",
            "the member is not connected to the auction's network",
            expected="a bus of the network",
            hint="An operator or the DSO records the connection with members.set_bus.",
        )


def count_buses(ctx: CallContext, market: str) -> int:
    """Return the number of buses of a market's network; 0 without one, or one that is meshed."""
    data = ctx.get(MARKET_SPACE + market.encode())
    if data is None:
        return 0
    found = decode_market(data)
    return 0 if found.lines >= found.buses else found.buses


def _sizes(ctx: CallContext, market: str) -> tuple[bytes, int, int]:
    found = decode_market(_get(ctx, MARKET_SPACE + market.encode()))
    return found.prefix, found.buses, found.lines


def _get(ctx: CallContext, key: bytes) -> bytes:
    data = ctx.get(key)
    if data is None:
        raise InvariantViolation(f"an auction's network lost {key.hex()}")
    return data
