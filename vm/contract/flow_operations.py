"""Operations that end a basic block: jumps, fused comparisons, loops, return and failure.

A block that is not left by a jump goes on to the following one.
"""

from __future__ import annotations

from typing import Final

from vm.contract.code_object import Block, Registers
from vm.contract.failures import requirement_failed
from vm.contract.operation import (
    ADDRESS_N,
    BOOL_N,
    INT_N,
    NONE_N,
    STR_N,
    Ender,
    Operands,
    Operation,
    Scope,
    expect,
    typed,
)
from vm.contract.value_types import Kind

Blocks = tuple[Block, ...]
MAX_MESSAGE: Final = 200
"""Letters of a failure's text that the receipt keeps."""


def _fall(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    return lambda r: following


def _jump(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    target = blocks[operands[0]]
    return lambda r: target


def _if_true(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    condition, target = operands[0], blocks[operands[1]]
    return lambda r: target if r[condition] else following


def _if_false(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    condition, target = operands[0], blocks[operands[1]]
    return lambda r: following if r[condition] else target


def _if_less(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    left, right, target = operands[0], operands[1], blocks[operands[2]]
    return lambda r: target if r[left] < r[right] else following


def _if_less_equal(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    left, right, target = operands[0], operands[1], blocks[operands[2]]
    return lambda r: target if r[left] <= r[right] else following


def _if_equal(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    left, right, target = operands[0], operands[1], blocks[operands[2]]
    return lambda r: target if r[left] == r[right] else following


def _if_not_equal(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    left, right, target = operands[0], operands[1], blocks[operands[2]]
    return lambda r: target if r[left] != r[right] else following


def _if_less_number(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    left, number, target = operands[0], operands[1], blocks[operands[2]]
    return lambda r: target if r[left] < number else following


def _if_less_equal_number(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    left, number, target = operands[0], operands[1], blocks[operands[2]]
    return lambda r: target if r[left] <= number else following


def _if_greater_number(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    left, number, target = operands[0], operands[1], blocks[operands[2]]
    return lambda r: target if r[left] > number else following


def _if_greater_equal_number(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    left, number, target = operands[0], operands[1], blocks[operands[2]]
    return lambda r: target if r[left] >= number else following


def _if_equal_number(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    left, number, target = operands[0], operands[1], blocks[operands[2]]
    return lambda r: target if r[left] == number else following


def _if_not_equal_number(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    left, number, target = operands[0], operands[1], blocks[operands[2]]
    return lambda r: target if r[left] != number else following


def _count(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    """Add 1 to a hidden counter; below the limit, show it in the loop's variable and jump."""
    counter, limit, shown, target = *operands[:3], blocks[operands[3]]

    def count(r: Registers) -> Block:
        value = r[counter] + 1
        if value < r[limit]:
            r[counter] = r[shown] = value
            return target
        return following

    return count


def _next_item(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    """Take the item at a hidden index into the loop's variable, add 1 to the index and jump."""
    item, items, index, target = *operands[:3], blocks[operands[3]]

    def next_item(r: Registers) -> Block:
        place: int = r[index]
        source: list[object] = r[items]
        if 0 <= place < len(source):
            r[item] = source[place]
            r[index] = place + 1
            return target
        return following

    return next_item


def _return_value(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    result = operands[0]

    def return_value(r: Registers) -> None:
        r[0] = r[result]

    return return_value


def _return_nothing(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    def return_nothing(r: Registers) -> None:
        r[0] = None

    return return_nothing


def _fail(operands: Operands, blocks: Blocks, following: Block) -> Ender:
    message = operands[0]

    def fail(r: Registers) -> None:
        raise requirement_failed(r[message][:MAX_MESSAGE])

    return fail


def _check_equal(scope: Scope, operands: Operands) -> None:
    left, right = scope.registers[operands[0]], scope.registers[operands[1]]
    expect(left == right and left in (INT_N, BOOL_N, ADDRESS_N), "two simple values of one type")


def _check_next_item(scope: Scope, operands: Operands) -> None:
    item, items, index, _ = operands
    expect(scope.kind(items) is Kind.LIST, "a list")
    expect(scope.parts(items)[0] == scope.registers[item], "a variable of the items' type")
    expect(scope.registers[index] == INT_N and index not in (item, items), "an index of its own")


def _check_return(scope: Scope, operands: Operands) -> None:
    expect(scope.registers[operands[0]] == scope.result, "a result of the function's type")


def _check_return_nothing(scope: Scope, operands: Operands) -> None:
    expect(scope.result == NONE_N, "a result, which the function promises")


def _no_rule(scope: Scope, operands: Operands) -> None:
    pass


_NUMBER = typed(INT_N)
_TWO = typed(INT_N, INT_N)

FALL: Final = 40
OPERATIONS: Final = (
    Operation(FALL, "fall", "", _no_rule, 1, make_end=_fall),
    Operation(41, "jump", "t", _no_rule, 2, make_end=_jump),
    Operation(42, "if_true", "rt", typed(BOOL_N), 1, make_end=_if_true),
    Operation(43, "if_false", "rt", typed(BOOL_N), 1, make_end=_if_false),
    Operation(44, "if_less", "rrt", _TWO, 2, make_end=_if_less),
    Operation(45, "if_less_equal", "rrt", _TWO, 2, make_end=_if_less_equal),
    Operation(46, "if_equal", "rrt", _check_equal, 2, make_end=_if_equal),
    Operation(47, "if_not_equal", "rrt", _check_equal, 2, make_end=_if_not_equal),
    Operation(48, "if_less_number", "rit", _NUMBER, 2, make_end=_if_less_number),
    Operation(49, "if_less_equal_number", "rit", _NUMBER, 2, make_end=_if_less_equal_number),
    Operation(50, "if_greater_number", "rit", _NUMBER, 2, make_end=_if_greater_number),
    Operation(51, "if_greater_equal_number", "rit", _NUMBER, 2, make_end=_if_greater_equal_number),
    Operation(52, "if_equal_number", "rit", _NUMBER, 2, make_end=_if_equal_number),
    Operation(53, "if_not_equal_number", "rit", _NUMBER, 2, make_end=_if_not_equal_number),
    Operation(54, "count", "rrrt", typed(INT_N, INT_N, INT_N), 3, make_end=_count),
    Operation(55, "next_item", "rrrt", _check_next_item, 4, make_end=_next_item),
    Operation(56, "return_value", "r", _check_return, 1, make_end=_return_value),
    Operation(57, "return_nothing", "", _check_return_nothing, 1, make_end=_return_nothing),
    Operation(58, "fail", "r", typed(STR_N), 2, make_end=_fail),
)
FINAL: Final = (41, 56, 57, 58)
"""Those that never go on to the following block: one of them ends a function."""
