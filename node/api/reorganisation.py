"""A reorganisation as a message: which blocks, transactions and trades were undone."""

from __future__ import annotations

from node.api.answers import JsonObject, JsonValue
from node.api.event_fields import TRADE
from node.api.render import Names, trade_fields
from node.facade import Reorganisation
from node.ledger.chain_rules import Candidate
from vm.primitives.address import encode_address


def reorganisation_json(event: Reorganisation, names: Names) -> JsonObject:
    """Return the message; `again_height` says where a transaction stands on the new branch."""
    again = {
        transaction.id: block.header.height
        for block in event.applied
        for transaction in block.transactions
    }
    transactions: list[JsonValue] = [
        {
            "id": transaction.id.hex(),
            "height": block.header.height,
            "index": number,
            "sender": encode_address(transaction.sender),
            "sender_name": names.find(transaction.sender),
            "again_height": again.get(transaction.id),
        }
        for block in event.undone
        for number, transaction in enumerate(block.transactions)
    ]
    trades: list[JsonValue] = [trade for block in event.undone for trade in _trades(block, names)]
    return {
        "type": "reorganisation",
        "final": False,
        "time_ms": event.time_ms,
        "ancestor_height": event.undone[0].header.height - 1,
        "undone": [_block(block) for block in event.undone],
        "applied": [_block(block) for block in event.applied],
        "undone_transactions": transactions,
        "undone_trades": trades,
    }


def _block(block: Candidate) -> JsonObject:
    return {"height": block.header.height, "id": block.block_id.hex()}


def _trades(block: Candidate, names: Names) -> list[JsonObject]:
    return [
        {
            "height": block.header.height,
            "transaction_id": receipt.transaction_id.hex() or None,
            **trade_fields(event, names),
        }
        for receipt in block.executed.receipts
        for event in receipt.events
        if event[:2] == TRADE
    ]
