"""What is true in a simulated network: blocks, who signed what, what is final where."""

from collections.abc import Callable
from dataclasses import dataclass, field

from consensus.messages import Proposal, Vote, VoteKind
from consensus.poa import rotating_proposer
from consensus.rules import ProposerChoice
from consensus.validator_set import ValidatorSet


class Violation(AssertionError):
    """A checker found a promise broken."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block with its body; `valid` is what every honest node's check will say."""

    id: bytes
    parent: bytes
    height: int
    time_ms: int
    valid: bool = True


GENESIS = Block(b"genesis", b"", 0, 1_700_000_000_000)


@dataclass(slots=True)
class World:
    """The checkers' knowledge; no engine sees it."""

    validators: ValidatorSet
    """Who may ever validate; a validator's index is its node's."""
    dishonest: frozenset[int]
    choose: ProposerChoice = rotating_proposer
    """Who proposes, as the engine under test chooses it."""
    set_at: Callable[[int], ValidatorSet] | None = None
    """The sets of the heights, where they change: the first so many of `validators`."""
    blocks: dict[bytes, Block] = field(default_factory=lambda: {GENESIS.id: GENESIS})
    signed: dict[tuple[int, int, int, int], list[tuple[bytes, int]]] = field(default_factory=dict)
    final: dict[int, bytes] = field(default_factory=dict)
    heights: dict[int, int] = field(default_factory=dict)

    def validators_at(self, height: int) -> ValidatorSet:
        """Return who decides a height."""
        return self.validators if self.set_at is None else self.set_at(height)

    def proposer(self, height: int, round_: int) -> int:
        """Return whose turn it is."""
        return self.choose(self.validators_at(height), height, round_)

    def note_signed(self, message: Proposal | Vote) -> list[tuple[bytes, int]]:
        """Remember a signature; return all its signer gave for that height, round and kind."""
        kind = 0 if isinstance(message, Proposal) else int(message.kind)
        pol = message.pol_round if isinstance(message, Proposal) else 0
        key = (message.validator_index, message.height, message.round, kind)
        said = self.signed.setdefault(key, [])
        if (message.block_id, pol) not in said:
            said.append((message.block_id, pol))
        return said

    def precommitted(self, index: int, height: int, round_: int, block_id: bytes) -> bool:
        """Return whether a validator really signed that precommit."""
        key = (index, height, round_, int(VoteKind.PRECOMMIT))
        return (block_id, 0) in self.signed.get(key, [])
