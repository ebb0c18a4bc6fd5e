"""What an operation of contract code is: a number, operands, a rule of types, a price, a meaning.

An instruction is one byte of operation and its operands. The letters of `Operation.operands`:

| letter | bytes | operand |
|---|---|---|
| r | 1 | a register |
| d | 1 | a register for the result, or 0 where there is none |
| i | 2 | an integer, signed, big-endian |
| n | 1 | a small number |
| k | 2 | a constant |
| t | 2 | a basic block of the function |
| s, e, m, f, l | 1 | a storage slot, an event, an import, a function, a library function |
| v | 1 + n | a number of registers, and these |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from vm.contract.code_object import Block, Body, EventForm, Import, Registers, Slot
from vm.contract.comparing import Equal
from vm.contract.value_types import Kind, ValueType
from vm.contract.wire import Wire
from vm.primitives.errors import DecodeError

NONE_N: Final = 0
INT_N: Final = 1
BOOL_N: Final = 2
BYTES_N: Final = 3
STR_N: Final = 4
ADDRESS_N: Final = 5
"""Numbers of the simple types."""

Operands = tuple[int, ...]
Operator = Callable[[Registers], None]
Ender = Callable[[Registers], Block | None]
"""Ends a basic block: returns the next one, or None once the result is in register 0."""
Check = Callable[["Scope", Operands], None]
"""Raises DecodeError unless operands fit."""


@dataclass(frozen=True, slots=True)
class FunctionHead:
    """What the other functions of a contract need to know of one."""

    parameters: tuple[int, ...]
    """Numbers of its arguments' types."""
    result: int
    """Number of its result's type."""
    mutates: bool
    """Whether it may change anything."""
    is_internal: bool
    """Whether it is entered by other functions only."""
    gas: int
    """Gas of entering it."""


@dataclass(frozen=True, slots=True)
class CodeScope:
    """The tables of a code, by number, that its instructions refer to."""

    types: tuple[ValueType, ...]
    """Its types."""
    parts: tuple[tuple[int, ...], ...]
    """The numbers of the items of each type."""
    constants: tuple[object, ...]
    """Its constants."""
    constant_types: tuple[int, ...]
    """The numbers of their types."""
    slots: tuple[Slot, ...]
    """Its storage."""
    slot_types: tuple[tuple[int, int], ...]
    """The numbers of the types of key (-1 for a variable) and value of each slot."""
    events: tuple[EventForm, ...]
    """Its events."""
    event_types: tuple[tuple[int, ...], ...]
    """The numbers of the types of each event's fields."""
    imports: tuple[Import, ...]
    """What it calls outside."""
    import_types: tuple[tuple[tuple[int, ...], int], ...]
    """The numbers of the types of each import's arguments and result."""
    heads: tuple[FunctionHead, ...]
    """Its functions."""
    bodies: tuple[Body, ...]
    """What runs of them."""
    wires: tuple[Wire, ...]
    """How values of each type cross the border."""
    equals: tuple[Equal, ...]
    """How two values of each type are compared."""
    firsts: tuple[object, ...]
    """The first value of each type; those with lists within are made anew for each call."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What one function's instructions refer to."""

    code: CodeScope
    """The tables of the code."""
    registers: tuple[int, ...]
    """The numbers of the types of its registers; place 0 is no register."""
    result: int
    """The number of its result's type."""
    mutates: bool
    """Whether it may change anything."""

    def kind(self, register: int) -> Kind:
        """Return what the type of a register is made by."""
        return self.code.types[self.registers[register]].kind

    def parts(self, register: int) -> tuple[int, ...]:
        """Return the numbers of the items of a register's type."""
        return self.code.parts[self.registers[register]]


class Make(Protocol):
    """Prepares an instruction."""

    def __call__(self, scope: Scope, operands: Operands) -> Operator:
        """Return the operator that carries out the instruction."""


class MakeEnd(Protocol):
    """Prepares the instruction that ends a basic block."""

    def __call__(self, operands: Operands, blocks: tuple[Block, ...], following: Block) -> Ender:
        """Return what ends the block; `blocks` are the function's, to be jumped to."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of instruction."""

    number: int
    """Its byte."""
    name: str
    """Its name, for people."""
    operands: str
    """Letters of its operands."""
    check: Check
    """Its rule of types."""
    gas: int
    """Its price beside what it charges by size."""
    make: Make | None = None
    """Prepares it."""
    make_end: MakeEnd | None = None
    """Prepares it where it ends a basic block."""


def expect(condition: bool, what: str) -> None:  # noqa: FBT001
    """Raise DecodeError `invalid_code` unless `condition` holds."""
    if not condition:
        raise not_well_formed(what)


def not_well_formed(expected: str) -> DecodeError:
    """Return the refusal of code in which something else stands than what is expected."""
    return DecodeError("the code is not well formed", code="invalid_code", expected=expected)


def typed(*wanted: int) -> Check:
    """Return the rule that the first registers among the operands have these types."""

    def check(scope: Scope, operands: Operands) -> None:
        registers = scope.registers
        for number, register in zip(wanted, operands, strict=False):
            if registers[register] != number:
                raise not_well_formed("operands of the operation's types")

    return check
