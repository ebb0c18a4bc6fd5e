"""Staking: who puts what behind which validator, what that earns, and what faults cost it.

All stake that is money, and all rewards, lie in one account that nobody has a key for. Whatever
comes into it unbooked (block rewards, fees) belongs to the validators of the block, by power.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from vm.arguments import ACCOUNT, AMOUNT, Argument, integer
from vm.context import CallContext
from vm.module import Module, Section, method
from vm.overlay import StateReader
from vm.primitives.codec import Encodable
from vm.primitives.errors import CallError, InvalidGenesis, InvariantViolation
from vm.system.account_leaf import NO_KEY
from vm.system.accounts import (
    ACTIVE,
    REMOVED,
    Account,
    change_supply,
    load_account,
    save_account,
)
from vm.system.fresh_stake import change_note
from vm.system.incentives import add_points, change_points_total
from vm.system.members import NAME_SPACE, load_member
from vm.system.stake_moves import END, load_delegation, put_in, slash, take_out
from vm.system.stake_pool import (
    DELEGATION_INDEX,
    DELEGATION_SPACE,
    POOL_INDEX,
    POOL_SPACE,
    POT_KEY,
    SCALE_BITS,
    UNBONDING_INDEX,
    UNBONDING_SPACE,
    Pool,
    Pot,
    decode_delegation,
    decode_unbonding,
    delegation_key,
    load_pool,
    read_pool,
    save_pool,
    unbonding_key,
)
from vm.system.staking_account import (
    STAKING_ACCOUNT,
    burn_fine,
    burn_stake,
    load_pot,
    mint_reward,
    pay_out,
)
from vm.system.staking_terms import (
    EQUAL_KEY,
    MONEY,
    NO_TOKEN,
    POWER_UNIT_MICRO,
    STAKE_ENGINE,
    TERMS_KEY,
    TOUCHED_KEY,
    StakingTerms,
    load_terms,
    parse_terms,
    validate_unbonding,
)
from vm.system.validator_changes import (
    change_validators,
    changes_between,
    replace_validators,
    set_before,
    step_towards,
)
from vm.system.validators import VALIDATORS_KEY, Validator, encode_validators, read_validators

LONGEST_WAIT_MS: Final = 86_400_000
"""How long stake whose time is over waits at a time until evidence against it has expired."""
PERCENT: Final = integer(0, 100)


class StakingModule(Module):
    """Stakes, delegations and rewards; from them the validators of the next height."""

    name = "staking"

    def __init__(self, roles: tuple[str, ...]) -> None:
        self._validator = 1 << roles.index("validator") if "validator" in roles else 0

    # --- what members call ---------------------------------------------------------------------

    @method(Argument("amount_micro", AMOUNT), roles=("validator",))
    def bond(self, ctx: CallContext, amount_micro: int) -> Encodable:
        """Put the caller's own stake behind the caller as a validator."""
        terms = _terms(ctx)
        if ctx.get(POOL_SPACE + ctx.caller) is None:
            if not load_member(ctx, ctx.caller).vote_key:
                raise CallError(
                    "no_vote_key",
                    "a validator votes with a key of its own",
                    hint="Enter it with `bitenergy member set --vote-key`.",
                )
            _open_pool(ctx, ctx.caller)
        put_in(ctx, terms, ctx.caller, ctx.caller, amount_micro)
        return None

    @method(Argument("validator", ACCOUNT), Argument("amount_micro", AMOUNT))
    def delegate(self, ctx: CallContext, validator: bytes, amount_micro: int) -> Encodable:
        """Put the caller's stake behind a validator, for a share of its rewards and its faults."""
        put_in(ctx, _terms(ctx), validator, ctx.caller, amount_micro)
        return None

    @method(Argument("validator", ACCOUNT), Argument("amount_micro", AMOUNT))
    def unbond(self, ctx: CallContext, validator: bytes, amount_micro: int) -> Encodable:
        """Take stake back; it is free after the unbonding period, and answers for faults before."""
        return take_out(ctx, _terms(ctx), validator, amount_micro)

    @method(Argument("validator", ACCOUNT))
    def withdraw(self, ctx: CallContext, validator: bytes) -> Encodable:
        """Pay the caller its rewards from a validator's pool; to the validator its commission."""
        _terms(ctx)
        pool, pot = load_pool(ctx, validator), load_pot(ctx)
        delegation = load_delegation(ctx, validator, ctx.caller)
        pool.settle(pot)
        delegation.settle(pool)
        amount_micro = delegation.accrued >> SCALE_BITS
        delegation.accrued -= amount_micro << SCALE_BITS
        if ctx.caller == validator:
            commission_micro = pool.commission >> SCALE_BITS
            pool.commission -= commission_micro << SCALE_BITS
            amount_micro += commission_micro
        if not amount_micro:
            raise CallError("no_rewards", "there is nothing to withdraw yet")
        if delegation.shares:
            ctx.put(delegation_key(validator, ctx.caller), delegation.encode())
        save_pool(ctx, validator, pool)
        pay_out(ctx, pot, ctx.caller, amount_micro)
        ctx.emit("withdraw", ctx.caller, validator, amount_micro)
        return amount_micro

    @method(Argument("percent", PERCENT), roles=("validator",))
    def set_commission(self, ctx: CallContext, percent: int) -> Encodable:
        """State which part of the rewards from now on the caller keeps as the validator."""
        _terms(ctx)
        pool = load_pool(ctx, ctx.caller)
        pool.settle(load_pot(ctx))
        pool.commission_percent = percent
        save_pool(ctx, ctx.caller, pool)
        ctx.emit("set_commission", ctx.caller, percent)
        return None

    # --- what happens by itself ----------------------------------------------------------------

    def init_genesis(self, ctx: CallContext, section: Section) -> None:
        """Write the terms, and the stakes with which the network begins."""
        if not section:
            return
        terms, stakes = parse_terms(section)
        ctx.put(TERMS_KEY, terms.encode())
        if terms.token == NO_TOKEN:
            return
        validate_unbonding(terms, ctx.block.parameters)
        told = len(ctx.events)
        save_account(ctx, STAKING_ACCOUNT, Account(NO_KEY, 0, REMOVED, 0, 0, 0, 0, 0))
        ctx.put(POT_KEY, Pot().encode())
        for name, amount_micro in sorted(stakes.items()):
            account = ctx.get(NAME_SPACE + name.encode())
            if account is None:
                raise InvalidGenesis("staking: a stake of nobody", actual=name)
            _open_pool(ctx, account)
            _make_stake(ctx, terms, account, amount_micro)
            put_in(ctx, terms, account, account, amount_micro)
        wanted = self._wanted(ctx, terms)
        if ctx.get(EQUAL_KEY) is not None:
            wanted = ()  # the members' roles have made the set already
        elif not wanted:
            raise InvalidGenesis(
                "staking: nobody has the stake that a validator needs",
                expected="stakes of members with the role 'validator', at least 'min_stake' each",
            )
        if wanted:
            self._share_by(ctx, wanted, wanted)
            ctx.put(VALIDATORS_KEY, encode_validators(wanted))
        ctx.delete(TOUCHED_KEY)
        del ctx.events[told:]  # as many as there are stakes: the state itself tells of them

    def end_block(self, ctx: CallContext) -> None:
        """Share the block's income by power; then let the set follow the stakes."""
        terms = load_terms(ctx)
        if terms.token == NO_TOKEN or ctx.get(EQUAL_KEY) is not None:
            return
        if terms.block_reward_micro:
            mint_reward(ctx, terms.block_reward_micro)
        pot = load_pot(ctx)
        income_micro = load_account(ctx, STAKING_ACCOUNT).money_micro - pot.booked_micro
        if income_micro:
            pot.book(income_micro)
            ctx.put(POT_KEY, pot.encode())
        if ctx.get(TOUCHED_KEY) is None:
            return
        before = set_before(ctx)
        wanted = self._wanted(ctx, terms) or before
        following = step_towards(before, wanted)
        changed = changes_between(before, following)
        if changed:
            self._share_by(ctx, changed, following)
            change_validators(ctx, following)
        if following == tuple(wanted):
            ctx.delete(TOUCHED_KEY)
        else:
            _note_excess(ctx, following, wanted)
            ctx.schedule(ctx.time_ms + 1, b"")  # so that there is a next block to go on in

    def change_engine(self, ctx: CallContext, engine: str) -> None:
        """Have stakes weigh from the next height on, or each validator have one vote."""
        by_stake = engine == STAKE_ENGINE
        terms = load_terms(ctx)
        if terms.token == NO_TOKEN:
            if by_stake:
                raise CallError(
                    "no_stakes",
                    f"the engine {engine} weighs votes by stake, and nothing is staked here",
                    expected="modules.staking with `token` in the genesis file",
                    hint="What is staked only genesis says: begin a network of its own with it.",
                )
            return
        if by_stake == (ctx.get(EQUAL_KEY) is None):
            return
        if by_stake:
            after = self._wanted(ctx, terms)
            if not after:
                raise CallError(
                    "no_stakes",
                    f"the engine {engine} weighs votes by stake, and no validator has enough",
                    expected=f"at least {terms.min_stake_micro}",
                    hint="Validators bond first: bitenergy stake bond.",
                )
            self._share_by(ctx, after, after)
            ctx.delete(EQUAL_KEY)
        else:
            before = read_validators(ctx.state)
            after = tuple(replace(validator, power=1) for validator in before)
            self._share_by(ctx, [replace(validator, power=0) for validator in before], ())
            ctx.put(EQUAL_KEY, b"\1")
        ctx.delete(TOUCHED_KEY)
        replace_validators(ctx, after)

    def on_equivocation(self, ctx: CallContext, account: bytes, height: int) -> None:
        """Make a proved contradiction cost what genesis says: a fine, and part of the stakes."""
        terms = load_terms(ctx)
        if terms.fine_micro:
            burn_fine(ctx, account, terms.fine_micro)
        if terms.token == NO_TOKEN or ctx.get(POOL_SPACE + account) is None:
            return
        cut_micro = slash(ctx, account, height, terms.slash_percent)
        burn_stake(ctx, terms, cut_micro)
        ctx.put(TOUCHED_KEY, b"\1")
        ctx.emit("slash", account, height, cut_micro)

    def on_due(self, ctx: CallContext, payload: bytes) -> None:
        """Free stake whose time is over, less what it answers for; not before evidence expires."""
        if not payload:
            return
        terms, number = load_terms(ctx), int.from_bytes(payload, "big")
        data = ctx.get(unbonding_key(number))
        if data is None:
            raise InvariantViolation(f"unbonding {number} is due and not there")
        leaving = decode_unbonding(data)
        pool, parameters = load_pool(ctx, leaving.validator), ctx.block.parameters
        blocks = leaving.last_height(pool) + parameters.evidence_max_age_blocks - ctx.height
        if blocks > 0 and not pool.slashed_height:
            wait_ms = min(blocks * parameters.heartbeat_ms, LONGEST_WAIT_MS)
            ctx.schedule(ctx.time_ms + max(wait_ms, 1), payload)
            return
        ctx.delete(unbonding_key(number))
        ctx.delete(UNBONDING_INDEX + leaving.delegator + payload)
        cut_micro = leaving.slashed_micro(pool, terms.slash_percent)
        burn_stake(ctx, terms, cut_micro)
        free_micro = leaving.amount_micro - cut_micro
        if terms.token == MONEY:
            pay_out(ctx, load_pot(ctx), leaving.delegator, free_micro)
        else:
            add_points(ctx, leaving.delegator, free_micro)
        ctx.emit("unbonded", leaving.delegator, leaving.validator, free_micro, cut_micro)

    def rebuild_index(self, ctx: CallContext, key: bytes, value: bytes) -> None:
        """Write the index entries that follow from a pool, a delegation or an unbonding."""
        if key[:2] == POOL_SPACE:
            ctx.put(POOL_INDEX + key[2:], b"\1")
        elif key[:2] == DELEGATION_SPACE:
            ctx.put(DELEGATION_INDEX + key[22:] + key[2:22], b"\1")
            for height, shares in decode_delegation(value).fresh:
                change_note(ctx, key[2:22], height, shares)
        elif key[:2] == UNBONDING_SPACE:
            ctx.put(UNBONDING_INDEX + decode_unbonding(value).delegator + key[2:], b"\1")

    # --- parts ---------------------------------------------------------------------------------

    def _wanted(self, ctx: CallContext, terms: StakingTerms) -> tuple[Validator, ...]:
        """Return the set that the stakes ask for; empty if nobody has what it takes."""
        found: list[Validator] = []
        for key, _ in list(ctx.scan(POOL_INDEX, POOL_INDEX + END)):
            account = key[len(POOL_INDEX) :]
            pool = load_pool(ctx, account)
            if pool.slashed_height or pool.stake_micro < terms.min_stake_micro:
                continue
            leaf, member = load_account(ctx, account), load_member(ctx, account)
            if leaf.status == ACTIVE and leaf.roles & self._validator and member.vote_key:
                power = pool.stake_micro // POWER_UNIT_MICRO
                found.append(Validator(member.vote_key, power, account))
        found.sort(key=lambda validator: (-validator.power, validator.account))
        by_key: dict[bytes, Validator] = {}
        for validator in found:
            by_key.setdefault(validator.vote_key, validator)
        chosen = list(by_key.values())[: terms.max_validators]
        return tuple(sorted(chosen, key=lambda validator: validator.account))

    def _share_by(
        self, ctx: CallContext, changed: Sequence[Validator], after: Sequence[Validator]
    ) -> None:
        """Have each of the `changed` pools earn by its new power in the set `after`."""
        pot = load_pot(ctx)
        for validator in changed:
            pool = load_pool(ctx, validator.account)
            pool.settle(pot)
            pool.power = validator.power
            save_pool(ctx, validator.account, pool)
        pot.total_power = sum(validator.power for validator in after)
        ctx.put(POT_KEY, pot.encode())


def _terms(ctx: CallContext) -> StakingTerms:
    terms = load_terms(ctx)
    if terms.token == NO_TOKEN:
        raise CallError("no_staking", "nothing is staked on this network")
    return terms


def _open_pool(ctx: CallContext, validator: bytes) -> None:
    pool = Pool(mark=load_pot(ctx).per_power)
    save_pool(ctx, validator, pool)
    ctx.put(POOL_INDEX + validator, b"\1")


def _note_excess(
    ctx: CallContext, following: Sequence[Validator], wanted: Sequence[Validator]
) -> None:
    """Note whose votes weigh more at the next height than their stake: what left answers."""
    powers = {validator.account: validator.power for validator in wanted}
    for validator in following:
        if validator.power > powers.get(validator.account, 0):
            pool = load_pool(ctx, validator.account)
            if pool.excess_until != ctx.height:
                pool.excess_from = ctx.height
            pool.excess_until = ctx.height + 1
            save_pool(ctx, validator.account, pool)


def _make_stake(ctx: CallContext, terms: StakingTerms, account: bytes, amount_micro: int) -> None:
    """Give a member the stake with which genesis has it begin."""
    if not amount_micro:
        raise InvalidGenesis("staking: a stake is more than nothing")
    if terms.token == MONEY:
        leaf = load_account(ctx, account)
        leaf.earn(amount_micro)
        save_account(ctx, account, leaf)
        change_supply(ctx, money_micro=amount_micro)
    else:
        change_points_total(ctx, amount_micro)
        add_points(ctx, account, amount_micro)


def answers_for_faults(state: StateReader, account: bytes) -> bool:
    """Tell whether a contradiction of `account` can still cost it something.

    It can where it validates now, or has stake that no fault has cut yet.
    """
    pool = read_pool(state, account)
    if pool is not None:
        return not pool.slashed_height
    return any(validator.account == account for validator in read_validators(state))
