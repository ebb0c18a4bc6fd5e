"""The rules of Tendermint: Buchman, Kwon, Milosevic, "The latest gossip on BFT consensus" (2018).

`Line n` in a comment is line n of the paper's Algorithm 1. Departures, none of which touches
what is locked, voted or decided:

* A height begins when there is work, at the heartbeat, or when a peer's message shows that
  others began; timeouts are capped; the proposer sets its propose timeout as well.
* A proposer persists and signs its own prevote together with its proposal: one sync.
* Lines 36 and 49 take the block that the quorum of votes names, whether or not this node got
  the proposal that first carried it; it still has to be stored and valid.
* A quorum of nil prevotes and one of nil precommits end the round without line 47's timeout.
* Votes are not passed on as they come (the paper's gossip); a round that is about to fail
  passes on its quorum of prevotes, lest a two-faced validator show it to one node alone. A
  quorum that arrives after its round sets the valid block (lines 42, 43), never the lock.
* Line 55 also sums validators seen in different later rounds: more than a third of the power
  at round r or above means that an honest one left the rounds below r.
* A node whose round stalls while somebody is seen in a later round moves on by one: a crashed
  node may have lost the messages that line 55 waits for.
"""

from collections.abc import Callable
from typing import TypeAlias

from consensus.height_state import HeightState
from consensus.interface import (
    Broadcast,
    BuildBlock,
    CheckBlock,
    EngineConfig,
    FetchBlock,
    Finalised,
    Output,
    Persist,
    QuorumConflict,
    ReportEvidence,
    ScheduleTimeout,
    SignProposal,
    SignVote,
    Timer,
)
from consensus.messages import (
    NIL,
    NO_ROUND,
    CommitCertificate,
    Evidence,
    Proposal,
    SigningState,
    Step,
    Vote,
    VoteKind,
)
from consensus.validator_set import ValidatorSet

ProposerChoice: TypeAlias = Callable[[ValidatorSet, int, int], int]
"""Who proposes: a pure function of (validators, height, round) to an index."""


class TendermintRules:
    """The transitions of Algorithm 1 on the height's state; outputs pile up in `_out`."""

    def __init__(
        self, config: EngineConfig, own_id: bytes | None, *, choose_proposer: ProposerChoice
    ) -> None:
        """Take the timing, this node's validator id (None: follow) and the proposer choice."""
        self._config = config
        self._own_id = own_id
        self._choose_proposer = choose_proposer
        self._state: HeightState | None = None
        self._resume: SigningState | None = None
        self._last_certificate: CommitCertificate | None = None
        self._local_time_ms = 0
        self._height_told = 0
        self._out: list[Output] = []

    # --- transitions ----------------------------------------------------------------------

    def _start_round(self, state: HeightState, round_: int) -> None:
        """Lines 11 to 21: StartRound(round)."""
        rounds = state.rounds
        rounds.enter(round_)  # lines 12, 13
        state.forget_old_rounds(self._config)
        if self._proposer(state, round_) == state.own_index and self._may_sign(state):  # line 14
            if rounds.valid_block != NIL:
                self._propose(state, rounds.valid_block, rounds.valid_round)  # lines 15, 16, 19
                return
            self._out.append(BuildBlock(state.height, round_))  # lines 17, 18
        elif round_ in state.proposals:
            self._fetch(state, state.proposals[round_].block_id)
        self._schedule_capped(state, Timer.PROPOSE, self._config.propose_timeout_ms)  # line 21

    # --- rules ------------------------------------------------------------------------------

    def _apply_rule(self, state: HeightState) -> bool:
        """Apply the first of the algorithm's "upon" rules that holds; whether one did."""
        if state.halted or state.rounds.step in (Step.COMMIT, Step.NEW_HEIGHT):
            return self._rule_decide(state)
        return (
            self._rule_decide(state)
            or self._rule_skip_round(state)
            or self._rule_proposal(state)
            or self._rule_polka(state)
            or self._rule_late_polka(state)
            or self._rule_nil_polka(state)
            or self._rule_timers(state)
        )

    def _rule_decide(self, state: HeightState) -> bool:
        """Lines 49 to 54: 2f + 1 precommits for a valid block, in any round."""
        certificate = state.committed
        if certificate is None or state.halted or state.rounds.step is Step.COMMIT:
            return False
        valid = self._verdict(state, certificate.block_id)
        if valid is None:
            return False
        if not valid:
            state.halted = True
            self._out.append(QuorumConflict(certificate))
            return False
        state.rounds.step = Step.COMMIT
        self._out.append(
            Finalised(state.height, certificate.block_id, certificate)  # lines 51, 52
        )
        return True

    def _rule_skip_round(self, state: HeightState) -> bool:
        """Lines 55 and 56: f + 1 are in a later round."""
        votes, own = state.votes, state.rounds.round
        if votes.highest_round_seen() <= own or state.committed is not None:
            return False
        round_ = votes.round_of_honest_part()
        if round_ <= own:
            return False
        self._start_round(state, round_)
        return True

    def _rule_proposal(self, state: HeightState) -> bool:
        """Lines 22 to 33: the proposer's block, in the propose step."""
        rounds = state.rounds
        proposal = state.proposals.get(rounds.round)
        if proposal is None or rounds.step is not Step.PROPOSE:
            return False
        block_id = proposal.block_id
        if proposal.pol_round == NO_ROUND:  # line 22
            unlocked = rounds.locked_round == NO_ROUND
        else:  # line 28: and 2f + 1 prevotes for it in the round it names
            support = state.votes.tally(VoteKind.PREVOTE, proposal.pol_round)
            if not state.validators.is_quorum(support.weights.get(block_id, 0)):
                return False
            unlocked = rounds.locked_round <= proposal.pol_round
        if not unlocked and rounds.locked_block != block_id:
            self._vote(state, VoteKind.PREVOTE, NIL)  # lines 26, 32: locked on another block
            return True
        valid = True if block_id in state.vouched else self._verdict(state, block_id)
        if valid is None:
            return False
        timely = proposal.pol_round != NO_ROUND or self._is_timely(state, block_id)
        # lines 23, 29; lines 24, 30 if it holds, else lines 26, 32; then lines 27, 33
        self._vote(state, VoteKind.PREVOTE, block_id if valid and timely else NIL)
        return True

    def _rule_polka(self, state: HeightState) -> bool:
        """Lines 36 to 43: 2f + 1 prevotes for a valid block, for the first time."""
        rounds = state.rounds
        if rounds.step < Step.PREVOTE or rounds.polka_done:
            return False
        block_id = state.votes.tally(VoteKind.PREVOTE, rounds.round).quorum_block()
        if not block_id:
            return False
        if not (block_id in state.vouched or self._verdict(state, block_id)):
            return False
        rounds.polka_done = True
        self._set_valid(state, block_id, rounds.round)
        if rounds.step is Step.PREVOTE:  # line 37
            self._lock(state, block_id)  # lines 38, 39
            self._vote(state, VoteKind.PRECOMMIT, block_id)  # lines 40, 41
        return True

    def _rule_late_polka(self, state: HeightState) -> bool:
        """Lines 42 and 43 for a round that was left before its quorum was seen."""
        rounds = state.rounds
        round_ = rounds.late_polka
        if not rounds.valid_round < round_ < rounds.round:
            return False
        block_id = state.votes.tally(VoteKind.PREVOTE, round_).quorum_block()
        if not block_id or not self._verdict(state, block_id):
            return False
        self._set_valid(state, block_id, round_)
        return True

    def _set_valid(self, state: HeightState, block_id: bytes, round_: int) -> None:
        """Lines 42 and 43, and the votes that prove it."""
        rounds = state.rounds
        rounds.valid_block, rounds.valid_round = block_id, round_
        rounds.valid_proof = state.votes.signatures(VoteKind.PREVOTE, round_, block_id)

    def _lock(self, state: HeightState, block_id: bytes) -> None:
        """Lines 38 and 39."""
        state.rounds.locked_block, state.rounds.locked_round = block_id, state.rounds.round

    def _rule_nil_polka(self, state: HeightState) -> bool:
        """Lines 44 to 46: 2f + 1 prevotes for nil."""
        if state.rounds.step is not Step.PREVOTE:
            return False
        if state.votes.tally(VoteKind.PREVOTE, state.rounds.round).quorum_block() != NIL:
            return False
        self._vote(state, VoteKind.PRECOMMIT, NIL)
        return True

    def _rule_timers(self, state: HeightState) -> bool:
        """Lines 34, 35, 47 and 48: a quorum voted, whatever for."""
        rounds = state.rounds
        prevotes = state.votes.tally(VoteKind.PREVOTE, rounds.round)
        if (
            not rounds.prevote_timer_set
            and rounds.step is Step.PREVOTE
            and state.validators.is_quorum(prevotes.weight_any)
        ):
            rounds.prevote_timer_set = True
            self._schedule_capped(state, Timer.PREVOTE, self._config.vote_timeout_ms)  # line 35
        precommits = state.votes.tally(VoteKind.PRECOMMIT, rounds.round)
        if not state.validators.is_quorum(precommits.weight_any) or state.committed is not None:
            return False
        if precommits.quorum_block() == NIL == prevotes.quorum_block():
            self._start_round(state, rounds.round + 1)  # nothing left to wait for
            return True
        if not rounds.precommit_timer_set:
            rounds.precommit_timer_set = True
            self._schedule_capped(state, Timer.PRECOMMIT, self._config.vote_timeout_ms)  # line 48
        if rounds.polka_done and not rounds.relayed:
            rounds.relayed = True
            for vote in prevotes.votes():
                if vote.block_id == rounds.valid_block:
                    self._out.append(Broadcast(vote))
        return False

    # --- actions ----------------------------------------------------------------------------

    def _propose(self, state: HeightState, block_id: bytes, pol_round: int) -> None:
        """Line 19, with the proposer's own prevote (lines 24, 30) under the same sync.

        It may prevote its own choice: a fresh block only if it has no valid, hence no locked
        one; else its valid block, whose round is at least that of its lock.
        """
        rounds = state.rounds
        rounds.proposal_block, rounds.proposal_pol_round = block_id, pol_round
        rounds.prevote_block = block_id
        rounds.step = Step.PREVOTE
        if state.own_index is not None:
            self._sign(state, rounds.to_sign(state.own_index))

    def _vote(self, state: HeightState, kind: VoteKind, block_id: bytes) -> None:
        """Take the step a vote belongs to, and sign it if this node votes."""
        rounds = state.rounds
        if kind is VoteKind.PREVOTE:
            rounds.step = Step.PREVOTE
            rounds.prevote_block = block_id
        else:
            rounds.step = Step.PRECOMMIT
            rounds.precommit_block = block_id
        if state.own_index is not None:
            self._sign(state, [Vote(kind, state.height, rounds.round, block_id, state.own_index)])

    def _sign(self, state: HeightState, messages: list[Proposal | Vote]) -> None:
        """Persist once, then have the messages signed."""
        if not messages or not self._may_sign(state):
            return
        self._out.append(Persist(state.rounds.to_persist()))
        for message in messages:
            if isinstance(message, Proposal):
                self._out.append(SignProposal(message))
            else:
                self._out.append(SignVote(message))

    def _may_sign(self, state: HeightState) -> bool:
        """Return whether this node votes here and has not signed for a later height."""
        later = self._resume is not None and self._resume.height > state.height
        return state.own_index is not None and not later

    def _verdict(self, state: HeightState, block_id: bytes) -> bool | None:
        """Return valid(v) as checked by this process; ask for it if it was not yet."""
        entry = state.blocks.get(block_id)
        if entry is None:
            return None
        if not entry.asked:
            entry.asked = True
            self._out.append(CheckBlock(block_id))
        return entry.valid

    def _is_timely(self, state: HeightState, block_id: bytes) -> bool:
        """Return whether a fresh block's time is near the local clock.

        It may be ahead by the drift of clocks, and behind by the same and by as long as this
        round waits for its proposal: a proposer dates its block when it begins to build it.
        """
        entry = state.blocks.get(block_id)
        drift_ms = self._config.max_drift_ms
        waited_ms = self._capped_ms(state, self._config.propose_timeout_ms)
        ahead_ms = 0 if entry is None else entry.time_ms - self._local_time_ms
        return -(drift_ms + waited_ms) <= ahead_ms <= drift_ms

    def _fetch_missing(self, state: HeightState) -> None:
        """Ask for the bodies that this round or the decision waits for."""
        if state.committed is not None:
            self._fetch(state, state.committed.block_id)
            return
        round_ = state.rounds.round
        proposal = state.proposals.get(round_)
        favoured = state.votes.tally(VoteKind.PREVOTE, round_).quorum_block()
        wanted = {} if proposal is None else {proposal.block_id: None}
        late = state.votes.tally(VoteKind.PREVOTE, state.rounds.late_polka).quorum_block()
        for block in (favoured, late):
            if block:
                wanted[block] = None
        for block_id in wanted:
            self._fetch(state, block_id)

    def _fetch(self, state: HeightState, block_id: bytes) -> None:
        """Ask for a body that is not stored."""
        if state.blocks.get(block_id) is None:
            self._out.append(FetchBlock(block_id, state.supporters(block_id)))

    def _report(self, evidence: Evidence | None) -> None:
        """Hand evidence to the driver."""
        if evidence is not None:
            self._out.append(ReportEvidence(evidence))

    def _proposer(self, state: HeightState, round_: int) -> int:
        """Return the index of a round's proposer."""
        return self._choose_proposer(state.validators, state.height, round_)

    def _schedule(self, state: HeightState, timer: Timer, delay_ms: int) -> None:
        """Set a timer of the current round."""
        self._out.append(ScheduleTimeout(state.height, state.rounds.round, timer, delay_ms))

    def _schedule_capped(self, state: HeightState, timer: Timer, base_ms: int) -> None:
        """Set a round's timeout: longer in each round, up to the cap."""
        self._schedule(state, timer, self._capped_ms(state, base_ms))

    def _capped_ms(self, state: HeightState, base_ms: int) -> int:
        """Return how long a timeout of the current round is."""
        delay_ms = base_ms + self._config.timeout_step_ms * state.rounds.round
        return min(delay_ms, max(self._config.timeout_cap_ms, base_ms))
