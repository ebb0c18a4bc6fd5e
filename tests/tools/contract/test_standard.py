"""The contracts that are shipped pass their own tests, by the commands that people use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.cli import run

FOLDER = Path(__file__).resolve().parents[3] / "genesis" / "contracts"
SOURCES = sorted(path for path in FOLDER.glob("*.py") if not path.stem.endswith("_test"))


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    """Run a command that prints JSON."""
    status = run(["contract", *arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_all_seven_are_there() -> None:
    assert [path.stem for path in SOURCES] == [
        "bit_energy",
        "crowdfunding",
        "forward",
        "metered_forward",
        "price_difference",
        "token",
        "voting_board",
    ]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_its_own_tests_pass(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, checked = answer(capsys, "check", str(source))
    assert (status, checked["ok"]) == (0, True)
    assert checked["code_bytes"] + checked["source_bytes"] < 14_000  # fits into one transaction
    status, tested = answer(capsys, "test", str(source))
    assert [one["failure"] for one in tested["tests"] if not one["ok"]] == []
    assert (status, len(tested["tests"]) >= 4) == (0, True)


def test_gas_is_told_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    source = FOLDER / "token.py"
    status, found = answer(capsys, "gas", str(source))
    assert status == 0
    lines = source.read_text().splitlines()
    assert found["gas"] == sum(line["gas"] for line in found["lines"])
    of_storage = sum(
        line["gas"]
        for line in found["lines"]
        if "self." in lines[line["line"] - 1] or "emit" in lines[line["line"] - 1]
    )
    assert 2 * of_storage > found["gas"]


def test_a_failing_test_has_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.py").write_text("@view\ndef one() -> int:\n    return 1\n")
    (tmp_path / "c_test.py").write_text(
        "def test_two(world):\n"
        "    contract = world.deploy('c.py', by=world.member('a'))\n"
        "    assert contract.one() == 2\n"
    )
    status, found = answer(capsys, "test", str(tmp_path / "c.py"))
    assert status == 1
    assert found["tests"][0]["failure"].startswith("line 3: AssertionError")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"x" * 70_000, b"class A: pass", b"\0"])
def test_sources_of_any_bytes_are_refused_with_their_place(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.py"
    path.write_bytes(content)
    status, found = answer(capsys, "check", str(path))
    if content:
        assert status == 1
        assert found["findings"][0]["line"] >= 1 and found["findings"][0]["column"] >= 1
