"""Planted faults: engines and nodes with one thing wrong each; the checkers must catch them all.

They exist in the tests alone. `MUTANTS` maps a name to the fault and to the checks that may
catch it; a mutant that no check catches means that a checker is blind.
"""

import os
from dataclasses import dataclass, replace

from consensus import interface as api
from consensus.height_state import HeightState
from consensus.messages import NIL, NO_ROUND, Evidence, EvidenceKind, Vote
from consensus.poa import PoaEngine
from consensus.validator_set import ValidatorSet
from consensus.vote_keeper import VoteKeeper
from tests.sim.node import Disk, EngineFactory, Node


class _LowQuorum(ValidatorSet):
    """A quorum is one vote short."""

    __slots__ = ()

    def is_quorum(self, weight: int) -> bool:
        return (weight + 1) * 3 > self.total_power * 2


class _Eager(ValidatorSet):
    """A third is a quorum."""

    __slots__ = ()

    def is_quorum(self, weight: int) -> bool:
        return self.is_honest_part(weight)


class QuorumOffByOne(PoaEngine):
    """Decides with one vote too few."""

    set_type: type[ValidatorSet] = _LowQuorum

    def handle(self, event: api.Input) -> list[api.Output]:
        if isinstance(event, api.Started):
            event = replace(event, validators=self.set_type(event.validators.members))
        return super().handle(event)


class QuorumOfAThird(QuorumOffByOne):
    """Decides with a third."""

    set_type = _Eager


class LockForgotten(PoaEngine):
    """Never locks (lines 38 and 39 left out)."""

    def _lock(self, state: HeightState, block_id: bytes) -> None:
        pass


class _CountsTwice(VoteKeeper):
    __slots__ = ()

    def add(self, vote: Vote, *, current_round: int) -> tuple[bool, Evidence | None]:
        new, evidence = super().add(vote, current_round=current_round)
        if not new:
            tally = self.tally(vote.kind, vote.round)
            power = self._validators.power_of(vote.validator_index)
            tally.weights[vote.block_id] = tally.weights.get(vote.block_id, 0) + power
            tally.weight_any += power
        return True, evidence


class VoteCountedTwice(PoaEngine):
    """A vote that arrives twice weighs twice."""

    def _on_started(self, event: api.Started) -> None:
        super()._on_started(event)
        if self._state is not None:
            ahead = self._config.rounds_ahead
            self._state.votes = _CountsTwice(event.validators, rounds_ahead=ahead)


class PersistSkipped(PoaEngine):
    """Signs without writing first."""

    def handle(self, event: api.Input) -> list[api.Output]:
        return [out for out in super().handle(event) if not isinstance(out, api.Persist)]


class PersistLate(PoaEngine):
    """Writes after it signed."""

    def handle(self, event: api.Input) -> list[api.Output]:
        return sorted(super().handle(event), key=lambda out: isinstance(out, api.Persist))


class ResumeIgnored(PoaEngine):
    """Begins anew after a crash."""

    def handle(self, event: api.Input) -> list[api.Output]:
        if isinstance(event, api.Started):
            event = replace(event, resume=None)
        return super().handle(event)


class LockNotPersisted(PoaEngine):
    """Writes what it signed, but not its lock."""

    def handle(self, event: api.Input) -> list[api.Output]:
        return [
            api.Persist(
                replace(
                    out.state,
                    locked_round=NO_ROUND,
                    locked_block=NIL,
                    valid_round=NO_ROUND,
                    valid_block=NIL,
                    valid_proof=(),
                )
            )
            if isinstance(out, api.Persist)
            else out
            for out in super().handle(event)
        ]


class ProofNotKept(PoaEngine):
    """Writes its lock without the votes that justify it."""

    def handle(self, event: api.Input) -> list[api.Output]:
        return [
            api.Persist(replace(out.state, valid_proof=())) if isinstance(out, api.Persist) else out
            for out in super().handle(event)
        ]


class BlockUnchecked(PoaEngine):
    """Takes every block for valid."""

    def _verdict(self, state: HeightState, block_id: bytes) -> bool | None:
        entry = state.blocks.get(block_id)
        return None if entry is None else True


class ResendOmitted(PoaEngine):
    """Says everything once."""

    def handle(self, event: api.Input) -> list[api.Output]:
        outputs = super().handle(event)
        return [
            out
            for out in outputs
            if not (isinstance(out, api.ScheduleTimeout) and out.timer is api.Timer.RESEND)
        ]


class RoundsNotSkipped(PoaEngine):
    """Never follows others to a later round (lines 55 and 56 left out)."""

    def _rule_skip_round(self, state: HeightState) -> bool:
        return False


class HonestAccused(PoaEngine):
    """Reports a repeated vote as evidence."""

    def handle(self, event: api.Input) -> list[api.Output]:
        outputs = super().handle(event)
        if isinstance(event, api.VoteArrived) and event.vote.round > 0:
            kind = EvidenceKind.DOUBLE_PREVOTE
            outputs.append(api.ReportEvidence(Evidence(kind, event.vote, event.vote)))
        return outputs


class MemoryUnbounded(PoaEngine):
    """Keeps every later round's votes."""

    def _on_started(self, event: api.Started) -> None:
        super()._on_started(event)
        if self._state is not None:
            self._state.votes = _Hoarder(event.validators, rounds_ahead=10**9)


class _Hoarder(VoteKeeper):
    __slots__ = ()

    def add(self, vote: Vote, *, current_round: int) -> tuple[bool, Evidence | None]:
        for step in range(40):
            super().add(replace(vote, round=vote.round + 3 + step), current_round=current_round)
        self._seen[vote.validator_index] = vote.round
        return super().add(vote, current_round=current_round)


class Entropy(PoaEngine):
    """Draws from the operating system: only a replay of the same seed shows it."""

    def _schedule(self, state: HeightState, timer: api.Timer, delay_ms: int) -> None:
        super()._schedule(state, timer, delay_ms + os.urandom(1)[0] % 8)


class ChainNotSynced(Node):
    """A node that loses its last final block in a crash."""

    def crash(self) -> None:
        super().crash()
        self.disk.chain = self.disk.chain[:-1]


class SigningStateLost(Node):
    """A node that loses its signing state in a crash."""

    def crash(self) -> None:
        super().crash()
        self.disk = Disk(chain=self.disk.chain)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A planted fault and what may catch it."""

    caught_by: tuple[str, ...]
    factory: EngineFactory = PoaEngine
    node_type: type[Node] = Node
    try_first: tuple[int, ...] = ()
    """Seeds known to show it; the search goes on with all others if they no longer do."""


_SAFETY = ("agreement", "validity", "certificates")
_SIGNING = ("no double sign", "succession", "persist before sign")

MUTANTS = {
    "quorum-off-by-one": Mutant(_SAFETY, QuorumOffByOne),
    "quorum-of-a-third": Mutant(_SAFETY, QuorumOfAThird),
    "lock-forgotten": Mutant(("agreement",), LockForgotten, try_first=(21,)),
    "vote-counted-twice": Mutant(_SAFETY, VoteCountedTwice),
    "persist-skipped": Mutant(_SIGNING, PersistSkipped),
    "persist-late": Mutant(_SIGNING, PersistLate),
    "resume-ignored": Mutant(_SIGNING, ResumeIgnored),
    "lock-not-persisted": Mutant(("agreement",), LockNotPersisted, try_first=(24,)),
    "proof-not-kept": Mutant(("progress",), ProofNotKept, try_first=(39,)),
    "block-unchecked": Mutant(("validity",), BlockUnchecked, try_first=(11, 80)),
    "resend-omitted": Mutant(("progress",), ResendOmitted),
    "rounds-not-skipped": Mutant(("progress",), RoundsNotSkipped, try_first=(64,)),
    "honest-accused": Mutant(("evidence",), HonestAccused),
    "memory-unbounded": Mutant(("memory",), MemoryUnbounded),
    "chain-not-synced": Mutant(("heights", *_SIGNING), node_type=ChainNotSynced),
    "signing-state-lost": Mutant(_SIGNING, node_type=SigningStateLost),
}
