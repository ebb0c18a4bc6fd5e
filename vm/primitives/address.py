"""Account ids, the checksummed text people see of them, and the form of names."""

from __future__ import annotations

import base64

from vm.primitives.errors import InvalidInput
from vm.primitives.hashing import TAG_ACCOUNT, TAG_ADDRESS, tagged_hash

ACCOUNT_ID_BYTES = 20
CHECKSUM_BYTES = 5
PREFIX = "be"
TEXT_LENGTH = len(PREFIX) + (ACCOUNT_ID_BYTES + CHECKSUM_BYTES) * 8 // 5
NAME_MAX_LENGTH = 32
_NAME_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def account_id(public_key: bytes) -> bytes:
    """Return the 20-byte id of the account that `public_key` (32 bytes) opens.

    The id stays when the account's key is later rotated.
    """
    return tagged_hash(TAG_ACCOUNT, public_key)[:ACCOUNT_ID_BYTES]


def encode_address(account: bytes) -> str:
    """Return the text of a 20-byte account id: `be` and 40 letters of base32 with a checksum."""
    if len(account) != ACCOUNT_ID_BYTES:
        raise InvalidInput("an account id has 20 bytes", expected=ACCOUNT_ID_BYTES, actual=account)
    checksum = tagged_hash(TAG_ADDRESS, account)[:CHECKSUM_BYTES]
    return PREFIX + base64.b32encode(account + checksum).decode("ascii").lower()


def decode_address(text: str) -> bytes:
    """Return the 20-byte account id of an address; raises InvalidInput on a mistyped one."""
    hint = "Copy the address again; a single wrong letter is caught here."
    if len(text) != TEXT_LENGTH or not text.startswith(PREFIX) or text != text.lower():
        raise InvalidInput(
            "not an address",
            code="invalid_address",
            expected=f"{PREFIX} and {TEXT_LENGTH - len(PREFIX)} small letters and digits",
            actual=text[:64],
            hint=hint,
        )
    try:
        raw = base64.b32decode(text[len(PREFIX) :].upper())
    except ValueError as error:
        raise InvalidInput(
            "not an address", code="invalid_address", actual=text, hint=hint
        ) from error
    account = raw[:ACCOUNT_ID_BYTES]
    # Encoding again refuses letters that other alphabets share with ours once made large.
    if len(account) != ACCOUNT_ID_BYTES or encode_address(account) != text:
        raise InvalidInput(
            "the address fails its checksum", code="invalid_address", actual=text, hint=hint
        )
    return account


def check_name(text: str) -> bool:
    """Tell whether `text` is a name: 1 to 32 of the letters A-Z a-z 0-9 . _ -"""
    return 1 <= len(text) <= NAME_MAX_LENGTH and _NAME_LETTERS.issuperset(text)


def validate_name(text: str) -> str:
    """Return `text` if it is a name; raises InvalidInput otherwise."""
    if not check_name(text):
        raise InvalidInput(
            "not a name",
            code="invalid_name",
            expected="1 to 32 letters, digits, dots, underscores or hyphens",
            actual=text[:64],
        )
    return text
