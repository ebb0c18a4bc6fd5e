"""Equality of two values of a type, charged by what is compared, before it is compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vm.contract.host import Meter
from vm.contract.metering import COLLECTION_GAS, charge
from vm.contract.value_types import Kind, ValueType
from vm.contract.wire import Inner

Equal = Callable[[Meter, Inner, Inner], bool]
TEXT_SHIFT: Final = 6
"""A unit of gas compares 2**6 bytes or letters."""


def equal_of(kind: ValueType, parts: tuple[Equal, ...]) -> Equal:
    """Return the comparison of values of a type, given those of its items."""
    if kind.kind is Kind.LIST:
        return _equal_lists(parts[0])
    if kind.kind is Kind.TUPLE:
        return _equal_tuples(parts)
    if kind.kind is Kind.DICT:
        return _equal_dicts(parts[1])
    if kind.kind in (Kind.BYTES, Kind.STR):
        return _equal_texts
    return _equal_simple


def _equal_simple(meter: Meter, left: Inner, right: Inner) -> bool:
    return bool(left == right)


def _equal_texts(meter: Meter, left: Inner, right: Inner) -> bool:
    if len(left) != len(right):
        return False
    charge(meter, len(left) >> TEXT_SHIFT)
    return bool(left == right)


def _equal_lists(item: Equal) -> Equal:
    def equal(meter: Meter, left: Inner, right: Inner) -> bool:
        charge(meter, COLLECTION_GAS)
        if len(left) != len(right):
            return False
        charge(meter, 4 * len(left))
        return all(item(meter, mine, other) for mine, other in zip(left, right, strict=True))

    return equal


def _equal_tuples(items: tuple[Equal, ...]) -> Equal:
    def equal(meter: Meter, left: Inner, right: Inner) -> bool:
        charge(meter, COLLECTION_GAS + 4 * len(items))
        return all(
            item(meter, mine, other) for item, mine, other in zip(items, left, right, strict=True)
        )

    return equal


def _equal_dicts(item: Equal) -> Equal:
    def equal(meter: Meter, left: Inner, right: Inner) -> bool:
        mine: dict[object, object] = left
        others: dict[object, object] = right
        charge(meter, COLLECTION_GAS)
        if len(mine) != len(others):
            return False
        # Each look-up may pass every entry, see `lookup_gas`.
        charge(meter, len(mine) * (4 + lookup_gas(others)))
        for key, value in mine.items():
            if key not in others or not item(meter, value, others[key]):
                return False
        return True

    return equal


def lookup_gas(entries: dict[object, object]) -> int:
    """Return what finding a key costs: the worst that chosen keys can do to a hash table."""
    return len(entries) >> 4


def key_gas(key: object) -> int:
    """Return what hashing and comparing a key costs."""
    return len(key) >> 4 if type(key) is bytes or type(key) is str else 0
