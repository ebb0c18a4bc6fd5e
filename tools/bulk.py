"""Many calls of one member, each a transaction of its own: one that fails harms no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tools.client import integer_field, object_field, text_field
from tools.errors import Json, TransactionFailed
from tools.session import Session
from tools.wallet import DEFAULT_EXPIRY_BLOCKS, DEFAULT_GAS_LIMIT, Signer, TransactionTerms
from vm.primitives.address import encode_address
from vm.runtime import Call

BATCH: Final = 100
"""Transactions under way at once; a node takes 128 of one member ahead of what is final."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one call, or would become of it."""

    id: str
    """Its transaction's id; empty where the node refused it, and where it was only tried."""
    code: str
    """Empty if it did what it was asked for."""
    message: str
    """Words to the code."""
    values: tuple[object, ...] = ()
    """What it returned."""


def try_each(session: Session, account: bytes, calls: Sequence[Call]) -> Iterator[Sent]:
    """Tell what each call alone would do on the last final state; nothing is sent."""
    client, address = session.client(), encode_address(account)
    for call in calls:
        receipt = client.preview(address, [call])
        yield Sent("", text_field(receipt, "code"), str(receipt.get("message", "")))


def send_each(
    session: Session,
    signer: Signer,
    calls: Sequence[Call],
    *,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Sent]:
    """Send each call and tell what became of it, in order.

    A transaction that the node refuses at its door ends it, since those behind would wait for it
    for ever; those are not told of. Raises ClientError where the node does not answer.
    """
    client = session.client()
    address = encode_address(signer.account)
    params = object_field(client.get("/params"), "parameters")
    gas_limit = min(DEFAULT_GAS_LIMIT, integer_field(params, "max_transaction_gas"))
    blocks = min(DEFAULT_EXPIRY_BLOCKS, integer_field(params, "max_expiry_blocks"))
    nonce = client.next_nonce(address)
    for start in range(0, len(calls), BATCH):
        expiry = integer_field(client.status(), "height") + blocks
        raw: list[bytes] = []
        for call in calls[start : start + BATCH]:
            terms = TransactionTerms(
                genesis=client.genesis_hash(),
                nonce=nonce,
                expiry_height=expiry,
                gas_limit=gas_limit,
                max_fee_micro=gas_limit * integer_field(params, "gas_price_micro"),
            )
            raw.append(signer.sign([call], terms).raw)
            nonce += 1
        for answer in client.submit(raw):
            if answer.get("accepted") is not True:
                yield _refused(answer)
                return
            yield _awaited(session, text_field(answer, "id"))
        if progress is not None:
            progress(min(len(calls), start + BATCH))


def _awaited(session: Session, transaction_id: str) -> Sent:
    try:
        final = session.client().wait(transaction_id, timeout_s=session.timeout_s)
    except TransactionFailed as failed:
        return Sent(transaction_id, failed.code, failed.message)
    values = final.receipt.get("values")
    return Sent(transaction_id, "", "", tuple(values) if isinstance(values, list) else ())


def _refused(answer: Json) -> Sent:
    return Sent("", str(answer.get("code", "rejected")), str(answer.get("message", "")))
