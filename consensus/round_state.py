"""The round state is the paper's variables of one height, and what was signed in the round."""

from dataclasses import dataclass

from consensus.messages import NIL, NO_ROUND, Proposal, SigningState, Step, Vote, VoteKind


@dataclass(slots=True)  # mutable: the working record of one height
class RoundState:
    """Algorithm 1, lines 1 to 9 (the paper's names in the field comments), for one height."""

    height: int
    """h_p."""
    round: int = 0
    """round_p."""
    step: Step = Step.NEW_HEIGHT
    """step_p."""
    locked_round: int = NO_ROUND
    """lockedRound_p."""
    locked_block: bytes = NIL
    """lockedValue_p."""
    valid_round: int = NO_ROUND
    """validRound_p."""
    valid_block: bytes = NIL
    """validValue_p."""
    valid_proof: tuple[tuple[int, bytes], ...] = ()
    """Index and signature of each prevote for it in its round."""
    proposal_block: bytes | None = None
    """What this validator proposed in this round."""
    proposal_pol_round: int = NO_ROUND
    """The pol_round of that proposal."""
    prevote_block: bytes | None = None
    """What this validator prevoted in this round."""
    precommit_block: bytes | None = None
    """What this validator precommitted in this round."""
    polka_done: bool = False
    """Line 36's "for the first time"."""
    prevote_timer_set: bool = False
    """Line 34's "for the first time"."""
    precommit_timer_set: bool = False
    """Line 47's "for the first time"."""
    relayed: bool = False
    """Whether this round's quorum of prevotes was passed on."""
    late_polka: int = NO_ROUND
    """The last round left behind whose quorum of prevotes came later, or `NO_ROUND`."""
    ticks: int = 0
    """Resend timers that ran out in this round."""

    def enter(self, round_: int) -> None:
        """Move to the propose step of a round (lines 12 and 13); locks stay."""
        self.round = round_
        self.step = Step.PROPOSE
        self.proposal_block = self.prevote_block = self.precommit_block = None
        self.proposal_pol_round = NO_ROUND
        self.polka_done = self.prevote_timer_set = self.precommit_timer_set = False
        self.relayed = False
        self.ticks = 0

    def resume(self, state: SigningState) -> None:
        """Take up a state that was persisted at this height."""
        self.enter(state.round)
        self.locked_round, self.locked_block = state.locked_round, state.locked_block
        self.valid_round, self.valid_block = state.valid_round, state.valid_block
        self.valid_proof = state.valid_proof
        self.proposal_block = state.proposal_block
        self.proposal_pol_round = state.proposal_pol_round
        self.prevote_block = state.prevote_block
        self.precommit_block = state.precommit_block
        if state.precommit_block is not None:
            self.step = Step.PRECOMMIT
        elif state.prevote_block is not None:
            self.step = Step.PREVOTE

    def to_persist(self) -> SigningState:
        """Return what the signer must remember."""
        signed = Step.PROPOSE
        if self.precommit_block is not None:
            signed = Step.PRECOMMIT
        elif self.prevote_block is not None:
            signed = Step.PREVOTE
        return SigningState(
            height=self.height,
            round=self.round,
            step=signed,
            locked_round=self.locked_round,
            locked_block=self.locked_block,
            valid_round=self.valid_round,
            valid_block=self.valid_block,
            valid_proof=self.valid_proof,
            proposal_block=self.proposal_block,
            proposal_pol_round=self.proposal_pol_round,
            prevote_block=self.prevote_block,
            precommit_block=self.precommit_block,
        )

    def to_sign(self, index: int) -> list[Proposal | Vote]:
        """Return the messages of this round that validator `index` committed itself to."""
        messages: list[Proposal | Vote] = []
        if self.proposal_block is not None:
            messages.append(
                Proposal(
                    self.height, self.round, self.proposal_block, self.proposal_pol_round, index
                )
            )
        for kind, block_id in (
            (VoteKind.PREVOTE, self.prevote_block),
            (VoteKind.PRECOMMIT, self.precommit_block),
        ):
            if block_id is not None:
                messages.append(Vote(kind, self.height, self.round, block_id, index))
        return messages
