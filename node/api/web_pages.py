"""The pages beside the API: files that the program handed over, found by the path of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types charts"
)
"""What pages may load: this server's own files and answers, and no markup made of text."""
INDEX: Final = "/index.html"


@dataclass(frozen=True, slots=True)
class SiteFile:
    """One file of the pages."""

    body: bytes
    """Its bytes."""
    content_type: str
    """Its type, as HTTP names it."""
    tag: str
    """Names its content."""


class Site:
    """The files of the pages, and what is answered to their addresses."""

    __slots__ = ("_files", "_pages")

    def __init__(self, files: Mapping[str, SiteFile], pages: Mapping[str, SiteFile]) -> None:
        """Prepare to find `files` by path (`/style.css`), `pages` by the first part of theirs."""
        self._files = dict(files)
        self._pages = dict(pages)

    def find(self, path: str) -> SiteFile | None:
        """Return the file of a path, what shows a page for its address, or None."""
        return self._files.get(path) or self._pages.get(path.split("/", 2)[1])
