"""Proof files: a proof with the steps that lead from what a reader trusts to its validators.

Every set of validators is named by a header that the set before it signed. A reader who trusts a
network's genesis, or one of its blocks, is led by those headers to the set that decided the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.ledger.block import Header, decode_header
from node.ledger.proofs import (
    MAX_ACCOUNT_PROOF_BYTES,
    MAX_TRANSACTION_PROOF_BYTES,
    AccountProof,
    Finality,
    TransactionProof,
    decode_account_proof,
    decode_transaction_proof,
    validate_finality,
    validate_state_inclusion,
    validate_transaction_inclusion,
)
from vm.primitives.codec import Value, decode, encode_trusted, has_types
from vm.primitives.errors import BitenergyError, DecodeError, InvalidProof

FOLLOWED_PROOF_TYPE: Final = 42
VERSION: Final = 1
MAX_STEPS: Final = 1_024
MAX_PROOF_FILE_BYTES: Final = 67_108_864


@dataclass(frozen=True, slots=True)
class Trust:
    """Who decides a network's blocks, as a reader knows it."""

    genesis: bytes
    """Hash of the network's genesis, 32 bytes."""
    validators: bytes
    """Hash of the set, 32 bytes."""
    height: int
    """The first height that this set decides."""


@dataclass(frozen=True, slots=True)
class TrustedBlock:
    """One final block that a reader knows from elsewhere."""

    height: int
    """Its height."""
    block_id: bytes
    """Its id, 32 bytes."""


@dataclass(frozen=True, slots=True)
class FollowedProof:
    """A proof, and the headers that lead to the validators of its own."""

    steps: tuple[Finality, ...]
    """Final headers, ascending, each decided by the set that the one before it named; in the first
    place may stand the block that the reader trusts, without certificate and validators."""
    proof: AccountProof | TransactionProof
    """What is proved."""

    def encode(self) -> bytes:
        """Return the canonical bytes: those of the proof alone where no steps are needed."""
        inner = self.proof.encode()
        if not self.steps:
            return inner
        steps = [[step.header, step.certificate, step.validators] for step in self.steps]
        return encode_trusted([FOLLOWED_PROOF_TYPE, VERSION, steps, inner])


def trust_after(header: Header) -> Trust:
    """Return what a reader trusts who trusts `header`."""
    return Trust(header.genesis, header.next_validators, header.height + 1)


def decode_proof(data: bytes) -> FollowedProof:
    """Return the proof, of whatever kind, in a proof file; raises DecodeError. Nothing is verified.

    The kinds are account proofs, transaction proofs, and either with steps.
    """
    kind = _kind(data)
    if kind != FOLLOWED_PROOF_TYPE:
        return FollowedProof((), _inner(data))
    value = decode(data, max_bytes=MAX_PROOF_FILE_BYTES, max_items=4 * MAX_STEPS + 8, max_depth=3)
    match value:
        case (42, 1, tuple(entries), bytes(inner)) if (
            has_types(value, (int, int, tuple, bytes)) and 1 <= len(entries) <= MAX_STEPS
        ):
            return FollowedProof(tuple([_step(entry) for entry in entries]), _inner(inner))
    raise DecodeError("not a proof with steps of this version")


def validate_steps(steps: Sequence[Finality], trust: Trust | TrustedBlock) -> Header:
    """Return the last step's header; raises InvalidProof or DecodeError at the first wrong one.

    There is at least one step.
    """
    header: Header | None = None
    for step in steps:
        if isinstance(trust, TrustedBlock):
            header = decode_header(step.header)
            expected = f"{trust.height} {trust.block_id.hex()}"
            actual = f"{header.height} {header.block_id().hex()}"
            if expected != actual:
                raise InvalidProof(
                    "the proof begins at another block than the trusted one",
                    expected=expected,
                    actual=actual,
                )
        else:
            header = validate_finality(step, genesis=trust.genesis, validators=trust.validators)
            if header.height < trust.height:
                raise InvalidProof(
                    "the blocks of the proof do not ascend",
                    expected=f"at least {trust.height}",
                    actual=header.height,
                )
        trust = trust_after(header)
    if header is None:
        raise InvalidProof("a proof without a header proves nothing")
    return header


def validate_proof(followed: FollowedProof, trust: Trust | TrustedBlock) -> Header:
    """Return the final header of what is proved; raises InvalidProof or DecodeError."""
    proof = followed.proof
    header = validate_steps((*followed.steps, proof.finality), trust)
    if isinstance(proof, AccountProof):
        validate_state_inclusion(proof, header)
    else:
        validate_transaction_inclusion(proof, header)
    return header


def verify_proof(data: bytes, trust: Trust | TrustedBlock) -> bool:
    """Tell whether the bytes of a proof file hold for a reader with this trust."""
    try:
        validate_proof(decode_proof(data), trust)
    except BitenergyError:
        return False
    return True


def _kind(data: bytes) -> int:
    """Return the type that the bytes of a structure begin with; 0 for what is none."""
    return data[1] if len(data) > 1 and 0x90 <= data[0] <= 0x9F else 0


def _inner(data: bytes) -> AccountProof | TransactionProof:
    if len(data) > max(MAX_ACCOUNT_PROOF_BYTES, MAX_TRANSACTION_PROOF_BYTES):
        raise DecodeError("the proof is too long", actual=len(data))
    return decode_transaction_proof(data) if _kind(data) == 41 else decode_account_proof(data)


def _step(entry: Value) -> Finality:
    match entry:
        case (bytes(header), bytes(certificate), bytes(validators)):
            return Finality(header, certificate, validators)
    raise DecodeError("a step is [header, certificate, validators]")
