"""Sealed orders from a browser: read with the key that they were sealed by, and with no other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tools.browser_orders import FORMAT, PURPOSE, BrowserOrder, read_orders
from tools.errors import ToolError
from tools.wallet import Signer
from vm.primitives.codec import encode

ME = Signer("me", b"m" * 20, b"s" * 32)
COMMITMENT = b"c" * 32
NONCE = b"n" * 12
ORDER = {
    "module": "day",
    "name": "local",
    "interval": "7",
    "side": "buy",
    "pairs": [["2000000", "9500000"]],
    "lastGate": "255",
    "salt": "ab" * 32,
}


def exported(commitment: bytes = COMMITMENT, **changes: Any) -> bytes:
    """Return a file as the wallet's page writes it."""
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(ME.seed)
    associated = encode((FORMAT, 1, ME.account, COMMITMENT))
    ciphertext = AESGCM(key).encrypt(NONCE, json.dumps(ORDER).encode(), associated)
    sealed = {"nonce": NONCE.hex(), "ciphertext": ciphertext.hex()}
    found = {"format": FORMAT, "version": 1, "account": ME.account.hex()}
    return json.dumps(found | {"orders": {commitment.hex(): sealed}} | changes).encode()


def test_orders_are_read_with_their_key() -> None:
    steps = ((2_000_000, 9_500_000),)
    wanted = BrowserOrder("day", "local", 7, "buy", steps, 255, b"\xab" * 32, COMMITMENT)
    assert read_orders(exported(), ME) == [wanted]
    name, method, arguments = wanted.opening(3)
    assert (name, method) == ("day", "open")
    assert arguments == ("local", 7, 3, "buy", steps, 255, b"\xab" * 32)


@pytest.mark.parametrize(
    ("data", "signer"),
    [
        (exported(), Signer("me", ME.account, b"t" * 32)),
        (exported(), Signer("you", b"y" * 20, ME.seed)),
        (exported(commitment=b"d" * 32), ME),
        (exported(version=2), ME),
        (exported(orders={"00": {"nonce": "", "ciphertext": ""}}), ME),
        (exported(orders=[]), ME),
        (b"[1]", ME),
        (b"{", ME),
    ],
)
def test_what_is_not_this_keys_is_refused(data: bytes, signer: Signer) -> None:
    with pytest.raises(ToolError, match="no file of sealed orders of this key"):
        read_orders(data, signer)
