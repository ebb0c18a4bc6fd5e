"""The one tree of errors that other people's input can cause, and the one error that is ours.

Everything below `BitenergyError` is somebody's mistake or malice: it is answered and the node
lives on. `InvariantViolation` stands outside the tree on purpose, so that no handler for bad
input can swallow it: it stops the node before anything is written.
"""

from __future__ import annotations


class BitenergyError(Exception):
    """A refused input: what was expected, what came, and what to do about it."""

    default_code = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        expected: object = None,
        actual: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.expected = expected
        self.actual = actual
        self.hint = hint

    def __str__(self) -> str:
        parts = [self.message]
        if self.expected is not None:
            parts.append(f"expected {_readable(self.expected)}")
        if self.actual is not None:
            parts.append(f"got {_readable(self.actual)}")
        text = "; ".join(parts)
        return f"{text}. {self.hint}" if self.hint else text


class InvalidInput(BitenergyError):
    """Bytes or values from outside that are not well formed."""

    default_code = "invalid_input"


class DecodeError(InvalidInput):
    """Bytes that are not the canonical encoding of anything we accept."""

    default_code = "invalid_encoding"


class InvalidTransaction(InvalidInput):
    """A transaction that cannot stand in any block."""

    default_code = "invalid_transaction"


class InvalidBlock(InvalidInput):
    """A block whose contents contradict its header, its parent or the rules."""

    default_code = "invalid_block"


class InvalidGenesis(InvalidInput):
    """A genesis file that contradicts itself."""

    default_code = "invalid_genesis"


class InvalidProof(InvalidInput):
    """A proof that does not prove what it claims."""

    default_code = "invalid_proof"


class CallError(BitenergyError):
    """A call that failed: its transaction gets a receipt with this code, the block stands."""

    default_code = "call_failed"

    def __init__(
        self,
        code: str,
        message: str,
        *,
        expected: object = None,
        actual: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, expected=expected, actual=actual, hint=hint)


class OutOfGas(CallError):
    """A call that needed more gas than its transaction allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            "out_of_gas", "the gas limit is used up", actual=limit, hint="Raise the gas limit."
        )


class InvariantViolation(Exception):
    """A bug of ours: the node halts on it, whoever's input brought it to light."""


def _readable(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
