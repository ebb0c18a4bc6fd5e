"""Who belongs to a day market: there its meter is settled, and only there it trades."""

from __future__ import annotations

from market.day.due import start_settling
from market.day.records import (
    MARK,
    STANDING_INDEX,
    DayMarket,
    Standing,
    load_standing,
    save_standing,
)
from market.meters.readings import true_ups
from market.working_accounts import WorkingAccounts
from vm.context import CallContext
from vm.primitives.errors import CallError


def validate_trader(ctx: CallContext, market: DayMarket) -> None:
    """Have the caller belong to the market. Raises CallError `other_market`, `in_arrears`."""
    standing = load_standing(ctx, ctx.caller)
    if standing is None:
        ctx.emit("join", market.name, ctx.caller, join(ctx, market, ctx.caller))
        return
    if standing.market != market.number:
        raise CallError("other_market", "the member belongs to another day market")
    if standing.owed_micro > 0:
        raise CallError(
            "in_arrears",
            "the member owes the upstream supplier",
            actual=standing.owed_micro,
            hint="Pay with day.pay_arrears.",
        )


def join(ctx: CallContext, market: DayMarket, account: bytes) -> int:
    """Enter a member; return the first interval settled for it. Raises CallError `joined`."""
    if load_standing(ctx, account) is not None:
        raise CallError("joined", "the member belongs to a day market already")
    since = market.calendar.interval_at(ctx.time_ms) + 1
    save_standing(ctx, account, Standing(market.number, since, 0, 0, *true_ups(ctx, account)))
    ctx.put(STANDING_INDEX + market.number.to_bytes(2, "big") + account, MARK)
    start_settling(ctx, market, since)
    return since


def pay_arrears(ctx: CallContext, market: DayMarket, account: bytes) -> tuple[bytes, bytes, int]:
    """Move what a member and the supplier owe each other, as far as there is free money.

    Returns payer, payee and amount. Raises CallError `no_arrears`.
    """
    standing = load_standing(ctx, account)
    if standing is None or standing.market != market.number or not standing.owed_micro:
        raise CallError("no_arrears", "nothing is owed between this member and the supplier")
    is_debt = standing.owed_micro > 0
    payer, payee = (account, market.upstream) if is_debt else (market.upstream, account)
    accounts = WorkingAccounts(ctx)
    amount = min(abs(standing.owed_micro), accounts.account(payer).money_micro)
    accounts.account(payer).pay(amount)
    accounts.account(payee).earn(amount)
    accounts.save()
    standing.owed_micro -= amount if is_debt else -amount
    save_standing(ctx, account, standing)
    return payer, payee, amount
