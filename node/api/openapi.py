"""The API's description in OpenAPI 3.1, written from the table of routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from node.api.answers import Answer, JsonObject, encode_json
from node.api.certificate_pages import CERTIFICATE_SCHEMAS
from node.api.context import ApiContext
from node.api.contract_schemas import CONTRACT_SCHEMAS
from node.api.day_schemas import DAY_SCHEMAS
from node.api.dispatch_schemas import DISPATCH_SCHEMAS
from node.api.governance_schemas import GOVERNANCE_SCHEMAS
from node.api.market_day_schemas import MARKET_DAY_SCHEMAS
from node.api.market_schemas import MARKET_SCHEMAS
from node.api.parameters import Arguments, parameter_object
from node.api.reading_schemas import READING_SCHEMAS
from node.api.routes import WEBSOCKET, Route
from node.api.schemas import SCHEMAS, ref
from node.api.stake_schemas import STAKE_SCHEMAS

COMMON_REFUSALS: Final[Mapping[int, str]] = {
    400: "The request is malformed, or a parameter does not fit.",
    401: "The request is signed, and its signature does not hold.",
    403: "The host or origin of the request is not one of this node's, or what it asks for is "
    "personal data.",
    500: "A bug of the node; its log says more.",
    503: "The node is busy, or stops.",
}
"""Statuses that every route may answer."""
_ABOUT = (
    "Amounts are integers in base units: money in micro-tokens (`_micro`), energy in "
    "milliwatt-hours (`_milli_wh`), time in milliseconds UTC (`_ms`). They go up to 2^63-1, beyond "
    "what a JavaScript number holds exactly. Hashes and keys are hexadecimal, accounts are "
    "addresses, beside which `…_name` gives the member's name where one is known. Everything that "
    "is read is final. Unknown query parameters are refused. Errors are "
    '{"error": {"code", "message", "expected", "actual", "hint"}}.'
)


async def show_openapi(context: ApiContext, _: Arguments) -> Answer:
    """Answer GET /openapi.json."""
    ready = context.ready.get("openapi")
    if ready is None:
        ready = context.ready["openapi"] = context.describe()
    return Answer(ready)


def describe(routes: Iterable[Route]) -> bytes:
    """Return the description of all routes as JSON."""
    paths: dict[str, JsonObject] = {}
    for route in routes:
        method = "get" if route.method == WEBSOCKET else route.method.lower()
        paths.setdefault(route.path, {})[method] = _operation(route)
    document: JsonObject = {
        "openapi": "3.1.0",
        "info": {"title": "bitenergy node", "version": program_version(), "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": {  # type: ignore[dict-item]
                **SCHEMAS,
                **STAKE_SCHEMAS,
                **MARKET_SCHEMAS,
                **MARKET_DAY_SCHEMAS,
                **CERTIFICATE_SCHEMAS,
                **DAY_SCHEMAS,
                **READING_SCHEMAS,
                **GOVERNANCE_SCHEMAS,
                **CONTRACT_SCHEMAS,
                **DISPATCH_SCHEMAS,
            },
        },
    }
    return encode_json(document)


@cache
def program_version() -> str:
    """Return the version of the installed program."""
    # Not needed to begin answering, and slow to import.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("bitenergy")
    except PackageNotFoundError:
        return "unknown"


def statuses(route: Route) -> dict[int, str]:
    """Return every status that a route may answer, with its meaning."""
    found = {101 if route.method == WEBSOCKET else 200: route.summary}
    if route.may_be_final:
        found[304] = "What the client has (its ETag is in If-None-Match) still holds."
    return {**found, **COMMON_REFUSALS, **route.refusals}


def _operation(route: Route) -> JsonObject:
    in_path = route.path_names()
    operation: JsonObject = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [
            parameter_object(parameter, in_path=parameter.name in in_path)
            for parameter in route.parameters
        ],
        "responses": {
            str(status): _response(route, status, about)
            for status, about in sorted(statuses(route).items())
        },
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": route.body}},  # type: ignore[dict-item]
        }
    return operation


def _response(route: Route, status: int, about: str) -> JsonObject:
    if status == 304:
        return {"description": about}
    if status == 101:
        return {"description": about, "x-messages": route.schema}  # type: ignore[dict-item]
    kind = route.content_type.partition(";")[0] if status == 200 else "application/json"
    schema = route.schema if status == 200 else ref("Error")
    return {"description": about, "content": {kind: {"schema": schema}}}  # type: ignore[dict-item]
