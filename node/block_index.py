"""The layout of the database: key prefixes, and the index entries that belong to one block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from node.ledger.receipt import Receipt
from node.ledger.transaction import Transaction

STATE: Final = b"s"
PAGE: Final = b"t"
HEAD: Final = b"h"
BODY: Final = b"b"
RECEIPTS: Final = b"r"
TRANSACTION: Final = b"x"
BLOCK_ID: Final = b"d"
HISTORY: Final = b"u"
VALIDATORS: Final = b"w"
CHANGE: Final = b"c"
"""Heights after which other validators decide."""
PENDING: Final = b"p"
META: Final = b"M"

HEIGHT_KEY: Final = META + b"height"
FORMAT_KEY: Final = META + b"format"
BASE_KEY: Final = META + b"base"
"""Where the lowest height is kept whose block and receipts are here; without it that is 0."""
FORMAT: Final = b"bitenergy-store-1"


def height_bytes(height: int) -> bytes:
    """Return a height as keys carry it, 8 bytes."""
    return height.to_bytes(8, "big")


def involved_accounts(
    transactions: Sequence[Transaction], receipts: Sequence[Receipt], first: int
) -> dict[bytes, list[int]]:
    """Return which transactions touched each account: as sender, or named in an event.

    `first` is the place of the first transaction's receipt.
    """
    found: dict[bytes, list[int]] = {}
    for number, transaction in enumerate(transactions):
        found.setdefault(transaction.sender, []).append(number)
        for _, _, values in receipts[first + number].events:
            for value in values:
                if type(value) is bytes and len(value) == 20:
                    numbers = found.setdefault(value, [])
                    if not numbers or numbers[-1] != number:
                        numbers.append(number)
    return found
