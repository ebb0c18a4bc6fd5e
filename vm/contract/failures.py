"""How contract code fails: one function for each code.

Its texts are part of receipts, so they are fixed. Nothing here may show a text that Python made:
that differs between versions.
"""

from __future__ import annotations

from vm.contract.limits import MAX_BYTES, MAX_CALL_DEPTH, MAX_ITEMS, MAX_MEMORY_BYTES
from vm.primitives.errors import CallError


def overflow() -> CallError:
    """Return the failure of arithmetic that leaves 256 bits."""
    return CallError("overflow", "an integer leaves its 256 bits")


def division_by_zero() -> CallError:
    """Return the failure of a division by zero."""
    return CallError("division_by_zero", "a division by zero")


def out_of_range(what: str) -> CallError:
    """Return the failure of an operand outside its range."""
    return CallError("out_of_range", what)


def index_out_of_range() -> CallError:
    """Return the failure of an index beyond the items."""
    return CallError("index_out_of_range", "an index lies beyond the items")


def key_missing() -> CallError:
    """Return the failure of looking up a key that is not there."""
    return CallError("key_missing", "the key is not there")


def too_long() -> CallError:
    """Return the failure of making a text or collection beyond its limit."""
    return CallError(
        "too_long",
        "a value grows beyond its limit",
        expected=f"at most {MAX_BYTES} bytes or letters, {MAX_ITEMS} items",
    )


def too_large(limit: int) -> CallError:
    """Return the failure of a value that is too large to be stored or passed on."""
    return CallError(
        "too_long", "a value is too large here", expected=f"at most {limit} encoded bytes"
    )


def invalid_text() -> CallError:
    """Return the failure of bytes that are no text, or of text that is no number."""
    return CallError("invalid_text", "the text does not have the form that is asked for")


def out_of_memory() -> CallError:
    """Return the failure of allocating too much."""
    return CallError(
        "out_of_memory",
        "the transaction's contracts use up their memory",
        expected=f"at most {MAX_MEMORY_BYTES} bytes",
    )


def too_deep() -> CallError:
    """Return the failure of calls that are nested too deeply."""
    return CallError(
        "too_deep", "calls are nested too deeply", expected=f"at most {MAX_CALL_DEPTH}"
    )


def requirement_failed(message: str) -> CallError:
    """Return the failure that the contract asked for."""
    return CallError("requirement_failed", message)
