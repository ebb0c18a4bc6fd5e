"""What is true in a simulated network, and the checkers that hold engines to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus import interface as api
from consensus.messages import (
    CommitCertificate,
    Proposal,
    SigningState,
    Vote,
    check_succession,
    covers,
)
from consensus.validator_set import ValidatorSet


class Violation(AssertionError):
    """An engine broke a promise; the message begins with the promise's name."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block as the network knows it."""

    id: bytes
    parent: bytes
    height: int
    time_ms: int
    work: int = 0
    valid: bool = True


GENESIS = Block(bytes(32), b"", 0, 1_000_000)


@dataclass(slots=True)
class World:
    """All blocks and signatures there are, and what became final where."""

    validators: ValidatorSet
    dishonest: frozenset[int]
    """Validators whose nodes lie."""
    blocks: dict[bytes, Block] = field(default_factory=lambda: {GENESIS.id: GENESIS})
    final: dict[int, bytes] = field(default_factory=lambda: {0: GENESIS.id})
    signed: dict[tuple[object, ...], bytes] = field(default_factory=dict)
    reported: set[int] = field(default_factory=set)
    looks: dict[str, int] = field(default_factory=dict)

    def look(self, name: str) -> None:
        """Count that a checker looked at something: one that never does proves nothing."""
        self.looks[name] = self.looks.get(name, 0) + 1

    def check_persist(self, old: SigningState | None, new: SigningState) -> None:
        """What may be signed only goes forward."""
        self.look("restart")
        if findings := check_succession(old, new):
            raise Violation(f"restart: {findings}")

    def check_signature(
        self, node: int, state: SigningState | None, message: Vote | Proposal
    ) -> None:
        """What is signed was synced before, is said as oneself, and contradicts nothing."""
        self.look("restart")
        if state is None or not covers(state, message):
            raise Violation(f"restart: node {node} signs {message} over {state}")
        if message.validator_index != node:
            raise Violation(f"restart: node {node} signs as {message.validator_index}")
        kind = message.kind if isinstance(message, Vote) else "proposal"
        key = (node, kind, message.height, message.round)
        if self.signed.setdefault(key, message.block_id) != message.block_id:
            raise Violation(f"restart: node {node} signs {message} and something else")

    def check_final(self, node: int, output: api.Finalised, parent: bytes) -> None:
        """All honest nodes decide the same valid blocks, one on the other."""
        self.look("agreement")
        if self.final.setdefault(output.height, output.block_id) != output.block_id:
            other = self.final[output.height]
            raise Violation(
                f"agreement: node {node}, height {output.height}: {output.block_id!r}, {other!r}"
            )
        self.look("validity")
        block = self.blocks.get(output.block_id)
        if (
            block is None
            or not block.valid
            or (block.parent, block.height)
            != (
                parent,
                output.height,
            )
        ):
            raise Violation(f"validity: node {node} finalises {block} on {parent!r}")

    def check_evidence(self, node: int, output: api.ReportEvidence) -> None:
        """Only who lies is accused."""
        self.look("evidence")
        first, second = output.evidence.first, output.evidence.second
        accused = first.validator_index
        if second.validator_index != accused or first.block_id == second.block_id:
            raise Violation(
                f"evidence: node {node} reports {output.evidence}, which proves nothing"
            )
        if accused not in self.dishonest:
            raise Violation(f"evidence: node {node} accuses the honest validator {accused}")
        self.reported.add(accused)

    def is_signed(self, message: Vote | Proposal | CommitCertificate) -> bool:
        """Tell whether the signatures are good, as the driver checks them."""
        if isinstance(message, CommitCertificate):
            return all(
                signature == b"%d" % index and 0 <= index < len(self.validators)
                for index, signature in message.signatures
            )
        return message.signature == b"%d" % message.validator_index
