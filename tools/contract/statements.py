"""Statements: assignments, branches, loops, returns; and which names have a value after each."""

from __future__ import annotations

import ast
from typing import Final

from tools.contract.annotations import read_type
from tools.contract.assembler import Operand
from tools.contract.calls import Calls
from tools.contract.context import Loop
from tools.contract.folding import fold
from tools.contract.source_error import at
from vm.contract.value_types import INT, NONE, Kind, ValueType

_IN_PLACE: Final = (Kind.LIST,)


class Statements(Calls):
    """Emits the statements of a function."""

    def compile(self) -> None:
        """Emit the whole function."""
        node = self.heading.node
        self.block(node.body)
        self.asm.line = node.body[-1].end_lineno or node.lineno
        if self.asm.reachable:
            if self.heading.result != NONE:
                raise at(
                    node,
                    f"`{node.name}` promises {self.shown(self.heading.result)} and may end "
                    "without `return`",
                )
            self.asm.emit("return_nothing")

    def block(self, statements: list[ast.stmt]) -> None:
        """Emit statements one after the other."""
        for statement in statements:
            self.asm.line = statement.lineno
            with self.asm.scope():
                self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                pass
            case ast.Expr(value=ast.Call() as call):
                self.call(call, None, None)
            case ast.Assign():
                self._assign(node)
            case ast.AnnAssign():
                self._declare(node)
            case ast.AugAssign():
                self._change(node)
            case ast.If():
                self._branch(node)
            case ast.While():
                self._while(node)
            case ast.For():
                self._for(node)
            case ast.Return():
                self._return(node)
            case ast.Assert():
                self.requirement(node.test, node.msg)
            case ast.Break() | ast.Continue():
                self._leave(node)
            case ast.Delete():
                for target in node.targets:
                    self._delete(target)
            case ast.Expr():
                raise at(node, "this computes a value and does nothing with it")
            case _:
                raise at(node, "inside a function only its statements stand")

    # Assignments

    def _assign(self, node: ast.Assign) -> None:
        first = node.targets[0]
        if len(node.targets) == 1 and isinstance(first, ast.Tuple):
            if isinstance(node.value, ast.Tuple) and len(node.value.elts) == len(first.elts):
                self._assign_several(first, node.value)
                return
        if len(node.targets) == 1 and isinstance(first, ast.Name):
            found = self.names.get(first.id)
            value = self.value(node.value, found, found.type if found else None)
            self._store(first, value)
            return
        wanted = self._type_of_target(first)
        value = self.value(node.value, wanted=wanted)
        for target in node.targets:
            self._store(target, value)

    def _type_of_target(self, target: ast.expr) -> ValueType | None:
        """Return the type that a target in storage takes, for displays that are empty."""
        slot = self.slot_of(target.value if isinstance(target, ast.Subscript) else target)
        return self.declared.slots[slot][1] if slot is not None else None

    def _assign_several(self, target: ast.Tuple, value: ast.Tuple) -> None:
        """Assign side by side: all values are taken before the first is stored."""
        taken = []
        for item in value.elts:
            found = self.value(item)
            if isinstance(item, ast.Name):
                found = self.moved(found, self.asm.temporary(found.type))
            taken.append(found)
        for part, found in zip(target.elts, taken, strict=True):
            self._store(part, found)

    def _store(self, target: ast.expr, value: Operand) -> None:
        """Emit what puts a value where a target says."""
        if isinstance(target, ast.Name):
            self._store_name(target, value)
        elif isinstance(target, ast.Tuple):
            kind = value.type
            if kind.kind is not Kind.TUPLE or len(kind.items) != len(target.elts):
                raise at(target, f"{self.shown(kind)} has not {len(target.elts)} parts")
            for place, (part, part_type) in enumerate(zip(target.elts, kind.items, strict=True)):
                item = self.asm.temporary(part_type)
                self.asm.emit("field", item.register, value.register, place)
                self._store(part, item)
        elif isinstance(target, ast.Attribute):
            self._store_slot(target, value)
        elif isinstance(target, ast.Subscript):
            self._store_item(target, value)
        else:
            raise at(target, "nothing can be assigned to this")

    def _store_name(self, target: ast.Name, value: Operand) -> None:
        if target.id not in self.names and self.asm.adopt(value):
            self.claim(target, target.id, value)
        else:
            self.moved(value, self.define(target, target.id, value.type))
        self.assigned.add(target.id)

    def _store_slot(self, target: ast.Attribute, value: Operand) -> None:
        slot = self.slot_of(target)
        if slot is None:
            raise at(target, "a record does not change; make another: `offer.replace(amount=4)`")
        key, kind = self.declared.slots[slot]
        if key is not None:
            raise at(target, f"a map is written by its keys: `self.{slot}[key] = …`")
        if value.type != kind:
            raise self.mismatch(target, f"what `self.{slot}` holds", kind, value.type)
        self.note_change(target)
        self.asm.emit("store", self.slot_numbers[slot], value.register)

    def _store_item(self, target: ast.Subscript, value: Operand) -> None:
        slot = self.slot_of(target.value)
        if slot is not None:
            key, kind = self.declared.slots[slot]
            if key is None:
                raise at(
                    target,
                    f"this would change a copy; write `{slot} = self.{slot}`, change that, and "
                    f"`self.{slot} = {slot}`",
                )
            name = self.map_key(target.slice, slot)
            if value.type != kind:
                raise self.mismatch(target, f"what `{slot}` maps to", kind, value.type)
            self.note_change(target)
            self.asm.emit("map_store", self.slot_numbers[slot], name.register, value.register)
            return
        source = self.value(target.value)
        self._set_item(target, source, self._item_key(target, source), value)

    def _item_key(self, target: ast.Subscript, source: Operand) -> Operand:
        """Emit the index or key by which an item of a list or dictionary is changed."""
        if isinstance(target.slice, ast.Slice):
            raise at(target, "a slice cannot be assigned to; build another list")
        if source.type.kind is Kind.LIST:
            return self.typed(target.slice, INT, what="an index")
        if source.type.kind is Kind.DICT:
            return self.typed(target.slice, source.type.items[0], what="the key")
        raise at(target, f"items of {self.shown(source.type)} do not change")

    def _set_item(self, node: ast.AST, source: Operand, key: Operand, value: Operand) -> None:
        is_list = source.type.kind is Kind.LIST
        wanted = source.type.items[0 if is_list else 1]
        if value.type != wanted:
            raise self.mismatch(node, "what is stored here", wanted, value.type)
        name = "set_item" if is_list else "dict_set"
        self.asm.emit(name, source.register, key.register, value.register)

    def _declare(self, node: ast.AnnAssign) -> None:
        if not isinstance(node.target, ast.Name):
            raise at(node, "only a name is given a type")
        kind = read_type(node.annotation, self.declared.records)
        if node.value is None:
            raise at(node, f"give `{node.target.id}` its first value here: `= …`")
        value = self.typed(node.value, kind, what=f"`{node.target.id}`")
        self._store(node.target, value)

    def _change(self, node: ast.AugAssign) -> None:
        target = node.target
        if isinstance(target, ast.Name):
            held = self.read_name(target)
            if held.type == INT and isinstance(node.op, ast.Add | ast.Sub):
                known = fold(node.value, self.declared.constants, needed=False)
                number = int(known[1]) if known is not None and known[0] == INT else 2**20
                if -(2**15) < number < 2**15:
                    number = number if isinstance(node.op, ast.Add) else -number
                    self.asm.emit("add_number", held.register, held.register, number)
                    return
            value = self.value(node.value, wanted=held.type)
            if held.type.kind in _IN_PLACE and isinstance(node.op, ast.Add):
                if value.type != held.type:
                    raise self.mismatch(node, "what is added", held.type, value.type)
                self.asm.emit("extend", held.register, value.register)
                return
            self.operate(node, node.op, held, value, held)
            return
        slot = self.slot_of(target.value if isinstance(target, ast.Subscript) else target)
        if slot is not None:
            self._change_slot(node, slot)
        elif isinstance(target, ast.Subscript):
            source = self.value(target.value)
            key = self._item_key(target, source)
            is_list = source.type.kind is Kind.LIST
            old = self.asm.temporary(source.type.items[0 if is_list else 1])
            name = "item" if is_list else "dict_get"
            self.asm.emit(name, old.register, source.register, key.register)
            value = self.value(node.value, wanted=old.type)
            self._set_item(node, source, key, self.operate(node, node.op, old, value, None))
        else:
            raise at(target, "a record does not change; make another: `offer.replace(amount=4)`")

    def _change_slot(self, node: ast.AugAssign, slot: str) -> None:
        """Emit `self.total += 1` or `self.held[who] += 1`; the key is computed once."""
        number = self.slot_numbers[slot]
        key, kind = self.declared.slots[slot]
        old = self.asm.temporary(kind)
        name: Operand | None = None
        if isinstance(node.target, ast.Subscript):
            name = self.map_key(node.target.slice, slot)
            self.asm.emit("map_load", old.register, number, name.register)
        elif key is not None:
            raise at(node, f"a map is written by its keys: `self.{slot}[key] += …`")
        else:
            self.asm.emit("load", old.register, number)
        value = self.value(node.value, wanted=kind)
        result = self.operate(node, node.op, old, value, None)
        self.note_change(node)
        if name is None:
            self.asm.emit("store", number, result.register)
        else:
            self.asm.emit("map_store", number, name.register, result.register)

    def _delete(self, target: ast.expr) -> None:
        if not isinstance(target, ast.Subscript):
            raise at(target, "`del` removes an entry: `del d[key]`, `del self.map[key]`")
        slot = self.slot_of(target.value)
        if slot is not None:
            key = self.map_key(target.slice, slot)
            self.note_change(target)
            self.asm.emit("map_delete", self.slot_numbers[slot], key.register)
            return
        source = self.value(target.value)
        if source.type.kind is not Kind.DICT:
            raise at(target, "`del` removes an entry of a dictionary; a list has `pop`")
        key = self.typed(target.slice, source.type.items[0], what="the key")
        self.asm.emit("dict_delete", source.register, key.register)

    # Control

    def _branch(self, node: ast.If) -> None:
        otherwise, end = self.asm.label(), self.asm.label()
        with self.asm.scope():
            self.jump_if(node.test, otherwise, sense=False)
        before = set(self.assigned)
        self.block(node.body)
        after = self.assigned if self.asm.reachable else None
        if node.orelse:
            self.asm.jump(end)
        self.asm.place(otherwise)
        self.assigned = set(before)
        self.block(node.orelse)
        other = self.assigned if self.asm.reachable else None
        self.asm.place(end)
        self.assigned = _both(after, other, before)

    def _while(self, node: ast.While) -> None:
        if node.orelse:
            raise at(node, "a loop has no `else`; use a name that says how it ended")
        start, again, leave = self.asm.label(), self.asm.label(), self.asm.label()
        with self.asm.scope():
            self.jump_if(node.test, leave, sense=False)
        before = set(self.assigned)
        self.loops.append(Loop(leave, again, []))
        if self.asm.reachable:
            self.asm.place_ahead(start)
        self.block(node.body)
        self.asm.place(again)
        self.asm.line = node.lineno
        with self.asm.scope():
            self.jump_if(node.test, start, sense=True)
        exits = self.loops.pop().exits
        is_endless = not self.asm.reachable
        self.asm.place(leave)
        self.assigned = before
        if is_endless and exits:
            # Only a `break` leads here: what has a value at each of them has one.
            self.assigned = set.intersection(*exits)

    def _for(self, node: ast.For) -> None:
        if node.orelse:
            raise at(node, "a loop has no `else`; use a name that says how it ended")
        again, leave = self.asm.label(), self.asm.label()
        before = set(self.assigned)

        def body() -> None:
            self.loops.append(Loop(leave, again, []))
            self.block(node.body)
            self.loops.pop()
            self.asm.line = node.lineno

        self.loop(node.target, node.iter, body, again, leave, is_inner=False)
        self.assigned = before

    def _leave(self, node: ast.Break | ast.Continue) -> None:
        if not self.loops:
            raise at(node, "this stands outside of every loop")
        loop = self.loops[-1]
        if isinstance(node, ast.Break):
            if self.asm.reachable:
                loop.exits.append(set(self.assigned))
            self.asm.jump(loop.leave)
        else:
            self.asm.jump(loop.again)

    def _return(self, node: ast.Return) -> None:
        wanted = self.heading.result
        is_none = isinstance(node.value, ast.Constant) and node.value.value is None
        if node.value is None or is_none:
            if wanted != NONE:
                raise at(node, f"this function returns {self.shown(wanted)}")
            self.asm.emit("return_nothing")
            return
        if wanted == NONE:
            raise at(node, "this function returns nothing; promise a type after `->`")
        value = self.typed(node.value, wanted, what="what is returned")
        self.asm.emit("return_value", value.register)


def _both(first: set[str] | None, second: set[str] | None, otherwise: set[str]) -> set[str]:
    """Return the names that have a value whichever way was taken; None is a way never taken."""
    if first is None:
        return second if second is not None else otherwise
    return first if second is None else first & second
