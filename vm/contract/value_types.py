"""The types of contract values, and the canonical form in which values cross a contract's border.

Inside a contract an `int` is a Python integer of 256 bits, an `address` 20 bytes, a `list` a list,
a `tuple` or record a tuple, a `dict` a dictionary in the order of insertion. Outside, in
arguments, results, events and storage, everything is canonical MessagePack: an integer of 64
signed bits stands for itself and a larger one is a byte string of minimal two's complement, so
that each integer has one form; lists, tuples and records are arrays; a dictionary is an array of
[key, value] arrays, in its order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Kind(IntEnum):
    """What a type is made by."""

    NONE = 0
    INT = 1
    BOOL = 2
    BYTES = 3
    STR = 4
    ADDRESS = 5
    LIST = 6
    TUPLE = 7
    DICT = 8


@dataclass(frozen=True, slots=True)
class ValueType:
    """A type of values."""

    kind: Kind
    """What it is made by."""
    items: tuple[ValueType, ...] = ()
    """The item of a list; the items of a tuple; key and value of a dictionary."""
    name: str = ""
    """The name of a record; empty for every other type."""
    fields: tuple[str, ...] = ()
    """The names of a record's items."""

    def __str__(self) -> str:
        if self.name:
            return self.name
        if self.items:
            return f"{self.kind.name.lower()}[{', '.join(map(str, self.items))}]"
        return "None" if self.kind is Kind.NONE else self.kind.name.lower()


NONE: Final = ValueType(Kind.NONE)
INT: Final = ValueType(Kind.INT)
BOOL: Final = ValueType(Kind.BOOL)
BYTES: Final = ValueType(Kind.BYTES)
STR: Final = ValueType(Kind.STR)
ADDRESS: Final = ValueType(Kind.ADDRESS)
SIMPLE: Final = (NONE, INT, BOOL, BYTES, STR, ADDRESS)
"""The types that every code has, by number; its own follow them."""
KEY_KINDS: Final = (Kind.INT, Kind.BOOL, Kind.BYTES, Kind.STR, Kind.ADDRESS)
"""What may be a key of a dictionary or map, and an item of a key that is a tuple."""


def list_of(item: ValueType) -> ValueType:
    """Return the type of lists of `item`."""
    return ValueType(Kind.LIST, (item,))


def tuple_of(*items: ValueType) -> ValueType:
    """Return the type of tuples of `items`."""
    return ValueType(Kind.TUPLE, items)


def dict_of(key: ValueType, value: ValueType) -> ValueType:
    """Return the type of dictionaries from `key` to `value`."""
    return ValueType(Kind.DICT, (key, value))


def record_of(name: str, fields: tuple[tuple[str, ValueType], ...]) -> ValueType:
    """Return the type of records with these named fields; two of different names differ."""
    return ValueType(
        Kind.TUPLE, tuple(kind for _, kind in fields), name, tuple(field for field, _ in fields)
    )


def is_key_type(kind: ValueType) -> bool:
    """Tell whether values of a type may be keys."""
    if kind.kind is Kind.TUPLE:
        return all(item.kind in KEY_KINDS for item in kind.items)
    return kind.kind in KEY_KINDS


def depth_of(kind: ValueType) -> int:
    """Return how deep a type nests; 1 for a simple one."""
    return 1 + max((depth_of(item) for item in kind.items), default=0)


def nodes_of(kind: ValueType) -> int:
    """Return how many types a type is made of, itself included."""
    return 1 + sum(nodes_of(item) for item in kind.items)
