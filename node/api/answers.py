"""What the API answers: JSON values, errors with their status, and the bytes of both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from vm.primitives.errors import BitenergyError

JsonValue: TypeAlias = bool | int | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"] | None
"""What becomes JSON; there are no floats."""
JsonObject: TypeAlias = dict[str, JsonValue]
"""An object in the making."""

JSON_TYPE = "application/json"
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_LONGEST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer, before it is bytes."""

    value: JsonValue | bytes
    """The JSON value, or bytes that are ready."""
    tag: str = ""
    """Names what will never change again (a final block, genesis); empty for what may."""
    content_type: str = JSON_TYPE
    """Type of the bytes."""

    def body(self) -> bytes:
        """Return the bytes."""
        return self.value if isinstance(self.value, bytes) else encode_json(self.value)


class ApiError(BitenergyError):
    """A request that is refused, with its HTTP status."""

    default_code = "bad_request"

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        expected: object = None,
        actual: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, expected=expected, actual=actual, hint=hint)
        self.status = status


def encode_json(value: JsonValue) -> bytes:
    """Return a value as JSON of ASCII characters."""
    return _ENCODER.encode(value).encode("ascii")


def error_body(error: BitenergyError) -> bytes:
    """Return the bytes that tell a client about an error."""
    return encode_json(
        {
            "error": {
                "code": error.code,
                "message": error.message,
                "expected": _shown(error.expected),
                "actual": _shown(error.actual),
                "hint": error.hint,
            }
        }
    )


def status_of(error: BitenergyError) -> int:
    """Return the HTTP status of an error: its own, or 400 for other people's mistakes."""
    return error.status if isinstance(error, ApiError) else 400


def _shown(value: object) -> str | None:
    if value is None:
        return None
    text = value.hex() if isinstance(value, bytes) else str(value)
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
