"""The engines that the suite holds: to add one, add a line to `CASES`."""

from __future__ import annotations

from dataclasses import dataclass

from consensus.interface import EngineConfig
from consensus.poa import PoaEngine
from consensus.pos import PosEngine
from consensus.pow import PowEngine
from consensus.work import WorkRules
from tests.consensus.conformance.node import Factory
from tests.consensus.conformance.single_leader import SingleLeaderEngine
from tests.consensus.conformance.sticky import StickyEngine

# Depth is a bet that no partition lasts longer: here it covers all the time that has faults.
RULES = WorkRules(
    target_interval_ms=150, finality_depth=40, initial_difficulty=300, min_difficulty=10
)


def make_pow(config: EngineConfig, own_id: bytes | None) -> PowEngine:
    """Return proof of work at the pace of the suite's networks."""
    return PowEngine(config, own_id, RULES)


@dataclass(frozen=True, slots=True)
class EngineCase:
    """An engine under test, and what may be asked of it."""

    name: str
    """Its name in genesis, or what the suite calls it."""
    make: Factory
    """Makes an engine from its configuration and the node's validator id."""
    powers: tuple[int, ...] = (1, 1, 1, 1)
    """The validators' powers; validators 1 and 2 each have less than a third."""
    has_certificates: bool = True
    """Whether decisions come with a commit certificate; else they are final by depth."""
    has_evidence: bool = True
    """Whether who contradicts itself is reported."""
    heights: int = 40
    """How many heights a quiet network decides at least."""


CASES = [
    EngineCase("poa", PoaEngine),
    EngineCase("pos", PosEngine, powers=(1, 2, 1, 3)),
    EngineCase("pow", make_pow, has_certificates=False, has_evidence=False, heights=12),
    EngineCase("sticky", StickyEngine),
    EngineCase("single leader (example)", SingleLeaderEngine, has_evidence=False),
]
