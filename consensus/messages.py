"""The words validators exchange: votes, proposals, statuses, commit certificates, evidence.

Everything here is data. Bytes, hashes and signatures are made and checked in `node/`; to an
engine a block is an opaque id and a signature is opaque bytes that it carries along, so that
certificates and evidence can be built from what was received.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

NIL: Final = b""
"""The block id that a vote for "no block in this round" carries."""

NO_ROUND: Final = -1
"""The round that stands for "none" (no lock, no valid block, no proof of lock)."""

MAX_ROUND: Final = 2**31 - 1
"""The highest round a message may name; above it a message is dropped."""


class EngineMisuse(Exception):
    """The driver broke the contract of `engine.handle`; our own bug, never a peer's doing."""


class VoteKind(IntEnum):
    """Which of the two votes of a round; the numbers are those of the wire format."""

    PREVOTE = 1
    PRECOMMIT = 2


class Step(IntEnum):
    """Where in a round a validator stands; the order of the numbers is the order of time."""

    NEW_HEIGHT = 0
    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3
    COMMIT = 4


class EvidenceKind(IntEnum):
    """What was said twice; the numbers are those of the wire format."""

    DOUBLE_PREVOTE = 1
    DOUBLE_PRECOMMIT = 2
    DOUBLE_PROPOSAL = 3


@dataclass(frozen=True, slots=True)
class Validator:
    """One member of a validator set."""

    id: bytes
    """What names the validator over all heights: its account id (20 bytes in `node/`)."""
    power: int
    """Its voting power, a positive integer; 1 for everybody under `poa`."""


@dataclass(frozen=True, slots=True)
class Vote:
    """A prevote or precommit; without signature while it is still to be signed."""

    kind: VoteKind
    """Prevote or precommit."""
    height: int
    """The height voted on."""
    round: int
    """The round voted in."""
    block_id: bytes
    """The block voted for, or `NIL`."""
    validator_index: int
    """The voter's position in the height's validator set."""
    signature: bytes = b""
    """The voter's signature, checked by the driver before the engine sees the vote."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposer's choice for a round; without signature while it is still to be signed."""

    height: int
    """The height proposed for."""
    round: int
    """The round proposed in."""
    block_id: bytes
    """The proposed block; never `NIL`."""
    pol_round: int
    """The earlier round whose quorum of prevotes supports the block, or `NO_ROUND`."""
    validator_index: int
    """The proposer's position in the height's validator set."""
    signature: bytes = b""
    """The proposer's signature, checked by the driver before the engine sees it."""


@dataclass(frozen=True, slots=True)
class CommitCertificate:
    """The precommits of more than two thirds of the power: the proof that a block is final."""

    height: int
    """The height decided."""
    round: int
    """The round whose precommits these are."""
    block_id: bytes
    """The block decided."""
    signatures: tuple[tuple[int, bytes], ...]
    """Pairs of validator index and precommit signature, indices strictly ascending."""


@dataclass(frozen=True, slots=True)
class Status:
    """Where a node stands, told to peers so that they send what it misses; not signed."""

    height: int
    """The height being worked on: one above the last final block."""
    round: int
    """The current round, or `NO_ROUND` while the height has not begun."""
    prevotes: int = 0
    """Bit mask: bit i is set if validator i's prevote of this round is held."""
    precommits: int = 0
    """Bit mask: bit i is set if validator i's precommit of this round is held."""
    has_proposal: bool = False
    """Whether this round's proposal is held."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two signed messages of one validator that an honest one never signs both of."""

    kind: EvidenceKind
    """What was said twice."""
    first: Vote | Proposal
    """The message that arrived first, signature included."""
    second: Vote | Proposal
    """The contradicting message, signature included."""


@dataclass(frozen=True, slots=True)
class SigningState:
    """All a validator must remember across a crash so as never to contradict itself."""

    height: int
    """The height signed for."""
    round: int
    """The round signed in."""
    step: Step
    """The last step signed in that round: PROPOSE, PREVOTE or PRECOMMIT."""
    locked_round: int = NO_ROUND
    """The paper's lockedRound."""
    locked_block: bytes = NIL
    """The paper's lockedValue."""
    valid_round: int = NO_ROUND
    """The paper's validRound."""
    valid_block: bytes = NIL
    """The paper's validValue."""
    valid_proof: tuple[tuple[int, bytes], ...] = ()
    """The quorum of prevotes for it: pairs of validator index and signature, ascending.

    Without it a crash of several nodes could leave some locked and none able to show why.
    """
    proposal_block: bytes | None = None
    """The block proposed in this round; None if no proposal was signed in it."""
    proposal_pol_round: int = NO_ROUND
    """The pol_round of that proposal."""
    prevote_block: bytes | None = None
    """The block prevoted in this round (`NIL` is a vote too); None if none was signed."""
    precommit_block: bytes | None = None
    """The block precommitted in this round; None if none was signed."""


Message: TypeAlias = Proposal | Vote | Status | CommitCertificate
"""What travels between nodes on an engine's behalf."""


def check_succession(old: SigningState | None, new: SigningState) -> list[str]:
    """Return why signing state `new` must not follow `old`; an empty list allows it.

    This is the signer's double-sign guard: heights, rounds and steps never fall, and what was
    signed in a round stays as it is.
    """
    if old is None:
        return []
    before = (old.height, old.round, int(old.step))
    after = (new.height, new.round, int(new.step))
    if after < before:
        return [f"(height, round, step) would fall from {before} to {after}"]
    if (old.height, old.round) != (new.height, new.round):
        return []
    findings = []
    for name, first, second in (
        (
            "proposal",
            (old.proposal_block, old.proposal_pol_round),
            (new.proposal_block, new.proposal_pol_round),
        ),
        ("prevote", (old.prevote_block, 0), (new.prevote_block, 0)),
        ("precommit", (old.precommit_block, 0), (new.precommit_block, 0)),
    ):
        if first[0] is not None and first != second:
            findings.append(f"the {name} of this round would change from {first} to {second}")
    return findings


def covers(state: SigningState, message: Vote | Proposal) -> bool:
    """Return whether `state`, once on disk, allows `message` to be signed."""
    if (message.height, message.round) != (state.height, state.round):
        return False
    if isinstance(message, Proposal):
        mine = (state.proposal_block, state.proposal_pol_round)
        return mine == (message.block_id, message.pol_round)
    if message.kind is VoteKind.PREVOTE:
        return state.prevote_block == message.block_id
    return state.precommit_block == message.block_id
