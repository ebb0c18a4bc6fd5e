"""Files of cumulative registers under their OBIS codes: a readout of lines, or a table with commas.

A readout states a time and the two registers as they stood then, line by line, as meters do
(IEC 62056-21):

    0-0:1.0.0*255(2026-03-01T00:15:00Z)
    1-0:1.8.0*255(001234.567*kWh)
    1-0:2.8.0*255(000089.012*kWh)

A table has a head `time,1-0:1.8.0*255,1-0:2.8.0*255` and a row for each time, in kWh. 1.8.0 is what
was withdrawn from the network, 2.8.0 what was injected. Times are ISO 8601 with an offset, meters'
`YYMMDDhhmmss` with W (+01:00) or S (+02:00), or milliseconds UTC.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Final

from vm.primitives.decimal_text import parse_decimal
from vm.primitives.errors import BitenergyError, InvalidInput
from vm.primitives.integers import MAX_AMOUNT

TIME: Final = "0-0:1.0.0"
WITHDRAWN: Final = "1-0:1.8.0"
INJECTED: Final = "1-0:2.8.0"
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
MAX_LINE: Final = 256
_LINE: Final = re.compile(r"([0-9]-[0-9]+:[0-9]+\.[0-9]+\.[0-9]+)(?:\*[0-9]{1,3})?\(([^()]*)\)")
_METER_TIME: Final = re.compile(r"([0-9]{12})([SW])")
_DIGITS: Final = {"": 6, "kWh": 6, "Wh": 3, "mWh": 0}


@dataclass(frozen=True, slots=True)
class RegisterReading:
    """Both registers of a meter at one time."""

    line: int
    """Where it stands in its file."""
    time_ms: int
    """When, milliseconds UTC."""
    injected_milli_wh: int
    """Register of injection."""
    withdrawn_milli_wh: int
    """Register of withdrawal."""


class FileError(InvalidInput):
    """A file of readings that does not hold what it should, with the line."""

    default_code = "invalid_file"


def read_registers(data: bytes) -> list[RegisterReading]:
    """Return the readings of a file, in the order of time; raises FileError."""
    if len(data) > MAX_FILE_BYTES:
        raise FileError("the file is too long", expected=f"at most {MAX_FILE_BYTES} bytes")
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise FileError("the file is no text", actual=f"byte {error.start}") from error
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE:
            raise wrong(number, "is too long", f"at most {MAX_LINE} characters", len(line))
    first = next((line for line in lines if line.strip()), "")
    found = list(_read_table(lines) if _is_head(first) else _read_lines(lines))
    if not found:
        raise FileError("the file has no readings", expected=f"{WITHDRAWN} and {INJECTED}")
    for before, after in pairwise(found):
        if after.time_ms <= before.time_ms:
            raise wrong(after.line, "is not later than the one before", "ascending times", "")
    return found


def wrong(line: int, what: str, expected: object, actual: object) -> FileError:
    """Return the error of a line."""
    return FileError(f"line {line} {what}", expected=expected, actual=str(actual)[:80] or None)


def _is_head(line: str) -> bool:
    return "(" not in line and WITHDRAWN in line


def _read_lines(lines: list[str]) -> Iterator[RegisterReading]:
    began, time_ms = 0, -1
    found: dict[str, int] = {}
    for number, text in enumerate(lines, 1):
        line = text.strip()
        if not line or line[0] in "/!#":
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise wrong(number, "is no register", f"{WITHDRAWN}*255(001234.567*kWh)", line)
        code, value = match[1], match[2]
        if code == TIME:
            if time_ms >= 0:
                yield _complete(began, time_ms, found)
            began, time_ms, found = number, _time_ms(number, value), {}
        elif code in (WITHDRAWN, INJECTED):
            if time_ms < 0:
                raise wrong(number, "comes before any time", f"{TIME}*255(TIME) first", line)
            if code in found:
                raise wrong(number, "states a register twice", f"the next {TIME} first", line)
            number_text, _, unit = value.partition("*")
            found[code] = _energy(number, number_text, unit)
    if time_ms >= 0:
        yield _complete(began, time_ms, found)


def _complete(line: int, time_ms: int, found: dict[str, int]) -> RegisterReading:
    missing = [code for code in (WITHDRAWN, INJECTED) if code not in found]
    if missing:
        raise wrong(line, "begins a reading without both registers", ", ".join(missing), "")
    return RegisterReading(line, time_ms, found[INJECTED], found[WITHDRAWN])


def _read_table(lines: list[str]) -> Iterator[RegisterReading]:
    head: list[str] = []
    separator = ";" if ";" in next(line for line in lines if line.strip()) else ","
    for number, row in _rows(lines, separator):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if not head:
            head = [cell.partition("*")[0].partition(" ")[0] for cell in cells]
            if sorted(head) != sorted(["time", WITHDRAWN, INJECTED]):
                raise wrong(number, "is no head", f"time,{WITHDRAWN}*255,{INJECTED}*255", row)
            continue
        if len(cells) != len(head):
            raise wrong(number, "has another number of cells", len(head), len(cells))
        named = dict(zip(head, cells, strict=True))
        yield RegisterReading(
            number,
            _time_ms(number, named["time"]),
            _energy(number, named[INJECTED], ""),
            _energy(number, named[WITHDRAWN], ""),
        )


def _rows(lines: list[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a table with the number of their last line; raises FileError."""
    reader = csv.reader(lines, delimiter=separator)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        # A quotation mark that nothing closes takes in all lines that follow.
        raise wrong(reader.line_num, "ends no cell", "closed quotation marks", error) from error


def _energy(line: int, text: str, unit: str) -> int:
    if unit not in _DIGITS:
        raise wrong(line, "has an unknown unit", "kWh, Wh or mWh", unit)
    try:
        energy = parse_decimal(text, _DIGITS[unit])
    except BitenergyError as error:
        raise wrong(line, f"states no energy: {error.message}", "for example 1234.567", text) from (
            error
        )
    if not 0 <= energy <= MAX_AMOUNT:
        raise wrong(line, "states an energy out of range", f"0 to {MAX_AMOUNT} mWh", text)
    return energy


def _time_ms(line: int, text: str) -> int:
    expected = "2026-03-01T00:15:00Z, 260301001500W, or milliseconds UTC"
    match = _METER_TIME.fullmatch(text)
    try:
        if match is not None:
            zone = timezone(timedelta(hours=1 if match[2] == "W" else 2))
            moment = datetime.strptime(match[1], "%y%m%d%H%M%S").replace(tzinfo=zone)
        elif text.isascii() and text.isdigit() and len(text) <= 15:
            return int(text)
        else:
            moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise wrong(line, "states no time", expected, text) from error
    if moment.tzinfo is None:
        raise wrong(line, "states a time without its offset from UTC", expected, text)
    elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    if elapsed < timedelta(0):
        raise wrong(line, "states a time before 1970", expected, text)
    return elapsed // timedelta(milliseconds=1)
