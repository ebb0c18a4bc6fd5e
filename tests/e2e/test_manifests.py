"""Each manifest's network keeps what it promises; see `manifest.py` for what a manifest says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.manifest import FOLDER, load_manifest, parse_fault, run_manifest

pytestmark = pytest.mark.slow
MANIFESTS = sorted(FOLDER.glob("*.toml"))
SHORT = ("poa", "pow")
"""What the suite runs; the others are left to `make long`."""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[] if path.stem in SHORT else [pytest.mark.long])
        for path in MANIFESTS
    ],
)
def test_a_network_keeps_its_promises(
    path: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    outcome = run_manifest(load_manifest(path), tmp_path / "net", free_port)
    print(path.stem, outcome)


def test_every_engine_has_a_network_in_which_every_node_meets_every_kind_of_end() -> None:
    for engine in ("poa", "pos", "pow"):
        met = {
            (fault.kind, name)
            for path in MANIFESTS
            if (manifest := load_manifest(path)).engine == engine
            for fault in manifest.faults
            for name in fault.nodes
        }
        names = [f"V{number}" for number in range(1, 5)]
        # A killed one starts again; one that was stopped in order is the same to every engine.
        for kind in ("kill", "pause", "cut", *(["restart"] if engine == "poa" else [])):
            assert {name for found, name in met if found == kind} >= set(names), (engine, kind)


@pytest.mark.parametrize(
    "line", ["1.0 kill V9 for 1", "1.0 kill V1", "1.0 bend V1 for 1", "kill V1 for 1", ""]
)
def test_a_line_that_says_nothing_is_refused(line: str) -> None:
    with pytest.raises(AssertionError):
        parse_fault(line, ["V1", "V2", "V3", "V4"])
