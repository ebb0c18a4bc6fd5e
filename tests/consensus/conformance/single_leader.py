"""The example for who adds an engine: the first validator decides alone, the others follow.

It is safe as long as the leader is honest, and stands still while the leader is away.
"""

from __future__ import annotations

from consensus import interface as api
from consensus.messages import (
    NO_ROUND,
    CommitCertificate,
    EngineMisuse,
    SigningState,
    Status,
    Step,
    Vote,
    VoteKind,
)

LEADER = 0


class SingleLeaderEngine:
    """One node's engine: the leader's precommit is the decision and its proof."""

    def __init__(self, config: api.EngineConfig, own_id: bytes | None) -> None:
        self._config = config
        self._own_id = own_id
        self._height = 0
        self._is_leader = False
        self._decision: Vote | None = None
        self._verdicts: dict[bytes, bool | None] = {}
        self._done = False
        self._out: list[api.Output] = []

    def handle(self, event: api.Input) -> list[api.Output]:
        """Take one input and return the outputs to execute in order."""
        self._out = []
        match event:
            case api.Started():
                self._on_started(event)
            case _ if not self._height:
                raise EngineMisuse(f"the first input must be Started, got {type(event).__name__}")
            case api.BlockArrived(block_id):
                self._verdicts.setdefault(block_id, None)
            case api.BlockChecked(block_id, valid):
                self._verdicts[block_id] = valid
            case api.BlockBuilt(height, _, block_id) if height == self._height:
                self._verdicts[block_id] = True
                if self._decision is None:
                    self._sign(block_id)
            case api.VoteArrived(vote):
                self._on_vote(vote)
            case api.CertificateArrived(certificate):
                self._on_certificate(certificate)
            case api.PeerStatus(peer, status) if status.height < self._height:
                self._out.append(api.PeerBehind(peer, status.height))
            case api.TimeoutFired(_, _, timer):
                self._on_timeout(timer)
        self._decide()
        return self._out

    def view(self) -> api.EngineView:
        """Return a snapshot for people."""
        own = LEADER if self._is_leader else None
        return api.EngineView(self._height, 0, Step.NEW_HEIGHT, LEADER, own, NO_ROUND, (), ())

    def _on_started(self, event: api.Started) -> None:
        if event.height <= self._height:
            raise EngineMisuse(f"height {event.height} starts after height {self._height}")
        self._height = event.height
        self._is_leader = event.validators.members[LEADER].id == self._own_id
        self._decision, self._done = None, False
        self._verdicts.clear()
        self._schedule(api.Timer.RESEND, self._config.resend_ms)
        resume = event.resume
        if resume is not None and resume.height == self._height and resume.precommit_block:
            self._sign(resume.precommit_block)  # what was said before the crash is said again
        elif self._is_leader:
            self._schedule(api.Timer.INTERVAL, self._config.min_block_interval_ms)

    def _on_timeout(self, timer: api.Timer) -> None:
        if timer is api.Timer.INTERVAL and self._decision is None:
            self._out.append(api.BuildBlock(self._height, 0))
        elif timer is api.Timer.RESEND:
            self._schedule(api.Timer.RESEND, self._config.resend_ms)
            self._out.append(api.Broadcast(Status(self._height, NO_ROUND, 0, 0, False)))
            if self._is_leader and self._decision is not None:
                self._out.append(api.Broadcast(self._decision))
            if self._decision is not None and self._decision.block_id not in self._verdicts:
                self._out.append(api.FetchBlock(self._decision.block_id, (LEADER,)))

    def _sign(self, block_id: bytes) -> None:
        """Persist first, so that no crash makes us say something else."""
        state = SigningState(self._height, 0, Step.PRECOMMIT, precommit_block=block_id)
        vote = Vote(VoteKind.PRECOMMIT, self._height, 0, block_id, LEADER)
        self._out += [api.Persist(state), api.SignVote(vote)]

    def _on_vote(self, vote: Vote) -> None:
        counts = vote.kind is VoteKind.PRECOMMIT and vote.validator_index == LEADER
        if counts and vote.height == self._height and self._decision is None:
            self._decision = vote
            if self._is_leader:
                self._out.append(api.Broadcast(vote))

    def _on_certificate(self, certificate: CommitCertificate) -> None:
        for index, signature in certificate.signatures:
            kind, height = VoteKind.PRECOMMIT, certificate.height
            self._on_vote(Vote(kind, height, 0, certificate.block_id, index, signature))

    def _decide(self) -> None:
        vote = self._decision
        if vote is None or self._done or vote.block_id not in self._verdicts:
            return
        verdict = self._verdicts[vote.block_id]
        if verdict is None:
            self._out.append(api.CheckBlock(vote.block_id))
        elif verdict:
            self._done = True
            proof = CommitCertificate(self._height, 0, vote.block_id, ((LEADER, vote.signature),))
            self._out.append(api.Finalised(self._height, vote.block_id, proof))

    def _schedule(self, timer: api.Timer, delay_ms: int) -> None:
        self._out.append(api.ScheduleTimeout(self._height, 0, timer, delay_ms))
