"""A key file: one Ed25519 seed on disk, encrypted for people, plain for unattended boards.

The file is JSON with exactly these members::

    {"format": "bitenergy-key", "version": 1, "purpose": "account",
     "public_key": "<64 hex>", "account": "<40 hex>",
     "protection": {"kind": "password", "kdf": "argon2id", "opslimit": 3,
                    "memlimit_bytes": 67108864, "salt": "<32 hex>",
                    "cipher": "xchacha20-poly1305", "nonce": "<48 hex>",
                    "ciphertext": "<96 hex>"}}

or as browsers protect it (`node/browser_seal.py`), with `"kdf": "pbkdf2-sha256"`, `iterations`,
`salt`, `"cipher": "aes-256-gcm"`, `nonce` and `ciphertext`; or, for a validator that starts with
nobody at the keyboard,
`"protection": {"kind": "unencrypted", "seed": "<64 hex>"}`. The account stands there because
it keeps its id when its key is rotated; vote and node keys have none (`""`). Everything outside the
ciphertext is authenticated with it, so a file whose purpose, public key or derivation
parameters were edited does not open. Derivation parameters are bounded before anything is
derived: a hostile file costs its reader at most `MAX_OPSLIMIT` passes over
`MAX_MEMLIMIT_BYTES`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from node import browser_seal
from node.browser_seal import BrowserSeal
from node.private_file import PrivateFileError
from vm.primitives.address import ACCOUNT_ID_BYTES

FORMAT: Final = "bitenergy-key"
VERSION: Final = 1
PURPOSES: Final = ("account", "vote", "node")
MAX_FILE_BYTES: Final = 4096
MIN_OPSLIMIT: Final = 1
MAX_OPSLIMIT: Final = 8
MIN_MEMLIMIT_BYTES: Final = 8 * 1024
MAX_MEMLIMIT_BYTES: Final = 256 * 1024 * 1024
SEED_BYTES: Final = 32
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 24
_TAG_BYTES: Final = 16
_HEX_DIGITS: Final = frozenset("0123456789abcdef")
KDF: Final = "argon2id"
CIPHER: Final = "xchacha20-poly1305"
_OUTER_FIELDS: Final = frozenset(
    ("format", "version", "purpose", "public_key", "account", "protection")
)
_PLAIN_FIELDS: Final = frozenset(("kind", "seed"))
_SEALED_FIELDS: Final = frozenset(
    ("kind", "kdf", "opslimit", "memlimit_bytes", "salt", "cipher", "nonce", "ciphertext")
)
_BROWSER_FIELDS: Final = frozenset(
    ("kind", "kdf", "iterations", "salt", "cipher", "nonce", "ciphertext")
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


Protection = PlainSeed | SealedSeed | BrowserSeal


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What a key file says without being opened."""

    purpose: str
    """One of `PURPOSES`."""
    public_key: bytes
    """32 bytes; proved right only once the file is opened."""
    account: bytes
    """Id of the account that the key signs for, 20 bytes; empty for vote and node keys."""
    protection: Protection

    @property
    def encrypted(self) -> bool:
        """Whether opening it takes a password."""
        return not isinstance(self.protection, PlainSeed)


def encode_key_file(key_file: KeyFile) -> bytes:
    """Return the JSON text of `key_file`."""
    protection = key_file.protection
    described: dict[str, str | int]
    if isinstance(protection, PlainSeed):
        described = {"kind": "unencrypted", "seed": protection.seed.hex()}
    elif isinstance(protection, BrowserSeal):
        described = {
            "kind": "password",
            "kdf": browser_seal.KDF,
            "iterations": protection.iterations,
            "salt": protection.salt.hex(),
            "cipher": browser_seal.CIPHER,
            "nonce": protection.nonce.hex(),
            "ciphertext": protection.ciphertext.hex(),
        }
    else:
        described = {
            "kind": "password",
            "kdf": KDF,
            "opslimit": protection.cost.opslimit,
            "memlimit_bytes": protection.cost.memlimit_bytes,
            "salt": protection.salt.hex(),
            "cipher": CIPHER,
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


def _decode_protection(value: object, name: str) -> Protection:
    """Return what protects the seed, every parameter within its bounds."""
    if not isinstance(value, dict) or value.get("kind") not in ("unencrypted", "password"):
        raise _malformed(name, "protection is neither 'password' nor 'unencrypted'")
    if value["kind"] == "unencrypted":
        fields = _members(value, _PLAIN_FIELDS, name)
        return PlainSeed(_hex_field(fields, "seed", SEED_BYTES, name))
    if value.get("kdf") == browser_seal.KDF:
        return _decode_browser_seal(value, name)
    fields = _members(value, _SEALED_FIELDS, name)
    if fields["kdf"] != KDF or fields["cipher"] != CIPHER:
        raise _malformed(name, f"only {KDF} with {CIPHER} is known")
    opslimit, memlimit_bytes = fields["opslimit"], fields["memlimit_bytes"]
    if type(opslimit) is not int or type(memlimit_bytes) is not int:
        raise _malformed(name, "opslimit and memlimit_bytes must be integers")
    cost = DerivationCost(opslimit, memlimit_bytes)
    cost.validate()
    return SealedSeed(
        cost,
        _hex_field(fields, "salt", SALT_BYTES, name),
        _hex_field(fields, "nonce", NONCE_BYTES, name),
        _hex_field(fields, "ciphertext", SEED_BYTES + _TAG_BYTES, name),
    )


def _decode_browser_seal(value: dict[str, object], name: str) -> BrowserSeal:
    fields = _members(value, _BROWSER_FIELDS, name)
    iterations = fields["iterations"]
    if fields["cipher"] != browser_seal.CIPHER or type(iterations) is not int:
        raise _malformed(name, f"only {browser_seal.KDF} with {browser_seal.CIPHER} is known")
    low, high = browser_seal.MIN_ITERATIONS, browser_seal.MAX_ITERATIONS
    _validate_bound("iterations", iterations, low, high)
    return BrowserSeal(
        iterations,
        _hex_field(fields, "salt", browser_seal.SALT_BYTES, name),
        _hex_field(fields, "nonce", browser_seal.NONCE_BYTES, name),
        _hex_field(fields, "ciphertext", SEED_BYTES + _TAG_BYTES, name),
    )


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
