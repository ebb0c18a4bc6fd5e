"""Ed25519 signatures through libsodium, with the strict rule for keys.

Libraries differ on small-order and non-canonical keys, and nodes would differ with them: one
library decides, and such keys are refused at every door where a key can enter.
"""

from __future__ import annotations

from nacl import bindings
from nacl.exceptions import CryptoError

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


def check_public_key(key: bytes) -> bool:
    """Tell whether `key` is a canonical point of prime order on the curve.

    Costs a scalar multiplication: call it where a key enters, not for each signature.
    """
    return len(key) == PUBLIC_KEY_BYTES and bool(bindings.crypto_core_ed25519_is_valid_point(key))


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` (64 bytes) signs `message` under `public_key` (32 bytes)."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except CryptoError:
        return False
    return True


def sign(seed: bytes, message: bytes) -> bytes:
    """Return the 64-byte signature of `message` under the key pair of `seed` (32 bytes)."""
    _, secret_key = bindings.crypto_sign_seed_keypair(seed)
    return bindings.crypto_sign(message, secret_key)[:SIGNATURE_BYTES]


def public_key(seed: bytes) -> bytes:
    """Return the 32-byte public key of the key pair of `seed` (32 bytes)."""
    key, _ = bindings.crypto_sign_seed_keypair(seed)
    return key
