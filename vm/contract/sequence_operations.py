"""Operations on lists, tuples, byte strings and texts; every size is charged before it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vm.contract.code_object import Registers
from vm.contract.comparing import TEXT_SHIFT
from vm.contract.failures import index_out_of_range, too_long
from vm.contract.limits import MAX_BYTES, MAX_ITEMS
from vm.contract.metering import ITEM_BYTES, LETTER_BYTES, OBJECT_BYTES, allocate, charge
from vm.contract.operation import (
    BOOL_N,
    BYTES_N,
    INT_N,
    STR_N,
    Operands,
    Operation,
    Operator,
    Scope,
    expect,
)
from vm.contract.value_types import Kind

_TEXTS: Final = (Kind.BYTES, Kind.STR)
_ITEM_SIZES: Final = {Kind.LIST: ITEM_BYTES, Kind.BYTES: 1, Kind.STR: LETTER_BYTES}
_ITEM_LIMITS: Final = {Kind.LIST: MAX_ITEMS, Kind.BYTES: MAX_BYTES, Kind.STR: MAX_BYTES}


def _check_new_list(scope: Scope, operands: Operands) -> None:
    expect(scope.kind(operands[0]) is Kind.LIST, "a list")
    item = scope.parts(operands[0])[0]
    expect(all(scope.registers[place] == item for place in operands[1:]), "items of one type")


def _new_list(scope: Scope, operands: Operands) -> Operator:
    into, places = operands[0], operands[1:]
    size, gas = OBJECT_BYTES + ITEM_BYTES * len(places), len(places)

    def new_list(r: Registers) -> None:
        allocate(r[0].meter, gas, size)
        r[into] = [r[place] for place in places]

    return new_list


def _check_new_tuple(scope: Scope, operands: Operands) -> None:
    expect(scope.kind(operands[0]) is Kind.TUPLE, "a tuple")
    expect(
        scope.parts(operands[0]) == tuple(scope.registers[place] for place in operands[1:]),
        "items of the tuple's types",
    )


def _new_tuple(scope: Scope, operands: Operands) -> Operator:
    into, places = operands[0], operands[1:]
    size, gas = OBJECT_BYTES + ITEM_BYTES * len(places), len(places)

    def new_tuple(r: Registers) -> None:
        allocate(r[0].meter, gas, size)
        r[into] = tuple([r[place] for place in places])

    return new_tuple


def _check_length(scope: Scope, operands: Operands) -> None:
    expect(scope.registers[operands[0]] == INT_N, "an integer for the length")
    expect(scope.kind(operands[1]) in (*_TEXTS, Kind.LIST, Kind.DICT), "a value with a length")


def _length(scope: Scope, operands: Operands) -> Operator:
    into, source = operands

    def length(r: Registers) -> None:
        r[into] = len(r[source])

    return length


def _check_item(scope: Scope, operands: Operands) -> None:
    into, source, index = operands
    kind = scope.kind(source)
    expect(scope.registers[index] == INT_N, "an integer for the index")
    if kind is Kind.LIST:
        expect(scope.registers[into] == scope.parts(source)[0], "an item of the list's type")
    else:
        expect(kind in _TEXTS, "a list, bytes or text")
        wanted = INT_N if kind is Kind.BYTES else STR_N
        expect(scope.registers[into] == wanted, "a number of bytes, or a letter of text")


def _item(scope: Scope, operands: Operands) -> Operator:
    into, source, index = operands

    def item(r: Registers) -> None:
        values: Sequence[object] = r[source]
        place: int = r[index]
        if not -len(values) <= place < len(values):
            raise index_out_of_range()
        r[into] = values[place]

    return item


def _check_field(scope: Scope, operands: Operands) -> None:
    into, source, place = operands
    expect(scope.kind(source) is Kind.TUPLE, "a tuple")
    parts = scope.parts(source)
    expect(place < len(parts) and parts[place] == scope.registers[into], "an item of the tuple")


def _field(scope: Scope, operands: Operands) -> Operator:
    into, source, place = operands

    def field(r: Registers) -> None:
        r[into] = r[source][place]

    return field


def _check_with_field(scope: Scope, operands: Operands) -> None:
    into, source, place, value = operands
    _check_field(scope, (value, source, place))
    expect(scope.registers[into] == scope.registers[source], "a tuple of the same type")


def _with_field(scope: Scope, operands: Operands) -> Operator:
    into, source, place, value = operands
    count = len(scope.parts(source))
    size = OBJECT_BYTES + ITEM_BYTES * count

    def with_field(r: Registers) -> None:
        allocate(r[0].meter, count, size)
        old: tuple[object, ...] = r[source]
        r[into] = (*old[:place], r[value], *old[place + 1 :])

    return with_field


def _check_set_item(scope: Scope, operands: Operands) -> None:
    items, index, value = operands
    expect(scope.kind(items) is Kind.LIST, "a list")
    expect(scope.registers[index] == INT_N, "an integer for the index")
    expect(scope.parts(items)[0] == scope.registers[value], "an item of the list's type")


def _set_item(scope: Scope, operands: Operands) -> Operator:
    items, index, value = operands

    def set_item(r: Registers) -> None:
        values: list[object] = r[items]
        place: int = r[index]
        if not -len(values) <= place < len(values):
            raise index_out_of_range()
        values[place] = r[value]

    return set_item


def _check_append(scope: Scope, operands: Operands) -> None:
    items, value = operands
    expect(scope.kind(items) is Kind.LIST, "a list")
    expect(scope.parts(items)[0] == scope.registers[value], "an item of the list's type")


def _append(scope: Scope, operands: Operands) -> Operator:
    items, value = operands

    def append(r: Registers) -> None:
        values: list[object] = r[items]
        if len(values) >= MAX_ITEMS:
            raise too_long()
        allocate(r[0].meter, 0, ITEM_BYTES)
        values.append(r[value])

    return append


def _check_pop(scope: Scope, operands: Operands) -> None:
    _check_append(scope, (operands[1], operands[0]))


def _pop(scope: Scope, operands: Operands) -> Operator:
    into, items = operands

    def pop(r: Registers) -> None:
        values: list[object] = r[items]
        if not values:
            raise index_out_of_range()
        r[into] = values.pop()

    return pop


def _check_extend(scope: Scope, operands: Operands) -> None:
    items, more = operands
    expect(scope.kind(items) is Kind.LIST, "a list")
    expect(scope.registers[items] == scope.registers[more], "two lists of one type")


def _extend(scope: Scope, operands: Operands) -> Operator:
    items, more = operands

    def extend(r: Registers) -> None:
        values: list[object] = r[items]
        added: list[object] = r[more]
        if len(values) + len(added) > MAX_ITEMS:
            raise too_long()
        allocate(r[0].meter, len(added) >> 2, ITEM_BYTES * len(added))
        values.extend(added)

    return extend


def _check_slice(scope: Scope, operands: Operands) -> None:
    into, source, start, end = operands
    expect(scope.kind(source) in _ITEM_SIZES, "a list, bytes or text")
    expect(scope.registers[into] == scope.registers[source], "a slice of the same type")
    expect(scope.registers[start] == scope.registers[end] == INT_N, "integers for the bounds")


def _slice(scope: Scope, operands: Operands) -> Operator:
    into, source, start, end = operands
    item_size = _ITEM_SIZES[scope.kind(source)]

    def take_slice(r: Registers) -> None:
        values: Sequence[object] = r[source]
        first, last, step = slice(r[start], r[end]).indices(len(values))
        count = max(last - first, 0)
        allocate(r[0].meter, count >> 3, OBJECT_BYTES + item_size * count)
        r[into] = values[first:last:step]

    return take_slice


def _check_concatenate(scope: Scope, operands: Operands) -> None:
    into, left, right = (scope.registers[place] for place in operands)
    expect(scope.kind(operands[0]) in _ITEM_SIZES, "a list, bytes or text")
    expect(into == left == right, "values of one type")


def _concatenate(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands
    kind = scope.kind(into)
    item_size, limit = _ITEM_SIZES[kind], _ITEM_LIMITS[kind]

    def concatenate(r: Registers) -> None:
        first, second = r[left], r[right]
        count = len(first) + len(second)
        if count > limit:
            raise too_long()
        allocate(r[0].meter, count >> 3, OBJECT_BYTES + item_size * count)
        r[into] = first + second

    return concatenate


def _check_repeat(scope: Scope, operands: Operands) -> None:
    into, source, times = operands
    expect(scope.kind(source) in _ITEM_SIZES, "a list, bytes or text")
    expect(scope.registers[into] == scope.registers[source], "a value of the same type")
    expect(scope.registers[times] == INT_N, "an integer for the number of times")


def _repeat(scope: Scope, operands: Operands) -> Operator:
    into, source, times = operands
    kind = scope.kind(source)
    item_size, limit = _ITEM_SIZES[kind], _ITEM_LIMITS[kind]

    def repeat(r: Registers) -> None:
        values: Sequence[object] = r[source]
        number: int = r[times]
        count = len(values) * max(number, 0)
        if count > limit:
            raise too_long()
        allocate(r[0].meter, count >> 3, OBJECT_BYTES + item_size * count)
        # An empty value may be repeated any number of times, which Python refuses to count.
        r[into] = values * number if count else values[:0]  # type: ignore[operator]

    return repeat


def _check_contains(scope: Scope, operands: Operands) -> None:
    into, item, source = operands
    kind = scope.kind(source)
    expect(scope.registers[into] == BOOL_N, "a boolean for the answer")
    if kind in _TEXTS:
        expect(scope.registers[item] == scope.registers[source], "a part of the same type")
    else:
        expect(kind is Kind.LIST, "a list, bytes or text")
        expect(scope.registers[item] == scope.parts(source)[0], "an item of the list's type")


def _contains(scope: Scope, operands: Operands) -> Operator:
    into, item, source = operands
    if scope.kind(source) in _TEXTS:

        def has_part(r: Registers) -> None:
            whole, part = r[source], r[item]
            # A search may compare the part at every place.
            charge(
                r[0].meter,
                len(whole) * (1 + (len(part) >> 3)) >> 2,
            )
            r[into] = part in whole

        return has_part
    equal = scope.code.equals[scope.registers[item]]

    def has_item(r: Registers) -> None:
        values: list[object] = r[source]
        wanted, meter = r[item], r[0].meter
        charge(meter, 3 * len(values))
        for value in values:
            if equal(meter, value, wanted):
                r[into] = True
                return
        r[into] = False

    return has_item


def _check_copy(scope: Scope, operands: Operands) -> None:
    expect(scope.kind(operands[0]) is Kind.LIST, "a list")
    expect(scope.registers[operands[0]] == scope.registers[operands[1]], "lists of one type")


def _reversed(scope: Scope, operands: Operands) -> Operator:
    into, source = operands

    def reverse(r: Registers) -> None:
        values: list[object] = r[source]
        count = len(values)
        allocate(r[0].meter, count >> 2, OBJECT_BYTES + ITEM_BYTES * count)
        r[into] = values[::-1]

    return reverse


def _check_sorted(scope: Scope, operands: Operands) -> None:
    _check_copy(scope, operands)
    expect(scope.parts(operands[0])[0] in (INT_N, BYTES_N, STR_N), "integers, bytes or texts")


def _sorted(scope: Scope, operands: Operands) -> Operator:
    into, source = operands
    is_text = scope.parts(source)[0] != INT_N

    def sort(r: Registers) -> None:
        values: list[object] = r[source]
        meter, count = r[0].meter, len(values)
        allocate(meter, 2 * count * count.bit_length(), OBJECT_BYTES + ITEM_BYTES * count)
        if is_text:
            letters = sum(map(len, values))  # type: ignore[arg-type]
            charge(meter, (letters >> TEXT_SHIFT) * count.bit_length())
        r[into] = sorted(values)  # type: ignore[type-var]

    return sort


def _check_equal(scope: Scope, operands: Operands) -> None:
    into, left, right = operands
    expect(scope.registers[into] == BOOL_N, "a boolean for the answer")
    expect(scope.registers[left] == scope.registers[right], "two values of one type")


def _equal(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands
    kind = scope.code.types[scope.registers[left]]
    if not kind.items and kind.kind not in _TEXTS:

        def simple(r: Registers) -> None:
            r[into] = r[left] == r[right]

        return simple
    compare = scope.code.equals[scope.registers[left]]

    def equal(r: Registers) -> None:
        r[into] = compare(r[0].meter, r[left], r[right])

    return equal


def _check_less_text(scope: Scope, operands: Operands) -> None:
    _check_equal(scope, operands)
    expect(scope.kind(operands[1]) in _TEXTS, "bytes or texts")


def _less_text(scope: Scope, operands: Operands) -> Operator:
    into, left, right = operands

    def less_text(r: Registers) -> None:
        first, second = r[left], r[right]
        charge(r[0].meter, len(first) >> TEXT_SHIFT)
        r[into] = first < second

    return less_text


OPERATIONS: Final = (
    Operation(60, "new_list", "rv", _check_new_list, 4, _new_list),
    Operation(61, "new_tuple", "rv", _check_new_tuple, 4, _new_tuple),
    Operation(62, "length", "rr", _check_length, 2, _length),
    Operation(63, "item", "rrr", _check_item, 4, _item),
    Operation(64, "field", "rrn", _check_field, 2, _field),
    Operation(65, "with_field", "rrnr", _check_with_field, 5, _with_field),
    Operation(66, "set_item", "rrr", _check_set_item, 4, _set_item),
    Operation(67, "append", "rr", _check_append, 4, _append),
    Operation(68, "pop", "rr", _check_pop, 4, _pop),
    Operation(69, "extend", "rr", _check_extend, 5, _extend),
    Operation(70, "slice", "rrrr", _check_slice, 12, _slice),
    Operation(71, "concatenate", "rrr", _check_concatenate, 6, _concatenate),
    Operation(72, "repeat", "rrr", _check_repeat, 6, _repeat),
    Operation(73, "contains", "rrr", _check_contains, 5, _contains),
    Operation(74, "reversed", "rr", _check_copy, 6, _reversed),
    Operation(75, "sorted", "rr", _check_sorted, 8, _sorted),
    Operation(76, "equal", "rrr", _check_equal, 4, _equal),
    Operation(77, "less_text", "rrr", _check_less_text, 5, _less_text),
)
