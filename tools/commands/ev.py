"""`bitenergy ev`: charging power quotas."""

from __future__ import annotations

import click

from tools.commands.options import exit_option, json_option, pass_session, stage_option
from tools.session import Session


@click.group("ev")
def ev_command() -> None:
    """Charging power quotas of electric vehicles."""


@ev_command.command("demo")
@click.option(
    "--pricing",
    type=click.Choice(["uniform_midpoint", "pairwise_midpoint"]),
    default="uniform_midpoint",
    show_default=True,
    help="Price of traded quotas: of the last matched pair for all, or of each pair.",
)
@stage_option(5.0)
@exit_option
@json_option
@pass_session
def demo(session: Session, pricing: str, stage_s: float, leave: bool) -> int:
    """Share out and trade the published quotas on four validators, beside the printed tables.

    The exit status is 0 only if every figure that balances is the printed one on each of them.
    """
    from tools import demo_quota

    return demo_quota.run_demo(
        pricing=pricing, stage_s=stage_s, leave=leave, as_json=session.as_json
    )
