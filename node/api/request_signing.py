"""Signed requests: how a member shows a node who asks, without a password or a session.

The header is `Authorization: Bitenergy ADDRESS TIME SIGNATURE`, with the time in milliseconds UTC
and the signature in hexadecimal, Ed25519 by the account's current key over

    H(api/request, [genesis, node, method, target, account id, time])

where the node is the name that GET /status tells and the target is path and query as they are sent.
So what is signed holds for one node, one question, and a minute.
"""

from __future__ import annotations

from typing import Final

from vm.primitives.address import decode_address, encode_address
from vm.primitives.codec import encode
from vm.primitives.errors import InvalidInput
from vm.primitives.hashing import TAG_API_REQUEST, tagged_hash
from vm.primitives.signatures import SIGNATURE_BYTES, sign

SCHEME: Final = "Bitenergy"
WINDOW_MS: Final = 60_000
"""How far the time of a request may be from the node's."""


def request_digest(
    genesis: bytes, node: str, method: str, target: str, account: bytes, time_ms: int
) -> bytes:
    """Return what is signed, 32 bytes."""
    return tagged_hash(TAG_API_REQUEST, encode((genesis, node, method, target, account, time_ms)))


def sign_request(
    seed: bytes,
    *,
    genesis: bytes,
    node: str,
    method: str,
    target: str,
    account: bytes,
    time_ms: int,
) -> str:
    """Return the header's value for a request."""
    digest = request_digest(genesis, node, method, target, account, time_ms)
    return f"{SCHEME} {encode_address(account)} {time_ms} {sign(seed, digest).hex()}"


def parse_authorization(header: str) -> tuple[bytes, int, bytes]:
    """Return account, time and signature of the header's value; raises InvalidInput."""
    parts = header.split(" ")
    expected = f"{SCHEME} ADDRESS TIME SIGNATURE"
    if len(parts) != 4 or parts[0] != SCHEME or not (parts[2].isascii() and parts[2].isdigit()):
        raise InvalidInput("this is no signature of a request", expected=expected)
    account = decode_address(parts[1])
    try:
        signature = bytes.fromhex(parts[3])
    except ValueError:
        signature = b""
    if len(signature) != SIGNATURE_BYTES or len(parts[2]) > 15:
        raise InvalidInput("this is no signature of a request", expected=expected)
    return account, int(parts[2]), signature
