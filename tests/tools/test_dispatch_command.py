"""`bitenergy dispatch`: the file that `solve` prints is the file that `verify` judges."""

from __future__ import annotations

import json
from pathlib import Path
from xml.dom import minidom

import pytest

from tools.cases.catalog import load_case
from tools.cases.problem_file import write_problem
from tools.cli import run


def solve(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    """Run `dispatch solve --json` and return what it prints."""
    assert run(["dispatch", "solve", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def verify(capsys: pytest.CaptureFixture[str], case: str, path: Path, document: dict) -> tuple:
    """Run `dispatch verify --json` on a document: (exit status, what it prints)."""
    path.write_text(json.dumps(document))
    status = run(["dispatch", "verify", case, str(path), "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_solution_has_the_stated_form_and_is_accepted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    document = solve(capsys, "ieee13_gao", "--limits", "congested", "--hours", "9-11")
    assert list(document) == ["case", "limits", "method", "hours"]
    assert [hour["hour"] for hour in document["hours"]] == [9, 10, 11]
    for hour in document["hours"]:
        assert list(hour) == [
            *("hour", "rounds", "lambda", "p_w", "flow_w"),
            *("objective_usd_per_h", "gap_ratio"),
        ]
        for key, count in (("lambda", 13), ("p_w", 24), ("flow_w", 12)):
            assert len(hour[key]) == count
            assert all(str(int(number)) == number for number in hour[key].values())
    assert document["hours"][0]["flow_w"]["632-671"] == "-100000"
    status, said = verify(capsys, "ieee13_gao", tmp_path / "s.json", document)
    assert (status, said["accepted"]) == (0, True)
    assert [one["accepted"] for one in said["hours"]] == [True] * 3


@pytest.mark.parametrize(
    ("key", "name", "change", "code"),
    [
        ("p_w", "Sourcebus.1", 1, "unbalanced"),
        ("p_w", "L675.1", -(10**6), "unit_limit"),
        ("lambda", "675", 10**15, "gap"),
        ("lambda", "650", 10**30, "gap"),
        ("lambda", "650", 10**35, "price_range"),
    ],
)
def test_changed_solution_is_refused_with_hour_and_reason(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    key: str,
    name: str,
    change: int,
    code: str,
) -> None:
    document = solve(capsys, "ieee13_gao", "--limits", "congested", "--hours", "9,10")
    changed = document["hours"][1]
    changed[key][name] = str(int(changed[key][name]) + change)
    del changed["flow_w"]
    status, said = verify(capsys, "ieee13_gao", tmp_path / "s.json", document)
    assert status == 1
    assert [(one["hour"], one["code"]) for one in said["hours"]] == [(9, ""), (10, code)]
    assert run(["dispatch", "verify", "ieee13_gao", str(tmp_path / "s.json")]) == 1
    assert f"hour 10: refused, {code}" in capsys.readouterr().out


def test_solution_for_something_else_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    document = solve(capsys, "ieee13_gao", "--hours", "9")
    path = tmp_path / "s.json"
    assert verify(capsys, "luo16", path, document)[1]["code"] == "wrong_case"
    congested = {**document, "limits": "congested"}
    status, said = verify(capsys, "ieee13_gao", path, congested)
    assert (status, said["hours"][0]["code"]) == (1, "line_limit")
    other = json.loads(json.dumps(document))
    other["hours"][0]["hour"] = 10
    assert verify(capsys, "ieee13_gao", path, other)[0] == 1
    other["hours"][0]["hour"] = 25
    assert verify(capsys, "ieee13_gao", path, other)[1]["code"] == "unknown_hour"
    del document["hours"][0]["p_w"]["680.1"]
    assert verify(capsys, "ieee13_gao", path, document)[1]["code"] == "unknown_name"
    document["hours"][0]["flow_w"]["632-671"] = 0.5
    assert verify(capsys, "ieee13_gao", path, document)[0] == 1


def test_unsound_case_lists_all_findings(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    document = write_problem(load_case("luo16"))
    document["units"][0]["bids"][0]["a"] = "-1"  # type: ignore[index]
    document["units"][1]["bus"] = "nowhere"  # type: ignore[index]
    path = tmp_path / "case.json"
    path.write_text(json.dumps(document))
    assert run(["dispatch", "solve", str(path)]) == 1
    said = capsys.readouterr().err
    assert "not_convex" in said
    assert "unknown_bus" in said


def test_drawing_is_svg(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for hours in ("1-24", "9"):
        path = tmp_path / f"{hours}.svg"
        solve(capsys, "ieee13_gao", "--hours", hours, "--plot", str(path))
        assert minidom.parse(str(path)).documentElement.tagName == "svg"
