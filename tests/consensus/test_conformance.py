"""What every engine must do, whatever its rule: the conformance suite.

Scenarios: a quiet network, every fault at once, two-faced validators, crashes and restarts,
evidence, followers, an engine that has not started, the same inputs twice, foreign inputs.
"""

from dataclasses import FrozenInstanceError, replace
from typing import ClassVar

import pytest

from consensus import interface as api
from consensus.messages import EngineMisuse, Validator
from consensus.validator_set import ValidatorSet
from tests.consensus.conformance import CASES, EngineCase
from tests.sim.simulator import CONFIG, Scenario, Simulation

each_engine = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

QUIET = Scenario(
    seed=0,
    powers=(1, 1, 1, 1),
    followers=1,
    dishonest=frozenset(),
    loss_percent=0,
    duplicate_percent=0,
    delay_ms=5,
    partitions=False,
    crashes=False,
    offsets_ms=(0, 0, 0, 0, 0),
    idle=False,
    ambush=False,
    stubborn=False,
    absent=None,
)
ROUGH = replace(QUIET, loss_percent=30, duplicate_percent=20, delay_ms=60, partitions=True)


class Recorder:
    """Wraps an engine and remembers what went in and came out."""

    made: ClassVar[list["Recorder"]] = []

    def __init__(self, engine: api.Engine) -> None:
        self.engine = engine
        self.inputs: list[api.Input] = []
        self.outputs: list[list[api.Output]] = []
        Recorder.made.append(self)

    def handle(self, event: api.Input) -> list[api.Output]:
        self.inputs.append(event)
        self.outputs.append(self.engine.handle(event))
        return list(self.outputs[-1])

    def view(self) -> api.EngineView:
        return self.engine.view()


@each_engine
def test_a_quiet_network_makes_a_block_each_interval(case: EngineCase) -> None:
    result = Simulation(QUIET, case.factory).run()
    assert result.heights > 100 and result.looks["agreement"] >= 5 * 100


@each_engine
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_safe_and_live_under_loss_and_partitions(case: EngineCase, seed: int) -> None:
    assert Simulation(replace(ROUGH, seed=seed), case.factory).run().heights >= 10


@each_engine
@pytest.mark.parametrize("seed", [4, 5, 6])
def test_safe_and_live_through_crashes(case: EngineCase, seed: int) -> None:
    result = Simulation(replace(ROUGH, seed=seed, crashes=True, ambush=True), case.factory).run()
    assert result.crashes > 3 and result.heights >= 10


@each_engine
def test_a_two_faced_validator_changes_nothing_and_is_reported(case: EngineCase) -> None:
    reports = 0
    for seed in range(3):
        scenario = replace(QUIET, seed=seed, dishonest=frozenset({2}))
        result = Simulation(scenario, case.factory).run()
        assert result.heights >= 10
        reports += result.looks.get("evidence", 0)
    assert reports > 0


@each_engine
def test_the_same_inputs_give_the_same_outputs(case: EngineCase) -> None:
    Recorder.made.clear()

    def recorded(config: api.EngineConfig, own_id: bytes | None) -> api.Engine:
        return Recorder(case.factory(config, own_id))

    Simulation(replace(ROUGH, seed=9), recorded).run()
    first = next(recorder for recorder in Recorder.made if recorder.inputs)
    again = case.factory(CONFIG, b"v0")
    assert [again.handle(event) for event in first.inputs] == first.outputs
    assert sum(len(outputs) for outputs in first.outputs) > 100


@each_engine
def test_an_engine_wants_to_be_started_first_and_once_per_height(case: EngineCase) -> None:
    engine = case.factory(CONFIG, None)
    with pytest.raises(EngineMisuse):
        engine.handle(api.WorkAvailable(0))
    started = api.Started(1, ValidatorSet([Validator(b"a", 1)]), b"genesis", 0, 1)
    engine.handle(started)
    with pytest.raises(EngineMisuse):
        engine.handle(started)


@each_engine
def test_a_single_validator_decides_alone(case: EngineCase) -> None:
    scenario = replace(QUIET, powers=(1,), offsets_ms=(0, 0))
    assert Simulation(scenario, case.factory).run().heights > 100


@each_engine
def test_certificates_come_with_every_decision(case: EngineCase) -> None:
    result = Simulation(QUIET, case.factory).run()
    assert not case.has_certificates or result.looks["certificates"] >= result.heights


def test_inputs_and_outputs_are_frozen_and_slotted() -> None:
    for kind in (*api.Input.__args__, *api.Output.__args__):
        assert "__slots__" in vars(kind) and kind.__dataclass_params__.frozen, kind
    with pytest.raises(FrozenInstanceError):
        api.WorkAvailable(1).local_time_ms = 2  # type: ignore[misc]
