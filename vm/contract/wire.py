"""How values cross a contract's border: a measure, a copy out, and a checked copy in, per type.

Each is built once for a type and then only called, since storage and calls use them all the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from vm.contract.failures import too_large
from vm.contract.host import Meter
from vm.contract.limits import MAX_ARGUMENT_BYTES, MAX_BYTES, MAX_INT, MAX_ITEMS, MIN_INT
from vm.contract.metering import (
    COLLECTION_GAS,
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


@dataclass(frozen=True, slots=True)
class Wire:
    """How values of one type cross the border, and how they begin."""

    measure: Measure
    """Room that a value takes, an upper bound of its encoded bytes."""
    copy_out: CopyOut
    """To the canonical form; measure first."""
    copy_in: CopyIn
    """From the canonical form, checked."""
    make_first: Callable[[], Inner]
    """Makes the first value of a register or variable: 0, False, empty, or items of such values."""
    is_shared: bool
    """Whether two holders of a value can see each other's changes: it has lists within."""
    first_size: int = 1
    """Of how many values the first value is made."""


def wire_of(kind: ValueType) -> Wire:
    """Return how values of a type cross the border."""
    return wire_from(kind, tuple(map(wire_of, kind.items)))


def wire_from(kind: ValueType, parts: tuple[Wire, ...]) -> Wire:
    """Return how values of a type cross the border, given that of its items.

    Takes time by the number of items, not by how deep they go: types may share parts.
    """
    if kind.kind is Kind.LIST:
        (item,) = parts
        return Wire(
            _measure_list(item.measure),
            _list_out(item.copy_out),
            _list_in(kind, item),
            list,
            is_shared=True,
        )
    if kind.kind is Kind.DICT:
        key, item = parts
        return Wire(
            _measure_dict(key.measure, item.measure),
            _dict_out(key.copy_out, item.copy_out),
            _dict_in(kind, key, item),
            dict,
            is_shared=True,
        )
    if kind.kind is Kind.TUPLE:
        makers = tuple([part.make_first for part in parts])
        return Wire(
            _measure_tuple(tuple([part.measure for part in parts])),
            _tuple_out(tuple([part.copy_out for part in parts])),
            _tuple_in(kind, parts),
            lambda: tuple([make() for make in makers]),
            is_shared=any(part.is_shared for part in parts),
            first_size=1 + sum([part.first_size for part in parts]),
        )
    first = _FIRST[kind.kind]
    out = int_out if kind.kind is Kind.INT else _as_it_is
    return Wire(
        _measure_simple(kind), out, _SIMPLE[kind.kind](kind), lambda: first, is_shared=False
    )


def _measure_simple(kind: ValueType) -> Measure:
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


def _less(room: int, size: int) -> int:
    """Return the room that is left: empty collections take some, too."""
    if room < size:
        raise too_large(MAX_ARGUMENT_BYTES)
    return room - size


def _measure_list(item: Measure) -> Measure:
    def measure(meter: Meter, value: Inner, room: int) -> int:
        charge(meter, COLLECTION_GAS + 4 * len(value))
        room = _less(room, 3)
        for member in value:
            room = item(meter, member, room)
        return room

    return measure


def _measure_tuple(items: tuple[Measure, ...]) -> Measure:
    def measure(meter: Meter, value: Inner, room: int) -> int:
        charge(meter, COLLECTION_GAS + 4 * len(items))
        room = _less(room, 3)
        for item, member in zip(items, value, strict=True):
            room = item(meter, member, room)
        return room

    return measure


def _measure_dict(key: Measure, item: Measure) -> Measure:
    def measure(meter: Meter, value: Inner, room: int) -> int:
        charge(meter, COLLECTION_GAS + 8 * len(value))
        room = _less(room, 3)
        for name, member in value.items():
            room = item(meter, member, key(meter, name, room - 1))
        return room

    return measure


def _list_out(item: CopyOut) -> CopyOut:
    return lambda value: tuple(map(item, value))


def _tuple_out(items: tuple[CopyOut, ...]) -> CopyOut:
    return lambda value: tuple([out(member) for out, member in zip(items, value, strict=True)])


def _dict_out(key: CopyOut, item: CopyOut) -> CopyOut:
    return lambda value: tuple([(key(name), item(member)) for name, member in value.items()])


def _as_it_is(value: Inner) -> Encodable:
    encodable: Encodable = value
    return encodable


def int_out(value: Inner) -> Encodable:
    """Return the canonical form of an integer."""
    number: int = value
    return number if LEAST_SMALL <= number <= MOST_SMALL else encode_integer(number)


def _int_in(kind: ValueType) -> CopyIn:
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
        # Bytes decode to whole letters; JSON at a reader's door can hold half of one.
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise Misfit(kind, " that can be UTF-8")
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
    Kind.INT: _int_in,
    Kind.BOOL: _bool_in,
    Kind.BYTES: _bytes_in,
    Kind.STR: _str_in,
    Kind.ADDRESS: _address_in,
}


def _list_in(kind: ValueType, part: Wire) -> CopyIn:
    item = part.copy_in

    def copy(meter: Meter, value: Value) -> Inner:
        if type(value) is not tuple or len(value) > MAX_ITEMS:
            raise Misfit(kind, f" of at most {MAX_ITEMS} items")
        allocate(meter, COLLECTION_GAS + 4 * len(value), OBJECT_BYTES + ITEM_BYTES * len(value))
        return [item(meter, member) for member in value]

    return copy


def _tuple_in(kind: ValueType, parts: tuple[Wire, ...]) -> CopyIn:
    items = tuple([part.copy_in for part in parts])
    count = len(items)

    def copy(meter: Meter, value: Value) -> Inner:
        if type(value) is not tuple or len(value) != count:
            raise Misfit(kind, f" of {count} items")
        allocate(meter, COLLECTION_GAS + 4 * count, OBJECT_BYTES + ITEM_BYTES * count)
        return tuple([into(meter, member) for into, member in zip(items, value, strict=True)])

    return copy


def _dict_in(kind: ValueType, key_part: Wire, part: Wire) -> CopyIn:
    key, item = key_part.copy_in, part.copy_in
    has_int_keys = kind.items[0].kind is Kind.INT

    def copy(meter: Meter, value: Value) -> Inner:
        if type(value) is not tuple or len(value) > MAX_ITEMS:
            raise Misfit(kind, f" of at most {MAX_ITEMS} entries")
        count = len(value)
        gas = COLLECTION_GAS + 8 * count + count * count // 16
        allocate(meter, gas, OBJECT_BYTES + ENTRY_BYTES * count)
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


_FIRST: Final[dict[Kind, Inner]] = {
    Kind.NONE: None,
    Kind.INT: 0,
    Kind.BOOL: False,
    Kind.BYTES: b"",
    Kind.STR: "",
    Kind.ADDRESS: bytes(ACCOUNT_ID_BYTES),
}
