"""One function's instructions while they are made: registers, labels, and the lines they are of."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tools.contract.source_error import at
from tools.contract.tables import CodeTables
from vm.contract.flow_operations import FALL, FINAL
from vm.contract.limits import MAX_REGISTERS
from vm.contract.operations import BY_NAME, OPERATIONS, encode_instruction
from vm.contract.value_types import ValueType

_MAX_BLOCKS: Final = 65_536
_NOWHERE: Final = -1


@dataclass(frozen=True, slots=True)
class Operand:
    """A value in a register."""

    register: int
    """Its register."""
    type: ValueType
    """Its type."""


@dataclass(frozen=True, slots=True)
class Label:
    """A place to jump to."""

    number: int
    """Which of the function's."""


@dataclass(frozen=True, slots=True)
class _Step:
    """An instruction, or the place of a label where `operation` is -1."""

    operation: int
    operands: tuple[int, ...]
    line: int


class Assembler:
    """Allots registers and collects instructions; unreachable ones are left out."""

    def __init__(self, tables: CodeTables, function: ast.FunctionDef) -> None:
        self.tables = tables
        self.line = function.lineno
        self.reachable = True
        self._function = function
        self._types: list[ValueType] = []
        self._free: dict[ValueType, list[int]] = {}
        self._scopes: list[list[Operand]] = [[]]
        self._steps: list[_Step] = []
        self._labels = 0
        self._targets: dict[int, None] = {}

    # Registers

    def keep(self, kind: ValueType) -> Operand:
        """Return a new register that is held as long as the function runs."""
        if len(self._types) >= MAX_REGISTERS:
            raise at(
                self._function,
                f"{self._function.name} needs more than {MAX_REGISTERS} names and intermediate "
                "values; divide it",
            )
        self.tables.type_number(kind)
        self._types.append(kind)
        return Operand(len(self._types), kind)

    def temporary(self, kind: ValueType) -> Operand:
        """Return a register that is held to the end of the innermost scope."""
        free = self._free.get(kind)
        operand = Operand(free.pop(), kind) if free else self.keep(kind)
        self._scopes[-1].append(operand)
        return operand

    def adopt(self, operand: Operand) -> bool:
        """Hold a temporary register of the innermost scope for good; tell whether it is one."""
        if operand not in self._scopes[-1]:
            return False
        self._scopes[-1].remove(operand)
        return True

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Give temporary registers back at the end."""
        self._scopes.append([])
        yield
        for operand in reversed(self._scopes.pop()):
            self._free.setdefault(operand.type, []).append(operand.register)

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Take back, at the end, all that is emitted meanwhile."""
        kept = (self._types, self._free, self._scopes, self._steps, self._labels, self._targets)
        reachable = self.reachable
        self._types, self._scopes = list(self._types), [[]]
        self._free = {kind: list(free) for kind, free in self._free.items()}
        self._steps, self._targets = [], dict(self._targets)
        yield
        self._types, self._free, self._scopes, self._steps, self._labels, self._targets = kept
        self.reachable = reachable

    # Instructions

    def emit(self, name: str, *operands: int) -> None:
        """Add an instruction."""
        if not self.reachable:
            return
        operation = BY_NAME[name]
        self._steps.append(_Step(operation.number, operands, self.line))
        if operation.operands.endswith("t"):
            self._targets[operands[-1]] = None
        if operation.number in FINAL:
            self.reachable = False

    def label(self) -> Label:
        """Return a new label, to be placed once."""
        self._labels += 1
        return Label(self._labels - 1)

    def place(self, label: Label) -> None:
        """Put a label here; what comes is reachable if anything comes here."""
        if label.number in self._targets:
            self.reachable = True
        if self.reachable:
            self._steps.append(_Step(_NOWHERE, (label.number,), self.line))

    def place_ahead(self, label: Label) -> None:
        """Put a label behind a jump, to be reached from further down."""
        self._targets[label.number] = None
        self.place(label)

    def jump(self, label: Label) -> None:
        """Go on at a label."""
        self.emit("jump", label.number)

    # The end

    @property
    def register_types(self) -> tuple[ValueType, ...]:
        """The types of all registers, from number 1."""
        return tuple(self._types)

    def assemble(self) -> tuple[bytes, tuple[int, ...]]:
        """Return the bytes of the instructions and the source line of each."""
        steps, blocks = self._close_blocks()
        body, lines = bytearray(), []
        for step in steps:
            operation, operands = OPERATIONS[step.operation], step.operands
            if operation.operands.endswith("t"):
                operands = (*operands[:-1], blocks[operands[-1]])
            body += encode_instruction(operation, operands)
            lines.append(step.line)
        return bytes(body), tuple(lines)

    def _close_blocks(self) -> tuple[list[_Step], dict[int, int]]:
        """Return the instructions with every block ended, and the block of each label."""
        steps: list[_Step] = []
        blocks: dict[int, int] = {}
        block, is_open = 0, False
        for step in self._steps:
            if step.operation == _NOWHERE:
                label = step.operands[0]
                if label not in self._targets:
                    continue
                if is_open:
                    steps.append(_Step(FALL, (), steps[-1].line))
                    block, is_open = block + 1, False
                blocks[label] = block
                continue
            steps.append(step)
            is_open = OPERATIONS[step.operation].make_end is None
            block += not is_open
        if block >= _MAX_BLOCKS:
            raise at(self._function, f"{self._function.name} branches too often; divide it")
        return steps, blocks
