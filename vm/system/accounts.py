"""Transfers of money and energy between accounts, and all there is of both.

An account's own leaf is in `account_leaf`, below the approvals; its names are to be had here too.
"""

from __future__ import annotations

from typing import Final

from vm.arguments import ACCOUNT, AMOUNT, Argument, text
from vm.context import CallContext
from vm.module import Module, method
from vm.primitives.codec import Encodable, encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation
from vm.primitives.integers import MAX_AMOUNT
from vm.system.account_leaf import (
    ACCOUNT_SPACE,
    ACCOUNT_TYPE,
    ACTIVE,
    REMOVED,
    STATUS_NAMES,
    SUSPENDED,
    VERSION,
    Account,
    account_key,
    decode_account,
    load_account,
    load_active_account,
    read_account,
    save_account,
)
from vm.system.approvals import approve

__all__ = [
    "ACCOUNT_SPACE",
    "ACCOUNT_TYPE",
    "ACTIVE",
    "MEMO_MAX_BYTES",
    "REMOVED",
    "STATUS_NAMES",
    "SUPPLY_KEY",
    "SUSPENDED",
    "VERSION",
    "Account",
    "AccountsModule",
    "account_key",
    "change_supply",
    "decode_account",
    "load_account",
    "load_active_account",
    "load_supply",
    "read_account",
    "save_account",
]

SUPPLY_KEY: Final = b"s"
MEMO_MAX_BYTES: Final = 64


def load_supply(ctx: CallContext) -> tuple[int, int]:
    """Return all money (micro-tokens) and all energy (milliwatt-hours) there is."""
    match unpack_trusted(ctx.get(SUPPLY_KEY) or encode_trusted((0, 0))):
        case (int(money), int(energy)):
            return money, energy
    raise InvariantViolation("the supply leaf holds something else")


def change_supply(ctx: CallContext, *, money_micro: int = 0, energy_milli_wh: int = 0) -> None:
    """Bring money or energy into being, or out of it; raises CallError `overflow`."""
    money, energy = load_supply(ctx)
    money, energy = money + money_micro, energy + energy_milli_wh
    if not (0 <= money <= MAX_AMOUNT and 0 <= energy <= MAX_AMOUNT):
        raise CallError("overflow", "there cannot be more of it", expected=f"0 to {MAX_AMOUNT}")
    ctx.put(SUPPLY_KEY, encode_trusted((money, energy)))


class AccountsModule(Module):
    """Transfers of money and energy between members, and their making by the operators."""

    name = "accounts"

    @method(
        Argument("to", ACCOUNT),
        Argument("amount_micro", AMOUNT),
        Argument("memo", text(MEMO_MAX_BYTES)),
    )
    def transfer(self, ctx: CallContext, to: bytes, amount_micro: int, memo: str) -> Encodable:
        """Move money from the caller to an active member."""
        sender = load_account(ctx, ctx.caller)
        sender.pay(amount_micro)
        if to != ctx.caller:
            receiver = load_active_account(ctx, to)
            receiver.earn(amount_micro)
            save_account(ctx, ctx.caller, sender)
            save_account(ctx, to, receiver)
        ctx.emit("transfer", ctx.caller, to, amount_micro, memo)
        return None

    @method(Argument("to", ACCOUNT), Argument("energy_milli_wh", AMOUNT))
    def transfer_energy(self, ctx: CallContext, to: bytes, energy_milli_wh: int) -> Encodable:
        """Move energy from the caller to an active member."""
        sender = load_account(ctx, ctx.caller)
        sender.give_energy(energy_milli_wh)
        if to != ctx.caller:
            receiver = load_active_account(ctx, to)
            receiver.take_energy(energy_milli_wh)
            save_account(ctx, ctx.caller, sender)
            save_account(ctx, to, receiver)
        ctx.emit("transfer_energy", ctx.caller, to, energy_milli_wh)
        return None

    @method(Argument("to", ACCOUNT), Argument("amount_micro", AMOUNT), roles=("operator",))
    def mint(self, ctx: CallContext, to: bytes, amount_micro: int) -> Encodable:
        """Bring money into being in an account, e.g. for a payment made outside."""
        if not approve(ctx, "accounts.mint", (to, amount_micro)):
            return False
        receiver = load_active_account(ctx, to)
        receiver.earn(amount_micro)
        change_supply(ctx, money_micro=amount_micro)
        save_account(ctx, to, receiver)
        ctx.emit("mint", to, amount_micro)
        return True

    @method(Argument("amount_micro", AMOUNT))
    def burn(self, ctx: CallContext, amount_micro: int) -> Encodable:
        """Take the caller's money out of being, e.g. for a payment made outside."""
        sender = load_account(ctx, ctx.caller)
        sender.pay(amount_micro)
        change_supply(ctx, money_micro=-amount_micro)
        save_account(ctx, ctx.caller, sender)
        ctx.emit("burn", ctx.caller, amount_micro)
        return None

    @method(Argument("to", ACCOUNT), Argument("energy_milli_wh", AMOUNT), roles=("operator",))
    def mint_energy(self, ctx: CallContext, to: bytes, energy_milli_wh: int) -> Encodable:
        """Credit energy that was produced."""
        if not approve(ctx, "accounts.mint_energy", (to, energy_milli_wh)):
            return False
        receiver = load_active_account(ctx, to)
        receiver.take_energy(energy_milli_wh)
        change_supply(ctx, energy_milli_wh=energy_milli_wh)
        save_account(ctx, to, receiver)
        ctx.emit("mint_energy", to, energy_milli_wh)
        return True

    @method(Argument("energy_milli_wh", AMOUNT))
    def burn_energy(self, ctx: CallContext, energy_milli_wh: int) -> Encodable:
        """Take the caller's energy out of being: it was consumed."""
        sender = load_account(ctx, ctx.caller)
        sender.give_energy(energy_milli_wh)
        change_supply(ctx, energy_milli_wh=-energy_milli_wh)
        save_account(ctx, ctx.caller, sender)
        ctx.emit("burn_energy", ctx.caller, energy_milli_wh)
        return None
