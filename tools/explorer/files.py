"""The files of the pages, read from where the program and its chart library are installed."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from node.api.web_pages import INDEX, Site, SiteFile
from tools.errors import ToolError

TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PAGES: Final = frozenset(
    (
        "",
        "account",
        "auctions",
        "block",
        "blocks",
        "certificates",
        "contracts",
        "days",
        "dispatch",
        "exchange",
        "governance",
        "grid",
        "market",
        "meters",
        "network",
        "quotas",
        "response",
        "stakes",
        "transaction",
        "transactions",
        "transfer",
        "verify",
        "wallet",
    )
)
"""First parts of the addresses that app.js shows."""
CHARTS: Final = "/lib/d3.js"
HOME: Final = "home"
_IMPORT: Final = re.compile(r'^import .* from "([^"]+)";', re.MULTILINE)


def load_site() -> Site:
    """Return the pages; raises ToolError where the chart library is not installed."""
    files: dict[str, SiteFile] = {}
    _collect(resources.files("tools.explorer") / "web", "", files)
    files[CHARTS] = _file(_chart_library().read_bytes(), ".js")
    return Site(files, {page: _index_of(page, files) for page in PAGES})


def _index_of(page: str, files: Mapping[str, SiteFile]) -> SiteFile:
    """Return the index that has a browser fetch, at once, all modules that a page needs."""
    index = files[INDEX].body.decode("utf-8")
    waiting = [f"/pages/{page or HOME}.js"]
    links: list[str] = []
    while waiting:
        path = waiting.pop()
        link = f'<link rel="modulepreload" href="{path}">'
        if link in index or link in links:
            continue
        links.append(link)
        folder = path.rpartition("/")[0]
        named = _IMPORT.findall(files[path].body.decode("utf-8"))
        waiting += [posixpath.normpath(f"{folder}/{target}") for target in named]
    return _file(index.replace("</head>", "\n".join((*links, "</head>"))).encode(), ".html")


def _collect(folder: Traversable, path: str, files: dict[str, SiteFile]) -> None:
    for item in folder.iterdir():
        name = f"{path}/{item.name}"
        if item.is_dir():
            _collect(item, name, files)
        elif (ending := Path(item.name).suffix) in TYPES:
            files[name] = _file(item.read_bytes(), ending)


def _file(body: bytes, ending: str) -> SiteFile:
    return SiteFile(body, TYPES[ending], hashlib.sha256(body).hexdigest()[:32])


def _chart_library() -> Path:
    """Return D3, as the package XStatic-D3 brings it; the package itself is not imported."""
    try:
        found = find_spec("xstatic.pkg.d3")
    except ModuleNotFoundError:  # not even the package around it is there
        found = None
    places = list(found.submodule_search_locations or ()) if found else []
    for place in places:
        path = Path(place) / "data" / "d3.js"
        if path.is_file():
            return path
    raise ToolError(
        "the chart library of the explorer is not installed",
        code="no_charts",
        expected="the package XStatic-D3",
        hint="Install bitenergy again, with its dependencies: make setup.",
    )
