"""The terms of staking: what a chain's genesis says of stakes, rewards and the cost of faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vm.context import CallContext
from vm.overlay import StateReader
from vm.parameters import ChainParameters
from vm.primitives.codec import encode_trusted, unpack_trusted
from vm.primitives.errors import InvalidGenesis, InvariantViolation
from vm.primitives.genesis_fields import read_decimal, read_object
from vm.system.validators import MAX_VALIDATORS

STAKING_SPACE: Final = b"b"
TERMS_KEY: Final = STAKING_SPACE + b"c"
TOUCHED_KEY: Final = STAKING_SPACE + b"x"
"""There while the validators may have to change at the block's end."""
EQUAL_KEY: Final = STAKING_SPACE + b"e"
"""There while each validator has one vote although something is staked."""
STAKE_ENGINE: Final = "pos"
"""The engine under which votes weigh as much as the stake behind them."""
TERMS_TYPE: Final = 50
VERSION: Final = 1

NO_TOKEN: Final = 0
MONEY: Final = 1
INCENTIVES: Final = 2
TOKEN_NAMES: Final = ("none", "money", "incentives")

POWER_UNIT_MICRO: Final = 1_000_000
"""Stake for one unit of voting power: a token, or a point."""
MAX_UNBONDING_MINUTES: Final = 5_256_000

_NUMBERS: Final[Mapping[str, tuple[int, int, int]]] = {
    "max_validators": (1, MAX_VALIDATORS, 64),
    "unbonding_minutes": (0, MAX_UNBONDING_MINUTES, 10_080),
    "slash_percent": (0, 100, 5),
}
SECTION_FIELDS: Final = (
    "token",
    "stakes",
    "min_stake",
    "block_reward",
    "fine",
    *_NUMBERS,
    "share_fees",
    "expel",
)


@dataclass(frozen=True, slots=True)
class StakingTerms:
    """What genesis says; without a section nothing is staked and faults cost nothing."""

    token: int = NO_TOKEN
    """What is staked: NO_TOKEN, MONEY or INCENTIVES."""
    min_stake_micro: int = POWER_UNIT_MICRO
    """Stake, delegations counted, below which nobody validates."""
    max_validators: int = 64
    """How many validate at most; those with the greatest stakes do."""
    unbonding_ms: int = 604_800_000
    """How long stake that was taken back still answers for faults."""
    slash_percent: int = 5
    """Part of all stakes behind a validator that its proved contradiction burns."""
    block_reward_micro: int = 0
    """Money made for the validators with each block."""
    share_fees: bool = False
    """Whether fees are shared by power; else the proposer of a block gets them."""
    fine_micro: int = 0
    """Taken from the money of a validator that contradicted itself, as far as there is, and
    burned."""
    expel: bool = False
    """Whether such a validator loses its role, where nothing is staked."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted(
            (
                TERMS_TYPE,
                VERSION,
                self.token,
                self.min_stake_micro,
                self.max_validators,
                self.unbonding_ms,
                self.slash_percent,
                self.block_reward_micro,
                self.share_fees,
                self.fine_micro,
                self.expel,
            )
        )


def load_terms(ctx: CallContext) -> StakingTerms:
    """Return the chain's terms."""
    return _decode(ctx.get(TERMS_KEY))


def read_terms(state: StateReader) -> StakingTerms:
    """Return the chain's terms without gas, for the ledger and for readers."""
    return _decode(state.get(TERMS_KEY))


def weighs_by_stake(state: StateReader) -> bool:
    """Tell whether stakes decide who validates, and with which power."""
    return read_terms(state).token != NO_TOKEN and state.get(EQUAL_KEY) is None


def _decode(data: bytes | None) -> StakingTerms:
    if data is None:
        return StakingTerms()
    value = unpack_trusted(data)
    if not isinstance(value, tuple) or value[:2] != (TERMS_TYPE, VERSION):
        raise InvariantViolation(f"not the terms of staking: {data.hex()[:80]}")
    return StakingTerms(*value[2:])  # type: ignore[arg-type]


def parse_terms(section: Mapping[str, object]) -> tuple[StakingTerms, dict[str, int]]:
    """Return terms and first stakes (name to micro-units) of genesis; raises InvalidGenesis."""
    fields = read_object(section, "'staking'", SECTION_FIELDS)
    numbers = {
        name: fields.integer(name, low, high, default=default)
        for name, (low, high, default) in _NUMBERS.items()
    }
    found = section.get("stakes", {})
    if not isinstance(found, dict):
        raise fields.refusal("stakes", "gives names their amounts", '{"name": "100"}')
    stakes = {
        str(name): read_decimal(amount, f"'staking': stake of {name!r}")
        for name, amount in found.items()
    }
    terms = StakingTerms(
        fields.choice("token", TOKEN_NAMES, default=TOKEN_NAMES[NO_TOKEN]),
        fields.decimal("min_stake", default="1"),
        numbers["max_validators"],
        numbers["unbonding_minutes"] * 60_000,
        numbers["slash_percent"],
        fields.decimal("block_reward", default="0"),
        fields.flag("share_fees"),
        fields.decimal("fine", default="0"),
        fields.flag("expel"),
    )
    if terms.token == NO_TOKEN and (stakes or terms.block_reward_micro or terms.share_fees):
        raise InvalidGenesis(
            "stakes, and rewards for them, need a token that is staked",
            expected="token: money or incentives",
        )
    if terms.min_stake_micro < POWER_UNIT_MICRO:
        raise InvalidGenesis("staking: 'min_stake' is too small", expected="at least 1")
    return terms, stakes


def validate_unbonding(terms: StakingTerms, parameters: ChainParameters) -> None:
    """Raise InvalidGenesis if stake is free before evidence expires, at the chain's best pace."""
    least_ms = parameters.evidence_max_age_blocks * parameters.block_interval_ms
    if terms.unbonding_ms < least_ms:
        raise InvalidGenesis(
            "staking: stake would be free while evidence of its faults still counts",
            expected=f"'unbonding_minutes' of at least {-(-least_ms // 60_000)}",
            actual=terms.unbonding_ms // 60_000,
            hint="Or lower the parameter 'evidence_max_age_blocks'.",
        )
