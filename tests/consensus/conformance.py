"""The engines that the conformance suite holds, and the example of one more.

To add an engine, add an `EngineCase`: the suite runs it through whole simulated networks.
"""

from dataclasses import dataclass

from consensus.interface import EngineConfig
from consensus.poa import PoaEngine
from consensus.pos import PosEngine
from consensus.tendermint import TendermintEngine
from consensus.validator_set import ValidatorSet
from tests.sim.node import EngineFactory


def sticky_proposer(validators: ValidatorSet, height: int, round_: int) -> int:
    """Keep a proposer for three heights, as long as its rounds succeed."""
    return (height // 3 + round_) % len(validators)


class StickyEngine(TendermintEngine):
    """The example for who adds an engine: the same core with another proposer choice."""

    def __init__(self, config: EngineConfig, own_id: bytes | None) -> None:
        super().__init__(config, own_id, choose_proposer=sticky_proposer)


@dataclass(frozen=True, slots=True)
class EngineCase:
    """An engine under test."""

    name: str
    """Its name in genesis, or what the suite calls it."""
    factory: EngineFactory
    """Makes an engine from its configuration and the node's validator id."""
    has_certificates: bool = True
    """Whether finality comes with a commit certificate (not by depth)."""


CASES = [
    EngineCase("poa", PoaEngine),
    EngineCase("pos", PosEngine),
    EngineCase("sticky (example)", StickyEngine),
]
