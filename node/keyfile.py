"""A key file: one Ed25519 seed on disk, encrypted for people, plain for unattended boards.

The file is JSON with exactly these members::

    {"format": "bitenergy-key", "version": 1, "purpose": "account",
     "public_key": "<64 hex>", "account": "<40 hex>",
     "protection": {"kind": "password", "kdf": "argon2id", "opslimit": 3,
                    "memlimit_bytes": 67108864, "salt": "<32 hex>",
                    "cipher": "xchacha20-poly1305", "nonce": "<48 hex>",
                    "ciphertext": "<96 hex>"}}

or, for a validator that starts with nobody at the keyboard,
`"protection": {"kind": "unencrypted", "seed": "<64 hex>"}`. The account stands there because
it keeps its id when its key is rotated; vote and node keys have none (`""`). Everything outside the
ciphertext is authenticated with it, so a file whose purpose, public key or derivation
parameters were edited does not open. Derivation parameters are bounded before anything is
derived: a hostile file costs its reader at most `MAX_OPSLIMIT` passes over
`MAX_MEMLIMIT_BYTES`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.private_file import PrivateFileError, read_private_file, write_private_file
from vm.primitives.address import ACCOUNT_ID_BYTES, account_id
from vm.primitives.codec import encode
from vm.primitives.signatures import public_key as derive_public_key

FORMAT: Final = "bitenergy-key"
VERSION: Final = 1
PURPOSES: Final = ("account", "vote", "node")

MAX_FILE_BYTES: Final = 4096
MAX_PASSWORD_BYTES: Final = 1024
MIN_OPSLIMIT: Final = 1
MAX_OPSLIMIT: Final = 8
MIN_MEMLIMIT_BYTES: Final = 8 * 1024
MAX_MEMLIMIT_BYTES: Final = 256 * 1024 * 1024

_SEED_BYTES: Final = 32
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 24
_TAG_BYTES: Final = 16
_HEX_DIGITS: Final = frozenset("0123456789abcdef")
_KDF: Final = "argon2id"
_CIPHER: Final = "xchacha20-poly1305"
_OUTER_FIELDS: Final = frozenset(
    ("format", "version", "purpose", "public_key", "account", "protection")
)
_PLAIN_FIELDS: Final = frozenset(("kind", "seed"))
_SEALED_FIELDS: Final = frozenset(
    ("kind", "kdf", "opslimit", "memlimit_bytes", "salt", "cipher", "nonce", "ciphertext")
)


class KeyFileError(PrivateFileError):
    """A key file that is malformed, of the wrong kind, or hostile."""

    default_code = "key_malformed"


class WrongPassword(KeyFileError):
    """The password does not open this key file (or the file was altered)."""


@dataclass(frozen=True, slots=True)
class DerivationCost:
    """What one password guess costs whoever makes it."""

    opslimit: int
    """Passes over the memory, 1 to `MAX_OPSLIMIT`."""
    memlimit_bytes: int
    """Memory filled, 8 KiB to `MAX_MEMLIMIT_BYTES`."""

    def validate(self) -> None:
        """Raise `KeyFileError` unless both parameters are within their bounds."""
        _validate_bound("opslimit", self.opslimit, MIN_OPSLIMIT, MAX_OPSLIMIT)
        _validate_bound(
            "memlimit_bytes", self.memlimit_bytes, MIN_MEMLIMIT_BYTES, MAX_MEMLIMIT_BYTES
        )


DEFAULT_COST: Final = DerivationCost(opslimit=3, memlimit_bytes=64 * 1024 * 1024)
"""RFC 9106's choice for machines short of memory: three passes over 64 MiB."""


@dataclass(frozen=True, slots=True)
class PlainSeed:
    """The protection of a key that must open with nobody present: the file mode alone."""

    seed: bytes
    """32 bytes."""


@dataclass(frozen=True, slots=True)
class SealedSeed:
    """The protection of a person's key: argon2id over a password, XChaCha20-Poly1305."""

    cost: DerivationCost
    salt: bytes
    """16 bytes."""
    nonce: bytes
    """24 bytes."""
    ciphertext: bytes
    """48 bytes: the seed and its authentication tag."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What a key file says without being opened."""

    purpose: str
    """One of `PURPOSES`."""
    public_key: bytes
    """32 bytes; proved right only once the file is opened."""
    account: bytes
    """Id of the account that the key signs for, 20 bytes; empty for vote and node keys."""
    protection: PlainSeed | SealedSeed

    @property
    def encrypted(self) -> bool:
        """Whether opening it takes a password."""
        return isinstance(self.protection, SealedSeed)


def generate_seed() -> bytes:
    """Return 32 bytes from the operating system's generator: a new Ed25519 seed."""
    return secrets.token_bytes(_SEED_BYTES)


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
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
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


def encode_key_file(key_file: KeyFile) -> bytes:
    """Return the JSON text of `key_file`."""
    protection = key_file.protection
    described: dict[str, str | int]
    if isinstance(protection, PlainSeed):
        described = {"kind": "unencrypted", "seed": protection.seed.hex()}
    else:
        described = {
            "kind": "password",
            "kdf": _KDF,
            "opslimit": protection.cost.opslimit,
            "memlimit_bytes": protection.cost.memlimit_bytes,
            "salt": protection.salt.hex(),
            "cipher": _CIPHER,
            "nonce": protection.nonce.hex(),
            "ciphertext": protection.ciphertext.hex(),
        }
    outer = {
        "format": FORMAT,
        "version": VERSION,
        "purpose": key_file.purpose,
        "public_key": key_file.public_key.hex(),
        "account": key_file.account.hex(),
        "protection": described,
    }
    return (json.dumps(outer, indent=1) + "\n").encode("ascii")


def decode_key_file(data: bytes, *, name: str = "key file") -> KeyFile:
    """Return the key file in `data`; `name` stands in messages. Derives nothing.

    Raises `KeyFileError` for any other size, shape, name, or parameter than ours.
    """
    if len(data) > MAX_FILE_BYTES:
        raise _malformed(name, f"more than {MAX_FILE_BYTES} bytes")
    try:
        outer = json.loads(data.decode("ascii"), object_pairs_hook=_unique_members)
    except (ValueError, RecursionError) as error:
        raise _malformed(name, "not one JSON object in ASCII") from error
    fields = _members(outer, _OUTER_FIELDS, name)
    if fields["format"] != FORMAT or fields["version"] != VERSION:
        raise _malformed(name, f"not format {FORMAT} version {VERSION}")
    purpose = fields["purpose"]
    if not isinstance(purpose, str) or purpose not in PURPOSES:
        raise _malformed(name, f"purpose is none of {', '.join(PURPOSES)}")
    return KeyFile(
        purpose,
        _hex_field(fields, "public_key", 32, name),
        _hex_field(fields, "account", ACCOUNT_ID_BYTES if purpose == "account" else 0, name),
        _decode_protection(fields["protection"], name),
    )


def _decode_protection(value: object, name: str) -> PlainSeed | SealedSeed:
    """Return what protects the seed, every parameter within its bounds."""
    if not isinstance(value, dict) or value.get("kind") not in ("unencrypted", "password"):
        raise _malformed(name, "protection is neither 'password' nor 'unencrypted'")
    if value["kind"] == "unencrypted":
        fields = _members(value, _PLAIN_FIELDS, name)
        return PlainSeed(_hex_field(fields, "seed", _SEED_BYTES, name))
    fields = _members(value, _SEALED_FIELDS, name)
    if fields["kdf"] != _KDF or fields["cipher"] != _CIPHER:
        raise _malformed(name, f"only {_KDF} with {_CIPHER} is known")
    opslimit, memlimit_bytes = fields["opslimit"], fields["memlimit_bytes"]
    if type(opslimit) is not int or type(memlimit_bytes) is not int:
        raise _malformed(name, "opslimit and memlimit_bytes must be integers")
    cost = DerivationCost(opslimit, memlimit_bytes)
    cost.validate()
    return SealedSeed(
        cost,
        _hex_field(fields, "salt", _SALT_BYTES, name),
        _hex_field(fields, "nonce", _NONCE_BYTES, name),
        _hex_field(fields, "ciphertext", _SEED_BYTES + _TAG_BYTES, name),
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
        raise WrongPassword(
            "the password does not open this key file",
            code="wrong_password",
            hint="Try again; if it is surely right, the file was altered: restore a backup.",
        ) from error


def _derive(password: str, cost: DerivationCost, salt: bytes) -> bytes:
    """Return the 32-byte encryption key of `password`; `cost` has been validated."""
    from nacl.exceptions import CryptoError
    from nacl.pwhash import argon2id

    secret = password.encode("utf-8", "surrogateescape")
    if not secret or len(secret) > MAX_PASSWORD_BYTES:
        raise KeyFileError(
            "the password must have 1 to 1024 bytes",
            code="password_length",
            actual=len(secret),
            hint="Choose a password of several words.",
        )
    try:
        return argon2id.kdf(32, secret, salt, opslimit=cost.opslimit, memlimit=cost.memlimit_bytes)
    except (CryptoError, MemoryError) as error:
        raise KeyFileError(
            f"not enough memory to derive the key: it takes {cost.memlimit_bytes >> 20} MiB",
            code="key_memory",
            hint="Close other programs, or open the key on a larger machine.",
        ) from error


def _associated_data(
    purpose: str, public: bytes, account: bytes, cost: DerivationCost, salt: bytes
) -> bytes:
    """Return the bytes that the authentication tag covers beside the seed."""
    derivation = (_KDF, cost.opslimit, cost.memlimit_bytes, salt, _CIPHER)
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
    if len(seed) != _SEED_BYTES:
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


def _validate_bound(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise KeyFileError(
            f"the key file's {name} is out of bounds, so nothing was derived",
            code="key_cost",
            expected=f"{low} to {high}",
            actual=value,
            hint="Such a file is damaged or meant to exhaust this machine: do not use it.",
        )


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse an object that names a member twice (readers would disagree on its value)."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def _members(value: object, names: frozenset[str], name: str) -> dict[str, object]:
    if not isinstance(value, dict) or value.keys() != names:
        raise _malformed(name, f"expected exactly the members {', '.join(sorted(names))}")
    return value


def _hex_field(fields: dict[str, object], field: str, size: int, name: str) -> bytes:
    text = fields[field]
    if isinstance(text, str) and len(text) == 2 * size and not set(text) - _HEX_DIGITS:
        return bytes.fromhex(text)
    raise _malformed(name, f"{field} must be {size} bytes as lower-case hexadecimal")


def _malformed(name: str, reason: str) -> KeyFileError:
    return KeyFileError(
        f"{name} is not a key file: {reason}",
        code="key_malformed",
        hint="Restore it from a backup; a key file is never edited by hand.",
    )
