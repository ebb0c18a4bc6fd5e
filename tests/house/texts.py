"""Rules about the text of every committed file: unfinished marks, foreign places, packaging."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch

from tests.house.source import CONTRACTS, FLOORS, Finding

# Assembled from parts, so that this file passes its own rule.
UNFINISHED = re.compile(r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
MACHINE_PLACES = {
    r"(?<![\w.])/" + r"work/": "a folder of one machine",
    r"(?<![\w.])/" + r"root/": "a folder of one machine",
    r"(?<![\w.])/tmp/" + r"(?:spec|v)\b": "a folder of one machine",
    r"\.\./" + r"shared/": "a folder that a clone does not have",
    r"(?<!\w)\." + r"library\b": "a folder that a clone does not have",
    r"\bSPEC" + r"\.md\b": "a file that a clone does not have",
    r"\bfarm-" + r"(?:studio|bench)\b": "a tool that a reader does not have",
    r"\bsub" + r"agents?\b": "how the work was organised",
    r"\bpython" + r"hosted\.|\bpypi\." + r"(?:org|python)": "a package index by its host",
    r"--(?:extra-)?index" + r"-url|--find" + r"-links": "a package index by its address",
}


@dataclass(frozen=True, slots=True)
class Text:
    """One committed file as text: its path from the root, and its lines."""

    path: str
    lines: tuple[str, ...]


def find_unfinished_marks(texts: Iterable[Text]) -> Iterator[Finding]:
    """Marks that say "later" in any committed file."""
    for text in texts:
        for number, line in enumerate(text.lines, 1):
            if match := UNFINISHED.search(line):
                yield Finding(
                    text.path, number, f"`{match[0]}`", "do it now, or write an issue and remove it"
                )


def find_machine_places(texts: Iterable[Text]) -> Iterator[Finding]:
    """Paths, tools and hosts that exist only where a file was written."""
    patterns = [(re.compile(pattern), what) for pattern, what in MACHINE_PLACES.items()]
    for text in texts:
        for number, line in enumerate(text.lines, 1):
            for pattern, what in patterns:
                if match := pattern.search(line):
                    yield Finding(
                        text.path,
                        number,
                        f"`{match[0]}` names {what}",
                        "use a path inside the repository, or leave it out",
                    )


def find_packaging_gaps(pyproject: str, files: Iterable[str]) -> Iterator[Finding]:
    """Packages and data files of the repository that an installation would lack."""
    files = [name for name in files if name.split("/")[0] in FLOORS]
    settings = tomllib.loads(pyproject)["tool"]["setuptools"]
    listed = set(settings["packages"])
    data = settings.get("package-data", {})
    folders = {
        name.rpartition("/")[0]
        for name in files
        if name.endswith(".py") and not name.startswith(CONTRACTS)
    }
    packages = {folder.replace("/", ".") for folder in folders}
    for package in sorted(packages ^ listed):
        known = "is missing from" if package in packages else "has no module but is in"
        yield Finding(
            "pyproject.toml", 1, f"`{package}` {known} the package list", "correct the list"
        )
    for folder in sorted(folders):
        if f"{folder}/__init__.py" not in files:
            yield Finding(
                f"{folder}/__init__.py", 1, "missing", "add it, with a docstring and nothing else"
            )
    for name in files:
        is_module = name.endswith((".py", ".pyi", "/py.typed")) and not name.startswith(CONTRACTS)
        if not is_module and not _is_installed(name, data):
            yield Finding(
                name, 1, "not installed with the program", "add it to package-data in pyproject"
            )


def _is_installed(name: str, data: dict[str, list[str]]) -> bool:
    """Whether a data file matches a pattern of a package that holds it."""
    for package, patterns in data.items():
        folder = package.replace(".", "/") + "/"
        inside = name.removeprefix(folder)
        if inside != name and any(
            fnmatch(inside, pattern)
            and (inside.count("/") == pattern.count("/") or "**" in pattern)
            for pattern in patterns
        ):
            return True
    return False
