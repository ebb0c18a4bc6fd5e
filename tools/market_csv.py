"""Tables of the market as CSV files: headings with units, one line per record, exact decimals.

A file begins with its headings. Energy is in kWh, money in tokens, prices in tokens per kWh, all as
decimals with a point; times are UTC as in ISO 8601. `pandas.read_csv(FILE)` reads such a file as it
is. What is read back is checked line by line, and a file with a fault changes nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from tools.amounts import format_kwh, format_tokens, parse_energy, parse_price
from tools.errors import ToolError
from vm.primitives.errors import BitenergyError

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
MAX_FINDINGS: Final = 20


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an exported table."""

    heading: str
    """Its heading, with the unit."""
    fields: tuple[str, ...]
    """Fields of the record that may fill it: the first that is there."""
    show: Callable[[object], str]
    """Writes the field's value."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an imported file."""

    number: int
    """Its number in the file, headings being line 1."""
    values: Mapping[str, int]
    """Base units by heading."""


def _text(value: object) -> str:
    return str(value)


def _kwh(value: object) -> str:
    """Write milliwatt-hours, which may be negative, as kWh."""
    if not isinstance(value, int):
        return str(value)
    return f"-{format_kwh(-value)}" if value < 0 else format_kwh(value)


def _tokens(value: object) -> str:
    """Write micro-tokens, which may be negative, as tokens."""
    if not isinstance(value, int):
        return str(value)
    return f"-{format_tokens(-value)}" if value < 0 else format_tokens(value)


def _half_tokens(value: object) -> str:
    """Write half micro-tokens as tokens."""
    if not isinstance(value, int):
        return str(value)
    return f"{format_tokens(value // 2, 6)}{'5' if value % 2 else ''}"


def _time(value: object) -> str:
    """Write milliseconds UTC as a time."""
    if not isinstance(value, int):
        return str(value)
    moment = datetime.fromtimestamp(value / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


OFFERS: Final = (
    Column("offer", ("id",), _text),
    Column("seller", ("seller_name", "seller"), _text),
    Column("interval", ("interval",), _text),
    Column("bus", ("bus",), _text),
    Column("energy_kwh", ("energy_milli_wh",), _kwh),
    Column("price_tokens_per_kwh", ("price_micro_per_kwh",), _tokens),
)
TRADES: Final = (
    Column("height", ("height",), _text),
    Column("interval", ("interval",), _text),
    Column("buyer", ("buyer_name", "buyer"), _text),
    Column("seller", ("seller_name", "seller"), _text),
    Column("energy_kwh", ("energy_milli_wh",), _kwh),
    Column("price_tokens_per_kwh", ("price_micro_per_kwh",), _tokens),
    Column("penalty_tokens_per_kwh", ("penalty_micro_per_kwh",), _tokens),
    Column("paid_tokens", ("amount_micro",), _tokens),
)
PRICES: Final = (
    Column("height", ("height",), _text),
    Column("cleared_utc", ("time_ms",), _time),
    Column("market", ("market",), _text),
    Column("interval", ("interval",), _text),
    Column("gate", ("gate",), _text),
    Column("bus", ("bus",), _text),
    Column("traded_kwh", ("energy_milli_wh",), _kwh),
    Column(
        "buyer_price_tokens_per_kwh",
        ("buyer_price_half_micro_per_kwh", "price_half_micro_per_kwh"),
        _half_tokens,
    ),
    Column(
        "seller_price_tokens_per_kwh",
        ("seller_price_half_micro_per_kwh", "price_half_micro_per_kwh"),
        _half_tokens,
    ),
)
"""A line for each clearing of a gate; where it cleared by zones, one for each bus too."""
READINGS: Final = (
    Column("member", ("member",), _text),
    Column("interval", ("interval",), _text),
    Column("start_utc", ("start_ms",), _time),
    Column("injected_kwh", ("injected_milli_wh",), _kwh),
    Column("withdrawn_kwh", ("withdrawn_milli_wh",), _kwh),
    Column("quality", ("quality",), _text),
)

READERS: Final[Mapping[str, Callable[[str], int]]] = {
    "_kwh": lambda text: parse_energy(f"{text}kWh"),
    "_tokens_per_kwh": parse_price,
}
"""How a value is read, by the end of its heading; else it is a whole number."""


def write_table(
    columns: Sequence[Column], records: Iterable[Mapping[str, object]], out: TextIO
) -> int:
    """Write headings and records; return the number of records. What a record lacks is empty."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.heading for column in columns])
    count = 0
    for record in records:
        writer.writerow([_cell(record, column) for column in columns])
        count += 1
    return count


def read_table(path: Path, needed: Sequence[str]) -> list[Line]:
    """Return the lines of a file, of which the columns `needed` are read.

    Raises ToolError that names every line at fault, up to 20, and what was expected there.
    """
    rows = csv.reader(io.StringIO(_content(path)), strict=True)
    findings: list[str] = []
    lines: list[Line] = []
    try:
        headings = next(rows, [])
        missing = [name for name in needed if name not in headings]
        if missing:
            raise _refused(path, [f"line 1: no column {', '.join(missing)}"], needed)
        places = {name: headings.index(name) for name in needed}
        for row in rows:
            if row:
                _read_line(row, rows.line_num, places, lines, findings)
    except csv.Error as error:
        findings.append(f"line {rows.line_num}: {error}")
    if findings:
        raise _refused(path, findings, needed)
    if not lines:
        raise _refused(path, ["there is no line below the headings"], needed)
    return lines


def _read_line(
    row: Sequence[str],
    number: int,
    places: Mapping[str, int],
    lines: list[Line],
    findings: list[str],
) -> None:
    values: dict[str, int] = {}
    for name, place in places.items():
        if place >= len(row):
            findings.append(f"line {number}: no {name}")
            continue
        try:
            values[name] = _reader(name)(row[place].strip())
        except BitenergyError as error:
            findings.append(f"line {number}: {name}: {error.message}")
    if len(values) == len(places):
        lines.append(Line(number, values))


def _reader(heading: str) -> Callable[[str], int]:
    for end, read in READERS.items():
        if heading.endswith(end):
            return read
    return _whole


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ToolError(f"{text[:40]!r} is no whole number")
    return int(text)


def _content(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            data = handle.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ToolError(
                f"{path} is too large", code="invalid_file", expected=f"{MAX_FILE_BYTES} bytes"
            )
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ToolError(f"{path} is no UTF-8 text", code="invalid_file", actual=error) from error


def _refused(path: Path, findings: Sequence[str], needed: Sequence[str]) -> ToolError:
    shown = list(findings[:MAX_FINDINGS])
    if len(findings) > MAX_FINDINGS:
        shown.append(f"and {len(findings) - MAX_FINDINGS} more")
    return ToolError(
        f"{path} cannot be imported, and nothing was sent:\n  " + "\n  ".join(shown),
        code="invalid_file",
        expected=f"CSV with the columns {', '.join(needed)}",
    )


def _cell(record: Mapping[str, object], column: Column) -> str:
    for name in column.fields:
        if record.get(name) is not None:
            return column.show(record[name])
    return ""
