"""The waiting room keeps what arrives for the next height while this one is being finished.

Validators finish a height within milliseconds of one another; without it the first proposal
and votes of each height would often be lost on the slower ones.
"""

from consensus.interface import BlockArrived, ProposalArrived, VoteArrived
from consensus.validator_set import ValidatorSet

_PER_VALIDATOR = 6
_BLOCKS = 8


class WaitingRoom:
    """Early messages (at most six per validator) and blocks (at most eight)."""

    __slots__ = ("_blocks", "_heights", "_messages", "_validators")

    def __init__(self, validators: ValidatorSet) -> None:
        """Start empty; messages were checked against this set."""
        self._validators = validators
        self._messages: dict[int, list[ProposalArrived | VoteArrived]] = {}
        self._blocks: dict[bytes, BlockArrived] = {}
        self._heights = [0] * len(validators)

    def keep_message(self, index: int, message: ProposalArrived | VoteArrived) -> None:
        """Keep a message of validator `index`, unless it has sent too many."""
        messages = self._messages.setdefault(index, [])
        if len(messages) < _PER_VALIDATOR and message not in messages:
            messages.append(message)

    def keep_block(self, block: BlockArrived) -> None:
        """Keep a block; the oldest makes room."""
        self._blocks[block.block_id] = block
        if len(self._blocks) > _BLOCKS:
            del self._blocks[next(iter(self._blocks))]

    def note_height(self, index: int, height: int) -> int:
        """Remember a validator's height; return what more than a third of the power reached."""
        self._heights[index] = max(self._heights[index], height)
        return self._validators.reached_by_honest_part(self._heights)

    def leave(self, validators: ValidatorSet) -> list[BlockArrived | ProposalArrived | VoteArrived]:
        """Return what was kept, blocks first; messages only if the signers did not change."""
        kept: list[BlockArrived | ProposalArrived | VoteArrived] = list(self._blocks.values())
        if validators.has_same_signers(self._validators):
            for index in sorted(self._messages):
                kept.extend(self._messages[index])
        return kept
