"""Making proofs from what a full node stores."""

from __future__ import annotations

from node.api.chain_reader import StoredBlock
from node.ledger.proofs import AccountProof, Finality, TransactionProof, prove_state
from node.store import Store
from vm.primitives.errors import InvariantViolation
from vm.primitives.hashing import TAG_TRANSACTION, tagged_hash
from vm.primitives.merkle import merkle_proof
from vm.system.validators import encode_validators


def read_finality(store: Store, height: int) -> Finality | None:
    """Return why the block at `height`, which is there, is final; None if nothing shows it.

    Where work decides, the header's own id stands for it: a reader knows it, or what stands on it.
    """
    found, stored = store.head(height), store.head_bytes(height)
    if found is not None and stored is not None and found.header.seal:
        return Finality(stored[0], b"", b"")
    validators = store.validators_by_hash(found.header.validators) if found else None
    if stored is None or validators is None:
        raise InvariantViolation(f"the store lacks header or validators of final block {height}")
    return Finality(stored[0], stored[1], encode_validators(validators)) if stored[1] else None


def prove_key(store: Store, finality: Finality, key: bytes) -> AccountProof:
    """Return the proof of what the state after the last block, whose `finality` it is, holds."""
    return AccountProof(finality, key, store.get(key), prove_state(store.page, key))


def prove_transaction(block: StoredBlock, finality: Finality, number: int) -> TransactionProof:
    """Return the proof of a block's transaction, counted from 0, and of its receipt."""
    ids = [tagged_hash(TAG_TRANSACTION, raw) for raw in block.transactions]
    place = block.first + number
    return TransactionProof(
        finality,
        block.transactions[number],
        merkle_proof(ids, number),
        block.receipts[place],
        merkle_proof(block.receipts, place),
    )
