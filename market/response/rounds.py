"""A round of two settlements on the chain: orders, settlement, responses, settlement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from market.auction.clearing import Award, Clearing, reserved_micro
from market.auction.orders import BUY, SELL, Order
from market.response.records import (
    MEMBER_SPACE,
    ORDERS,
    RESPONSES,
    ROUND_SPACE,
    STAGE_NAMES,
    Member,
    ResponseTerms,
    Round,
    delete_own,
    encode_leaf,
    load_each,
    load_leaf,
    load_round,
    number_key,
    own_key,
    save_own,
)
from market.response.stages import response_price_half_micro, settle_first, settle_second
from market.working_accounts import WorkingAccounts
from vm.context import CallContext
from vm.primitives.errors import CallError, InvariantViolation
from vm.primitives.integers import MILLI_WH_PER_KWH
from vm.system.accounts import load_account, save_account

MAX_MEMBERS: Final = 200
"""Members of a round: each settlement is one step, within the gas of one due item."""


def place_order(
    ctx: CallContext, terms: ResponseTerms, number: int, side: int, energy: int, price: int
) -> None:
    """Enter the caller's order; money, at the upstream price, or energy is set aside.

    Raises CallError.
    """
    found = load_round_in(ctx, number, ORDERS)
    upstream = terms.upstream_price_micro_per_kwh
    if side == BUY and price > upstream:
        raise CallError(
            "price_above_upstream",
            "what the round does not supply comes at the upstream price",
            expected=f"at most {upstream}",
            actual=price,
        )
    if ctx.get(own_key(MEMBER_SPACE, number, ctx.caller)) is not None:
        raise CallError(
            "already_ordered", "the member has an order in this round", hint="Retract it first."
        )
    if found.members >= MAX_MEMBERS:
        raise CallError("round_full", "the round is full", expected=f"at most {MAX_MEMBERS}")
    reserve = _order_reserve_micro(energy, upstream) if side == BUY else 0
    leaf = load_account(ctx, ctx.caller)
    if side == BUY:
        leaf.reserve_money(reserve)
    else:
        leaf.reserve_energy(energy)
    save_account(ctx, ctx.caller, leaf)
    place = ctx.next_number("response_order")
    member = Member(side, energy, price, place, reserve, 0, 0, 0)
    save_own(ctx, MEMBER_SPACE, number, ctx.caller, member)
    found.members += 1
    save_round(ctx, number, found)
    ctx.emit("order", number, ctx.caller, side, energy, price)


def retract_order(ctx: CallContext, number: int) -> None:
    """Take the caller's order back before the first settlement. Raises CallError."""
    found = load_round_in(ctx, number, ORDERS)
    member = _load_member(ctx, number)
    leaf = load_account(ctx, ctx.caller)
    if member.side == BUY:
        leaf.release_money(member.reserve_micro)
    else:
        leaf.release_energy(member.energy_milli_wh)
    save_account(ctx, ctx.caller, leaf)
    delete_own(ctx, MEMBER_SPACE, number, ctx.caller)
    found.members -= 1
    save_round(ctx, number, found)
    ctx.emit("retract", number, ctx.caller)


def give_up(ctx: CallContext, number: int, energy: int, price: int) -> None:
    """Give up energy that the caller bought, in place of what it gave up before."""
    load_round_in(ctx, number, RESPONSES)
    member = _load_member(ctx, number)
    if energy > member.bought_milli_wh:
        raise CallError(
            "response_above_demand",
            "a member gives up at most what it bought in the first settlement",
            expected=f"at most {member.bought_milli_wh}",
            actual=energy,
        )
    leaf = load_account(ctx, ctx.caller)
    leaf.release_energy(member.given_up_milli_wh)
    leaf.reserve_energy(energy)
    save_account(ctx, ctx.caller, leaf)
    member.given_up_milli_wh, member.given_up_price_micro_per_kwh = energy, price
    save_own(ctx, MEMBER_SPACE, number, ctx.caller, member)
    ctx.emit("give_up", number, ctx.caller, energy, price)


def settle_round(ctx: CallContext, terms: ResponseTerms, number: int) -> None:
    """Make the settlement that is due."""
    found = load_round(ctx, number)
    members = load_each(ctx, Member, MEMBER_SPACE, number)
    if found.stage == ORDERS:
        _settle_first(ctx, terms, number, found, members)
    else:
        _settle_second(ctx, terms, number, found, members)


def load_round_in(ctx: CallContext, number: int, stage: int) -> Round:
    """Return a round that is in a stage; raises CallError `too_early`, `gate_closed`."""
    found = load_round(ctx, number)
    until_ms = found.orders_until_ms if stage == ORDERS else found.responses_until_ms
    if found.stage < stage:
        raise CallError("too_early", "the first settlement is not made yet")
    if found.stage > stage or ctx.time_ms >= until_ms:
        raise CallError(
            "gate_closed",
            "the gate of this stage is closed",
            expected=f"{STAGE_NAMES[stage]} before {until_ms} ms",
            actual=ctx.time_ms,
        )
    return found


def save_round(ctx: CallContext, number: int, found: Round) -> None:
    """Write a round's leaf."""
    ctx.put(number_key(ROUND_SPACE, number), encode_leaf(found))


def _settle_first(
    ctx: CallContext,
    terms: ResponseTerms,
    number: int,
    found: Round,
    members: Mapping[bytes, Member],
) -> None:
    orders = [_order(account, member) for account, member in members.items()]
    clearing = settle_first(orders)
    accounts = WorkingAccounts(ctx)
    for order, award in zip(orders, clearing.awards, strict=True):
        _carry_out(accounts, terms, members[order.owner], order.owner, award)
        if award.energy_milli_wh:
            _tell(ctx, "first", number, order.owner, order.side, award)
    _finish(ctx, terms, number, clearing, accounts)
    for account, member in members.items():
        if member.side == SELL:
            _release(accounts, account, member)
        save_own(ctx, MEMBER_SPACE, number, account, member)
    accounts.save()
    price = clearing.buyer_price_half_micro_per_kwh
    found.response_price_half_micro = response_price_half_micro(
        price,
        alpha_percent=terms.alpha_percent,
        upstream_price_micro=terms.upstream_price_micro_per_kwh,
    )
    found.stage = RESPONSES
    save_round(ctx, number, found)
    ctx.emit("price", number, price, found.response_price_half_micro)


def _settle_second(
    ctx: CallContext,
    terms: ResponseTerms,
    number: int,
    found: Round,
    members: Mapping[bytes, Member],
) -> None:
    buyers = {account: m for account, m in members.items() if m.side == BUY}
    wanted = [
        _order(account, m)._replace(price_micro_per_kwh=terms.upstream_price_micro_per_kwh)
        for account, m in buyers.items()
        if m.energy_milli_wh
    ]
    given_up = [
        Order(
            _given_up_number(member.number),
            account,
            SELL,
            member.given_up_milli_wh,
            member.given_up_price_micro_per_kwh,
            member.number,
        )
        for account, member in buyers.items()
        if member.given_up_milli_wh
    ]
    clearing = settle_second(wanted, given_up, found.response_price_half_micro)
    accounts = WorkingAccounts(ctx)
    for order, award in zip((*wanted, *given_up), clearing.awards, strict=True):
        member = buyers[order.owner]
        if order.side == BUY:
            _carry_out(accounts, terms, member, order.owner, award)
        else:
            leaf = accounts.account(order.owner)
            leaf.spend_reserved_energy(award.energy_milli_wh)
            leaf.earn(award.amount_micro)
            member.given_up_milli_wh -= award.energy_milli_wh
        if award.energy_milli_wh:
            _tell(ctx, "second", number, order.owner, order.side, award)
    _finish(ctx, terms, number, clearing, accounts)
    for account, member in members.items():
        if member.side == BUY:
            _release(accounts, account, member)
            accounts.account(account).release_energy(member.given_up_milli_wh)
            if member.energy_milli_wh:
                ctx.emit("residual", number, account, member.energy_milli_wh)
        delete_own(ctx, MEMBER_SPACE, number, account)
    accounts.save()
    ctx.delete(number_key(ROUND_SPACE, number))
    ctx.emit("settled", number, clearing.volume_milli_wh)


def _carry_out(
    accounts: WorkingAccounts, terms: ResponseTerms, member: Member, account: bytes, award: Award
) -> None:
    """Move the money and energy of an order's award, and keep what is left of the order."""
    leaf = accounts.account(account)
    member.energy_milli_wh = award.residual_milli_wh
    if member.side == SELL:
        leaf.spend_reserved_energy(award.energy_milli_wh)
        leaf.earn(award.amount_micro)
        return
    leaf.spend_reserved_money(award.amount_micro)
    leaf.take_energy(award.energy_milli_wh)
    member.bought_milli_wh += award.energy_milli_wh
    needed = reserved_micro(member.energy_milli_wh, terms.upstream_price_micro_per_kwh)
    member.reserve_micro -= award.amount_micro
    if member.reserve_micro > needed:
        leaf.release_money(member.reserve_micro - needed)
        member.reserve_micro = needed


def _order_reserve_micro(energy_milli_wh: int, upstream_price_micro_per_kwh: int) -> int:
    """Return the most that a bid comes to pay in two settlements, each rounded up.

    That is a micro-token more than at once, unless a milliwatt-hour costs whole micro-tokens.
    """
    once = reserved_micro(energy_milli_wh, upstream_price_micro_per_kwh)
    return once + (upstream_price_micro_per_kwh % MILLI_WH_PER_KWH > 0)


def _release(accounts: WorkingAccounts, account: bytes, member: Member) -> None:
    """Set free what an order holds."""
    if member.side == SELL:
        accounts.account(account).release_energy(member.energy_milli_wh)
        member.energy_milli_wh = 0
    else:
        accounts.account(account).release_money(member.reserve_micro)
        member.reserve_micro = 0


def _finish(
    ctx: CallContext,
    terms: ResponseTerms,
    number: int,
    clearing: Clearing,
    accounts: WorkingAccounts,
) -> None:
    if clearing.surplus_micro:
        accounts.account(terms.account).earn(clearing.surplus_micro)
        ctx.emit("surplus", number, terms.account, clearing.surplus_micro)


def _tell(
    ctx: CallContext, stage: str, number: int, account: bytes, side: int, award: Award
) -> None:
    event = f"{stage}_bought" if side == BUY else f"{stage}_sold"
    ctx.emit(event, number, account, award.energy_milli_wh, award.amount_micro)


def _order(account: bytes, member: Member) -> Order:
    return Order(
        member.number,
        account,
        member.side,
        member.energy_milli_wh,
        member.price_micro_per_kwh,
        member.number,
    )


def _given_up_number(number: int) -> int:
    """Return a number for what is given up, apart from those of orders."""
    return -number


def _load_member(ctx: CallContext, number: int) -> Member:
    key = own_key(MEMBER_SPACE, number, ctx.caller)
    member = load_leaf(ctx, Member, key, "no_order", "the member has no order in this round")
    if member.side not in (BUY, SELL):
        raise InvariantViolation(f"a member of round {number} has no side")
    return member
