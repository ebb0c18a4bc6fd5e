"""What happens in the book of an interval: placing, committing, opening, and clearing when due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from market.auction.clearing import Award, Clearing, reserved_micro
from market.auction.feeder import load_feeder
from market.auction.mechanisms import clear_by, clear_over_feeder, next_seed, tell_places
from market.auction.orders import BUY, SELL, Order, Step, validate_steps
from market.auction.records import (
    BOOK_SPACE,
    HUANG,
    MEMBER_SPACE,
    AuctionConfig,
    AuctionMember,
    AuctionOrder,
    AuctionResult,
    Book,
    decode_leaf,
    delete_order,
    encode_leaf,
    load_orders,
    save_order,
    save_result,
)
from market.auction.zones import ZonalClearing
from market.working_accounts import WorkingAccounts
from vm.context import CallContext
from vm.primitives.codec import encode_trusted
from vm.primitives.errors import CallError
from vm.primitives.hashing import (
    EMPTY_HASH,
    TAG_AUCTION_COMMITMENT,
    tagged_hash,
)
from vm.system.accounts import SUSPENDED, load_account, save_account

MAX_ORDERS: Final = 1_000
"""Orders of a book: it is cleared and settled in one step, which tells of each of them."""
MAX_ORDERS_OF_ZONES: Final = 800
"""The same where the clearing tells of buses and lines too."""
MAX_ORDERS_PER_MEMBER: Final = 4
MAX_STEPS_OF_ORDER: Final = 20
"""Steps of an order on the chain: its leaf fits a proof."""
MAX_AHEAD_MINUTES: Final = 400 * 24 * 60
GAS_OF_ORDER: Final = 300
"""For clearing and settling an order, beside what that reads, writes and tells."""
GAS_OF_STEP: Final = 30
"""For clearing each of its steps."""


def commitment_of(
    auction: str,
    interval: int,
    account: bytes,
    side: int,
    steps: Sequence[tuple[int, int]],
    salt: bytes,
) -> bytes:
    """Return what a member commits to, 32 bytes; the salt keeps others from trying out orders."""
    return tagged_hash(
        TAG_AUCTION_COMMITMENT,
        encode_trusted((auction, interval, account, side, tuple(steps), salt)),
    )


def validate_gate(ctx: CallContext, config: AuctionConfig, interval: int) -> None:
    """Raise CallError `wrong_interval` or `gate_closed` unless orders may be placed."""
    now = ctx.time_ms
    last = (now + MAX_AHEAD_MINUTES * config.minute_ms) // config.interval_ms
    if not 1 <= interval <= last or config.gate_ms(interval) < 0:
        raise CallError(
            "wrong_interval",
            "no delivery interval of this auction, or one too far ahead",
            expected=f"{now // config.interval_ms + 1} to {last}",
            actual=interval,
        )
    if now >= config.gate_ms(interval):
        raise CallError(
            "gate_closed",
            "the interval's gate is closed",
            expected=f"before {config.gate_ms(interval)} ms",
            actual=now,
            hint="Choose a later interval.",
        )


def validate_order(config: AuctionConfig, side: int, steps: Sequence[Step]) -> None:
    """Raise CallError unless the auction takes an order of these steps."""
    validate_steps(side, steps)
    low, high = config.min_price_micro_per_kwh, config.max_price_micro_per_kwh
    for step in steps:
        if not low <= step.price_micro_per_kwh <= high:
            raise CallError(
                "price_out_of_range",
                "the auction does not take this price",
                expected=f"{low} to {high}",
                actual=step.price_micro_per_kwh,
            )
    energy = sum([step.energy_milli_wh for step in steps])
    if energy > config.max_energy_milli_wh:
        raise CallError(
            "too_much_energy",
            "an order is for less energy",
            expected=f"at most {config.max_energy_milli_wh}",
            actual=energy,
        )


def needs_of(side: int, steps: Sequence[Step]) -> tuple[int, int]:
    """Return the money (micro-tokens) and energy (milliwatt-hours) that an order needs."""
    if side == SELL:
        return 0, sum([step.energy_milli_wh for step in steps])
    return sum([reserved_micro(*step) for step in steps]), 0


def enter(ctx: CallContext, config: AuctionConfig, interval: int, order: AuctionOrder) -> int:
    """Enter an order or a commitment and set aside what it needs; return its number."""
    prefix = config.prefix(interval)
    book = _load_book(ctx, config, interval)
    member = load_member(ctx, prefix, order.account)
    most = MAX_ORDERS_OF_ZONES if config.market else MAX_ORDERS
    if book.orders >= most:
        raise CallError("book_full", "the book is full", expected=f"at most {most} orders")
    if member.orders >= MAX_ORDERS_PER_MEMBER:
        raise CallError(
            "too_many_orders",
            "the member has too many orders in this book",
            expected=f"at most {MAX_ORDERS_PER_MEMBER}",
        )
    leaf = load_account(ctx, order.account)
    leaf.reserve_money(order.deposit_micro + order.money_micro)
    leaf.reserve_energy(order.energy_milli_wh)
    save_account(ctx, order.account, leaf)
    number = ctx.next_number("auction_order")
    save_order(ctx, prefix, number, order)
    member.orders += 1
    save_member(ctx, prefix, order.account, member)
    book.orders += 1
    _save_book(ctx, prefix, book)
    return number


def leave(ctx: CallContext, config: AuctionConfig, interval: int, order: AuctionOrder) -> None:
    """Take an order out of the counts and set its money and energy free."""
    prefix = config.prefix(interval)
    leaf = load_account(ctx, order.account)
    leaf.release_money(order.deposit_micro + order.money_micro)
    leaf.release_energy(order.energy_milli_wh)
    save_account(ctx, order.account, leaf)
    member = load_member(ctx, prefix, order.account)
    member.orders -= 1
    save_member(ctx, prefix, order.account, member)
    book = _load_book(ctx, config, interval)
    book.orders -= 1
    _save_book(ctx, prefix, book)


def reveal(
    ctx: CallContext,
    config: AuctionConfig,
    interval: int,
    number: int,
    order: AuctionOrder,
    opened: tuple[int, tuple[Step, ...], bytes],
) -> None:
    """Open a commitment: what is set aside beyond the order's needs is free again."""
    side, steps, salt = opened
    prefix = config.prefix(interval)
    plain = tuple([(step.energy_milli_wh, step.price_micro_per_kwh) for step in steps])
    if commitment_of(config.name, interval, ctx.caller, side, plain, salt) != order.commitment:
        raise CallError("wrong_opening", "this is not what was committed to")
    validate_order(config, side, steps)
    money, energy = needs_of(side, steps)
    if money > order.money_micro or energy > order.energy_milli_wh:
        raise CallError(
            "not_covered",
            "less was set aside than the order needs",
            expected=f"{money} micro-tokens, {energy} mWh",
            actual=f"{order.money_micro} micro-tokens, {order.energy_milli_wh} mWh",
        )
    member = load_member(ctx, prefix, ctx.caller)
    sides = member.sides | 1 << side
    if config.mechanism == HUANG and sides == 3:
        raise CallError("both_sides", "in this auction a member stands on one side of an interval")
    member.sides = sides
    save_member(ctx, prefix, ctx.caller, member)
    leaf = load_account(ctx, ctx.caller)
    leaf.release_money(order.deposit_micro + order.money_micro - money)
    leaf.release_energy(order.energy_milli_wh - energy)
    save_account(ctx, ctx.caller, leaf)
    book = _load_book(ctx, config, interval)
    book.seed = next_seed(book.seed, number, order.commitment + salt)
    _save_book(ctx, prefix, book)
    order.commitment, order.deposit_micro = b"", 0
    order.money_micro, order.energy_milli_wh = money, energy
    order.side, order.steps = side, plain
    save_order(ctx, prefix, number, order)


def clear_book(ctx: CallContext, config: AuctionConfig, interval: int) -> None:
    """Forfeit what is not opened, clear the book, settle it, and forget it."""
    prefix = config.prefix(interval)
    orders = load_orders(ctx, prefix)
    book = _load_book(ctx, config, interval)
    accounts = WorkingAccounts(ctx)
    seed = _take_out(ctx, config, interval, orders, accounts, book.seed)
    steps = [
        Order(number * MAX_STEPS_OF_ORDER + place, order.account, order.side, *step, priority)
        for priority, (number, order, place, step) in enumerate(
            (number, order, place, step)
            for number, order in orders.items()
            for place, step in enumerate(order.steps)
        )
    ]
    clearing: Clearing | ZonalClearing = (
        _clear_zones(ctx, config, interval, steps)
        if config.market
        else clear_by(config.mechanism, config.rationing, steps, seed)
    )
    awards: dict[int, list[Award]] = {}
    for award in clearing.awards:
        awards.setdefault(award.number // MAX_STEPS_OF_ORDER, []).append(award)
    for number, order in orders.items():
        if not order.commitment:
            _settle(ctx, config, interval, number, order, awards[number], accounts)
    if clearing.surplus_micro:
        accounts.account(config.account).earn(clearing.surplus_micro)
        ctx.emit("surplus", config.name, interval, config.account, clearing.surplus_micro)
    for account in dict.fromkeys([order.account for order in orders.values()]):
        ctx.delete(MEMBER_SPACE + prefix + account)
    accounts.save()
    ctx.delete(BOOK_SPACE + prefix)
    prices: tuple[int | None, int | None] = (None, None)
    if isinstance(clearing, Clearing):
        prices = (
            clearing.buyer_price_half_micro_per_kwh,
            clearing.seller_price_half_micro_per_kwh,
        )
    save_result(ctx, config, AuctionResult(interval, clearing.volume_milli_wh, *prices))
    ctx.emit(
        "clear",
        config.name,
        interval,
        clearing.volume_milli_wh,
        *prices,
        clearing.surplus_micro,
        seed,
    )


def _take_out(
    ctx: CallContext,
    config: AuctionConfig,
    interval: int,
    orders: Mapping[int, AuctionOrder],
    accounts: WorkingAccounts,
    seed: bytes,
) -> bytes:
    """Delete all orders and forfeit what was not opened; return the seed after the forfeits."""
    market = accounts.account(config.account)
    openings_ms = config.opening_minutes * config.minute_ms
    stood_still = ctx.time_ms >= config.clearing_ms(interval) + openings_ms
    for number, order in orders.items():
        ctx.charge(GAS_OF_ORDER + GAS_OF_STEP * len(order.steps))
        delete_order(ctx, config.prefix(interval), number)
        if order.commitment:
            seed = next_seed(seed, number, order.commitment)
            leaf = accounts.account(order.account)
            leaf.release_money(order.money_micro)
            leaf.release_energy(order.energy_milli_wh)
            if leaf.status == SUSPENDED or stood_still:
                # It could not open: who suspends a member, or a chain that stood still for longer
                # than openings last, does not take its deposit.
                leaf.release_money(order.deposit_micro)
                ctx.emit("release", config.name, interval, number, order.account)
                continue
            leaf.spend_reserved_money(order.deposit_micro)
            market.earn(order.deposit_micro)
            ctx.emit(
                "forfeit",
                config.name,
                interval,
                number,
                order.account,
                config.account,
                order.deposit_micro,
            )
    return seed


def load_member(ctx: CallContext, prefix: bytes, account: bytes) -> AuctionMember:
    """Return what a member has in a book."""
    data = ctx.get(MEMBER_SPACE + prefix + account)
    return AuctionMember(0, 0) if data is None else decode_leaf(AuctionMember, data)


def save_member(ctx: CallContext, prefix: bytes, account: bytes, member: AuctionMember) -> None:
    """Write what a member has in a book; nothing is kept of who has no order."""
    if member.orders:
        ctx.put(MEMBER_SPACE + prefix + account, encode_leaf(member))
    else:
        ctx.delete(MEMBER_SPACE + prefix + account)


def _clear_zones(
    ctx: CallContext, config: AuctionConfig, interval: int, steps: Sequence[Order]
) -> ZonalClearing:
    """Clear over the feeder and tell the price of each bus and the flow of each line."""
    network = load_feeder(ctx, config.market)
    found = clear_over_feeder(ctx, network, steps, config.interval_minutes)
    tell_places(ctx, network, found, (config.name, interval))
    return found


def _settle(
    ctx: CallContext,
    config: AuctionConfig,
    interval: int,
    number: int,
    order: AuctionOrder,
    awards: Sequence[Award],
    accounts: WorkingAccounts,
) -> None:
    """Move the money and energy of an order, and set free what it does not use."""
    energy = sum([award.energy_milli_wh for award in awards])
    amount = sum([award.amount_micro for award in awards])
    left = sum([award.residual_milli_wh for award in awards])
    leaf = accounts.account(order.account)
    if order.side == BUY:
        leaf.spend_reserved_money(amount)
        leaf.release_money(order.money_micro - amount)
        leaf.take_energy(energy)
    else:
        leaf.spend_reserved_energy(energy)
        leaf.release_energy(left)
        leaf.earn(amount)
    event = "bought" if order.side == BUY else "sold"
    ctx.emit(event, config.name, interval, number, order.account, energy, amount, left)


def _load_book(ctx: CallContext, config: AuctionConfig, interval: int) -> Book:
    data = ctx.get(BOOK_SPACE + config.prefix(interval))
    if data is not None:
        return decode_leaf(Book, data)
    ctx.schedule(config.clearing_ms(interval), encode_trusted((config.name, interval)))
    return Book(0, EMPTY_HASH)


def _save_book(ctx: CallContext, prefix: bytes, book: Book) -> None:
    ctx.put(BOOK_SPACE + prefix, encode_leaf(book))
