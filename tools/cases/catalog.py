"""Cases by name or file: the bundled ones, and the formats that can be read."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from market.dispatch_findings import check_problem
from market.network import NetworkFinding
from tools.cases.case import NORMAL, Case
from tools.cases.fields import Entry, load_json, parse_json
from tools.cases.matpower import read_matpower
from tools.cases.opendss import read_opendss
from tools.cases.pandapower_file import is_pandapower, read_pandapower
from tools.cases.problem_file import SCHEMA, read_problem
from tools.cases.published import read_feeder, read_luo
from vm.primitives.errors import InvalidInput

BUNDLED: Final = ("luo16", "ieee13_gao")


class InvalidCase(InvalidInput):
    """A case whose problem is not sound; it carries all findings."""

    default_code = "invalid_case"

    def __init__(self, case: Case, findings: tuple[NetworkFinding, ...]) -> None:
        super().__init__(
            f"case {case.name} is not sound:\n"
            + "\n".join(f"  {finding.code}: {finding.message}" for finding in findings),
        )
        self.findings = findings


def load_case(name: str, limits: str = NORMAL) -> Case:
    """Return the bundled case of this name, or the case in the file of this path, unchecked.

    Raises InvalidInput on a file that is no case, and where there is none.
    """
    if name in BUNDLED:
        text = files("genesis").joinpath("cases", f"{name}.json").read_text(encoding="utf-8")
        return read_case(parse_json(text, name), limits)
    path = Path(name)
    if not path.is_file():
        raise InvalidInput(
            f"there is no case {name!r}",
            code="unknown_case",
            expected=f"a file, or one of {', '.join(BUNDLED)}",
        )
    if path.suffix == ".m":
        return read_matpower(_text(path), path.name)
    if path.suffix == ".dss":
        return read_opendss(path)
    document = load_json(path)
    return (
        read_pandapower(document, path.stem)
        if is_pandapower(document)
        else read_case(document, limits)
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 text", code="invalid_case") from error


def load_sound_case(name: str, limits: str = NORMAL) -> Case:
    """Return a case as `load_case` does; raises InvalidCase, with all findings, if it has any."""
    case = load_case(name, limits)
    findings = check_problem(case.problem)
    if findings:
        raise InvalidCase(case, findings)
    return case


def read_case(document: Entry, limits: str = NORMAL) -> Case:
    """Return the case in a JSON document of one of our own forms."""
    if document.get("schema") == SCHEMA:
        return read_problem(document, limits)
    if "fixed_point" in document and "dgs" in document:
        return read_luo(document, limits)
    if "nodes" in document and "load_profile" in document:
        return read_feeder(document, limits)
    raise InvalidInput(
        "the document is no case that we know",
        code="invalid_case",
        expected=f"a schema {SCHEMA!r}, or the form of a bundled case",
    )
