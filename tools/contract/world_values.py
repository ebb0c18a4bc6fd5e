"""Values as tests of contracts write them: numbers, text, lists, members for their addresses."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence

from vm.contract.limits import MAX_INT, MIN_INT
from vm.contract.value_types import Kind, ValueType
from vm.primitives.codec import Encodable, Value, decode_integer, encode_integer


def to_chain(kind: ValueType, value: object) -> Value:
    """Return a value in the canonical form of a type; raises TypeError where it does not fit.

    Whatever has an `address` stands for it.
    """
    if kind.kind is Kind.ADDRESS:
        value = getattr(value, "address", value)
        if isinstance(value, bytes) and len(value) == 20:
            return value
    elif kind.kind is Kind.INT:
        if type(value) is int and MIN_INT <= value <= MAX_INT:
            return value if -(2**63) <= value < 2**63 else encode_integer(value)
    elif kind.kind in (Kind.BOOL, Kind.BYTES, Kind.STR):
        wanted = {Kind.BOOL: bool, Kind.BYTES: bytes, Kind.STR: str}[kind.kind]
        if type(value) is wanted:
            return value  # type: ignore[return-value]
    elif kind.kind is Kind.DICT and isinstance(value, Mapping):
        key, item = kind.items
        return tuple([(to_chain(key, name), to_chain(item, each)) for name, each in value.items()])
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        kinds = kind.items * len(value) if kind.kind is Kind.LIST else kind.items
        if len(kinds) == len(value):
            return tuple([to_chain(item, each) for item, each in zip(kinds, value, strict=True)])
    raise TypeError(f"{value!r} is no {kind}")


def from_chain(kind: ValueType, value: Encodable) -> object:
    """Return a value in the form in which tests compare it; addresses are 20 bytes."""
    if kind.kind is Kind.INT:
        return decode_integer(value) if isinstance(value, bytes) else value
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        if kind.kind is Kind.LIST:
            return [from_chain(kind.items[0], item) for item in value]
        if kind.kind is Kind.DICT:
            pair = ValueType(Kind.TUPLE, kind.items)
            return dict([from_chain(pair, item) for item in value])  # type: ignore[misc]
        items = [from_chain(item, each) for item, each in zip(kind.items, value, strict=True)]
        if kind.name:
            return namedtuple(kind.name, kind.fields)(*items)
        return tuple(items)
    return value
