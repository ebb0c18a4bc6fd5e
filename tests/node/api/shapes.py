"""A small reader of JSON schemas, as much as the API's description uses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

KINDS: dict[str, type[Any]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
}
KNOWN = {
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "contentEncoding",
    "default",
    "enum",
    "format",
    "items",
    "maximum",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
}


def find_misfits(
    value: Any, schema: Mapping, document: Mapping, where: str = "answer"
) -> Iterator[str]:
    """Yield what of a value does not fit its schema; unknown keywords are a fault of the schema."""
    assert set(schema) <= KNOWN, f"{where}: unknown keywords {set(schema) - KNOWN}"
    if "$ref" in schema:
        found = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        yield from find_misfits(value, found, document, where)
        return
    for key in ("anyOf", "oneOf"):
        if key in schema:
            fits = [
                not any(find_misfits(value, each, document, where)) for each in schema[key]
            ].count(True)
            if fits == 0 or (key == "oneOf" and fits > 1):
                yield f"{where}: {value!r} fits {fits} of {key}"
    if "const" in schema and value != schema["const"]:
        yield f"{where}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    kind = schema.get("type")
    if kind is None:
        return
    if not isinstance(value, KINDS[kind]) or (kind == "integer" and isinstance(value, bool)):
        yield f"{where}: {value!r} is no {kind}"
    elif kind == "object":
        yield from _misfits_of_object(value, schema, document, where)
    elif kind == "array":
        for place, item in enumerate(value):
            yield from find_misfits(item, schema["items"], document, f"{where}[{place}]")
    elif kind == "string":
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{where}: {value!r} does not match {schema['pattern']}"
    elif kind == "integer":
        if value < schema.get("minimum", value) or value > schema.get("maximum", value):
            yield f"{where}: {value!r} leaves its range"


def _misfits_of_object(
    value: dict, schema: Mapping, document: Mapping, where: str
) -> Iterator[str]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{where}: {name!r} is missing"
    more = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in properties:
            yield from find_misfits(item, properties[name], document, f"{where}.{name}")
        elif more is False:
            yield f"{where}: {name!r} is not described"
        elif isinstance(more, Mapping):
            yield from find_misfits(item, more, document, f"{where}.{name}")
