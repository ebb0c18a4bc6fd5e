"""`bitenergy dispatch`: solve a case, and check what claims to solve it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tools.commands.dispatch_rounds import ROUND_COMMANDS
from tools.commands.options import json_option, pass_session
from tools.errors import EXIT_FAILED, EXIT_OK
from tools.session import Session

if TYPE_CHECKING:
    from tools.cases.case import Case

limits_option = click.option(
    "--limits",
    type=click.Choice(["normal", "congested"]),
    default="normal",
    show_default=True,
    help="Which of the case's line limits hold.",
)


@click.group("dispatch")
def dispatch_command() -> None:
    """Economic dispatch and nodal prices: solve a case, verify a result."""


@dispatch_command.command("solve")
@click.argument("case_name", metavar="CASE")
@click.option("--hours", metavar="1-24", help="Which hours to solve; all of the case by default.")
@limits_option
@click.option(
    "--method",
    type=click.Choice(["tree", "admm", "consensus", "innovations", "direct"]),
    default="tree",
    show_default=True,
    help="How the boards agree on the dispatch.",
)
@click.option("--plot", metavar="FILE.svg", type=click.Path(path_type=Path), help="Draw it.")
@click.option(
    "--tables", is_flag=True, help="Print tables with pandapower's columns, as JSON, hour by hour."
)
@json_option
@pass_session
def solve(
    session: Session,
    case_name: str,
    hours: str | None,
    limits: str,
    method: str,
    plot: Path | None,
    tables: bool,
) -> int:
    """Solve CASE: the name of a bundled case (luo16, ieee13_gao) or a file.

    A file is of our own form (JSON), pandapower's (JSON), MATPOWER's (.m) or OpenDSS's (.dss).
    With --json it prints the solution file that `bitenergy dispatch verify` takes.
    """
    from tools import dispatch_report
    from tools.cases.catalog import load_sound_case

    case = load_sound_case(case_name, limits)
    chosen = _hours(case, hours)
    if tables:
        return dispatch_report.print_result_tables(case, chosen, method)
    return dispatch_report.run_solve(case, chosen, method, plot=plot, as_json=session.as_json)


@dispatch_command.command("convert")
@click.argument("case_name", metavar="CASE")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@limits_option
def convert(case_name: str, file: Path, limits: str) -> int:
    """Write CASE, whatever its form, to FILE in our own form (JSON); findings are listed first."""
    from tools import dispatch_report

    return dispatch_report.run_convert(case_name, limits, file)


@dispatch_command.command("verify")
@click.argument("case_name", metavar="CASE")
@click.argument("solution", metavar="SOLUTION", type=click.Path(path_type=Path, allow_dash=True))
@json_option
@pass_session
def verify(session: Session, case_name: str, solution: Path) -> int:
    """Check a solution file for CASE, hour by hour, as every validator would.

    Exit status 0 if all hours are accepted, 1 if one is refused.
    """
    from tools import dispatch_report

    accepted = dispatch_report.run_verify(case_name, solution, as_json=session.as_json)
    return EXIT_OK if accepted else EXIT_FAILED


@dispatch_command.command("demo")
@click.option("--exit", "leave", is_flag=True, help="Stop everything at the end.")
@json_option
@pass_session
def demo(session: Session, leave: bool) -> int:  # as click passes a flag
    """Have 16 boards compute the published cases, and four validators check the proofs.

    The exit status is 0 only if all figures agree on every validator.
    """
    from tools import dispatch_demo

    return dispatch_demo.run_demo(leave=leave, as_json=session.as_json)


for _command in ROUND_COMMANDS:
    dispatch_command.add_command(_command)


def _hours(case: Case, text: str | None) -> tuple[int, ...]:
    """Return the hours that `text` names: 7, 1-24 or 1-3,8."""
    if text is None:
        return case.hours
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            found += range(int(first), int(last if dash else first) + 1)
        except ValueError:
            raise click.BadParameter(
                f"{text!r} is not like 1-24 or 7", param_hint="--hours"
            ) from None
    if not found or len(set(found)) < len(found):
        raise click.BadParameter(f"{text!r} names no hour, or one twice", param_hint="--hours")
    return tuple(found)
