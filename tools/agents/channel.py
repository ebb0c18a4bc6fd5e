"""A channel to the chain for many members: signs and submits for them, and reads what is told.

It uses the nodes' public API as any user does. Members' nonces are counted here, so each member has
one channel only.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tools.client import NodeClient, integer_field, list_field, object_field, text_field
from tools.errors import AnswerInvalid, Json, NodeTimeout, TransactionRejected
from tools.wallet import Signer, TransactionTerms
from vm.primitives.address import decode_address, encode_address
from vm.runtime import Call

BATCH: Final = 250
GAS_LIMIT: Final = 2_000_000
EXPIRY_BLOCKS: Final = 90_000
POLL_S: Final = 0.05
DEADLINE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """An event of a final block."""

    height: int
    """The block's height."""
    module: str
    """Module that told it."""
    name: str
    """Its name."""
    fields: Mapping[str, object]
    """Its fields, as the API shows them."""


class Channel:
    """Connections to the nodes, the members that it signs for, and how far it has read."""

    def __init__(self, urls: Sequence[str], genesis: bytes, *, read_to: int = 0) -> None:
        """Connect to nodes of a network; blocks up to height `read_to` are not read."""
        self._clients = [NodeClient(url, genesis=genesis) for url in urls]
        self._genesis = genesis
        self._nonces: dict[bytes, int] = {}
        self._turn = 0
        self._read_to = read_to
        self.failures: dict[str, int] = {}
        """Final transactions of its members that failed, by code, as far as read."""
        self.transactions = 0
        """Final transactions so far."""

    @property
    def client(self) -> NodeClient:
        """The connection to the first node, for questions."""
        return self._clients[0]

    @property
    def clients(self) -> Sequence[NodeClient]:
        """The connections to all nodes."""
        return self._clients

    @property
    def height(self) -> int:
        """The last block that it has read."""
        return self._read_to

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.close()

    def submit(self, orders: Iterable[tuple[Signer, Sequence[Call]]]) -> list[str]:
        """Sign and send one transaction for each entry; return their ids, in order.

        Raises TransactionRejected where a node refuses one.
        """
        ids: list[str] = []
        batch: list[bytes] = []
        for signer, calls in orders:
            batch.append(self._sign(signer, calls))
            if len(batch) == BATCH:
                ids += self._send(batch)
                batch = []
        return ids + (self._send(batch) if batch else [])

    def values(self, transaction_ids: Sequence[str]) -> list[list[object]]:
        """Wait until transactions are final; return what the calls of each returned."""
        found: list[list[object]] = []
        for transaction_id in transaction_ids:
            final = self.client.wait(transaction_id, timeout_s=DEADLINE_S)
            values = final.receipt.get("values")
            found.append(values if isinstance(values, list) else [])
        return found

    def read(self) -> list[Told]:
        """Return what blocks told by themselves that became final since it last read."""
        top = integer_field(self.client.status(), "final_height")
        told: list[Told] = []
        while self._read_to < top:
            self._read_to += 1
            told += self._read_block(self._read_to)
        return told

    def wait_height(self, height: int) -> None:
        """Wait until every node has made `height` final; raises NodeTimeout."""
        deadline = time.monotonic() + DEADLINE_S
        for client in self._clients:
            while integer_field(status := client.status(), "final_height") < height:
                if time.monotonic() > deadline:
                    raise NodeTimeout(f"{client.url} did not reach height {height}", actual=status)
                time.sleep(POLL_S)

    def _sign(self, signer: Signer, calls: Sequence[Call]) -> bytes:
        nonce = self._nonces.get(signer.account)
        if nonce is None:
            nonce = self.client.next_nonce(encode_address(signer.account))
        self._nonces[signer.account] = nonce + 1
        terms = TransactionTerms(
            genesis=self._genesis,
            nonce=nonce,
            expiry_height=self._read_to + EXPIRY_BLOCKS,
            gas_limit=GAS_LIMIT,
            max_fee_micro=0,
        )
        return signer.sign(calls, terms).raw

    def _send(self, batch: Sequence[bytes]) -> list[str]:
        client = self._clients[self._turn % len(self._clients)]
        self._turn += 1
        ids: list[str] = []
        for answer in client.submit(batch):
            if answer.get("accepted") is not True:
                raise TransactionRejected(
                    str(answer.get("message", "a node refused a transaction")),
                    code=str(answer.get("code", "rejected")),
                )
            ids.append(text_field(answer, "id"))
        return ids

    def _read_block(self, height: int) -> list[Told]:
        told: list[Told] = []
        transactions = receipts = 0
        while True:
            query: dict[str, int] = {"from": transactions, "from_system": receipts}
            block = self.client.get(f"/blocks/{height}", **query)
            listed, system = list_field(block, "transactions"), list_field(block, "system_receipts")
            for transaction in listed:
                code = text_field(transaction, "code")
                if code and decode_address(text_field(transaction, "sender")) in self._nonces:
                    self.failures[code] = self.failures.get(code, 0) + 1
            for receipt in system:
                told += [_told(height, event) for event in list_field(receipt, "events")]
            transactions, receipts = transactions + len(listed), receipts + len(system)
            total = integer_field(block, "transactions_count")
            all_receipts = integer_field(block, "system_receipts_count")
            if transactions >= total and receipts >= all_receipts:
                self.transactions += total
                return told
            if not listed and not system:
                raise AnswerInvalid(
                    f"{self.client.url} leaves out what block {height} holds",
                    expected=f"{total} transactions and {all_receipts} receipts of the system",
                    actual=f"{transactions} and {receipts}",
                )


def _told(height: int, event: Json) -> Told:
    return Told(
        height,
        text_field(event, "module"),
        text_field(event, "event"),
        object_field(event, "fields"),
    )
