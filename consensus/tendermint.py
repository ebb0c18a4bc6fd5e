"""The Tendermint core takes a driver's inputs, keeps what they say, and applies the rules.

The rules themselves, with the lines of the paper they come from, are in `rules`.
"""

from consensus.catch_up import missing_messages, own_messages, own_status
from consensus.height_state import HeightState
from consensus.interface import (
    BlockArrived,
    BlockBuilt,
    BlockChecked,
    BlocksMissing,
    Broadcast,
    CertificateArrived,
    EngineView,
    Input,
    Output,
    PeerBehind,
    PeerStatus,
    ProposalArrived,
    Send,
    Started,
    TimeoutFired,
    Timer,
    VoteArrived,
    WorkAvailable,
)
from consensus.messages import (
    MAX_ROUND,
    NIL,
    NO_ROUND,
    CommitCertificate,
    EngineMisuse,
    Proposal,
    SigningState,
    Step,
    Vote,
    VoteKind,
)
from consensus.rules import TendermintRules
from consensus.validator_set import check_certificate


class TendermintEngine(TendermintRules):
    """One node's engine; `poa` and `pos` differ only in powers and in who proposes."""

    # --- the interface ----------------------------------------------------------------------

    def handle(self, event: Input) -> list[Output]:
        """Take one input and return the outputs to execute in order.

        Raises EngineMisuse if the driver broke the contract; no peer can cause it.
        """
        self._out = []
        if isinstance(event, Started):
            self._on_started(event)
        elif self._state is None:
            raise EngineMisuse(f"the first input must be Started, got {type(event).__name__}")
        else:
            self._dispatch(self._state, event)
        if self._state is not None:
            while self._apply_rule(self._state):
                pass
        return self._out

    def view(self) -> EngineView:
        """Return a snapshot for people."""
        state = self._state
        if state is None:
            return EngineView(0, 0, Step.NEW_HEIGHT, 0, None, NO_ROUND, (), ())
        rounds = state.rounds
        missing = {
            kind: tuple(
                index
                for index in range(len(state.validators))
                if index not in state.votes.tally(kind, rounds.round).first
            )
            for kind in VoteKind
        }
        return EngineView(
            height=state.height,
            round=rounds.round,
            step=rounds.step,
            proposer_index=self._proposer(state, rounds.round),
            own_index=state.own_index,
            locked_round=rounds.locked_round,
            missing_prevotes=missing[VoteKind.PREVOTE],
            missing_precommits=missing[VoteKind.PRECOMMIT],
        )

    def _dispatch(self, state: HeightState, event: Input) -> None:
        """Hand an input to what takes it."""
        if isinstance(event, VoteArrived):
            self._on_vote(state, event)
        elif isinstance(event, ProposalArrived):
            self._on_proposal(state, event)
        elif isinstance(event, BlockArrived):
            self._on_block(state, event)
        elif isinstance(event, TimeoutFired):
            if event.height == state.height and state.rounds.step is not Step.COMMIT:
                self._on_timeout(state, event)
        elif isinstance(event, BlockChecked):
            entry = state.blocks.get(event.block_id)
            if entry is not None and entry.valid is None:
                entry.valid = event.valid
        elif isinstance(event, BlockBuilt):
            self._on_built(state, event)
        elif isinstance(event, WorkAvailable):
            self._local_time_ms = event.local_time_ms
            state.has_work = True
            if state.interval_over:
                self._begin(state)
        elif isinstance(event, CertificateArrived):
            self._on_certificate(state, event.certificate)
        elif isinstance(event, PeerStatus):
            self._on_peer_status(state, event)
        else:
            raise EngineMisuse(f"{type(event).__name__} is no input of this engine")

    # --- heights ----------------------------------------------------------------------------

    def _on_started(self, event: Started) -> None:
        """Begin a height: idle, or where the signing state says that it was left."""
        before = self._state
        if before is not None and event.height <= before.height:
            raise EngineMisuse(f"height {event.height} starts after height {before.height}")
        state = HeightState.begin(event, self._config, self._own_id)
        self._state = state
        self._local_time_ms = event.local_time_ms
        self._resume = event.resume or self._resume
        follows = before is not None and before.height == event.height - 1
        self._last_certificate = before.committed if before is not None and follows else None
        self._schedule_start(state, event)
        resume = self._resume
        if resume is not None and resume.height == state.height and state.own_index is not None:
            self._continue(state, resume, state.own_index)
        if not follows:
            self._out.append(Broadcast(own_status(state)))
        if before is not None and follows:
            for kept in before.room.leave(state.validators):
                self._dispatch(state, kept)

    def _schedule_start(self, state: HeightState, event: Started) -> None:
        """Wait for the minimum block interval, and set the heartbeat."""
        config = self._config
        passed = event.local_time_ms - event.last_block_time_ms
        wait = min(max(config.min_block_interval_ms - passed, 0), config.min_block_interval_ms)
        beat = min(max(config.heartbeat_ms - passed, wait), max(config.heartbeat_ms, wait))
        state.interval_over = wait == 0
        if wait > 0:
            self._schedule(state, Timer.INTERVAL, wait)
        self._schedule(state, Timer.HEARTBEAT, beat)

    def _continue(self, state: HeightState, resume: SigningState, own_index: int) -> None:
        """Take up the round in which this validator crashed, saying again what it said."""
        state.rounds.resume(resume)
        state.vouched = frozenset({resume.locked_block, resume.valid_block} - {NIL})
        for index, signature in resume.valid_proof:
            if 0 <= index < len(state.validators):
                vote = Vote(
                    VoteKind.PREVOTE,
                    state.height,
                    resume.valid_round,
                    resume.valid_block,
                    index,
                    signature,
                )
                state.votes.add(vote, current_round=resume.round)
        self._schedule(state, Timer.RESEND, self._config.resend_ms)
        # No propose timer: who signed anything of a round has prevoted in it.
        self._sign(state, state.rounds.to_sign(own_index))

    def _begin(self, state: HeightState) -> None:
        """Enter round 0 if the height is still idle."""
        if state.rounds.step is Step.NEW_HEIGHT:
            self._schedule(state, Timer.RESEND, self._config.resend_ms)
            self._start_round(state, 0)  # line 10

    # --- inputs -----------------------------------------------------------------------------

    def _on_vote(self, state: HeightState, event: VoteArrived) -> None:
        """Keep a vote of this height; note one of a later height."""
        vote = event.vote
        if not 0 <= vote.validator_index < len(state.validators):
            return
        if not 0 <= vote.round <= MAX_ROUND or vote.height < state.height:
            return
        if vote.height > state.height:
            self._on_later_height(state, vote.height, vote.validator_index, event)
            return
        self._begin(state)
        if not state.is_round_kept(vote.round, self._config):
            return
        new, evidence = state.votes.add(vote, current_round=state.rounds.round)
        self._report(evidence)
        if new and vote.validator_index == state.own_index:
            self._out.append(Broadcast(vote))
        if new and vote.kind is VoteKind.PREVOTE and vote.round < state.rounds.round:
            if state.votes.tally(VoteKind.PREVOTE, vote.round).quorum_block():
                state.rounds.late_polka = max(state.rounds.late_polka, vote.round)
        if new and vote.kind is VoteKind.PRECOMMIT and state.committed is None:
            decided = state.votes.tally(VoteKind.PRECOMMIT, vote.round).quorum_block()
            if decided:  # line 49: 2f + 1 precommits for one block, in whatever round
                state.committed = state.votes.certificate(state.height, vote.round, decided)
                self._fetch_missing(state)

    def _on_proposal(self, state: HeightState, event: ProposalArrived) -> None:
        """Keep a proposal of this height by the round's proposer."""
        proposal = event.proposal
        self._local_time_ms = event.local_time_ms
        if not 0 <= proposal.validator_index < len(state.validators):
            return
        if proposal.height > state.height:
            self._on_later_height(state, proposal.height, proposal.validator_index, event)
            return
        if proposal.height < state.height or not self._is_well_formed(state, proposal):
            return
        self._begin(state)
        if not state.is_round_kept(proposal.round, self._config):
            return
        new, evidence = state.add_proposal(proposal, self._config)
        self._report(evidence)
        if new and proposal.validator_index == state.own_index:
            self._out.append(Broadcast(proposal))
        elif new and proposal.round == state.rounds.round:
            self._fetch(state, proposal.block_id)

    def _is_well_formed(self, state: HeightState, proposal: Proposal) -> bool:
        """Return whether a proposal's fields fit together and its proposer's turn it is."""
        return (
            0 <= proposal.round <= MAX_ROUND
            and NO_ROUND <= proposal.pol_round < proposal.round
            and proposal.block_id != NIL
            and proposal.validator_index == self._proposer(state, proposal.round)
        )

    def _on_later_height(
        self,
        state: HeightState,
        height: int,
        index: int,
        event: ProposalArrived | VoteArrived,
    ) -> None:
        """Keep what is for the next height; ask for blocks if honest ones are further on."""
        if height == state.height + 1:
            state.room.keep_message(index, event)
        reached = state.room.note_height(index, height)
        if reached > max(state.height + 1, self._height_told):
            self._height_told = reached
            self._out.append(BlocksMissing(None, reached))

    def _on_block(self, state: HeightState, event: BlockArrived) -> None:
        """Note a stored block; one of the next height waits for it."""
        self._local_time_ms = event.local_time_ms
        if event.height == state.height + 1:
            state.room.keep_block(event)
        state.blocks.add(event, keep=state.is_needed)

    def _on_built(self, state: HeightState, event: BlockBuilt) -> None:
        """Propose the block that was built, if it is still wanted."""
        rounds = state.rounds
        if event.height != state.height:
            return
        state.blocks.add_own(event.block_id, event.time_ms)
        if (event.round, Step.PROPOSE) == (rounds.round, rounds.step) and self._may_sign(state):
            self._propose(state, event.block_id, NO_ROUND)  # line 19

    def _on_certificate(self, state: HeightState, certificate: CommitCertificate) -> None:
        """Take a decision from its proof (line 49, the messages received at once)."""
        if certificate.height != state.height or state.committed is not None:
            return
        if not check_certificate(certificate, state.validators):
            state.committed = certificate
            self._fetch_missing(state)

    def _on_peer_status(self, state: HeightState, event: PeerStatus) -> None:
        """Send a peer what it misses, or say who is behind."""
        status = event.status
        if status.height == state.height - 1 and self._last_certificate is not None:
            self._out.append(Send(event.peer, self._last_certificate))
        elif status.height < state.height:
            self._out.append(PeerBehind(event.peer, status.height))
        elif status.height > state.height:
            self._out.append(BlocksMissing(event.peer, status.height))
        elif 0 <= status.round <= MAX_ROUND:
            self._begin(state)
            for message in missing_messages(state, status):
                self._out.append(Send(event.peer, message))

    def _on_timeout(self, state: HeightState, event: TimeoutFired) -> None:
        """Lines 57 to 67, and the timers of the height itself."""
        rounds = state.rounds
        in_round = event.round == rounds.round
        if event.timer is Timer.PROPOSE and in_round and rounds.step is Step.PROPOSE:
            self._vote(state, VoteKind.PREVOTE, NIL)  # lines 57 to 60
        elif event.timer is Timer.PREVOTE and in_round and rounds.step is Step.PREVOTE:
            self._vote(state, VoteKind.PRECOMMIT, NIL)  # lines 61 to 64
        elif event.timer is Timer.PRECOMMIT and in_round and rounds.step > Step.NEW_HEIGHT:
            if state.committed is None:  # what is decided waits for its body, not for a round
                self._start_round(state, rounds.round + 1)  # lines 65 to 67
        elif event.timer is Timer.INTERVAL:
            state.interval_over = True
            if state.has_work:
                self._begin(state)
        elif event.timer is Timer.HEARTBEAT:
            self._begin(state)
        elif event.timer is Timer.RESEND and rounds.step > Step.NEW_HEIGHT:
            self._resend(state)

    def _resend(self, state: HeightState) -> None:
        """Say again what may have been lost; leave a round that stalls behind another's."""
        rounds = state.rounds
        self._schedule(state, Timer.RESEND, self._config.resend_ms)
        for message in own_messages(state):
            self._out.append(Broadcast(message))
        self._out.append(Broadcast(own_status(state)))
        self._fetch_missing(state)
        rounds.ticks += 1
        patience_ms = 2 * self._config.timeout_cap_ms
        if rounds.ticks * self._config.resend_ms > patience_ms and state.committed is None:
            rounds.ticks = 0
            if state.votes.highest_round_seen() > rounds.round:
                self._start_round(state, rounds.round + 1)
