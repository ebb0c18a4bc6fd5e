"""`bitenergy demo`: the three published cases on a fresh network of four validators."""

from __future__ import annotations

import click

from tools.commands.options import exit_option, json_option, pass_session
from tools.session import Session


@click.command("demo")
@click.option(
    "--case",
    type=click.Choice(["1", "2", "3", "all"]),
    default="all",
    show_default=True,
    help="Which of the published cases.",
)
@click.option("--engine", default="poa", show_default=True, help="Consensus engine.")
@exit_option
@json_option
@pass_session
def demo_command(session: Session, case: str, engine: str, leave: bool) -> int:
    """Trade the published cases on four validators, and compare every figure on each of them.

    The exit status is 0 only if all figures agree. Without --exit the network stays up and the
    address of its API is shown.
    """
    from tools import demo

    cases = (1, 2, 3) if case == "all" else (int(case),)
    return demo.run_demo(cases, engine=engine, leave=leave, as_json=session.as_json)
