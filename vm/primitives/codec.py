"""Canonical MessagePack: one value has exactly one encoding, and everything else is refused.

A value is None, a bool, an integer of 64 bits, bytes, text, an array, or a map whose keys stand
in ascending order of their encodings. Structures are arrays `[type, version, fields...]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgpack

from vm.primitives.errors import DecodeError

# One packer for all: making one costs more than packing. It keeps nothing between calls.
_pack = msgpack.Packer(use_bin_type=True).pack

Scalar = None | bool | int | bytes | str
Value = Scalar | tuple["Value", ...] | dict[Scalar, "Value"]
Encodable = Scalar | Sequence["Encodable"] | Mapping[Scalar, "Encodable"]

MAX_DEPTH = 16
MAX_ITEMS = 65_536
# Below this size the bytes themselves bound the number of objects, so no scan is needed first.
SCAN_FREE_BYTES = 4_096

_KINDS = "nothing, booleans, integers, bytes, text, arrays and maps"


def encode(value: Encodable) -> bytes:
    """Return the canonical bytes of `value`.

    Raises DecodeError where the value has no canonical form (floats, integers beyond 64 bits,
    maps with keys out of order).
    """
    _validate_encodable(value, MAX_DEPTH)
    try:
        return encode_trusted(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise DecodeError("this value has no canonical encoding", actual=error) from error


def encode_trusted(value: Encodable) -> bytes:
    """Return the canonical bytes of a value that our own code built from plain arrays.

    The hot path: no check of types; never call it on values that came from outside.
    """
    packed: bytes = _pack(value)
    return packed


def unpack_trusted(data: bytes) -> Value:
    """Return the value in bytes that our own code encoded and kept, e.g. a state leaf."""
    value: Value = msgpack.unpackb(data, use_list=False, strict_map_key=False)
    return value


def decode(
    data: bytes,
    *,
    max_bytes: int,
    max_items: int = MAX_ITEMS,
    max_depth: int = MAX_DEPTH,
) -> Value:
    """Return the value that `data` canonically encodes; arrays become tuples.

    Raises DecodeError on anything else. Size, number of items and depth are checked before any
    object is built, but where the size alone bounds what is built: there number and depth are
    looked at afterwards. The value must encode to the very same bytes.
    """
    if len(data) > max_bytes:
        raise DecodeError(
            "the bytes are too long", expected=f"at most {max_bytes}", actual=len(data)
        )
    if len(data) > SCAN_FREE_BYTES:
        validate_shape(data, max_items=max_items, max_depth=max_depth)
    value = unpack(data)
    if validate_depth(value, max_depth) > max_items:
        raise DecodeError("too many items", expected=f"at most {max_items}")
    if _pack(value) != data:
        raise DecodeError(
            "the encoding is not canonical", hint="Encode each value in its shortest form."
        )
    return value


def unpack(data: bytes) -> Value:
    """Return the value in `data` without the canonical check (the caller re-encodes).

    Raises DecodeError on malformed bytes, extension types, floats and unordered or double keys.
    """
    try:
        value: Value = msgpack.unpackb(
            data,
            use_list=False,
            strict_map_key=False,
            object_pairs_hook=_ordered_map,
            ext_hook=_refuse_extension,
            max_ext_len=0,
        )
        return value
    except DecodeError:
        raise
    except (ValueError, TypeError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError("the bytes are not MessagePack", actual=type(error).__name__) from error
    except (msgpack.exceptions.UnpackException, msgpack.exceptions.StackError) as error:
        raise DecodeError("the bytes are not MessagePack", actual=type(error).__name__) from error


def has_types(value: Value, types: tuple[type, ...]) -> bool:
    """Tell whether `value` is an array of exactly these types, item by item.

    Patterns and comparisons take True for 1 and 1.0 for 1; this does not.
    """
    return type(value) is tuple and tuple(map(type, value)) == types


def validate_depth(value: Value, max_depth: int) -> int:
    """Return the number of items, `value` itself and a map's keys included.

    Raises DecodeError if `value` nests deeper than `max_depth` or holds a float.
    """
    kind = type(value)
    count = 1
    if kind is tuple:
        if max_depth <= 0:
            raise DecodeError("the value nests too deeply", expected=f"at most {MAX_DEPTH} levels")
        for item in value:  # type: ignore[union-attr]
            kind = type(item)
            if kind is int or kind is bytes or kind is str:
                count += 1
            else:
                count += validate_depth(item, max_depth - 1)
    elif kind is dict:
        if max_depth <= 0:
            raise DecodeError("the value nests too deeply", expected=f"at most {MAX_DEPTH} levels")
        for item in value.values():  # type: ignore[union-attr]
            count += 1 + validate_depth(item, max_depth - 1)
    elif kind not in _SCALAR_TYPES:
        raise DecodeError("a value is of a kind we never use", expected=_KINDS, actual=kind)
    return count


def validate_shape(data: bytes, *, max_items: int, max_depth: int) -> None:
    """Raise DecodeError if `data` holds too many items, too deep, or is cut short.

    Walks the headers only: nothing is built, so 32 MB of empty maps cost no memory.
    """
    position = 0
    items = 0
    pending = [1]
    size = len(data)
    while pending:
        if pending[-1] == 0:
            pending.pop()
            continue
        pending[-1] -= 1
        items += 1
        if items > max_items:
            raise DecodeError("too many items", expected=f"at most {max_items}")
        if position >= size:
            raise DecodeError("the bytes end in the middle of a value", actual=f"{size} bytes")
        skip, children = _header(data, position)
        position += skip
        if position > size:
            raise DecodeError("the bytes end in the middle of a value", actual=f"{size} bytes")
        if children >= 0:
            if children > size - position:
                raise DecodeError("an array claims more items than there are bytes")
            if len(pending) > max_depth:
                raise DecodeError("the value nests too deeply", expected=f"at most {max_depth}")
            pending.append(children)
    if position != size:
        raise DecodeError("bytes follow the value", expected=position, actual=size)


def encode_integer(number: int) -> bytes:
    """Return the minimal big-endian two's complement of an integer of any size (0 is empty)."""
    if number == 0:
        return b""
    magnitude = number if number > 0 else ~number
    return number.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)


def decode_integer(data: bytes, *, max_bytes: int = 32) -> int:
    """Return the integer that `data` minimally encodes; raises DecodeError otherwise."""
    if len(data) > max_bytes:
        raise DecodeError("the integer is too long", expected=f"at most {max_bytes} bytes")
    number = int.from_bytes(data, "big", signed=True)
    if encode_integer(number) != data:
        raise DecodeError("the integer is not in its shortest form", actual=data)
    return number


_SCALAR_TYPES = (int, bytes, str, bool, type(None))


def _validate_encodable(value: Encodable, depth: int) -> None:
    if isinstance(value, (bytes, str, bool, int)) or value is None:
        return
    if depth <= 0:
        raise DecodeError("the value nests too deeply", expected=f"at most {MAX_DEPTH} levels")
    if isinstance(value, (list, tuple)):
        for item in value:
            _validate_encodable(item, depth - 1)
    elif isinstance(value, dict):
        _ordered_map(list(value.items()))
        for item in value.values():
            _validate_encodable(item, depth - 1)
    else:
        raise DecodeError("this kind of value is never encoded", expected=_KINDS, actual=value)


def _ordered_map(pairs: list[tuple[Scalar, Value]]) -> dict[Scalar, Value]:
    previous = b""
    for key, _ in pairs:
        if type(key) not in (int, bytes, str):
            raise DecodeError("a map's key is an integer, bytes or text", actual=type(key).__name__)
        encoded = _pack(key)
        if encoded <= previous:
            raise DecodeError("a map's keys stand in ascending order, each once", actual=key)
        previous = encoded
    return dict(pairs)


def _refuse_extension(code: int, data: bytes) -> Value:
    raise DecodeError("extension types are not used", actual=code)


def _header(data: bytes, position: int) -> tuple[int, int]:
    """Return (bytes to skip, number of children or -1) of the item at `position`."""
    first = data[position]
    if first <= 0x7F or first >= 0xE0 or first in (0xC0, 0xC2, 0xC3):
        return 1, -1
    if first <= 0x8F:
        return 1, 2 * (first & 0x0F)
    if first <= 0x9F:
        return 1, first & 0x0F
    if first <= 0xBF:
        return 1 + (first & 0x1F), -1
    if first in _LENGTH_BYTES:
        width = _LENGTH_BYTES[first]
        return 1 + width + int.from_bytes(data[position + 1 : position + 1 + width], "big"), -1
    if first in _COUNT_BYTES:
        width, factor = _COUNT_BYTES[first]
        count = int.from_bytes(data[position + 1 : position + 1 + width], "big")
        return 1 + width, factor * count
    if first in _FIXED_BYTES:
        return 1 + _FIXED_BYTES[first], -1
    raise DecodeError("floats and extension types are not used", actual=hex(first))


_LENGTH_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_COUNT_BYTES = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
_FIXED_BYTES = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
