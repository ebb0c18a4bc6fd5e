"""How values cross a contract's border: a measure, a copy out, and a checked copy in, per type.

Each is built once for a type and then only called, since storage and calls use them all the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from vm.contract.failures import too_large
from vm.contract.host import Meter
from vm.contract.limits import MAX_ARGUMENT_BYTES, MAX_BYTES, MAX_INT, MAX_ITEMS, MIN_INT
from vm.contract.metering import (
    ENTRY_BYTES,
    ITEM_BYTES,
    LETTER_BYTES,
    OBJECT_BYTES,
    allocate,
    charge,
)
from vm.contract.value_types import Kind, ValueType
from vm.primitives.address import ACCOUNT_ID_BYTES
from vm.primitives.codec import Encodable, Value, decode_integer, encode_integer
from vm.primitives.errors import DecodeError

LEAST_SMALL: Final = -(2**63)
MOST_SMALL: Final = 2**63 - 1

Inner = Any
"""A value as contract code holds it; the type for which a function was made says what it is."""
Measure = Callable[[Meter, Inner, int], int]
"""(meter, value, room) to the room that is left; raises `too_long` where there is not enough."""
CopyOut = Callable[[Inner], Encodable]
CopyIn = Callable[[Meter, Value], Inner]
"""Raises Misfit."""


class Misfit(Exception):
    """A value from outside that is not of the declared type."""

    def __init__(self, expected: ValueType, why: str = "") -> None:
        super().__init__()
        self.expected = f"{expected}{why}"


def measure_of(kind: ValueType) -> Measure:
    """Return how much room values of a type take, an upper bound of their encoded bytes."""
    if kind.kind is Kind.LIST:
        return _measure_list(measure_of(kind.items[0]))
    if kind.kind is Kind.TUPLE:
        return _measure_tuple(tuple(map(measure_of, kind.items)))
    if kind.kind is Kind.DICT:
        return _measure_dict(measure_of(kind.items[0]), measure_of(kind.items[1]))
    size_of = _SIZES[kind.kind]

    def measure_simple(meter: Meter, value: Inner, room: int) -> int:
        left = room - size_of(value)
        if left < 0:
            raise too_large(MAX_ARGUMENT_BYTES)
        return left

    return measure_simple


def _int_bytes(value: Inner) -> int:
    if -32 <= value < 128:
        return 1
    if -(2**15) <= value < 2**15:
        return 3
    return 9 if LEAST_SMALL <= value <= MOST_SMALL else 34


def _str_bytes(value: Inner) -> int:
    text: str = value
    return 5 + (len(text) if text.isascii() else len(text.encode()))


_SIZES: Final[dict[Kind, Callable[[Inner], int]]] = {
    Kind.NONE: lambda value: 1,
    Kind.BOOL: lambda value: 1,
    Kind.INT: _int_bytes,
    Kind.BYTES: lambda value: 5 + len(value),
    Kind.STR: _str_bytes,
    Kind.ADDRESS: lambda value: 2 + ACCOUNT_ID_BYTES,
}


def _measure_list(item: Measure) -> Measure:
    def measure(meter: Meter, value: Inner, room: int) -> int:
        charge(meter, 4 * len(value))
        room -= 3
        for member in value:
            room = item(meter, member, room)
        return room

    return measure


def _measure_tuple(items: tuple[Measure, ...]) -> Measure:
    def measure(meter: Meter, value: Inner, room: int) -> int:
        charge(meter, 4 * len(items))
        room -= 3
        for item, member in zip(items, value, strict=True):
            room = item(meter, member, room)
        return room

    return measure


def _measure_dict(key: Measure, item: Measure) -> Measure:
    def measure(meter: Meter, value: Inner, room: int) -> int:
        charge(meter, 8 * len(value))
        room -= 3
        for name, member in value.items():
            room = item(meter, member, key(meter, name, room - 1))
        return room

    return measure


def copy_out_of(kind: ValueType) -> CopyOut:
    """Return the copy of values of a type into the canonical form; measure them first."""
    if kind.kind is Kind.INT:
        return int_out
    if kind.kind is Kind.LIST:
        item = copy_out_of(kind.items[0])
        return lambda value: tuple(map(item, value))
    if kind.kind is Kind.TUPLE:
        items = tuple(map(copy_out_of, kind.items))
        return lambda value: tuple([out(member) for out, member in zip(items, value, strict=True)])
    if kind.kind is Kind.DICT:
        key, item = map(copy_out_of, kind.items)
        return lambda value: tuple([(key(name), item(member)) for name, member in value.items()])
    return lambda value: value


def int_out(value: Inner) -> Encodable:
    """Return the canonical form of an integer."""
    number: int = value
    return number if LEAST_SMALL <= number <= MOST_SMALL else encode_integer(number)


def copy_in_of(kind: ValueType) -> CopyIn:
    """Return the checked copy of values from outside into what contract code holds."""
    simple = _SIMPLE.get(kind.kind)
    if simple is not None:
        return simple(kind)
    if kind.kind is Kind.LIST:
        return _list_in(kind)
    if kind.kind is Kind.TUPLE:
        return _tuple_in(kind)
    return _dict_in(kind)


def int_in(kind: ValueType) -> CopyIn:
    """Return the check of integers, small as such and large as bytes."""

    def copy(meter: Meter, value: Value) -> Inner:
        if type(value) is int:
            if LEAST_SMALL <= value <= MOST_SMALL:
                return value
        elif type(value) is bytes:
            try:
                number = decode_integer(value)
            except DecodeError:
                raise Misfit(kind) from None
            if not LEAST_SMALL <= number <= MOST_SMALL and MIN_INT <= number <= MAX_INT:
                return number
        raise Misfit(kind)

    return copy


def _none_in(kind: ValueType) -> CopyIn:
    def copy(meter: Meter, value: Value) -> Inner:
        if value is not None:
            raise Misfit(kind)
        return None

    return copy


def _bool_in(kind: ValueType) -> CopyIn:
    def copy(meter: Meter, value: Value) -> Inner:
        if type(value) is not bool:
            raise Misfit(kind)
        return value

    return copy


def _bytes_in(kind: ValueType) -> CopyIn:
    def copy(meter: Meter, value: Value) -> Inner:
        if type(value) is not bytes or len(value) > MAX_BYTES:
            raise Misfit(kind, f" of at most {MAX_BYTES} bytes")
        allocate(meter, 0, OBJECT_BYTES + len(value))
        return value

    return copy


def _str_in(kind: ValueType) -> CopyIn:
    def copy(meter: Meter, value: Value) -> Inner:
        if type(value) is not str or len(value) > MAX_BYTES:
            raise Misfit(kind, f" of at most {MAX_BYTES} letters")
        allocate(meter, 0, OBJECT_BYTES + LETTER_BYTES * len(value))
        return value

    return copy


def _address_in(kind: ValueType) -> CopyIn:
    def copy(meter: Meter, value: Value) -> Inner:
        if type(value) is not bytes or len(value) != ACCOUNT_ID_BYTES:
            raise Misfit(kind, f" of {ACCOUNT_ID_BYTES} bytes")
        return value

    return copy


_SIMPLE: Final = {
    Kind.NONE: _none_in,
    Kind.INT: int_in,
    Kind.BOOL: _bool_in,
    Kind.BYTES: _bytes_in,
    Kind.STR: _str_in,
    Kind.ADDRESS: _address_in,
}


def _list_in(kind: ValueType) -> CopyIn:
    item = copy_in_of(kind.items[0])

    def copy(meter: Meter, value: Value) -> Inner:
        if type(value) is not tuple or len(value) > MAX_ITEMS:
            raise Misfit(kind, f" of at most {MAX_ITEMS} items")
        allocate(meter, 4 * len(value), OBJECT_BYTES + ITEM_BYTES * len(value))
        return [item(meter, member) for member in value]

    return copy


def _tuple_in(kind: ValueType) -> CopyIn:
    items = tuple(map(copy_in_of, kind.items))
    count = len(items)

    def copy(meter: Meter, value: Value) -> Inner:
        if type(value) is not tuple or len(value) != count:
            raise Misfit(kind, f" of {count} items")
        allocate(meter, 4 * count, OBJECT_BYTES + ITEM_BYTES * count)
        return tuple([into(meter, member) for into, member in zip(items, value, strict=True)])

    return copy


def _dict_in(kind: ValueType) -> CopyIn:
    key, item = map(copy_in_of, kind.items)
    has_int_keys = kind.items[0].kind is Kind.INT

    def copy(meter: Meter, value: Value) -> Inner:
        if type(value) is not tuple or len(value) > MAX_ITEMS:
            raise Misfit(kind, f" of at most {MAX_ITEMS} entries")
        count = len(value)
        allocate(meter, 8 * count + count * count // 16, OBJECT_BYTES + ENTRY_BYTES * count)
        made: dict[Inner, Inner] = {}
        for entry in value:
            if type(entry) is not tuple or len(entry) != 2:
                raise Misfit(kind, " as pairs of key and value")
            if has_int_keys and type(entry[0]) is not int:
                raise Misfit(kind, " with keys of 64 bits")
            made[key(meter, entry[0])] = item(meter, entry[1])
        if len(made) != count:
            raise Misfit(kind, " with each key once")
        return made

    return copy


def default_of(kind: ValueType) -> Callable[[], Inner]:
    """Return what makes the first value of a type: 0, False, empty, or items of such values."""
    if kind.kind is Kind.LIST:
        return list
    if kind.kind is Kind.DICT:
        return dict
    if kind.kind is Kind.TUPLE:
        makers = tuple(map(default_of, kind.items))
        return lambda: tuple([make() for make in makers])
    value = _DEFAULTS[kind.kind]
    return lambda: value


_DEFAULTS: Final[dict[Kind, Inner]] = {
    Kind.NONE: None,
    Kind.INT: 0,
    Kind.BOOL: False,
    Kind.BYTES: b"",
    Kind.STR: "",
    Kind.ADDRESS: bytes(ACCOUNT_ID_BYTES),
}


def is_shared(kind: ValueType) -> bool:
    """Tell whether two holders of a value can see each other's changes: it has lists within."""
    return kind.kind in (Kind.LIST, Kind.DICT) or any(map(is_shared, kind.items))
