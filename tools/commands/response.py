"""`bitenergy response`: demand response."""

from __future__ import annotations

import click

from tools.commands.options import exit_option, json_option, pass_session, stage_option
from tools.session import Session


@click.group("response")
def response_command() -> None:
    """Demand response: a second settlement at a response price, and events with a baseline."""


@response_command.command("demo")
@stage_option(4.0)
@exit_option
@json_option
@pass_session
def demo(session: Session, stage_s: float, leave: bool) -> int:
    """Settle an interval twice and reward an event, on four validators.

    The exit status is 0 only if every figure is as computed beside the chain, on each of them.
    """
    from tools import demo_response

    return demo_response.run_demo(stage_s=stage_s, leave=leave, as_json=session.as_json)
