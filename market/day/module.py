"""The module of day markets: join, place or commit, open, cancel; gates and settlements when due.

Orders for a delivery interval pass its gates one after the other. What they trade are contracts;
money moves when meters have told what flowed. What nobody traded comes from, or goes to, the
upstream supplier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from market.auction.feeder import count_buses
from market.auction.module import SALT, SIDE, TRADER_ROLES
from market.auction.orders import SIDE_NAMES
from market.day.clearing import apply_page, clear_gate
from market.day.contract_interface import day_interfaces
from market.day.due import AWARDS, CLEARING, CORRECTION, SETTLEMENT
from market.day.gates import TO_THE_LAST
from market.day.governing import changed_market
from market.day.orders import (
    MAX_STEPS_OF_MEMBER,
    Steps,
    cancel_order,
    commit_order,
    open_order,
    place_order,
)
from market.day.records import (
    MARK,
    MARKET_SPACE,
    NAME_SPACE,
    POSITION_SPACE,
    STANDING_INDEX,
    STANDING_SPACE,
    DayMarket,
    Standing,
    decode_leaf,
    load_market,
    load_market_at,
    save_changed_market,
)
from market.day.section import read_section, validate_meters
from market.day.settlement import DAY_ACCOUNT, correct_due, settle_due
from market.day.standing import join, leave, pay_arrears
from market.meters.records import load_config
from vm.arguments import ACCOUNT, NAME, UINT63, Argument, ArgumentKind, byte_string, integer
from vm.context import CallContext
from vm.module import Interfaces, Module, Section, method
from vm.overlay import INDEX_SPACE
from vm.primitives.codec import Encodable, Value, unpack_trusted
from vm.primitives.errors import InvalidGenesis, InvariantViolation
from vm.primitives.hashing import HASH_BYTES
from vm.primitives.integers import MAX_AMOUNT
from vm.system.accounts import REMOVED, Account, save_account
from vm.system.members import NAME_SPACE as MEMBER_NAME_SPACE

LEAST_DUE_GAS: Final = 2_000_000
"""What a chain with day markets lets things due use in a block: a full book clears in one step."""


def _is_steps(value: Value) -> bool:
    return (
        type(value) is tuple
        and 1 <= len(value) <= MAX_STEPS_OF_MEMBER
        and all(
            type(step) is tuple
            and len(step) == 2
            and all(type(number) is int and 0 <= number <= MAX_AMOUNT for number in step)
            for step in value
        )
    )


STEPS = ArgumentKind(f"1 to {MAX_STEPS_OF_MEMBER} steps of energy and price", _is_steps)
MOST_STEPS = integer(1, MAX_STEPS_OF_MEMBER)
GATE = integer(0, TO_THE_LAST)
COMMITMENT = byte_string(HASH_BYTES, HASH_BYTES)


class DayModule(Module):
    """Day markets; none where genesis names none."""

    name = "day"

    def init_genesis(self, ctx: CallContext, section: Section) -> None:
        """Write the markets; members, meters and networks are there already.

        Raises InvalidGenesis.
        """
        found = read_section(
            section,
            lambda name: ctx.get(MEMBER_NAME_SPACE + name.encode()),
            lambda market: count_buses(ctx, market),
        )
        if not found:
            return
        if ctx.block.parameters.due_gas_per_block < LEAST_DUE_GAS:
            raise InvalidGenesis(
                "day markets clear in what is due",
                expected=f"due_gas_per_block of at least {LEAST_DUE_GAS}",
                actual=ctx.block.parameters.due_gas_per_block,
            )
        save_account(ctx, DAY_ACCOUNT, Account(bytes(32), 0, REMOVED, 0, 0, 0, 0, 0))
        for market, members in found:
            validate_meters(market, load_config(ctx))
            ctx.put(MARKET_SPACE + market.name.encode(), market.encode())
            ctx.put(NAME_SPACE + market.number.to_bytes(2, "big"), market.name.encode())
            for account in members:
                join(ctx, market, account)

    def contract_interfaces(self) -> Interfaces:
        """Return the interface `day`."""
        return day_interfaces()

    @method(Argument("market", NAME), roles=TRADER_ROLES)
    def join(self, ctx: CallContext, name: str) -> Encodable:
        """Have the caller belong to a market: its meter is settled there from now on."""
        since = join(ctx, load_market(ctx, name), ctx.caller)
        ctx.emit("join", name, ctx.caller, since)
        return None

    @method(Argument("market", NAME))
    def leave(self, ctx: CallContext, name: str) -> Encodable:
        """Let the caller leave a market after the interval that runs.

        Returns the first interval that is not settled for it.
        """
        end = leave(ctx, load_market(ctx, name))
        ctx.emit("leave", name, ctx.caller, end)
        return end

    @method(
        Argument("market", NAME),
        Argument("interval", UINT63),
        Argument("side", SIDE),
        Argument("steps", STEPS),
        Argument("last_gate", GATE),
        roles=TRADER_ROLES,
    )
    def place(
        self, ctx: CallContext, name: str, interval: int, side: str, steps: Steps, last_gate: int
    ) -> Encodable:
        """Place an order in an open gate; what it needs is set aside. Returns its number."""
        market = load_market_at(ctx, name, interval)
        which = SIDE_NAMES.index(side)
        number, gate = place_order(ctx, market, interval, which, steps, last_gate)
        ctx.emit("place", name, interval, number, ctx.caller, side, len(steps), gate)
        return number

    @method(
        Argument("market", NAME),
        Argument("interval", UINT63),
        Argument("commitment", COMMITMENT),
        Argument("most_steps", MOST_STEPS),
        Argument("cover_micro", UINT63),
        roles=TRADER_ROLES,
    )
    def commit(
        self,
        ctx: CallContext,
        name: str,
        interval: int,
        commitment: bytes,
        most_steps: int,
        cover_micro: int,
    ) -> Encodable:
        """Commit to an order of at most so many steps; cover and deposit are set aside.

        Returns its number. Who sets more aside than the order needs tells less of it.
        """
        market = load_market_at(ctx, name, interval)
        number, gate = commit_order(ctx, market, interval, commitment, most_steps, cover_micro)
        ctx.emit("commit", name, interval, number, ctx.caller, cover_micro, gate)
        return number

    @method(
        Argument("market", NAME),
        Argument("interval", UINT63),
        Argument("order", UINT63),
        Argument("side", SIDE),
        Argument("steps", STEPS),
        Argument("last_gate", GATE),
        Argument("salt", SALT),
    )
    def open(
        self,
        ctx: CallContext,
        name: str,
        interval: int,
        number: int,
        side: str,
        steps: Steps,
        last_gate: int,
        salt: bytes,
    ) -> Encodable:
        """Open a commitment, after its gate and before openings end."""
        market = load_market_at(ctx, name, interval)
        opened = (SIDE_NAMES.index(side), steps, last_gate, salt)
        gate = open_order(ctx, market, interval, number, opened)
        ctx.emit("open", name, interval, number, ctx.caller, side, len(steps), gate)
        return None

    @method(Argument("market", NAME), Argument("interval", UINT63), Argument("order", UINT63))
    def cancel(self, ctx: CallContext, name: str, interval: int, number: int) -> Encodable:
        """Take back what did not trade of an order, or a commitment, while its gate is open."""
        cancel_order(ctx, load_market_at(ctx, name, interval), interval, number)
        ctx.emit("cancel", name, interval, number, ctx.caller)
        return None

    @method(Argument("market", NAME), Argument("member", ACCOUNT))
    def pay_arrears(self, ctx: CallContext, name: str, member: bytes) -> Encodable:
        """Have a member pay what it owes the supplier, or the supplier what it owes the member.

        As far as there is free money; anybody may call. Ecoins that a correction took back and
        that were gone are taken too. Returns the amount.
        """
        market = load_market(ctx, name)
        payer, payee, amount, ecoin = pay_arrears(ctx, market, member)
        ctx.emit("pay_arrears", name, payer, payee, amount)
        if ecoin:
            ctx.emit("return_ecoins", name, member, ecoin)
        return amount

    def change_parameters(
        self, ctx: CallContext, subject: str, values: Mapping[str, Value]
    ) -> None:
        """Set parameters of the market called `subject`, for intervals that have not opened."""
        known = load_market(ctx, subject)
        buses = count_buses(ctx, known.feeder) if known.feeder else 0
        changed = changed_market(known, values, ctx.time_ms, buses, load_config(ctx))
        save_changed_market(ctx, known, changed)

    def on_due(self, ctx: CallContext, payload: bytes) -> None:
        """Clear a gate, write awards down, settle or correct an interval, or forget one."""
        match unpack_trusted(payload):
            case (int(kind), str(name), int(interval), int(gate), int(page)):
                _act(ctx, kind, load_market_at(ctx, name, interval), (interval, gate, page))
            case _:
                raise InvariantViolation(f"day scheduled something else: {payload.hex()[:80]}")

    def rebuild_index(self, ctx: CallContext, key: bytes, value: bytes) -> None:
        """Write the entry of a position or a member again from its leaf."""
        if key[:2] == POSITION_SPACE:
            ctx.put(INDEX_SPACE + key, MARK)
        elif key[:2] == STANDING_SPACE:
            number = decode_leaf(Standing, value).market.to_bytes(2, "big")
            ctx.put(STANDING_INDEX + number + key[2:], MARK)


def _act(ctx: CallContext, kind: int, market: DayMarket, what: tuple[int, int, int]) -> None:
    interval, gate, page = what
    if kind == CLEARING:
        clear_gate(ctx, market, interval, gate)
    elif kind == AWARDS:
        apply_page(ctx, market, interval, gate, page)
    elif kind == SETTLEMENT:
        settle_due(ctx, market, interval)
    elif kind == CORRECTION:
        correct_due(ctx, market, interval)
    else:
        raise InvariantViolation(f"day scheduled an unknown thing: {kind}")
