"""Deposits for what contracts store: paid by who adds bytes, given back to who takes them away.

A contract's deposit lies in its own account, set aside. New bytes cost the price in force; bytes
that go free their part of what lies there, rounded down, and the last ones free all of it. So no
change of the price makes anybody pay or get what was not paid.
"""

from __future__ import annotations

from vm.context import CallContext
from vm.primitives.errors import CallError
from vm.primitives.integers import checked_add
from vm.system.account_leaf import load_account, save_account
from vm.system.contract_records import Contract, load_terms


def change_deposit(
    ctx: CallContext, payer: bytes, address: bytes, record: Contract, before_bytes: int
) -> None:
    """Bring the deposit of a contract that stored `before_bytes` to what it stores now.

    `record` is changed and not saved. Raises CallError `insufficient_money`, `overflow`.
    """
    after_bytes = record.stored_bytes
    if after_bytes >= before_bytes:
        amount = (after_bytes - before_bytes) * load_terms(ctx).deposit_micro_per_byte
    else:
        amount = -(record.deposit_micro * (before_bytes - after_bytes) // before_bytes)
    if not amount:
        return
    payer_leaf, held = load_account(ctx, payer), load_account(ctx, address)
    if amount > payer_leaf.money_micro:
        raise CallError(
            "insufficient_money",
            f"the deposit for {after_bytes - before_bytes} stored bytes is {amount} micro-tokens;"
            f" the account has {payer_leaf.money_micro}",
            expected=amount,
            actual=payer_leaf.money_micro,
        )
    if amount > 0:
        payer_leaf.pay(amount)
        checked_add(held.money_micro + held.money_reserved_micro, amount)
        ctx.emit("deposit", payer, address, amount)
    else:
        payer_leaf.earn(-amount)
        ctx.emit("refund", address, payer, -amount)
    held.money_reserved_micro += amount
    record.deposit_micro += amount
    save_account(ctx, payer, payer_leaf)
    save_account(ctx, address, held)
