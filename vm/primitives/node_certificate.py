"""What a node certificate signs, and the proof by which the registry knows who holds a node key.

The bytes are laid out by hand (RFC 5280, RFC 8410) and not by a library, because the registry
depends on them: no upgrade of a library may change one bit. Tests compare them with those that
`cryptography` builds.
"""

from __future__ import annotations

from typing import Final

from vm.primitives.errors import InvalidInput
from vm.primitives.signatures import (
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    check_public_key,
    verify_signature,
)

NODE_KEY_BYTES: Final = PUBLIC_KEY_BYTES
NODE_PROOF_BYTES: Final = SIGNATURE_BYTES

ED25519_IDENTIFIER: Final = bytes.fromhex("300506032b6570")
NOT_A_CA: Final = bytes.fromhex("a310300e300c0603551d130101ff04023000")
"""The last field before the signature: the extension by which the certificate signs no other."""
_VERSION_3 = bytes.fromhex("a003020102")
_SERIAL_1 = bytes.fromhex("020101")
_NAME_HEAD = bytes.fromhex("304b3149304706035504030c40")
_VALIDITY = b"\x30\x20\x17\x0d700101000000Z\x18\x0f99991231235959Z"
_KEY_HEAD = bytes.fromhex("302a") + ED25519_IDENTIFIER + bytes.fromhex("032100")
_BODY_HEAD = bytes.fromhex("30820109")


def certificate_body(node_key: bytes) -> bytes:
    """Return what the certificate of `node_key` (32 bytes) signs: its to-be-signed part, DER."""
    if len(node_key) != NODE_KEY_BYTES:
        raise InvalidInput(
            "a node key has the wrong size",
            expected=f"{NODE_KEY_BYTES} bytes",
            actual=f"{len(node_key)} bytes",
        )
    name = _NAME_HEAD + node_key.hex().encode("ascii")
    return b"".join(
        (
            *(_BODY_HEAD, _VERSION_3, _SERIAL_1, ED25519_IDENTIFIER),
            *(name, _VALIDITY, name),
            *(_KEY_HEAD, node_key, NOT_A_CA),
        )
    )


def verify_node_proof(node_key: bytes, proof: bytes) -> bool:
    """Tell whether `proof` shows that somebody with the secret of `node_key` made it.

    Small-order and non-canonical keys are refused, whatever the signature.
    """
    if len(node_key) != NODE_KEY_BYTES or len(proof) != NODE_PROOF_BYTES:
        return False
    return check_public_key(node_key) and verify_signature(
        node_key, certificate_body(node_key), proof
    )
