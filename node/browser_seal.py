"""How browsers protect a key: PBKDF2 over the password and AES-GCM, which WebCrypto has.

What else a wallet keeps there is under a key that HKDF makes of its seed.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

KDF: Final = "pbkdf2-sha256"
CIPHER: Final = "aes-256-gcm"
MIN_ITERATIONS: Final = 100_000
MAX_ITERATIONS: Final = 10_000_000
DEFAULT_ITERATIONS: Final = 600_000
"""What OWASP's cheat sheet on password storage asks of PBKDF2 with SHA-256 (2023)."""
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
KEPT_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class BrowserSeal:
    """A seed under a password, as the explorer's wallet keeps it."""

    iterations: int
    """Rounds of PBKDF2, MIN_ITERATIONS to MAX_ITERATIONS: what one guess costs."""
    salt: bytes
    """16 bytes."""
    nonce: bytes
    """12 bytes."""
    ciphertext: bytes
    """48 bytes: the seed and its authentication tag."""


def new_salt() -> bytes:
    """Return 16 random bytes."""
    return secrets.token_bytes(SALT_BYTES)


def seal(seed: bytes, password: bytes, associated: bytes, salt: bytes) -> BrowserSeal:
    """Return `seed` (32 bytes) under `password`; the tag covers `associated` too."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(NONCE_BYTES)
    key = _derive(password, DEFAULT_ITERATIONS, salt)
    ciphertext = AESGCM(key).encrypt(nonce, seed, associated)
    return BrowserSeal(DEFAULT_ITERATIONS, salt, nonce, ciphertext)


def unseal(sealed: BrowserSeal, password: bytes, associated: bytes) -> bytes | None:
    """Return the seed, or None where the password does not open it."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = _derive(password, sealed.iterations, sealed.salt)
    try:
        return AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, associated)
    except InvalidTag:
        return None


def unseal_kept(
    seed: bytes, purpose: bytes, sealed: tuple[bytes, bytes], associated: bytes
) -> bytes | None:
    """Return what a wallet kept under its seed for a purpose: nonce and ciphertext are `sealed`.

    None where the seed does not open it.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    key = HKDF(algorithm=SHA256(), length=KEPT_KEY_BYTES, salt=None, info=purpose).derive(seed)
    nonce, ciphertext = sealed
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, associated)
    except InvalidTag:
        return None


def _derive(password: bytes, iterations: int, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password, salt, iterations, 32)
