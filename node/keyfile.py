"""Keys on disk: made, saved under a password or in the clear, and opened again."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from node import browser_seal
from node.browser_seal import BrowserSeal
from node.keyfile_format import (
    CIPHER,
    FORMAT,
    KDF,
    MAX_FILE_BYTES,
    NONCE_BYTES,
    PURPOSES,
    SALT_BYTES,
    SEED_BYTES,
    VERSION,
    DerivationCost,
    KeyFile,
    KeyFileError,
    PlainSeed,
    SealedSeed,
    WrongPassword,
    decode_key_file,
    encode_key_file,
)
from node.private_file import read_private_file, write_private_file
from vm.primitives.address import ACCOUNT_ID_BYTES, account_id
from vm.primitives.codec import encode
from vm.primitives.signatures import public_key as derive_public_key

MAX_PASSWORD_BYTES: Final = 1024
DEFAULT_COST: Final = DerivationCost(opslimit=3, memlimit_bytes=64 * 1024 * 1024)
"""RFC 9106's choice for machines short of memory: three passes over 64 MiB."""


def generate_seed() -> bytes:
    """Return 32 bytes from the operating system's generator: a new Ed25519 seed."""
    return secrets.token_bytes(SEED_BYTES)


def save_encrypted_key(
    path: Path,
    seed: bytes,
    password: str,
    *,
    purpose: str,
    account: bytes | None = None,
    cost: DerivationCost = DEFAULT_COST,
    replace: bool = False,
) -> KeyFile:
    """Create `path` (mode 0600, never half written) with `seed` under `password`.

    `account` is given where an account's key was rotated; otherwise it follows from the key.
    An existing file is refused unless `replace` is given, as when a password changes.
    Raises `KeyFileError`.
    """
    public = _validated_public_key(seed, purpose)
    owner = _account_of(public, purpose, account)
    cost.validate()
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    from nacl import bindings

    ciphertext = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        seed,
        _associated_data(purpose, public, owner, cost, salt),
        nonce,
        _derive(password, cost, salt),
    )
    key_file = KeyFile(purpose, public, owner, SealedSeed(cost, salt, nonce, ciphertext))
    write_private_file(path, encode_key_file(key_file), replace=replace)
    return key_file


def save_browser_key(path: Path, seed: bytes, password: str, *, account: bytes) -> KeyFile:
    """Create `path` (mode 0600) with an account's `seed` as the explorer's wallet reads it.

    An existing file is refused. Raises `KeyFileError`.
    """
    public = _validated_public_key(seed, "account")
    salt = browser_seal.new_salt()
    associated = _browser_data("account", public, account, browser_seal.DEFAULT_ITERATIONS, salt)
    sealed = browser_seal.seal(seed, _secret_of(password), associated, salt)
    key_file = KeyFile("account", public, account, sealed)
    write_private_file(path, encode_key_file(key_file), replace=False)
    return key_file


def save_plain_key(
    path: Path, seed: bytes, *, purpose: str, account: bytes | None = None
) -> KeyFile:
    """Create `path` (mode 0600) with `seed` in the clear, for unattended machines.

    An existing file is refused. Raises `KeyFileError`.
    """
    public = _validated_public_key(seed, purpose)
    owner = _account_of(public, purpose, account)
    key_file = KeyFile(purpose, public, owner, PlainSeed(seed))
    write_private_file(path, encode_key_file(key_file), replace=False)
    return key_file


def load_key(path: Path, *, purpose: str, password: Callable[[], str] | None = None) -> bytes:
    """Return the 32-byte seed in `path`; call `password` only if the file needs one.

    Raises `WrongPassword`, or `KeyFileError` for a file that is missing,
    malformed, readable by others, for another purpose, or encrypted with no `password`.
    """
    key_file = read_key_file(path)
    if key_file.purpose != purpose:
        raise KeyFileError(
            f"{path} holds the wrong kind of key",
            code="key_purpose",
            expected=purpose,
            actual=key_file.purpose,
            hint=f"Name the file of the {purpose} key.",
        )
    if isinstance(key_file.protection, PlainSeed):
        return open_key(key_file, None)
    if password is None:
        raise KeyFileError(
            f"{path} is encrypted and there is no password for it",
            code="key_encrypted",
            hint="Give a password file, or store this key unencrypted on an unattended machine.",
        )
    return open_key(key_file, password())


def open_key(key_file: KeyFile, password: str | None) -> bytes:
    """Return the seed of an already read key file; `password` is ignored by a plain one.

    Raises `WrongPassword` when the authentication tag does not match, and
    `KeyFileError` when the seed is not the one of the public key beside it.
    """
    protection = key_file.protection
    if isinstance(protection, PlainSeed):
        seed = protection.seed
    elif isinstance(protection, BrowserSeal):
        seed = _unseal_browser(key_file, protection, password)
    else:
        seed = _unseal(key_file, protection, password)
    if derive_public_key(seed) != key_file.public_key:
        raise KeyFileError(
            "the key file's public key does not belong to its seed",
            code="key_mismatch",
            expected=derive_public_key(seed).hex(),
            actual=key_file.public_key.hex(),
            hint="The file was altered; restore it from a backup.",
        )
    return seed


def read_key_file(path: Path) -> KeyFile:
    """Read and check the file at `path` without opening its seed.

    Raises `KeyFileError`, and `PrivateFileError` for a file that others can read.
    """
    return decode_key_file(read_private_file(path, max_bytes=MAX_FILE_BYTES), name=str(path))


def _unseal_browser(key_file: KeyFile, sealed: BrowserSeal, password: str | None) -> bytes:
    if password is None:
        raise KeyFileError("this key file needs a password", code="key_encrypted")
    associated = _browser_data(
        key_file.purpose, key_file.public_key, key_file.account, sealed.iterations, sealed.salt
    )
    seed = browser_seal.unseal(sealed, _secret_of(password), associated)
    if seed is None:
        raise _wrong_password()
    return seed


def _wrong_password() -> WrongPassword:
    return WrongPassword(
        "the password does not open this key file",
        code="wrong_password",
        hint="Try again; if it is surely right, the file was altered: restore a backup.",
    )


def _unseal(key_file: KeyFile, sealed: SealedSeed, password: str | None) -> bytes:
    """Return the seed under `password`; the cost is checked again before deriving."""
    from nacl import bindings
    from nacl.exceptions import CryptoError

    if password is None:
        raise KeyFileError("this key file needs a password", code="key_encrypted")
    sealed.cost.validate()
    associated = _associated_data(
        key_file.purpose, key_file.public_key, key_file.account, sealed.cost, sealed.salt
    )
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed.ciphertext,
            associated,
            sealed.nonce,
            _derive(password, sealed.cost, sealed.salt),
        )
    except CryptoError as error:
        raise _wrong_password() from error


def _derive(password: str, cost: DerivationCost, salt: bytes) -> bytes:
    """Return the 32-byte encryption key of `password`; `cost` has been validated."""
    from nacl.exceptions import CryptoError
    from nacl.pwhash import argon2id

    secret = _secret_of(password)
    try:
        return argon2id.kdf(32, secret, salt, opslimit=cost.opslimit, memlimit=cost.memlimit_bytes)
    except (CryptoError, MemoryError) as error:
        raise KeyFileError(
            f"not enough memory to derive the key: it takes {cost.memlimit_bytes >> 20} MiB",
            code="key_memory",
            hint="Close other programs, or open the key on a larger machine.",
        ) from error


def _secret_of(password: str) -> bytes:
    """Return a password's bytes; raises `KeyFileError` for one that is empty or too long."""
    secret = password.encode("utf-8", "surrogateescape")
    if not secret or len(secret) > MAX_PASSWORD_BYTES:
        raise KeyFileError(
            "the password must have 1 to 1024 bytes",
            code="password_length",
            actual=len(secret),
            hint="Choose a password of several words.",
        )
    return secret


def _browser_data(
    purpose: str, public: bytes, account: bytes, iterations: int, salt: bytes
) -> bytes:
    """Return the bytes that the tag of a browser's key file covers beside the seed."""
    derivation = (browser_seal.KDF, iterations, salt, browser_seal.CIPHER)
    return encode((FORMAT, VERSION, purpose, public, account, *derivation))


def _associated_data(
    purpose: str, public: bytes, account: bytes, cost: DerivationCost, salt: bytes
) -> bytes:
    """Return the bytes that the authentication tag covers beside the seed."""
    derivation = (KDF, cost.opslimit, cost.memlimit_bytes, salt, CIPHER)
    return encode((FORMAT, VERSION, purpose, public, account, *derivation))


def _account_of(public: bytes, purpose: str, account: bytes | None) -> bytes:
    """Return the account to store: the given one, or the one that the key itself opens."""
    if purpose != "account":
        return b""
    if account is None:
        return account_id(public)
    if len(account) != ACCOUNT_ID_BYTES:
        raise KeyFileError("an account id has 20 bytes", code="key_malformed", actual=len(account))
    return account


def _validated_public_key(seed: bytes, purpose: str) -> bytes:
    """Return the public key of `seed` after checking what the caller wants to store."""
    if len(seed) != SEED_BYTES:
        raise KeyFileError(
            "a seed has 32 bytes", code="key_malformed", expected=32, actual=len(seed)
        )
    if purpose not in PURPOSES:
        raise KeyFileError(
            "unknown purpose of a key",
            code="key_purpose",
            expected=" or ".join(PURPOSES),
            actual=purpose,
        )
    return derive_public_key(seed)
