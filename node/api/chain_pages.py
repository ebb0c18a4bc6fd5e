"""What the API says of the chain: blocks, headers with their certificates, and proofs."""

from __future__ import annotations

from typing import Final

from consensus.messages import CommitCertificate
from node import proving
from node.api.answers import Answer, ApiError, JsonObject
from node.api.chain_reader import StoredBlock
from node.api.context import ApiContext
from node.api.node_pages import validators_json
from node.api.parameters import Arguments
from node.api.privacy import may_see_energy, personal_data, validate_provable
from node.api.render import header_json, receipt_json, to_base64
from node.ledger.certificate import decode_certificate
from node.ledger.chain_rules import Candidate
from node.ledger.proofs import Finality
from node.ledger.receipt import decode_receipt
from vm.primitives.address import TEXT_LENGTH, encode_address
from vm.primitives.errors import InvariantViolation
from vm.system.accounts import account_key, read_account
from vm.system.members import NAME_SPACE
from vm.system.validators import encode_validators

MAX_SYSTEM_RECEIPTS: Final = 100
MAX_NUMBER: Final = 10**9
"""Above the number of any transaction in its block."""


async def list_blocks(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /blocks: the newest first."""
    head = context.facade.store.height
    before = arguments.optional_number("before")
    height = head if before is None else min(before - 1, head)
    limit = arguments.number("limit")
    blocks: list[JsonObject] = []
    pace = context.pace()
    lowest = context.facade.store.base
    while height >= lowest and len(blocks) < limit:
        header = context.reader.header(height)
        blocks.append(
            {
                "height": height,
                "id": header.block_id().hex(),
                "time_ms": header.time_ms,
                "proposer": encode_address(header.proposer),
                "proposer_name": context.names.find(header.proposer),
                "final": True,
                "transactions": context.reader.count_transactions(height),
                "gas_used": header.gas_used,
                "state_root": header.state_root.hex(),
            }
        )
        height -= 1
        if not await pace.may_go_on():
            break
    following = height + 1 if height >= lowest else None
    return Answer({"blocks": blocks, "next": following, "base_height": lowest})


async def list_transactions(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /transactions: final ones, the newest first, as far as one search reaches."""
    store = context.facade.store
    head, base = store.height, store.base
    height, number = min(arguments.cursor("before") or (head + 1, 0), (head + 1, 0))
    limit = arguments.number("limit")
    found: list[JsonObject] = []
    oldest = max(0, base - 1)
    pace = context.pace()
    if not number:
        height, number = height - 1, MAX_NUMBER
    while height > oldest and len(found) < limit:
        if number == MAX_NUMBER:
            height = context.reader.skip_quiet(height, oldest)
            if height <= oldest:
                break
        block = context.reader.block(height)
        number = min(number, len(block.transactions))
        while number and len(found) < limit:
            number -= 1
            found.append(
                {
                    "height": height,
                    "time_ms": block.header.time_ms,
                    **_transaction_json(context, block, number),
                }
            )
        if not number:
            height, number = height - 1, MAX_NUMBER
        if not await pace.may_go_on():
            break
    following = None
    if height > oldest:
        following = str(height + 1) if number == MAX_NUMBER else f"{height}.{number}"
    return Answer({"transactions": found, "next": following, "base_height": base})


async def show_block(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /blocks/{height}: its header, and a stretch of its transactions."""
    which = arguments.block("height")
    undecided = find_undecided(context, which)
    if undecided is not None:
        block, found = StoredBlock.of(undecided), None
    else:
        block = context.reader.block(context.reader.find_height(which))
        found = context.facade.store.head(block.height)
    total = len(block.transactions)
    first, limit = arguments.number("from"), arguments.number("limit")
    transactions: list[JsonObject] = []
    pace = context.pace()
    number = first
    while number < min(total, first + limit):
        transactions.append(_transaction_json(context, block, number))
        number += 1
        if not await pace.may_go_on():
            break
    system, from_system = block.system_receipts(), arguments.number("from_system")
    return Answer(
        {
            "height": block.height,
            "id": block.block_id.hex(),
            "header": header_json(block.header, context.names),
            "final": undecided is None,
            "certificate": _certificate_json(found.certificate) if found else None,
            "transactions_count": total,
            "transactions": transactions,
            "next": number if number < total else None,
            "system_receipts_count": len(system),
            "system_receipts": [
                receipt_json(decode_receipt(data), context.names, arguments.viewer)
                for data in system[from_system : from_system + MAX_SYSTEM_RECEIPTS]
            ],
            "evidence": [data.hex() for data in block.evidence],
        },
        tag=f"{block.block_id.hex()}-{first}-{number}-{from_system}"
        if which is not None and undecided is None
        else "",
    )


def _transaction_json(context: ApiContext, block: StoredBlock, number: int) -> JsonObject:
    transaction, receipt = block.transaction(number), block.receipt(number)
    return {
        "index": number,
        "id": transaction.id.hex(),
        "sender": encode_address(transaction.sender),
        "sender_name": context.names.find(transaction.sender),
        "nonce": transaction.nonce,
        "calls": [f"{module}.{method}" for module, method, _ in transaction.calls],
        "code": receipt.code,
        "gas_used": receipt.gas_used,
        "fee_micro": receipt.fee_micro,
    }


def find_undecided(context: ApiContext, which: int | bytes | None) -> Candidate | None:
    """Return the block above the last final one with a height or id, or None."""
    for block in context.facade.undecided():
        if which in (block.header.height, block.block_id):
            return block
    return None


async def show_header(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /headers/{height}: all that a reader who trusts nobody needs, as bytes too."""
    which = arguments.block("height")
    height = context.reader.find_height(which)
    store = context.facade.store
    stored, header = store.head_bytes(height), context.reader.header(height)
    validators = store.validators_by_hash(header.validators)
    if stored is None or validators is None:
        raise InvariantViolation(f"the store lacks header or validators of final block {height}")
    certificate = decode_certificate(stored[1]) if stored[1] else None
    block_id = header.block_id().hex()
    return Answer(
        {
            "height": height,
            "id": block_id,
            "final": True,
            "header": to_base64(stored[0]),
            "certificate": to_base64(stored[1]),
            "validators": to_base64(encode_validators(validators)),
            "header_fields": header_json(header, context.names),
            "certificate_fields": _certificate_json(certificate),
            "validators_fields": validators_json(context, validators),
        },
        tag=block_id if which is not None else "",
    )


async def prove_account(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /proofs/account/{who}: the leaf, or its absence; for a name also the name's."""
    who = arguments.text("who")
    account = context.resolve(who)
    finality = _finality(context, context.facade.store.height)
    proof = state_proof(context, finality, account_key(account))
    exists = read_account(context.facade.store, account) is not None
    if exists and not may_see_energy(context.facade.store, account, arguments.viewer):
        raise personal_data()
    by_name = len(who) != TEXT_LENGTH
    name_proof = state_proof(context, finality, NAME_SPACE + who.encode()) if by_name else b""
    header = context.reader.header(context.facade.store.height)
    return Answer(
        {
            "proof": to_base64(proof),
            "name_proof": to_base64(name_proof) if by_name else None,
            "height": header.height,
            "block_id": header.block_id().hex(),
            "state_root": header.state_root.hex(),
            "address": encode_address(account),
            "exists": exists,
            "account": context.account(account, arguments.viewer) if exists else None,
        }
    )


async def prove_transaction(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /proofs/transaction/{id}: that it is final, and what became of it."""
    transaction_id = arguments.data("id")
    place = context.facade.store.find_transaction(transaction_id)
    if place is None:
        raise ApiError(
            404,
            "unknown_transaction",
            "no final block holds this transaction",
            actual=transaction_id,
            hint=context.reader.pruned_hint() or "If it is pending, ask again once it is final.",
        )
    height, number = place
    block = context.reader.block(height)
    validate_provable(block.transaction(number), block.receipt(number), arguments.viewer)
    proof = proving.prove_transaction(block, _finality(context, height), number)
    return Answer(
        {
            "proof": to_base64(proof.encode()),
            "id": transaction_id.hex(),
            "final": True,
            "height": height,
            "index": number,
            "block_id": block.block_id.hex(),
            "transactions_root": block.header.transactions_root.hex(),
            "receipts_root": block.header.receipts_root.hex(),
        },
        tag=f"proof-{transaction_id.hex()}",
    )


def state_proof(context: ApiContext, finality: Finality, key: bytes) -> bytes:
    """Return the proof of what the last final state holds at a key."""
    return proving.prove_key(context.facade.store, finality, key).encode()


def last_finality(context: ApiContext) -> Finality:
    """Return why the last block is final; raises ApiError 409 where nothing proves it."""
    return _finality(context, context.facade.store.height)


def _finality(context: ApiContext, height: int) -> Finality:
    finality = proving.read_finality(context.facade.store, height)
    if finality is None:
        raise ApiError(
            409,
            "not_provable",
            f"block {height} has no certificate, so it proves nothing",
            hint="Ask again after the next block.",
        )
    return finality


def _certificate_json(certificate: CommitCertificate | None) -> JsonObject | None:
    if certificate is None:
        return None
    return {
        "height": certificate.height,
        "round": certificate.round,
        "block_id": certificate.block_id.hex(),
        "signatures": [
            {"index": place, "signature": signature.hex()}
            for place, signature in certificate.signatures
        ],
    }
