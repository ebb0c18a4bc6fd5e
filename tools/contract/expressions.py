"""Expressions: each leaves its value in a register."""

from __future__ import annotations

import ast
from typing import Final

from tools.contract.assembler import Operand
from tools.contract.conditions import Conditions
from tools.contract.folding import fold, literal_of
from tools.contract.source_error import at
from vm.contract.library import LIBRARY
from vm.contract.limits import MAX_TUPLE_ITEMS
from vm.contract.value_types import (
    BOOL,
    BYTES,
    INT,
    STR,
    Kind,
    ValueType,
    dict_of,
    list_of,
    tuple_of,
)

_ARITHMETIC: Final = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.FloorDiv: "divide",
    ast.Mod: "modulo",
    ast.Pow: "power",
    ast.LShift: "shift_left",
    ast.RShift: "shift_right",
    ast.BitAnd: "bit_and",
    ast.BitOr: "bit_or",
    ast.BitXor: "bit_xor",
}
_SEQUENCES: Final = (Kind.LIST, Kind.BYTES, Kind.STR)
_TEXT_OF_INT: Final = next(entry.number for entry in LIBRARY if entry.name == "str")


class Expressions(Conditions):
    """Emits what computes expressions."""

    def value(
        self, node: ast.expr, into: Operand | None = None, wanted: ValueType | None = None
    ) -> Operand:
        """Emit what computes an expression; return where its value is."""
        known = fold(node, self.declared.constants, needed=False)
        if known is not None:
            return self.literal(known, into)
        match node:
            case ast.Constant():
                return self.literal(literal_of(node), into)
            case ast.Name():
                return self.moved(self.read_name(node), into)
            case ast.BinOp():
                return self._binary(node, into)
            case ast.UnaryOp():
                return self._unary(node, into)
            case ast.BoolOp():
                return self.moved(self.truth(node), into)
            case ast.Compare():
                return self.comparison(node, into)
            case ast.IfExp():
                return self._choice(node, into, wanted)
            case ast.Call():
                found = self.call(node, into, wanted)
                if found is None:
                    raise at(node, "this call returns nothing and has no value")
                return found
            case ast.Attribute():
                return self._attribute(node, into)
            case ast.Subscript():
                return self._subscript(node, into)
            case ast.List() | ast.Tuple() | ast.Dict():
                return self._display(node, into, wanted)
            case ast.ListComp() | ast.DictComp():
                return self.comprehension(node, into, wanted)
            case ast.JoinedStr():
                return self._formatted(node, into)
        raise at(node, "this expression is not part of the language")

    def call(
        self, node: ast.Call, into: Operand | None, wanted: ValueType | None
    ) -> Operand | None:
        """Emit a call; return where its value is, or None where it has none."""
        raise at(node, "this call is not part of the language")

    def comprehension(
        self,
        node: ast.ListComp | ast.DictComp,
        into: Operand | None,
        wanted: ValueType | None,
    ) -> Operand:
        """Emit a comprehension."""
        raise at(node, "this expression is not part of the language")

    def _binary(self, node: ast.BinOp, into: Operand | None) -> Operand:
        left = self.value(node.left)
        number = self._small_number(node) if left.type == INT else None
        if number is not None:
            result = self.target(into, INT)
            self.asm.emit("add_number", result.register, left.register, number)
            return result
        right = self.value(node.right, wanted=left.type)
        return self.operate(node, node.op, left, right, into)

    def _small_number(self, node: ast.BinOp) -> int | None:
        """Return what is added where it fits into the instruction."""
        if not isinstance(node.op, ast.Add | ast.Sub):
            return None
        known = fold(node.right, self.declared.constants, needed=False)
        if known is None or known[0] != INT:
            return None
        number = int(known[1]) if isinstance(node.op, ast.Add) else -int(known[1])
        return number if -(2**15) <= number < 2**15 else None

    def operate(
        self,
        node: ast.AST,
        operator: ast.operator,
        left: Operand,
        right: Operand,
        into: Operand | None,
    ) -> Operand:
        """Emit an operation on two values."""
        name = _ARITHMETIC.get(type(operator))
        if left.type == right.type == INT and name is not None:
            result = self.target(into, INT)
            self.asm.emit(name, result.register, left.register, right.register)
            return result
        if isinstance(operator, ast.Add) and left.type == right.type:
            if left.type.kind in _SEQUENCES:
                result = self.target(into, left.type)
                self.asm.emit("concatenate", result.register, left.register, right.register)
                return result
        if isinstance(operator, ast.Mult) and right.type == INT and left.type.kind in _SEQUENCES:
            result = self.target(into, left.type)
            self.asm.emit("repeat", result.register, left.register, right.register)
            return result
        if isinstance(operator, ast.Div):
            raise at(node, "`/` gives a float; write `//`, or `fixed.div` and `math.mul_div`")
        if STR in (left.type, right.type) and isinstance(operator, ast.Add):
            raise at(node, "only text can be added to text; write `str(…)`")
        raise at(
            node,
            f"this operation does not take {self.shown(left.type)} and {self.shown(right.type)}",
        )

    def _unary(self, node: ast.UnaryOp, into: Operand | None) -> Operand:
        if isinstance(node.op, ast.Not):
            inner = self.typed(node.operand, BOOL, what="what `not` stands before")
            result = self.target(into, BOOL)
            self.asm.emit("not", result.register, inner.register)
            return result
        inner = self.typed(node.operand, INT, what="this")
        if isinstance(node.op, ast.UAdd):
            return self.moved(inner, into)
        result = self.target(into, INT)
        name = "negate" if isinstance(node.op, ast.USub) else "invert"
        self.asm.emit(name, result.register, inner.register)
        return result

    def _choice(self, node: ast.IfExp, into: Operand | None, wanted: ValueType | None) -> Operand:
        otherwise, end = self.asm.label(), self.asm.label()
        self.jump_if(node.test, otherwise, sense=False)
        # Into a register of its own: the other branch may read what `into` holds.
        first = self.value(node.body, wanted=wanted)
        result = self.asm.temporary(first.type)
        self.moved(first, result)
        self.asm.jump(end)
        self.asm.place(otherwise)
        second = self.value(node.orelse, wanted=first.type)
        if second.type != first.type:
            raise self.mismatch(node.orelse, "the other choice", first.type, second.type)
        self.moved(second, result)
        self.asm.place(end)
        return self.moved(result, into)

    # Parts

    def _attribute(self, node: ast.Attribute, into: Operand | None) -> Operand:
        slot = self.slot_of(node)
        if slot is not None:
            key, kind = self.declared.slots[slot]
            if key is not None:
                raise at(node, f"a map is used by its keys: `self.{slot}[key]`")
            result = self.target(into, kind)
            self.asm.emit("load", result.register, self.slot_numbers[slot])
            return result
        found = self.module_constant(node)
        if found is not None:
            return self.literal((INT, found), into)
        source = self.value(node.value)
        if node.attr not in source.type.fields:
            hint = f"; it has {', '.join(source.type.fields)}" if source.type.fields else ""
            raise at(node, f"{self.shown(source.type)} has no `{node.attr}`{hint}")
        place = source.type.fields.index(node.attr)
        result = self.target(into, source.type.items[place])
        self.asm.emit("field", result.register, source.register, place)
        return result

    def module_constant(self, node: ast.Attribute) -> int | None:
        """Return the constant of a module that an attribute names, or None."""
        return None

    def _subscript(self, node: ast.Subscript, into: Operand | None) -> Operand:
        slot = self.slot_of(node.value)
        if slot is not None and self.declared.slots[slot][0] is not None:
            key = self.map_key(node.slice, slot)
            result = self.target(into, self.declared.slots[slot][1])
            self.asm.emit("map_load", result.register, self.slot_numbers[slot], key.register)
            return result
        source = self.value(node.value)
        kind = source.type
        if isinstance(node.slice, ast.Slice):
            return self._slice(node, node.slice, source, into)
        if kind.kind is Kind.TUPLE:
            place = self._place(node, kind)
            result = self.target(into, kind.items[place])
            self.asm.emit("field", result.register, source.register, place)
            return result
        if kind.kind is Kind.DICT:
            key = self.typed(node.slice, kind.items[0], what="the key")
            result = self.target(into, kind.items[1])
            self.asm.emit("dict_get", result.register, source.register, key.register)
            return result
        if kind.kind not in _SEQUENCES:
            raise at(node, f"{self.shown(kind)} has no items")
        index = self.typed(node.slice, INT, what="an index")
        item = kind.items[0] if kind.kind is Kind.LIST else INT if kind == BYTES else STR
        result = self.target(into, item)
        self.asm.emit("item", result.register, source.register, index.register)
        return result

    def map_key(self, node: ast.expr, slot: str) -> Operand:
        """Emit the key of a storage map."""
        key = self.declared.slots[slot][0]
        if key is None:
            raise at(node, f"`{slot}` is a variable and has no keys")
        return self.typed(node, key, what=f"a key of `{slot}`")

    def _place(self, node: ast.Subscript, kind: ValueType) -> int:
        known = fold(node.slice, self.declared.constants, needed=False)
        count = len(kind.items)
        if known is None or known[0] != INT or not -count <= int(known[1]) < count:
            raise at(node, f"an item of a tuple has a constant index from 0 to {count - 1}")
        return int(known[1]) % count

    def _slice(
        self, node: ast.Subscript, bounds: ast.Slice, source: Operand, into: Operand | None
    ) -> Operand:
        if source.type.kind not in _SEQUENCES:
            raise at(node, f"{self.shown(source.type)} cannot be cut")
        if bounds.step is not None:
            raise at(node, "a slice has no step; use `reversed`, or a comprehension")
        if bounds.lower is None:
            start = self.literal((INT, 0))
        else:
            start = self.typed(bounds.lower, INT, what="a bound")
        if bounds.upper is None:
            end = self.asm.temporary(INT)
            self.asm.emit("length", end.register, source.register)
        else:
            end = self.typed(bounds.upper, INT, what="a bound")
        result = self.target(into, source.type)
        self.asm.emit("slice", result.register, source.register, start.register, end.register)
        return result

    # Displays

    def _display(
        self,
        node: ast.List | ast.Tuple | ast.Dict,
        into: Operand | None,
        wanted: ValueType | None,
    ) -> Operand:
        if isinstance(node, ast.Dict):
            return self._dict_display(node, into, wanted)
        if isinstance(node, ast.Tuple):
            if not 1 <= len(node.elts) <= MAX_TUPLE_ITEMS:
                raise at(node, f"a tuple has 1 to {MAX_TUPLE_ITEMS} items")
            hints: tuple[ValueType | None, ...] = (None,) * len(node.elts)
            if wanted is not None and len(wanted.items) == len(node.elts):
                hints = wanted.items
            items = [
                self.value(item, wanted=hint) for item, hint in zip(node.elts, hints, strict=True)
            ]
            return self.made("new_tuple", tuple_of(*[item.type for item in items]), items, into)
        hint = wanted.items[0] if wanted is not None and wanted.kind is Kind.LIST else None
        if not node.elts and hint is None:
            raise at(node, "say what the empty list holds: `found: list[int] = []`")
        items = []
        for item in node.elts:
            items.append(self.value(item, wanted=hint))
            hint = hint or items[0].type
            if items[-1].type != hint:
                raise self.mismatch(item, "an item of this list", hint, items[-1].type)
        if len(items) > 200:
            raise at(node, "a list is written with at most 200 items; append the others")
        return self.made("new_list", list_of(hint), items, into)  # type: ignore[arg-type]

    def made(
        self, name: str, kind: ValueType, items: list[Operand], into: Operand | None
    ) -> Operand:
        """Emit what makes a list or tuple of values."""
        result = self.target(into, kind)
        self.asm.emit(name, result.register, *[item.register for item in items])
        return result

    def _dict_display(
        self, node: ast.Dict, into: Operand | None, wanted: ValueType | None
    ) -> Operand:
        kind = wanted if wanted is not None and wanted.kind is Kind.DICT else None
        if not node.keys and kind is None:
            raise at(node, "say what the empty dictionary holds: `found: dict[str, int] = {}`")
        pairs = []
        for key, item in zip(node.keys, node.values, strict=True):
            if key is None:
                raise at(node, "`**` is not part of the language; copy the entries in a loop")
            name = self.value(key, wanted=kind.items[0] if kind else None)
            held = self.value(item, wanted=kind.items[1] if kind else None)
            if kind is None:
                if name.type.items:
                    raise at(key, "a dictionary's key is an int, bool, bytes, str or address")
                kind = dict_of(name.type, held.type)
            if (name.type, held.type) != kind.items:
                raise self.mismatch(node, "an entry", kind, dict_of(name.type, held.type))
            pairs.append((name, held))
        # Made in a register of its own: what is there may be read by an entry.
        result = self.asm.temporary(kind)  # type: ignore[arg-type]
        self.asm.emit("new_dict", result.register)
        for name, held in pairs:
            self.asm.emit("dict_set", result.register, name.register, held.register)
        return self.moved(result, into)

    def _formatted(self, node: ast.JoinedStr, into: Operand | None) -> Operand:
        parts = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                if part.format_spec is not None or part.conversion != -1:
                    raise at(node, "format specifications are not part of the language")
                parts.append(self.text_of(part.value))
            else:
                parts.append(self.value(part))
        if not parts:
            return self.literal((STR, ""), into)
        joined = parts[0]
        for part in parts[1:]:
            result = self.asm.temporary(STR)
            self.asm.emit("concatenate", result.register, joined.register, part.register)
            joined = result
        return self.moved(joined, into)

    def text_of(self, node: ast.expr, into: Operand | None = None) -> Operand:
        """Emit the text of an integer or of a text."""
        found = self.value(node)
        if found.type == STR:
            return self.moved(found, into)
        if found.type != INT:
            raise at(node, f"{self.shown(found.type)} has no text; integers and texts have one")
        result = self.target(into, STR)
        self.asm.emit("call_library", result.register, _TEXT_OF_INT, found.register)
        return result
