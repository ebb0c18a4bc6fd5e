"""What commands show: JSON for scripts, rich tables and progress for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_json(value: object) -> None:
    """Print one JSON value on standard output."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=True) + "\n")


def print_lines(*lines: str, stream: TextIO | None = None) -> None:
    """Print lines of text, cleared of terminal control characters."""
    for line in lines:
        print(printable(line), file=stream or sys.stdout)


def note(text: str) -> None:
    """Tell people something beside the data, on standard error."""
    print_lines(text, stream=sys.stderr)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    empty: str = "nothing to show",
) -> None:
    """Print a table; a column whose title starts with `>` stands to the right."""
    if not rows:
        print_lines(f"{title}: {empty}")
        return
    _console().print(_table(title, columns, rows))


def print_fields(title: str, fields: Sequence[tuple[str, object]]) -> None:
    """Print names and values beside each other."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(printable(title)), title_justify="left", show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in fields:
        table.add_row(Text(name), Text(printable(str(value))))
    _console().print(table)


@contextmanager
def waiting(text: str, *, quiet: bool = False) -> Iterator[None]:
    """Show that something is under way, on a terminal only and never among the data."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(printable(text))):
        yield


@contextmanager
def live_table(
    title: str, columns: Sequence[str], *, quiet: bool = False
) -> Iterator[Callable[[Sequence[Sequence[object]]], None]]:
    """Give a function that shows rows in place of those before, on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield lambda rows: None
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), transient=True) as live:
        yield lambda rows: live.update(_table(title, columns, rows))


def printable(text: str) -> str:
    """Return `text` without control characters, by which a name could steer a terminal."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}"
        for letter in text
    )


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(printable(title)), title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(
            Text(column.removeprefix(">")),
            justify="right" if column.startswith(">") else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    return table


def _console() -> Console:
    from rich.console import Console

    # Into a pipe or a file nothing is cut at 80 columns.
    return Console(width=None if sys.stdout.isatty() else 240)
