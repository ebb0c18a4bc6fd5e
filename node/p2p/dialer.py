"""Keeps a connection to one configured peer: dials, waits, dials again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import Random
from typing import Protocol

from node.p2p.certificates import verify_certificate
from node.p2p.connection import Connection
from node.p2p.hello import Disconnect
from node.p2p.limits import Backoff, TransportLimits
from node.p2p.members import TrustedMembers
from node.p2p.peers import PeerAddress
from node.p2p.probe import fetch_certificate


class DialerOwner(Protocol):
    """What a dialer asks of, and tells, the service."""

    def should_dial(self, key: bytes) -> bool:
        """Tell whether a connection to `key` is missing and allowed."""

    def outgoing_connection(self, peer: PeerAddress, certificate: bytes) -> Connection:
        """Return a new connection that expects `certificate` (DER)."""

    def dial_failed(self, peer: PeerAddress, reason: Disconnect) -> None:
        """An attempt ended before the peer's hello."""


class Dialer:
    """One configured peer and the task that looks after it."""

    def __init__(
        self,
        owner: DialerOwner,
        peer: PeerAddress,
        members: TrustedMembers,
        limits: TransportLimits,
        random: Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.peer = peer
        self._owner = owner
        self._members = members
        self._limits = limits
        self._clock = clock
        self._backoff = Backoff(limits.dial_first_delay_s, limits.dial_max_delay_s, random)
        self._wake = asyncio.Event()
        self._connection: Connection | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(_raise_failure)

    def wake(self) -> None:
        """Look again whether to dial: a connection ended, the registry changed, a ban ran out."""
        self._wake.set()

    async def stop(self) -> None:
        """End the task; a connection that stands is the service's to close."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            if not self._owner.should_dial(self.peer.node_key):
                self._wake.clear()
                await self._wake.wait()
                continue
            connection = await self._attempt()
            if connection is not None:
                await connection.ended.wait()
                if self._clock() - connection.greeted_s >= self._limits.dial_stable_s:
                    self._backoff.reset()
            await asyncio.sleep(self._backoff.next_delay_s())

    async def _attempt(self) -> Connection | None:
        """Return an open connection, or None after telling the owner why there is none."""
        try:
            certificate = await self._expected_certificate()
            if certificate is None:
                return None
            connection = self._owner.outgoing_connection(self.peer, certificate)
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(self._limits.dial_timeout_s):
                await loop.create_connection(lambda: connection, self.peer.host, self.peer.port)
        except TimeoutError:
            text = f"no answer within {self._limits.dial_timeout_s:g} s"
            self._owner.dial_failed(self.peer, Disconnect("unreachable", text))
            return None
        except (OSError, UnicodeError) as error:
            self._owner.dial_failed(self.peer, Disconnect("unreachable", str(error)))
            return None
        await connection.settled.wait()
        if connection.greeted:
            return connection
        reason = connection.reason or Disconnect("lost", "the connection ended")
        self._owner.dial_failed(self.peer, reason)
        return None

    async def _expected_certificate(self) -> bytes | None:
        key = self.peer.node_key
        known = self._members.certificate(key)
        if known is not None:
            return known
        found = await fetch_certificate(self.peer.host, self.peer.port, self._limits.dial_timeout_s)
        if found is None:
            reason = Disconnect("not_tls", "what answers there is no node")
        elif verify_certificate(key, found):
            if self._members.may_pin(key):
                self._members.pin(key, found)
                return found
            return None
        else:
            reason = Disconnect(
                "wrong_key",
                "another key answers there than the one that is configured. "
                "Correct the peer's key or its address",
            )
        self._owner.dial_failed(self.peer, reason)
        return None


def _raise_failure(task: asyncio.Task[None]) -> None:
    """Let the event loop's exception handler hear of a bug that ended a dialer."""
    if not task.cancelled():
        task.result()
