"""`bitenergy shadow`: what other rules would have made of the live chain's transactions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tools.commands.options import as_option, json_option, pass_session
from tools.output import note, print_json, print_lines
from tools.session import Session

if TYPE_CHECKING:
    from tools.shadow.report import Comparison


@click.group("shadow")
def shadow_command() -> None:
    """Try other rules on the live chain's transactions, before the vote."""


@shadow_command.command("run")
@click.option("--proposal", type=click.IntRange(min=1), help="Try what this proposal changes.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Try this; may be repeated."
)
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Try the NAME=VALUE lines of a file.",
)
@click.option(
    "--from",
    "first",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="First height under the other rules.",
)
@click.option("--until", type=click.IntRange(min=1), help="Last height [else the latest].")
@click.option("--follow", is_flag=True, help="Go on as blocks arrive, until interrupted.")
@click.option(
    "--draw",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the changed bills as bars into this SVG file.",
)
@as_option
@json_option
@pass_session
def run(
    session: Session,
    proposal: int | None,
    settings: Sequence[str],
    path: Path | None,
    first: int,
    until: int | None,
    follow: bool,
    draw: Path | None,
    signer: str | None,
) -> None:
    """Execute the live chain again beside a shadow of it under other rules, and compare.

    The blocks come from the node's API and are checked from genesis on; the network does not
    notice. What may be changed is written as for `bitenergy governance propose`, for example
    --set market.spot.penalty_price=0.2. Where blocks hold readings of meters, the node gives them
    to the DSO and auditors alone: name such a key with --as.
    """
    import tempfile

    from tools.client import integer_field
    from tools.rule_changes import parse_changes
    from tools.shadow.drawing import draw_bills
    from tools.shadow.report import print_report
    from tools.shadow.run import Stretch, changes_of_file, proposed_change, run_shadow

    client = session.client()
    if signer is not None:
        client.sign_as(session.open_signer(signer))
    changes = list(parse_changes([*settings, *(changes_of_file(path) if path else [])]))
    if proposal is not None:
        changes.append(proposed_change(client, proposal))
    if not changes:
        raise click.UsageError("Say what to try: --proposal NUMBER, --set NAME=VALUE or --file.")
    last = until if until or follow else integer_field(client.status(), "height")

    def watch(found: Comparison, height: int) -> None:
        if follow and found.live.blocks and not session.as_json:
            live, shadow = found.live, found.shadow
            note(
                f"height {height}: live {live.transactions} transactions, "
                f"{sum(live.failures.values())} failed; shadow {shadow.transactions}, "
                f"{sum(shadow.failures.values())} failed"
            )
        elif height % 1_000 == 0 and sys.stderr.isatty():
            note(f"height {height}")

    with tempfile.TemporaryDirectory(prefix="bitenergy-shadow-") as folder:
        report = run_shadow(client, changes, Stretch(first, last), Path(folder), watch)
    if draw is not None:
        draw.write_text(draw_bills(report), encoding="utf-8")
    if session.as_json:
        print_json(report)
        return
    print_report(report)
    if draw is not None:
        print_lines(f"drawn in {draw}")
