"""The kinds of arguments that methods declare: what each accepts, in words and as a check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vm.primitives.address import ACCOUNT_ID_BYTES, check_name
from vm.primitives.codec import Value
from vm.primitives.errors import CallError
from vm.primitives.integers import MAX_AMOUNT
from vm.primitives.signatures import PUBLIC_KEY_BYTES, check_public_key


@dataclass(frozen=True, slots=True)
class ArgumentKind:
    """A set of values."""

    words: str
    """What is expected, for people."""
    accepts: Callable[[Value], bool]
    """Whether a value belongs to it."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One declared argument of a method."""

    name: str
    """Its name, units last."""
    kind: ArgumentKind
    """What it accepts."""


def integer(low: int, high: int) -> ArgumentKind:
    """Return the integers from `low` to `high`."""
    return ArgumentKind(
        f"an integer from {low} to {high}",
        lambda value: type(value) is int and low <= value <= high,
    )


def byte_string(low: int, high: int) -> ArgumentKind:
    """Return the byte strings of `low` to `high` bytes."""
    return ArgumentKind(
        f"{low} to {high} bytes", lambda value: type(value) is bytes and low <= len(value) <= high
    )


def text(high: int) -> ArgumentKind:
    """Return the texts of at most `high` bytes of UTF-8."""
    return ArgumentKind(
        f"text of at most {high} bytes",
        lambda value: type(value) is str and len(value.encode()) <= high,
    )


def either(first: ArgumentKind, second: ArgumentKind) -> ArgumentKind:
    """Return what `first` or `second` accepts."""
    return ArgumentKind(
        f"{first.words}, or {second.words}",
        lambda value: first.accepts(value) or second.accepts(value),
    )


UINT63 = integer(0, MAX_AMOUNT)
AMOUNT = integer(1, MAX_AMOUNT)
BOOLEAN = ArgumentKind("true or false", lambda value: type(value) is bool)
ACCOUNT = byte_string(ACCOUNT_ID_BYTES, ACCOUNT_ID_BYTES)
NAME = ArgumentKind(
    "a name of 1 to 32 letters, digits, dots, underscores or hyphens",
    lambda value: type(value) is str and check_name(value),
)
KEY = ArgumentKind(
    f"an Ed25519 public key of {PUBLIC_KEY_BYTES} bytes, canonical and of prime order",
    lambda value: type(value) is bytes and check_public_key(value),
)
EMPTY = ArgumentKind("nothing", lambda value: value == b"")


def validate_arguments(declared: tuple[Argument, ...], values: tuple[Value, ...]) -> None:
    """Raise CallError `invalid_arguments` unless `values` fit what is `declared`."""
    if len(declared) != len(values):
        raise CallError(
            "invalid_arguments",
            "wrong number of arguments",
            expected=", ".join(argument.name for argument in declared) or "none",
            actual=len(values),
        )
    for argument, value in zip(declared, values, strict=True):
        if not argument.kind.accepts(value):
            raise CallError(
                "invalid_arguments",
                f"argument {argument.name!r} does not fit",
                expected=argument.kind.words,
                actual=_shown(value),
            )


def _shown(value: Value) -> str:
    return value.hex()[:80] if type(value) is bytes else str(value)[:80]
