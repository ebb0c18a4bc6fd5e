"""The interface of a contract as JSON has it, its values for people, and what an upgrade keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from vm.contract.code_object import Code, Function, Slot
from vm.contract.library import MAX_DIGITS
from vm.contract.limits import MAX_INT, MIN_INT
from vm.contract.value_types import Kind, ValueType
from vm.contract.wire import LEAST_SMALL, MOST_SMALL
from vm.primitives.address import ACCOUNT_ID_BYTES, TEXT_LENGTH, decode_address, encode_address
from vm.primitives.codec import Encodable, Value, decode_integer, encode_integer
from vm.primitives.errors import InvalidInput

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]

_MOST_EXACT: Final = 2**53 - 1
"""Greatest integer that every reader of JSON keeps exactly; larger ones are decimal text."""


def describe_type(kind: ValueType) -> Json:
    """Return a type as text, or a record as an object with its fields."""
    if kind.name:
        fields = zip(kind.fields, kind.items, strict=True)
        return {"record": kind.name, "fields": _fields(tuple(fields))}
    if kind.kind is Kind.LIST:
        return {"list": describe_type(kind.items[0])}
    if kind.kind is Kind.TUPLE:
        return {"tuple": [describe_type(item) for item in kind.items]}
    if kind.kind is Kind.DICT:
        return {"dict": [describe_type(item) for item in kind.items]}
    return str(kind)


def _fields(fields: tuple[tuple[str, ValueType], ...]) -> Json:
    return [{"name": name, "type": describe_type(kind)} for name, kind in fields]


def describe_code(code: Code) -> dict[str, Json]:
    """Return what a contract stores, tells and does, as JSON; internal functions are left out."""
    return {
        "code_hash": code.code_hash.hex(),
        "functions": [_describe_function(code, found) for found in code.entries.values()],
        "events": [{"name": event.name, "fields": _fields(event.fields)} for event in code.events],
        "storage": [
            {
                "name": slot.name,
                "key": None if slot.key is None else describe_type(slot.key),
                "value": describe_type(slot.value),
            }
            for slot in code.slots
        ],
        "calls": [
            {
                "interface": found.interface,
                "method": found.method,
                "parameters": [describe_type(kind) for kind in found.parameters],
                "result": describe_type(found.result),
                "view": found.is_view,
            }
            for found in code.imports
        ],
    }


def _describe_function(code: Code, found: Function) -> Json:
    return {
        "name": found.name,
        "kind": found.kind.name.lower(),
        "parameters": _fields(found.parameters),
        "result": describe_type(found.result),
        "roles": list(found.roles),
        "only": None if found.only == -1 else code.slots[found.only].name,
        "reentrant": found.reentrant,
    }


def check_upgrade(old: Code, new: Code) -> list[str]:
    """Return what keeps `new` from taking over the storage of `old`; nothing where it can."""
    findings = []
    for number, slot in enumerate(old.slots):
        if number >= len(new.slots):
            findings.append(f"{_shown(slot)} is no longer declared")
        elif new.slots[number] != slot:
            findings.append(f"{_shown(new.slots[number])} stands where {_shown(slot)} was")
    return findings


def _shown(slot: Slot) -> str:
    kind = f"map[{slot.key}, {slot.value}]" if slot.key is not None else str(slot.value)
    return f"{slot.name}: {kind}"


def to_json(kind: ValueType, value: Encodable) -> Json:
    """Return a value in the canonical form of a type for people; raises InvalidInput.

    Addresses are text with a checksum, bytes hexadecimal, integers beyond 53 bits decimal text.
    """
    if kind.kind in _TO_JSON:
        return _TO_JSON[kind.kind](value)
    if not isinstance(value, (tuple, list)):
        raise _unlike(kind)
    if kind.kind is Kind.LIST:
        return [to_json(kind.items[0], item) for item in value]
    if kind.kind is Kind.TUPLE:
        if len(value) != len(kind.items):
            raise _unlike(kind)
        items = [to_json(item, member) for item, member in zip(kind.items, value, strict=True)]
        return dict(zip(kind.fields, items, strict=True)) if kind.name else items
    pair = ValueType(Kind.TUPLE, kind.items)
    return [to_json(pair, entry) for entry in value]


def from_json(kind: ValueType, data: object) -> Value:
    """Return the canonical form of what `to_json` gives of a value; raises InvalidInput.

    An address may also be given as 40 hexadecimal digits, an integer as decimal text.
    """
    if kind.kind in _FROM_JSON:
        return _FROM_JSON[kind.kind](kind, data)
    if kind.name and isinstance(data, Mapping):
        if sorted(map(str, data)) != sorted(kind.fields):
            raise _unlike(kind)
        data = [data[name] for name in kind.fields]
    if kind.kind is Kind.DICT and isinstance(data, Mapping):
        data = [[key, value] for key, value in data.items()]
    if not isinstance(data, list):
        raise _unlike(kind)
    if kind.kind is Kind.LIST:
        return tuple([from_json(kind.items[0], item) for item in data])
    if kind.kind is Kind.DICT:
        pair = ValueType(Kind.TUPLE, kind.items)
        return tuple([from_json(pair, entry) for entry in data])
    if len(data) != len(kind.items):
        raise _unlike(kind)
    return tuple([from_json(item, member) for item, member in zip(kind.items, data, strict=True)])


def _unlike(kind: ValueType) -> InvalidInput:
    return InvalidInput("the value is not of the declared type", expected=kind)


def _int_to_json(value: Encodable) -> Json:
    number = decode_integer(value) if isinstance(value, bytes) else value
    if type(number) is not int:
        raise InvalidInput("the value is not of the declared type", expected="int")
    return number if -_MOST_EXACT <= number <= _MOST_EXACT else str(number)


def _bytes_to_json(value: Encodable) -> Json:
    if not isinstance(value, bytes):
        raise InvalidInput("the value is not of the declared type", expected="bytes")
    return value.hex()


def _plain_to_json(value: Encodable) -> Json:
    if value is None or isinstance(value, (bool, str)):
        return value
    raise InvalidInput("the value is not of the declared type", expected="None, bool or str")


def _address_to_json(value: Encodable) -> Json:
    if not isinstance(value, bytes):
        raise InvalidInput("the value is not of the declared type", expected="an address")
    return encode_address(value)


def _int_from_json(kind: ValueType, data: object) -> Value:
    if isinstance(data, str):
        digits = data.removeprefix("-")
        # Bounded before it is parsed: Python refuses long texts by a setting of its own.
        if len(digits) > MAX_DIGITS or not digits.isascii() or not digits.isdigit():
            raise _unlike(kind)
        data = int(data)
    if type(data) is not int or not MIN_INT <= data <= MAX_INT:
        raise _unlike(kind)
    if LEAST_SMALL <= data <= MOST_SMALL:
        return data
    return encode_integer(data)


def _hex_from_json(kind: ValueType, data: object) -> bytes:
    try:
        if isinstance(data, str):
            return bytes.fromhex(data)
    except ValueError:
        pass
    raise _unlike(kind)


def _address_from_json(kind: ValueType, data: object) -> Value:
    if isinstance(data, str) and len(data) == TEXT_LENGTH:
        return decode_address(data)
    raw = _hex_from_json(kind, data)
    if len(raw) != ACCOUNT_ID_BYTES:
        raise _unlike(kind)
    return raw


def _plain_from_json(wanted: type) -> Callable[[ValueType, object], Value]:
    def convert(kind: ValueType, data: object) -> Value:
        if type(data) is not wanted:
            raise _unlike(kind)
        return data  # type: ignore[return-value]

    return convert


_TO_JSON: Final[Mapping[Kind, Callable[[Encodable], Json]]] = {
    Kind.NONE: _plain_to_json,
    Kind.INT: _int_to_json,
    Kind.BOOL: _plain_to_json,
    Kind.BYTES: _bytes_to_json,
    Kind.STR: _plain_to_json,
    Kind.ADDRESS: _address_to_json,
}
_FROM_JSON: Final[Mapping[Kind, Callable[[ValueType, object], Value]]] = {
    Kind.NONE: _plain_from_json(type(None)),
    Kind.INT: _int_from_json,
    Kind.BOOL: _plain_from_json(bool),
    Kind.BYTES: _hex_from_json,
    Kind.STR: _plain_from_json(str),
    Kind.ADDRESS: _address_from_json,
}
