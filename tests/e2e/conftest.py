"""Every test here starts real processes, and leaves none behind."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import Commands

HERE = Path(__file__).resolve().parent


@pytest.hookimpl(tryfirst=True)  # before the runner reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.network)
            # One worker per file: these tests measure times and start many processes.
            item.add_marker(pytest.mark.xdist_group(f"e2e-{item.path.stem}"))


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """The command line in an empty folder, which is also its user's home."""
    return Commands(tmp_path, {"BITENERGY_PASSWORD": "correct horse"})


@pytest.fixture(scope="session", autouse=True)
def nothing_stays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the run if a process of a folder of ours still runs at its end."""
    yield
    base = str(tmp_path_factory.getbasetemp())
    left = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            except OSError:
                continue
            if any(word.startswith(base) for word in words):
                left.append(f"{entry.name}: {' '.join(words)}")
    assert not left, f"processes were left running: {left}"
