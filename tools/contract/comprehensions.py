"""Loops over values, as `for` statements and comprehensions share them."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Final

from tools.contract.assembler import Label, Operand
from tools.contract.expressions import Expressions
from tools.contract.folding import fold
from tools.contract.source_error import at
from vm.contract.value_types import INT, Kind, ValueType, dict_of, list_of

Body = Callable[[], None]
MAX_NESTING: Final = 3
"""Each level of comprehensions is compiled twice: once to find its type."""


class Comprehensions(Expressions):
    """Emits loops over values, and comprehensions."""

    def comprehension(
        self,
        node: ast.ListComp | ast.DictComp,
        into: Operand | None,
        wanted: ValueType | None,
    ) -> Operand:
        """Emit a comprehension; its names are its own."""
        if self.nesting >= MAX_NESTING:
            raise at(node, f"comprehensions nest at most {MAX_NESTING} deep; write loops")
        self.nesting += 1
        names, assigned = dict(self.names), set(self.assigned)
        kind = self._type_of_items(node, wanted)
        result = self.asm.temporary(kind)
        if isinstance(node, ast.ListComp):
            self.asm.emit("new_list", result.register)
        else:
            self.asm.emit("new_dict", result.register)

        def add() -> None:
            with self.asm.scope():
                if isinstance(node, ast.ListComp):
                    item = self.typed(node.elt, kind.items[0], what="an item")
                    self.asm.emit("append", result.register, item.register)
                else:
                    key = self.typed(node.key, kind.items[0], what="a key")
                    item = self.typed(node.value, kind.items[1], what="a value")
                    self.asm.emit("dict_set", result.register, key.register, item.register)

        self._generate(node.generators, add)
        self.names, self.assigned = names, assigned
        self.nesting -= 1
        return self.moved(result, into)

    def _type_of_items(
        self, node: ast.ListComp | ast.DictComp, wanted: ValueType | None
    ) -> ValueType:
        """Find the type of a comprehension by compiling it once into nothing."""
        names, assigned = dict(self.names), set(self.assigned)
        found: list[ValueType] = []

        def look() -> None:
            if isinstance(node, ast.ListComp):
                hint = wanted.items[0] if wanted and wanted.kind is Kind.LIST else None
                found.append(list_of(self.value(node.elt, wanted=hint).type))
            else:
                hints = wanted.items if wanted and wanted.kind is Kind.DICT else (None, None)
                key = self.value(node.key, wanted=hints[0]).type
                if key.items:
                    raise at(node.key, "a dictionary's key is an int, bool, bytes, str or address")
                found.append(dict_of(key, self.value(node.value, wanted=hints[1]).type))

        with self.asm.trial():
            self._generate(node.generators, look)
        self.names, self.assigned = names, assigned
        return found[0]

    def _generate(self, generators: list[ast.comprehension], body: Body) -> None:
        if not generators:
            body()
            return
        first, rest = generators[0], generators[1:]
        if first.is_async:
            raise at(first.target, "`async` is not part of the language")

        def inner() -> None:
            skip = self.asm.label()
            for condition in first.ifs:
                with self.asm.scope():
                    self.jump_if(condition, skip, sense=False)
            self._generate(rest, body)
            self.asm.place(skip)

        again, leave = self.asm.label(), self.asm.label()
        with self.asm.scope():
            self.loop(first.target, first.iter, inner, again, leave, is_inner=True)

    # Loops

    def loop(
        self,
        target: ast.expr,
        source: ast.expr,
        body: Body,
        again: Label,
        leave: Label,
        *,
        is_inner: bool,
    ) -> None:
        """Emit a loop; `again` is placed before its next turn and `leave` behind it.

        The names of an inner loop, of a comprehension, are its own.
        """
        if isinstance(source, ast.Call) and isinstance(source.func, ast.Name):
            if source.func.id == "range":
                self._loop_over_range(target, source, body, again, leave, is_inner=is_inner)
                return
            if source.func.id == "enumerate":
                call, count, target = source, *self._counted(target)
                if len(call.args) != 1 or call.keywords:
                    raise at(source, "write `enumerate(items)`")
                self._loop_over_list(
                    target, call.args[0], body, again, leave, count=count, is_inner=is_inner
                )
                return
        self._loop_over_list(target, source, body, again, leave, count=None, is_inner=is_inner)

    def _counted(self, target: ast.expr) -> tuple[ast.Name, ast.expr]:
        """Return the names of place and item of `for place, item in enumerate(items)`."""
        if isinstance(target, ast.Tuple) and len(target.elts) == 2:
            count, item = target.elts
            if isinstance(count, ast.Name):
                return count, item
        raise at(target, "`enumerate` gives two values: `for place, item in …`")

    def _hide(self, target: ast.expr, *, is_inner: bool) -> None:
        """Forget names outside that an inner loop uses too, maybe for other types."""
        if is_inner:
            for node in ast.walk(target):
                if isinstance(node, ast.Name):
                    self.names.pop(node.id, None)

    def _loop_over_range(
        self,
        target: ast.expr,
        source: ast.Call,
        body: Body,
        again: Label,
        leave: Label,
        *,
        is_inner: bool,
    ) -> None:
        if not 1 <= len(source.args) <= 3 or source.keywords:
            raise at(source, "write `range(end)`, `range(start, end)` or `range(start, end, step)`")
        if not isinstance(target, ast.Name):
            raise at(target, "a range gives integers, one name at a time")
        step = 1
        if len(source.args) == 3:
            known = fold(source.args[2], self.declared.constants, needed=False)
            if known is None or known[0] != INT or known[1] == 0:
                raise at(source.args[2], "the step of a range is a constant other than 0")
            step = int(known[1])
        asm = self.asm
        counter, limit = asm.temporary(INT), asm.temporary(INT)
        if len(source.args) == 1:
            self.literal((INT, 0), counter)
            self.typed(source.args[0], INT, limit, "the end of a range")
        else:
            self.typed(source.args[0], INT, counter, "the start of a range")
            self.typed(source.args[1], INT, limit, "the end of a range")
        bounds = (limit, counter) if step > 0 else (counter, limit)
        asm.emit("if_less_equal", bounds[0].register, bounds[1].register, leave.number)
        self._hide(target, is_inner=is_inner)
        shown = self.define(target, target.id, INT)
        self.moved(counter, shown)
        start = asm.label()
        asm.place(start)
        self.assigned.add(target.id)
        body()
        asm.place(again)
        if step == 1:
            asm.emit("count", counter.register, limit.register, shown.register, start.number)
        else:
            self._step(counter, limit, shown, step, start)
        asm.place(leave)

    def _step(
        self, counter: Operand, limit: Operand, shown: Operand, step: int, start: Label
    ) -> None:
        """Count in steps: on while more than one step is left to the end."""
        asm = self.asm
        left, width, end = asm.temporary(INT), self.literal((INT, abs(step))), asm.label()
        first, second = (limit, counter) if step > 0 else (counter, limit)
        asm.emit("subtract", left.register, first.register, second.register)
        asm.emit("if_less_equal", left.register, width.register, end.number)
        name = "add" if step > 0 else "subtract"
        asm.emit(name, counter.register, counter.register, width.register)
        self.moved(counter, shown)
        asm.jump(start)
        asm.place(end)

    def _loop_over_list(
        self,
        target: ast.expr,
        source: ast.expr,
        body: Body,
        again: Label,
        leave: Label,
        *,
        count: ast.Name | None,
        is_inner: bool,
    ) -> None:
        asm = self.asm
        items = self._items_of(source)
        self._hide(target, is_inner=is_inner)
        if count is not None:
            self._hide(count, is_inner=is_inner)
        index = asm.temporary(INT)
        self.literal((INT, 0), index)
        start, was_reachable = asm.label(), asm.reachable
        asm.jump(again)
        if was_reachable:
            asm.place_ahead(start)
        if isinstance(target, ast.Name):
            item = self.define(target, target.id, items.type.items[0])
        else:
            item = asm.temporary(items.type.items[0])
        self.bind(target, item)
        if count is not None:
            place = self.define(count, count.id, INT)
            asm.emit("add_number", place.register, index.register, -1)
            self.assigned.add(count.id)
        body()
        asm.place(again)
        asm.emit("next_item", item.register, items.register, index.register, start.number)
        asm.place(leave)

    def bind(self, target: ast.expr, value: Operand) -> None:
        """Give the names of a loop the parts of its item."""
        if isinstance(target, ast.Name):
            self.assigned.add(target.id)
            return
        if not isinstance(target, ast.Tuple):
            raise at(target, "a loop gives its items to names")
        kind = value.type
        if kind.kind is not Kind.TUPLE or len(kind.items) != len(target.elts):
            raise at(target, f"{self.shown(kind)} has not {len(target.elts)} parts")
        for place, (part, part_type) in enumerate(zip(target.elts, kind.items, strict=True)):
            if isinstance(part, ast.Name):
                name = self.define(part, part.id, part_type)
                self.asm.emit("field", name.register, value.register, place)
                self.assigned.add(part.id)
            else:
                inner = self.asm.temporary(part_type)
                self.asm.emit("field", inner.register, value.register, place)
                self.bind(part, inner)

    def _items_of(self, source: ast.expr) -> Operand:
        """Emit the list that a loop walks over, in a register of its own."""
        found = self.value(source)
        kind = found.type
        if kind.kind is Kind.LIST:
            held = self.asm.temporary(kind)
            return self.moved(found, held)
        if kind.kind is Kind.DICT:
            held = self.asm.temporary(list_of(kind.items[0]))
            self.asm.emit("keys", held.register, found.register)
            return held
        if kind.kind is Kind.TUPLE and all(item == kind.items[0] for item in kind.items):
            parts = []
            for place, item in enumerate(kind.items):
                part = self.asm.temporary(item)
                self.asm.emit("field", part.register, found.register, place)
                parts.append(part)
            return self.made("new_list", list_of(kind.items[0]), parts, None)
        raise at(
            source,
            f"a loop walks over `range`, lists, tuples of one type and dictionaries, not over "
            f"{self.shown(kind)}",
        )
