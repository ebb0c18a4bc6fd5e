"""The demo: the published tables on four validators, and a wrong figure is a failure."""

from __future__ import annotations

import json
import re
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.support import ROOT, Commands
from tools import demo

PUBLISHED = ROOT / "genesis" / "cases" / "bit_energy.json"
HEX_ROOT = re.compile(r"[0-9a-f]{64}")
DECIMAL = re.compile(r"[0-9]+\.[0-9]+")


def published_figures() -> dict[int, dict[str, list[Decimal | None]]]:
    """Return balance, energy and offer of each member after each case, as the authors print them.

    Read here on its own: nothing of the program has a hand in it.
    """
    document = json.loads(PUBLISHED.read_text())
    return {
        case["case"]: {
            name: [
                None if row.get(column) is None else Decimal(row[column])
                for column in ("balance", "energy", "offer")
            ]
            for name, row in case["after"].items()
        }
        for case in document["cases"]
    }


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("demo", "--engine", "poa"), id="poa"),
        pytest.param(("demo", "--engine", "pos"), id="pos", marks=pytest.mark.long),
        pytest.param(("demo", "--engine", "pow"), id="pow", marks=pytest.mark.long),
        pytest.param(("contract", "demo"), id="contract"),
    ],
)
def test_every_figure_is_the_published_one_on_every_validator(
    commands: Commands, command: tuple[str, ...]
) -> None:
    answer = commands.ask(*command, "--exit")
    assert answer["ok"] is True
    cases = answer["cases"]
    assert isinstance(cases, list)
    published = published_figures()
    assert [case["case"] for case in cases] == [1, 2, 3] == sorted(published)
    for case in cases:
        assert case["ok"] is True
        assert set(case["accounts"]) == set(published[case["case"]])
        for name, figures in case["accounts"].items():
            assert set(figures) == {"balance", "energy", "offer"}
            for text in figures.values():
                assert text is None or DECIMAL.fullmatch(text), figures
            found = [None if text is None else Decimal(text) for text in figures.values()]
            assert found == published[case["case"]][name], (case["case"], name)
        assert_agree(case["validators"])
    assert_agree(answer["validators"])


def assert_agree(validators: object) -> None:
    assert isinstance(validators, list)
    assert len(validators) == 4
    assert {type(each["height"]) for each in validators} == {int}
    assert all(HEX_ROOT.fullmatch(each["state_root"]) for each in validators)
    assert len({(each["height"], each["state_root"]) for each in validators}) == 1
    assert len({each["name"] for each in validators}) == 4


def test_people_see_both_tables_and_can_go_on_trading(commands: Commands) -> None:
    commands.settings["TMPDIR"] = str(commands.folder)
    shown = commands.run("demo", "--case", "2")
    try:
        assert "every figure agrees on every validator" in shown.out
        for figure in ("921.2", "1049.1", "1029.7"):
            assert shown.out.count(figure) >= 2, f"{figure} stands beside the published one"
        url = re.search(r"http://127\.0\.0\.1:\d+/api/v1/status", shown.err + shown.out)
        assert url, shown.err
        home = re.search(r"--home (\S+)", shown.err + shown.out)
        assert home, shown.err
        book = commands.ask("--home", home[1], "market", "book")
        assert [offer["energy_milli_wh"] for offer in book["offers"]] == [  # type: ignore[attr-defined]
            1_000_000,
            4_000_000,
            8_000_000,
        ]
    finally:
        folder = re.search(r"testnet down --dir (\S+)", shown.err + shown.out)
        assert folder, shown.err
        stopped = commands.ask("testnet", "down", "--dir", folder[1])
    assert stopped == {"stopped": ["V1", "V2", "V3", "V4"], "killed": []}


@pytest.mark.parametrize("column", ["balance", "offer"])
def test_one_wrong_digit_makes_it_fail(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    column: str,
) -> None:
    folder = tmp_path / "genesis"
    shutil.copytree(ROOT / "genesis", folder)
    document = json.loads(PUBLISHED.read_text())
    row = document["cases"][0]["after"]["P2"]
    row[column] = str(Decimal(row[column]) + Decimal("0.01"))
    (folder / "cases" / "bit_energy.json").write_text(json.dumps(document))
    monkeypatch.setattr(demo, "files", lambda _: folder)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert demo.run_demo([1], engine="poa", leave=True, as_json=True) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert [case["ok"] for case in answer["cases"]] == [False]


def test_a_case_that_is_not_published_is_wrong_usage(commands: Commands) -> None:
    commands.run("demo", "--case", "4", "--exit", status=2)


def test_an_engine_that_does_not_exist_is_refused_and_leaves_nothing(commands: Commands) -> None:
    commands.settings["TMPDIR"] = str(commands.folder)
    refused = commands.run("demo", "--case", "1", "--exit", "--engine", "roulette", status=1)
    assert "engine" in refused.err
    assert not list(commands.folder.glob("bitenergy-demo-*"))
