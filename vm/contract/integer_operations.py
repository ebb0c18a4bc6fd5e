"""Operations on integers and booleans: what leaves 256 bits fails, nothing wraps."""

from __future__ import annotations

from typing import Final

from vm.contract.code_object import Registers
from vm.contract.failures import division_by_zero, out_of_range, overflow
from vm.contract.limits import MAX_INT, MIN_INT
from vm.contract.operation import (
    BOOL_N,
    INT_N,
    Operands,
    Operation,
    Operator,
    Scope,
    expect,
    typed,
)

MAX_SHIFT: Final = 255


def _move(scope: Scope, operands: Operands) -> Operator:
    into, source = operands

    def move(r: Registers) -> None:
        r[into] = r[source]

    return move


def _check_move(scope: Scope, operands: Operands) -> None:
    into, source = operands
    expect(scope.registers[into] == scope.registers[source], "registers of one type")


def _load_number(scope: Scope, operands: Operands) -> Operator:
    into, number = operands

    def load(r: Registers) -> None:
        r[into] = number

    return load


def _check_bool(scope: Scope, operands: Operands) -> None:
    expect(scope.registers[operands[0]] == BOOL_N and operands[1] <= 1, "a boolean")


def _load_bool(scope: Scope, operands: Operands) -> Operator:
    into, value = operands[0], operands[1] == 1

    def load(r: Registers) -> None:
        r[into] = value

    return load


def _check_constant(scope: Scope, operands: Operands) -> None:
    into, constant = operands
    expect(constant < len(scope.code.constants), "a constant that is there")
    expect(scope.registers[into] == scope.code.constant_types[constant], "a constant of the type")


def _load_constant(scope: Scope, operands: Operands) -> Operator:
    into, value = operands[0], scope.code.constants[operands[1]]

    def load(r: Registers) -> None:
        r[into] = value

    return load


def _add(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def add(r: Registers) -> None:
        value = r[left] + r[right]
        if not MIN_INT <= value <= MAX_INT:
            raise overflow()
        r[into] = value

    return add


def _subtract(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def subtract(r: Registers) -> None:
        value = r[left] - r[right]
        if not MIN_INT <= value <= MAX_INT:
            raise overflow()
        r[into] = value

    return subtract


def _multiply(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def multiply(r: Registers) -> None:
        value = r[left] * r[right]
        if not MIN_INT <= value <= MAX_INT:
            raise overflow()
        r[into] = value

    return multiply


def _divide(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def divide(r: Registers) -> None:
        divisor = r[right]
        if divisor == 0:
            raise division_by_zero()
        value = r[left] // divisor
        # Only the least integer divided by -1 leaves the range.
        if value > MAX_INT:
            raise overflow()
        r[into] = value

    return divide


def _modulo(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def modulo(r: Registers) -> None:
        divisor = r[right]
        if divisor == 0:
            raise division_by_zero()
        r[into] = r[left] % divisor

    return modulo


def _power(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def power(r: Registers) -> None:
        base: int = r[left]
        exponent: int = r[right]
        if not 0 <= exponent <= MAX_SHIFT:
            raise out_of_range("an exponent lies in 0 to 255")
        # The result has more than (bits - 1) * exponent bits: never compute what cannot fit.
        if (base.bit_length() - 1) * exponent > 255:
            raise overflow()
        value = base**exponent
        if not MIN_INT <= value <= MAX_INT:
            raise overflow()
        r[into] = value

    return power


def _negate(scope: Scope, operands: Operands) -> Operator:
    into, source = operands

    def negate(r: Registers) -> None:
        value = -r[source]
        if value > MAX_INT:
            raise overflow()
        r[into] = value

    return negate


def _absolute(scope: Scope, operands: Operands) -> Operator:
    into, source = operands

    def absolute(r: Registers) -> None:
        value = abs(r[source])
        if value > MAX_INT:
            raise overflow()
        r[into] = value

    return absolute


def _add_number(scope: Scope, operands: Operands) -> Operator:
    into, left, number = operands

    def increase(r: Registers) -> None:
        value = r[left] + number
        if value > MAX_INT:
            raise overflow()
        r[into] = value

    def decrease(r: Registers) -> None:
        value = r[left] + number
        if value < MIN_INT:
            raise overflow()
        r[into] = value

    return increase if number >= 0 else decrease


def _bit_and(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def bit_and(r: Registers) -> None:
        r[into] = r[left] & r[right]

    return bit_and


def _bit_or(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def bit_or(r: Registers) -> None:
        r[into] = r[left] | r[right]

    return bit_or


def _bit_xor(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def bit_xor(r: Registers) -> None:
        r[into] = r[left] ^ r[right]

    return bit_xor


def _invert(scope: Scope, operands: Operands) -> Operator:
    into, source = operands

    def invert(r: Registers) -> None:
        r[into] = ~r[source]

    return invert


def _shift_left(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def shift_left(r: Registers) -> None:
        width: int = r[right]
        if not 0 <= width <= MAX_SHIFT:
            raise out_of_range("a shift lies in 0 to 255")
        value = r[left] << width
        if not MIN_INT <= value <= MAX_INT:
            raise overflow()
        r[into] = value

    return shift_left


def _shift_right(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def shift_right(r: Registers) -> None:
        width: int = r[right]
        if not 0 <= width <= MAX_SHIFT:
            raise out_of_range("a shift lies in 0 to 255")
        r[into] = r[left] >> width

    return shift_right


def _least(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def least(r: Registers) -> None:
        first, second = r[left], r[right]
        r[into] = second if second < first else first

    return least


def _greatest(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def greatest(r: Registers) -> None:
        first, second = r[left], r[right]
        r[into] = second if second > first else first

    return greatest


def _less(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def less(r: Registers) -> None:
        r[into] = r[left] < r[right]

    return less


def _less_equal(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def less_equal(r: Registers) -> None:
        r[into] = r[left] <= r[right]

    return less_equal


def _negation(scope: Scope, operands: Operands) -> Operator:
    into, source = operands

    def negation(r: Registers) -> None:
        r[into] = not r[source]

    return negation


_TWO = typed(INT_N, INT_N)
_THREE = typed(INT_N, INT_N, INT_N)
_ORDER = typed(BOOL_N, INT_N, INT_N)

OPERATIONS: Final = (
    Operation(1, "move", "rr", _check_move, 2, _move),
    Operation(2, "load_number", "ri", typed(INT_N), 2, _load_number),
    Operation(3, "load_bool", "rn", _check_bool, 2, _load_bool),
    Operation(4, "load_constant", "rk", _check_constant, 2, _load_constant),
    Operation(5, "add", "rrr", _THREE, 4, _add),
    Operation(6, "subtract", "rrr", _THREE, 4, _subtract),
    Operation(7, "multiply", "rrr", _THREE, 6, _multiply),
    Operation(8, "divide", "rrr", _THREE, 7, _divide),
    Operation(9, "modulo", "rrr", _THREE, 7, _modulo),
    Operation(10, "power", "rrr", _THREE, 30, _power),
    Operation(11, "negate", "rr", _TWO, 3, _negate),
    Operation(12, "absolute", "rr", _TWO, 3, _absolute),
    Operation(13, "add_number", "rri", _TWO, 2, _add_number),
    Operation(14, "bit_and", "rrr", _THREE, 3, _bit_and),
    Operation(15, "bit_or", "rrr", _THREE, 3, _bit_or),
    Operation(16, "bit_xor", "rrr", _THREE, 3, _bit_xor),
    Operation(17, "invert", "rr", _TWO, 3, _invert),
    Operation(18, "shift_left", "rrr", _THREE, 5, _shift_left),
    Operation(19, "shift_right", "rrr", _THREE, 5, _shift_right),
    Operation(20, "least", "rrr", _THREE, 3, _least),
    Operation(21, "greatest", "rrr", _THREE, 3, _greatest),
    Operation(22, "less", "rrr", _ORDER, 3, _less),
    Operation(23, "less_equal", "rrr", _ORDER, 3, _less_equal),
    Operation(24, "not", "rr", typed(BOOL_N, BOOL_N), 2, _negation),
)
