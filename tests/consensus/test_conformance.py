"""What every engine must do, whatever its rule, and proof that the suite would notice.

Each case runs through whole networks in virtual time: quiet ones, all faults at once, liars, one
key in two places, crashes. What it must hold: agreement, validity, liveness after healing,
evidence where the engine has it, restart without contradiction, the interface's contract.
"""

from dataclasses import FrozenInstanceError, replace
from itertools import count

import pytest

from consensus import interface as api
from consensus.messages import EngineMisuse, Validator
from consensus.validator_set import ValidatorSet
from tests.consensus.conformance.broken import BROKEN
from tests.consensus.conformance.cases import CASES, EngineCase
from tests.consensus.conformance.network import (
    CONFIG,
    HEIGHTS_AFTER_HEALING,
    Network,
    Scenario,
)
from tests.consensus.conformance.node import Factory
from tests.consensus.conformance.world import Violation, World

each_engine = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
TWIN = 2
LIAR = 1


def run(scenario: Scenario, make: Factory) -> World:
    """Run a network; a twin that was noticed by nobody is a broken promise too."""
    world = Network(scenario, make).run()
    for name in ("agreement", "validity"):
        assert world.looks[name] > 0, f"{name} was never looked at"
    return world


def rough(case: EngineCase, seed: int) -> Scenario:
    """Return a network with every fault of messages."""
    return Scenario(
        seed,
        powers=case.powers,
        loss_percent=25,
        duplicate_percent=20,
        delay_ms=60,
        partitions=True,
    )


@each_engine
def test_a_quiet_network_decides_at_its_pace(case: EngineCase) -> None:
    world = run(Scenario(0, powers=case.powers), case.make)
    assert len(world.final) > case.heights


@each_engine
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_safe_and_live_under_loss_and_partitions(case: EngineCase, seed: int) -> None:
    run(rough(case, seed), case.make)


@each_engine
@pytest.mark.parametrize("seed", [4, 5, 6])
def test_restarts_contradict_nothing(case: EngineCase, seed: int) -> None:
    network = Network(replace(rough(case, seed), crashes=True), case.make)
    world = network.run()
    assert network.crashes > 3
    assert world.looks.get("restart", 0) > 0 or not case.has_certificates


@pytest.mark.parametrize("case", CASES[:2], ids=lambda case: case.name)
def test_a_quorum_that_returns_after_an_hour_decides_within_ten_seconds(
    case: EngineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the timeouts that networks have if genesis says nothing of them."""
    usual = api.EngineConfig(heartbeat_ms=CONFIG.heartbeat_ms)
    monkeypatch.setattr("tests.consensus.conformance.network.CONFIG", usual)
    network = Network(Scenario(9, powers=case.powers), case.make)
    for node in network.nodes.values():
        node.start()
    network.run_until(5_000)
    network._side = {0: 0, 1: 0, 2: 1, 3: 1}
    network.run_until(10_000)
    heights = {place: len(node.disk.chain) for place, node in network.nodes.items()}
    network.run_until(3_610_000)
    assert heights == {place: len(node.disk.chain) for place, node in network.nodes.items()}
    network._heal()
    network.run_until(network.now_ms + 10_000)
    for place, node in network.nodes.items():
        assert len(node.disk.chain) > heights[place]


@each_engine
@pytest.mark.parametrize("seed", [7, 8])
def test_invalid_blocks_are_never_decided(case: EngineCase, seed: int) -> None:
    world = run(replace(rough(case, seed), liars=frozenset({LIAR})), case.make)
    built = [block for block in world.blocks.values() if not block.valid]
    assert built or case.name.startswith("single leader")


@each_engine
def test_one_key_in_two_places_changes_nothing_and_is_reported(case: EngineCase) -> None:
    reported = 0
    for seed in range(3):
        world = run(Scenario(seed, powers=case.powers, twin=TWIN, delay_ms=40), case.make)
        reported += TWIN in world.reported
    assert reported == (3 if case.has_evidence else 0)


@each_engine
def test_a_single_validator_decides_alone(case: EngineCase) -> None:
    assert len(run(Scenario(0, powers=(1,)), case.make).final) > HEIGHTS_AFTER_HEALING


@each_engine
def test_a_decision_has_a_certificate_or_depth(case: EngineCase) -> None:
    network = Network(Scenario(0, powers=case.powers), case.make)
    network.run()
    for node in network.nodes.values():
        for block, certificate in node.disk.chain:
            assert (certificate is not None) == case.has_certificates
            if certificate is not None:
                assert (certificate.height, certificate.block_id) == (block.height, block.id)
                assert network.world.is_signed(certificate)


@each_engine
def test_the_same_inputs_give_the_same_outputs(case: EngineCase) -> None:
    inputs: list[api.Input] = []
    outputs: list[list[api.Output]] = []
    made = count()

    class Recorder:
        """Remembers what went into the first engine and what came out."""

        def __init__(self, config: api.EngineConfig, own_id: bytes | None) -> None:
            self.engine = case.make(config, own_id)
            self.number = next(made)

        def handle(self, event: api.Input) -> list[api.Output]:
            found = self.engine.handle(event)
            if self.number == 0:
                inputs.append(event)
                outputs.append(list(found))
            return found

        def view(self) -> api.EngineView:
            return self.engine.view()

    run(rough(case, 9), Recorder)
    again = case.make(CONFIG, b"v0")
    assert [again.handle(event) for event in inputs] == outputs
    assert sum(len(each) for each in outputs) > 100


@each_engine
def test_an_engine_wants_to_be_started_first_and_once_per_height(case: EngineCase) -> None:
    engine = case.make(CONFIG, None)
    assert engine.view().height == 0
    with pytest.raises(EngineMisuse):
        engine.handle(api.WorkAvailable(0))
    started = api.Started(1, ValidatorSet([Validator(b"a", 1)]), bytes(32), 0, 1)
    engine.handle(started)
    assert engine.view().height == 1
    with pytest.raises(EngineMisuse):
        engine.handle(started)


def test_a_second_miner_raises_the_difficulty() -> None:
    case = next(each for each in CASES if each.name == "pow")
    network = Network(Scenario(1, powers=(1, 1)), case.make)
    first, second = network.nodes.values()

    def mean_difficulty(until_ms: int) -> float:
        """Run on, and return the mean difficulty over the last half of the time."""
        half_ms, seen = (network.now_ms + until_ms) // 2, []
        network.run_until(half_ms)
        while network.now_ms < until_ms:
            network.run_until(network.now_ms + 100)
            seen.append(first.engine.work_view().difficulty)
        return sum(seen) / len(seen)

    second._factory = lambda config, _: case.make(config, None)
    first.start()
    second.start()
    alone = mean_difficulty(40_000)
    second.crash()
    second._factory = case.make
    second.start()
    both = mean_difficulty(80_000)
    assert 1.6 * alone < both < 2.5 * alone
    assert first.engine.work_view().tip_height == pytest.approx(80_000 / 150, rel=0.25)


def test_inputs_and_outputs_are_frozen_and_slotted() -> None:
    for kind in (*api.Input.__args__, *api.Output.__args__):
        assert "__slots__" in vars(kind) and kind.__dataclass_params__.frozen, kind
    with pytest.raises(FrozenInstanceError):
        api.WorkAvailable(1).local_time_ms = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("promise", "make", "scenario"),
    BROKEN,
    ids=[f"{promise}-{place}" for place, (promise, _, _) in enumerate(BROKEN)],
)
def test_the_suite_catches_broken_engines(promise: str, make: Factory, scenario: Scenario) -> None:
    with pytest.raises((Violation, AssertionError), match=f"^{promise}"):
        for seed in range(1, 6):
            world = Network(replace(scenario, seed=seed), make).run()
            if scenario.twin is not None and scenario.twin not in world.reported:
                raise Violation("evidence: nobody reported the twin")
