"""Stake's ways: into a validator's pool, out of it, and what a fault takes of it."""

from __future__ import annotations

from typing import Final

from vm.context import CallContext
from vm.primitives.errors import CallError
from vm.system.fresh_stake import Notes, forget_shares, note_shares, pool_since
from vm.system.incentives import take_points
from vm.system.stake_pool import (
    DELEGATION_INDEX,
    SCALE_BITS,
    UNBONDING_INDEX,
    Delegation,
    Pool,
    Pot,
    Unbonding,
    decode_delegation,
    delegation_key,
    load_pool,
    save_pool,
    unbonding_key,
)
from vm.system.staking_account import load_pot, pay_out, take_in
from vm.system.staking_terms import MONEY, TOUCHED_KEY, StakingTerms

MAX_UNBONDINGS: Final = 16
"""Unbondings of one delegator that wait at the same time."""
END: Final = b"\xff" * 21
"""Above whatever follows a prefix of an index."""


def put_in(
    ctx: CallContext, terms: StakingTerms, validator: bytes, delegator: bytes, amount_micro: int
) -> None:
    """Put free money or points of `delegator` behind a validator."""
    pool, pot = load_pool(ctx, validator), load_pot(ctx)
    if pool.slashed_height:
        raise CallError("slashed", "this validator contradicted itself and is out for good")
    pool.settle(pot)
    delegation = _find_delegation(ctx, validator, delegator)
    if delegation is None:
        delegation = Delegation(mark=pool.per_share)
        ctx.put(DELEGATION_INDEX + delegator + validator, b"\1")
    delegation.settle(pool)
    shares = pool.shares_for(amount_micro)
    delegation.fresh = note_shares(ctx, validator, delegation.fresh, shares)
    delegation.shares += shares
    pool.shares += shares
    pool.stake_micro += amount_micro
    ctx.put(delegation_key(validator, delegator), delegation.encode())
    save_pool(ctx, validator, pool)
    if terms.token == MONEY:
        take_in(ctx, pot, delegator, amount_micro)
    else:
        take_points(ctx, delegator, amount_micro)
    ctx.put(TOUCHED_KEY, b"\1")
    ctx.emit("stake", delegator, validator, amount_micro)


def take_out(ctx: CallContext, terms: StakingTerms, validator: bytes, amount_micro: int) -> int:
    """Take stake of the caller out of a pool; return the number of the unbonding."""
    delegator = ctx.caller
    waiting = sum(
        1 for _ in ctx.scan(UNBONDING_INDEX + delegator, UNBONDING_INDEX + delegator + END)
    )
    if waiting >= MAX_UNBONDINGS:
        raise CallError(
            "too_many_unbondings",
            "too much stake is on its way out already",
            expected=f"at most {MAX_UNBONDINGS} at a time",
            hint="Wait until the first of it is free.",
        )
    pool, pot = load_pool(ctx, validator), load_pot(ctx)
    delegation = load_delegation(ctx, validator, delegator)
    late = delegation.late_shares(pool)
    worth_micro = pool.worth_micro(delegation.shares, late)
    if amount_micro > worth_micro:
        raise CallError(
            "insufficient_stake",
            "there is not so much stake of the caller's with this validator",
            expected=f"at most {worth_micro}",
            actual=amount_micro,
        )
    pool.settle(pot)
    delegation.settle(pool)
    shares = pool.take(amount_micro, delegation.shares, late)
    fresh = _take_shares(ctx, validator, delegation, shares, amount_micro)
    if not delegation.shares:
        _leave(ctx, pot, pool, validator, delegator, delegation)
    else:
        ctx.put(delegation_key(validator, delegator), delegation.encode())
    save_pool(ctx, validator, pool)
    number, due_ms = ctx.next_number("unbonding"), ctx.time_ms + terms.unbonding_ms
    leaving = Unbonding(validator, delegator, amount_micro, ctx.height, due_ms, fresh)
    ctx.put(unbonding_key(number), leaving.encode())
    ctx.put(UNBONDING_INDEX + delegator + number.to_bytes(8, "big"), b"\1")
    ctx.schedule(due_ms, number.to_bytes(8, "big"))
    ctx.put(TOUCHED_KEY, b"\1")
    ctx.emit("unbond", delegator, validator, amount_micro, due_ms)
    return number


def slash(ctx: CallContext, validator: bytes, height: int, percent: int) -> int:
    """Cut what stood behind a validator's votes of `height`; return how much that is.

    What came there or later stays whole, and so does what left before.
    """
    pool = load_pool(ctx, validator)
    cut_micro = pool.slash(pool_since(ctx, validator, height), percent)
    pool.slashed_height, pool.slashed_at = height, ctx.height
    save_pool(ctx, validator, pool)
    return cut_micro


def load_delegation(ctx: CallContext, validator: bytes, delegator: bytes) -> Delegation:
    """Return a working copy of a delegation; raises CallError `no_stake`."""
    found = _find_delegation(ctx, validator, delegator)
    if found is not None:
        return found
    if delegator == validator:
        return Delegation()  # whose stake is out may still have commission
    raise CallError("no_stake", "the caller staked nothing with this validator", actual=validator)


def _find_delegation(ctx: CallContext, validator: bytes, delegator: bytes) -> Delegation | None:
    data = ctx.get(delegation_key(validator, delegator))
    return None if data is None else decode_delegation(data)


def _take_shares(
    ctx: CallContext, validator: bytes, delegation: Delegation, shares: int, amount_micro: int
) -> Notes:
    """Take shares out of a delegation, those that came first; return what came lately, as stake."""
    delegation.fresh, gone = forget_shares(
        ctx, validator, delegation.fresh, held=delegation.shares, taken=shares
    )
    delegation.shares -= shares
    return tuple((height, amount_micro * part // shares) for height, part in gone)


def _leave(
    ctx: CallContext,
    pot: Pot,
    pool: Pool,
    validator: bytes,
    delegator: bytes,
    delegation: Delegation,
) -> None:
    """Pay the last rewards of a delegation that ends; what is no whole micro-token stays here."""
    amount_micro = delegation.accrued >> SCALE_BITS
    pool.share_out(delegation.accrued - (amount_micro << SCALE_BITS))
    ctx.delete(delegation_key(validator, delegator))
    ctx.delete(DELEGATION_INDEX + delegator + validator)
    if amount_micro:
        pay_out(ctx, pot, delegator, amount_micro)
        ctx.emit("withdraw", delegator, validator, amount_micro)
