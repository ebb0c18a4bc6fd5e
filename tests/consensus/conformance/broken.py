"""Engines that break one promise each: the suite must catch every one of them."""

from __future__ import annotations

from dataclasses import replace

from consensus import interface as api
from consensus.block_tree import TreeBlock
from consensus.height_state import HeightState
from consensus.poa import PoaEngine
from consensus.pow import PowEngine
from consensus.validator_set import ValidatorSet
from tests.consensus.conformance.cases import RULES
from tests.consensus.conformance.network import Scenario
from tests.consensus.conformance.node import Factory
from tests.consensus.conformance.single_leader import SingleLeaderEngine


class _WeakSet(ValidatorSet):
    __slots__ = ()

    def is_quorum(self, weight: int) -> bool:
        return self.is_honest_part(weight)


class DecidesWithAThird(PoaEngine):
    """Takes a third of the power for a quorum: two halves of a network decide apart."""

    def handle(self, event: api.Input) -> list[api.Output]:
        if isinstance(event, api.Started):
            event = replace(event, validators=_WeakSet(event.validators.members))
        return super().handle(event)


class ChecksNothing(PoaEngine):
    """Takes every block for valid once it is there."""

    def _verdict(self, state: HeightState, block_id: bytes) -> bool | None:
        return None if state.blocks.get(block_id) is None else True


class MinesOnAnything(PowEngine):
    """Takes every block with enough work for valid."""

    def _as_block(self, parent: TreeBlock, event: api.BlockArrived) -> TreeBlock:
        block = super()._as_block(parent, event)
        block.valid = block.asked = True
        return block


class SaysNothingTwice(SingleLeaderEngine):
    """Never repeats what got lost."""

    def handle(self, event: api.Input) -> list[api.Output]:
        if isinstance(event, api.TimeoutFired) and event.timer is api.Timer.RESEND:
            return []
        return super().handle(event)


class ForgetsWhatItSigned(PoaEngine):
    """Begins anew after a crash."""

    def handle(self, event: api.Input) -> list[api.Output]:
        if isinstance(event, api.Started):
            event = replace(event, resume=None)
        return super().handle(event)


class LooksAway(PoaEngine):
    """Reports nobody."""

    def handle(self, event: api.Input) -> list[api.Output]:
        outputs = super().handle(event)
        return [each for each in outputs if not isinstance(each, api.ReportEvidence)]


class SignsBeforeItPersists(PoaEngine):
    """Leaves the sync to luck."""

    def handle(self, event: api.Input) -> list[api.Output]:
        return sorted(super().handle(event), key=lambda each: isinstance(each, api.Persist))


def make_shallow(config: api.EngineConfig, own_id: bytes | None) -> PowEngine:
    """Return proof of work that takes a block for final as soon as one stands on it."""
    return PowEngine(config, own_id, replace(RULES, finality_depth=1))


BROKEN: list[tuple[str, Factory, Scenario]] = [
    ("agreement", DecidesWithAThird, Scenario(1, partitions=True, delay_ms=40)),
    ("agreement", make_shallow, Scenario(1, partitions=True, delay_ms=40)),
    ("validity", ChecksNothing, Scenario(1, liars=frozenset({1}))),
    ("validity", lambda c, i: MinesOnAnything(c, i, RULES), Scenario(1, liars=frozenset({1}))),
    ("liveness", SaysNothingTwice, Scenario(1, loss_percent=30)),
    ("restart", ForgetsWhatItSigned, Scenario(1, crashes=True, loss_percent=20, delay_ms=60)),
    ("restart", SignsBeforeItPersists, Scenario(1)),
    ("evidence", LooksAway, Scenario(1, twin=2, delay_ms=40)),
]
"""The promise, who breaks it, and where it shows."""
