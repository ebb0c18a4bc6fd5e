"""Receipts: what became of a transaction, or of something that was due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vm.context import Event
from vm.primitives.codec import Encodable, Value, decode, encode_trusted, has_types
from vm.primitives.errors import DecodeError
from vm.primitives.hashing import HASH_BYTES

RECEIPT_TYPE: Final = 8
VERSION: Final = 1
MAX_RECEIPT_BYTES: Final = 1_048_576
_FIELD_TYPES: Final = (int, int, bytes, str, int, int, tuple, tuple)


# mutable: nothing changes it, but there is one per transaction, and freezing doubles its cost
@dataclass(slots=True)
class Receipt:
    """The outcome of one transaction; of a due item where `transaction_id` is empty."""

    transaction_id: bytes
    """Id of the transaction, 32 bytes, or empty."""
    code: str
    """Empty on success, else why it failed."""
    gas_used: int
    """Gas it used."""
    fee_micro: int
    """Fee it paid, micro-tokens."""
    events: tuple[Event, ...]
    """What happened; nothing on failure."""
    values: tuple[Encodable, ...]
    """What each call returned; nothing on failure."""

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode_trusted(
            (
                RECEIPT_TYPE,
                VERSION,
                self.transaction_id,
                self.code,
                self.gas_used,
                self.fee_micro,
                self.events,
                self.values,
            )
        )


def decode_receipt(data: bytes) -> Receipt:
    """Return the receipt of canonical bytes; raises DecodeError."""
    value = decode(data, max_bytes=MAX_RECEIPT_BYTES)
    match value:
        case (
            8,
            1,
            bytes(transaction_id),
            str(code),
            int(gas_used),
            int(fee),
            tuple(events),
            tuple(values),
        ) if (
            has_types(value, _FIELD_TYPES)
            and len(transaction_id) in (0, HASH_BYTES)
            and gas_used >= 0
            and fee >= 0
        ):
            return Receipt(transaction_id, code, gas_used, fee, tuple(map(_event, events)), values)
    raise DecodeError("not a receipt of this version")


def _event(value: Value) -> Event:
    match value:
        case (str(module), str(name), tuple(values)):
            return module, name, values
    raise DecodeError("an event is [module, name, [values]]")
