"""Sources of contracts in files."""

from __future__ import annotations

from pathlib import Path

from tools.contract.compiler import Artefact, compile_source
from tools.contract.source_error import SourceError
from tools.errors import ToolError


def load_artefact(path: Path) -> Artefact:
    """Return the code of a source file; raises ToolError with file, line and column."""
    try:
        return compile_source(path.read_bytes())
    except SourceError as error:
        raise ToolError(f"{path}:{error}", code=error.code) from error
