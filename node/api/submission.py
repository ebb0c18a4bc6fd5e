"""Taking transactions in, and following one until it is final."""

from __future__ import annotations

import asyncio
import json
from binascii import a2b_base64
from collections.abc import Sequence

from node.api.answers import Answer, ApiError, JsonObject, encode_json
from node.api.chain_reader import StoredBlock
from node.api.context import ApiContext
from node.api.parameters import Arguments
from node.api.privacy import Viewer
from node.api.render import receipt_json, transaction_json
from node.submission import Submission
from vm.primitives.errors import InvariantViolation

_SHAPE = '{"transactions": ["<base64>", …]}'


async def submit_transactions(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer POST /transactions: what became of each, in order; nothing is executed yet."""
    texts = read_batch(arguments.body, context.limits.max_batch)
    batch: list[bytes] = []
    refused: dict[int, str] = {}
    for place, text in enumerate(texts):
        try:
            batch.append(a2b_base64(text, strict_mode=True))
        except ValueError as error:
            refused[place] = str(error)
    submissions = await context.facade.submit(batch) if batch else ()
    if len(submissions) != len(batch):
        raise InvariantViolation("the node did not answer for each transaction")
    return Answer(_results(submissions, refused))


def read_batch(body: bytes, max_batch: int) -> list[str]:
    """Return a batch as the body holds it, its texts not looked into yet; raises ApiError.

    Base64 holds none of the characters that JSON is built of, so counting them bounds what the
    parser can build before it runs.
    """
    if body.count(b"[") != 1 or body.count(b"{") != 1 or body.count(b":") != 1:
        raise _wrong_shape()
    if body.count(b",") >= max_batch:
        raise ApiError(
            413,
            "batch_too_large",
            "too many transactions in one request",
            expected=f"at most {max_batch}",
            actual=body.count(b",") + 1,
            hint="Send them in several requests.",
        )
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(
            400, "invalid_json", "the body is not JSON", expected=_SHAPE, actual=error
        ) from error
    if not isinstance(document, dict) or list(document) != ["transactions"]:
        raise _wrong_shape()
    texts = document["transactions"]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _wrong_shape()
    return texts


def _wrong_shape() -> ApiError:
    return ApiError(400, "invalid_body", "the body is not a batch of transactions", expected=_SHAPE)


def _results(submissions: Sequence[Submission], refused: dict[int, str]) -> bytes:
    """Return the answer's bytes; the plain case of an accepted transaction is put together."""
    parts: list[str] = []
    taken = iter(submissions)
    for place in range(len(submissions) + len(refused)):
        reason = refused.get(place)
        if reason is not None:
            found = Submission(b"", "invalid_base64", f"not base64: {reason}")
        else:
            found = next(taken)
            if not found.code:
                parts.append(f'{{"id":"{found.transaction_id.hex()}","accepted":true}}')
                continue
        parts.append(encode_json(_refusal(found)).decode("ascii"))
    return f'{{"results":[{",".join(parts)}]}}'.encode("ascii")


def _refusal(submission: Submission) -> JsonObject:
    return {
        "id": submission.transaction_id.hex() or None,
        "accepted": False,
        "code": submission.code,
        "message": submission.message,
    }


async def show_transaction(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /transactions/{id}, if asked to only once it is final."""
    transaction_id = arguments.data("id")
    place = context.facade.store.find_transaction(transaction_id)
    wait_ms = arguments.number("wait_ms")
    if place is None and wait_ms:
        place = await _wait(context, transaction_id, wait_ms)
    if place is not None:
        return Answer(
            _placed(
                context,
                context.reader.block(place[0]),
                place[1],
                arguments.viewer,
                is_final=True,
            ),
            tag=transaction_id.hex(),
        )
    for undecided in context.facade.undecided():
        for number, transaction in enumerate(undecided.transactions):
            if transaction.id == transaction_id:
                found = StoredBlock.of(undecided)
                return Answer(_placed(context, found, number, arguments.viewer, is_final=False))
    waiting = context.facade.find_waiting(transaction_id)
    if waiting is None:
        raise ApiError(
            404,
            "unknown_transaction",
            "this node knows no such transaction",
            actual=transaction_id,
            hint=context.reader.pruned_hint()
            or "It may have expired, or not have reached this node yet.",
        )
    return Answer(
        {
            "id": transaction_id.hex(),
            "status": "pending",
            "final": False,
            "height": None,
            "index": None,
            "block_id": None,
            "time_ms": None,
            "transaction": transaction_json(
                waiting, context.facade.runtime, context.names, arguments.viewer
            ),
            "receipt": None,
        }
    )


async def _wait(context: ApiContext, transaction_id: bytes, wait_ms: int) -> tuple[int, int] | None:
    """Return where the transaction became final, or None if it has not after `wait_ms`."""
    if context.hub.waiters >= context.limits.max_waiters:
        raise ApiError(
            503,
            "too_many_waiters",
            "too many requests wait for transactions",
            expected=f"at most {context.limits.max_waiters}",
            hint="Ask without wait_ms, or follow /api/v1/events.",
        )
    future = context.hub.expect(transaction_id)
    try:
        await asyncio.wait((future,), timeout=wait_ms / 1000)
    finally:
        context.hub.give_up(transaction_id, future)
    return context.facade.store.find_transaction(transaction_id)


def _placed(
    context: ApiContext, block: StoredBlock, number: int, viewer: Viewer, *, is_final: bool
) -> JsonObject:
    """Return a transaction in its block: `included` says that the block may still be undone."""
    transaction = block.transaction(number)
    return {
        "id": transaction.id.hex(),
        "status": "final" if is_final else "included",
        "final": is_final,
        "height": block.height,
        "index": number,
        "block_id": block.block_id.hex(),
        "time_ms": block.header.time_ms,
        "transaction": transaction_json(transaction, context.facade.runtime, context.names, viewer),
        "receipt": receipt_json(block.receipt(number), context.names, viewer),
    }
