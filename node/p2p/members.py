"""Who may connect: the registry's members, and, while joining, the configured peers.

Knows each trusted key's one certificate and keeps a server context of them all, made anew after a
change when the next connection asks for it.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from node.p2p.certificates import (
    NodeCertificate,
    certificate_key,
    rebuild_certificate,
    verify_node_proof,
)
from node.p2p.tls import server_context


class TrustedMembers:
    """The certificates that count at this moment."""

    def __init__(self, identity: NodeCertificate) -> None:
        self._identity = identity
        self._members: dict[bytes, bytes] = {}
        self._proofs: dict[bytes, bytes] = {}
        self._pinned: dict[bytes, bytes] = {}
        self._former: set[bytes] = set()
        self._context: ssl.SSLContext | None = None
        self.joining = False
        """True while configured peers count although the registry does not hold them."""

    def update(self, members: Mapping[bytes, bytes], *, joining: bool) -> list[bytes]:
        """Trust `members` (node key -> node proof) instead of those before.

        Returns the keys left out because their proof is wrong: a registry that checks proofs when
        it takes them in never has any. A key that was a member and is no more is not trusted as a
        configured peer either.
        """
        refused: list[bytes] = []
        proofs: dict[bytes, bytes] = {}
        for key, proof in members.items():
            if self._proofs.get(key) == proof or verify_node_proof(key, proof):
                proofs[key] = proof
            else:
                refused.append(key)
        if proofs != self._proofs or joining != self.joining:
            self._former |= self._proofs.keys() - proofs.keys()
            self._proofs = proofs
            self._members = {key: rebuild_certificate(key, proofs[key]) for key in proofs}
            self.joining = joining
            self._context = None
        return refused

    def pin(self, key: bytes, der: bytes) -> None:
        """Trust `der`, which `verify_certificate` accepted for `key`, while joining."""
        self._pinned[key] = der
        self._context = None

    def certificate(self, key: bytes) -> bytes | None:
        """Return the one certificate (DER) that `key` may show now, or None if it may not enter."""
        der = self._members.get(key)
        if der is None and self.may_pin(key):
            der = self._pinned.get(key)
        return der

    def may_pin(self, key: bytes) -> bool:
        """Tell whether `key`, if configured, counts without being in the registry."""
        return self.joining and key not in self._members and key not in self._former

    def is_member(self, key: bytes) -> bool:
        """Tell whether the registry holds `key`."""
        return key in self._members

    def key_of(self, der: bytes) -> bytes | None:
        """Return the key whose certificate is, bit for bit, `der`; None if nobody's is."""
        key = certificate_key(der)
        return key if self.certificate(key) == der else None

    def server_context(self) -> ssl.SSLContext:
        """Return a context that accepts those who count now, but not our own key."""
        if self._context is None:
            keys = [*self._members, *(key for key in self._pinned if self.may_pin(key))]
            own = self._identity.node_key
            trusted = [self.certificate(key) for key in keys if key != own]
            self._context = server_context(
                self._identity, [der for der in trusted if der is not None]
            )
        return self._context
