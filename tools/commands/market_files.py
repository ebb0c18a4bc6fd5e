"""`bitenergy market export` and `market import`: offers, trades and readings as CSV files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from tools.errors import EXIT_FAILED, EXIT_OK, Json, ToolError
from tools.output import note, print_json, waiting
from tools.session import Session

if TYPE_CHECKING:
    from tools.bulk import Sent
    from tools.market_csv import Column, Line
    from vm.runtime import Call

PAGE: Final = 500
MINUTES_PER_DAY: Final = 1_440
NO_READING: Final = "none"
"""How the API calls an interval without energy."""


@click.command("export")
@click.argument("kind", type=click.Choice(["offers", "trades", "prices", "readings"]))
@click.option(
    "--file", "path", type=click.Path(path_type=Path), help="Write there; else standard output."
)
@click.option("--member", metavar="WHO", help="Whose readings.")
@market_option
@from_option
@pass_session
def export_command(
    session: Session,
    kind: str,
    path: Path | None,
    member: str | None,
    market: str | None,
    signer: str | None,
) -> int:
    """Write a table as CSV; headings name the units, and pandas.read_csv reads it as it is.

    Standing offers and trades are a market's, prices those of all day markets or of --market,
    readings a --member's, whom the key of --from has to concern. What happened comes newest first.
    """
    from tools.market_csv import write_table

    columns, records = _table(session, kind, member, market, signer)
    target = nullcontext(sys.stdout) if path is None else path.open("w", encoding="utf-8")
    with waiting(f"{kind} are fetched", quiet=path is None), target as out:
        count = write_table(columns, records, out)
    if path is not None:
        note(f"{count} {kind} written to {path}")
    return EXIT_OK


@click.command("import")
@click.argument("kind", type=click.Choice(["offers", "readings"]))
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

    Offers have the headings of `market export`; other columns than those needed are passed over.
    Readings are a meter's: its registers (injected_register_kwh, withdrawn_register_kwh) at the end
    of an interval, oldest first. A file with a fault is refused whole, and says in which lines. A
    dry run asks the node what each line alone would do.
    """
    from tools import calls
    from tools.market_csv import read_table

    if kind == "offers":
        lines = read_table(path, ("interval", "energy_kwh", "price_tokens_per_kwh"))
        return _carry_out(session, kind, lines, _offers(session, market), signer, dry_run=dry_run)
    lines = read_table(path, ("interval", *REGISTERS))
    return _carry_out(
        session,
        kind,
        lines,
        lambda line: calls.submit_registers(
            line.values["interval"], [(line.values[REGISTERS[0]], line.values[REGISTERS[1]])]
        ),
        signer,
        dry_run=dry_run,
    )


REGISTERS: Final = ("injected_register_kwh", "withdrawn_register_kwh")
FILE_COMMANDS: Final = (export_command, import_command)


def _table(
    session: Session, kind: str, member: str | None, market: str | None, signer: str | None
) -> tuple[Sequence[Column], Iterator[Json]]:
    """Return columns and records of a kind of table; raises ToolError or a ClientError."""
    from tools.market_csv import OFFERS, PRICES, READINGS, TRADES

    if kind == "readings":
        return READINGS, _readings(session, member, signer)
    if kind == "prices":
        return PRICES, _prices(session, market)
    chosen = market_path(choose_market(session, market), kind)
    if kind == "offers":
        return OFFERS, _pages(session, chosen, kind, "after")
    return TRADES, _pages(session, chosen, kind, "before")


def _prices(session: Session, market: str | None) -> Iterator[Json]:
    """Yield what the day markets' gates cleared at, the newest first."""
    from tools.client import object_field

    for event in _pages(session, "/modules/day/events", "events", "before"):
        fields = object_field(event, "fields")
        if event.get("event") in ("clear", "price") and market in (None, fields.get("market")):
            yield {**event, **fields}


def _readings(session: Session, member: str | None, signer: str | None) -> Iterator[Json]:
    """Yield a member's readings, oldest first, by requests that the signer signs."""
    from tools.client import integer_field, object_field
    from vm.primitives.address import encode_address

    if member is None:
        raise ToolError("whose readings?", code="usage", hint="Give --member.")
    client = session.client()
    client.sign_as(session.open_signer(signer))
    path = f"/readings/{encode_address(session.account_of(member))}"
    terms = object_field(client.get("/readings", limit=1), "terms")
    days = integer_field(terms, "retention_days") * MINUTES_PER_DAY
    kept = days // integer_field(terms, "interval_minutes")
    connection = object_field(client.get(path, limit=1), "connection")
    first = integer_field(connection, "latest") - kept
    first = max(first, integer_field(connection, "start"), 0)
    for reading in _pages(session, path, "readings", "first", {"first": first}):
        if reading.get("quality") != NO_READING:
            yield {"member": member, **reading}


def _pages(
    session: Session, path: str, field: str, cursor: str, start: Mapping[str, int] | None = None
) -> Iterator[Json]:
    """Yield the records of all pages."""
    from tools.client import list_field

    place: dict[str, str | int] = dict(start or {})
    while True:
        answer = session.client().get(path, limit=PAGE, **place)
        yield from list_field(answer, field)
        if answer.get("next") is None:
            return
        place = {cursor: str(answer["next"])}


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
