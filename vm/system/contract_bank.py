"""The built-in interface `bank`: a contract's money and energy, and what callers let it take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from vm.context import CallContext
from vm.contract.interfaces import Signature
from vm.contract.value_types import ADDRESS, INT, NONE
from vm.primitives.codec import Encodable
from vm.primitives.errors import CallError
from vm.system.account_leaf import ACCOUNT_SPACE, decode_account, load_active_account, save_account

BANK_NAME: Final = "bank"
ACCOUNTS: Final = "accounts"
Taking = dict[tuple[bytes, bytes], int]
"""Payer and contract to how much the contract may still take from it in this transaction."""


class Teller(Protocol):
    """The running contract, as the bank needs to know it."""

    @property
    def meter(self) -> CallContext:
        """The transaction's context."""

    @property
    def contract(self) -> bytes:
        """The contract's address, 20 bytes."""

    @property
    def caller(self) -> bytes:
        """Account or contract that called it, 20 bytes."""

    @property
    def takings(self) -> tuple[Taking, Taking]:
        """What may be taken: money in micro-tokens, energy in milliwatt-hours."""


@dataclass(frozen=True, slots=True)
class BankMethod:
    """A method of the bank."""

    signature: Signature
    """Its types."""
    run: Callable[..., Encodable]
    """Takes the running contract and the arguments."""


def _balance(teller: Teller, account: bytes) -> Encodable:
    data = teller.meter.get(ACCOUNT_SPACE + account)
    return 0 if data is None else decode_account(data).money_micro


def _energy(teller: Teller, account: bytes) -> Encodable:
    data = teller.meter.get(ACCOUNT_SPACE + account)
    return 0 if data is None else decode_account(data).energy_milli_wh


def _transfer(teller: Teller, to: bytes, amount_micro: int) -> Encodable:
    _move_money(teller, teller.contract, to, _positive(amount_micro))
    return None


def _transfer_energy(teller: Teller, to: bytes, energy_milli_wh: int) -> Encodable:
    _move_energy(teller, teller.contract, to, _positive(energy_milli_wh))
    return None


def _collect(teller: Teller, amount_micro: int) -> Encodable:
    _take(teller, teller.takings[0], amount_micro)
    _move_money(teller, teller.caller, teller.contract, amount_micro)
    return None


def _collect_energy(teller: Teller, energy_milli_wh: int) -> Encodable:
    _take(teller, teller.takings[1], energy_milli_wh)
    _move_energy(teller, teller.caller, teller.contract, energy_milli_wh)
    return None


def _allow(teller: Teller, contract: bytes, amount_micro: int, energy_milli_wh: int) -> Encodable:
    if amount_micro < 0 or energy_milli_wh < 0:
        raise CallError("invalid_arguments", "what is allowed is not negative")
    money, energy = teller.takings
    money[teller.contract, contract] = amount_micro
    energy[teller.contract, contract] = energy_milli_wh
    return None


def _attached(teller: Teller) -> Encodable:
    return teller.takings[0].get((teller.caller, teller.contract), 0)


def _attached_energy(teller: Teller) -> Encodable:
    return teller.takings[1].get((teller.caller, teller.contract), 0)


def _positive(amount: int) -> int:
    if amount <= 0:
        raise CallError("invalid_arguments", "an amount is positive", actual=amount)
    return amount


def _take(teller: Teller, taking: Taking, amount: int) -> None:
    pair = (teller.caller, teller.contract)
    left = taking.get(pair, 0)
    if not 0 < amount <= left:
        raise CallError(
            "not_allowed",
            "the caller did not let the contract take so much",
            expected=f"1 to {left}",
            actual=amount,
            hint="Attach more money or energy to the call.",
        )
    taking[pair] = left - amount


def _move_money(teller: Teller, sender: bytes, to: bytes, amount_micro: int) -> None:
    ctx = teller.meter
    source = load_active_account(ctx, sender)
    source.pay(amount_micro)
    if to != sender:
        target = load_active_account(ctx, to)
        target.earn(amount_micro)
        save_account(ctx, sender, source)
        save_account(ctx, to, target)
    inside, ctx.module = ctx.module, ACCOUNTS
    ctx.emit("transfer", sender, to, amount_micro, "")
    ctx.module = inside


def _move_energy(teller: Teller, sender: bytes, to: bytes, energy_milli_wh: int) -> None:
    ctx = teller.meter
    source = load_active_account(ctx, sender)
    source.give_energy(energy_milli_wh)
    if to != sender:
        target = load_active_account(ctx, to)
        target.take_energy(energy_milli_wh)
        save_account(ctx, sender, source)
        save_account(ctx, to, target)
    inside, ctx.module = ctx.module, ACCOUNTS
    ctx.emit("transfer_energy", sender, to, energy_milli_wh)
    ctx.module = inside


_MONEY: Final = ("amount_micro", INT)
_ENERGY: Final = ("energy_milli_wh", INT)
_TO: Final = ("to", ADDRESS)
_ACCOUNT: Final = ("account", ADDRESS)

BANK: Final[Mapping[str, BankMethod]] = {
    "balance": BankMethod(Signature((_ACCOUNT,), INT, is_view=True), _balance),
    "energy": BankMethod(Signature((_ACCOUNT,), INT, is_view=True), _energy),
    "transfer": BankMethod(Signature((_TO, _MONEY), NONE, is_view=False), _transfer),
    "transfer_energy": BankMethod(Signature((_TO, _ENERGY), NONE, is_view=False), _transfer_energy),
    "collect": BankMethod(Signature((_MONEY,), NONE, is_view=False), _collect),
    "collect_energy": BankMethod(Signature((_ENERGY,), NONE, is_view=False), _collect_energy),
    "allow": BankMethod(
        Signature((("contract", ADDRESS), _MONEY, _ENERGY), NONE, is_view=False), _allow
    ),
    "attached": BankMethod(Signature((), INT, is_view=True), _attached),
    "attached_energy": BankMethod(Signature((), INT, is_view=True), _attached_energy),
}
"""The methods by name. What a contract takes (`collect`) is at most what its caller attached."""
