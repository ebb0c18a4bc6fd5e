"""A gate clears: awards become contracts in the positions, what is left stands on.

The clearing itself is one step, however large the book. The positions of those who traded are
written down at once, or, where that is more than one step can tell, page by page in steps that are
due when the clearing was: so before the next gate and the settlement, though the chain stood still
over them. No money moves between members here: it stays set aside until the interval is settled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from market.auction.clearing import Award, Clearing
from market.auction.feeder import load_feeder
from market.auction.mechanisms import clear_by, clear_over_feeder, next_seed, tell_places
from market.auction.orders import BUY, Order
from market.auction.zones import ZonalClearing
from market.day.award_pages import Item, Items, Page, award_key, decode_awards, encode_awards
from market.day.books import load_book, save_book, schedule_gate
from market.day.due import AWARDS, schedule
from market.day.orders import MAX_STEPS_OF_MEMBER
from market.day.records import (
    NO_GATE,
    POSITION_INDEX,
    Book,
    DayMarket,
    Position,
    StandingOrder,
    load_position,
    save_position,
)
from market.day.results import save_result
from market.working_accounts import WorkingAccounts
from vm.context import CallContext
from vm.primitives.address import ACCOUNT_ID_BYTES
from vm.primitives.errors import InvariantViolation
from vm.system.accounts import SUSPENDED

PAGE_ITEMS: Final = 900
"""Awards and forfeits that one step writes down: a receipt tells of each."""
ITEMS_AT_ONCE: Final = 300
"""Most of them that the clearing's own step writes down, which tells of buses and lines too."""
GAS_OF_STEP: Final = 50
"""For clearing a step of an order, beside what that reads, writes and tells."""


def clear_gate(ctx: CallContext, market: DayMarket, interval: int, gate: int) -> None:
    """Clear the book of an interval at one of its gates."""
    prefix = market.prefix(interval)
    book = load_book(ctx, prefix)
    positions = _load_positions(ctx, prefix)
    steps, forfeits = _collect(ctx, positions, gate)
    for _, order in forfeits:
        book.seed = next_seed(book.seed, order.number, order.commitment)
    clearing = _clear(ctx, market, interval, gate, steps, book)
    window = market.calendar.windows(interval)[gate]
    if ctx.time_ms >= 2 * window.clears_ms - window.closes_ms:
        # The chain stood still for longer than openings last: nobody loses a deposit by that.
        forfeits = [(account, order._replace(deposit_micro=0)) for account, order in forfeits]
    items = _group(positions, clearing.awards, forfeits)
    pages = _pages(items)
    if sum([len(own) for _, own in items]) <= ITEMS_AT_ONCE and pages:
        write_down(ctx, market, interval, gate, pages[0], positions)
        pages = []
    for number, page in enumerate(pages):
        ctx.put(award_key(prefix, number), encode_awards(page))
        schedule(ctx, window.clears_ms, AWARDS, market, interval, gate, number)
    book.pages = len(pages)
    _go_on(ctx, market, interval, gate, book, positions, dict(items))
    save_book(ctx, prefix, book)
    save_result(ctx, market, interval, gate, steps, clearing)
    _tell(ctx, market, interval, gate, steps, clearing, book.seed)


def apply_page(ctx: CallContext, market: DayMarket, interval: int, gate: int, number: int) -> None:
    """Write down a page of what a clearing came to."""
    prefix = market.prefix(interval)
    key = award_key(prefix, number)
    data = ctx.get(key)
    if data is None:
        raise InvariantViolation(f"interval {interval} lost page {number} of its awards")
    page = decode_awards(data)
    positions: dict[bytes, Position] = {}
    for account, _ in page:
        position = load_position(ctx, prefix, account)
        if position is None:
            raise InvariantViolation(f"interval {interval} lost a position that has awards")
        positions[account] = position
    write_down(ctx, market, interval, gate, page, positions)
    ctx.delete(key)
    book = load_book(ctx, prefix)
    book.pages -= 1
    save_book(ctx, prefix, book)


def write_down(
    ctx: CallContext,
    market: DayMarket,
    interval: int,
    gate: int,
    page: Page,
    positions: Mapping[bytes, Position],
) -> None:
    """Turn awards into contracts, and let go what is set aside for commitments not opened."""
    prefix = market.prefix(interval)
    head = (market.name, interval, gate)
    accounts = WorkingAccounts(ctx)
    for account, items in page:
        position = positions[account]
        own = {order.number: order for order in position.orders}
        for number, energies, value, amount in items:
            order = own.pop(number)
            if order.commitment:
                position.reserved_micro -= order.cover_micro + order.deposit_micro
                _forfeit(ctx, market, interval, account, order, amount, accounts)
                continue
            traded = sum(energies)
            left = _left(order, energies)
            if left.steps:
                own[number] = left
            event = "bought" if order.side == BUY else "sold"
            if order.side == BUY:
                position.bought_milli_wh += traded
                position.bought_value += value
            else:
                position.sold_milli_wh += traded
                position.sold_value += value
            residual = sum([step[0] for step in left.steps])
            ctx.emit(event, *head, number, account, traded, amount, residual)
        position.orders = tuple([own[number] for number in sorted(own)])
        save_position(ctx, prefix, account, position)
    accounts.save()


def _forfeit(
    ctx: CallContext,
    market: DayMarket,
    interval: int,
    account: bytes,
    order: StandingOrder,
    amount: int,
    accounts: WorkingAccounts,
) -> None:
    """Set the cover of a commitment that was not opened free, and take its deposit."""
    leaf = accounts.account(account)
    leaf.release_money(order.cover_micro)
    if leaf.status == SUSPENDED or amount < order.deposit_micro:
        # It could not open: who suspends a member, or a standstill, does not take its deposit.
        leaf.release_money(order.deposit_micro)
        ctx.emit("release", market.name, interval, order.number, account)
        return
    leaf.spend_reserved_money(amount)
    accounts.account(market.account).earn(amount)
    ctx.emit("forfeit", market.name, interval, order.number, account, market.account, amount)


def _load_positions(ctx: CallContext, prefix: bytes) -> dict[bytes, Position]:
    start = POSITION_INDEX + prefix
    end = start + b"\xff" * (ACCOUNT_ID_BYTES + 1)
    found: dict[bytes, Position] = {}
    for account in [key[len(start) :] for key, _ in ctx.scan(start, end)]:
        position = load_position(ctx, prefix, account)
        if position is None:
            raise InvariantViolation(f"the index has a position of {account.hex()} that is none")
        found[account] = position
    return found


def _collect(
    ctx: CallContext, positions: Mapping[bytes, Position], gate: int
) -> tuple[list[Order], list[tuple[bytes, StandingOrder]]]:
    """Return the steps that clear at a gate, and the commitments that are forfeited."""
    steps: list[Order] = []
    forfeits: list[tuple[bytes, StandingOrder]] = []
    for account, position in positions.items():
        for order in position.orders:
            if order.commitment and order.first_gate == gate:
                forfeits.append((account, order))
            elif not order.commitment and order.first_gate <= gate <= order.last_gate:
                first = order.number * MAX_STEPS_OF_MEMBER
                for place, step in enumerate(order.steps, first):
                    steps.append(Order(place, account, order.side, *step, place))
    ctx.charge(GAS_OF_STEP * (len(steps) + len(forfeits)))
    return steps, forfeits


def _clear(
    ctx: CallContext,
    market: DayMarket,
    interval: int,
    gate: int,
    steps: Sequence[Order],
    book: Book,
) -> Clearing | ZonalClearing:
    """Clear the steps, over the feeder with what earlier gates have its lines carry."""
    terms = market.calendar.gates[gate]
    if not market.feeder:
        return clear_by(terms.mechanism, terms.rationing, steps, book.seed)
    network = load_feeder(ctx, market.feeder)
    minutes = market.calendar.interval_minutes
    carried = book.carried_milli_wh or (0,) * len(network.lines)
    found = clear_over_feeder(ctx, network, steps, minutes, carried)
    book.carried_milli_wh = tuple(
        [before + flow for before, flow in zip(carried, found.flows_milli_wh, strict=True)]
    )
    tell_places(ctx, network, found, (market.name, interval, gate))
    return found


def _group(
    positions: Mapping[bytes, Position],
    awards: Sequence[Award],
    forfeits: Sequence[tuple[bytes, StandingOrder]],
) -> list[tuple[bytes, Items]]:
    """Return the items of each member that has some, in the order of accounts."""
    traded: dict[int, dict[int, Award]] = {}
    for award in awards:
        if award.energy_milli_wh:
            number, place = divmod(award.number, MAX_STEPS_OF_MEMBER)
            traded.setdefault(number, {})[place] = award
    lost = {order.number: order.deposit_micro for _, order in forfeits}
    found: list[tuple[bytes, Items]] = []
    for account, position in positions.items():
        items: list[Item] = []
        for order in position.orders:
            own = traded.get(order.number)
            if order.number in lost:
                items.append(Item(order.number, (), 0, lost[order.number]))
            elif own is not None:
                energies = tuple(
                    [
                        own[place].energy_milli_wh if place in own else 0
                        for place in range(len(order.steps))
                    ]
                )
                value = sum([award.value for award in own.values()])
                amount = sum([award.amount_micro for award in own.values()])
                items.append(Item(order.number, energies, value, amount))
        if items:
            found.append((account, tuple(items)))
    return found


def _pages(items: Sequence[tuple[bytes, Items]]) -> list[Page]:
    """Return members in pages, each of no more items than one step writes down."""
    pages: list[Page] = []
    room = 0
    for account, own in items:
        if len(own) > room:
            pages.append([])
            room = PAGE_ITEMS
        pages[-1].append((account, own))
        room -= len(own)
    return pages


def _go_on(
    ctx: CallContext,
    market: DayMarket,
    interval: int,
    gate: int,
    book: Book,
    positions: Mapping[bytes, Position],
    items: Mapping[bytes, Items],
) -> None:
    """Count what stands for later gates, and have the next one clear it."""
    book.gate = NO_GATE
    book.orders = book.steps = 0
    last = len(market.calendar.gates) - 1
    for account, position in positions.items():
        traded = {item.number: item.energies_milli_wh for item in items.get(account, ())}
        for order in position.orders:
            ends = min(order.last_gate, last) if not order.commitment else order.first_gate
            if ends <= gate:
                continue
            energies = traded.get(order.number)
            # Where the page is written down already, so is what is left.
            left = order if energies is None or not book.pages else _left(order, energies)
            if left.steps or left.commitment:
                book.orders += 1
                book.steps += left.most_steps or len(left.steps)
    if book.orders:
        schedule_gate(ctx, market, interval, book, gate + 1)


def _left(order: StandingOrder, energies: Sequence[int]) -> StandingOrder:
    """Return an order without what it traded."""
    steps = [
        (energy - traded, price)
        for (energy, price), traded in zip(order.steps, energies, strict=True)
        if energy > traded
    ]
    return order._replace(steps=tuple(steps))


def _tell(
    ctx: CallContext,
    market: DayMarket,
    interval: int,
    gate: int,
    steps: Sequence[Order],
    clearing: Clearing | ZonalClearing,
    seed: bytes,
) -> None:
    prices: tuple[int | None, int | None] = (None, None)
    if isinstance(clearing, Clearing):
        prices = (
            clearing.buyer_price_half_micro_per_kwh,
            clearing.seller_price_half_micro_per_kwh,
        )
    bids = sum([step.energy_milli_wh for step in steps if step.side == BUY])
    offers = sum([step.energy_milli_wh for step in steps]) - bids
    ctx.emit(
        "clear",
        market.name,
        interval,
        gate,
        clearing.volume_milli_wh,
        *prices,
        clearing.surplus_micro,
        bids,
        offers,
        seed,
    )
