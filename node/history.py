"""Whose history a block belongs to: the index by which accounts find their transactions."""

from __future__ import annotations

from node.ledger.chain_rules import Candidate


def involved_accounts(block: Candidate) -> dict[bytes, list[int]]:
    """Return which transactions touched each account: as sender, or named in an event."""
    found: dict[bytes, list[int]] = {}
    receipts = block.executed.receipts
    first = block.executed.first_transaction
    for number, transaction in enumerate(block.transactions):
        found.setdefault(transaction.sender, []).append(number)
        for _, _, values in receipts[first + number].events:
            for value in values:
                if type(value) is bytes and len(value) == 20:
                    numbers = found.setdefault(value, [])
                    if not numbers or numbers[-1] != number:
                        numbers.append(number)
    return found
