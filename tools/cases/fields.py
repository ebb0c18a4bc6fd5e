"""Access to the fields of a JSON document, exact and with errors that say where."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from vm.primitives.decimal_text import parse_decimal
from vm.primitives.errors import InvalidInput

Entry = Mapping[str, object]
"""One JSON object."""


def parse_json(text: str, where: str) -> Entry:
    """Return the JSON object in `text`; numbers with a point stay exact decimals."""
    try:
        found = json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise InvalidInput(f"{where} is not JSON: {error}", code="invalid_case") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{where} is no JSON object", code="invalid_case")
    return found


def load_json(path: Path) -> Entry:
    """Return the JSON object in a file; raises InvalidInput where it is none, OSError unread."""
    try:
        return parse_json(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 text", code="invalid_case") from error


def text_field(entry: Entry, key: str, where: str) -> str:
    """Return a field that is text."""
    value = entry.get(key)
    if not isinstance(value, str):
        raise _wrong(where, key, "text", value)
    return value


def integer_field(entry: Entry, key: str, where: str) -> int:
    """Return a field that is an integer, as a number or as decimal text of any length."""
    return decimal_field(entry, key, 0, where)


def decimal_field(entry: Entry, key: str, decimals: int, where: str) -> int:
    """Return a field times 10**decimals, exactly; it is a number or decimal text."""
    return scaled(entry.get(key), decimals, f"{where}: {key}")


def scaled(value: object, decimals: int, where: str) -> int:
    """Return a JSON value times 10**decimals; raises InvalidInput if that is no integer."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise _wrong(where, "", "a number", value)
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    try:
        return parse_decimal(text, decimals)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}", code="invalid_case") from error


def entries(entry: Entry, key: str, where: str) -> Iterator[tuple[Entry, str]]:
    """Yield the objects of a list with the place of each; a list that is not there is empty."""
    value = entry.get(key, [])
    if not isinstance(value, list):
        raise _wrong(where, key, "a list", value)
    for number, item in enumerate(value):
        if not isinstance(item, dict):
            raise _wrong(f"{where}: {key}[{number}]", "", "an object", item)
        yield item, f"{where}: {key}[{number}]"


def object_field(entry: Entry, key: str, where: str) -> Entry:
    """Return a field that is an object."""
    value = entry.get(key)
    if not isinstance(value, dict):
        raise _wrong(where, key, "an object", value)
    return value


def list_field(entry: Entry, key: str, where: str) -> list[object]:
    """Return a field that is a list."""
    value = entry.get(key)
    if not isinstance(value, list):
        raise _wrong(where, key, "a list", value)
    return value


def _wrong(where: str, key: str, expected: str, actual: object) -> InvalidInput:
    place = f"{where}: {key}" if key else where
    return InvalidInput(
        f"{place} is not as expected",
        code="invalid_case",
        expected=expected,
        actual="nothing" if actual is None else str(actual)[:80],
    )
