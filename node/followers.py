"""Followers: those who are told of every block from a moment on, each through a bounded queue."""

from __future__ import annotations

import asyncio
from typing import Final

from node.facade import ChainEvent

FOLLOWER_BLOCKS: Final = 256


class Follower:
    """One follower's queue; None ends it."""

    def __init__(self, others: list[Follower]) -> None:
        self.queue: asyncio.Queue[ChainEvent | None] = asyncio.Queue(FOLLOWER_BLOCKS + 1)
        self._others = others
        others.append(self)

    def close(self) -> None:
        """Stop following."""
        if self in self._others:
            self._others.remove(self)


class Followers:
    """All followers of a node."""

    def __init__(self) -> None:
        self._all: list[Follower] = []

    def add(self) -> Follower:
        """Return a new follower."""
        return Follower(self._all)

    def publish(self, event: ChainEvent) -> None:
        """Tell all; those that did not keep up are dropped."""
        for follower in list(self._all):
            if follower.queue.qsize() >= FOLLOWER_BLOCKS:
                follower.close()
                follower.queue.put_nowait(None)
            else:
                follower.queue.put_nowait(event)

    def end(self) -> None:
        """Tell all that nothing more comes."""
        for follower in list(self._all):
            if not follower.queue.full():
                follower.queue.put_nowait(None)
