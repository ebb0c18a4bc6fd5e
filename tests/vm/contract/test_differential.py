"""Some hundred generated contracts: no difference from the oracle, the same under every setting."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vm.contract.differential import Campaign, Difference
from tests.vm.contract.generator import generate
from vm.contract.integer_operations import OPERATIONS

ROOT = Path(__file__).parents[3]
PROGRAMS = 200
FOUND = (11_892, 58_433)
"""Programs in which campaigns found a difference: a map's key of more than 224 bytes, a result of
more than 8,192."""
SETTINGS = (
    ((), {"PYTHONHASHSEED": "0"}),
    (("-O",), {"PYTHONHASHSEED": "1", "PYTHONINTMAXSTRDIGITS": "640"}),
    (("-OO",), {"PYTHONHASHSEED": "4294967295", "PYTHONINTMAXSTRDIGITS": "0"}),
)


def digest(python: str, flags: tuple[str, ...], settings: dict[str, str], programs: int) -> str:
    """Return what a campaign without the oracle prints as its digest."""
    done = subprocess.run(
        [python, *flags, "-m", "tests.vm.contract.differential", "--no-oracle",
         "--programs", str(programs), "--first", "5000"],
        cwd=ROOT, env=os.environ | settings, capture_output=True, check=True, text=True,
        timeout=120,
    )  # fmt: skip
    return done.stdout.splitlines()[-1]


def test_programs_are_as_the_oracle_says() -> None:
    campaign = Campaign(compare=True)
    for seed in (*range(PROGRAMS), *FOUND):
        campaign.run(seed)
    assert campaign.outcomes["done"] > PROGRAMS
    # The programs fail in many ways; else nothing would be held against the oracle there.
    assert len(campaign.outcomes) >= 6, campaign.outcomes


def test_a_wrong_interpreter_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    modulo = next(found for found in OPERATIONS if found.name == "modulo")
    from vm.contract import verifier

    def wrong(scope, operands):  # type: ignore[no-untyped-def]
        into, left, right = operands

        def remainder(r) -> None:  # type: ignore[no-untyped-def]
            r[into] = abs(r[left]) % (abs(r[right]) or 1)

        return remainder

    from dataclasses import replace

    table = verifier._LAYOUTS | {modulo.number: verifier._layout(replace(modulo, make=wrong))}
    monkeypatch.setattr(verifier, "_LAYOUTS", table)
    campaign = Campaign(compare=True)
    with pytest.raises(Difference):
        for seed in range(PROGRAMS):
            campaign.run(seed)


def test_hash_seeds_and_optimisation_change_nothing() -> None:
    found = {digest(sys.executable, flags, settings, 40) for flags, settings in SETTINGS}
    assert len(found) == 1


def test_other_versions_of_python_change_nothing() -> None:
    check = "import msgpack, nacl"
    pythons = [
        path
        for name in ("python3.12", "python3.13", "python3.14")
        if (path := shutil.which(name))
        and not subprocess.run([path, "-c", check], capture_output=True, check=False).returncode
    ]
    if not pythons:
        pytest.skip("no other Python here has the packages")
    found = {digest(path, (), {}, 40) for path in [sys.executable, *pythons]}
    assert len(found) == 1


def test_the_generator_is_a_function_of_its_seed() -> None:
    assert generate(7) == generate(7)
    assert generate(7) != generate(8)
