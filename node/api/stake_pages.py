"""What the API says of stakes: the terms, who validates with what, and what one account staked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import islice
from typing import Final

from node.api.answers import Answer, JsonObject
from node.api.context import ApiContext
from node.api.parameters import Arguments
from vm.overlay import StateReader
from vm.primitives.address import encode_address
from vm.primitives.errors import InvariantViolation
from vm.system.incentives import read_points, read_points_total
from vm.system.stake_pool import (
    DELEGATION_INDEX,
    POOL_INDEX,
    SCALE_BITS,
    UNBONDING_INDEX,
    Pool,
    decode_delegation,
    decode_unbonding,
    delegation_key,
    read_pool,
    unbonding_key,
)
from vm.system.staking_account import read_pot
from vm.system.staking_terms import TOKEN_NAMES, StakingTerms, read_terms
from vm.system.validators import read_validators

MAX_LISTED: Final = 1_000
_END: Final = b"\xff" * 21


async def show_staking(context: ApiContext, _: Arguments) -> Answer:
    """Answer GET /staking: the terms, and every validator that staked, the strongest first."""
    store = context.facade.store
    terms = read_terms(store)
    powers = {validator.account: validator.power for validator in read_validators(store)}
    found = [(key, _pool(store, key)) for key in islice(_keys(store, POOL_INDEX), MAX_LISTED)]
    found.sort(key=lambda item: (-item[1].stake_micro, item[0]))
    validators: list[JsonObject] = [
        {
            "validator": encode_address(account),
            "validator_name": context.names.find(account),
            "stake_micro": pool.stake_micro,
            "power": powers.get(account, 0),
            "commission_percent": pool.commission_percent,
            "slashed_height": pool.slashed_height or None,
        }
        for account, pool in found
    ]
    return Answer(
        {
            "height": store.height,
            "terms": _terms_json(terms),
            "points_total_micro": read_points_total(store),
            "validators": validators,
        }
    )


async def show_stakes(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /stakes/{who}: stakes with what they earned, stake on its way out, points."""
    account = context.resolve(arguments.text("who"))
    context.account(account, arguments.viewer)
    store = context.facade.store
    own = read_pool(store, account)
    commission = 0 if own is None else _settled(store, own).commission >> SCALE_BITS
    return Answer(
        {
            "height": store.height,
            "address": encode_address(account),
            "name": context.names.find(account),
            "points_micro": read_points(store, account),
            "commission_micro": commission,
            "stakes": _stakes(context, account),
            "unbondings": _unbondings(context, account),
        }
    )


def _stakes(context: ApiContext, account: bytes) -> list[JsonObject]:
    store = context.facade.store
    found: list[JsonObject] = []
    for validator in islice(_keys(store, DELEGATION_INDEX + account), MAX_LISTED):
        data = store.get(delegation_key(validator, account))
        if data is None:
            raise InvariantViolation(f"the index knows a stake that is gone: {validator.hex()}")
        delegation, pool = decode_delegation(data), _settled(store, _pool(store, validator))
        delegation.settle(pool)
        found.append(
            {
                "validator": encode_address(validator),
                "validator_name": context.names.find(validator),
                "stake_micro": pool.worth_micro(delegation.shares, delegation.late_shares(pool)),
                "reward_micro": delegation.accrued >> SCALE_BITS,
            }
        )
    return found


def _unbondings(context: ApiContext, account: bytes) -> list[JsonObject]:
    store = context.facade.store
    percent = read_terms(store).slash_percent
    found: list[JsonObject] = []
    for number in _keys(store, UNBONDING_INDEX + account):
        data = store.get(unbonding_key(int.from_bytes(number, "big")))
        if data is None:
            raise InvariantViolation(f"the index knows an unbonding that is gone: {number.hex()}")
        leaving = decode_unbonding(data)
        cut_micro = leaving.slashed_micro(_pool(store, leaving.validator), percent)
        found.append(
            {
                "id": int.from_bytes(number, "big"),
                "validator": encode_address(leaving.validator),
                "validator_name": context.names.find(leaving.validator),
                "amount_micro": leaving.amount_micro,
                "slashed_micro": cut_micro,
                "height": leaving.height,
                "due_ms": leaving.due_ms,
            }
        )
    return found


def _keys(store: StateReader, prefix: bytes) -> Iterator[bytes]:
    """Yield what follows `prefix` in the keys of an index."""
    for key, _ in store.scan(prefix, prefix + _END):
        yield key[len(prefix) :]


def _pool(store: StateReader, validator: bytes) -> Pool:
    pool = read_pool(store, validator)
    if pool is None:
        raise InvariantViolation(f"the index knows a pool that is gone: {validator.hex()}")
    return pool


def _settled(store: StateReader, pool: Pool) -> Pool:
    """Return a pool as it is once it took its part of the pot."""
    current = replace(pool)
    current.settle(read_pot(store))
    return current


def _terms_json(terms: StakingTerms) -> JsonObject:
    found: JsonObject = {field.name: getattr(terms, field.name) for field in fields(StakingTerms)}
    return {**found, "token": TOKEN_NAMES[terms.token]}
