"""Types as the source writes them: `int`, `list[int]`, `tuple[address, int]`, names of records."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final

from tools.contract.source_error import at
from vm.contract.limits import MAX_TUPLE_ITEMS, MAX_TYPE_DEPTH, MAX_TYPE_NODES
from vm.contract.value_types import (
    ADDRESS,
    BOOL,
    BYTES,
    INT,
    STR,
    ValueType,
    depth_of,
    dict_of,
    is_key_type,
    list_of,
    nodes_of,
    tuple_of,
)

SIMPLE_NAMES: Final[Mapping[str, ValueType]] = {
    "int": INT,
    "bool": BOOL,
    "bytes": BYTES,
    "str": STR,
    "address": ADDRESS,
}
_INSTEAD: Final = {
    "float": "there are no floats; count in millionths with `int` and the module `fixed`",
    "set": "sets are not part of the language; use `dict[T, bool]`",
    "map": "`map[K, V]` is for storage alone; inside a function use `dict[K, V]`",
}


def read_type(node: ast.expr, records: Mapping[str, ValueType]) -> ValueType:
    """Return the type that an annotation names; raises SourceError."""
    kind = _read(node, records)
    if depth_of(kind) > MAX_TYPE_DEPTH or nodes_of(kind) > MAX_TYPE_NODES:
        raise at(node, "this type is made of too many others; use a record or a map")
    return kind


def _read(node: ast.expr, records: Mapping[str, ValueType]) -> ValueType:
    if isinstance(node, ast.Name):
        found = SIMPLE_NAMES.get(node.id) or records.get(node.id)
        if found is not None:
            return found
        wanted = {"list": "list[int]", "dict": "dict[str, int]", "tuple": "tuple[int, int]"}
        if node.id in wanted:
            raise at(node, f"say what it holds, for example `{wanted[node.id]}`")
        raise at(node, _INSTEAD.get(node.id, f"`{node.id}` is not a type"))
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        items = [_read(item, records) for item in inner]
        name = node.value.id
        if name == "list" and len(items) == 1:
            return list_of(items[0])
        if name == "tuple" and 1 <= len(items) <= MAX_TUPLE_ITEMS:
            return tuple_of(*items)
        if name == "dict" and len(items) == 2:
            if items[0].items:
                raise at(node, "a dictionary's key is an int, bool, bytes, str or address")
            return dict_of(*items)
        if name in _INSTEAD:
            raise at(node, _INSTEAD[name])
    raise at(
        node,
        "not a type; types are int, bool, bytes, str, address, list[T], dict[K, V], "
        "tuple[A, B] and records",
    )


def read_storage_type(
    node: ast.expr, records: Mapping[str, ValueType]
) -> tuple[ValueType | None, ValueType]:
    """Return the types of key (None for a variable) and value of a storage declaration."""
    if (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "map"
    ):
        if not isinstance(node.slice, ast.Tuple) or len(node.slice.elts) != 2:
            raise at(node, "a map has a key and a value: `map[address, int]`")
        key, value = (read_type(item, records) for item in node.slice.elts)
        if not is_key_type(key):
            raise at(node, "a map's key is an int, bool, bytes, str, address, or a tuple of these")
        return key, value
    return None, read_type(node, records)
