"""The codec takes one encoding of each value and nothing else, before it builds anything."""

import math
import tracemalloc

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vm.primitives.codec import (
    decode,
    decode_integer,
    encode,
    encode_integer,
    encode_trusted,
    has_types,
    validate_shape,
)
from vm.primitives.errors import BitenergyError, DecodeError

KEYS = st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=8) | st.text(max_size=8)


def ordered(pairs: list[tuple[object, object]]) -> dict[object, object]:
    """Return a map whose keys stand in the order of their encodings."""
    return dict(sorted(dict(pairs).items(), key=lambda pair: msgpack.packb(pair[0])))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=5).map(tuple)
        | st.lists(st.tuples(KEYS, inner), max_size=4).map(ordered)
    ),
    max_leaves=20,
)


def kinds(value: object) -> object:
    """Return a value with the kinds of everything in it, since True equals 1."""
    if isinstance(value, tuple):
        return [kinds(item) for item in value]
    if isinstance(value, dict):
        return [(kinds(key), kinds(item)) for key, item in value.items()]
    return type(value), value


@given(VALUES)
def test_values_come_back(value: object) -> None:
    assert kinds(decode(encode(value), max_bytes=2**20)) == kinds(value)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_stand_for_themselves(data: bytes) -> None:
    try:
        value = decode(data, max_bytes=100)
    except DecodeError:
        return
    assert encode(value) == data


@given(VALUES, st.data())
def test_a_changed_byte_never_gives_the_same_value(value: object, data: st.DataObject) -> None:
    good = bytearray(encode(value))
    place = data.draw(st.integers(0, len(good) - 1))
    good[place] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(good), max_bytes=2**20)
    except DecodeError:
        return
    assert kinds(other) != kinds(value)


@given(VALUES)
def test_the_scan_agrees_with_the_decoder(value: object) -> None:
    data = encode(value)
    validate_shape(data, max_items=10_000, max_depth=16)
    for cut in (data[:-1], data + b"\0"):
        with pytest.raises(DecodeError):
            validate_shape(cut, max_items=10_000, max_depth=16)


@pytest.mark.parametrize(
    "data", ["cc01", "cd0001", "ce00000001", "cf" + "00" * 7 + "01", "d001", "d10001"]
)
def test_the_other_encodings_of_one_are_refused(data: str) -> None:
    assert decode(b"\x01", max_bytes=1) == 1
    with pytest.raises(DecodeError, match="canonical"):
        decode(bytes.fromhex(data), max_bytes=100)


def test_text_is_opaque_and_not_normalised() -> None:
    composed, decomposed = "é", "e\u0301"
    assert encode(composed) != encode(decomposed)
    assert decode(encode(decomposed), max_bytes=9) == decomposed


@pytest.mark.parametrize("value", [1.0, math.nan, [1, [2.5]], {1: 0.0}, object(), {1, 2}, 2**64])
def test_values_without_encoding_are_refused(value: object) -> None:
    with pytest.raises(DecodeError):
        encode(value)


@pytest.mark.parametrize("value", [-(2**63) - 1, {2: 0, 1: 0}, {None: 1}, {True: 1}, "\ud800"])
def test_values_out_of_range_or_order_are_refused(value: object) -> None:
    with pytest.raises(DecodeError):
        encode(value)


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\x01"], ids=["arrays", "maps"])
def test_depth_is_sixteen(opening: bytes) -> None:
    inner = b"\x90"
    assert decode(opening * 15 + inner, max_bytes=100)
    for depth in (16, 17, 1_000, 5_000, 1_000_000):
        with pytest.raises(DecodeError):
            decode(opening * depth + inner, max_bytes=2**22)


def test_thirty_two_megabytes_of_maps_cost_no_memory() -> None:
    data = b"\xdd" + (2**25).to_bytes(4, "big") + bytes([0x80]) * 2**25
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match="too many items"):
            decode(data, max_bytes=2**26)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_a_claim_of_four_billion_items_is_refused() -> None:
    for opening in (b"\xdd", b"\xdf"):
        with pytest.raises(DecodeError):
            decode(opening + b"\xff" * 4, max_bytes=100)
        with pytest.raises(DecodeError):
            decode(opening + b"\xff" * 4 + bytes(5_000), max_bytes=10_000)


def test_limits_are_inclusive() -> None:
    data = encode([1, 2, 3])
    assert decode(data, max_bytes=4, max_items=4, max_depth=1) == (1, 2, 3)
    for limits in ({"max_bytes": 3}, {"max_items": 3}, {"max_depth": 0}):
        with pytest.raises(DecodeError):
            decode(data, **{"max_bytes": 4, "max_items": 4, "max_depth": 1} | limits)


@given(st.integers(-(2**255), 2**255 - 1))
def test_big_integers_come_back(number: int) -> None:
    assert decode_integer(encode_integer(number)) == number


@given(st.binary(max_size=40))
def test_big_integers_have_one_encoding(data: bytes) -> None:
    try:
        number = decode_integer(data)
    except BitenergyError:
        return
    assert encode_integer(number) == data


def test_types_are_told_apart_where_python_does_not() -> None:
    assert has_types((1, b""), (int, bytes))
    for value in ((True, b""), (1.0, b""), (1, b"", 0), (1,), 1, None):
        assert not has_types(value, (int, bytes))


def test_the_trusted_encoder_writes_the_same_bytes() -> None:
    value = (1, b"a", "b", (None, True))
    assert encode_trusted(value) == encode(value)
