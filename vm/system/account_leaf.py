"""The leaf of an account: key, roles, status, nonce, money and energy together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vm.context import CallContext
from vm.overlay import StateReader
from vm.primitives.codec import encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation
from vm.primitives.integers import MAX_AMOUNT

ACCOUNT_SPACE: Final = b"a"
ACCOUNT_TYPE: Final = 10
VERSION: Final = 1

ACTIVE: Final = 0
SUSPENDED: Final = 1
REMOVED: Final = 2
NO_KEY: Final = bytes(32)
"""In place of the key where nobody signs for the account; it is no public key of Ed25519."""
_LEAF_START: Final = bytes([0x9A, ACCOUNT_TYPE, VERSION])
STATUS_NAMES: Final = ("active", "suspended", "removed")


@dataclass(slots=True)  # mutable: a working copy, saved when it is right
class Account:
    """A working copy of an account's leaf; save it to make changes stand."""

    key: bytes
    """Current public key, 32 bytes."""
    roles: int
    """Bit mask over the chain's roles."""
    status: int
    """ACTIVE, SUSPENDED or REMOVED."""
    nonce: int
    """Number of the account's next transaction."""
    money_micro: int
    """Money free to spend, micro-tokens."""
    money_reserved_micro: int
    """Money set aside for standing bids and deposits, micro-tokens."""
    energy_milli_wh: int
    """Energy free to post or transfer, milliwatt-hours."""
    energy_reserved_milli_wh: int
    """Energy set aside for standing offers, milliwatt-hours."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted(
            (
                ACCOUNT_TYPE,
                VERSION,
                self.key,
                self.roles,
                self.status,
                self.nonce,
                self.money_micro,
                self.money_reserved_micro,
                self.energy_milli_wh,
                self.energy_reserved_milli_wh,
            )
        )

    def pay(self, amount_micro: int) -> None:
        """Take `amount_micro` from the free money; raises CallError `insufficient_money`."""
        if amount_micro > self.money_micro:
            raise CallError(
                "insufficient_money",
                "there is not enough money in the account",
                expected=amount_micro,
                actual=self.money_micro,
            )
        self.money_micro -= amount_micro

    def earn(self, amount_micro: int) -> None:
        """Add `amount_micro` to the free money; raises CallError `overflow`."""
        total = self.money_micro + amount_micro
        if total + self.money_reserved_micro > MAX_AMOUNT:
            raise CallError("overflow", "an account cannot hold more", actual=total)
        self.money_micro = total

    def reserve_money(self, amount_micro: int) -> None:
        """Set free money aside; raises CallError `insufficient_money`."""
        self.pay(amount_micro)
        self.money_reserved_micro += amount_micro

    def release_money(self, amount_micro: int) -> None:
        """Make money that was set aside free again."""
        self.spend_reserved_money(amount_micro)
        self.money_micro += amount_micro

    def spend_reserved_money(self, amount_micro: int) -> None:
        """Take money that was set aside."""
        if amount_micro > self.money_reserved_micro:
            raise InvariantViolation(
                f"{amount_micro} micro-tokens leave a reserve of {self.money_reserved_micro}"
            )
        self.money_reserved_micro -= amount_micro

    def give_energy(self, energy_milli_wh: int) -> None:
        """Take free energy; raises CallError `insufficient_energy`."""
        if energy_milli_wh > self.energy_milli_wh:
            raise CallError(
                "insufficient_energy",
                "there is not enough energy in the account",
                expected=energy_milli_wh,
                actual=self.energy_milli_wh,
            )
        self.energy_milli_wh -= energy_milli_wh

    def take_energy(self, energy_milli_wh: int) -> None:
        """Add free energy; raises CallError `overflow`."""
        total = self.energy_milli_wh + energy_milli_wh
        if total + self.energy_reserved_milli_wh > MAX_AMOUNT:
            raise CallError("overflow", "an account cannot hold more", actual=total)
        self.energy_milli_wh = total

    def reserve_energy(self, energy_milli_wh: int) -> None:
        """Set free energy aside; raises CallError `insufficient_energy`."""
        self.give_energy(energy_milli_wh)
        self.energy_reserved_milli_wh += energy_milli_wh

    def release_energy(self, energy_milli_wh: int) -> None:
        """Make energy that was set aside free again."""
        self.spend_reserved_energy(energy_milli_wh)
        self.energy_milli_wh += energy_milli_wh

    def spend_reserved_energy(self, energy_milli_wh: int) -> None:
        """Take energy that was set aside."""
        if energy_milli_wh > self.energy_reserved_milli_wh:
            raise InvariantViolation(
                f"{energy_milli_wh} mWh leave a reserve of {self.energy_reserved_milli_wh}"
            )
        self.energy_reserved_milli_wh -= energy_milli_wh


def account_key(account: bytes) -> bytes:
    """Return the state key of an account."""
    return ACCOUNT_SPACE + account


def decode_account(data: bytes) -> Account:
    """Return the account of a leaf's bytes."""
    # The leaf's own first bytes: an array of 10 items, type 10, version 1.
    if data[:3] != _LEAF_START:
        raise InvariantViolation(f"not an account of this version: {data.hex()[:80]}")
    return Account(*unpack_trusted(data)[2:])  # type: ignore[index, misc]


def read_account(state: StateReader, account: bytes) -> Account | None:
    """Return an account without gas, for admission and for readers; None if there is none."""
    data = state.get(ACCOUNT_SPACE + account)
    return None if data is None else decode_account(data)


def load_account(ctx: CallContext, account: bytes) -> Account:
    """Return a working copy of an account; raises CallError `unknown_account`."""
    data = ctx.get(ACCOUNT_SPACE + account)
    if data is None:
        raise CallError("unknown_account", "there is no such account", actual=account)
    return decode_account(data)


def load_active_account(ctx: CallContext, account: bytes) -> Account:
    """Return a working copy of an active account; raises CallError."""
    found = load_account(ctx, account)
    if found.status != ACTIVE:
        raise CallError(
            "not_active",
            "the member is not active",
            expected="active",
            actual=STATUS_NAMES[found.status],
        )
    return found


def save_account(ctx: CallContext, account: bytes, leaf: Account) -> None:
    """Write an account's leaf."""
    ctx.put(ACCOUNT_SPACE + account, leaf.encode())
