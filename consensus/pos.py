"""Proof of stake: Tendermint with unequal powers, whose proposers take turns by power."""

from typing import Final

from consensus.interface import EngineConfig
from consensus.messages import EngineMisuse
from consensus.tendermint import TendermintEngine
from consensus.validator_set import ValidatorSet

TURN_BITS: Final = 128
GOLDEN_STEP: Final = 0x9E3779B97F4A7C15F39CC0605CEDC835
"""The golden ratio less 1, times 2^128, rounded up to an odd integer."""


def weighted_proposer(validators: ValidatorSet, height: int, round_: int) -> int:
    """Return who proposes: a validator with a share s of the power in a share s of all turns.

    A pure function of its arguments, which anybody who knows the set can compute. Turn
    `height + round` is the point (turn × GOLDEN_STEP mod 2^128) / 2^128 of [0, 1). The validators
    divide [0, 1) in their order, each by its power; who has the point proposes. No other multiples
    spread as evenly as those of the golden ratio: among any run of turns everybody has its share
    but for a few, and nobody waits much longer than for 2.7 / s turns.
    """
    turn = (height + round_) * GOLDEN_STEP & ((1 << TURN_BITS) - 1)
    place = turn * validators.total_power >> TURN_BITS
    for index, member in enumerate(validators.members):
        place -= member.power
        if place < 0:
            return index
    raise EngineMisuse("the powers of a validator set sum up to less than its total")


class PosEngine(TendermintEngine):
    """The engine `pos`: votes weigh by stake, proposers take turns by it, instant finality."""

    def __init__(self, config: EngineConfig, own_id: bytes | None) -> None:
        """Take the timing and this node's validator id (None: follow without voting)."""
        super().__init__(config, own_id, choose_proposer=weighted_proposer)
