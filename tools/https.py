"""HTTPS to a node with a certificate of its own, known by fingerprint whatever name it bears."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import re
import ssl
from typing import Final

from tools.errors import NodeUnreachable
from vm.primitives.errors import InvalidInput

_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class UnknownCertificate(ssl.SSLError):
    """A node showed another certificate than the one that was named."""


class PinnedConnection(http.client.HTTPSConnection):
    """An HTTPS connection to the holder of one certificate, and to nobody else."""

    def __init__(self, host: str, port: int | None, *, fingerprint: bytes, timeout: float) -> None:
        """Prepare to talk to `host`; `fingerprint` is the SHA-256 of its certificate's bytes."""
        # Not the system's list of authorities: the fingerprint says all, and is checked below.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        super().__init__(host, port, timeout=timeout, context=context)
        self._fingerprint = fingerprint

    def connect(self) -> None:
        """Connect; raises UnknownCertificate before anything is sent."""
        super().connect()
        shown = self.sock.getpeercert(binary_form=True)
        if not hmac.compare_digest(hashlib.sha256(shown or b"").digest(), self._fingerprint):
            self.close()
            raise UnknownCertificate("the certificate is not the one that was named")


def refusal(url: str, error: Exception) -> NodeUnreachable | None:
    """Return what to tell of an error of TLS, or None for any other."""
    if isinstance(error, UnknownCertificate):
        return NodeUnreachable(
            f"{url} shows another certificate than the one whose fingerprint was given",
            hint="If the node's owner made a new one, ask for its fingerprint and give it with "
            "--fingerprint; else somebody stands between you and the node.",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return NodeUnreachable(
            f"this machine does not trust the certificate of {url} ({error.verify_message})",
            hint="Give the fingerprint that `bitenergy node certificate` printed: "
            "--fingerprint SHA256.",
        )
    if isinstance(error, ssl.SSLError):
        return NodeUnreachable(
            f"{url} does not speak HTTPS ({error.reason})",
            hint="Where the node has no certificate its address begins with http://.",
        )
    return None


def parse_fingerprint(text: str) -> bytes:
    """Return the 32 bytes of a fingerprint as browsers show it; raises InvalidInput."""
    plain = text.replace(":", "").replace(" ", "").lower()
    if not _FINGERPRINT.fullmatch(plain):
        raise InvalidInput(
            "not the fingerprint of a certificate",
            code="fingerprint",
            expected="64 hexadecimal digits (SHA-256)",
            actual=text[:200],
            hint="`bitenergy node certificate` prints it.",
        )
    return bytes.fromhex(plain)
