"""The interface between a consensus engine and its driver: inputs, outputs and their contract.

`outputs = engine.handle(input)`. An engine does no I/O, reads no clock and draws no entropy;
the driver in `node/` gives it inputs one at a time and executes the outputs **in order**:

* Inputs that arise while outputs are being executed (a signed vote, a timeout) wait until all
  outputs of that call have been executed.
* `Persist` is on disk (synced) before any later output of the same list is executed. It is
  emitted only right before one to three `Sign…`, so that one sync covers them; a state equal to
  the one on disk needs no second sync.
* Signatures and certificates are checked by the driver, against the validator set of the
  message's height, before the engine sees them. A message for the height after the current
  one is checked against the current set; the engine drops it if other validators or keys
  then decide that height (other powers do not matter).

`node/` picks the engine by name; all engines pass one conformance suite.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, TypeAlias

from consensus.messages import (
    CommitCertificate,
    Evidence,
    Message,
    Proposal,
    SigningState,
    Status,
    Step,
    Vote,
)
from consensus.validator_set import ValidatorSet


class Timer(IntEnum):
    """What a timeout is for."""

    PROPOSE = 1
    """No acceptable proposal in this round (the paper's timeoutPropose)."""
    PREVOTE = 2
    """A quorum prevoted, but for no one block (timeoutPrevote)."""
    PRECOMMIT = 3
    """A quorum precommitted, but for no one block (timeoutPrecommit)."""
    INTERVAL = 4
    """The minimum block interval after the previous block has passed."""
    HEARTBEAT = 5
    """Nothing happened for so long that an empty block is due."""
    RESEND = 6
    """The height makes no progress: send again what may have been lost."""


# --- inputs ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """A height begins: at node start, after each `Finalised` was committed, after a sync."""

    height: int
    """The height to decide: one above the last final block."""
    validators: ValidatorSet
    """Who votes on this height."""
    last_block_id: bytes
    """The last final block, the parent of what will be decided."""
    last_block_time_ms: int
    """Its header's time, ms UTC."""
    local_time_ms: int
    """The node's clock, ms UTC."""
    resume: SigningState | None = None
    """What the signer's file holds, at process start; None for a fresh key and later heights.

    The state of a lower height is ignored; of a higher one it silences the validator until
    that height is reached. After a `Started` with a resume state for this height the driver
    feeds `BlockArrived` for the locked and valid blocks whose bodies it kept.
    """
    last_block_work: int = 0
    """The work that the last final block's seal proves; 0 for genesis, and but under `pow`."""
    last_block_interval_ms: int = 0
    """Its header's time less its parent's (`pow` only)."""


@dataclass(frozen=True, slots=True)
class ProposalArrived:
    """A proposal whose signature is good: a peer's, or our own just signed."""

    proposal: Proposal
    """The signed proposal."""
    local_time_ms: int
    """The node's clock at arrival, ms UTC."""


@dataclass(frozen=True, slots=True)
class VoteArrived:
    """A vote whose signature is good: a peer's, or our own just signed."""

    vote: Vote
    """The signed vote."""


@dataclass(frozen=True, slots=True)
class CertificateArrived:
    """A commit certificate whose signatures are good, from a peer or from block sync."""

    certificate: CommitCertificate
    """The certificate."""


@dataclass(frozen=True, slots=True)
class BlockArrived:
    """A block's header and complete body are stored and match its id.

    Where one frame holds a proposal and its body, this comes before `ProposalArrived`.
    """

    block_id: bytes
    """The block."""
    parent: bytes
    """Its parent's id, from the header."""
    height: int
    """Its height, from the header."""
    time_ms: int
    """Its time, from the header, ms UTC."""
    local_time_ms: int
    """The node's clock at arrival, ms UTC."""
    work: int = 0
    """The work its seal proves, as computed by the driver; 0 but under `pow`."""


@dataclass(frozen=True, slots=True)
class BlockBuilt:
    """The answer to `BuildBlock`: built, executed and stored, hence known to be valid."""

    height: int
    """The height of the request."""
    round: int
    """The round of the request; an answer to an earlier round is dropped."""
    block_id: bytes
    """The new block."""
    time_ms: int
    """Its header's time, ms UTC, above the parent's."""


@dataclass(frozen=True, slots=True)
class BlockChecked:
    """The answer to `CheckBlock`."""

    block_id: bytes
    """The block."""
    valid: bool
    """Whether header, body, execution and roots are right. The local clock plays no part:
    the engine judges timeliness itself, and never of a block that a quorum accepted."""


@dataclass(frozen=True, slots=True)
class BlockSealed:
    """The answer to `SealBlock` (`pow` only); a sealed block is stored and valid."""

    unsealed_id: bytes
    """The id the request named."""
    block_id: bytes
    """The id with the seal in the header."""
    work: int
    """The work it proves."""


@dataclass(frozen=True, slots=True)
class TimeoutFired:
    """A timer set by `ScheduleTimeout` ran out (on the monotonic clock)."""

    height: int
    """The height it was set for."""
    round: int
    """The round it was set for."""
    timer: Timer
    """Which timer."""


@dataclass(frozen=True, slots=True)
class WorkAvailable:
    """The mempool is not empty or something is due; harmless to repeat.

    The driver feeds it after each `Started` and whenever the mempool stops being empty.
    """

    local_time_ms: int
    """The node's clock, ms UTC."""


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A peer said where it stands (its `Status` message)."""

    peer: bytes
    """The peer's node key; opaque, handed back in `Send` and the hints."""
    status: Status
    """What it said; unsigned, so believed only as a wish for messages."""


# --- outputs --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Persist:
    """Write this signing state to the signer's file and sync it, before anything later.

    The body of a newly locked or valid block must be readable after a crash as well: the
    driver writes it no later than this, under the same sync or where it needs none.
    """

    state: SigningState
    """The whole state to write."""


@dataclass(frozen=True, slots=True)
class SignVote:
    """Sign the vote (the last `Persist` covers it), then feed it back as `VoteArrived`."""

    vote: Vote
    """The vote, its signature still empty. It is broadcast once it was fed back."""


@dataclass(frozen=True, slots=True)
class SignProposal:
    """Sign the proposal (the last `Persist` covers it), then feed back `ProposalArrived`."""

    proposal: Proposal
    """The proposal, its signature still empty. It is broadcast once it was fed back."""


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send a message to every peer.

    With a proposal goes the block's body, to each peer that has not got it yet.
    """

    message: Message
    """The message, signed where its kind is."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to one peer."""

    peer: bytes
    """The peer, as named in `PeerStatus`."""
    message: Message
    """The message."""


@dataclass(frozen=True, slots=True)
class ScheduleTimeout:
    """Answer with `TimeoutFired` of the same height, round and timer after a delay.

    One running timer of each `Timer` is enough: a newer one replaces it, and `Started`
    cancels all.
    """

    height: int
    """The height to hand back."""
    round: int
    """The round to hand back."""
    timer: Timer
    """The timer to hand back."""
    delay_ms: int
    """The delay from now, in milliseconds."""


@dataclass(frozen=True, slots=True)
class BuildBlock:
    """Build a block on the last final one and answer with `BlockBuilt`.

    Under `pow` it stands on the tip of the preferred branch, and the round counts the requests.
    """

    height: int
    """The height to build for."""
    round: int
    """The round to hand back."""


@dataclass(frozen=True, slots=True)
class CheckBlock:
    """Check and execute a stored block and answer with `BlockChecked`."""

    block_id: bytes
    """The block; asked once per height and run."""


@dataclass(frozen=True, slots=True)
class SealBlock:
    """Search a seal for a built block and answer with `BlockSealed` (`pow` only).

    A later `SealBlock` or `AdoptBranch` cancels the search.
    """

    block_id: bytes
    """The block without a seal."""
    work: int
    """The work that the seal has to prove."""


@dataclass(frozen=True, slots=True)
class AdoptBranch:
    """The preferred branch changed (`pow` only): undo to the ancestor, apply the blocks.

    It comes for each block that extends the branch, too: then nothing is undone.
    """

    ancestor: bytes
    """The last block that both branches share."""
    block_ids: tuple[bytes, ...]
    """The blocks above it on the new branch, lowest first; all were checked valid."""


@dataclass(frozen=True, slots=True)
class ShareBlock:
    """Send a block, header and body, to every peer (`pow` only); it may have been sent before."""

    block_id: bytes
    """The block; stored and checked valid by this process."""


@dataclass(frozen=True, slots=True)
class Finalised:
    """A block is final: commit it with one sync, then feed `Started` for the next height."""

    height: int
    """Its height."""
    block_id: bytes
    """The block; stored and checked valid by this process."""
    certificate: CommitCertificate | None
    """The proof; None under engines with finality by depth."""


@dataclass(frozen=True, slots=True)
class ReportEvidence:
    """A validator contradicted itself: keep for a block of ours. Reported once."""

    evidence: Evidence
    """The two messages."""


@dataclass(frozen=True, slots=True)
class FetchBlock:
    """A named block's body is missing: ask for it, answer with `BlockArrived` when stored.

    Repeated at each `Timer.RESEND` while it is missing; the driver drops what is in flight.
    """

    block_id: bytes
    """The block."""
    sources: tuple[int, ...]
    """Indices of the validators that should have it, most likely first; ask any peer if none
    of them is connected."""


@dataclass(frozen=True, slots=True)
class PeerBehind:
    """A hint: this peer works on a lower height; let block sync serve it."""

    peer: bytes
    """The peer."""
    peer_height: int
    """The height it works on."""


@dataclass(frozen=True, slots=True)
class BlocksMissing:
    """A hint: others work on a higher height; block sync from `peer` if named, or anyone."""

    peer: bytes | None
    """The peer that said so; None if validators' votes told it."""
    peer_height: int
    """The height claimed; a claim, not a proof."""


@dataclass(frozen=True, slots=True)
class QuorumConflict:
    """A quorum committed a block that this node found invalid: stop the node and say so."""

    certificate: CommitCertificate
    """The proof that the others took it."""


Input: TypeAlias = (
    Started
    | ProposalArrived
    | VoteArrived
    | CertificateArrived
    | BlockArrived
    | BlockBuilt
    | BlockChecked
    | BlockSealed
    | TimeoutFired
    | WorkAvailable
    | PeerStatus
)

Output: TypeAlias = (
    Persist
    | SignVote
    | SignProposal
    | Broadcast
    | Send
    | ScheduleTimeout
    | BuildBlock
    | CheckBlock
    | SealBlock
    | AdoptBranch
    | ShareBlock
    | Finalised
    | ReportEvidence
    | FetchBlock
    | PeerBehind
    | BlocksMissing
    | QuorumConflict
)


@dataclass(frozen=True, slots=True)
class EngineView:
    """A snapshot of an engine for people: status pages, metrics and `doctor`."""

    height: int
    """The height being worked on; 0 before the first `Started`."""
    round: int
    """The current round."""
    step: Step
    """The current step."""
    proposer_index: int
    """Who proposes in this round."""
    own_index: int | None
    """This node's index among the validators, or None."""
    locked_round: int
    """The round of the lock, or `NO_ROUND`."""
    missing_prevotes: tuple[int, ...]
    """Validators whose prevote of this round has not been seen."""
    missing_precommits: tuple[int, ...]
    """Validators whose precommit of this round has not been seen."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """An engine's timing and limits; all in milliseconds or counts."""

    min_block_interval_ms: int = 0
    """The least time between a block and the next proposal."""
    heartbeat_ms: int = 60_000
    """After this long without work an empty block is made."""
    propose_timeout_ms: int = 1_000
    """How long round 0 waits for a proposal."""
    vote_timeout_ms: int = 400
    """How long round 0 waits for more votes once a quorum voted."""
    timeout_step_ms: int = 300
    """By how much each further round waits longer."""
    timeout_cap_ms: int = 3_000
    """No timeout is longer than this, so that a quorum that returns decides within seconds."""
    resend_ms: int = 500
    """How often a begun height that makes no progress repeats its messages."""
    max_drift_ms: int = 2_000
    """A fresh proposal's time may be this far beyond the local clock.

    It may be as far behind it, and by the round's propose timeout more.
    """
    rounds_ahead: int = 2
    """In how many later rounds at most one validator's messages are kept."""
    rounds_kept: int = 16
    """How many earlier rounds keep their votes."""
    blocks_kept: int = 64
    """How many blocks of one height are remembered at most."""


class Engine(Protocol):
    """What every engine offers its driver."""

    def handle(self, event: Input) -> list[Output]:
        """Take one input and return the outputs to execute in order.

        Raises EngineMisuse if the driver broke the contract; no peer can cause it.
        """
        ...

    def view(self) -> EngineView:
        """Return a snapshot for people."""
        ...
