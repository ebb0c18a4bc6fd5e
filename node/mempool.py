"""The mempool: transactions that wait for a block, bounded per sender and in all.

What is in here was decoded once and its signature checked once. Each sender's transactions stand
in nonce order; senders are served in the order in which they came, and who was served goes to the
end. Nothing here runs a contract.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from node.ledger.execution import validate_admission
from node.ledger.transaction import Transaction
from vm.context import BlockContext
from vm.overlay import StateReader
from vm.primitives.errors import InvalidTransaction
from vm.system.accounts import ACCOUNT_SPACE, ACTIVE, Account, decode_account

MAX_BYTES: Final = 33_554_432
MAX_SENDER_BYTES: Final = 262_144
MAX_SENDER_TRANSACTIONS: Final = 128
PRUNED_SENDERS: Final = 16
REPLACEMENT_STEPS: Final = 16
"""How often at most a transaction without fee can be replaced: each time it expires later by
this part of the longest time to expiry."""
REPLACEMENT_FEE_PERCENT: Final = 110
"""What a replacement offers, in parts of a hundred of the fee that it replaces."""
_CLASS_BYTES: Final = 4_096


# mutable: one sender's queue, changed in place on the hot path
@dataclass(slots=True)
class _Sender:
    waiting: dict[int, Transaction] = field(default_factory=dict)
    size_bytes: int = 0
    leaf: bytes | None = None
    account: Account | None = None
    """What `leaf` says, to be read only."""


class Mempool:
    """Waiting transactions by sender and nonce."""

    def __init__(
        self,
        state: StateReader,
        *,
        max_bytes: int = MAX_BYTES,
        max_sender_bytes: int = MAX_SENDER_BYTES,
        max_sender_transactions: int = MAX_SENDER_TRANSACTIONS,
    ) -> None:
        """Read nonces and balances from `state`, on which the next block stands."""
        self._state = state
        self._max_bytes = max_bytes
        self._max_sender_bytes = max_sender_bytes
        self._max_sender_transactions = max_sender_transactions
        self._by_id: dict[bytes, Transaction] = {}
        self._senders: dict[bytes, _Sender] = {}
        # Who may have something for the next block, in the order of service; some may not.
        self._ready: dict[bytes, None] = {}
        # Senders by the room that they take, in steps; those below the first step are in none.
        self._classes: list[dict[bytes, None]] = [
            {} for _ in range(max_sender_bytes // _CLASS_BYTES + 1)
        ]
        self._to_prune: list[bytes] = []
        self.size_bytes = 0

    def stand_on(self, state: StateReader) -> None:
        """Read nonces and balances from `state` from now on: the preferred branch changed."""
        self._state = state

    def __len__(self) -> int:
        """Return how many transactions wait."""
        return len(self._by_id)

    def get(self, transaction_id: bytes) -> Transaction | None:
        """Return a waiting transaction, or None."""
        return self._by_id.get(transaction_id)

    def waiting_ids(self, limit: int) -> list[bytes]:
        """Return the ids of up to `limit` waiting transactions, the oldest first."""
        return list(islice(self._by_id, limit))

    def next_nonce(self, account: bytes) -> int:
        """Return the nonce after the account's final and waiting transactions, gaps apart."""
        sender = self._senders.get(account)
        found = self._account(account, sender)
        nonce = found.nonce if found else 0
        while sender is not None and nonce in sender.waiting:
            nonce += 1
        return nonce

    def validate(self, transaction: Transaction, block: BlockContext) -> int:
        """Return the account's nonce; raise InvalidTransaction unless there is a place.

        `block` is the next block. The signature is not looked at: this is the cheap part that
        comes before it.
        """
        sender = self._senders.get(transaction.sender)
        account = self._account(transaction.sender, sender)
        validate_admission(transaction, account, block)
        return self._validate_place(transaction, sender, account, block)

    def _validate_place(
        self,
        transaction: Transaction,
        sender: _Sender | None,
        account: Account | None,
        block: BlockContext,
    ) -> int:
        nonce = account.nonce if account else 0
        if transaction.nonce >= nonce + self._max_sender_transactions:
            raise InvalidTransaction(
                "the nonce lies too far ahead",
                code="nonce_too_far",
                expected=f"{nonce} to {nonce + self._max_sender_transactions - 1}",
                actual=transaction.nonce,
            )
        if sender is None:
            return nonce
        standing = sender.waiting.get(transaction.nonce)
        room = self._max_sender_bytes - sender.size_bytes
        if standing is not None:
            self._validate_replacement(standing, transaction, block)
            room += len(standing.raw)
        elif len(sender.waiting) >= self._max_sender_transactions:
            room = 0
        if len(transaction.raw) > room:
            raise InvalidTransaction(
                "too many of this sender's transactions wait already",
                code="sender_full",
                expected=f"{self._max_sender_transactions} of {self._max_sender_bytes} bytes",
                actual=f"{len(sender.waiting)} of {sender.size_bytes} bytes",
                hint="Wait until some are final.",
            )
        return nonce

    def add(
        self,
        transaction: Transaction,
        block: BlockContext,
        *,
        validated_for: BlockContext | None = None,
    ) -> None:
        """Take in a transaction whose signature holds; raises InvalidTransaction.

        Where `validate` let it pass for this very `block` before, only its place is looked at.
        """
        if transaction.id in self._by_id:
            return
        account = transaction.sender
        sender = self._senders.get(account)
        found = self._account(account, sender)
        if validated_for is not block:
            validate_admission(transaction, found, block)
        nonce = self._validate_place(transaction, sender, found, block)
        standing = sender.waiting.get(transaction.nonce) if sender is not None else None
        grows = len(transaction.raw) - (len(standing.raw) if standing is not None else 0)
        if self.size_bytes + grows > self._max_bytes:
            taken = (sender.size_bytes if sender is not None else 0) + grows
            self._make_room(self.size_bytes + grows - self._max_bytes, taken)
        if sender is None:
            sender = self._senders[account] = _Sender()
        if standing is not None:
            del self._by_id[standing.id]
        sender.waiting[transaction.nonce] = transaction
        self._by_id[transaction.id] = transaction
        self._resize(account, sender, grows)
        if nonce in sender.waiting:
            self._ready.setdefault(account)

    def ready(self) -> Iterator[Transaction]:
        """Yield what may stand in the next block: per sender in nonce order, without gaps.

        Senders take turns, so that nobody's long queue keeps the others waiting.
        """
        turns: list[tuple[_Sender, int]] = []
        for account in list(self._ready):
            sender = self._senders.get(account)  # a builder pauses: it may have gone meanwhile
            if sender is None:
                continue
            found = self._account(account, sender)
            first = None if found is None else sender.waiting.get(found.nonce)
            if first is not None:
                yield first
                turns.append((sender, first.nonce + 1))
        while turns:
            following: list[tuple[_Sender, int]] = []
            for sender, nonce in turns:
                transaction = sender.waiting.get(nonce)
                if transaction is not None:
                    yield transaction
                    following.append((sender, nonce + 1))
            turns = following

    def has_ready(self) -> bool:
        """Tell whether anything may stand in the next block."""
        while self._ready:
            account = next(iter(self._ready))
            sender = self._senders[account]
            found = self._account(account, sender)
            if found is not None and found.nonce in sender.waiting:
                return True
            del self._ready[account]
        return False

    def remove(self, transactions: Sequence[Transaction]) -> None:
        """Drop what became final, or what can never stand in a block."""
        for transaction in transactions:
            self._drop(transaction.id)

    def prune(self, senders: Sequence[bytes], block: BlockContext) -> None:
        """Drop what is past for `senders`: used nonces, expired, no longer allowed.

        They were served: their turn comes after that of the others.
        """
        for account in senders:
            self._ready.pop(account, None)
            sender = self._senders.get(account)
            if sender is None:
                continue
            found = self._account(account, sender)
            if found is None or found.status != ACTIVE or block.parameters.gas_price_micro:
                self._prune_sender(account, block)
            else:  # the common case, in short
                for item in list(sender.waiting.values()):
                    if (
                        item.nonce < found.nonce
                        or item.expiry_height < block.height
                        or item.key != found.key
                    ):
                        self._drop(item.id)
            if found is not None and found.nonce in sender.waiting:
                self._ready[account] = None

    def prune_some(self, block: BlockContext) -> None:
        """Drop what is past of a few senders, in turn: called for each block."""
        for _ in range(max(PRUNED_SENDERS, len(self._senders) // 64)):
            if not self._to_prune:
                self._to_prune = list(self._senders)
            if self._to_prune:
                self._prune_sender(self._to_prune.pop(), block)

    def _prune_sender(self, account: bytes, block: BlockContext) -> None:
        sender = self._senders.get(account)
        if sender is None:
            return
        found = self._account(account, sender)
        for transaction in list(sender.waiting.values()):
            try:
                validate_admission(transaction, found, block)
            except InvalidTransaction:
                self._drop(transaction.id)

    def _account(self, account: bytes, sender: _Sender | None) -> Account | None:
        """Return the final state of an account; decoded once as long as it does not change."""
        leaf = self._state.get(ACCOUNT_SPACE + account)
        if sender is not None and leaf is sender.leaf:
            return sender.account
        found = None if leaf is None else decode_account(leaf)
        if sender is not None:
            sender.leaf, sender.account = leaf, found
        return found

    def _validate_replacement(
        self, standing: Transaction, transaction: Transaction, block: BlockContext
    ) -> None:
        if standing.id == transaction.id:
            raise InvalidTransaction("the transaction waits already", code="already_waiting")
        if block.parameters.gas_price_micro:
            least = max(-(-standing.max_fee_micro * REPLACEMENT_FEE_PERCENT // 100), 1)
            if transaction.max_fee_micro < least:
                raise InvalidTransaction(
                    "a replacement offers a clearly higher fee",
                    code="replacement",
                    expected=f"at least {least}",
                    actual=transaction.max_fee_micro,
                )
            return
        least = standing.expiry_height + max(
            block.parameters.max_expiry_blocks // REPLACEMENT_STEPS, 1
        )
        if transaction.expiry_height < least:
            raise InvalidTransaction(
                "a replacement expires clearly later",
                code="replacement",
                expected=f"at least {least}",
                actual=transaction.expiry_height,
            )

    def _make_room(self, needed_bytes: int, taken_bytes: int) -> None:
        """Evict last transactions of senders that take more room than `taken_bytes`."""
        own_class = taken_bytes // _CLASS_BYTES
        while needed_bytes > 0:
            larger = self._classes[own_class + 1 :]
            largest = next((names for names in reversed(larger) if names), None)
            if largest is None:
                raise InvalidTransaction(
                    "the mempool is full",
                    code="mempool_full",
                    expected=f"at most {self._max_bytes} bytes",
                    actual=self.size_bytes,
                    hint="Try again in a few blocks.",
                )
            waiting = self._senders[next(iter(largest))].waiting
            last = waiting[max(waiting)]
            needed_bytes -= len(last.raw)
            self._drop(last.id)

    def _drop(self, transaction_id: bytes) -> None:
        transaction = self._by_id.pop(transaction_id, None)
        if transaction is None:
            return
        account = transaction.sender
        sender = self._senders[account]
        del sender.waiting[transaction.nonce]
        self._resize(account, sender, -len(transaction.raw))
        if not sender.waiting:
            del self._senders[account]
            self._ready.pop(account, None)

    def _resize(self, account: bytes, sender: _Sender, change_bytes: int) -> None:
        before = sender.size_bytes // _CLASS_BYTES
        sender.size_bytes += change_bytes
        self.size_bytes += change_bytes
        after = sender.size_bytes // _CLASS_BYTES
        if before != after:
            if before:
                del self._classes[before][account]
            if after:
                self._classes[after][account] = None
