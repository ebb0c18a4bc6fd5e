"""Orders of a day market: placed or committed to, opened, cancelled; what each needs set aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from market.auction.feeder import validate_connected
from market.auction.mechanisms import next_seed
from market.auction.orders import BUY, Step, validate_steps
from market.day.books import (
    FULL_BOOK_GAS,
    clearing_gas,
    load_book,
    save_book,
    schedule_gate,
)
from market.day.collateral import has_huang, needs_micro, order_needs_micro
from market.day.gates import Gate, Window, window_at
from market.day.records import (
    MARK,
    DayMarket,
    Position,
    StandingOrder,
    delete_position,
    load_position,
    position_key,
    save_position,
)
from market.day.standing import validate_trader
from vm.context import CallContext
from vm.overlay import INDEX_SPACE
from vm.primitives.codec import encode_trusted
from vm.primitives.errors import CallError
from vm.primitives.hashing import TAG_DAY_COMMITMENT, tagged_hash
from vm.system.accounts import load_account, save_account

MAX_STEPS_OF_MEMBER: Final = 20
"""Steps that a member has in an interval's book: its position fits a proof."""
MAX_ORDERS_OF_MEMBER: Final = 4
MAX_AHEAD_MINUTES: Final = 400 * 24 * 60

Steps = tuple[tuple[int, int], ...]
"""Energy and price of each step."""


def commitment_of(
    market: str,
    interval: int,
    account: bytes,
    side: int,
    steps: Sequence[tuple[int, int]],
    last_gate: int,
    salt: bytes,
) -> bytes:
    """Return what a member commits to, 32 bytes; the salt keeps others from trying out orders."""
    return tagged_hash(
        TAG_DAY_COMMITMENT,
        encode_trusted((market, interval, account, side, tuple(steps), last_gate, salt)),
    )


def place_order(
    ctx: CallContext, market: DayMarket, interval: int, side: int, steps: Steps, last_gate: int
) -> tuple[int, int]:
    """Place the caller's order; return its number and its first gate. Raises CallError."""
    window, gate = find_gate(ctx, market, interval)
    if gate.sealed:
        raise CallError("sealed", "this gate takes commitments", hint="Commit, then open.")
    order = StandingOrder(0, window.number, last_gate, side, steps)
    return _enter(ctx, market, interval, window, order), window.number


def commit_order(
    ctx: CallContext,
    market: DayMarket,
    interval: int,
    commitment: bytes,
    most_steps: int,
    cover_micro: int,
) -> tuple[int, int]:
    """Commit to an order of the caller; return its number and its gate. Raises CallError."""
    window, gate = find_gate(ctx, market, interval)
    if not gate.sealed:
        raise CallError("not_sealed", "this gate takes open orders", hint="Place it.")
    order = StandingOrder(
        0,
        window.number,
        window.number,
        BUY,
        (),
        commitment,
        most_steps,
        cover_micro,
        gate.deposit_micro,
    )
    return _enter(ctx, market, interval, window, order), window.number


def open_order(
    ctx: CallContext,
    market: DayMarket,
    interval: int,
    number: int,
    opened: tuple[int, Steps, int, bytes],
) -> int:
    """Open a commitment of the caller; return its gate. Raises CallError."""
    side, steps, last_gate, salt = opened
    prefix = market.prefix(interval)
    position, order = _own_order(ctx, prefix, number)
    if not order.commitment:
        raise CallError("already_open", "the order is open")
    window = market.calendar.windows(interval)[order.first_gate]
    if not window.closes_ms <= ctx.time_ms < window.clears_ms:
        raise CallError(
            "wrong_time",
            "commitments are opened after the gate and before openings end",
            expected=f"{window.closes_ms} to {window.clears_ms} ms",
            actual=ctx.time_ms,
        )
    digest = commitment_of(market.name, interval, ctx.caller, side, steps, last_gate, salt)
    if digest != order.commitment:
        raise CallError("wrong_opening", "this is not what was committed to")
    if len(steps) > order.most_steps:
        raise CallError(
            "too_many_steps",
            "more steps than were committed to",
            expected=f"at most {order.most_steps}",
            actual=len(steps),
        )
    needed = order_needs_micro(market, side, steps)
    if needed > order.cover_micro:
        raise CallError(
            "not_covered",
            "less was set aside than the order needs",
            expected=needed,
            actual=order.cover_micro,
        )
    plain = StandingOrder(number, order.first_gate, last_gate, side, steps)
    position.orders = tuple([plain if own.number == number else own for own in position.orders])
    _state(market, position, side, steps)
    _validate_last_gate(market, plain)
    set_aside(ctx, market, position)
    save_position(ctx, prefix, ctx.caller, position)
    book = load_book(ctx, prefix)
    book.steps += len(steps) - order.most_steps
    book.seed = next_seed(book.seed, number, order.commitment + salt)
    save_book(ctx, prefix, book)
    return order.first_gate


def cancel_order(ctx: CallContext, market: DayMarket, interval: int, number: int) -> None:
    """Take back what did not trade of an order, or a commitment. Raises CallError."""
    prefix = market.prefix(interval)
    window, _ = find_gate(ctx, market, interval)
    position, order = _own_order(ctx, prefix, number)
    book = load_book(ctx, prefix)
    if book.pages or order.first_gate <= book.gate < window.number:
        raise CallError(
            "gate_closed",
            "the gate that the order takes part in is closed, and the book not yet cleared",
            hint="Cancel what is left of it after the clearing.",
        )
    position.orders = tuple([own for own in position.orders if own.number != number])
    if order.first_gate == window.number:
        # It moved no price yet. What did is measured against the meter, cancelled or not.
        energy = sum([step[0] for step in order.steps])
        if order.side == BUY:
            position.stated_buy_milli_wh -= energy
        else:
            position.stated_sell_milli_wh -= energy
    set_aside(ctx, market, position)
    if position.orders or position.stated_buy_milli_wh or position.stated_sell_milli_wh:
        save_position(ctx, prefix, ctx.caller, position)
    else:
        delete_position(ctx, prefix, ctx.caller)
        book.positions -= 1
    book.orders -= 1
    book.steps -= order.most_steps or len(order.steps)
    save_book(ctx, prefix, book)


def find_gate(ctx: CallContext, market: DayMarket, interval: int) -> tuple[Window, Gate]:
    """Return the gate that orders for an interval go to now. Raises CallError.

    `wrong_interval`, `gate_not_open`, `gate_closed`.
    """
    calendar, now = market.calendar, ctx.time_ms
    last = calendar.interval_at(now + MAX_AHEAD_MINUTES * calendar.minute_ms)
    if not 1 <= interval <= last:
        raise CallError(
            "wrong_interval",
            "no delivery interval of this market, or one too far ahead",
            expected=f"{calendar.interval_at(now) + 1} to {last}",
            actual=interval,
        )
    windows = calendar.windows(interval)
    window = window_at(windows, now)
    if window is None:
        raise CallError(
            "gate_closed",
            "the interval's last gate is closed",
            expected=f"before {windows[-1].closes_ms} ms",
            actual=now,
            hint="Choose a later interval.",
        )
    if now < window.opens_ms:
        raise CallError(
            "gate_not_open",
            "the interval's first gate is not open yet",
            expected=f"from {window.opens_ms} ms",
            actual=now,
        )
    return window, calendar.gates[window.number]


def set_aside(ctx: CallContext, market: DayMarket, position: Position) -> None:
    """Bring what is set aside for the caller's position to what it needs; raises CallError."""
    needed = needs_micro(market, position)
    if needed == position.reserved_micro:
        return
    leaf = load_account(ctx, ctx.caller)
    if needed > position.reserved_micro:
        leaf.reserve_money(needed - position.reserved_micro)
    else:
        leaf.release_money(position.reserved_micro - needed)
    save_account(ctx, ctx.caller, leaf)
    position.reserved_micro = needed


def _enter(
    ctx: CallContext, market: DayMarket, interval: int, window: Window, order: StandingOrder
) -> int:
    """Enter an order into the caller's position and the book; return its number."""
    validate_connected(ctx, market.feeder)
    validate_trader(ctx, market, interval)
    prefix = market.prefix(interval)
    position = load_position(ctx, prefix, ctx.caller)
    is_new = position is None
    if position is None:
        position = Position(0, 0, 0, 0, 0, 0, 0, ())
    _validate_room(position, order)
    if not order.commitment:
        _validate_last_gate(market, order)
        _state(market, position, order.side, order.steps)
    book = load_book(ctx, prefix)
    book.last_number += 1
    book.orders += 1
    book.steps += order.most_steps or len(order.steps)
    book.positions += is_new
    gas = clearing_gas(book.positions, book.orders, book.steps, over_feeder=bool(market.feeder))
    if gas > FULL_BOOK_GAS:
        raise CallError(
            "book_full",
            "the book is full",
            expected=f"orders that clear within {FULL_BOOK_GAS} gas",
            actual=gas,
            hint="Choose another interval, or fewer steps.",
        )
    schedule_gate(ctx, market, interval, book, window.number)
    save_book(ctx, prefix, book)
    position.orders = (*position.orders, order._replace(number=book.last_number))
    set_aside(ctx, market, position)
    save_position(ctx, prefix, ctx.caller, position)
    if is_new:
        ctx.put(INDEX_SPACE + position_key(prefix, ctx.caller), MARK)
    return book.last_number


def _state(market: DayMarket, position: Position, side: int, steps: Steps) -> None:
    """Count an order's energy as stated; raises CallError unless the market takes it."""
    validate_steps(side, [Step(*step) for step in steps])
    low, high = market.feed_in_micro_per_kwh, market.retail_micro_per_kwh
    for _, price in steps:
        if not low <= price <= high:
            raise CallError(
                "price_out_of_range",
                "prices lie between the feed-in and the retail tariff",
                expected=f"{low} to {high}",
                actual=price,
            )
    energy = sum([step[0] for step in steps])
    if side == BUY:
        position.stated_buy_milli_wh += energy
    else:
        position.stated_sell_milli_wh += energy
    stated = position.stated_buy_milli_wh if side == BUY else position.stated_sell_milli_wh
    if stated > market.max_energy_milli_wh:
        raise CallError(
            "too_much_energy",
            "a member states less energy of an interval",
            expected=f"at most {market.max_energy_milli_wh}",
            actual=stated,
        )
    if has_huang(market) and position.stated_buy_milli_wh and position.stated_sell_milli_wh:
        raise CallError("both_sides", "in this market a member stands on one side of an interval")


def _validate_room(position: Position, order: StandingOrder) -> None:
    """Raise CallError `too_many_orders` unless the position has room for one more."""
    steps = sum([own.most_steps or len(own.steps) for own in position.orders])
    added = order.most_steps or len(order.steps)
    if len(position.orders) >= MAX_ORDERS_OF_MEMBER or steps + added > MAX_STEPS_OF_MEMBER:
        raise CallError(
            "too_many_orders",
            "the member has too many orders or steps in this interval",
            expected=f"at most {MAX_ORDERS_OF_MEMBER} orders of {MAX_STEPS_OF_MEMBER} steps",
        )


def _validate_last_gate(market: DayMarket, order: StandingOrder) -> None:
    """Raise CallError `wrong_gate` if an order ends before the gate it is for."""
    if order.last_gate < order.first_gate:
        raise CallError(
            "wrong_gate",
            "the order's last gate is closed",
            expected=f"{order.first_gate} to {len(market.calendar.gates) - 1}",
            actual=order.last_gate,
        )


def _own_order(ctx: CallContext, prefix: bytes, number: int) -> tuple[Position, StandingOrder]:
    """Return the caller's position and one of its orders; raises CallError `unknown_order`."""
    position = load_position(ctx, prefix, ctx.caller)
    for order in () if position is None else position.orders:
        if position is not None and order.number == number:
            return position, order
    raise CallError("unknown_order", "the member has no such order in this interval", actual=number)
