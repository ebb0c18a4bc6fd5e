"""Working copies of the accounts that one step of a module moves money and energy between."""

from __future__ import annotations

from vm.context import CallContext
from vm.system.accounts import Account, load_account, save_account


class WorkingAccounts:
    """Accounts by id, each loaded once and written once."""

    __slots__ = ("_accounts", "_ctx")

    def __init__(self, ctx: CallContext) -> None:
        self._ctx = ctx
        self._accounts: dict[bytes, Account] = {}

    def account(self, account: bytes) -> Account:
        """Return the working copy of an account."""
        found = self._accounts.get(account)
        if found is None:
            found = self._accounts[account] = load_account(self._ctx, account)
        return found

    def pay_reserved(self, payer: bytes, payee: bytes, number: int, amount_micro: int) -> None:
        """Pay from money that was set aside, and tell of it as `pay`."""
        if amount_micro:
            self.account(payer).spend_reserved_money(amount_micro)
            self.account(payee).earn(amount_micro)
            self._ctx.emit("pay", number, payer, payee, amount_micro)

    def __len__(self) -> int:
        """Return how many there are, each of which is still to be written."""
        return len(self._accounts)

    def save(self) -> None:
        """Write all accounts."""
        for account, leaf in self._accounts.items():
            save_account(self._ctx, account, leaf)
