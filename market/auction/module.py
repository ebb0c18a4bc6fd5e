"""The module of call auctions: place or commit, open, cancel; each interval clears when it is due.

An open auction takes orders until the gate and clears there. A sealed one takes commitments until
the gate, with money and energy set aside to cover them; they are opened within the opening time,
and then it clears. A commitment that is not opened loses its deposit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from market.auction.contract_interface import auction_interfaces
from market.auction.feeder import count_buses, validate_connected
from market.auction.governing import changed_config
from market.auction.orders import SIDE_NAMES, Step
from market.auction.records import (
    AUCTION_SPACE,
    MARK,
    ORDER_SPACE,
    AuctionOrder,
    delete_order,
    encode_leaf,
    load_config,
    load_own_order,
    load_version,
    save_changed_config,
)
from market.auction.rounds import (
    MAX_STEPS_OF_ORDER,
    clear_book,
    enter,
    leave,
    needs_of,
    reveal,
    validate_gate,
    validate_order,
)
from market.auction.section import read_section
from vm.arguments import NAME, UINT63, Argument, ArgumentKind, byte_string
from vm.context import CallContext
from vm.module import Interfaces, Module, Section, method
from vm.overlay import INDEX_SPACE
from vm.primitives.codec import Encodable, Value, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation
from vm.primitives.hashing import HASH_BYTES
from vm.primitives.integers import MAX_AMOUNT
from vm.system.members import NAME_SPACE

TRADER_ROLES: Final = ("consumer", "prosumer", "aggregator", "supplier")
SALT_BYTES: Final = 32


def _is_steps(value: Value) -> bool:
    return (
        type(value) is tuple
        and 1 <= len(value) <= MAX_STEPS_OF_ORDER
        and all(
            type(step) is tuple
            and len(step) == 2
            and all(type(number) is int and 0 <= number <= MAX_AMOUNT for number in step)
            for step in value
        )
    )


STEPS = ArgumentKind(f"1 to {MAX_STEPS_OF_ORDER} steps of energy and price", _is_steps)
SIDE = ArgumentKind(" or ".join(SIDE_NAMES), lambda value: value in SIDE_NAMES)
COMMITMENT = byte_string(HASH_BYTES, HASH_BYTES)
SALT = byte_string(SALT_BYTES, SALT_BYTES)


class AuctionModule(Module):
    """Call auctions of energy by delivery interval; none where genesis names none."""

    name = "auction"

    def init_genesis(self, ctx: CallContext, section: Section) -> None:
        """Write the auctions; members and markets are there already. Raises InvalidGenesis."""
        configs = read_section(
            section,
            lambda name: ctx.get(NAME_SPACE + name.encode()),
            lambda market: count_buses(ctx, market),
        )
        for config in configs:
            ctx.put(AUCTION_SPACE + config.name.encode(), encode_leaf(config))

    def contract_interfaces(self) -> Interfaces:
        """Return the interface `auction`."""
        return auction_interfaces()

    @method(
        Argument("auction", NAME),
        Argument("interval", UINT63),
        Argument("side", SIDE),
        Argument("steps", STEPS),
        roles=TRADER_ROLES,
    )
    def place(
        self,
        ctx: CallContext,
        auction: str,
        interval: int,
        side: str,
        steps: tuple[tuple[int, int], ...],
    ) -> Encodable:
        """Place an order in an open book; money or energy is set aside. Returns its number."""
        config = load_config(ctx, auction)
        if config.sealed:
            raise CallError("sealed", "this auction takes commitments", hint="Commit, then open.")
        validate_gate(ctx, config, interval)
        validate_connected(ctx, config.market)
        chosen, which = tuple([Step(*step) for step in steps]), SIDE_NAMES.index(side)
        validate_order(config, which, chosen)
        money, energy = needs_of(which, chosen)
        number = enter(
            ctx,
            config,
            interval,
            AuctionOrder(ctx.caller, b"", 0, money, energy, which, steps, config.version),
        )
        ctx.emit("place", auction, interval, number, ctx.caller, side, len(steps))
        return number

    @method(
        Argument("auction", NAME),
        Argument("interval", UINT63),
        Argument("commitment", COMMITMENT),
        Argument("cover_micro", UINT63),
        Argument("cover_milli_wh", UINT63),
        roles=TRADER_ROLES,
    )
    def commit(
        self,
        ctx: CallContext,
        auction: str,
        interval: int,
        commitment: bytes,
        cover_micro: int,
        cover_milli_wh: int,
    ) -> Encodable:
        """Commit to an order; the cover and the deposit are set aside. Returns its number.

        Who sets more aside than the order needs, of money and of energy, tells less of it.
        """
        config = load_config(ctx, auction)
        if not config.sealed:
            raise CallError("not_sealed", "this auction takes open orders", hint="Place it.")
        validate_gate(ctx, config, interval)
        validate_connected(ctx, config.market)
        order = AuctionOrder(
            ctx.caller,
            commitment,
            config.deposit_micro,
            cover_micro,
            cover_milli_wh,
            0,
            (),
            config.version,
        )
        number = enter(ctx, config, interval, order)
        ctx.emit("commit", auction, interval, number, ctx.caller, cover_micro, cover_milli_wh)
        return number

    @method(
        Argument("auction", NAME),
        Argument("interval", UINT63),
        Argument("order", UINT63),
        Argument("side", SIDE),
        Argument("steps", STEPS),
        Argument("salt", SALT),
    )
    def open(
        self,
        ctx: CallContext,
        auction: str,
        interval: int,
        number: int,
        side: str,
        steps: tuple[tuple[int, int], ...],
        salt: bytes,
    ) -> Encodable:
        """Open a commitment, after the gate and before openings end."""
        config = load_config(ctx, auction)
        order = load_own_order(ctx, config.prefix(interval), number)
        gate_ms, until_ms = config.gate_ms(interval), config.clearing_ms(interval)
        if not gate_ms <= ctx.time_ms < until_ms:
            raise CallError(
                "wrong_time",
                "commitments are opened after the gate and before openings end",
                expected=f"{gate_ms} to {until_ms} ms",
                actual=ctx.time_ms,
            )
        if not order.commitment:
            raise CallError("already_open", "the order is open")
        chosen = tuple([Step(*step) for step in steps])
        opened = (SIDE_NAMES.index(side), chosen, salt)
        reveal(ctx, load_version(ctx, config, order.version), interval, number, order, opened)
        ctx.emit("open", auction, interval, number, ctx.caller, side, len(steps))
        return None

    @method(Argument("auction", NAME), Argument("interval", UINT63), Argument("order", UINT63))
    def cancel(self, ctx: CallContext, auction: str, interval: int, number: int) -> Encodable:
        """Take an order or a commitment back before the gate, with all that is set aside."""
        config = load_config(ctx, auction)
        validate_gate(ctx, config, interval)
        prefix = config.prefix(interval)
        order = load_own_order(ctx, prefix, number)
        leave(ctx, config, interval, order)
        delete_order(ctx, prefix, number)
        ctx.emit("cancel", auction, interval, number, ctx.caller)
        return None

    def change_parameters(
        self, ctx: CallContext, subject: str, values: Mapping[str, Value]
    ) -> None:
        """Set prices, energy and deposit of what is placed in an auction from now on."""
        known = load_config(ctx, subject)
        buses = count_buses(ctx, known.market) if known.market else 0
        save_changed_config(ctx, known, changed_config(known, values, buses))

    def on_due(self, ctx: CallContext, payload: bytes) -> None:
        """Clear an interval."""
        match unpack_trusted(payload):
            case (str(name), int(interval)):
                clear_book(ctx, load_config(ctx, name), interval)
            case _:
                raise InvariantViolation(f"auction scheduled something else: {payload.hex()[:80]}")

    def rebuild_index(self, ctx: CallContext, key: bytes, value: bytes) -> None:
        """Write the entry of an order again from its leaf."""
        if key[:2] == ORDER_SPACE:
            ctx.put(INDEX_SPACE + key, MARK)
