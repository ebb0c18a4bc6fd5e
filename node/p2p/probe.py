"""A look at who answers at an address: fetches a node's certificate, says and proves nothing.

A joiner with an old registry knows its configured peers' keys, not their proofs. The certificate
that answers either is the one that only the holder of the configured key can have made, or is not
used.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from node.p2p.tls import TlsChannel, probe_context

_MAX_BYTES = 65_536


class _Probe(asyncio.Protocol):
    """Speaks TLS up to the end of the handshake, then hangs up."""

    def __init__(self, answer: asyncio.Future[bytes | None]) -> None:
        self._answer = answer
        self._channel = TlsChannel(probe_context(), server_side=False)
        self._transport: asyncio.Transport | None = None
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._transport = cast(asyncio.Transport, transport)
        self._channel.start()
        self._transport.write(self._channel.outgoing())

    def data_received(self, data: bytes) -> None:
        """Go on with the handshake; hang up at its end."""
        self._received += len(data)
        failed = self._received > _MAX_BYTES
        try:
            self._channel.receive(data)
        except ssl.SSLError:
            failed = True
        # An alert, because we show no certificate, may come together with what we want.
        if self._channel.secure:
            self._finish(self._channel.peer_certificate())
        elif failed:
            self._finish(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever was there hung up first."""
        self._finish(None)

    def _finish(self, certificate: bytes | None) -> None:
        if not self._answer.done():
            self._answer.set_result(certificate)
        if self._transport is not None:
            self._transport.abort()
            self._transport = None


async def fetch_certificate(host: str, port: int, timeout_s: float) -> bytes | None:
    """Return the certificate (DER) whose key answers at `host:port`, or None if no TLS node does.

    Raises OSError when nothing listens there, TimeoutError after `timeout_s`.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes | None] = loop.create_future()
    async with asyncio.timeout(timeout_s):
        transport, _ = await loop.create_connection(lambda: _Probe(answer), host, port)
        try:
            return await answer
        finally:
            transport.abort()
