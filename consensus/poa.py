"""Proof of authority: Tendermint with a rotating proposer, for sets of equal power."""

from consensus.interface import EngineConfig
from consensus.tendermint import TendermintEngine
from consensus.validator_set import ValidatorSet


def rotating_proposer(validators: ValidatorSet, height: int, round_: int) -> int:
    """Return who proposes: one validator after the other, over heights and rounds alike."""
    return (height + round_) % len(validators)


class PoaEngine(TendermintEngine):
    """The engine `poa`: equal votes, rotating proposer, instant finality."""

    def __init__(self, config: EngineConfig, own_id: bytes | None) -> None:
        """Take the timing and this node's validator id (None: follow without voting)."""
        super().__init__(config, own_id, choose_proposer=rotating_proposer)
