"""The records of staking: the pool behind a validator, shares in it, stake on its way out, the pot.

Rewards are shared lazily, by marks: nothing is written for who did nothing. All of it is exact.
Fractions of a micro-token are kept, times 2^64, where they arose: in the pot, in a pool, with a
delegation; so the sum of all that is owed is to the last bit what the staking account booked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vm.context import CallContext
from vm.overlay import INDEX_SPACE, StateReader
from vm.primitives.codec import (
    decode_integer,
    encode_integer,
    encode_trusted,
    unpack_trusted,
)
from vm.primitives.errors import CallError, InvariantViolation
from vm.system.fresh_stake import Notes, since
from vm.system.staking_terms import STAKING_SPACE

POOL_SPACE: Final = STAKING_SPACE + b"p"
DELEGATION_SPACE: Final = STAKING_SPACE + b"d"
UNBONDING_SPACE: Final = STAKING_SPACE + b"u"
POT_KEY: Final = STAKING_SPACE + b"t"
POOL_INDEX: Final = INDEX_SPACE + b"bp"
DELEGATION_INDEX: Final = INDEX_SPACE + b"bd"
"""Delegator, then validator."""
UNBONDING_INDEX: Final = INDEX_SPACE + b"bu"
"""Delegator, then number."""
POOL_TYPE: Final = 51
DELEGATION_TYPE: Final = 52
UNBONDING_TYPE: Final = 53
POT_TYPE: Final = 54
VERSION: Final = 1
SCALE_BITS: Final = 64
MAX_SCALED_BYTES: Final = 40


@dataclass(slots=True)  # mutable: a working copy, saved when it is right
class Pool:
    """All stake behind one validator; whoever put something in holds shares of it."""

    stake_micro: int = 0
    """Stake that counts: what was put in, less what was taken back or slashed."""
    shares: int = 0
    """Shares of it in all; a share is worth stake_micro / shares."""
    power: int = 0
    """Voting power by which it earns: that of the set in force."""
    commission_percent: int = 0
    """Part of the rewards that the validator keeps before they are shared."""
    slashed_height: int = 0
    """Height at which it contradicted itself; 0 if it never did. Such a pool is out for good."""
    slashed_at: int = 0
    """Height of the block that slashed it for that; 0 if none did."""
    excess_from: int = 0
    """Height of the block since which its votes weighed more than its stake, when last they did."""
    excess_until: int = 0
    """Last height that such votes decided."""
    late_micro: int = 0
    """Part of the stake of a slashed pool that came at the height of the fault or later."""
    late_shares: int = 0
    """The shares of that part."""
    mark: int = 0
    """The pot's rewards per unit of power when the pool was settled last, scaled."""
    per_share: int = 0
    """Rewards of one share since the beginning, scaled."""
    rest: int = 0
    """Rewards that did not divide among the shares, scaled."""
    commission: int = 0
    """Commission not withdrawn yet, scaled."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        scaled = (self.mark, self.per_share, self.rest, self.commission)
        return encode_trusted(
            (
                POOL_TYPE,
                VERSION,
                self.stake_micro,
                encode_integer(self.shares),
                self.power,
                self.commission_percent,
                self.slashed_height,
                self.slashed_at,
                self.excess_from,
                self.excess_until,
                self.late_micro,
                encode_integer(self.late_shares),
                *(encode_integer(number) for number in scaled),
            )
        )

    def settle(self, pot: Pot) -> None:
        """Take from the pot what came since the last time, and share it out."""
        earned = self.power * (pot.per_power - self.mark)
        self.mark = pot.per_power
        kept = earned * self.commission_percent // 100
        self.share_out(earned - kept)
        self.commission += kept

    def share_out(self, scaled: int) -> None:
        """Share rewards among the shares; what does not divide waits for the next ones."""
        if not self.shares:
            self.commission += scaled + self.rest
            self.rest = 0
            return
        each, self.rest = divmod(scaled + self.rest, self.shares)
        self.per_share += each

    def worth_micro(self, shares: int, late: int = 0) -> int:
        """Return the stake that `shares` stand for, of which some came late, rounded down."""
        liable_micro = _part(
            shares - late, self.stake_micro - self.late_micro, self.shares - self.late_shares
        )
        return liable_micro + _part(late, self.late_micro, self.late_shares)

    def take(self, amount_micro: int, shares: int, late: int) -> int:
        """Take stake out of `shares`, of which some came late, those last; return how many go.

        `amount_micro` is at most what they are worth.
        """
        liable = shares - late
        liable_micro = self.worth_micro(liable)
        first_micro = min(amount_micro, liable_micro)
        gone = liable
        if first_micro < liable_micro:
            total, worth_micro = self.shares - self.late_shares, self.stake_micro - self.late_micro
            gone = -(-first_micro * total // worth_micro)
        rest_micro, late_gone = amount_micro - first_micro, 0
        if rest_micro:
            all_micro = self.worth_micro(late, late)
            late_gone = -(-rest_micro * self.late_shares // self.late_micro)
            late_gone = late if rest_micro == all_micro else late_gone
        self.late_micro -= rest_micro
        self.late_shares -= late_gone
        self.stake_micro -= amount_micro
        self.shares -= gone + late_gone
        return gone + late_gone

    def slash(self, late: int, percent: int) -> int:
        """Cut what did not come late by `percent`, rounded down; return how much that is."""
        self.late_shares = late
        self.late_micro = (
            self.stake_micro if late == self.shares else _part(late, self.stake_micro, self.shares)
        )
        cut_micro = (self.stake_micro - self.late_micro) * percent // 100
        self.stake_micro -= cut_micro
        return cut_micro

    def shares_for(self, amount_micro: int) -> int:
        """Return the shares that new stake of `amount_micro` gets, rounded down."""
        return amount_micro * self.shares // self.stake_micro if self.shares else amount_micro


@dataclass(slots=True)  # mutable: a working copy, saved when it is right
class Delegation:
    """What one account put behind one validator; a validator's own stake is one as well."""

    shares: int = 0
    """Its shares of the pool."""
    mark: int = 0
    """The pool's rewards per share when the delegation was settled last, scaled."""
    accrued: int = 0
    """Rewards not withdrawn yet, scaled."""
    fresh: Notes = ()
    """Which of its shares came lately, and at which heights."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        numbers = (self.shares, self.mark, self.accrued)
        fields = (encode_integer(number) for number in numbers)
        notes = tuple((height, encode_integer(shares)) for height, shares in self.fresh)
        return encode_trusted((DELEGATION_TYPE, VERSION, *fields, notes))

    def late_shares(self, pool: Pool) -> int:
        """Return how many of its shares do not answer for the fault of a slashed pool."""
        return since(self.fresh, pool.slashed_height) if pool.slashed_height else 0

    def settle(self, pool: Pool) -> None:
        """Take what its shares earned since the last time; the pool is settled already."""
        self.accrued += self.shares * (pool.per_share - self.mark)
        self.mark = pool.per_share


@dataclass(frozen=True, slots=True)
class Unbonding:
    """Stake on its way out, which still answers for faults up to the height at which it left."""

    validator: bytes
    """Whose pool it left, 20 bytes."""
    delegator: bytes
    """Whose it is, 20 bytes."""
    amount_micro: int
    """How much left."""
    height: int
    """Height of the block in which it left."""
    due_ms: int
    """When it is free, milliseconds UTC."""
    fresh: Notes = ()
    """Which of it came lately, and at which heights, micro-units."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted(
            (
                UNBONDING_TYPE,
                VERSION,
                self.validator,
                self.delegator,
                self.amount_micro,
                self.height,
                self.due_ms,
                self.fresh,
            )
        )

    def slashed_micro(self, pool: Pool, percent: int) -> int:
        """Return how much of it the validator's fault burns.

        What left after the slash was slashed with the pool; what came after the fault is not.
        """
        last = self.last_height(pool)
        if not 0 < pool.slashed_height <= last or self.height >= pool.slashed_at:
            return 0
        liable_micro = self.amount_micro - since(self.fresh, pool.slashed_height)
        return liable_micro * percent // 100

    def last_height(self, pool: Pool) -> int:
        """Return the last height for whose faults it answers.

        It backs the votes of the height at which it left, and longer where they still counted.
        """
        if pool.excess_from <= self.height <= pool.excess_until:
            return pool.excess_until
        return self.height


@dataclass(slots=True)  # mutable: a working copy, saved when it is right
class Pot:
    """What the staking account holds for whom, in one sum, and how rewards are shared by power."""

    booked_micro: int = 0
    """Money of the staking account that is somebody's; what is above it is new income."""
    total_power: int = 0
    """Power of the set in force, among which new income is shared."""
    per_power: int = 0
    """Rewards of one unit of power since the beginning, scaled."""
    rest: int = 0
    """Rewards that did not divide among the power, scaled."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted(
            (
                POT_TYPE,
                VERSION,
                self.booked_micro,
                self.total_power,
                encode_integer(self.per_power),
                encode_integer(self.rest),
            )
        )

    def book(self, income_micro: int) -> None:
        """Share new income among the power in force."""
        self.booked_micro += income_micro
        each, self.rest = divmod((income_micro << SCALE_BITS) + self.rest, self.total_power)
        self.per_power += each


def load_pool(ctx: CallContext, validator: bytes) -> Pool:
    """Return a working copy of a validator's pool; raises CallError `unknown_validator`."""
    data = ctx.get(POOL_SPACE + validator)
    if data is None:
        raise CallError(
            "unknown_validator",
            "nothing is staked with this account",
            actual=validator,
            hint="A validator bonds first; `bitenergy stake validators` lists them.",
        )
    return decode_pool(data)


def save_pool(ctx: CallContext, validator: bytes, pool: Pool) -> None:
    """Write a pool's leaf."""
    ctx.put(POOL_SPACE + validator, pool.encode())


def decode_pool(data: bytes) -> Pool:
    """Return the pool of a leaf's bytes."""
    match unpack_trusted(data):
        case (51, 1, int(stake), shares, *rest) if len(rest) == 12:
            small = [item for item in rest[:7] if isinstance(item, int)]
            return Pool(stake, _integer(shares), *small, *(_integer(item) for item in rest[7:]))
    raise InvariantViolation(f"not a pool of this version: {data.hex()[:80]}")


def read_pool(state: StateReader, validator: bytes) -> Pool | None:
    """Return a pool without gas, for readers; None if there is none."""
    data = state.get(POOL_SPACE + validator)
    return None if data is None else decode_pool(data)


def delegation_key(validator: bytes, delegator: bytes) -> bytes:
    """Return the state key of a delegation."""
    return DELEGATION_SPACE + validator + delegator


def decode_delegation(data: bytes) -> Delegation:
    """Return the delegation of a leaf's bytes."""
    match unpack_trusted(data):
        case (52, 1, bytes(shares), bytes(mark), bytes(accrued), tuple(notes)):
            numbers = (_integer(shares), _integer(mark), _integer(accrued))
            return Delegation(*numbers, _notes(notes))
    raise InvariantViolation(f"not a delegation of this version: {data.hex()[:80]}")


def unbonding_key(number: int) -> bytes:
    """Return the state key of the `number`-th unbonding."""
    return UNBONDING_SPACE + number.to_bytes(8, "big")


def decode_unbonding(data: bytes) -> Unbonding:
    """Return the unbonding of a leaf's bytes."""
    match unpack_trusted(data):
        case (53, 1, bytes(validator), bytes(delegator), int(amount), int(height), int(due), notes):
            return Unbonding(validator, delegator, amount, height, due, _notes(notes))
    raise InvariantViolation(f"not an unbonding of this version: {data.hex()[:80]}")


def decode_pot(data: bytes | None) -> Pot:
    """Return the pot of its leaf's bytes."""
    if data is None:
        return Pot()
    match unpack_trusted(data):
        case (54, 1, int(booked), int(power), bytes(each), bytes(rest)):
            return Pot(booked, power, _integer(each), _integer(rest))
    raise InvariantViolation(f"not the pot of this version: {data.hex()[:80]}")


def _part(shares: int, stake_micro: int, total: int) -> int:
    return shares * stake_micro // total if total else 0


def _notes(data: object) -> Notes:
    match data:
        case tuple(notes):
            return tuple(_note(note) for note in notes)
    raise InvariantViolation("notes of fresh stake are a list")


def _note(data: object) -> tuple[int, int]:
    match data:
        case (int(height), int(amount)):
            return height, amount
        case (int(height), bytes(amount)):
            return height, _integer(amount)
    raise InvariantViolation("a note of fresh stake is a height and an amount")


def _integer(data: object) -> int:
    if not isinstance(data, bytes):
        raise InvariantViolation("a scaled number is a byte string")
    return decode_integer(data, max_bytes=MAX_SCALED_BYTES)
