"""A transaction has one encoding, one id and one signer; nothing in it can be changed unnoticed."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.ledger.transaction import decode_transaction, sign_transaction
from tests.ledger.support import Chain, id_of, key_of, seed
from vm.primitives.codec import decode, encode
from vm.primitives.errors import BitenergyError
from vm.primitives.signatures import verify_signature

NUMBERS = st.integers(0, 2**63 - 1)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary() | st.text()
ARGUMENTS = st.lists(SCALARS | st.lists(SCALARS, max_size=3).map(tuple), max_size=4).map(tuple)
CALLS = st.lists(
    st.tuples(st.text("abcz_", max_size=32), st.text("abcz_", max_size=32), ARGUMENTS),
    min_size=1,
    max_size=64,
).map(tuple)


@settings(max_examples=60)
@given(CALLS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_what_is_signed_comes_back(
    calls: tuple, nonce: int, gas_limit: int, max_fee_micro: int, expiry_height: int
) -> None:
    numbers = {"nonce": nonce, "gas_limit": gas_limit, "max_fee_micro": max_fee_micro}
    made = sign_transaction(
        seed("P1"),
        genesis=bytes(32),
        sender=id_of("P1"),
        key=key_of("P1"),
        expiry_height=expiry_height,
        calls=calls,
        **numbers,
    )
    again = decode_transaction(made.raw)
    assert again == made
    assert (again.nonce, again.gas_limit, again.max_fee_micro) == (nonce, gas_limit, max_fee_micro)
    assert (again.expiry_height, again.calls) == (expiry_height, calls)
    items = decode(made.raw, max_bytes=2**20)
    assert isinstance(items, tuple)
    assert made.digest == sha256(b"\x07tx/sign" + encode(items[:-1])).digest()
    assert made.id == sha256(b"\x02tx" + made.raw).digest()
    assert verify_signature(again.key, again.digest, again.signature)


RAW = Chain().transaction("P1").raw


@pytest.mark.parametrize("place", range(len(RAW)))
def test_every_byte_counts(place: int) -> None:
    """Whatever bit is flipped: refused, or another id whose signature does not hold."""
    for bit in range(8):
        flipped = bytearray(RAW)
        flipped[place] ^= 1 << bit
        try:
            other = decode_transaction(bytes(flipped))
        except BitenergyError:
            continue
        assert other.id != sha256(b"\x02tx" + RAW).digest()
        assert not verify_signature(other.key, other.digest, other.signature)


@given(st.binary(max_size=300))
def test_junk_is_refused(data: bytes) -> None:
    for junk in (data, b"\x9b\x01\x01" + data, RAW[:100] + data):
        with pytest.raises(BitenergyError):
            decode_transaction(junk)


def test_a_transaction_of_a_network_with_the_same_name_is_refused() -> None:
    here, there = Chain(), Chain(about="another network, called the same")
    assert here.genesis.chain == there.genesis.chain
    sent = there.transaction("P1")
    assert there.build([sent]).codes == [""]
    assert [error.code for _, error in here.build([sent]).dropped] == ["wrong_network"]
