"""Bytes and signatures of votes, proposals, commit certificates and evidence.

The engines decide what these messages mean; here they get their bytes, and what their signatures
sign is fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from consensus.messages import (
    MAX_ROUND,
    CommitCertificate,
    Evidence,
    EvidenceKind,
    Proposal,
    Vote,
    VoteKind,
)
from consensus.messages import Validator as Voter
from consensus.validator_set import ValidatorSet, check_certificate
from vm.primitives.codec import Value, decode, encode_trusted, has_types
from vm.primitives.errors import DecodeError, InvalidProof
from vm.primitives.hashing import (
    HASH_BYTES,
    TAG_EVIDENCE,
    TAG_PROPOSAL_SIGN,
    TAG_VOTE_SIGN,
    tagged_hash,
)
from vm.primitives.integers import MAX_AMOUNT
from vm.primitives.signatures import SIGNATURE_BYTES, verify_signature
from vm.system.validators import MAX_VALIDATORS, Validator

CERTIFICATE_TYPE: Final = 4
VOTE_TYPE: Final = 6
PROPOSAL_TYPE: Final = 7
EVIDENCE_TYPE: Final = 9
VERSION: Final = 1
MAX_CERTIFICATE_BYTES: Final = 32_768
MAX_VOTE_BYTES: Final = 256
_CERTIFICATE_TYPES: Final = (int, int, int, int, bytes, tuple)
_VOTE_TYPES: Final = (int, int, int, int, int, bytes, int, bytes)
_PROPOSAL_TYPES: Final = (int, int, int, int, bytes, int, int, bytes)
_EVIDENCE_TYPES: Final = (int, int, int, bytes, bytes)


def validator_set(validators: Sequence[Validator]) -> ValidatorSet:
    """Return the engine's view of the validators, in the same order."""
    return ValidatorSet(Voter(validator.account, validator.power) for validator in validators)


def encode_certificate(certificate: CommitCertificate) -> bytes:
    """Return the canonical bytes of a certificate."""
    return encode_trusted(
        [
            CERTIFICATE_TYPE,
            VERSION,
            certificate.height,
            certificate.round,
            certificate.block_id,
            certificate.signatures,
        ]
    )


def decode_certificate(data: bytes) -> CommitCertificate:
    """Return the certificate of canonical bytes; raises DecodeError."""
    value = decode(data, max_bytes=MAX_CERTIFICATE_BYTES, max_items=2_048)
    match value:
        case (4, 1, int(height), int(round_), bytes(block_id), tuple(entries)) if (
            has_types(value, _CERTIFICATE_TYPES)
            and 0 <= height <= MAX_AMOUNT
            and 0 <= round_ <= MAX_ROUND
            and len(block_id) == HASH_BYTES
        ):
            signatures = tuple(_signer(entry) for entry in entries)
            return CommitCertificate(height, round_, block_id, signatures)
    raise DecodeError("not a commit certificate of this version")


def encode_vote(vote: Vote) -> bytes:
    """Return the canonical bytes of a signed vote."""
    return encode_trusted(
        [
            VOTE_TYPE,
            VERSION,
            int(vote.kind),
            vote.height,
            vote.round,
            vote.block_id,
            vote.validator_index,
            vote.signature,
        ]
    )


def decode_vote(data: bytes) -> Vote:
    """Return the vote of canonical bytes; raises DecodeError."""
    value = decode(data, max_bytes=MAX_VOTE_BYTES, max_items=16)
    match value:
        case (
            6,
            1,
            int(kind),
            int(height),
            int(round_),
            bytes(block_id),
            int(place),
            bytes(signature),
        ) if (
            has_types(value, _VOTE_TYPES)
            and kind in (1, 2)
            and _is_position(height, round_, place)
            and len(block_id) in (0, HASH_BYTES)
            and len(signature) == SIGNATURE_BYTES
        ):
            return Vote(VoteKind(kind), height, round_, block_id, place, signature)
    raise DecodeError("not a vote of this version")


def encode_proposal(proposal: Proposal) -> bytes:
    """Return the canonical bytes of a signed proposal."""
    return encode_trusted(
        [
            PROPOSAL_TYPE,
            VERSION,
            proposal.height,
            proposal.round,
            proposal.block_id,
            proposal.pol_round,
            proposal.validator_index,
            proposal.signature,
        ]
    )


def decode_proposal(data: bytes) -> Proposal:
    """Return the proposal of canonical bytes; raises DecodeError."""
    value = decode(data, max_bytes=MAX_VOTE_BYTES, max_items=16)
    match value:
        case (
            7,
            1,
            int(height),
            int(round_),
            bytes(block_id),
            int(pol_round),
            int(place),
            bytes(signature),
        ) if (
            has_types(value, _PROPOSAL_TYPES)
            and _is_position(height, round_, place)
            and -1 <= pol_round < round_
            and len(block_id) == HASH_BYTES
            and len(signature) == SIGNATURE_BYTES
        ):
            return Proposal(height, round_, block_id, pol_round, place, signature)
    raise DecodeError("not a proposal of this version")


def encode_evidence(evidence: Evidence) -> bytes:
    """Return the canonical bytes of evidence; the two messages stand in ascending order."""
    first, second = sorted((_encode_message(evidence.first), _encode_message(evidence.second)))
    return encode_trusted([EVIDENCE_TYPE, VERSION, int(evidence.kind), first, second])


def decode_evidence(data: bytes) -> Evidence:
    """Return the evidence of canonical bytes; raises DecodeError.

    The two messages are of one validator, height and round, differ in their block, and stand in
    ascending order, so that one contradiction has one encoding; signatures are not checked here.
    """
    value = decode(data, max_bytes=4 * MAX_VOTE_BYTES, max_items=16)
    match value:
        case (9, 1, int(number), bytes(first), bytes(second)) if has_types(
            value, _EVIDENCE_TYPES
        ) and number in (1, 2, 3):
            kind = EvidenceKind(number)
        case _:
            raise DecodeError("not evidence of this version")
    read = decode_proposal if kind is EvidenceKind.DOUBLE_PROPOSAL else decode_vote
    evidence = Evidence(kind, read(first), read(second))
    one, other = evidence.first, evidence.second
    same = (one.height, one.round, one.validator_index) == (
        other.height,
        other.round,
        other.validator_index,
    )
    if first >= second or not same or one.block_id == other.block_id:
        raise DecodeError("the two messages do not contradict each other")
    if isinstance(one, Vote) and isinstance(other, Vote) and int(one.kind) != int(kind):
        raise DecodeError("the evidence names another kind than its votes")
    if isinstance(one, Vote) and isinstance(other, Vote) and one.kind is not other.kind:
        raise DecodeError("a prevote and a precommit do not contradict each other")
    return evidence


def evidence_id(data: bytes) -> bytes:
    """Return the hash that names a piece of encoded evidence, 32 bytes."""
    return tagged_hash(TAG_EVIDENCE, data)


def message_digest(genesis: bytes, message: Vote | Proposal) -> bytes:
    """Return what the signature of a vote or proposal signs, 32 bytes."""
    if isinstance(message, Vote):
        return tagged_hash(
            TAG_VOTE_SIGN,
            encode_trusted(
                [genesis, int(message.kind), message.height, message.round, message.block_id]
            ),
        )
    return tagged_hash(
        TAG_PROPOSAL_SIGN,
        encode_trusted(
            [genesis, message.height, message.round, message.block_id, message.pol_round]
        ),
    )


def verify_message(
    genesis: bytes, message: Vote | Proposal, validators: Sequence[Validator]
) -> bool:
    """Tell whether a vote or proposal is signed by the validator that it names."""
    if not 0 <= message.validator_index < len(validators):
        return False
    key = validators[message.validator_index].vote_key
    return verify_signature(key, message_digest(genesis, message), message.signature)


def validate_certificate(
    certificate: CommitCertificate,
    genesis: bytes,
    validators: Sequence[Validator],
    *,
    height: int,
    block_id: bytes,
) -> None:
    """Raise InvalidProof unless `certificate` decides `block_id` at `height`.

    More than two thirds of the power of `validators` must have signed; each signature is checked.
    """
    if (certificate.height, certificate.block_id) != (height, block_id):
        raise InvalidProof(
            "the certificate is for another block",
            expected=f"{height} {block_id.hex()}",
            actual=f"{certificate.height} {certificate.block_id.hex()}",
        )
    findings = check_certificate(certificate, validator_set(validators))
    if findings:
        raise InvalidProof("the certificate does not decide the block", actual="; ".join(findings))
    vote = Vote(VoteKind.PRECOMMIT, height, certificate.round, block_id, 0)
    digest = message_digest(genesis, vote)
    for place, signature in certificate.signatures:
        if not verify_signature(validators[place].vote_key, digest, signature):
            raise InvalidProof("a signature of the certificate is wrong", actual=f"signer {place}")


def _encode_message(message: Vote | Proposal) -> bytes:
    return encode_vote(message) if isinstance(message, Vote) else encode_proposal(message)


def _is_position(height: int, round_: int, place: int) -> bool:
    return 0 <= height <= MAX_AMOUNT and 0 <= round_ <= MAX_ROUND and 0 <= place < MAX_VALIDATORS


def _signer(entry: Value) -> tuple[int, bytes]:
    match entry:
        case (int(place), bytes(signature)) if (
            has_types(entry, (int, bytes))
            and 0 <= place < MAX_VALIDATORS
            and len(signature) == SIGNATURE_BYTES
        ):
            return place, signature
    raise DecodeError("a signer is an index and a signature of 64 bytes")
