"""What stations owe of penalties that deposit and free money did not pay.

A station in debt demands nothing: its next demand pays the debt first. So money spent before a
settlement puts a penalty off, and does not put it away. Whom it is owed to may forgive it.
"""

from __future__ import annotations

from market.quota.records import DEBT_SPACE, Debts
from market.working_accounts import WorkingAccounts
from vm.context import CallContext
from vm.primitives.errors import CallError
from vm.primitives.integers import MAX_AMOUNT


def owe(ctx: CallContext, station: bytes, dso: bytes, amount_micro: int) -> None:
    """Have a station owe some more to a DSO."""
    owed = dict(_load(ctx, station))
    owed[dso] = min(owed.get(dso, 0) + amount_micro, MAX_AMOUNT)
    _save(ctx, station, owed)


def pay_debts(ctx: CallContext, number: int) -> None:
    """Pay what the caller owes, as it demands power in a round; raises CallError `in_debt`."""
    owed = _load(ctx, ctx.caller)
    if not owed:
        return
    accounts = WorkingAccounts(ctx)
    leaf, total = accounts.account(ctx.caller), sum([amount for _, amount in owed])
    if leaf.money_micro < total:
        raise CallError(
            "in_debt",
            "penalties of earlier rounds are unpaid",
            expected=f"{total} micro-tokens, free",
            actual=leaf.money_micro,
            hint="A demand pays them. The DSO may forgive them with `quota.forgive`.",
        )
    leaf.reserve_money(total)
    for dso, amount in owed:
        accounts.pay_reserved(ctx.caller, dso, number, amount)
    accounts.save()
    _save(ctx, ctx.caller, {})


def forgive(ctx: CallContext, station: bytes) -> int:
    """Set a station free of what it owes the caller; return that. Raises CallError `no_debt`."""
    owed = dict(_load(ctx, station))
    amount = owed.pop(ctx.caller, 0)
    if not amount:
        raise CallError("no_debt", "the station owes the caller nothing", actual=station)
    _save(ctx, station, owed)
    return amount


def _load(ctx: CallContext, station: bytes) -> tuple[tuple[bytes, int], ...]:
    data = ctx.get(DEBT_SPACE + station)
    return () if data is None else Debts.decode(data).owed


def _save(ctx: CallContext, station: bytes, owed: dict[bytes, int]) -> None:
    if owed:
        ctx.put(DEBT_SPACE + station, Debts(tuple(sorted(owed.items()))).encode())
    else:
        ctx.delete(DEBT_SPACE + station)
