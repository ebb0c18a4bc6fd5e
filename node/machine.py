"""The machine: what a node takes from the world around it, in one place to be replaced."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from random import Random

from node.disk import Disk
from node.miner import Miner, Sealer
from node.p2p.certificates import NodeCertificate
from node.p2p.framing import MessageKind
from node.p2p.peers import PeerHandler
from node.p2p.service import PeerService
from node.verifier import Verifier


class Machine:
    """The computer that the process runs on."""

    def __init__(self) -> None:
        self.disk = Disk()

    def clock_ms(self) -> int:
        """Return the time, milliseconds UTC."""
        return time.time_ns() // 1_000_000

    def make_verifier(self, workers: int | None) -> Verifier:
        """Return who checks transactions' signatures."""
        return Verifier(workers)

    def make_sealer(self, percent: int) -> Sealer:
        """Return who searches seals under proof of work."""
        return Miner(percent)

    def make_peers(
        self,
        *,
        identity: NodeCertificate,
        genesis: bytes,
        kinds: Iterable[MessageKind],
        handler: PeerHandler,
        height: Callable[[], int],
    ) -> PeerService:
        """Return the connections to other nodes."""
        return PeerService(
            identity=identity,
            genesis=genesis,
            kinds=kinds,
            handler=handler,
            height=height,
            random=Random(),
        )
