"""The height state is everything an engine knows about the one height it works on."""

from dataclasses import dataclass, field

from consensus.block_book import BlockBook
from consensus.interface import EngineConfig, Started
from consensus.messages import (
    NIL,
    NO_ROUND,
    CommitCertificate,
    Evidence,
    EvidenceKind,
    Proposal,
    VoteKind,
)
from consensus.round_state import RoundState
from consensus.validator_set import ValidatorSet
from consensus.vote_keeper import VoteKeeper
from consensus.waiting_room import WaitingRoom


@dataclass(slots=True)  # mutable: the working record of one height
class HeightState:
    """One height: its variables, votes, proposals and blocks."""

    height: int
    """The height to decide."""
    validators: ValidatorSet
    """Who votes on it."""
    own_index: int | None
    """This node's index among them, or None for a node that only follows."""
    rounds: RoundState
    """The algorithm's variables."""
    votes: VoteKeeper
    """All votes worth keeping."""
    blocks: BlockBook
    """The stored blocks."""
    room: WaitingRoom
    """What arrived for the next height."""
    proposals: dict[int, Proposal] = field(default_factory=dict)
    """The first proposal of each round's proposer."""
    vouched: frozenset[bytes] = frozenset()
    """Blocks that this validator had checked before a crash (it locked or valued them)."""
    committed: CommitCertificate | None = None
    """The decision, as soon as its quorum is known; its block may still be missing."""
    halted: bool = False
    """Whether a quorum committed what this node found invalid."""
    interval_over: bool = False
    """Whether the minimum block interval has passed."""
    has_work: bool = False
    """Whether there is a reason for a block."""
    accused: list[int] = field(default_factory=list)
    """Proposers whose double proposal was reported."""

    @staticmethod
    def begin(event: Started, config: EngineConfig, own_id: bytes | None) -> "HeightState":
        """Return the state in which a height starts."""
        return HeightState(
            height=event.height,
            validators=event.validators,
            own_index=None if own_id is None else event.validators.index_of(own_id),
            rounds=RoundState(event.height),
            votes=VoteKeeper(event.validators, rounds_ahead=config.rounds_ahead),
            blocks=BlockBook(
                height=event.height,
                parent=event.last_block_id,
                parent_time_ms=event.last_block_time_ms,
                limit=config.blocks_kept,
            ),
            room=WaitingRoom(event.validators),
        )

    def is_needed(self, block_id: bytes) -> bool:
        """Return whether something refers to a block, so that it must be remembered."""
        rounds, committed = self.rounds, self.committed
        wanted = [rounds.locked_block, rounds.valid_block, committed.block_id if committed else NIL]
        wanted += [proposal.block_id for proposal in self.proposals.values()]
        return block_id in wanted

    def is_round_kept(self, round_: int, config: EngineConfig) -> bool:
        """Return whether messages of a round are worth keeping."""
        rounds = self.rounds
        if round_ >= rounds.round - config.rounds_kept:
            return True
        proposal = self.proposals.get(rounds.round)
        pol_round = NO_ROUND if proposal is None else proposal.pol_round
        return round_ in (rounds.locked_round, rounds.valid_round, pol_round)

    def forget_old_rounds(self, config: EngineConfig) -> None:
        """Drop the messages of rounds that are not worth keeping."""
        if self.rounds.round > config.rounds_kept:
            self.votes.prune(lambda round_: self.is_round_kept(round_, config))
            for round_ in [r for r in self.proposals if not self.is_round_kept(r, config)]:
                del self.proposals[round_]

    def add_proposal(
        self, proposal: Proposal, config: EngineConfig
    ) -> tuple[bool, Evidence | None]:
        """Keep a proposal of a round's right proposer; whether it was new, and evidence."""
        index = proposal.validator_index
        self.votes.note_round(index, proposal.round)
        first = self.proposals.get(proposal.round)
        if first is None:
            self.proposals[proposal.round] = proposal
            ahead = sorted(
                round_
                for round_, other in self.proposals.items()
                if round_ > self.rounds.round and other.validator_index == index
            )
            if len(ahead) > config.rounds_ahead:
                del self.proposals[ahead[0]]
            return proposal.round in self.proposals, None
        same = (first.block_id, first.pol_round) == (proposal.block_id, proposal.pol_round)
        if same or index in self.accused:
            return False, None
        self.accused.append(index)
        return False, Evidence(EvidenceKind.DOUBLE_PROPOSAL, first, proposal)

    def supporters(self, block_id: bytes) -> tuple[int, ...]:
        """Return who should have a block: its proposer in this round, then its voters."""
        round_ = self.rounds.round
        if self.committed is not None and self.committed.block_id == block_id:
            round_ = self.committed.round
        found: dict[int, None] = {}
        for proposal in self.proposals.values():
            if proposal.block_id == block_id:
                found[proposal.validator_index] = None
        for kind in (VoteKind.PRECOMMIT, VoteKind.PREVOTE):
            for vote in self.votes.tally(kind, round_).votes():
                if vote.block_id == block_id:
                    found[vote.validator_index] = None
        if self.own_index is not None:
            found.pop(self.own_index, None)
        return tuple(found)
