"""`bitenergy market export` and `market import`: offers, trades and readings as CSV files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tools.commands.markets import (
    choose_market,
    market_name,
    market_option,
    market_path,
)
from tools.commands.options import from_option, json_option, pass_session
from tools.errors import EXIT_FAILED, EXIT_OK, Json
from tools.output import note, print_json, waiting
from tools.session import Session

if TYPE_CHECKING:
    from tools.bulk import Sent
    from tools.market_csv import Line
    from vm.runtime import Call

PAGE: Final = 500


@click.command("export")
@click.argument("kind", type=click.Choice(["offers", "trades"]))
@click.option(
    "--file", "path", type=click.Path(path_type=Path), help="Write there; else standard output."
)
@market_option
@pass_session
def export_command(session: Session, kind: str, path: Path | None, market: str | None) -> int:
    """Write a table of a market as CSV: standing offers, or trades, the newest first.

    Headings name the units; pandas.read_csv reads the file as it is.
    """
    from tools.market_csv import OFFERS, TRADES, write_table

    chosen = choose_market(session, market)
    columns = OFFERS if kind == "offers" else TRADES
    cursor = "after" if kind == "offers" else "before"
    records = _pages(session, market_path(chosen, kind), kind, cursor)
    target = nullcontext(sys.stdout) if path is None else path.open("w", encoding="utf-8")
    with waiting(f"{kind} are fetched", quiet=path is None), target as out:
        count = write_table(columns, records, out)
    if path is not None:
        note(f"{count} {kind} of {market_name(chosen)} written to {path}")
    return EXIT_OK


@click.command("import")
@click.argument("kind", type=click.Choice(["offers"]))
@click.argument("path", metavar="FILE", type=click.Path(exists=True, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check each line and send nothing.")
@market_option
@from_option
@json_option
@pass_session
def import_command(
    session: Session, kind: str, path: Path, dry_run: bool, market: str | None, signer: str | None
) -> int:
    """Place what a CSV file lists, each line as a transaction of its own.

    The file has the headings of `market export`; other columns than those needed are passed over. A
    file with a fault is refused whole, and says in which lines. A dry run asks the node what each
    line alone would do.
    """
    from tools.market_csv import read_table

    make = _offers(session, market)
    lines = read_table(path, ("interval", "energy_kwh", "price_tokens_per_kwh"))
    return _carry_out(session, kind, lines, make, signer, dry_run=dry_run)


FILE_COMMANDS: Final = (export_command, import_command)


def _pages(session: Session, path: str, field: str, cursor: str) -> Iterator[Json]:
    """Yield the records of all pages."""
    from tools.client import list_field

    following: str | None = None
    while True:
        query: dict[str, str | int | None] = {"limit": PAGE, cursor: following}
        answer = session.client().get(path, **query)
        yield from list_field(answer, field)
        if answer.get("next") is None:
            return
        following = str(answer["next"])


def _offers(session: Session, market: str | None) -> Callable[[Line], Call]:
    from tools import calls

    name = market_name(choose_market(session, market))
    return lambda line: calls.post_offer(
        name,
        line.values["interval"],
        line.values["energy_kwh"],
        line.values["price_tokens_per_kwh"],
    )


def _carry_out(
    session: Session,
    kind: str,
    lines: Sequence[Line],
    make: Callable[[Line], Call],
    signer: str | None,
    *,
    dry_run: bool,
) -> int:
    """Send or try each line's call, and report by line; the exit status is 0 if none failed."""
    from tools.bulk import send_each, try_each

    opened = session.open_signer(signer)
    calls = [make(line) for line in lines]
    with waiting(f"{len(calls)} {kind} are {'tried' if dry_run else 'placed'}", quiet=False):
        if dry_run:
            results = list(try_each(session, opened.account, calls))
        else:
            results = list(send_each(session, opened, calls))
    return _report(session, kind, lines, results, dry_run=dry_run)


def _report(
    session: Session, kind: str, lines: Sequence[Line], results: Sequence[Sent], *, dry_run: bool
) -> int:
    failed = [(line, result) for line, result in zip(lines, results, strict=False) if result.code]
    done = len(results) - len(failed)
    unsent = len(lines) - len(results)
    if session.as_json:
        rows = [
            {"line": line.number, "id": result.id, "code": result.code, "message": result.message}
            for line, result in zip(lines, results, strict=False)
        ]
        print_json({"dry_run": dry_run, "placed": 0 if dry_run else done, "lines": rows})
    else:
        for line, result in failed:
            note(f"line {line.number}: {result.code}: {result.message}")
        if unsent:
            note(f"{unsent} lines behind it were not sent")
        verb = "would be placed" if dry_run else "placed"
        note(f"{done} of {len(lines)} {kind} {verb}")
    return EXIT_FAILED if failed or unsent else EXIT_OK
