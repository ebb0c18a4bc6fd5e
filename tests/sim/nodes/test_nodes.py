"""Networks of whole nodes under faults: promises held, planted faults caught, seeds replayed.

Faults: loss to 40 %, doubling, delay and reordering, cuts one way and both, crashes, blackouts of
all at once, power lost in the midst of a write, full, failing and rotten disks, data directories
that were set back, clocks off by minutes, and liars up to a third: two-faced, silent, mute,
withholding, building what is invalid, voting for anything, forging certificates and evidence.
"""

import os
import subprocess
import sys

import pytest

from consensus.validator_set import ValidatorSet
from tests.sim import campaign, canaries
from tests.sim.nodes import checks, refusals, scenario, simulation
from tests.sim.nodes.canaries import planted
from tests.sim.nodes.simulation import (
    HEIGHTS,
    TRANSACTIONS,
    Outcome,
    Simulation,
    simulate,
)
from tests.sim.world import Violation

pytestmark = pytest.mark.simulation

SEEDS = int(os.environ.get("BITENERGY_SIM_NODE_SEEDS", "24"))
PARTS = 4  # and no multiple of the engines' number, so that each part takes all in turn
QUICK = (
    "nonce-not-bumped",
    "fee-not-taken",
    "failed-call-leaks",
    "quorum-off-by-one",
    "repeated-signer",
    "certificate-unsigned",
    "evidence-repeated",
    "block-not-synced",
    "transaction-signature-unchecked",
    "tree-stale",
)


@pytest.mark.parametrize("part", range(PARTS))
def test_all_promises_hold_for_every_seed(part: int) -> None:
    outcomes = [simulate(seed) for seed in range(part, max(SEEDS, PARTS), PARTS)]
    assert outcomes, "no case ran"
    for outcome in outcomes:
        assert outcome.heights >= HEIGHTS
        assert outcome.transactions >= TRANSACTIONS
        assert len(outcome.kinds) >= 3
        assert outcome.messages > 500
    looked = {name for outcome in outcomes for name, count in outcome.looks.items() if count}
    wanted = {name for engine in scenario.ENGINES for name in checks.checks_of(engine)}
    assert looked - set(checks.SOMETIMES) == wanted, "a checker looked at nothing"


def test_the_drawn_seeds_take_every_kind_of_fault() -> None:
    drawn = [scenario.draw(seed) for seed in range(60)]
    kinds = [fault.kind for network in drawn for fault in network.faults]
    for kind in scenario.KINDS:
        assert kinds.count(kind) >= 5, kind
    assert {network.validators + network.followers for network in drawn} >= {4, 5, 6, 7, 10}
    assert any(fault.amount == 40 for n in drawn for fault in n.faults if fault.kind == "loss")
    assert all(3 * len(network.unreliable) < network.validators for network in drawn)
    assert len({network.gas_price_micro for network in drawn}) > 1


@pytest.mark.parametrize("seed", [3, 4, 5])  # one of each engine
def test_a_seed_replays_to_the_identical_trace_in_another_process(seed: int) -> None:
    def trace_elsewhere() -> str:
        code = f"from tests.sim.nodes.simulation import simulate; print(simulate({seed}).trace)"
        found = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": "4711"},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return found.stdout.strip()

    here = simulate(seed).trace
    assert len(here) == 64
    assert trace_elsewhere() == here


def test_different_seeds_differ() -> None:
    assert len({simulate(seed).trace for seed in (2, 3, 6)}) == 3


def test_liars_are_found_out_and_pay_for_it() -> None:
    seeds = [s for s in range(40) if s % 3 < 2 and scenario.draw(s).dishonest]
    assert sum(simulate(seed).evidence for seed in seeds[:4]) > 0


@pytest.mark.parametrize("name", QUICK)
def test_planted_fault_is_caught(name: str) -> None:
    found = canaries.search(("nodes", name))
    assert found.is_caught, found


def test_canaries_are_gone_after_their_run() -> None:
    with pytest.raises(Violation), planted("fee-not-taken"):
        simulate(1)
    assert isinstance(simulate(1), Outcome)


def test_a_network_that_never_decides_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ValidatorSet, "is_quorum", lambda self, weight: False)
    with pytest.raises(Violation, match="progress"):
        simulate(3)


def test_a_failing_seed_is_shortened_to_what_it_needs() -> None:
    drawn = scenario.draw(5)
    shrunk = campaign.shrink_nodes(drawn, "fee-not-taken")
    assert len(drawn.faults) > 3
    assert shrunk.faults == ()


def test_the_campaign_reports_failing_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--seeds", "1", "--jobs", "1", "--kind", "nodes"]
    assert campaign.main(quick) == 0
    assert campaign.main([*quick, "--plant", "fee-not-taken"]) == 1
    printed = capsys.readouterr().out
    assert "nodes seed 0" in printed and "replay with" in printed and "conservation" in printed


def test_the_trace_names_what_happened() -> None:
    lines: list[str] = []
    Simulation(scenario.draw(4), lines.append).run()
    for word in ("start", "fault", "heal", "final", "storage"):
        assert any(word in line for line in lines), word


@pytest.mark.parametrize("engine", scenario.ENGINES)
def test_what_is_wrong_is_refused(engine: str) -> None:
    assert len(refusals.provoke(engine)) > 50


def test_narrow_bounds_let_nodes_that_were_away_come_back() -> None:
    # Block sync brings what is final; all that others have above it is fetched block by block.
    assert simulation.TIGHT["FETCHED_HEIGHTS"] > 0
    for seed in (152, 218, 350):  # in which they could not
        assert scenario.draw(seed).tight
    assert simulate(152).heights >= HEIGHTS


def test_a_key_is_taken_up_once_it_is_in_force() -> None:
    # A slash in the same block left no room in the set for the rotation: it came a block later.
    assert any(affair.kind == "rotate" for affair in scenario.draw(157).affairs)
    assert simulate(157).heights >= HEIGHTS


@pytest.mark.parametrize("seed", [909, 935, 976])
def test_what_is_compared_is_what_the_disks_hold(seed: int) -> None:
    """A block written and not told, a last block at a pruned node alone, blocks about to go."""
    assert simulate(seed).heights >= HEIGHTS
