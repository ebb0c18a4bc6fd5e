"""The repository keeps the rules of the house."""

import subprocess
import sys
from collections.abc import Iterable

import pytest

from tests.house import texts
from tests.house.exceptions import EXCEPTIONS, EXCUSABLE
from tests.house.rules import RULES, excuse
from tests.house.source import (
    FLOORS,
    PURE,
    ROOT,
    Finding,
    is_within,
    repository_files,
    repository_sources,
)


def fail_on(findings: Iterable[Finding]) -> None:
    """Fail with one line per finding, in the order of the files."""
    found = sorted(findings, key=lambda finding: (finding.path, finding.line))
    if found:
        listing = "\n".join(f"  {finding}" for finding in found)
        pytest.fail(f"{len(found)} places break a rule of the house:\n{listing}", pytrace=False)


@pytest.fixture(scope="module")
def committed_texts() -> list[texts.Text]:
    """Every committed file that is text."""
    found = []
    for path in repository_files():
        content = (ROOT / path).read_bytes()
        if b"\0" not in content:
            lines = content.decode("utf-8", "replace").splitlines()
            found.append(texts.Text(path, tuple(lines)))
    return found


@pytest.mark.parametrize("name", RULES)
def test_rule_is_kept(name: str) -> None:
    standing, _ = excuse(name, RULES[name](repository_sources()))
    fail_on(standing)


def test_rules_saw_the_whole_house() -> None:
    """A rule that reads no file finds nothing, so every floor must have been read."""
    modules = [source.module for source in repository_sources()]
    for package in (*FLOORS, *PURE):
        assert any(is_within(module, (package,)) for module in modules), f"no file of {package}"


def test_exceptions_are_needed_and_justified() -> None:
    for key, reason in EXCEPTIONS.items():
        name, path, subject = key
        assert name in EXCUSABLE, f"{key}: only {EXCUSABLE} may have exceptions"
        assert len(reason) > 20, f"{key}: say why"
        _, excused = excuse(name, RULES[name](repository_sources()))
        assert any(one.path == path and one.subject == subject for one in excused), (
            f"{key}: excuses nothing any more, remove it"
        )


def test_no_unfinished_marks(committed_texts: list[texts.Text]) -> None:
    fail_on(texts.find_unfinished_marks(committed_texts))


def test_no_machine_places(committed_texts: list[texts.Text]) -> None:
    fail_on(texts.find_machine_places(committed_texts))


def test_installation_is_complete() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    fail_on(texts.find_packaging_gaps(pyproject, repository_files()))


@pytest.mark.parametrize("module", ["node.app", "tools.cli", "tools.board.service"])
def test_numerics_are_not_loaded(module: str) -> None:
    """What other people's packages import shows only when the module is really loaded."""
    program = (
        f"import sys, {module}\n"
        "heavy = {'llvmlite', 'numba', 'numpy', 'scipy'} & set(sys.modules)\n"
        f"sys.exit(f'{module} loads {{sorted(heavy)}}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.strip()[-2000:]
