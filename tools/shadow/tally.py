"""What happened on one side, live or shadow: prices, volumes, bills, failures and gas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from market.day.settlement_records import TOTALS_SPACE, decode_totals, totals_account
from node.api.event_fields import PENALTY, TRADE, name_values
from node.ledger.receipt import Receipt
from node.store import Store
from vm.primitives.codec import unpack_trusted
from vm.primitives.errors import InvalidTransaction
from vm.system.accounts import ACCOUNT_SPACE, SUPPLY_KEY, decode_account


@dataclass(slots=True)  # mutable: sums
class MarketSums:
    """The trades of one market."""

    trades: int = 0
    """Number of trades."""
    energy_milli_wh: int = 0
    """Energy traded."""
    amount_micro: int = 0
    """What buyers paid, penalties included."""
    penalty_micro: int = 0
    """Penalties that went to owners of lines or pairs."""

    @property
    def mean_price_micro_per_kwh(self) -> int:
        """The price per kWh over all trades, rounded down; 0 without any."""
        energy = self.energy_milli_wh
        return self.amount_micro * 1_000_000 // energy if energy else 0


@dataclass(slots=True)  # mutable: sums
class MemberSums:
    """What trading came to for one member."""

    paid_micro: int = 0
    """Paid for energy."""
    earned_micro: int = 0
    """Earned with energy, penalties received included."""
    fees_micro: int = 0
    """Paid for transactions."""
    bought_milli_wh: int = 0
    """Energy bought."""
    sold_milli_wh: int = 0
    """Energy sold."""
    day_micro: int = 0
    """What the settlements of day markets billed; below 0 where it got more."""

    @property
    def bill_micro(self) -> int:
        """What the member owes in all; below 0 where it earned more than it paid."""
        return self.paid_micro + self.fees_micro + self.day_micro - self.earned_micro


@dataclass(slots=True)  # mutable: sums
class Tally:
    """The sums of one side."""

    blocks: int = 0
    """Blocks taken."""
    transactions: int = 0
    """Transactions that stood in them."""
    gas: int = 0
    """Gas that they used."""
    failures: dict[str, int] = field(default_factory=dict)
    """How many calls failed, by code; with `refused: ` what stood in no block."""
    markets: dict[str, MarketSums] = field(default_factory=dict)
    """Trades by market."""
    members: dict[bytes, MemberSums] = field(default_factory=dict)
    """Bills by account."""

    def add(
        self,
        receipts: Sequence[Receipt],
        refused: Sequence[InvalidTransaction],
        senders: dict[bytes, bytes],
    ) -> None:
        """Add what a block did; `senders` names the sender of each transaction id."""
        self.blocks += 1
        for receipt in receipts:
            sender = senders.get(receipt.transaction_id)
            if sender is not None:
                self.transactions += 1
                self.gas += receipt.gas_used
                if receipt.fee_micro:
                    self._member(sender).fees_micro += receipt.fee_micro
            if receipt.code:
                self._fail(receipt.code)
            self._add_events(receipt)
        for error in refused:
            self._fail(f"refused: {error.code}")

    def _add_events(self, receipt: Receipt) -> None:
        withheld_micro = 0
        for module, name, values in receipt.events:
            kind = (module, name)
            if kind not in (TRADE, PENALTY):
                continue
            fields = dict(name_values(module, name, values))
            amount = int(str(fields["amount_micro"]))
            market = self.markets.setdefault(str(fields["market"]), MarketSums())
            if kind == PENALTY:
                withheld_micro += amount
                market.penalty_micro += amount
                self._member(_account(fields["payee"])).earned_micro += amount
                continue
            energy = int(str(fields["energy_milli_wh"]))
            market.trades += 1
            market.energy_milli_wh += energy
            market.amount_micro += amount
            buyer = self._member(_account(fields["buyer"]))
            seller = self._member(_account(fields["seller"]))
            buyer.paid_micro += amount
            buyer.bought_milli_wh += energy
            seller.earned_micro += amount - withheld_micro
            seller.sold_milli_wh += energy
            withheld_micro = 0

    def _member(self, account: bytes) -> MemberSums:
        return self.members.setdefault(account, MemberSums())

    def _fail(self, code: str) -> None:
        self.failures[code] = self.failures.get(code, 0) + 1


def read_day_bills(store: Store) -> dict[bytes, int]:
    """Return what day markets billed each member so far, all months together, in micro-tokens."""
    found: dict[bytes, int] = {}
    for key, value in store.scan(TOTALS_SPACE, TOTALS_SPACE + b"\xff" * 27):
        account = totals_account(key)
        found[account] = found.get(account, 0) + sum(decode_totals(value).amounts_micro)
    return found


def check_conservation(store: Store) -> list[str]:
    """Return in words where tokens or energy are not what all accounts hold together."""
    money = energy = 0
    for _, value in store.scan(ACCOUNT_SPACE, bytes([ACCOUNT_SPACE[0] + 1])):
        leaf = decode_account(value)
        money += leaf.money_micro + leaf.money_reserved_micro
        energy += leaf.energy_milli_wh + leaf.energy_reserved_milli_wh
    match unpack_trusted(store.get(SUPPLY_KEY) or b"\x92\x00\x00"):
        case (int(all_money), int(all_energy)):
            pairs = (("money", money, all_money), ("energy", energy, all_energy))
            return [
                f"{what} of all accounts is {held}, all there is {there}"
                for what, held, there in pairs
                if held != there
            ]
    return ["the leaf of all there is holds something else"]


def _account(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""
