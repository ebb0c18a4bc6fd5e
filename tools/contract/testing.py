"""The runner of contracts' own tests: functions `test_…` of an ordinary Python file.

Each gets a `world` of its own in memory. `NETWORK` of the file, if it is there, holds sections of
genesis for the modules, for example the markets of a test.
"""

from __future__ import annotations

import importlib.util
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from tools.contract.profiling import LineProfile
from tools.contract.world import World
from tools.errors import ToolError

TEST_SUFFIX: Final = "_test"
PREFIX: Final = "test_"


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test that ran."""

    name: str
    """Name of its function."""
    failure: str
    """Why it failed, with the line of the test; empty if it passed."""
    duration_ms: int
    """How long it took."""


def test_file_of(source: Path) -> Path:
    """Return the test file that belongs to a contract: `token_test.py` beside `token.py`."""
    return source.with_name(source.stem + TEST_SUFFIX + source.suffix)


def run_tests(tests: Path, source: Path, profile: LineProfile | None = None) -> list[TestResult]:
    """Run all tests of a file; raises ToolError if there are none.

    With a profile of the contract in `source` what its functions use is counted there.
    """
    module = _load(tests)
    found = [
        (name, value)
        for name, value in vars(module).items()
        if name.startswith(PREFIX) and callable(value)
    ]
    if not found:
        raise ToolError(
            f"{tests} holds no tests",
            hint="A test is a function test_…(world): see docs/contracts.md.",
        )
    network = getattr(module, "NETWORK", {})
    return [_run(tests, source, name, test, network, profile) for name, test in found]


def _load(tests: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"contract_tests_{tests.stem}", tests)
    if spec is None or spec.loader is None or not tests.is_file():
        raise ToolError(f"there is no test file {tests}", hint="Name another with --tests FILE.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ToolError(f"{tests} cannot be loaded: {_place(tests, error)}") from error
    return module


def _run(
    tests: Path,
    source: Path,
    name: str,
    test: Callable[[World], object],
    network: Mapping[str, object],
    profile: LineProfile | None,
) -> TestResult:
    world = World(tests.parent, network)
    if profile is not None:
        world.observe(world.compile(source.resolve()), profile)
    start_s = time.monotonic()
    failure = ""
    try:
        test(world)
    except Exception as error:
        failure = _place(tests, error)
    return TestResult(name, failure, round((time.monotonic() - start_s) * 1000))


def _place(tests: Path, error: Exception) -> str:
    """Return an error with the last line of the test file that led to it."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(tests)
    ]
    where = f"line {lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}: {error}".rstrip(": ")
