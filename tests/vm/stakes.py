"""Chains with stakes for tests, and the check that their books hold."""

from __future__ import annotations

from collections import Counter

from node.ledger.receipt import Receipt
from tests.ledger.support import ROLES, Chain, id_of
from vm.primitives.codec import decode_integer, unpack_trusted
from vm.system.accounts import SUPPLY_KEY, decode_account
from vm.system.fresh_stake import FRESH_INDEX
from vm.system.incentives import IncentivesModule
from vm.system.stake_pool import (
    DELEGATION_SPACE,
    POOL_SPACE,
    SCALE_BITS,
    UNBONDING_SPACE,
    decode_delegation,
    decode_pool,
    decode_unbonding,
)
from vm.system.staking import StakingModule
from vm.system.staking_account import STAKING_ACCOUNT, read_pot
from vm.system.validators import read_validators

TOKEN = 1_000_000
STAKES = {"V1": "100", "V2": "100", "V3": "100", "V4": "100"}
BASE = {"token": "money", "stakes": STAKES, "unbonding_minutes": 1, "slash_percent": 5}
UNBONDING_MS = 60_000
SHORT = {"evidence_max_age_blocks": 8}
"""Evidence that expires well within the unbonding period."""


def staked(*, engine: str = "pos", parameters: dict | None = None, **section: object) -> Chain:
    """Return a chain whose validators have staked."""
    modules = {"staking": {**BASE, **section}}
    return Chain(
        StakingModule(ROLES),
        IncentivesModule(),
        engine={"name": engine, "parameters": {}},
        modules=modules,
        parameters=SHORT | (parameters or {}),
    )


def stake(method: str, *arguments: object) -> tuple:
    return ("staking", method, arguments)


def powers(chain: Chain) -> dict[str, int]:
    names = {id_of(name): name for name in ("V1", "V2", "V3", "V4", "P1", "P2")}
    return {names[one.account]: one.power for one in read_validators(chain.state)}


def events(receipts: tuple[Receipt, ...], name: str) -> list[tuple]:
    return [event[2] for one in receipts for event in one.events if event[1] == name]


def check_books(chain: Chain) -> None:
    """All money is somebody's, and every fraction of a reward is booked, to the last bit."""
    accounts = {k[1:]: decode_account(v) for k, v in chain.entries.items() if k[:1] == b"a"}
    supply = unpack_trusted(chain.entries[SUPPLY_KEY])[0]
    assert sum(one.money_micro + one.money_reserved_micro for one in accounts.values()) == supply
    pot = read_pot(chain.state)
    pools = {k[2:]: decode_pool(v) for k, v in chain.entries.items() if k[:2] == POOL_SPACE}
    owed = pot.rest
    for account, pool in pools.items():
        owed += pool.power * (pot.per_power - pool.mark) + pool.rest + pool.commission
        parts = {
            k: decode_delegation(v)
            for k, v in chain.entries.items()
            if k[:22] == DELEGATION_SPACE + account
        }
        assert sum(one.shares for one in parts.values()) == pool.shares
        notes = Counter[int]()
        for one in parts.values():
            assert sum(shares for _, shares in one.fresh) <= one.shares
            notes.update(dict(one.fresh))
        prefix = FRESH_INDEX + account
        assert notes == {
            int.from_bytes(k[-8:], "big"): decode_integer(v, max_bytes=40)
            for k, v in chain.entries.items()
            if k.startswith(prefix)
        }
        assert sum(one.late_shares(pool) for one in parts.values()) == pool.late_shares
        worth = sum(pool.worth_micro(one.shares, one.late_shares(pool)) for one in parts.values())
        assert pool.stake_micro - 2 * len(parts) - 2 <= worth <= pool.stake_micro
        owed += sum(
            one.accrued + one.shares * (pool.per_share - one.mark) for one in parts.values()
        )
    out = [decode_unbonding(v) for k, v in chain.entries.items() if k[:2] == UNBONDING_SPACE]
    at_stake = sum(pool.stake_micro for pool in pools.values())
    at_stake += sum(one.amount_micro for one in out)
    held = at_stake if chain.genesis.modules["staking"]["token"] == "money" else 0
    assert (pot.booked_micro - held) << SCALE_BITS == owed
    assert accounts[STAKING_ACCOUNT].money_micro >= pot.booked_micro
    assert pot.total_power == sum(pool.power for pool in pools.values())
    assert {k: p.power for k, p in pools.items() if p.power} == {
        one.account: one.power for one in read_validators(chain.state)
    }
