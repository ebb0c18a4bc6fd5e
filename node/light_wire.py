"""What light nodes and full nodes say to each other: kinds of messages and payloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.ledger.block import MAX_HEADER_BYTES
from node.ledger.proofs import MAX_TRANSACTION_PROOF_BYTES, Finality
from node.ledger.transaction import MAX_TRANSACTION_BYTES
from node.p2p.framing import MessageKind
from vm.primitives.codec import Value, decode, encode_trusted, has_types
from vm.primitives.errors import DecodeError
from vm.primitives.integers import MAX_AMOUNT

LIGHT: Final = 56
GET_HEADERS: Final = 57
HEADERS: Final = 58
ASK: Final = 59
ANSWER: Final = 60

MAX_ASK_BYTES: Final = MAX_TRANSACTION_BYTES + 64
MAX_ANSWER_BYTES: Final = MAX_TRANSACTION_PROOF_BYTES + 1_024
MAX_HEADERS_BYTES: Final = 1_048_576

LIGHT_KINDS: Final = (
    MessageKind(LIGHT, "light", 0),
    MessageKind(GET_HEADERS, "get_headers", 64),
    MessageKind(HEADERS, "headers", MAX_HEADERS_BYTES),
    MessageKind(ASK, "ask", MAX_ASK_BYTES),
    MessageKind(ANSWER, "answer", MAX_ANSWER_BYTES),
)

HEADER_RANGE_TYPE: Final = 26
HEADERS_TYPE: Final = 27
ASK_TYPE: Final = 28
ANSWER_TYPE: Final = 29
VERSION: Final = 1
MAX_HEADERS: Final = 256

ASK_STATE: Final = 1
"""The proof of what the state holds at a key."""
ASK_TRANSACTION: Final = 2
"""The proof that a transaction is final."""
ASK_SUBMIT: Final = 3
"""To take in a transaction."""

_MAX_TEXT_BYTES = 400


@dataclass(frozen=True, slots=True)
class Question:
    """What a light node asks."""

    number: int
    """By which it knows the answer again."""
    kind: int
    """ASK_STATE, ASK_TRANSACTION or ASK_SUBMIT."""
    argument: bytes
    """State key, id of the transaction, or its canonical bytes."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a full node answers."""

    number: int
    """The question's."""
    code: str
    """Empty if the question was answered, else why not."""
    message: str
    """The reason in words; empty with an answer."""
    data: bytes
    """Canonical bytes of the proof; empty for a transaction that was taken in."""


def encode_header_range(first: int, count: int) -> bytes:
    """Return the payload of a request for `count` final headers from height `first` on."""
    return encode_trusted([HEADER_RANGE_TYPE, VERSION, first, count])


def decode_header_range(payload: bytes) -> tuple[int, int]:
    """Return (first height, count) of a request; raises DecodeError."""
    match decode(payload, max_bytes=64, max_items=8, max_depth=1):
        case (26, 1, int(first), int(count)) if 0 <= first <= MAX_AMOUNT and count > 0:
            return first, min(count, MAX_HEADERS)
    raise DecodeError("not a request for headers of this version")


def encode_headers(entries: Sequence[Finality]) -> bytes:
    """Return the payload of headers.

    Certificate and validators stand with the last one and with each after which the validators
    change; elsewhere both are empty, because the headers are chained.
    """
    listed = [[entry.header, entry.certificate, entry.validators] for entry in entries]
    return encode_trusted([HEADERS_TYPE, VERSION, listed])


def decode_headers(payload: bytes) -> tuple[Finality, ...]:
    """Return the headers of a payload; raises DecodeError. Nothing is verified."""
    value = decode(payload, max_bytes=MAX_HEADERS_BYTES, max_items=4 * MAX_HEADERS + 8, max_depth=3)
    match value:
        case (27, 1, tuple(entries)) if has_types(value, (int, int, tuple)):
            return tuple([_entry(entry) for entry in entries])
    raise DecodeError("not headers of this version")


def encode_question(question: Question) -> bytes:
    """Return the payload of a question."""
    return encode_trusted([ASK_TYPE, VERSION, question.number, question.kind, question.argument])


def decode_question(payload: bytes) -> Question:
    """Return the question of a payload; raises DecodeError."""
    value = decode(payload, max_bytes=MAX_ASK_BYTES, max_items=8, max_depth=1)
    match value:
        case (28, 1, int(number), int(kind), bytes(argument)) if (
            has_types(value, (int, int, int, int, bytes)) and 0 <= number <= MAX_AMOUNT
        ):
            return Question(number, kind, argument)
    raise DecodeError("not a question of this version")


def encode_reply(reply: Reply) -> bytes:
    """Return the payload of a reply; a long message is cut."""
    text = reply.message.encode("utf-8", "replace")[:_MAX_TEXT_BYTES].decode("utf-8", "ignore")
    return encode_trusted([ANSWER_TYPE, VERSION, reply.number, reply.code, text, reply.data])


def decode_reply(payload: bytes) -> Reply:
    """Return the reply of a payload; raises DecodeError."""
    value = decode(payload, max_bytes=MAX_ANSWER_BYTES, max_items=8, max_depth=1)
    match value:
        case (29, 1, int(number), str(code), str(message), bytes(data)) if has_types(
            value, (int, int, int, str, str, bytes)
        ):
            return Reply(number, code, message, data)
    raise DecodeError("not a reply of this version")


def _entry(entry: Value) -> Finality:
    match entry:
        case (bytes(header), bytes(certificate), bytes(validators)) if (
            len(header) <= MAX_HEADER_BYTES
        ):
            return Finality(header, certificate, validators)
    raise DecodeError("an entry is [header, certificate, validators]")
