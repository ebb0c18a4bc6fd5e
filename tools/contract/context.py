"""What the compilation of one function knows: its names, their registers, what it may change."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from dataclasses import dataclass

from tools.contract.assembler import Assembler, Label, Operand
from tools.contract.declarations import RESERVED, Declarations
from tools.contract.folding import Literal
from tools.contract.functions import FunctionHeading
from tools.contract.source_error import SourceError, at
from tools.contract.tables import CodeTables
from vm.contract.value_types import BOOL, INT, ValueType


@dataclass(frozen=True, slots=True)
class Loop:
    """Where `break` and `continue` go."""

    leave: Label
    """Behind the loop."""
    again: Label
    """Its next turn."""
    exits: list[set[str]]
    """Names that have a value at each `break`."""


class FunctionContext(ABC):
    """One function while it is compiled; the stages of its compilation build on one another."""

    def __init__(
        self, heading: FunctionHeading, declared: Declarations, tables: CodeTables
    ) -> None:
        self.heading = heading
        self.declared = declared
        self.tables = tables
        self.asm = Assembler(tables, heading.node)
        self.names: dict[str, Operand] = {}
        self.assigned: set[str] = set()
        self.loops: list[Loop] = []
        self.calls: dict[str, ast.AST] = {}
        self.change: ast.AST | None = None
        self.nesting = 0
        self.slot_numbers = {name: number for number, name in enumerate(declared.slots)}
        self.event_numbers = {name: number for number, name in enumerate(declared.events)}
        self.function_numbers = {name: number for number, name in enumerate(declared.functions)}
        for name, kind in heading.parameters:
            self._check_new_name(heading.node, name)
            self.names[name] = self.asm.keep(kind)
            self.assigned.add(name)

    @abstractmethod
    def value(
        self, node: ast.expr, into: Operand | None = None, wanted: ValueType | None = None
    ) -> Operand:
        """Emit what computes an expression; return where its value is.

        With `into` it is there; `wanted` says what type an empty list or dictionary has.
        """

    # Names

    def _check_new_name(self, node: ast.AST, name: str) -> None:
        declared = self.declared
        tables = (
            declared.constants, declared.slots, declared.records, declared.events,
            declared.interfaces, declared.modules, declared.imported, declared.functions,
        )  # fmt: skip
        if name in RESERVED or any(name in table for table in tables):
            hint = f"; storage is reached as `self.{name}`" if name in declared.slots else ""
            raise at(node, f"`{name}` stands for something else{hint}; choose another name")

    def define(self, node: ast.AST, name: str, kind: ValueType) -> Operand:
        """Return the register of a local name that is given a value of a type."""
        found = self.names.get(name)
        if found is None:
            self._check_new_name(node, name)
            found = self.names[name] = self.asm.keep(kind)
        elif found.type != kind:
            raise at(node, f"`{name}` is {found.type} above; {self.shown(kind)} needs another name")
        return found

    def claim(self, node: ast.AST, name: str, operand: Operand) -> None:
        """Let a new local name stand for a register."""
        self._check_new_name(node, name)
        self.names[name] = operand

    def read_name(self, node: ast.Name) -> Operand:
        """Return the register of a local name; raises SourceError if it may have no value."""
        found = self.names.get(node.id)
        if found is None or (node.id not in self.assigned and self.asm.reachable):
            if found is not None:
                raise at(node, f"`{node.id}` may have no value here; give it one before")
            if node.id in self.declared.slots:
                raise at(node, f"storage is reached as `self.{node.id}`")
            raise at(node, f"`{node.id}` is not declared here")
        return found

    def slot_of(self, node: ast.AST) -> str | None:
        """Return the name of the storage declaration that `self.name` names, or None."""
        if not (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        ):
            return None
        if node.attr not in self.declared.slots:
            raise at(node, f"no storage `{node.attr}` is declared; add `{node.attr}: type` above")
        return node.attr

    # Values

    def target(self, into: Operand | None, kind: ValueType) -> Operand:
        """Return the register for a result: `into` where it is of the type, or a temporary one.

        Who asked for another type says so once it sees what it got.
        """
        if into is not None and into.type == kind:
            return into
        return self.asm.temporary(kind)

    def moved(self, source: Operand, into: Operand | None) -> Operand:
        """Return a value where it is wanted."""
        if into is None or into.register == source.register or into.type != source.type:
            return source
        self.asm.emit("move", into.register, source.register)
        return into

    def literal(self, found: Literal, into: Operand | None = None) -> Operand:
        """Emit what loads a constant."""
        kind, value = found
        operand = self.target(into, kind)
        if kind == BOOL:
            self.asm.emit("load_bool", operand.register, int(value))
        elif kind == INT and -(2**15) <= int(value) < 2**15:
            self.asm.emit("load_number", operand.register, int(value))
        else:
            number = self.tables.constant_number(kind, value)
            self.asm.emit("load_constant", operand.register, number)
        return operand

    def typed(
        self, node: ast.expr, kind: ValueType, into: Operand | None = None, what: str = "this"
    ) -> Operand:
        """Return the value of an expression that has to be of a type."""
        found = self.value(node, into, kind)
        if found.type != kind:
            raise self.mismatch(node, what, kind, found.type)
        return found

    def mismatch(
        self, node: ast.AST, what: str, wanted: ValueType, found: ValueType
    ) -> SourceError:
        """Return the refusal of a value of another type."""
        hint = ""
        if wanted == BOOL and found == INT:
            hint = "; write `… != 0`"
        elif wanted.kind.name == "STR" and found == INT:
            hint = "; write `str(…)`"
        elif found == BOOL and wanted == INT:
            hint = "; write `1 if … else 0`"
        return at(node, f"{what} has to be {self.shown(wanted)}, and is {self.shown(found)}{hint}")

    def shown(self, kind: ValueType) -> str:
        """Return a type as messages name it."""
        return f"`{kind}`"

    def note_change(self, node: ast.AST) -> None:
        """Remember where the function changes something."""
        if self.change is None:
            self.change = node
