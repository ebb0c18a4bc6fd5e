"""The one X.509 certificate that a node key can have, and the proof that its holder made it.

Every field is fixed or follows from the key, and Ed25519 is deterministic, so the certificate is a
function of the seed. Anybody rebuilds it from the node key (32 bytes) and the signature (64 bytes):
the registry stores just those two, and the signature doubles as proof of possession.

What it signs is laid out in `vm/primitives/node_certificate.py`, because the chain checks proofs.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from vm.primitives.errors import InvalidInput
from vm.primitives.node_certificate import (
    ED25519_IDENTIFIER,
    NODE_KEY_BYTES,
    NODE_PROOF_BYTES,
    NOT_A_CA,
    certificate_body,
    verify_node_proof,
)
from vm.primitives.signatures import SEED_BYTES, public_key, sign

__all__ = [
    "NODE_KEY_BYTES",
    "NODE_PROOF_BYTES",
    "NodeCertificate",
    "certificate_body",
    "certificate_key",
    "make_certificate",
    "private_key_pem",
    "rebuild_certificate",
    "verify_certificate",
    "verify_node_proof",
]

_CERTIFICATE_HEAD = bytes.fromhex("30820157")
_SIGNATURE_HEAD = ED25519_IDENTIFIER + bytes.fromhex("034100")
_PRIVATE_KEY_HEAD = bytes.fromhex("302e020100300506032b657004220420")

_AFTER_KEY_BYTES = len(NOT_A_CA) + len(_SIGNATURE_HEAD) + NODE_PROOF_BYTES


@dataclass(frozen=True, slots=True)
class NodeCertificate:
    """A node's identity: its certificate and the secret that proves it."""

    node_key: bytes
    """The public node key, 32 bytes."""
    proof: bytes
    """The certificate's signature, 64 bytes: what the registry stores beside the key."""
    der: bytes
    """The whole certificate, DER."""
    seed: bytes = field(repr=False)
    """The secret: 32 bytes, never printed or logged."""


def make_certificate(seed: bytes) -> NodeCertificate:
    """Return the certificate of the node key of `seed` (32 bytes); InvalidInput on another size."""
    if len(seed) != SEED_BYTES:
        raise InvalidInput(
            "a node seed has the wrong size", expected=f"{SEED_BYTES} bytes", actual=len(seed)
        )
    node_key = public_key(seed)
    proof = sign(seed, certificate_body(node_key))
    return NodeCertificate(node_key, proof, rebuild_certificate(node_key, proof), seed)


def rebuild_certificate(node_key: bytes, proof: bytes) -> bytes:
    """Return the certificate of `node_key` (32 bytes) with the signature `proof` (64 bytes), DER.

    Does not look at whether the proof is right: see `verify_node_proof`. InvalidInput on sizes.
    """
    if len(proof) != NODE_PROOF_BYTES:
        raise InvalidInput(
            "a node proof has the wrong size",
            expected=f"{NODE_PROOF_BYTES} bytes",
            actual=f"{len(proof)} bytes",
        )
    return _CERTIFICATE_HEAD + certificate_body(node_key) + _SIGNATURE_HEAD + proof


def verify_certificate(node_key: bytes, der: bytes) -> bool:
    """Tell whether `der` is, bit for bit, a certificate that the holder of `node_key` made."""
    proof = der[-NODE_PROOF_BYTES:]
    return verify_node_proof(node_key, proof) and rebuild_certificate(node_key, proof) == der


def certificate_key(der: bytes) -> bytes:
    """Return the 32 bytes where a node certificate has its key; nothing about them is checked."""
    return der[-_AFTER_KEY_BYTES - NODE_KEY_BYTES : -_AFTER_KEY_BYTES]


def private_key_pem(certificate: NodeCertificate) -> bytes:
    """Return the secret key and the certificate as the PEM text that a TLS library loads."""
    secret = _PRIVATE_KEY_HEAD + certificate.seed
    return _pem("PRIVATE KEY", secret) + _pem("CERTIFICATE", certificate.der)


def _pem(label: str, der: bytes) -> bytes:
    body = base64.encodebytes(der).decode("ascii")
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode("ascii")
