"""Routes: one declaration each, from which requests are checked and OpenAPI is written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from node.api.answers import Answer, ApiError
from node.api.context import ApiContext
from node.api.parameters import Arguments, Parameter, Parsed, Schema, read_parameter

Handler = Callable[[ApiContext, Arguments], Awaitable[Answer]]
"""What answers a request whose parameters are checked."""

BASE: Final = "/api/v1"
"""What the paths of all routes but a few begin with."""
MAX_QUERY_FIELDS: Final = 16
WEBSOCKET: Final = "WS"
"""Method of the one route that becomes a WebSocket; its requests are GET."""


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that the API answers."""

    method: str
    """GET, POST or WEBSOCKET."""
    path: str
    """Path with parameters between braces."""
    name: str
    """Name of the operation, unique."""
    summary: str
    """What it gives, in a sentence."""
    schema: Schema
    """Shape of the answer."""
    handler: Handler | None
    """What answers; None where the server does it itself."""
    parameters: tuple[Parameter, ...] = ()
    """Parameters of path and query."""
    refusals: Mapping[int, str] = field(default_factory=dict)
    """Further statuses and when they come."""
    body: Schema | None = None
    """Shape of the request's body."""
    content_type: str = "application/json"
    """Type of the answer."""
    searches: bool = False
    """Whether it may read much, so that few of its requests are answered at a time."""
    may_be_final: bool = False
    """Whether some answers never change, carry an ETag and may be answered by 304."""

    def path_names(self) -> tuple[str, ...]:
        """Return the names of the parameters that stand in the path."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    def read(self, captured: Mapping[str, str], query: str) -> dict[str, Parsed | None]:
        """Return the values of all parameters; raises ApiError 400."""
        given = _read_query(query)
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known or name in captured:
                expected = [name for name in known if name not in captured]
                raise ApiError(
                    400,
                    "unknown_parameter",
                    "this route has no such query parameter",
                    expected=", ".join(expected) or "none",
                    actual=name,
                )
        given |= captured
        return {
            name: read_parameter(parameter, given[name]) if name in given else parameter.default
            for name, parameter in known.items()
        }


class Router:
    """Finds the route of a request."""

    __slots__ = ("_patterns", "_static")

    def __init__(self, routes: Iterable[Route]) -> None:
        self._static: dict[str, dict[str, Route]] = {}
        self._patterns: dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
        by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[_http_method(route)] = route
        for path, methods in by_path.items():
            if "{" in path:
                parts = tuple(path.split("/"))
                self._patterns.setdefault(len(parts), []).append((parts, methods))
            else:
                self._static[path] = methods

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Return the route and what stands in the path's parameters.

        Raises ApiError 404, or 405 for a path that has other methods.
        """
        methods, captured = self._find_path(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = allowed_methods(methods)
            raise ApiError(
                405,
                "method_not_allowed",
                "this path does not take the method",
                expected=", ".join(allowed),
                actual=method,
            )
        return route, captured

    def methods(self, path: str) -> list[str]:
        """Return the methods that a path takes; raises ApiError 404."""
        return allowed_methods(self._find_path(path)[0])

    def _find_path(self, path: str) -> tuple[dict[str, Route], dict[str, str]]:
        found = self._static.get(path)
        if found is not None:
            return found, {}
        parts = path.split("/")
        for pattern, methods in self._patterns.get(len(parts), ()):
            captured: dict[str, str] = {}
            for want, part in zip(pattern, parts, strict=True):
                if want.startswith("{"):
                    captured[want[1:-1]] = _decode(part)
                elif want != part:
                    break
            else:
                return methods, captured
        raise ApiError(
            404,
            "unknown_path",
            "there is nothing at this path",
            actual=path,
            hint="/openapi.json lists all paths.",
        )


def allowed_methods(methods: Mapping[str, Route]) -> list[str]:
    """Return the methods of a path, as the header Allow lists them."""
    found = [*methods, "OPTIONS"]
    return [*found, "HEAD"] if "GET" in methods else found


def _http_method(route: Route) -> str:
    return "GET" if route.method == WEBSOCKET else route.method


def _read_query(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    if not query:
        return found
    parts = query.split("&", MAX_QUERY_FIELDS)
    if len(parts) > MAX_QUERY_FIELDS:
        raise ApiError(
            400,
            "too_many_parameters",
            "too many parameters",
            expected=f"at most {MAX_QUERY_FIELDS}",
        )
    for part in parts:
        name, _, value = part.partition("=")
        name = _decode(name.replace("+", " "))
        if name in found:
            raise ApiError(400, "repeated_parameter", "a parameter is given twice", actual=name)
        found[name] = _decode(value.replace("+", " "))
    return found


def _decode(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise ApiError(
            400, "invalid_encoding", "the address is not percent-encoded UTF-8", actual=text
        ) from error
