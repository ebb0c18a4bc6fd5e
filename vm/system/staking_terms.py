"""The terms of staking: what a chain's genesis says of stakes, rewards and the cost of faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vm.context import CallContext
from vm.overlay import StateReader
from vm.parameters import ChainParameters
from vm.primitives.codec import encode_trusted, unpack_trusted
from vm.primitives.decimal_text import parse_decimal
from vm.primitives.errors import BitenergyError, InvalidGenesis, InvariantViolation
from vm.primitives.integers import MAX_AMOUNT
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
STAKE_DECIMALS: Final = 6
MAX_UNBONDING_MINUTES: Final = 5_256_000

_NUMBERS: Final[Mapping[str, tuple[int, int, int]]] = {
    "max_validators": (1, MAX_VALIDATORS, 64),
    "unbonding_minutes": (0, MAX_UNBONDING_MINUTES, 10_080),
    "slash_percent": (0, 100, 5),
}
_AMOUNTS: Final[Mapping[str, str]] = {"min_stake": "1", "block_reward": "0", "fine": "0"}
_FLAGS: Final = ("share_fees", "expel")
SECTION_FIELDS: Final = ("token", "stakes", *_AMOUNTS, *_NUMBERS, *_FLAGS)


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
    unknown = [name for name in section if name not in SECTION_FIELDS]
    if unknown:
        raise InvalidGenesis(
            "'staking' has unknown fields", expected=SECTION_FIELDS, actual=unknown
        )
    token = section.get("token", TOKEN_NAMES[NO_TOKEN])
    if not isinstance(token, str) or token not in TOKEN_NAMES:
        raise InvalidGenesis("staking: 'token' names it", expected=TOKEN_NAMES, actual=token)
    numbers = {name: _number(section, name) for name in _NUMBERS}
    amounts = {name: _amount(section.get(name, text), name) for name, text in _AMOUNTS.items()}
    flags = {name: _flag(section, name) for name in _FLAGS}
    found = section.get("stakes", {})
    if not isinstance(found, dict):
        raise InvalidGenesis("staking: 'stakes' is an object of names and amounts", actual=found)
    stakes = {str(name): _amount(amount, f"stakes.{name}") for name, amount in found.items()}
    terms = StakingTerms(
        TOKEN_NAMES.index(token),
        amounts["min_stake"],
        numbers["max_validators"],
        numbers["unbonding_minutes"] * 60_000,
        numbers["slash_percent"],
        amounts["block_reward"],
        flags["share_fees"],
        amounts["fine"],
        flags["expel"],
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


def _number(section: Mapping[str, object], name: str) -> int:
    low, high, default = _NUMBERS[name]
    value = section.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise InvalidGenesis(
            f"staking: {name!r} is a whole number", expected=f"{low} to {high}", actual=value
        )
    return value


def _amount(value: object, name: str) -> int:
    try:
        amount = parse_decimal(value, STAKE_DECIMALS) if isinstance(value, str) else -1
    except BitenergyError as error:
        raise InvalidGenesis(f"staking: {name!r}: {error}") from error
    if not 0 <= amount <= MAX_AMOUNT:
        raise InvalidGenesis(
            f"staking: {name!r} is an amount as text", expected='for example "100"', actual=value
        )
    return amount


def _flag(section: Mapping[str, object], name: str) -> bool:
    value = section.get(name, False)
    if type(value) is not bool:
        raise InvalidGenesis(f"staking: {name!r} is true or false", actual=value)
    return value
