"""Operations on dictionaries, and sums and choices over whole lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vm.contract.code_object import Registers
from vm.contract.comparing import key_gas, lookup_gas
from vm.contract.failures import key_missing, out_of_range, overflow, too_long
from vm.contract.limits import MAX_INT, MAX_ITEMS, MIN_INT
from vm.contract.metering import ENTRY_BYTES, ITEM_BYTES, OBJECT_BYTES, allocate, charge
from vm.contract.operation import (
    BOOL_N,
    INT_N,
    Check,
    Make,
    Operands,
    Operation,
    Operator,
    Scope,
    expect,
)
from vm.contract.value_types import Kind
from vm.contract.wire import LEAST_SMALL, MOST_SMALL, Inner

Entries = dict[Inner, Inner]


def _entries(r: Registers, place: int) -> Entries:
    held: Entries = r[place]
    return held


def _expect_dict(scope: Scope, entries: int, key: int) -> int:
    """Check a dictionary and its key; return the number of the type of its values."""
    expect(scope.kind(entries) is Kind.DICT, "a dictionary")
    key_type, value_type = scope.parts(entries)
    expect(scope.registers[key] == key_type, "a key of the dictionary's type")
    return value_type


def _check_new(scope: Scope, operands: Operands) -> None:
    expect(scope.kind(operands[0]) is Kind.DICT, "a dictionary")


def _new(scope: Scope, operands: Operands) -> Operator:
    into = operands[0]

    def new_dict(r: Registers) -> None:
        allocate(r[0].meter, 0, OBJECT_BYTES)
        r[into] = {}

    return new_dict


def _check_get(scope: Scope, operands: Operands) -> None:
    into, entries, key = operands
    value = _expect_dict(scope, entries, key)
    expect(scope.registers[into] == value, "a value of the dictionary's type")


def _get(scope: Scope, operands: Operands) -> Operator:
    into, entries, key = operands

    def get(r: Registers) -> None:
        held, name = _entries(r, entries), r[key]
        charge(r[0].meter, lookup_gas(held) + key_gas(name))
        if name not in held:
            raise key_missing()
        r[into] = held[name]

    return get


def _check_get_or(scope: Scope, operands: Operands) -> None:
    _check_get(scope, operands[:3])
    expect(scope.registers[operands[3]] == scope.registers[operands[0]], "a value of the same type")


def _get_or(scope: Scope, operands: Operands) -> Operator:
    into, entries, key, default = operands

    def get_or(r: Registers) -> None:
        held, name = _entries(r, entries), r[key]
        charge(r[0].meter, lookup_gas(held) + key_gas(name))
        r[into] = held.get(name, r[default])

    return get_or


def _check_set(scope: Scope, operands: Operands) -> None:
    entries, key, value = operands
    _check_get(scope, (value, entries, key))


def _set(scope: Scope, operands: Operands) -> Operator:
    entries, key, value = operands
    has_int_keys = scope.registers[key] == INT_N

    def set_entry(r: Registers) -> None:
        held, name = _entries(r, entries), r[key]
        # Integers beyond 64 bits could share one hash by the thousand.
        if has_int_keys and not LEAST_SMALL <= name <= MOST_SMALL:
            raise out_of_range("a dictionary's integer keys have at most 64 bits")
        allocate(r[0].meter, lookup_gas(held) + key_gas(name), ENTRY_BYTES)
        if len(held) >= MAX_ITEMS and name not in held:
            raise too_long()
        held[name] = r[value]

    return set_entry


def _check_delete(scope: Scope, operands: Operands) -> None:
    _expect_dict(scope, *operands)


def _delete(scope: Scope, operands: Operands) -> Operator:
    entries, key = operands

    def delete(r: Registers) -> None:
        held, name = _entries(r, entries), r[key]
        charge(r[0].meter, lookup_gas(held) + key_gas(name))
        if name not in held:
            raise key_missing()
        del held[name]

    return delete


def _take(scope: Scope, operands: Operands) -> Operator:
    into, entries, key = operands

    def take(r: Registers) -> None:
        held, name = _entries(r, entries), r[key]
        charge(r[0].meter, lookup_gas(held) + key_gas(name))
        if name not in held:
            raise key_missing()
        r[into] = held.pop(name)

    return take


def _check_has(scope: Scope, operands: Operands) -> None:
    into, key, entries = operands
    _expect_dict(scope, entries, key)
    expect(scope.registers[into] == BOOL_N, "a boolean for the answer")


def _has(scope: Scope, operands: Operands) -> Operator:
    into, key, entries = operands

    def has(r: Registers) -> None:
        held, name = _entries(r, entries), r[key]
        charge(r[0].meter, lookup_gas(held) + key_gas(name))
        r[into] = name in held

    return has


def _check_listing(part: int) -> Check:
    def check(scope: Scope, operands: Operands) -> None:
        into, entries = operands
        expect(scope.kind(into) is Kind.LIST and scope.kind(entries) is Kind.DICT, "a dictionary")
        wanted = scope.parts(entries)[part]
        expect(scope.parts(into)[0] == wanted, "a list of the dictionary's type")

    return check


def _check_items(scope: Scope, operands: Operands) -> None:
    into, entries = operands
    expect(scope.kind(into) is Kind.LIST and scope.kind(entries) is Kind.DICT, "a dictionary")
    pair = scope.parts(into)[0]
    kind = scope.code.types[pair]
    expect(kind.kind is Kind.TUPLE and not kind.name, "a list of tuples")
    expect(scope.code.parts[pair] == scope.parts(entries), "tuples of key and value")


def _listing(take: Callable[[Entries], list[object]], size: int) -> Make:
    def make(scope: Scope, operands: Operands) -> Operator:
        into, entries = operands

        def listing(r: Registers) -> None:
            held = _entries(r, entries)
            count = len(held)
            allocate(r[0].meter, count >> 1, OBJECT_BYTES + size * count)
            r[into] = take(held)

        return listing

    return make


def _check_copy(scope: Scope, operands: Operands) -> None:
    expect(scope.kind(operands[0]) is Kind.DICT, "a dictionary")
    expect(scope.registers[operands[0]] == scope.registers[operands[1]], "one type")


def _copy(scope: Scope, operands: Operands) -> Operator:
    into, entries = operands

    def copy(r: Registers) -> None:
        held = _entries(r, entries)
        count = len(held)
        gas = count * (1 + lookup_gas(held))
        allocate(r[0].meter, gas, OBJECT_BYTES + ENTRY_BYTES * count)
        r[into] = dict(held)

    return copy


def _check_over(item: int, result: int) -> Check:
    def check(scope: Scope, operands: Operands) -> None:
        into, source = operands
        expect(scope.kind(source) is Kind.LIST, "a list")
        expect(scope.parts(source)[0] == item, "a list of the operation's type")
        expect(scope.registers[into] == result, "a result of the operation's type")

    return check


def _over(compute: Callable[[list[int]], int]) -> Make:
    def make(scope: Scope, operands: Operands) -> Operator:
        into, source = operands

        def over(r: Registers) -> None:
            values: list[int] = r[source]
            charge(r[0].meter, 2 * len(values))
            r[into] = compute(values)

        return over

    return make


def _sum(values: list[int]) -> int:
    total = sum(values)
    if not MIN_INT <= total <= MAX_INT:
        raise overflow()
    return total


def _least(values: list[int]) -> int:
    if not values:
        raise out_of_range("the least of an empty list")
    return min(values)


def _greatest(values: list[int]) -> int:
    if not values:
        raise out_of_range("the greatest of an empty list")
    return max(values)


_INT_LIST = _check_over(INT_N, INT_N)
_BOOL_LIST = _check_over(BOOL_N, BOOL_N)
_PAIR_BYTES: Final = 3 * ITEM_BYTES + OBJECT_BYTES

OPERATIONS: Final = (
    Operation(80, "new_dict", "r", _check_new, 4, _new),
    Operation(81, "dict_get", "rrr", _check_get, 6, _get),
    Operation(82, "dict_get_or", "rrrr", _check_get_or, 6, _get_or),
    Operation(83, "dict_set", "rrr", _check_set, 6, _set),
    Operation(84, "dict_delete", "rr", _check_delete, 6, _delete),
    Operation(85, "dict_take", "rrr", _check_get, 6, _take),
    Operation(86, "dict_has", "rrr", _check_has, 6, _has),
    Operation(87, "keys", "rr", _check_listing(0), 6, _listing(list, ITEM_BYTES)),
    Operation(
        88,
        "values",
        "rr",
        _check_listing(1),
        6,
        _listing(lambda held: list(held.values()), ITEM_BYTES),
    ),
    Operation(
        89, "items", "rr", _check_items, 6, _listing(lambda held: list(held.items()), _PAIR_BYTES)
    ),
    Operation(90, "dict_copy", "rr", _check_copy, 6, _copy),
    Operation(91, "sum", "rr", _INT_LIST, 6, _over(_sum)),
    Operation(92, "least_of", "rr", _INT_LIST, 6, _over(_least)),
    Operation(93, "greatest_of", "rr", _INT_LIST, 6, _over(_greatest)),
    Operation(94, "any", "rr", _BOOL_LIST, 6, _over(any)),
    Operation(95, "all", "rr", _BOOL_LIST, 6, _over(all)),
)
