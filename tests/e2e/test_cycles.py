"""A short run of the campaign that kills validators over and over; `make cycles` for hundreds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.cycles import run_cycles

pytestmark = pytest.mark.slow


@pytest.mark.long
def test_two_validators_are_killed_under_load(tmp_path: Path, free_port: Callable[[], int]) -> None:
    seen: list[int] = []
    report = run_cycles(2, tmp_path / "net", free_port, pause_s=0.15, done=seen.append)
    print(report)
    assert seen == [1, 2]
    assert report.acknowledged > 50 and report.signatures > 50
    assert (report.lost, report.double_signatures) == (0, 0)
