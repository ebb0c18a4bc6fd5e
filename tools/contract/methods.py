"""Methods of values: `items.append(x)`, `entries.get(key, 0)`, `text.encode()` and their kin."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Final

from tools.contract.assembler import Operand
from tools.contract.comprehensions import Comprehensions
from tools.contract.source_error import at
from vm.contract.library import LIBRARY
from vm.contract.value_types import ADDRESS, BYTES, INT, STR, Kind, ValueType, list_of, tuple_of

_CHANGING: Final = ("append", "pop", "extend")
_LIBRARY_METHODS: Final = {
    (INT, "to_bytes"): (INT,),
    (STR, "encode"): (),
    (STR, "startswith"): (STR,),
    (STR, "endswith"): (STR,),
    (BYTES, "decode"): (),
    (BYTES, "hex"): (),
    (BYTES, "startswith"): (BYTES,),
    (BYTES, "endswith"): (BYTES,),
}


class Methods(Comprehensions):
    """Emits calls of methods."""

    def arguments(self, node: ast.Call, kinds: Sequence[ValueType]) -> list[Operand]:
        """Emit arguments without names."""
        raise at(node, "this call is not part of the language")

    def library(
        self, node: ast.AST, name: str, values: list[Operand], into: Operand | None
    ) -> Operand:
        """Emit a call of a library function."""
        kinds = tuple([value.type for value in values])
        entry = next(e for e in LIBRARY if e.name == name and e.parameters == kinds)
        result = self.target(into, entry.result)
        registers = [value.register for value in values]
        self.asm.emit("call_library", result.register, entry.number, *registers)
        return result

    def method(
        self, node: ast.Call, function: ast.Attribute, into: Operand | None
    ) -> Operand | None:
        """Emit a call of a method."""
        name = function.attr
        slot = self.slot_of(function.value)
        if slot is not None:
            key, kind = self.declared.slots[slot]
            if key is not None:
                return self._map_method(node, slot, name, into)
            if name in _CHANGING and kind.kind in (Kind.LIST, Kind.DICT):
                raise at(
                    node,
                    f"this would change a copy; write `{slot} = self.{slot}`, change that, and "
                    f"`self.{slot} = {slot}`",
                )
        source = self.value(function.value)
        if source.type.kind is Kind.LIST:
            return self._list_method(node, source, name, into)
        if source.type.kind is Kind.DICT:
            return self._dict_method(node, source, name, into)
        if source.type.name and name == "replace":
            return self._replace(node, source, into)
        if source.type == ADDRESS and name == "to_bytes":
            self.arguments(node, ())
            return self.library(node, "address_bytes", [source], into)
        wanted = _LIBRARY_METHODS.get((source.type, name))
        if wanted is None:
            if name == "format":
                raise at(node, 'format specifications are not part of the language; write f"…"')
            raise at(node, f"{self.shown(source.type)} has no method `{name}`")
        return self.library(node, name, [source, *self.arguments(node, wanted)], into)

    def _map_method(
        self, node: ast.Call, slot: str, name: str, into: Operand | None
    ) -> Operand | None:
        if name != "get" or len(node.args) != 2 or node.keywords:
            raise at(node, f"a map has `self.{slot}.get(key, default)`, `in`, and its keys")
        key = self.map_key(node.args[0], slot)
        kind = self.declared.slots[slot][1]
        default = self.typed(node.args[1], kind, what="the default")
        result = self.target(into, kind)
        number = self.slot_numbers[slot]
        self.asm.emit("map_load_or", result.register, number, key.register, default.register)
        return result

    def _list_method(
        self, node: ast.Call, source: Operand, name: str, into: Operand | None
    ) -> Operand | None:
        item = source.type.items[0]
        if name == "append":
            (value,) = self.arguments(node, (item,))
            self.asm.emit("append", source.register, value.register)
            return None
        if name == "extend":
            (more,) = self.arguments(node, (source.type,))
            self.asm.emit("extend", source.register, more.register)
            return None
        if name == "pop":
            self.arguments(node, ())
            result = self.target(into, item)
            self.asm.emit("pop", result.register, source.register)
            return result
        if name == "copy":
            self.arguments(node, ())
            empty = self.made("new_list", source.type, [], None)
            result = self.target(into, source.type)
            self.asm.emit("concatenate", result.register, source.register, empty.register)
            return result
        raise at(node, f"a list has append, extend, pop and copy, not `{name}`")

    def _dict_method(
        self, node: ast.Call, source: Operand, name: str, into: Operand | None
    ) -> Operand | None:
        key, item = source.type.items
        if name == "get":
            found, default = self.arguments(node, (key, item))
            result = self.target(into, item)
            self.asm.emit(
                "dict_get_or", result.register, source.register, found.register, default.register
            )
            return result
        if name == "pop":
            (found,) = self.arguments(node, (key,))
            result = self.target(into, item)
            self.asm.emit("dict_take", result.register, source.register, found.register)
            return result
        listed = {"keys": key, "values": item, "items": tuple_of(key, item)}
        if name in listed:
            self.arguments(node, ())
            result = self.target(into, list_of(listed[name]))
            self.asm.emit(name, result.register, source.register)
            return result
        if name == "copy":
            self.arguments(node, ())
            result = self.target(into, source.type)
            self.asm.emit("dict_copy", result.register, source.register)
            return result
        raise at(node, f"a dictionary has get, pop, keys, values, items and copy, not `{name}`")

    def _replace(self, node: ast.Call, source: Operand, into: Operand | None) -> Operand:
        kind = source.type
        if node.args or not node.keywords:
            raise at(node, "name what is replaced: `offer.replace(amount=4)`")
        values = []
        for keyword in node.keywords:
            if keyword.arg not in kind.fields:
                raise at(node, f"{self.shown(kind)} has {', '.join(kind.fields)}")
            place = kind.fields.index(keyword.arg)
            values.append((place, self.typed(keyword.value, kind.items[place])))
        found = source
        for place, value in values:
            result = self.asm.temporary(kind)
            self.asm.emit("with_field", result.register, found.register, place, value.register)
            found = result
        return self.moved(found, into)
