"""Fetching final blocks: several requests under way to several peers, what came kept in order.

What is kept is bounded: beyond it only the next missing blocks are asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from node.ledger.block import decode_header
from node.p2p.service import PeerService
from node.sync_peers import SyncPeers
from node.wire import (
    GET_BLOCKS,
    SYNC_BATCH_BLOCKS,
    SYNC_BATCH_BYTES,
    SyncedBlock,
    decode_blocks,
    encode_range,
)
from vm.primitives.errors import BitenergyError

ANSWER_DEADLINE_S: Final = 10.0
MAX_REQUESTS: Final = 4
"""Requests under way at once, one to a peer."""
MAX_KEPT_BYTES: Final = 16_777_216
"""What may be here or under way before it is applied; an answer is counted as a whole batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive blocks from one peer."""

    peer: bytes
    """Who gave them."""
    first: int
    """Height of the first."""
    blocks: tuple[SyncedBlock, ...]
    """The blocks."""

    @property
    def end(self) -> int:
        """The height after the last."""
        return self.first + len(self.blocks)

    def from_height(self, first: int) -> Batch:
        """Return what of it is at `first` and above."""
        return Batch(self.peer, first, self.blocks[first - self.first :])


@dataclass(frozen=True, slots=True)
class _Request:
    """A request under way."""

    first: int
    count: int
    answer: asyncio.Future[tuple[SyncedBlock, ...]]
    task: asyncio.Task[None]


class Fetcher:
    """Blocks on their way from peers."""

    def __init__(
        self,
        peers: PeerService,
        sources: SyncPeers,
        *,
        on_fault: Callable[[bytes, str], None],
    ) -> None:
        """`on_fault` hears of peers that do not keep what they claim."""
        self._peers = peers
        self._sources = sources
        self._on_fault = on_fault
        self._requests: dict[bytes, _Request] = {}
        self._batches: dict[int, Batch] = {}
        self._stale_until_s: dict[bytes, float] = {}
        self._changed = asyncio.Event()

    async def take(self, first: int) -> Batch | None:
        """Return the blocks from height `first` on; None where nobody can give them."""
        while True:
            self._forget_below(first)
            batch = self._find(first)
            if batch is not None:
                del self._batches[batch.first]
                self._fill(batch.end)
                return batch.from_height(first)
            self._fill(first)
            if not self._requests:
                return None
            self._changed.clear()
            await self._changed.wait()

    def discard(self, peer: bytes) -> None:
        """Drop what a peer gave."""
        for batch in [item for item in self._batches.values() if item.peer == peer]:
            del self._batches[batch.first]
        self.peer_gone(peer)

    def peer_gone(self, peer: bytes) -> None:
        """Wait no longer for a peer's answer."""
        request = self._requests.get(peer)
        if request is not None:
            request.task.cancel()

    def close(self) -> None:
        """Give up what is under way and forget what came."""
        for peer, request in self._requests.items():
            # Its answer may still come, and must not be taken for that to another request.
            self._stale_until_s[peer] = _now_s() + ANSWER_DEADLINE_S
            request.task.cancel()
        self._batches.clear()

    def on_blocks(self, peer: bytes, payload: bytes) -> None:
        """Take an answer; what nobody asked for is dropped. Raises DecodeError on a bad one."""
        request = self._requests.get(peer)
        if request is None or request.answer.done():
            return
        blocks = decode_blocks(payload)
        is_other = bool(blocks) and decode_header(blocks[0].header).height != request.first
        if is_other and self._stale_until_s.pop(peer, 0.0) > _now_s():
            return
        request.answer.set_result(blocks)

    def _find(self, height: int) -> Batch | None:
        for batch in self._batches.values():
            if batch.first <= height < batch.end:
                return batch
        return None

    def _forget_below(self, height: int) -> None:
        for batch in [item for item in self._batches.values() if item.end <= height]:
            del self._batches[batch.first]

    def _fill(self, first: int) -> None:
        """Ask for what is missing from `first` on."""
        best = self._sources.best_height()
        while len(self._requests) < MAX_REQUESTS:
            gap, count = self._next_gap(first)
            kept = sum(_size(batch) for batch in self._batches.values())
            kept += SYNC_BATCH_BYTES * len(self._requests)
            if gap > best or (gap > first and kept + SYNC_BATCH_BYTES > MAX_KEPT_BYTES):
                return
            peer = self._sources.pick(gap, gap, busy=self._requests)
            if peer is None:
                return
            answer: asyncio.Future[tuple[SyncedBlock, ...]] = (
                asyncio.get_running_loop().create_future()
            )
            task = asyncio.ensure_future(self._fetch(peer, gap, answer))
            self._requests[peer] = _Request(gap, count, answer, task)
            task.add_done_callback(lambda _, peer=peer, task=task: self._ended(peer, task))
            self._peers.send(peer, GET_BLOCKS, encode_range(gap, count))

    def _next_gap(self, first: int) -> tuple[int, int]:
        """Return (height, count) of the first blocks neither here nor under way."""
        spans = [(batch.first, batch.end) for batch in self._batches.values()]
        spans += [(item.first, item.first + item.count) for item in self._requests.values()]
        for start, end in sorted(spans):
            if start > first:
                return first, min(SYNC_BATCH_BLOCKS, start - first)
            first = max(first, end)
        return first, SYNC_BATCH_BLOCKS

    def _ended(self, peer: bytes, task: asyncio.Task[None]) -> None:
        request = self._requests.get(peer)
        if request is not None and request.task is task:
            del self._requests[peer]
        self._changed.set()

    async def _fetch(
        self, peer: bytes, first: int, answer: asyncio.Future[tuple[SyncedBlock, ...]]
    ) -> None:
        began_s = _now_s()
        try:
            blocks = await asyncio.wait_for(answer, ANSWER_DEADLINE_S)
        except TimeoutError:
            self._on_fault(peer, "it did not answer in time")
            return
        except BitenergyError as error:
            self._on_fault(peer, str(error))
            return
        self._sources.note_answer(peer, _now_s() - began_s)
        if not blocks:
            self._on_fault(peer, f"it has not got block {first}, which it claims")
            return
        self._batches[first] = Batch(peer, first, blocks)


def _size(batch: Batch) -> int:
    return sum(len(block.header) + len(block.body) for block in batch.blocks)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
