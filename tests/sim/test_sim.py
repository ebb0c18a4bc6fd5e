"""Networks of real engines under faults: promises held, planted faults caught, seeds replayed.

Scenarios: loss to 40 %, duplication, reordering, shifting and one-way partitions, crashes
between any two outputs, all nodes but one at once, clocks off by minutes, two-faced validators,
a network that aims (silences who decides first, blinds the next proposer), rounds that drift
apart, a validator that never comes back, idle stretches, nodes that only follow.
"""

import os
from dataclasses import replace

import pytest

from consensus.poa import PoaEngine
from tests.sim import campaign, canaries, coverage
from tests.sim.mutants import MUTANTS, Entropy
from tests.sim.simulator import Result, Scenario, Simulation, simulate, simulate_staked
from tests.sim.world import Violation

pytestmark = pytest.mark.simulation

SEEDS = int(os.environ.get("BITENERGY_SIM_SEEDS", "36"))
PARTS = 6
CHECKS = {
    "succession",
    "syncs",
    "persist before sign",
    "no double sign",
    "agreement",
    "validity",
    "heights",
    "certificates",
    "memory",
}


@pytest.mark.parametrize("part", range(PARTS))
def test_all_promises_hold_for_every_seed(part: int) -> None:
    seeds = range(part, max(SEEDS, PARTS), PARTS)
    results = {seed: simulate(seed) for seed in seeds}
    looked: set[str] = set()
    for result in results.values():
        assert result.heights >= 10
        looked |= set(result.looks)
    assert looked >= CHECKS, "a checker looked at nothing"
    assert sum(result.heights for result in results.values()) > 10 * len(seeds)


@pytest.mark.parametrize("part", range(2))
def test_all_promises_hold_under_stakes_that_change(part: int) -> None:
    for seed in range(part, max(SEEDS // 3, 2), 2):
        scenario = Scenario.draw_staked(seed)
        sets = {scenario.powers_at(height) for height in range(1, 60)}
        assert len(sets) > 5 and all(scenario.is_tolerable(powers) for powers in sets)
        assert simulate_staked(seed).heights >= 10


def test_the_default_seeds_take_every_kind_of_fault() -> None:
    scenarios = [Scenario.draw(seed) for seed in range(60)]
    assert any(s.dishonest for s in scenarios) and any(not s.dishonest for s in scenarios)
    assert max(s.loss_percent for s in scenarios) == 40
    for name in ("partitions", "crashes", "idle", "ambush", "stubborn", "followers"):
        assert sum(bool(getattr(s, name)) for s in scenarios) >= 5, name
    assert any(abs(offset) > 60_000 for s in scenarios for offset in s.offsets_ms)
    assert any(s.absent is not None for s in scenarios)
    assert any(len(set(s.powers)) > 1 for s in scenarios)


def test_no_more_than_a_third_is_faulty_and_who_forgets_is() -> None:
    scenarios = [Scenario.draw(seed) for seed in range(400)]
    assert all(s.is_tolerable(s.powers) for s in scenarios)
    forgetful = [s for s in scenarios if s.forgetful is not None]
    assert len(forgetful) >= 5
    for scenario in forgetful:
        assert scenario.faulty == {scenario.forgetful}
    for seed in (171, 177, 224):  # in which all validators forgot what was decided
        assert simulate(seed).heights >= 10


@pytest.mark.parametrize("seed", [1, 4, 26])
def test_a_seed_replays_to_the_identical_trace(seed: int) -> None:
    assert simulate(seed).trace == simulate(seed).trace


def test_a_replay_shows_an_engine_that_draws_entropy() -> None:
    assert simulate(1, Entropy).trace != simulate(1, Entropy).trace


def test_different_seeds_differ() -> None:
    assert len({simulate(seed).trace for seed in (2, 3, 6)}) == 3


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_planted_fault_is_caught(name: str) -> None:
    found = canaries.search(("engine", name))
    assert found.is_caught, found


def test_the_run_of_canaries_fails_where_one_is_not_caught(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = ["--jobs", "1", "--name", "persist-skipped"]
    assert canaries.main(one) == 0
    assert "caught by seed 0, 1 of 1: persist before sign" in capsys.readouterr().out
    mutant = MUTANTS["persist-skipped"]
    monkeypatch.setitem(MUTANTS, "persist-skipped", replace(mutant, factory=PoaEngine))
    monkeypatch.setitem(canaries.MOST_SEEDS, "engine", 2)
    assert canaries.main(one) == 1
    assert "NOT CAUGHT by 2 seeds" in capsys.readouterr().out
    monkeypatch.setitem(MUTANTS, "persist-skipped", replace(mutant, caught_by=("agreement",)))
    assert canaries.main(one) == 1
    assert "BROKE WHAT IT DOES NOT NAME: seed 0" in capsys.readouterr().out
    monkeypatch.setattr(canaries, "breaks", lambda name, seed: "persist _x.<locals>.mutant()")
    monkeypatch.setitem(MUTANTS, "persist-skipped", replace(mutant, caught_by=("persist",)))
    assert not canaries.search(("engine", "persist-skipped")).is_caught


def test_a_network_without_quorum_finalises_nothing_and_fails_the_run() -> None:
    class Mute(PoaEngine):
        """Says nothing."""

        def handle(self, event):
            super().handle(event)
            return []

    with pytest.raises(Violation, match="progress"):
        simulate(0, Mute)


def test_a_quiet_network_syncs_at_most_three_times_a_height_before_the_commit() -> None:
    quiet = replace(
        Scenario.draw(0),
        powers=(1, 1, 1, 1),
        dishonest=frozenset(),
        followers=0,
        loss_percent=0,
        duplicate_percent=0,
        delay_ms=5,
        partitions=False,
        crashes=False,
        offsets_ms=(0, 0, 0, 0),
        idle=False,
        ambush=False,
        stubborn=False,
        absent=None,
    )
    simulation = Simulation(quiet)
    result: Result = simulation.run()
    assert result.heights > 100
    syncs = simulation.checkers.syncs_per_height()
    assert 0 < max(syncs) <= 2  # and the block's commit is the third


def test_the_campaign_reports_failing_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    engines = ["--seeds", "2", "--jobs", "1", "--kind", "engine"]
    assert campaign.main(engines) == 0
    assert campaign.main([*engines, "--plant", "persist-skipped"]) == 1
    printed = capsys.readouterr().out
    assert "seed 0" in printed and "persist before sign" in printed


def test_a_campaign_of_nothing_is_refused() -> None:
    for command in (campaign, coverage):
        with pytest.raises(SystemExit):
            command.main(["--seeds", "0"])


def test_coverage_names_the_lines_that_no_seed_took() -> None:
    everything = sum(len(coverage.lines_of(path)) for path in coverage.ENGINE_FILES)
    taken, failure = coverage.trace_seed(("engine", 2), files=coverage.ENGINE_FILES)
    missed = coverage.missed_lines(taken, coverage.ENGINE_FILES)
    assert not failure
    assert 0 < len(missed) < everything // 3
    assert any("consensus/tendermint.py" in line for line in missed)
    assert len(coverage.missed_lines(set(), coverage.ENGINE_FILES)) > 2 * len(missed)
