"""Signatures hold for their key and message only; odd keys are refused at the door."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.support import key_of, seed
from tests.vectors.primitive_inputs import (
    GROUP_ORDER,
    NON_CANONICAL,
    RFC_8032,
    SMALL_ORDER,
    mixed_order_key,
)
from vm.primitives.signatures import check_public_key, public_key, sign, verify_signature


@pytest.mark.parametrize("vector", RFC_8032)
def test_the_published_vectors(vector: tuple[str, str, str, str]) -> None:
    secret, key, message, signature = (bytes.fromhex(part) for part in vector)
    assert public_key(secret) == key
    assert sign(secret, message) == signature
    assert verify_signature(key, message, signature)
    assert check_public_key(key)


@settings(max_examples=50)
@given(st.binary(max_size=50), st.integers(0, 511))
def test_any_flipped_bit_breaks_it(message: bytes, bit: int) -> None:
    signature = bytearray(sign(seed("P1"), message))
    assert verify_signature(key_of("P1"), message, bytes(signature))
    assert not verify_signature(key_of("P2"), message, bytes(signature))
    assert not verify_signature(key_of("P1"), message + b"\0", bytes(signature))
    signature[bit // 8] ^= 1 << bit % 8
    assert not verify_signature(key_of("P1"), message, bytes(signature))


def test_s_plus_the_group_order_is_refused() -> None:
    signature = sign(seed("P1"), b"message")
    scalar = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    assert not verify_signature(
        key_of("P1"), b"message", signature[:32] + scalar.to_bytes(32, "little")
    )


@pytest.mark.parametrize("what", SMALL_ORDER | NON_CANONICAL)
def test_odd_keys_are_refused_and_sign_nothing(what: str) -> None:
    key = bytes.fromhex((SMALL_ORDER | NON_CANONICAL)[what])
    assert not check_public_key(key)
    identity = bytes.fromhex(SMALL_ORDER["order 1"])
    for message in (b"", b"a", bytes(32)):
        assert not verify_signature(key, message, identity + bytes(32))
        assert not verify_signature(key, message, key + bytes(32))


def test_a_key_of_mixed_order_is_refused() -> None:
    key = mixed_order_key()
    assert key != key_of("P1")
    assert not check_public_key(key)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_sizes_are_exact(size: int) -> None:
    signature = sign(seed("P1"), b"")
    assert not check_public_key(bytes(size))
    assert not verify_signature(bytes(size), b"", signature)
    assert not verify_signature(key_of("P1"), b"", signature[:63])
    assert not verify_signature(key_of("P1"), b"", signature + b"\0")
