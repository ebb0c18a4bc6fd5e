"""Who belongs to a day market: there its meter is settled, and only there it trades."""

from __future__ import annotations

from market.day.due import next_to_correct, start_settling
from market.day.governing import first_unopened
from market.day.records import (
    MARK,
    STANDING_INDEX,
    DayMarket,
    Standing,
    delete_standing,
    load_position,
    load_standing,
    save_standing,
)
from market.meters.readings import true_ups
from market.working_accounts import WorkingAccounts
from vm.context import CallContext
from vm.primitives.errors import CallError
from vm.system.accounts import REMOVED, change_supply, load_account


def validate_trader(ctx: CallContext, market: DayMarket, interval: int) -> None:
    """Have the caller belong to the market in an interval.

    Raises CallError `other_market`, `in_arrears`, `leaving`.
    """
    standing = load_standing(ctx, ctx.caller)
    if standing is None:
        ctx.emit("join", market.name, ctx.caller, join(ctx, market, ctx.caller))
        return
    if standing.market != market.number:
        raise CallError("other_market", "the member belongs to another day market")
    if standing.end is not None and interval >= standing.end:
        raise _leaving(standing)
    if standing.owed_micro > 0:
        raise CallError(
            "in_arrears",
            "the member owes the upstream supplier",
            actual=standing.owed_micro,
            hint="Pay with day.pay_arrears.",
        )


def join(ctx: CallContext, market: DayMarket, account: bytes) -> int:
    """Enter a member; return the first interval settled for it. Raises CallError `joined`."""
    standing = load_standing(ctx, account)
    owed = 0, 0
    if standing is not None:
        if standing.end is None:
            raise CallError("joined", "the member belongs to a day market already")
        if standing.market != market.number or next_to_correct(ctx, market) < standing.end:
            raise _leaving(standing)
        owed = standing.owed_micro, standing.owed_ecoin_milli_wh
    since = market.calendar.interval_at(ctx.time_ms) + 1
    save_standing(ctx, account, Standing(market.number, since, *owed, *true_ups(ctx, account)))
    ctx.put(STANDING_INDEX + market.number.to_bytes(2, "big") + account, MARK)
    start_settling(ctx, market, since)
    return since


def leave(ctx: CallContext, market: DayMarket) -> int:
    """Let the caller leave after the interval that runs; return the first without it.

    What is settled of it before stays due: it is gone when that is corrected and nothing is owed.
    Raises CallError `not_joined`, `leaving`, `orders_open`, `in_arrears`.
    """
    standing = load_standing(ctx, ctx.caller)
    if standing is None or standing.market != market.number:
        raise CallError("not_joined", "the member does not belong to this day market")
    if standing.end is not None:
        raise _leaving(standing)
    if standing.owed_micro > 0:
        raise CallError(
            "in_arrears",
            "the member owes the upstream supplier",
            actual=standing.owed_micro,
            hint="Pay with day.pay_arrears.",
        )
    end = market.calendar.interval_at(ctx.time_ms) + 1
    # Orders are for intervals that are open, which are those of some two days.
    for interval in range(end, first_unopened(market.calendar, ctx.time_ms)):
        if load_position(ctx, market.prefix(interval), ctx.caller) is not None:
            raise CallError(
                "orders_open",
                "the member has orders or contracts of an interval to come",
                actual=interval,
                hint="Cancel them, or leave when the interval is over.",
            )
    standing.end = max(end, standing.since)
    save_standing(ctx, ctx.caller, standing)
    return standing.end


def let_go(ctx: CallContext, market: DayMarket, account: bytes, standing: Standing) -> None:
    """Forget a member that leaves, once nothing of it is open."""
    is_open = standing.owed_micro or standing.owed_ecoin_milli_wh
    if standing.end is None or is_open or next_to_correct(ctx, market) < standing.end:
        return
    delete_standing(ctx, account, standing)
    ctx.emit("left", market.name, account)


def end_removed(ctx: CallContext, market: DayMarket, account: bytes, standing: Standing) -> None:
    """Have a member that was removed, which cannot leave, be out from what has not opened yet."""
    if standing.end is None and load_account(ctx, account).status == REMOVED:
        standing.end = first_unopened(market.calendar, ctx.time_ms)
        save_standing(ctx, account, standing)
        ctx.emit("leave", market.name, account, standing.end)


def _leaving(standing: Standing) -> CallError:
    return CallError(
        "leaving",
        "the member leaves its day market",
        actual=f"with interval {standing.end}",
        hint="It can join again once all before that is corrected, and nothing is owed.",
    )


def pay_arrears(
    ctx: CallContext, market: DayMarket, account: bytes
) -> tuple[bytes, bytes, int, int]:
    """Move what a member and the supplier owe each other, as far as there is free money.

    Ecoins that the member still has to give back are taken from those that it has. Returns payer,
    payee, amount and ecoins. Raises CallError `no_arrears`.
    """
    standing = load_standing(ctx, account)
    is_even = standing is None or not (standing.owed_micro or standing.owed_ecoin_milli_wh)
    if standing is None or standing.market != market.number or is_even:
        raise CallError("no_arrears", "nothing is owed between this member and the supplier")
    is_debt = standing.owed_micro > 0
    payer, payee = (account, market.upstream) if is_debt else (market.upstream, account)
    accounts = WorkingAccounts(ctx)
    amount = min(abs(standing.owed_micro), accounts.account(payer).money_micro)
    accounts.account(payer).pay(amount)
    accounts.account(payee).earn(amount)
    ecoin = min(standing.owed_ecoin_milli_wh, accounts.account(account).energy_milli_wh)
    accounts.account(account).give_energy(ecoin)
    accounts.save()
    change_supply(ctx, energy_milli_wh=-ecoin)
    standing.owed_micro -= amount if is_debt else -amount
    standing.owed_ecoin_milli_wh -= ecoin
    save_standing(ctx, account, standing)
    return payer, payee, amount, ecoin
