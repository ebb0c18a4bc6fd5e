"""Serving snapshots: takes them at a set interval or on request, and answers those who join.

One thread takes one snapshot at a time, with rests, so that the node goes on meanwhile. Requests
beyond a peer's allowance wait for their turn; too many at once are not answered.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from node.chain import Chain
from node.data_folder import SNAPSHOT_FOLDER
from node.disk import Disk
from node.p2p.service import PeerService
from node.peer_guard import PeerGuard
from node.snapshot.taking import HeldSnapshot, SnapshotTaking, load_snapshots, remove_leftovers
from node.snapshot.wire import (
    CHANGES,
    CHUNK,
    GET_CHANGES,
    GET_CHUNK,
    GET_HEADER,
    GET_SNAPSHOTS,
    HEADER,
    MAX_CHANGES_BYTES,
    MAX_OFFERED,
    SNAPSHOTS,
    ValidatorChange,
    decode_number,
    decode_part_request,
    encode_changes,
    encode_offers,
    encode_part,
)
from node.store import StorageFailure
from node.threads import run_to_end
from vm.primitives.errors import InvalidInput
from vm.system.validators import encode_validators

_log = logging.getLogger("bitenergy.snapshot")

REQUEST_NAME: Final = "wanted"
"""A file in the snapshots' folder: whoever makes it has a snapshot taken."""
LOOK_INTERVAL_S: Final = 1.0
REST_S: Final = 0.001
MAX_WAITING_REQUESTS: Final = 8


class SnapshotServer:
    """The snapshots of this node, for its peers."""

    def __init__(
        self,
        chain: Chain,
        guard: PeerGuard,
        peers: PeerService,
        data: Path,
        *,
        disk: Disk,
        interval: int,
        spawn: Callable[[Awaitable[None]], None],
    ) -> None:
        """Take one every `interval` heights, none by itself if that is 0."""
        self._chain = chain
        self._guard = guard
        self._peers = peers
        self._folder = data / SNAPSHOT_FOLDER
        self._disk = disk
        self._interval = interval
        self._spawn = spawn
        self._waiting: dict[bytes, deque[tuple[int, str]]] = {}
        self._taking: SnapshotTaking | None = None
        self._is_stopping = False
        remove_leftovers(self._folder, disk)
        self.held: list[HeldSnapshot] = load_snapshots(self._folder, disk)

    # --- taking ------------------------------------------------------------------------------

    def stop(self) -> None:
        """Give up the snapshot that is being taken."""
        self._is_stopping = True

    async def run(self) -> None:
        """Take a snapshot whenever somebody asks for one, until cancelled."""
        wanted = self._folder / REQUEST_NAME
        while True:
            if self._disk.exists(wanted) and self._taking is None:
                if (taking := self._begin()) is not None:
                    await self._take(taking)
                self._disk.remove(wanted)
            await asyncio.sleep(LOOK_INTERVAL_S)

    def on_final(self, height: int) -> None:
        """Take a snapshot if one is due at this height."""
        if self._interval and height % self._interval == 0:
            self.take()

    def take(self) -> None:
        """Begin a snapshot of the state as it is now, unless one is under way or here."""
        if self._taking is None and (taking := self._begin()) is not None:
            self._spawn(self._take(taking))

    def _begin(self) -> SnapshotTaking | None:
        if any(item.height == self._chain.height for item in self.held):
            return None
        frozen = self._chain.store.frozen()
        self._taking = SnapshotTaking(frozen, self._folder, disk=self._disk)
        return self._taking

    async def _take(self, taking: SnapshotTaking) -> None:
        began_s = time.monotonic()
        try:
            await run_to_end(partial(self._work, taking))
        except OSError as error:
            _log.warning("no snapshot could be taken", extra={"reason": str(error)})
        finally:
            self._taking = None
        self.held = load_snapshots(self._folder, self._disk)
        if taking.result is not None:
            seconds = round(time.monotonic() - began_s, 1)
            _log.info("snapshot taken", extra={"height": taking.height, "seconds": seconds})

    def _work(self, taking: SnapshotTaking) -> None:
        steps = taking.steps()
        for _ in steps:
            if self._is_stopping:
                steps.close()
                return
            time.sleep(REST_S)  # the event loop wants the interpreter more than we do

    # --- answering ---------------------------------------------------------------------------

    def on_message(self, peer: bytes, kind: int, payload: bytes) -> None:
        """Answer a request; raises BitenergyError on a bad one."""
        if kind == GET_SNAPSHOTS and payload:
            raise InvalidInput("a request for snapshots says nothing more", actual=len(payload))
        number = decode_number(payload) if kind in (GET_CHANGES, GET_HEADER) else 0
        if kind == GET_CHUNK:
            self._on_get_chunk(peer, *decode_part_request(payload))
        elif not self._guard.may_ask(peer):
            return
        elif kind == GET_SNAPSHOTS:
            offers = [snapshot.manifest.encode() for snapshot in self.held[:MAX_OFFERED]]
            self._answer(peer, SNAPSHOTS, encode_offers(offers))
        elif kind == GET_CHANGES:
            changes = read_changes(self._chain, number)
            self._answer(peer, CHANGES, encode_changes(changes))
        elif kind == GET_HEADER:
            found = self._chain.store.head_bytes(number)
            self._answer(peer, HEADER, found[0] if found else b"")

    def _answer(self, peer: bytes, kind: int, payload: bytes) -> None:
        self._guard.served(peer, len(payload))
        self._peers.send(peer, kind, payload)

    def _on_get_chunk(self, peer: bytes, height: int, path: str) -> None:
        waiting = self._waiting.get(peer)
        if waiting is None:
            self._waiting[peer] = deque([(height, path)])
            self._spawn(self._serve(peer))
        elif len(waiting) >= MAX_WAITING_REQUESTS:
            raise InvalidInput("too many parts of a snapshot asked for at once")
        else:
            waiting.append((height, path))

    async def _serve(self, peer: bytes) -> None:
        """Answer a peer's requests for parts one after the other, within its allowance."""
        waiting = self._waiting[peer]
        try:
            while waiting:
                height, path = waiting.popleft()
                await asyncio.sleep(self._guard.wait_s(peer))
                found = next((item for item in self.held if item.height == height), None)
                data = b""
                if found is not None:
                    data = await asyncio.to_thread(found.read, path)
                self._guard.may_ask(peer)  # takes what a request costs
                self._answer(peer, CHUNK, encode_part(height, path, data))
        finally:
            del self._waiting[peer]


def read_changes(chain: Chain, after: int) -> list[ValidatorChange]:
    """Return the changes of validators above a height, as many as one message takes."""
    changes: list[ValidatorChange] = []
    size = 0
    for height in chain.store.changes_after(after):
        head = chain.store.head_bytes(height)
        validators = chain.store.validators_at(height + 1)
        if head is None or validators is None:
            raise StorageFailure(f"the head of block {height} is missing")
        change = ValidatorChange(*head, encode_validators(validators))
        size += len(change.header) + len(change.certificate) + len(change.validators)
        if changes and size > MAX_CHANGES_BYTES:
            break
        changes.append(change)
    return changes
