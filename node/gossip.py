"""The gossip of transactions: from the API and from peers through one door into the mempool.

Decoded once, admitted without running a contract, signatures checked off the loop in batches.
What enters at this node goes to all peers at once; what a validator's node sent is announced
later, and only if it still waits, because validators' nodes reach one another themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from node.chain import Chain
from node.ledger.transaction import Transaction, decode_transaction
from node.mempool import Mempool
from node.p2p.service import PeerService
from node.submission import Submission
from node.verifier import Verifier, VerifierFailure
from node.wire import (
    ANNOUNCE,
    GET_TRANSACTIONS,
    MAX_TRANSACTIONS_PER_MESSAGE,
    TRANSACTIONS,
    decode_transactions,
    encode_transactions,
    split_ids,
)
from vm.context import BlockContext
from vm.primitives.errors import BitenergyError, InvalidInput, InvalidTransaction

ANNOUNCE_DELAY_S: Final = 1.0
LIAR_BAN_S: Final = 10.0
MAX_IN_CHECK: Final = 20_000
MAX_MESSAGE_BYTES: Final = 1_048_576


class _Check:
    """Transactions whose signatures are being checked together."""

    __slots__ = ("done", "refused", "validated_for")

    def __init__(self, context: BlockContext) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.refused: dict[bytes, Submission] = {}
        self.validated_for: BlockContext | None = context
        """The block for which the mempool let all of them pass, if it was asked for all."""

    def result(self, transaction_id: bytes) -> Submission:
        """Return what came of one of them, after `done`."""
        return self.refused.get(transaction_id) or Submission(transaction_id, "", "")


class TransactionGossip:
    """Takes transactions in, and hands them on."""

    def __init__(
        self,
        chain: Chain,
        mempool: Mempool,
        verifier: Verifier,
        peers: PeerService,
        *,
        spawn: Callable[[Awaitable[None]], None],
        is_requested: Callable[[bytes], bool],
        on_checked: Callable[[Sequence[Transaction]], None],
        on_added: Callable[[], None],
    ) -> None:
        """`spawn` runs a task whose failure stops the node.

        `is_requested` tells whether a block waits for a transaction, `on_checked` gets all whose
        signature holds, and `on_added` follows when some went into the mempool.
        """
        self._chain = chain
        self._mempool = mempool
        self._verifier = verifier
        self._peers = peers
        self._spawn = spawn
        self._is_requested = is_requested
        self._on_checked = on_checked
        self._on_added = on_added
        self._in_check: dict[bytes, _Check] = {}
        self._to_announce: list[bytes] = []
        self._announcing: asyncio.TimerHandle | None = None
        self._stopping = False
        self.refused = 0

    async def submit(self, raws: Sequence[bytes], *, source: bytes = b"") -> list[Submission]:
        """Take in transactions from the API, or relayed by the peer `source`."""
        results: list[Submission] = []
        places: list[int] = []
        to_check: list[Transaction] = []
        elsewhere: list[tuple[int, bytes, _Check]] = []
        context = self._chain.next_context()
        check = _Check(context)
        for raw in raws:
            transaction_id = b""
            try:
                transaction = decode_transaction(raw)
                transaction_id = transaction.id
                if self._is_known(transaction_id):
                    under_way = self._in_check.get(transaction_id)
                    if under_way is not None:
                        elsewhere.append((len(results), transaction_id, under_way))
                    results.append(Submission(transaction_id, "", ""))
                    continue
                if len(self._in_check) >= MAX_IN_CHECK:
                    raise InvalidTransaction("the node is busy", code="busy", hint="Wait a bit.")
                if not source:
                    self._chain.validate_proposal(transaction)
                if self._is_requested(transaction_id):
                    check.validated_for = None
                else:
                    self._mempool.validate(transaction, context)
            except BitenergyError as error:
                results.append(Submission(transaction_id, error.code, str(error)))
                continue
            self._in_check[transaction_id] = check
            places.append(len(results))
            to_check.append(transaction)
            results.append(Submission(transaction_id, "", ""))
        accepted = await self._check_and_add(to_check, places, results, source, check)
        if accepted:
            self._push(accepted, exclude=source)
        for place, transaction_id, under_way in elsewhere:
            await asyncio.shield(under_way.done)  # others wait for it too
            results[place] = under_way.result(transaction_id)
        return results

    async def _check_and_add(
        self,
        transactions: list[Transaction],
        places: list[int],
        results: list[Submission],
        source: bytes,
        check: _Check,
    ) -> list[Transaction]:
        """Check signatures and take in what holds; `check` and `results` say what was refused."""
        if not transactions:
            return []
        is_checked = False
        try:
            accepted = await self._add_checked(transactions, places, results, source, check)
            is_checked = True
        except VerifierFailure:
            if not self._stopping:
                raise
            accepted = []
        finally:
            for transaction, place in zip(transactions, places, strict=True):
                self._in_check.pop(transaction.id, None)
                if not is_checked:
                    results[place] = Submission(transaction.id, "stopping", "the node stops")
                if results[place].code:
                    check.refused[transaction.id] = results[place]
            check.done.set_result(None)
        return accepted

    async def _add_checked(
        self,
        transactions: list[Transaction],
        places: list[int],
        results: list[Submission],
        source: bytes,
        check: _Check,
    ) -> list[Transaction]:
        flags = await self._verifier.check(transactions)
        if source and not all(flags):
            # Honest nodes hand on only what they checked: this one has us work for nothing.
            self._peers.ban(source, "a transaction with a wrong signature", LIAR_BAN_S)
        self._on_checked([tx for tx, holds in zip(transactions, flags, strict=True) if holds])
        if self._stopping:  # nobody would hear of them any more
            for transaction, place in zip(transactions, places, strict=True):
                results[place] = Submission(transaction.id, "stopping", "the node stops")
            return []
        accepted: list[Transaction] = []
        context = self._chain.next_context()
        for transaction, holds, place in zip(transactions, flags, places, strict=True):
            try:
                if not holds:
                    raise InvalidTransaction("the signature is wrong", code="bad_signature")
                self._mempool.add(transaction, context, validated_for=check.validated_for)
                accepted.append(transaction)
            except InvalidTransaction as error:
                self.refused += 1
                results[place] = Submission(transaction.id, error.code, str(error))
        if accepted:
            self._on_added()
        return accepted

    def is_in_check(self, transaction_id: bytes) -> bool:
        """Tell whether a transaction's signature is being checked right now."""
        return transaction_id in self._in_check

    def _is_known(self, transaction_id: bytes) -> bool:
        return transaction_id in self._in_check or self._mempool.get(transaction_id) is not None

    def on_transactions(self, peer: bytes, payload: bytes, *, from_validator: bool) -> None:
        """Take in transactions that a peer sent on its own."""
        raws = decode_transactions(payload)
        if from_validator:
            self._spawn(self._take(raws, peer))
        else:
            self._spawn(self._take_and_push(raws, peer))

    async def _take_and_push(self, raws: Sequence[bytes], peer: bytes) -> None:
        await self.submit(raws, source=peer)

    async def _take(self, raws: Sequence[bytes], peer: bytes) -> None:
        context = self._chain.next_context()
        to_check: list[Transaction] = []
        check = _Check(context)
        for raw in raws:
            try:
                transaction = decode_transaction(raw)
                if self._is_known(transaction.id):
                    continue
                if self._is_requested(transaction.id):
                    check.validated_for = None
                else:
                    self._mempool.validate(transaction, context)
            except BitenergyError:
                self.refused += 1
                continue
            if len(self._in_check) < MAX_IN_CHECK:
                self._in_check[transaction.id] = check
                to_check.append(transaction)
        places = list(range(len(to_check)))
        results = [Submission(transaction.id, "", "") for transaction in to_check]
        accepted = await self._check_and_add(to_check, places, results, peer, check)
        self._announce_later([transaction.id for transaction in accepted])

    def announce_to(self, peer: bytes) -> None:
        """Tell a new peer what waits here: it may have come while nobody was connected."""
        waiting = self._mempool.waiting_ids(MAX_TRANSACTIONS_PER_MESSAGE)
        if waiting:
            self._peers.send(peer, ANNOUNCE, b"".join(waiting))

    def on_announce(self, peer: bytes, payload: bytes) -> None:
        """Ask a peer for the transactions that it announced and that are not here."""
        ids = split_ids(payload)
        if len(ids) > MAX_TRANSACTIONS_PER_MESSAGE:
            raise InvalidInput("too many transactions announced", actual=len(ids))
        missing = [
            transaction_id
            for transaction_id in ids
            if not self._is_known(transaction_id)
            and self._chain.store.find_transaction(transaction_id) is None
        ]
        if missing:
            self._peers.send(peer, GET_TRANSACTIONS, b"".join(missing))

    def _push(self, transactions: Iterable[Transaction], *, exclude: bytes) -> None:
        batch: list[bytes] = []
        size = 0
        for transaction in transactions:
            if batch and size + len(transaction.raw) > MAX_MESSAGE_BYTES:
                self._peers.broadcast(TRANSACTIONS, encode_transactions(batch), exclude=(exclude,))
                batch, size = [], 0
            batch.append(transaction.raw)
            size += len(transaction.raw)
        if batch:
            self._peers.broadcast(TRANSACTIONS, encode_transactions(batch), exclude=(exclude,))

    def _announce_later(self, ids: Sequence[bytes]) -> None:
        self._to_announce.extend(ids)
        if self._to_announce and self._announcing is None:
            loop = asyncio.get_running_loop()
            self._announcing = loop.call_later(ANNOUNCE_DELAY_S, self._announce)

    def _announce(self) -> None:
        self._announcing = None
        waiting = [item for item in self._to_announce if self._mempool.get(item) is not None]
        self._to_announce.clear()
        for start in range(0, len(waiting), MAX_TRANSACTIONS_PER_MESSAGE):
            part = waiting[start : start + MAX_TRANSACTIONS_PER_MESSAGE]
            self._peers.broadcast(ANNOUNCE, b"".join(part))

    def stop(self) -> None:
        """Take nothing in any more, and stop announcing."""
        self._stopping = True
        if self._announcing is not None:
            self._announcing.cancel()
