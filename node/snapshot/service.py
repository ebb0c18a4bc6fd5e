"""All that a node does with snapshots: serves its own, and joins by those of others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from node.chain import Chain
from node.config import NodeConfig
from node.disk import Disk
from node.driver import Driver
from node.driver_inputs import MoveHead
from node.p2p.service import PeerService
from node.peer_guard import PeerGuard
from node.snapshot.joining import SnapshotJoin
from node.snapshot.serving import SnapshotServer
from node.snapshot.wire import (
    GET_CHANGES,
    GET_CHUNK,
    GET_HEADER,
    GET_SNAPSHOTS,
    SNAPSHOT_KINDS,
)

_REQUESTS: Final = (GET_SNAPSHOTS, GET_CHANGES, GET_CHUNK, GET_HEADER)
_NUMBERS: Final = tuple(kind.number for kind in SNAPSHOT_KINDS)


class Snapshots:
    """The serving and the joining side behind one door."""

    def __init__(
        self,
        config: NodeConfig,
        chain: Chain,
        guard: PeerGuard,
        driver: Driver,
        peers: PeerService,
        *,
        disk: Disk,
        spawn: Callable[[Awaitable[None]], None],
        on_moved: Callable[[], None],
    ) -> None:
        """`on_moved` follows when the chain stands on another head."""
        self._chain = chain
        self._driver = driver
        self._on_moved = on_moved
        self._wants_join = config.join == "snapshot"
        self.server = SnapshotServer(
            chain,
            guard,
            peers,
            config.data,
            disk=disk,
            interval=config.snapshot_interval,
            spawn=spawn,
        )
        self.join = SnapshotJoin(
            chain, peers, config.data, disk=disk, trusted=config.trust, move_in=self._move_in
        )

    async def run(self) -> None:
        """Serve until cancelled."""
        await self.server.run()

    async def run_join(self) -> None:
        """Join by snapshot where the configuration asks for it and the chain is empty."""
        if self._wants_join and self._chain.height == 0:
            await self.join.run()

    def concerns(self, kind: int) -> bool:
        """Tell whether a kind of message is for us."""
        return kind in _NUMBERS

    def on_message(self, peer: bytes, kind: int, payload: bytes) -> None:
        """Take a message; raises BitenergyError on a bad one."""
        if kind in _REQUESTS:
            self.server.on_message(peer, kind, payload)
        else:
            self.join.on_message(peer, kind, payload)

    def peer_gone(self, peer: bytes) -> None:
        """Forget a peer."""
        self.join.peer_gone(peer)

    def _move_in(self) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._driver.feed(MoveHead(self._move, done))
        return done

    def _move(self) -> bool:
        if self._chain.height:
            return False  # consensus was faster: the network had just begun
        self._chain.store.adopt_joined()
        self._chain.reload()
        self._on_moved()
        return True
