"""Agents on real validators: one by itself through the command, and a sealed day of many."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tools.agents.market_day import DayOptions, open_day
from tools.cli import run

pytestmark = pytest.mark.long


def test_an_agent_trades_by_itself_and_its_readings_are_its_own(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The command knows of the market what the node tells; a neighbour asks for its readings."""
    options = DayOptions(3, "uniform", "summer", "truthful", 2, 11, 100, 3, 3, 1)
    with open_day(options, keep=False, quiet=True) as day:
        home = ["--home", str(day.demo.network.home)]
        capsys.readouterr()
        whom = ["--from", "H1", "--meter", "H1-meter", "--strategy", "q_learning"]
        when = ["--first", str(day.intervals[0]), "--intervals", "2", "--json"]
        assert run([*home, "agent", "run", *whom, *when]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert len(lines) == 2
        assert all(line["sold_milli_wh"] == 0 for line in lines)
        path = tmp_path / "readings.csv"
        export = [*home, "market", "export", "readings", "--member", "H1", "--file", str(path)]
        assert run([*export, "--from", "H2"]) == 1
        assert run([*export, "--from", "H1"]) == 0
        rows = {row["interval"]: row for row in csv.DictReader(path.open())}
        for line in lines:
            row = rows[str(line["interval"])]
            assert row["quality"] == "measured"
            assert float(row["withdrawn_kwh"]) > 0


def test_a_sealed_day_ends_as_it_has_to(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--members", "20", "--intervals", "3", "--mechanism", "huang", "--exit", "--json"]
    status = run(["market", "day", *arguments])
    day = json.loads(capsys.readouterr().out)
    assert status == 0, day.get("findings", day)
    assert day["totals"]["volume_milli_wh"] > 0
    assert day["totals"]["worse_off"] == 0
    assert not any(each["penalties_micro"] for each in day["intervals"])
