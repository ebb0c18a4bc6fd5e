"""What the compiler says of a source that it refuses: where, what, and what to write instead."""

from __future__ import annotations

import ast

from vm.primitives.errors import InvalidInput


class SourceError(InvalidInput):
    """A refused source; lines and columns count from 1."""

    default_code = "invalid_source"

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.message}"


def at(node: ast.AST, message: str) -> SourceError:
    """Return the refusal of a piece of the source."""
    return SourceError(getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1, message)
