"""The common core with a proposer of its own: a whole engine in a function."""

from consensus.interface import EngineConfig
from consensus.tendermint import TendermintEngine
from consensus.validator_set import ValidatorSet


def sticky_proposer(validators: ValidatorSet, height: int, round_: int) -> int:
    """Keep a proposer for three heights, as long as its rounds succeed."""
    return (height // 3 + round_) % len(validators)


class StickyEngine(TendermintEngine):
    """Tendermint whose proposers stay for a while."""

    def __init__(self, config: EngineConfig, own_id: bytes | None) -> None:
        super().__init__(config, own_id, choose_proposer=sticky_proposer)
