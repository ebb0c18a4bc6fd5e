"""The staking account: money that is staked or earned by stakes, and what is burned of it."""

from __future__ import annotations

from typing import Final

from vm.context import CallContext
from vm.overlay import StateReader
from vm.primitives.address import account_id
from vm.primitives.integers import MAX_AMOUNT
from vm.system.accounts import change_supply, load_account, load_supply, save_account
from vm.system.incentives import change_points_total
from vm.system.stake_pool import POT_KEY, Pot, decode_pot
from vm.system.staking_terms import MONEY, StakingTerms

STAKING_ACCOUNT: Final = account_id(b"bitenergy/staking")
"""Holds staked money and rewards; no key leads to this id."""


def read_pot(state: StateReader) -> Pot:
    """Return the pot without gas, for readers."""
    return decode_pot(state.get(POT_KEY))


def load_pot(ctx: CallContext) -> Pot:
    """Return a working copy of the pot."""
    return decode_pot(ctx.get(POT_KEY))


def take_in(ctx: CallContext, pot: Pot, payer: bytes, amount_micro: int) -> None:
    """Move free money of a member into the account; raises CallError `insufficient_money`."""
    leaf = load_account(ctx, payer)
    leaf.pay(amount_micro)
    save_account(ctx, payer, leaf)
    held = load_account(ctx, STAKING_ACCOUNT)
    held.earn(amount_micro)
    save_account(ctx, STAKING_ACCOUNT, held)
    pot.booked_micro += amount_micro
    ctx.put(POT_KEY, pot.encode())
    ctx.emit("pay_in", payer, amount_micro)


def pay_out(ctx: CallContext, pot: Pot, payee: bytes, amount_micro: int) -> None:
    """Move money of the account to a member, whatever its status."""
    held = load_account(ctx, STAKING_ACCOUNT)
    held.pay(amount_micro)
    save_account(ctx, STAKING_ACCOUNT, held)
    leaf = load_account(ctx, payee)
    leaf.earn(amount_micro)
    save_account(ctx, payee, leaf)
    pot.booked_micro -= amount_micro
    ctx.put(POT_KEY, pot.encode())
    ctx.emit("pay_out", payee, amount_micro)


def burn_stake(ctx: CallContext, terms: StakingTerms, amount_micro: int) -> None:
    """Take staked money, or staked points, out of being."""
    if not amount_micro:
        return
    if terms.token != MONEY:
        change_points_total(ctx, -amount_micro)
        return
    pot, held = load_pot(ctx), load_account(ctx, STAKING_ACCOUNT)
    held.pay(amount_micro)
    save_account(ctx, STAKING_ACCOUNT, held)
    pot.booked_micro -= amount_micro
    ctx.put(POT_KEY, pot.encode())
    change_supply(ctx, money_micro=-amount_micro)
    ctx.emit("burn", STAKING_ACCOUNT, amount_micro)


def mint_reward(ctx: CallContext, amount_micro: int) -> None:
    """Make the money that a block brings."""
    if load_supply(ctx)[0] + amount_micro > MAX_AMOUNT:
        return  # there cannot be more money: no reward is no reason for no block
    held = load_account(ctx, STAKING_ACCOUNT)
    held.earn(amount_micro)
    save_account(ctx, STAKING_ACCOUNT, held)
    change_supply(ctx, money_micro=amount_micro)
    ctx.emit("mint", STAKING_ACCOUNT, amount_micro)


def burn_fine(ctx: CallContext, account: bytes, fine_micro: int) -> None:
    """Burn money of a validator, as far as it has any that is free."""
    leaf = load_account(ctx, account)
    amount_micro = min(fine_micro, leaf.money_micro)
    if not amount_micro:
        return
    leaf.pay(amount_micro)
    save_account(ctx, account, leaf)
    change_supply(ctx, money_micro=-amount_micro)
    ctx.emit("burn", account, amount_micro)
