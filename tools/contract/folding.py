"""Constants that the compiler computes, by the rules by which contracts compute."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Final

from tools.contract.source_error import at
from vm.contract.limits import MAX_BYTES, MAX_INT, MIN_INT
from vm.contract.value_types import ADDRESS, BOOL, BYTES, INT, STR, ValueType
from vm.primitives.address import ACCOUNT_ID_BYTES

Literal = tuple[ValueType, int | bool | bytes | str]
"""A constant with its type."""

_MAX_EXPONENT: Final = 255


def _power(base: int, exponent: int) -> int:
    if not 0 <= exponent <= _MAX_EXPONENT:
        raise OverflowError
    return base**exponent


def _shift_left(number: int, width: int) -> int:
    if not 0 <= width <= _MAX_EXPONENT:
        raise OverflowError
    return number << width


def _shift_right(number: int, width: int) -> int:
    if not 0 <= width <= _MAX_EXPONENT:
        raise OverflowError
    return number >> width


_INTEGERS: Final[Mapping[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.FloorDiv: lambda left, right: left // right,
    ast.Mod: lambda left, right: left % right,
    ast.Pow: _power,
    ast.LShift: _shift_left,
    ast.RShift: _shift_right,
    ast.BitAnd: lambda left, right: left & right,
    ast.BitOr: lambda left, right: left | right,
    ast.BitXor: lambda left, right: left ^ right,
}


def literal_of(node: ast.Constant) -> Literal:
    """Return a literal with its type; raises SourceError."""
    value = node.value
    if isinstance(value, bool):
        return BOOL, value
    if isinstance(value, int):
        return INT, _bounded(node, value)
    if isinstance(value, bytes | str):
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise at(node, "this text holds half of a letter and cannot be UTF-8") from None
        if len(value) > MAX_BYTES:
            raise at(node, f"a text has at most {MAX_BYTES} bytes or letters")
        return (BYTES if isinstance(value, bytes) else STR), value
    if isinstance(value, float | complex):
        raise at(node, "there are no floats; count in millionths with `int` and the module `fixed`")
    if value is None:
        raise at(node, "`None` is no value here; a function that returns nothing has no `->`")
    raise at(node, "`...` is no value")


def _bounded(node: ast.AST, value: int) -> int:
    if not MIN_INT <= value <= MAX_INT:
        raise at(node, "this integer leaves 256 bits")
    return value


def fold(node: ast.expr, constants: Mapping[str, Literal], *, needed: bool) -> Literal | None:
    """Return the constant that an expression is, or None; where `needed`, raises SourceError."""
    found = _fold(node, constants)
    if found is None and needed:
        raise at(
            node,
            "a constant is made of literals and other constants; storage is declared as "
            "`name: type`",
        )
    return found


def _fold(node: ast.expr, constants: Mapping[str, Literal]) -> Literal | None:
    if isinstance(node, ast.Constant):
        return literal_of(node)
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    if isinstance(node, ast.UnaryOp):
        inner = _fold(node.operand, constants)
        if inner is not None and inner[0] == INT:
            number = int(inner[1])
            if isinstance(node.op, ast.USub):
                return INT, _bounded(node, -number)
            if isinstance(node.op, ast.UAdd):
                return inner
            if isinstance(node.op, ast.Invert):
                return INT, ~number
        return None
    if isinstance(node, ast.BinOp):
        return _fold_binary(node, constants)
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "address"
        and not node.keywords
        and len(node.args) <= 1
    ):
        return _fold_address(node, constants)
    return None


def _fold_address(node: ast.Call, constants: Mapping[str, Literal]) -> Literal | None:
    if not node.args:
        return ADDRESS, bytes(ACCOUNT_ID_BYTES)
    inner = _fold(node.args[0], constants)
    if inner is None or not isinstance(inner[1], bytes) or inner[0] != BYTES:
        return None
    if len(inner[1]) != ACCOUNT_ID_BYTES:
        raise at(node, f"an address has {ACCOUNT_ID_BYTES} bytes, this {len(inner[1])}")
    return ADDRESS, inner[1]


def _fold_binary(node: ast.BinOp, constants: Mapping[str, Literal]) -> Literal | None:
    left, right = _fold(node.left, constants), _fold(node.right, constants)
    if left is None or right is None or left[0] != right[0]:
        return None
    if left[0] == INT:
        compute = _INTEGERS.get(type(node.op))
        if compute is None:
            return None
        try:
            return INT, _bounded(node, compute(int(left[1]), int(right[1])))
        except ZeroDivisionError:
            raise at(node, "a division by zero") from None
        except OverflowError:
            raise at(node, "an exponent or a shift lies in 0 to 255") from None
    if left[0] in (BYTES, STR) and isinstance(node.op, ast.Add):
        joined = left[1] + right[1]  # type: ignore[operator]
        if len(joined) > MAX_BYTES:
            raise at(node, f"a text has at most {MAX_BYTES} bytes or letters")
        return left[0], joined
    return None
