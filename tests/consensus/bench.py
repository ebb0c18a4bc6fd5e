"""A test bench: one engine, with short ways to feed it and to read what it wants done."""

from consensus import interface as api
from consensus.messages import NIL, NO_ROUND, Proposal, SigningState, Validator, Vote, VoteKind
from consensus.poa import PoaEngine
from consensus.validator_set import ValidatorSet

T0 = 1_700_000_000_000
CONFIG = api.EngineConfig(heartbeat_ms=10_000)
FOUR = ValidatorSet(Validator(b"v%d" % i, 1) for i in range(4))
PREVOTE, PRECOMMIT = VoteKind.PREVOTE, VoteKind.PRECOMMIT


class Bench:
    """Validator `me` of four at height 4, whose round r is proposed by validator r mod 4."""

    HEIGHT = 4

    def __init__(
        self,
        me: int | None = 3,
        *,
        resume: SigningState | None = None,
        config: api.EngineConfig = CONFIG,
        start: bool = True,
    ) -> None:
        self.me = me
        self.engine = PoaEngine(config, None if me is None else b"v%d" % me)
        self.out: list[api.Output] = []
        self.feed(api.Started(self.HEIGHT, FOUR, b"parent", T0, T0 + 1_000, resume))
        if start:
            self.feed(api.WorkAvailable(T0 + 1_000))

    def feed(self, event: api.Input) -> list[api.Output]:
        """Feed an input; sign what is to be signed, and return all outputs."""
        self.out = []
        queue = [event]
        while queue:
            for output in self.engine.handle(queue.pop(0)):
                self.out.append(output)
                if isinstance(output, api.SignVote):
                    queue.append(api.VoteArrived(_signed(output.vote)))
                elif isinstance(output, api.SignProposal):
                    queue.append(api.ProposalArrived(_signed(output.proposal), T0 + 1_000))
        return self.out

    def vote(self, kind: VoteKind, block_id: bytes, *voters: int, round_: int = 0) -> None:
        """Votes arrive; `out` holds the outputs of all of them."""
        total: list[api.Output] = []
        for voter in voters:
            vote = Vote(kind, self.HEIGHT, round_, block_id, voter, b"s%d" % voter)
            total += self.feed(api.VoteArrived(vote))
        self.out = total

    def block(
        self,
        block_id: bytes,
        *,
        valid: bool = True,
        time_ms: int = T0 + 900,
        parent: bytes = b"parent",
        check: bool = True,
    ) -> None:
        """A block arrives, and is checked when the engine asks."""
        self.feed(api.BlockArrived(block_id, parent, self.HEIGHT, time_ms, T0 + 1_000))
        if check and api.CheckBlock(block_id) in self.out:
            self.feed(api.BlockChecked(block_id, valid))

    def propose(
        self,
        block_id: bytes,
        *,
        round_: int = 0,
        pol: int = NO_ROUND,
        valid: bool = True,
        by: int | None = None,
        body: bool = True,
        time_ms: int = T0 + 900,
    ) -> None:
        """A proposal arrives with its block, which is checked when the engine asks."""
        if body:
            self.block(block_id, time_ms=time_ms, valid=valid)
        index = round_ % 4 if by is None else by
        proposal = Proposal(self.HEIGHT, round_, block_id, pol, index, b"s%d" % index)
        out = self.feed(api.ProposalArrived(proposal, T0 + 1_000))
        if api.CheckBlock(block_id) in out:
            self.out = out + self.feed(api.BlockChecked(block_id, valid))

    def timeout(self, timer: api.Timer, round_: int = 0) -> None:
        """A timer runs out."""
        self.feed(api.TimeoutFired(self.HEIGHT, round_, timer))

    def to_round(self, round_: int) -> None:
        """Two others are seen in a later round."""
        for voter in (1, 2):
            self.vote(PRECOMMIT, NIL, voter, round_=round_)

    def signed(self) -> list[tuple[VoteKind, int, bytes]]:
        """The votes that the last input had signed: kind, round, block."""
        votes = [out.vote for out in self.out if isinstance(out, api.SignVote)]
        return [(vote.kind, vote.round, vote.block_id) for vote in votes]

    def timers(self) -> list[tuple[api.Timer, int, int]]:
        """The timers that the last input set: timer, round, delay."""
        return [
            (out.timer, out.round, out.delay_ms)
            for out in self.out
            if isinstance(out, api.ScheduleTimeout)
        ]

    def of(self, kind: type) -> list:
        """The last outputs of a kind."""
        return [out for out in self.out if isinstance(out, kind)]

    @property
    def round(self) -> int:
        """The current round."""
        return self.engine.view().round


def _signed(message):
    from dataclasses import replace

    return replace(message, signature=b"s%d" % message.validator_index)
