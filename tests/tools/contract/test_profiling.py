"""Gas by line adds up to all gas, and a failure has its line."""

import pytest

from tests.vm.contract.hosts import ALICE, HERE, CountingMeter, MemoryChain, MemoryHost
from tools.contract.compiler import compile_source
from tools.contract.profiling import LineProfile
from vm.contract.interpreter import run_function
from vm.primitives.errors import CallError

SOURCE = """total: int

def square(n: int) -> int:
    return n * n

@export
def add(most: int) -> int:
    for i in range(most):
        self.total += square(i)
        require(self.total < 100, "enough")
    return self.total
"""


def run(most: int) -> tuple[LineProfile, CountingMeter]:
    """Run `add` under a profile."""
    artefact = compile_source(SOURCE)
    profile, meter = LineProfile(artefact), CountingMeter()
    host = MemoryHost(MemoryChain({HERE: artefact.code}), meter, ALICE, HERE)
    try:
        run_function(artefact.code, host, "add", (most,), runner=profile)
    except CallError as error:
        profile.failed = error  # type: ignore[attr-defined]
    return profile, meter


def test_lines_add_up() -> None:
    profile, meter = run(5)
    entry = compile_source(SOURCE).code.entries["add"].gas
    assert sum(profile.gas_by_line.values()) + entry == meter.gas_used
    assert profile.runs_by_line[9] == 5
    assert profile.gas_by_line[9] > profile.gas_by_line[4] > 0


def test_a_failure_has_its_line() -> None:
    profile, _ = run(50)
    assert profile.line == 10
    assert profile.failed.message == "enough"  # type: ignore[attr-defined]


def test_the_profile_changes_neither_result_nor_gas() -> None:
    artefact = compile_source(SOURCE)
    meter = CountingMeter()
    host = MemoryHost(MemoryChain({HERE: artefact.code}), meter, ALICE, HERE)
    assert run_function(artefact.code, host, "add", (5,)) == 30
    assert meter.gas_used == run(5)[1].gas_used
    with pytest.raises(CallError, match="no such function"):
        run_function(artefact.code, host, "square", (5,))
