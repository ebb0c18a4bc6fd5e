"""What can go wrong between a command and its node, and the exit status of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vm.primitives.errors import BitenergyError

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_TIMEOUT: Final = 4
EXIT_INTERRUPTED: Final = 130

Json = Mapping[str, object]
"""One JSON object of an answer."""


class ToolError(BitenergyError):
    """A command that cannot do what it was asked."""

    default_code = "failed"
    exit_status = EXIT_FAILED


@dataclass(frozen=True, slots=True)
class FinalTransaction:
    """A transaction that a final block holds."""

    id: str
    """Its id, 64 hexadecimal digits."""
    height: int
    """Height of the block that holds it."""
    receipt: Json
    """What came of it, as the API describes receipts."""


class ClientError(ToolError):
    """A request that brought no usable answer."""

    default_code = "client_error"


class NodeUnreachable(ClientError):
    """Nothing answers at the node's address."""

    default_code = "node_unreachable"
    exit_status = EXIT_UNREACHABLE


class NodeTimeout(ClientError):
    """The node, or the network's agreement, did not come in time."""

    default_code = "timeout"
    exit_status = EXIT_TIMEOUT


class NodeRefused(ClientError):
    """The node answered that the request is wrong (an HTTP status of 4xx or 5xx)."""

    default_code = "refused"

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        expected: str | None = None,
        actual: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, expected=expected, actual=actual, hint=hint)
        self.status = status


class AnswerInvalid(ClientError):
    """What answers is not a node of ours, or not of this version."""

    default_code = "invalid_answer"


class WrongNetwork(ClientError):
    """The node belongs to another network than the one we pinned."""

    default_code = "wrong_network"


class TransactionRejected(ClientError):
    """The node did not take the transaction into its mempool; nothing changed."""

    default_code = "rejected"


class TransactionFailed(ClientError):
    """The transaction is final and its calls failed; nothing but nonce and fee changed."""

    default_code = "failed"

    def __init__(self, code: str, message: str, final: FinalTransaction) -> None:
        super().__init__(message, code=code, hint=f"Details: bitenergy tx show {final.id}.")
        self.final = final
