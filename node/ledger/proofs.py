"""Proofs: what the state holds or does not hold, and that a transaction is final, without trust.

A reader who knows a network's genesis hash and the hash of its current validators can check both
with nothing but the bytes of the proof.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from node.ledger.block import MAX_HEADER_BYTES, Header, decode_header
from node.ledger.certificate import (
    MAX_CERTIFICATE_BYTES,
    decode_certificate,
    validate_certificate,
)
from node.ledger.receipt import MAX_RECEIPT_BYTES, decode_receipt
from node.ledger.state_tree import (
    LEAF_BYTES,
    PAGE_SLOTS,
    PageReader,
    key_hash,
    leaf_hash,
    node_hash,
    unpack_page,
    value_hash,
)
from node.ledger.transaction import MAX_TRANSACTION_BYTES, decode_transaction
from vm.primitives.codec import Encodable, Value, decode, encode_trusted, has_types
from vm.primitives.errors import (
    BitenergyError,
    DecodeError,
    InvalidProof,
    InvariantViolation,
)
from vm.primitives.hashing import EMPTY_HASH, HASH_BYTES
from vm.primitives.merkle import MerkleProof, verify_merkle_proof
from vm.system.validators import MAX_VALIDATORS_BYTES, decode_validators, validators_hash

ACCOUNT_PROOF_TYPE: Final = 40
TRANSACTION_PROOF_TYPE: Final = 41
VERSION: Final = 1
MAX_LEVELS: Final = 4 * HASH_BYTES
"""Two bits of a key's hash a level: 128 levels at most."""
MAX_KEY_BYTES: Final = 256
MAX_VALUE_BYTES: Final = 65_536
_FINALITY_BYTES = MAX_HEADER_BYTES + MAX_CERTIFICATE_BYTES + MAX_VALIDATORS_BYTES
MAX_ACCOUNT_PROOF_BYTES: Final = _FINALITY_BYTES + MAX_VALUE_BYTES + 16_384
MAX_TRANSACTION_PROOF_BYTES: Final = (
    _FINALITY_BYTES + MAX_TRANSACTION_BYTES + MAX_RECEIPT_BYTES + 8_192
)
_ACCOUNT_PROOF_TYPES: Final = (int, int, bytes, bytes, bytes, bytes, tuple, tuple)
_TRANSACTION_PROOF_TYPES: Final = (int, int, bytes, bytes, bytes, bytes, tuple, bytes, tuple)


@dataclass(frozen=True, slots=True)
class StateProof:
    """The way from one place of the state tree to its root."""

    bitmap: bytes
    """One byte a level, from the place upwards: bits 4, 2, 1 tell which of the three siblings,
    in order of their places, are there; the others are empty subtrees."""
    siblings: tuple[bytes, ...]
    """Hashes of the siblings that are there, in the same order, 32 bytes each."""
    other_leaf: bytes
    """Hash of key and hash of value (64 bytes in one) of another key's leaf that stands at the
    place; empty where the key's own leaf or nothing stands there."""

    def fields(self) -> Encodable:
        """Return the array that stands for the proof in an encoding."""
        return [self.bitmap, b"".join(self.siblings), self.other_leaf]


@dataclass(frozen=True, slots=True)
class Finality:
    """Why a header is final: more than two thirds of the validators' power signed its block."""

    header: bytes
    """Canonical bytes of the header."""
    certificate: bytes
    """Canonical bytes of the commit certificate of its block."""
    validators: bytes
    """Canonical bytes of the validators that decided it."""


@dataclass(frozen=True, slots=True)
class AccountProof:
    """What the state after a final block holds under one key; None if it holds nothing."""

    finality: Finality
    """The header and why it is final."""
    key: bytes
    """The state key, for example `a` and an account id."""
    value: bytes | None
    """The value, or None where the proof shows absence."""
    state: StateProof
    """The way from the key to the header's state root."""

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode_trusted(
            [
                ACCOUNT_PROOF_TYPE,
                VERSION,
                self.finality.header,
                self.finality.certificate,
                self.finality.validators,
                self.key,
                [] if self.value is None else [self.value],
                self.state.fields(),
            ]
        )


@dataclass(frozen=True, slots=True)
class TransactionProof:
    """That a transaction stands in a final block, and what became of it."""

    finality: Finality
    """The header and why it is final."""
    transaction: bytes
    """Canonical bytes of the transaction."""
    transaction_path: MerkleProof
    """The way from its id to the header's transactions root."""
    receipt: bytes
    """Canonical bytes of its receipt."""
    receipt_path: MerkleProof
    """The way from the receipt to the header's receipts root."""

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode_trusted(
            [
                TRANSACTION_PROOF_TYPE,
                VERSION,
                self.finality.header,
                self.finality.certificate,
                self.finality.validators,
                self.transaction,
                _path_fields(self.transaction_path),
                self.receipt,
                _path_fields(self.receipt_path),
            ]
        )


def prove_state(read_page: PageReader, key: bytes) -> StateProof:
    """Return the proof of what the tree behind `read_page` holds, or does not hold, at `key`."""
    digest = key_hash(key)
    levels: list[tuple[int, list[bytes]]] = []
    other = b""
    path = ""
    for digit in digest.hex():
        stored = read_page(path)
        if stored is None and path:
            raise InvariantViolation(f"the state tree has no page at {path}")
        slots = [b""] * PAGE_SLOTS if stored is None else unpack_page(stored)
        filled = [slot for slot in slots if slot]
        if not path and (not filled or (len(filled) == 1 and len(filled[0]) == LEAF_BYTES)):
            other = _other(filled[0] if filled else b"", digest)
            break
        place = int(digit, 16)
        group, inner = place >> 2, place & 3
        tops = [_group_hash(slots[start : start + 4]) for start in (0, 4, 8, 12)]
        levels.append((group, tops))
        beside = slots[4 * group : 4 * group + 4]
        standing = [slot for slot in beside if slot]
        if not standing or (len(standing) == 1 and len(standing[0]) == LEAF_BYTES):
            other = _other(standing[0] if standing else b"", digest)
            break
        levels.append((inner, [slot[:HASH_BYTES] or EMPTY_HASH for slot in beside]))
        slot = slots[place]
        if len(slot) != HASH_BYTES:
            other = _other(slot, digest)
            break
        path += digit
    return _pack_levels(levels, other)


def verify_state_proof(root: bytes, key: bytes, value: bytes | None, proof: StateProof) -> bool:
    """Tell whether `proof` shows that the tree with `root` holds `value` at `key`.

    With None for `value`, whether it shows that the tree holds nothing there. The shape is
    strict: no sibling too many or too few, none empty, none where a lone leaf would stand.
    """
    digest = key_hash(key)
    if not _is_well_formed(proof) or (value is not None and proof.other_leaf):
        return False
    depth = len(proof.bitmap)
    if value is not None:
        current = leaf_hash(digest, value_hash(value))
    elif proof.other_leaf:
        other = proof.other_leaf[:HASH_BYTES]
        if other == digest or _bits(other, depth) != _bits(digest, depth):
            return False
        current = leaf_hash(other, proof.other_leaf[HASH_BYTES:])
    else:
        current = EMPTY_HASH
    used = 0
    way = int.from_bytes(digest, "big")
    for number, present in enumerate(proof.bitmap):
        level = depth - 1 - number
        place = way >> (2 * (MAX_LEVELS - 1 - level)) & 3
        children: list[bytes] = []
        for bit in (4, 2, 1):
            if present & bit:
                children.append(proof.siblings[used])
                used += 1
            else:
                children.append(EMPTY_HASH)
        children.insert(place, current)
        current = node_hash(b"".join(children))
    return current == root


def decode_account_proof(data: bytes) -> AccountProof:
    """Return the account proof of canonical bytes; raises DecodeError. Nothing is verified."""
    value = decode(data, max_bytes=MAX_ACCOUNT_PROOF_BYTES, max_items=32, max_depth=4)
    match value:
        case (
            40,
            1,
            bytes(header),
            bytes(certificate),
            bytes(validators),
            bytes(key),
            tuple(held),
            tuple(state),
        ) if (
            has_types(value, _ACCOUNT_PROOF_TYPES)
            and 1 <= len(key) <= MAX_KEY_BYTES
            and (not held or has_types(held, (bytes,)))
        ):
            found = held[0] if held else None
            return AccountProof(
                Finality(header, certificate, validators),
                key,
                found if isinstance(found, bytes) else None,
                _state_proof(state),
            )
    raise DecodeError("not an account proof of this version")


def decode_transaction_proof(data: bytes) -> TransactionProof:
    """Return the transaction proof of canonical bytes; raises DecodeError. Nothing is verified."""
    value = decode(data, max_bytes=MAX_TRANSACTION_PROOF_BYTES, max_items=32, max_depth=4)
    match value:
        case (
            41,
            1,
            bytes(header),
            bytes(certificate),
            bytes(validators),
            bytes(transaction),
            tuple(transaction_path),
            bytes(receipt),
            tuple(receipt_path),
        ) if has_types(value, _TRANSACTION_PROOF_TYPES):
            return TransactionProof(
                Finality(header, certificate, validators),
                transaction,
                _path(transaction_path),
                receipt,
                _path(receipt_path),
            )
    raise DecodeError("not a transaction proof of this version")


def validate_finality(finality: Finality, *, genesis: bytes, validators: bytes) -> Header:
    """Return the header of a final block; raises InvalidProof or DecodeError.

    `genesis` is the hash of the network that is meant, and `validators` the hash of the set that
    the reader trusts, 32 bytes each.
    """
    header = decode_header(finality.header)
    for what, expected, actual in (
        ("another network", genesis, header.genesis),
        ("other validators than the trusted ones", validators, header.validators),
        ("a header with other validators", header.validators, validators_hash(finality.validators)),
    ):
        if expected != actual:
            raise InvalidProof(f"the proof is of {what}", expected=expected, actual=actual)
    validate_certificate(
        decode_certificate(finality.certificate),
        genesis,
        decode_validators(finality.validators),
        height=header.height,
        block_id=header.block_id(),
    )
    return header


def validate_account_proof(proof: AccountProof, *, genesis: bytes, validators: bytes) -> Header:
    """Return the final header whose state holds what `proof` says; raises InvalidProof.

    `genesis` and `validators` are the hashes that the reader trusts, 32 bytes each.
    """
    header = validate_finality(proof.finality, genesis=genesis, validators=validators)
    validate_state_inclusion(proof, header)
    return header


def validate_state_inclusion(proof: AccountProof, header: Header) -> None:
    """Raise InvalidProof unless the state of `header`, which is final, holds what `proof` says."""
    if not verify_state_proof(header.state_root, proof.key, proof.value, proof.state):
        raise InvalidProof(
            "the state proof does not lead to the header's state root", expected=header.state_root
        )


def verify_account_proof(proof: AccountProof, *, genesis: bytes, validators: bytes) -> bool:
    """Tell whether an account proof holds for those who trust these two hashes."""
    try:
        validate_account_proof(proof, genesis=genesis, validators=validators)
    except BitenergyError:
        return False
    return True


def validate_transaction_proof(
    proof: TransactionProof, *, genesis: bytes, validators: bytes
) -> Header:
    """Return the final header of the transaction's block; raises InvalidProof or DecodeError.

    `genesis` and `validators` are the hashes that the reader trusts, 32 bytes each.
    """
    header = validate_finality(proof.finality, genesis=genesis, validators=validators)
    validate_transaction_inclusion(proof, header)
    return header


def validate_transaction_inclusion(proof: TransactionProof, header: Header) -> None:
    """Raise InvalidProof or DecodeError unless the block of `header`, which is final, holds it."""
    transaction = decode_transaction(proof.transaction)
    receipt = decode_receipt(proof.receipt)
    if receipt.transaction_id != transaction.id:
        raise InvalidProof(
            "the receipt is of another transaction",
            expected=transaction.id,
            actual=receipt.transaction_id,
        )
    for what, root, item, path in (
        ("transaction", header.transactions_root, transaction.id, proof.transaction_path),
        ("receipt", header.receipts_root, proof.receipt, proof.receipt_path),
    ):
        if not verify_merkle_proof(root, item, path):
            raise InvalidProof(f"the {what} is not in the header's {what}s root", expected=root)


def verify_transaction_proof(proof: TransactionProof, *, genesis: bytes, validators: bytes) -> bool:
    """Tell whether a transaction proof holds for those who trust these two hashes."""
    try:
        validate_transaction_proof(proof, genesis=genesis, validators=validators)
    except BitenergyError:
        return False
    return True


def _group_hash(slots: list[bytes]) -> bytes:
    filled = [slot for slot in slots if slot]
    if not filled:
        return EMPTY_HASH
    if len(filled) == 1 and len(filled[0]) == LEAF_BYTES:
        return filled[0][:HASH_BYTES]
    return node_hash(b"".join([slot[:HASH_BYTES] or EMPTY_HASH for slot in slots]))


def _other(slot: bytes, digest: bytes) -> bytes:
    return b"" if slot[HASH_BYTES : 2 * HASH_BYTES] == digest else slot[HASH_BYTES:]


def _pack_levels(levels: list[tuple[int, list[bytes]]], other: bytes) -> StateProof:
    bitmap = bytearray()
    siblings: list[bytes] = []
    for place, children in reversed(levels):
        present = 0
        for sibling in [*children[:place], *children[place + 1 :]]:
            present <<= 1
            if sibling != EMPTY_HASH:
                present |= 1
                siblings.append(sibling)
        bitmap.append(present)
    return StateProof(bytes(bitmap), tuple(siblings), other)


def _is_well_formed(proof: StateProof) -> bool:
    bitmap, siblings = proof.bitmap, proof.siblings
    return (
        len(bitmap) <= MAX_LEVELS
        and all(present <= 7 for present in bitmap)
        and sum(present.bit_count() for present in bitmap) == len(siblings)
        and all(len(sibling) == HASH_BYTES and sibling != EMPTY_HASH for sibling in siblings)
        and len(proof.other_leaf) in (0, 2 * HASH_BYTES)
        and (not bitmap or bitmap[0] > 0)
    )


def _bits(digest: bytes, levels: int) -> int:
    return int.from_bytes(digest, "big") >> (8 * HASH_BYTES - 2 * levels)


def _state_proof(fields: tuple[Value, ...]) -> StateProof:
    match fields:
        case (bytes(bitmap), bytes(joined), bytes(other)) if len(joined) % HASH_BYTES == 0:
            proof = StateProof(bitmap, tuple(_split(joined)), other)
            if _is_well_formed(proof):
                return proof
    raise DecodeError("not a state proof", expected="[bitmap, siblings, other leaf]")


def _path(fields: tuple[Value, ...]) -> MerkleProof:
    match fields:
        case (int(index), int(count), bytes(joined)) if (
            has_types(fields, (int, int, bytes))
            and 0 <= index < count
            and len(joined) % HASH_BYTES == 0
        ):
            return MerkleProof(index, count, tuple(_split(joined)))
    raise DecodeError("not a Merkle proof", expected="[index, count, siblings]")


def _path_fields(path: MerkleProof) -> Encodable:
    return [path.index, path.count, b"".join(path.siblings)]


def _split(joined: bytes) -> Iterator[bytes]:
    for start in range(0, len(joined), HASH_BYTES):
        yield joined[start : start + HASH_BYTES]
