"""TLS 1.3 between members: the contexts, and a channel that turns bytes into bytes without I/O.

Trust is exact: a server context holds the members' own certificates and nothing that could sign
others, a client context holds the one certificate it expects. A context can add members but not
remove them, so each change of the registry makes a new one. What passed is compared with the
registry once more, byte for byte, after the handshake.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterable

from node.p2p.certificates import NodeCertificate, private_key_pem
from node.p2p.hello import Disconnect

_READ_BYTES = 65_536

_NOT_TLS = ("HTTP_REQUEST", "WRONG_VERSION_NUMBER", "HTTPS_PROXY_REQUEST", "UNEXPECTED_MESSAGE")
_OLD_TLS = ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE")
_UNKNOWN_TO_PEER = (
    "TLSV1_ALERT_UNKNOWN_CA",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
)


def server_context(
    identity: NodeCertificate, trusted_certificates: Iterable[bytes]
) -> ssl.SSLContext:
    """Return a context that accepts clients holding one of `trusted_certificates` (DER)."""
    context = _base_context(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    _load_identity(context, identity)
    trusted = b"".join(trusted_certificates)
    if trusted:
        context.load_verify_locations(cadata=trusted)
    return context


def client_context(identity: NodeCertificate, expected_certificate: bytes) -> ssl.SSLContext:
    """Return a context that accepts only the server holding `expected_certificate` (DER)."""
    context = _base_context(ssl.PROTOCOL_TLS_CLIENT)
    _load_identity(context, identity)
    context.load_verify_locations(cadata=expected_certificate)
    return context


def probe_context() -> ssl.SSLContext:
    """Return a context that takes any server, to look at its certificate and nothing else.

    TLS still proves that the server holds the certificate's key. Nothing is said over such a
    channel and no identity is shown.
    """
    context = _base_context(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_NONE
    return context


def explain_tls_error(error: ssl.SSLError, *, dialed: bool) -> Disconnect:
    """Return in words what the TLS library means; `dialed` tells that we opened the connection."""
    reason = (error.reason or "unknown").upper().replace(" ", "_")
    if reason in _UNKNOWN_TO_PEER:
        return Disconnect(
            "not_a_member",
            "the peer does not know our node key; expected a member of its registry. "
            "Register this node's key, or wait until the peer has caught up",
        )
    if reason == "CERTIFICATE_VERIFY_FAILED" and dialed:
        return Disconnect(
            "wrong_key",
            "another key answers there than the one that is configured. "
            "Correct the peer's key or its address",
        )
    if reason in ("CERTIFICATE_VERIFY_FAILED", "PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        return Disconnect(
            "unknown_key", "the caller showed no certificate of a member of the registry"
        )
    if reason in _OLD_TLS:
        return Disconnect("not_tls", "the other side speaks a TLS older than 1.3")
    if reason in _NOT_TLS:
        return Disconnect("not_tls", "the other side does not speak TLS")
    return Disconnect("tls", f"the TLS session failed: {reason.lower()}")


def _base_context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _load_identity(context: ssl.SSLContext, identity: NodeCertificate) -> None:
    """Load the node's key through a file that exists in memory only and for this call only.

    The standard library takes a key by path alone.
    """
    pem = private_key_pem(identity)
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        descriptor = os.memfd_create("node-key", os.MFD_CLOEXEC)
        path = f"/proc/self/fd/{descriptor}"
        temporary = None
    else:
        folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
        descriptor, path = tempfile.mkstemp(dir=folder)
        temporary = path
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, pem)
        context.load_cert_chain(path)
        os.pwrite(descriptor, bytes(len(pem)), 0)
    finally:
        if temporary is not None:
            os.unlink(temporary)
        os.close(descriptor)


class TlsChannel:
    """One TLS connection as a function of bytes: no socket, no clock.

    Received bytes go in by `receive`; plain text to send by `send`; what must go to the socket
    comes out of `outgoing`, also after an error, when it holds the alert for the peer.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "closed_by_peer", "secure")

    def __init__(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self.secure = False
        """True once the handshake is complete on this side."""
        self.closed_by_peer = False
        """True once the peer said, in TLS, that it will send no more."""

    def start(self) -> None:
        """Begin the handshake: a client's first message is then in `outgoing`."""
        self._handshake()

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the socket, return the plain text they complete (may be empty).

        Raises ssl.SSLError on anything that is not the TLS we speak; the channel is then over.
        """
        self._incoming.write(data)
        if not self.secure:
            self._handshake()
            if not self.secure:
                return b""
        parts: list[bytes] = []
        try:
            while part := self._object.read(_READ_BYTES):
                parts.append(part)
            self.closed_by_peer = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.closed_by_peer = True
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def send(self, plain: bytes) -> bytes:
        """Return what the socket must carry so that the peer reads `plain`."""
        view = memoryview(plain)
        while view:
            view = view[self._object.write(view) :]
        return self._outgoing.read()

    def outgoing(self) -> bytes:
        """Return what the handshake, an alert or an answer wants to send (may be empty)."""
        return self._outgoing.read()

    def shutdown(self) -> bytes:
        """Return the bytes that tell the peer that no more will come."""
        try:
            self._object.unwrap()
        except (ssl.SSLError, ValueError):
            # The peer's own farewell has not come, or the handshake never ended: nothing is lost.
            pass
        return self._outgoing.read()

    def peer_certificate(self) -> bytes | None:
        """Return the peer's certificate (DER), or None before the handshake's end."""
        return self._object.getpeercert(binary_form=True)

    def version(self) -> str | None:
        """Return the protocol's name, `TLSv1.3`, or None before the handshake's end."""
        return self._object.version()

    def _handshake(self) -> None:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.secure = True
