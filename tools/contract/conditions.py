"""Conditions: jumps fused with the comparisons before them."""

from __future__ import annotations

import ast
from typing import Final

from tools.contract.assembler import Label, Operand
from tools.contract.context import FunctionContext
from tools.contract.folding import fold
from tools.contract.source_error import at
from vm.contract.value_types import ADDRESS, BOOL, BYTES, INT, STR

_OPPOSITE: Final = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
_WITH_NUMBER: Final = {
    ast.Lt: "if_less_number",
    ast.LtE: "if_less_equal_number",
    ast.Gt: "if_greater_number",
    ast.GtE: "if_greater_equal_number",
    ast.Eq: "if_equal_number",
    ast.NotEq: "if_not_equal_number",
}
_FUSED: Final = {
    ast.Lt: ("if_less", False),
    ast.LtE: ("if_less_equal", False),
    ast.Gt: ("if_less", True),
    ast.GtE: ("if_less_equal", True),
    ast.Eq: ("if_equal", False),
    ast.NotEq: ("if_not_equal", False),
}
"""The jump of a comparison, and whether its sides change places."""
_PLAIN: Final = {
    ast.Lt: ("less", False),
    ast.LtE: ("less_equal", False),
    ast.Gt: ("less", True),
    ast.GtE: ("less_equal", True),
}


class Conditions(FunctionContext):
    """Emits jumps that depend on expressions."""

    def jump_if(self, node: ast.expr, label: Label, *, sense: bool) -> None:
        """Jump to `label` if a condition is `sense`, else go on."""
        asm = self.asm
        known = fold(node, self.declared.constants, needed=False)
        if known is not None and known[0] == BOOL:
            if known[1] is sense:
                asm.jump(label)
            return
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.jump_if(node.operand, label, sense=not sense)
        elif isinstance(node, ast.BoolOp):
            self._jump_if_several(node, label, sense=sense)
        elif isinstance(node, ast.Compare):
            self._jump_if_compared(node, label, sense=sense)
        else:
            condition = self.typed(node, BOOL, what="a condition")
            asm.emit("if_true" if sense else "if_false", condition.register, label.number)

    def _jump_if_several(self, node: ast.BoolOp, label: Label, *, sense: bool) -> None:
        decides = isinstance(node.op, ast.Or)
        if decides == sense:
            for value in node.values:
                self.jump_if(value, label, sense=sense)
            return
        skip = self.asm.label()
        for value in node.values[:-1]:
            self.jump_if(value, skip, sense=decides)
        self.jump_if(node.values[-1], label, sense=sense)
        self.asm.place(skip)

    def _jump_if_compared(self, node: ast.Compare, label: Label, *, sense: bool) -> None:
        skip = self.asm.label()
        left = self.value(node.left)
        last = len(node.ops) - 1
        for place, (operator, side) in enumerate(zip(node.ops, node.comparators, strict=True)):
            target, wanted = (label, sense) if place == last or not sense else (skip, False)
            left = self._jump_if_pair(node, operator, left, side, target, sense=wanted)
        self.asm.place(skip)

    def _jump_if_pair(
        self,
        node: ast.Compare,
        operator: ast.cmpop,
        left: Operand,
        side: ast.expr,
        label: Label,
        *,
        sense: bool,
    ) -> Operand:
        """Jump on one comparison; return its right side for the next of a chain."""
        kind = type(operator)
        if isinstance(operator, ast.In | ast.NotIn):
            answer = self._membership(node, operator, left, side, None)
            self.asm.emit("if_true" if sense else "if_false", answer.register, label.number)
            return answer
        known = fold(side, self.declared.constants, needed=False)
        is_last = side is node.comparators[-1]
        wanted = kind if sense else _OPPOSITE.get(kind)
        if known is not None and known[0] == INT and left.type == INT and is_last and wanted:
            if -(2**15) <= int(known[1]) < 2**15:
                name = _WITH_NUMBER[wanted]
                self.asm.emit(name, left.register, int(known[1]), label.number)
                return left
        right = self.value(side, wanted=left.type)
        simple = (INT, BOOL, ADDRESS) if kind in (ast.Eq, ast.NotEq) else (INT,)
        if left.type == right.type and left.type in simple and wanted:
            name, swapped = _FUSED[wanted]
            first, second = (right, left) if swapped else (left, right)
            self.asm.emit(name, first.register, second.register, label.number)
            return right
        answer = self._compared(node, operator, left, right, None)
        self.asm.emit("if_true" if sense else "if_false", answer.register, label.number)
        return right

    def comparison(self, node: ast.Compare, into: Operand | None) -> Operand:
        """Emit a comparison as a value."""
        if len(node.ops) == 1:
            left, side, operator = self.value(node.left), node.comparators[0], node.ops[0]
            if isinstance(operator, ast.In | ast.NotIn):
                return self._membership(node, operator, left, side, into)
            right = self.value(side, wanted=left.type)
            return self._compared(node, operator, left, right, into)
        return self.moved(self.truth(node), into)

    def truth(self, node: ast.expr) -> Operand:
        """Emit a condition of several parts as a value."""
        answer, otherwise, end = self.asm.temporary(BOOL), self.asm.label(), self.asm.label()
        self.jump_if(node, otherwise, sense=False)
        self.asm.emit("load_bool", answer.register, 1)
        self.asm.jump(end)
        self.asm.place(otherwise)
        self.asm.emit("load_bool", answer.register, 0)
        self.asm.place(end)
        return answer

    def _compared(
        self,
        node: ast.Compare,
        operator: ast.cmpop,
        left: Operand,
        right: Operand,
        into: Operand | None,
    ) -> Operand:
        if isinstance(operator, ast.Is | ast.IsNot):
            raise at(node, "`is` is not part of the language; write `==` or `!=`")
        if left.type != right.type:
            raise at(
                node, f"{self.shown(left.type)} cannot be compared with {self.shown(right.type)}"
            )
        answer = self.target(into, BOOL)
        kind = type(operator)
        if kind in (ast.Eq, ast.NotEq):
            self.asm.emit("equal", answer.register, left.register, right.register)
            return self._negated(answer, into) if kind is ast.NotEq else answer
        name, swapped = _PLAIN[kind]
        first, second = (right, left) if swapped else (left, right)
        if left.type == INT:
            self.asm.emit(name, answer.register, first.register, second.register)
        elif left.type in (BYTES, STR):
            # a <= b is not (b < a)
            if name == "less_equal":
                first, second = second, first
            self.asm.emit("less_text", answer.register, first.register, second.register)
            if name == "less_equal":
                return self._negated(answer, into)
        else:
            raise at(node, f"{self.shown(left.type)} has no order; compare with `==` or `!=`")
        return answer

    def _negated(self, answer: Operand, into: Operand | None) -> Operand:
        target = self.target(into, BOOL)
        self.asm.emit("not", target.register, answer.register)
        return target

    def _membership(
        self,
        node: ast.Compare,
        operator: ast.cmpop,
        item: Operand,
        side: ast.expr,
        into: Operand | None,
    ) -> Operand:
        if len(node.ops) > 1:
            raise at(node, "`in` does not stand in a chain; write `and` between two comparisons")
        slot = self.slot_of(side)
        kinds = self.declared.slots[slot] if slot is not None else (None, BOOL)
        if kinds[0] is not None:
            if item.type != kinds[0]:
                raise self.mismatch(node, "what is looked for", kinds[0], item.type)
            answer = self.target(into, BOOL)
            number = self.slot_numbers[slot or ""]
            self.asm.emit("map_has", answer.register, number, item.register)
        else:
            answer = self._contained(node, item, self.value(side), into)
        return self._negated(answer, into) if isinstance(operator, ast.NotIn) else answer

    def _contained(
        self, node: ast.Compare, item: Operand, source: Operand, into: Operand | None
    ) -> Operand:
        kind = source.type
        if kind.kind.name == "DICT":
            name, wanted = "dict_has", kind.items[0]
        elif kind.kind.name == "LIST":
            name, wanted = "contains", kind.items[0]
        elif kind in (BYTES, STR):
            name, wanted = "contains", kind
        else:
            raise at(
                node,
                f"`in` looks into lists, dictionaries, bytes, text and storage maps, "
                f"not into {self.shown(kind)}",
            )
        if item.type != wanted:
            raise self.mismatch(node, "what is looked for", wanted, item.type)
        answer = self.target(into, BOOL)
        self.asm.emit(name, answer.register, item.register, source.register)
        return answer
