"""The kinds of parameters that routes declare: how each is read, and how OpenAPI describes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from node.api.answers import ApiError, JsonObject
from node.api.privacy import NOBODY, Viewer
from vm.primitives.integers import MAX_AMOUNT

Parsed = int | str | bytes | tuple[str, ...] | tuple[int, int]
"""What a parameter's text becomes."""
Schema = Mapping[str, object]
"""A JSON schema, in the dialect of OpenAPI 3.1."""

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_HASH = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_NAME_PATTERN: Final = "[A-Za-z0-9._-]{1,32}"
_NAME = re.compile(_NAME_PATTERN, re.ASCII)
_ADDRESS_PATTERN: Final = "be[a-z2-7]{40}"
_WHO = re.compile(f"{_NAME_PATTERN}|{_ADDRESS_PATTERN}", re.ASCII)
_CURSOR = re.compile(r"(0|[1-9][0-9]{0,17})(?:\.(0|[1-9][0-9]{0,8}))?", re.ASCII)
_LATEST: Final = "latest"


@dataclass(frozen=True, slots=True)
class ParameterKind:
    """A set of texts and what each means."""

    words: str
    """What is expected, for people."""
    parse: Callable[[str], Parsed | None]
    """Returns the value of a text, or None for a text that does not fit."""
    schema: Schema
    """The same for programs."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One declared parameter of a route."""

    name: str
    """Its name in the query, or between braces in the path."""
    kind: ParameterKind
    """What it accepts."""
    about: str
    """What it is for."""
    default: Parsed | None = None
    """Its value where it is left out."""


class Arguments:
    """The values of a request's parameters, by name, already checked."""

    __slots__ = ("_values", "body", "viewer")

    def __init__(
        self, values: Mapping[str, Parsed | None], body: bytes, viewer: Viewer = NOBODY
    ) -> None:
        self._values = values
        self.body = body
        """The request's body."""
        self.viewer = viewer
        """Who signed it."""

    def number(self, name: str) -> int:
        """Return a number that is always there."""
        value = self._values[name]
        if not isinstance(value, int):
            raise TypeError(f"{name} is not declared as a number with a default")
        return value

    def optional_number(self, name: str) -> int | None:
        """Return a number, or None if it was left out."""
        return None if self._values[name] is None else self.number(name)

    def text(self, name: str) -> str:
        """Return a text; empty if it was left out."""
        value = self._values[name]
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} is not declared as a text")
        return value or ""

    def data(self, name: str) -> bytes:
        """Return bytes that are always there."""
        value = self._values[name]
        if not isinstance(value, bytes):
            raise TypeError(f"{name} is not declared as bytes")
        return value

    def names(self, name: str) -> tuple[str, ...]:
        """Return a list of words."""
        value = self._values[name]
        if not isinstance(value, tuple):
            raise TypeError(f"{name} is not declared as a list")
        return tuple(word for word in value if isinstance(word, str))

    def block(self, name: str) -> int | bytes | None:
        """Return a height or a block id; None means the latest block."""
        value = self._values[name]
        if value == _LATEST:
            return None
        if not isinstance(value, int | bytes):
            raise TypeError(f"{name} is not declared as a block")
        return value

    def cursor(self, name: str) -> tuple[int, int] | None:
        """Return a place to go on from (height, number), or None for the newest."""
        value = self._values[name]
        if value is None:
            return None
        if not isinstance(value, tuple):
            raise TypeError(f"{name} is not declared as a cursor")
        height, number = value
        return int(height), int(number)


def read_parameter(parameter: Parameter, text: str) -> Parsed:
    """Return the value of a parameter's text; raises ApiError."""
    value = parameter.kind.parse(text)
    if value is None:
        raise ApiError(
            400,
            "invalid_parameter",
            f"parameter {parameter.name!r} does not fit",
            expected=parameter.kind.words,
            actual=text,
        )
    return value


def whole(low: int, high: int) -> ParameterKind:
    """Return the kind of whole numbers from `low` to `high`."""

    def parse(text: str) -> Parsed | None:
        if not _NUMBER.fullmatch(text):
            return None
        number = int(text)
        return number if low <= number <= high else None

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return ParameterKind(f"a whole number from {low} to {high}", parse, schema)


def words(*known: str) -> ParameterKind:
    """Return the kind of lists of `known` words with commas between them."""

    def parse(text: str) -> Parsed | None:
        parts = tuple(dict.fromkeys(text.split(",")))
        return parts if all(part in known for part in parts) else None

    one = "|".join(known)
    schema = {"type": "string", "pattern": f"^({one})(,({one}))*$"}
    return ParameterKind(f"some of {', '.join(known)} with commas between", parse, schema)


def _block(text: str) -> Parsed | None:
    if text == _LATEST:
        return text
    if _HASH.fullmatch(text):
        return bytes.fromhex(text)
    return HEIGHT.parse(text)


def _cursor(text: str) -> Parsed | None:
    match = _CURSOR.fullmatch(text)
    return None if match is None else (int(match[1]), int(match[2] or 0))


HEIGHT: Final = whole(0, MAX_AMOUNT)
LIMIT: Final = whole(1, 1_000)
HASH: Final = ParameterKind(
    "64 hexadecimal digits",
    lambda text: bytes.fromhex(text) if _HASH.fullmatch(text) else None,
    {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
)
BLOCK: Final = ParameterKind(
    "a height, a block id of 64 hexadecimal digits, or `latest`",
    _block,
    {"anyOf": [dict(HEIGHT.schema), dict(HASH.schema), {"const": _LATEST}]},
)
NAME: Final = ParameterKind(
    "a name of 1 to 32 letters, digits, dots, underscores or hyphens",
    lambda text: text if _NAME.fullmatch(text) else None,
    {"type": "string", "pattern": f"^{_NAME_PATTERN}$"},
)
WHO: Final = ParameterKind(
    "an address (`be` and 40 small letters and digits) or a member's name",
    lambda text: text if _WHO.fullmatch(text) else None,
    {"type": "string", "pattern": f"^({_NAME_PATTERN}|{_ADDRESS_PATTERN})$"},
)
CURSOR: Final = ParameterKind(
    "a height, or the `next` of the answer before",
    _cursor,
    {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,17})(\.(0|[1-9][0-9]{0,8}))?$"},
)


def parameter_object(parameter: Parameter, *, in_path: bool) -> JsonObject:
    """Return the parameter as OpenAPI describes it."""
    schema = dict(parameter.kind.schema)
    if isinstance(parameter.default, int | str):
        schema["default"] = parameter.default
    elif isinstance(parameter.default, tuple):
        schema["default"] = ",".join(str(word) for word in parameter.default)
    return {
        "name": parameter.name,
        "in": "path" if in_path else "query",
        "required": in_path,
        "description": f"{parameter.about} {parameter.kind.words.capitalize()}.",
        "schema": schema,  # type: ignore[dict-item]
    }
